"""test_run_life.py - `mmscope run` and the collector around a process's life.

    test_run_life.py CASE

Each case is a function below and a test of its own.  Expectations come from
the kernel (wait status, /proc) or from the program, never from mmscope.
"""
import glob
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import time

import mms

SESSIONS = '/dev/shm/mmscope.%d' % os.geteuid()


def command(db, *argv, options=()):
    return [mms.MMSCOPE, 'run', *options, '-o', db, '--', *argv]


def run(db, *argv, options=(), cwd=None, **more):
    return subprocess.run(command(db, *argv, options=options), env=mms.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, cwd=cwd,
                          preexec_fn=mms.quiet_signals, **more)


def meta(db, key):
    found = mms.rows(db, 'SELECT value FROM meta WHERE key = ?', key)
    return found[0]['value'] if found else None


def session_id_of(db):
    return meta(db, 'session_id')


def collectors(session=None):
    """Pids of collectors that are not zombies; of one session or all."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % pid, 'rb') as f:
                words = f.read().split(b'\0')
        except OSError:
            continue
        if len(words) > 2 and words[1] == b'collect' and (not session or words[2].decode() == session):
            found.append(int(pid))
    return found


def session_of(pid, seconds=5):
    """The session file a process has mapped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open('/proc/%d/maps' % pid) as f:
                for line in f:
                    if '/mmscope.' in line and line.split()[1].startswith('rw-s'):
                        return line.split(None, 5)[5].strip()
        except OSError:
            return None
        time.sleep(0.005)
    return None


def sessions_for(text):
    """Session files whose database's path has this in it: other recordings go on beside."""
    found = []
    for path in glob.glob(SESSIONS + '/*'):
        if '.db' in path: # a database that found no room elsewhere
            continue
        try:
            with open(path, 'rb') as f:
                if text.encode() in f.read(8192):
                    found.append(path)
        except OSError: # it was removed meanwhile
            pass
    return found


def finished(db, faults, what, seconds=100):
    if not mms.wait_finished(db, seconds):
        faults.add(what + ': the database was not finished')
        return False
    mms.integrity(db, faults)
    faults.equal(meta(db, 'state'), 'complete', what + ': state')
    return True


# ---- exec in place ----

def in_place(work, faults):
    """Pid, parent, group, session, descriptors, masks: those of a plain run."""
    program = ("import os,signal,sys\n"
               "s=open('/proc/self/status').read()\n"
               "print(os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0), sorted(os.listdir('/proc/self/fd')),"
               " [l for l in s.splitlines() if l[:6] in ('SigPnd', 'SigBlk', 'SigIgn', 'SigCgt', 'ShdPnd')], os.getcwd(), sys.argv)\n")
    seen = []
    for mode in ('plain', 'run'):
        argv = mms.prefix(mode, work.db(mode)) + ['/usr/bin/python3', '-c', program, 'a b']
        p = subprocess.Popen(argv, env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=work.top, preexec_fn=mms.quiet_signals)
        out, err = p.communicate(timeout=60)
        faults.equal(err, '', mode + ': stderr')
        words = out.split(None, 3)
        faults.equal((int(words[0]), int(words[1])), (p.pid, os.getpid()), mode + ': pid and parent')
        seen.append(words[3])
    faults.equal(seen[1], seen[0], 'what the program sees of itself')


def statuses(work, faults):
    for script, want in (('exit 0', 0), ('exit 7', 7), ('exit 255', 255), ('kill -TERM $$', -15),
                         ('kill -SEGV $$', -11), ('kill -KILL $$', -9)):
        for options in ((), ('--wait',)):
            db = work.db('run')
            r = run(db, '/bin/bash', '-c', 'x=$(echo a); ' + script, options=options)
            what = '%s %s' % (script, ' '.join(options))
            faults.equal((r.returncode, r.stdout, r.stderr), (want, '', ''), what)
            if options and not os.path.exists(db + '-wal'):
                faults.equal(meta(db, 'state'), 'complete', what + ': finished when run returned')
            if finished(db, faults, what):
                row = mms.rows(db, 'SELECT end_how, status FROM process ORDER BY id LIMIT 1')[0]
                faults.equal((row['end_how'], row['status']), ('exit', want) if want >= 0 else ('signal', -want),
                             what + ': end in the database')


