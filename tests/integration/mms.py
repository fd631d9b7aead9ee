"""mms.py - what the drivers share: running a command three ways, the database.

A command runs `plain`, under `run` (mmscope run -o DB -- CMD) or under
`preload` (LD_PRELOAD=libmmscope.so, MMSCOPE_OUT=DB), always with the same
small environment and in a folder of the same name, watched by onlooker.
Python's standard library only.
"""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Set by meson for each test; by hand: the usual build folder.
BUILD = os.environ.get('MMS_BUILD', os.path.join(TOP, 'build'))
MMSCOPE = os.environ.get('MMS_BIN', os.path.join(BUILD, 'analyzer', 'mmscope'))
LIBRARY = os.environ.get('MMS_LIB', os.path.join(BUILD, 'preload', 'libmmscope.so'))
PROGRAMS = os.path.join(BUILD, 'tests', 'programs')
ONLOOKER = os.path.join(PROGRAMS, 'onlooker')
MODES = ('run', 'preload')
SKIP = 77


def skip(reason):
    """Ends the test: meson counts status 77 as skipped."""
    print('skipped: ' + reason)
    sys.exit(SKIP)


def need(*programs):
    for p in programs:
        if not shutil.which(p, path=environment()['PATH']):
            skip('%s is not installed' % p)


def environment(**more):
    """Small and the same for every run: what a test needs it names."""
    env = {'PATH': '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG': 'C.UTF-8', 'TERM': 'dumb',
           'HOME': '/nonexistent', 'MMSCOPE_BIN': MMSCOPE}
    env.update(more)
    return env


def prefix(mode, db, options=()):
    if mode == 'plain':
        return []
    if mode == 'run':
        return [MMSCOPE, 'run', '-o', db, *options, '--']
    return ['/usr/bin/env', 'LD_PRELOAD=' + LIBRARY, 'MMSCOPE_OUT=' + db]


def quiet_signals():
    """Tests may run under a shell that ignores signals; programs inherit it."""
    for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
        signal.signal(s, signal.SIG_DFL)


class Work:
    """A fresh folder of always the same name for a command to run in, and one
    beside it for what the driver writes."""

    def __init__(self, name):
        self.top = tempfile.mkdtemp(prefix='mms-%s-' % name)
        os.chmod(self.top, 0o755)
        self.keep = bool(os.environ.get('MMS_KEEP'))
        self.cwd = os.path.join(self.top, 'w')
        self.count = 0

    def fresh(self):
        shutil.rmtree(self.cwd, ignore_errors=True)
        os.mkdir(self.cwd)
        return self.cwd

    def path(self, name):
        return os.path.join(self.top, name)

    def db(self, mode):
        self.count += 1
        return self.path('%s-%d.db' % (mode, self.count))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if not self.keep:
            shutil.rmtree(self.top, ignore_errors=True)


class Observation:
    def __init__(self):
        self.stdout = self.stderr = b''
        self.status = None
        self.processes = []
        self.fleeting = ()  # programs whose number is chance: not compared
        self.db = None
        self.seconds = 0.0


def read_onlooker(path, mode):
    """The processes as onlooker saw them.  The first image under `run` is the
    launcher's and under `preload` env's: ours, not the command's."""
    with open(path) as f:
        found = [json.loads(line) for line in f]
    if found and mode != 'plain':
        found[0]['images'] = found[0]['images'][1:]
    return found


def observe(work, mode, argv, setup=None, stdin=b'', env=None, onlook=True, timeout=120, options=()):
    """Runs the command to its end (and that of all it started)."""
    o = Observation()
    cwd = work.fresh()
    if setup:
        setup(cwd)
    o.db = None if mode == 'plain' else work.db(mode)
    seen = work.path('onlooker.json')
    if os.path.exists(seen):
        os.unlink(seen)
    command = prefix(mode, o.db, options) + list(argv)
    if onlook:
        command = [ONLOOKER, seen] + command
    begin = time.monotonic()
    with open(work.path('out'), 'w+b') as out, open(work.path('err'), 'w+b') as err:
        p = subprocess.Popen(command, cwd=cwd, env=environment(**(env or {})), stdin=subprocess.PIPE,
                             stdout=out, stderr=err, preexec_fn=quiet_signals, start_new_session=True)
        try:
            p.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            o.status = 'hangs'
        o.seconds = time.monotonic() - begin
        if o.status is None:
            o.status = p.returncode
        out.seek(0)
        err.seek(0)
        o.stdout, o.stderr = out.read(), err.read()
    if onlook and os.path.exists(seen):
        o.processes = read_onlooker(seen, mode)
    return o


def wait_finished(db, seconds=20):
    """A finished database is one plain file that nobody has open."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.path.exists(db) and os.path.getsize(db) and not os.path.exists(db + '-wal') and not holders(db):
            return True
        time.sleep(0.01)
    return False


def holders(path):
    """Processes that have the file open."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.readlink('/proc/%s/exe' % pid) != os.path.realpath(MMSCOPE):
                continue
            folder = '/proc/%s/fd' % pid
            if any(os.readlink(os.path.join(folder, n)) == path for n in os.listdir(folder)):
                found.append(int(pid))
        except OSError:
            pass
    return found


def rows(db, sql, *arguments):
    connection = sqlite3.connect('file:%s?mode=ro' % db, uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(r) for r in connection.execute(sql, arguments)]
    finally:
        connection.close()


def verb(*arguments, env=None):
    """Runs a verb; (status, stdout, stderr) as text."""
    r = subprocess.run([MMSCOPE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, env=environment(**(env or {})), timeout=120)
    return r.returncode, r.stdout.decode('utf-8', 'replace'), r.stderr.decode('utf-8', 'replace')


def ask(name, db):
    """The JSON answer of a verb."""
    status, out, err = verb(name, '--format', 'json', db)
    if status not in (0, 1):
        raise AssertionError('mmscope %s ended with %d: %s' % (name, status, err.strip()))
    return json.loads(out)


class Faults:
    """Collects what is wrong, so that one run shows everything."""

    def __init__(self):
        self.list = []

    def add(self, text):
        self.list.append(text)
        print('WRONG: ' + text, flush=True)

    def equal(self, got, want, what):
        if got != want:
            self.add('%s is %r, should be %r' % (what, got, want))

    def done(self, text):
        print('%s: %s' % (text, '%d faults' % len(self.list) if self.list else 'no fault'))
        return 1 if self.list else 0


def integrity(db, faults):
    try:
        got = rows(db, 'PRAGMA integrity_check')[0]['integrity_check']
    except sqlite3.Error as e:
        got = str(e)
    faults.equal(got, 'ok', 'integrity_check of ' + os.path.basename(db))


def drift(db, faults):
    """Each process's own list of areas agreed with the kernel's in the end, and each hidden change has a class."""
    found = rows(db, 'SELECT d.*, (SELECT coalesce(sum(count), 0) FROM hidden h WHERE h.process_id = d.process_id) AS n'
                     ' FROM drift d')
    for row in found:
        faults.equal(row['left_pages'], 0, 'pages that still differ in %d' % row['process_id'])
        faults.equal(row['n'], row['differences'], 'sum of the classes of hidden changes in %d' % row['process_id'])
        faults.equal(row['checks'] > 0, True, 'comparisons in %d' % row['process_id'])
    return len(found)