def own_failures(work, faults):
    """125, 126, 127; one line; nothing left behind."""
    plain = work.path('plain.txt')
    with open(plain, 'w') as f:
        f.write('nothing to execute\n')
    for what, argv, want in (('missing', ['/no/such/program'], 127), ('missing in PATH', ['no-such-program'], 127),
                             ('not executable', [plain], 126), ('a folder', ['/tmp'], 126)):
        for options in ((), ('--wait',)):
            db = work.db('run')
            r = run(db, *argv, options=options)
            faults.equal(r.returncode, want, what + ': status')
            faults.equal((r.stdout, r.stderr.count('\n')), ('', 1), '%s: output %r' % (what, r.stderr))
            faults.equal(os.path.exists(db), False, what + ': a database is left')
    for what, db in (('a folder', work.top), ('no folder', work.path('no/such/a.db')), ('a foreign file', plain)):
        r = run(db, '/bin/true')
        faults.equal((r.returncode, r.stdout, r.stderr.count('\n')), (125, '', 1), 'output is ' + what)
    with open(plain) as f:
        faults.equal(f.read(), 'nothing to execute\n', 'the foreign file')
    end = time.monotonic() + 10
    while sessions_for(work.top) and time.monotonic() < end:
        time.sleep(0.05)
    faults.equal(sessions_for(work.top), [], 'session files left')


def default_name(work, faults):
    cwd = work.fresh()
    p = subprocess.Popen([mms.MMSCOPE, 'run', '--', '/bin/ls', '/'], cwd=cwd, env=mms.environment(),
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    p.wait()
    finished(os.path.join(cwd, 'mmscope.ls.%d.db' % p.pid), faults, 'default name')
    r = subprocess.run([mms.MMSCOPE, 'run', '--summary', '--', '/bin/ls', '/'], cwd=cwd, env=mms.environment(),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    faults.equal(r.returncode, 0, '--summary: status')
    faults.equal('report of' in r.stdout, True, '--summary prints the report')


def started_as(work, faults):
    """A program with two names is called by the one it was started with; its forks, too."""
    folder = work.fresh()
    os.symlink('/usr/bin/bash', os.path.join(folder, 'other-name'))
    db = work.db('run')
    run(db, os.path.join(folder, 'other-name'), '-c', '(x=$(ulimit)); exec -a -dash /usr/bin/sort /etc/passwd')
    if not finished(db, faults, 'another name'):
        return
    out = mms.verb('sites', '--limit', '100', db)[1]
    called = re.findall(r'([^/\s]+) \(\d+\): peak', out)
    faults.equal((set(called), called.count('sort')), ({'other-name', 'sort'}, 1), 'names in %s' % out)
    exes = {p['process']['exe'] for p in mms.ask('sites', db)['processes']}
    faults.equal(exes, {os.path.realpath('/usr/bin/bash'), os.path.realpath('/usr/bin/sort')}, 'files in the JSON')


def script(work, faults):
    path = work.path('script.sh')
    with open(path, 'w') as f:
        f.write('#!/bin/bash\nx=$(echo hello)\necho $x; exit 5\n')
    os.chmod(path, 0o755)
    db = work.db('run')
    r = run(db, path)
    faults.equal((r.returncode, r.stdout, r.stderr), (5, 'hello\n', ''), 'a script')
    if finished(db, faults, 'a script'):
        faults.equal(mms.rows(db, 'SELECT exe FROM process ORDER BY id LIMIT 1')[0]['exe'], '/usr/bin/bash', 'exe')


def warned(work, faults):
    """Programs that cannot be recorded run as they would, with one line."""
    source = work.path('p.c')
    with open(source, 'w') as f:
        f.write('#include <stdio.h>\nint main(void){puts("ran");return 3;}\n')
    static, pie, setuid = work.path('static'), work.path('static-pie'), work.path('setuid')
    subprocess.run(['gcc', '-static', '-o', static, source], check=True)
    subprocess.run(['gcc', '-static-pie', '-o', pie, source], check=True)
    subprocess.run(['gcc', '-o', setuid, source], check=True)
    os.chown(setuid, 65534, 65534)
    os.chmod(setuid, 0o4755)
    kinds = [('static', static, 'static'), ('static', pie, 'static'), ('set-uid', setuid, 'set-uid')]
    if os.path.exists('/usr/bin/rustc'):
        with open(work.path('p.rs'), 'w') as f:
            f.write('fn main() { println!("ran"); std::process::exit(3) }')
        rust = work.path('static-rust')
        subprocess.run(['/usr/bin/rustc', '-C', 'target-feature=+crt-static', '-o', rust, work.path('p.rs')], check=True)
        kinds.append(('static', rust, 'static'))
    for what, path, word in kinds:
        db = work.db('run')
        r = run(db, path)
        faults.equal((r.returncode, r.stdout), (3, 'ran\n'), what)
        faults.equal(r.stderr.count('\n') == 1 and word in r.stderr and path in r.stderr, True,
                     '%s: says %r' % (what, r.stderr))
        if finished(db, faults, what):
            kinds = [x['kind'] for x in mms.rows(db, 'SELECT kind FROM coverage')]
            faults.equal(what.replace('-', '') in kinds, True, '%s: coverage has %r' % (what, kinds))


# ---- processes ----

def forks_401(work, faults):
    """401 forks that live a moment: every pid, parent and status."""
    program = ("import os,sys\n"
               "for i in range(401):\n"
               "    p = os.fork()\n"
               "    if p == 0:\n"
               "        x = bytearray(1000 + i)\n"
               "        os._exit(i % 256) if i % 7 else os.kill(os.getpid(), 9)\n"
               "    print(p, os.waitpid(p, 0)[1])\n")
    db = work.db('run')
    r = run(db, '/usr/bin/python3', '-c', program)
    faults.equal((r.returncode, r.stderr), (0, ''), '401 forks')
    if not finished(db, faults, '401 forks'):
        return
    real = {int(a): int(b) for a, b in (line.split() for line in r.stdout.splitlines())}
    rows = mms.rows(db, 'SELECT * FROM process ORDER BY id')
    faults.equal(len(rows), 402, 'processes')
    wrong = 0
    for row in rows[1:]:
        status = real.get(row['pid'], -1)
        want = ('signal', status & 127) if status & 127 else ('exit', status >> 8)
        if (row['end_how'], row['status']) != want or row['parent_id'] != rows[0]['id'] or row['begin_how'] != 'fork':
            wrong += 1
            print('pid %s: %s, should be %s' % (row['pid'], dict(row), want))
    faults.equal(wrong, 0, 'processes with a wrong end or parent')
    forks = mms.rows(db, 'SELECT child_id, child_pid FROM fork')
    faults.equal(len(forks), 401, 'forks')
    faults.equal(sum(f['child_id'] is None for f in forks), 0, 'forks without their child')


def exec_chain(work, faults):
    """One pid, many images; the last one's status."""
    db = work.db('run')
    script = 'exec /usr/bin/env A=1 /bin/bash -c "exec /usr/bin/python3 -c \\"import os; os._exit(9)\\""'
    r = run(db, '/bin/bash', '-c', script)
    faults.equal(r.returncode, 9, 'status')
    if not finished(db, faults, 'exec chain'):
        return
    rows = mms.rows(db, 'SELECT * FROM process ORDER BY id')
    faults.equal([os.path.basename(x['exe']) for x in rows], ['bash', 'env', 'bash', 'python3.11'], 'images')
    faults.equal(len({x['pid'] for x in rows}), 1, 'pids')
    faults.equal([x['end_how'] for x in rows], ['exec'] * 3 + ['exit'], 'ends')
    faults.equal([x['begin_how'] for x in rows], ['start'] + ['exec'] * 3, 'begins')
    faults.equal(rows[-1]['status'], 9, 'last status')


def spawned(work, faults):
    """system, popen, posix_spawn: parents and statuses."""
    program = ("import os\n"
               "print(os.system('exit 3') >> 8)\n"
               "f = os.popen('echo x; exit 4'); f.read()\n"
               "print(f.close() >> 8)\n"
               "p = os.posix_spawn('/bin/bash', ['bash', '-c', 'x=$(true); exit 5'], os.environ)\n"
               "print(os.waitpid(p, 0)[1] >> 8)\n")
    db = work.db('run')
    r = run(db, '/usr/bin/python3', '-c', program)
    faults.equal(r.stdout.split(), ['3', '4', '5'], 'statuses')
    if not finished(db, faults, 'spawned'):
        return
    rows = mms.rows(db, 'SELECT * FROM process ORDER BY id')
    ends = [(x['end_how'], x['status']) for x in rows if x['parent_id'] == rows[0]['id']]
    for want in (3, 4, 5):
        faults.equal(('exit', want) in ends, True, 'a child of the first process that ended with %d in %s' % (want, ends))
    faults.equal([x['id'] for x in rows if x['parent_id'] is None], [rows[0]['id']], 'processes without a parent')


def hiwater(work, faults):
    """What a process held at most is known however short its life was, at an exit, an _exit and an exec."""
    program = ("import os\n"
               "def child(mib, end):\n"
               "    pid = os.fork()\n"
               "    if pid == 0:\n"
               "        x = bytearray(mib << 20); del x; end()\n"
               "    os.waitpid(pid, 0)\n"
               "child(40, lambda: os._exit(0))\n"
               "child(60, lambda: os.execv('/bin/true', ['true']))\n"
               "y = bytearray(80 << 20)\n")
    db = work.db('run')
    run(db, '/usr/bin/python3', '-c', program)
    if not finished(db, faults, 'hiwater'):
        return
    rows = mms.rows(db, "SELECT * FROM process WHERE exe LIKE '%python3%' ORDER BY id")
    faults.equal(len(rows), 3, 'images of python')
    for row, mib in zip(rows, (80, 40, 60)):
        most = (row['hiwater_rss'] or 0) >> 20
        faults.equal(mib <= most < mib + 30, True, 'resident at most %d MiB, held %d' % (most, mib))


def daemon(work, faults):
    """A daemon lives on after CMD: the recording goes on, is readable, ends with it."""
    program = ("import os,sys,time\n"
               "if os.fork(): os._exit(0)\n"
               "os.setsid()\n"
               "if os.fork(): os._exit(0)\n"
               "for fd in range(3): os.close(fd)\n"
               "keep = []\n"
               "t = time.monotonic()\n"
               "while not os.path.exists(sys.argv[1]) and time.monotonic() - t < 90: keep.append(bytearray(5000)); time.sleep(0.01)\n"
               "os._exit(21)\n")
    db, stop = work.db('run'), work.path('stop')
    r = run(db, '/usr/bin/python3', '-c', program, stop)
    faults.equal(r.returncode, 0, 'CMD ends before its daemon')
    for _ in range(600): # until it was looked at twice
        time.sleep(0.1)
        if os.path.exists(db) and mms.rows(db, "SELECT 1 FROM sqlite_master WHERE name = 'sample'") and len(
                mms.rows(db, 'SELECT 1 FROM sample WHERE process_id = (SELECT max(id) FROM process)')) > 1:
            break
    faults.equal(meta(db, 'state'), 'recording', 'state while the daemon lives')
    live = mms.rows(db, 'SELECT * FROM process ORDER BY id')
    with open(stop, 'w'):
        pass
    faults.equal(len(live), 3, 'processes in the database while recording')
    faults.equal(sum(x['end_how'] == 'running' for x in live), 1, 'running processes')
    if not finished(db, faults, 'daemon'):
        return
    last = mms.rows(db, 'SELECT * FROM process ORDER BY id')[-1]
    faults.equal((last['end_how'], last['status']), ('exit', 21), 'the daemon')
    samples = mms.rows(db, 'SELECT rss, minflt, live_bytes FROM sample WHERE process_id = ?', last['id'])
    if len(samples) < 2 or any(not s['rss'] or not s['minflt'] for s in samples):
        faults.add('ticks of the daemon: %r' % samples)
    if not last['hiwater_rss'] or last['hiwater_rss'] < max(s['rss'] for s in samples[:1]):
        faults.add('hiwater_rss of the daemon is %r' % last['hiwater_rss'])


# ---- job control ----

def state_of(pid):
    with open('/proc/%d/stat' % pid) as f:
        return f.read().rsplit(')', 1)[1].split()[0]


def await_state(pid, states, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if state_of(pid) in states:
            return True
        time.sleep(0.01)
    return False


def job_control(work, faults):
    """Stop, continue and signals, in place and with --wait."""
    for options in ((), ('--wait',)):
        what = 'with --wait' if options else 'in place'
        p = subprocess.Popen(command(work.db('run'), '/bin/bash', '-c',
                                     'trap "echo term; exit 6" TERM; echo up; while :; do sleep 0.05; done',
                                     options=options),
                             env=mms.environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                             preexec_fn=os.setpgrp)
        p.stdout.readline()
        os.killpg(p.pid, signal.SIGTSTP)
        pid, status = os.waitpid(p.pid, os.WUNTRACED)
        faults.equal(os.WIFSTOPPED(status), True, what + ': a stop is seen by the parent')
        os.killpg(p.pid, signal.SIGCONT)
        faults.equal(await_state(p.pid, 'SR'), True, what + ': goes on')
        os.kill(p.pid, signal.SIGTERM)
        out, _ = p.communicate(timeout=20)
        faults.equal((p.returncode, out), (6, 'term\n'), what + ': the program gets the signal')


def wait_ends_alike(work, faults):
    """--wait ends by the same signal, leaves no core, passes TERM and HUP."""
    def begin():
        mms.quiet_signals()
        resource.setrlimit(resource.RLIMIT_CORE, (0, -1))

    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        p = subprocess.Popen(command(work.db('run'), '/bin/sleep', '30', options=('--wait',)), env=mms.environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work.top,
                             preexec_fn=begin)
        time.sleep(0.5)
        p.send_signal(sig)
        out, err = p.communicate(timeout=20)
        faults.equal((p.returncode, out, err), (-sig, b'', b''), signal.Signals(sig).name)


def terminal(work, faults):
    """On a terminal one line on stderr says where the recording goes; ^C reaches the program."""
    db = work.db('run')
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(mms.MMSCOPE, command(db, '/bin/bash', '-c', 'trap "exit 8" INT; echo up; while :; do sleep 0.05; done'),
                  mms.environment())
    seen = b''
    while b'up' not in seen and select.select([fd], [], [], 10)[0]:
        seen += os.read(fd, 4096)
    lines = seen.decode().splitlines()
    faults.equal(len(lines) >= 1 and db in lines[0] and 'mmscope report' in lines[0], True, 'first line of %r' % lines)
    os.write(fd, b'\x03')
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    faults.equal(os.waitstatus_to_exitcode(status), 8, '^C')


# ---- the collector dies ----

LOOP = ("import sys,time\n"
        "def early(n): return [bytearray(700) for i in range(n)]\n"
        "def late(n): return [bytearray(900) for i in range(n)]\n"
        "a = early(5000); print('early', flush=True); sys.stdin.readline()\n"
        "b = late(3000); print('late', flush=True); sys.exit(11)\n")


def blocks_of_size(db, size):
    return sum(r['n'] for r in mms.rows(db, 'SELECT alloc_blocks AS n FROM heap_site'
                                            ' WHERE min_size <= ? AND max_size >= ?', size, size))


def collector_killed(work, faults):
    """What was written and what was not come together; nothing is counted twice."""
    db = work.db('run')
    env = mms.environment(PYTHONMALLOC='malloc', PYTHONHASHSEED='0')
    p = subprocess.Popen(command(db, '/usr/bin/python3', '-c', LOOP), env=env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    session = session_of(p.pid)
    flushed = 0
    for _ in range(30):
        time.sleep(1.5)
        before = flushed
        flushed = sum(r['alloc_blocks'] for r in mms.rows(db, 'SELECT alloc_blocks FROM process'))
        if flushed >= 5000 and flushed == before: # all that was made so far is written
            break
    for pid in collectors(session):
        os.kill(pid, signal.SIGKILL)
    out, err = p.communicate('\n', timeout=30)
    faults.equal((p.returncode, out, err), (11, 'late\n', ''), 'target')
    if flushed < 5000:
        faults.add('only %d blocks were written before the kill' % flushed)
    status, out, err = mms.verb('recover', session)
    faults.equal((status, out, err), (0, db + '\n', ''), 'recover')
    if status:
        return
    mms.integrity(db, faults)
    faults.equal(os.path.exists(session), False, 'session file after recover')
    row = mms.rows(db, 'SELECT * FROM process')[0]
    if row['alloc_blocks'] < flushed + 3000:
        faults.add('%d blocks, of which %d were written by the collector: the rest is missing' % (row['alloc_blocks'], flushed))
    # Interpreters allocate the same in every run: a third run says how much.
    plain = work.db('run')
    r = subprocess.run(command(plain, '/usr/bin/python3', '-c', LOOP, options=('--wait',)),
                       env=env, input='\n', text=True,
                       stdout=subprocess.DEVNULL)
    faults.equal(r.returncode, 11, 'undisturbed run')
    whole = mms.rows(plain, 'SELECT alloc_blocks FROM process')[0]['alloc_blocks']
    # What the collector had read and not written is said: a bound, frees count, too.
    unwritten = sum(x['n'] for x in mms.rows(db, "SELECT count AS n FROM coverage WHERE kind = 'collector_killed'"))
    got, slack = row['alloc_blocks'], whole // 200
    if got > whole + slack or got + unwritten < whole - slack:
        faults.add('%d blocks and %d records unwritten, an undisturbed run has %d' % (got, unwritten, whole))
    kinds = [x['kind'] for x in mms.rows(db, 'SELECT kind FROM coverage')]
    faults.equal('recovered' in kinds, True, 'coverage says so: %r' % kinds)


def no_helper(work, faults):
    """Without a collector the session file stays, and recover reads it."""
    db = work.db('preload')
    r = subprocess.run(['/usr/bin/env', 'LD_PRELOAD=' + mms.LIBRARY, 'MMSCOPE_OUT=' + db, 'MMSCOPE_NOHELPER=1',
                        '/usr/bin/bash', '-c', 'x=$(ulimit); exec /usr/bin/sort /etc/passwd'], env=mms.environment(), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    faults.equal((r.returncode, r.stderr), (0, b''), 'target')
    mine = sessions_for(db)
    # bash joins, forks and becomes sort: one session.
    faults.equal(len(mine), 1, 'sessions left behind')
    if not mine:
        return
    status, out, err = mms.verb('recover')
    faults.equal(status == 0 and mine[0] in out and 'left behind' in out, True, 'the list of sessions: %r' % out)
    status, out, err = mms.verb('recover', mine[0])
    faults.equal((status, out, err), (0, db + '\n', ''), 'recover')
    if status == 0:
        mms.integrity(db, faults)
        rows = mms.rows(db, 'SELECT * FROM process ORDER BY id')
        faults.equal([x['begin_how'] for x in rows], ['start', 'fork', 'exec'], 'images')
        begins = [x['begin_ns'] for x in rows]
        faults.equal((begins == sorted(set(begins)), rows[1]['inherited_blocks'] > 0), (True, True),
                     'begins %s; the fork inherits %s' % (begins, rows[1]['inherited_blocks']))
        faults.equal(os.path.basename(rows[-1]['exe'] or ''), 'sort', 'the program')
        if not rows[-1]['alloc_blocks']:
            faults.add('no allocation of sort was recovered')
        faults.equal(os.path.exists(mine[0]), False, 'session file after recover')


def terminated(work, faults):
    """SIGTERM to the collector: a finished, marked database; the target goes on."""
    db = work.db('run')
    p = subprocess.Popen(command(db, '/usr/bin/python3', '-c', LOOP), env=mms.environment(), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    session = session_of(p.pid)
    time.sleep(0.2)
    for pid in collectors(session):
        os.kill(pid, signal.SIGTERM)
    faults.equal(mms.wait_finished(db, 10), True, 'finished after SIGTERM')
    out, _ = p.communicate('\n', timeout=30)
    faults.equal((p.returncode, out), (11, 'late\n'), 'target')
    mms.integrity(db, faults)
    faults.equal(meta(db, 'state'), 'incomplete', 'state')


# ---- disks ----

def small_disk(work, size, faults):
    mount = work.path('small')
    os.makedirs(mount, exist_ok=True)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tmpfs', mount],
                      stderr=subprocess.DEVNULL).returncode:
        mms.skip('not allowed to mount')
    return mount


def full_disk(work, faults):
    """Full before the start: refused.  Full on the way: the recording is saved elsewhere."""
    mount = small_disk(work, '64k', faults)
    try:
        db = os.path.join(mount, 'a.db')
        r = run(db, '/bin/echo', 'hello', options=('--wait',))
        faults.equal((r.returncode, r.stdout, r.stderr.count('\n')), (125, '', 1), 'full: %r' % r.stderr)
        faults.equal(os.listdir(mount), [], 'files on the full disk')
    finally:
        subprocess.run(['umount', '-l', mount], check=True)
    mount = small_disk(work, '1200k', faults)
    try:
        db = os.path.join(mount, 'a.db')
        fill = ("f = open('%s/fill', 'wb', 0)\n"
                "try:\n    while 1: f.write(bytes(4096))\n"
                "except OSError: pass\n") % mount
        program = fill + "keep = [bytearray(1000 + i) for i in range(30000)]\nprint(len(keep))\nraise SystemExit(4)"
        r = run(db, '/usr/bin/python3', '-c', program, options=('--wait',))
        faults.equal((r.returncode, r.stdout), (4, '30000\n'), 'the target')
        faults.equal(r.stderr.count('\n'), 1, 'one line: %r' % r.stderr)
        saved = re.search(r'saved as (\S+)', r.stderr)
        if not saved:
            faults.add('says %r' % r.stderr)
            return
        mms.integrity(saved.group(1), faults)
        row = mms.rows(saved.group(1), 'SELECT alloc_blocks, end_how, status FROM process')[0]
        faults.equal((row['alloc_blocks'] > 30000, row['end_how'], row['status']), (True, 'exit', 4), 'what was saved')
        os.unlink(saved.group(1))
    finally:
        subprocess.run(['umount', '-l', mount], check=True)


CASES = {f.__name__: f for f in (
    in_place, statuses, own_failures, default_name, started_as, script, warned, forks_401, exec_chain, spawned, hiwater, daemon,
    job_control, wait_ends_alike, terminal, collector_killed, no_helper, terminated, full_disk)}


def main():
    name = sys.argv[1]
    faults = mms.Faults()
    with mms.Work('life-' + name) as work:
        CASES[name](work, faults)
    return faults.done(name)


if __name__ == '__main__':
    sys.exit(main())
