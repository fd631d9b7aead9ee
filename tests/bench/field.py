"""field.py - the ways to run a program, and one run of it, measured.

A *way* is the plain program, mmscope in one of its modes, or another tool.
One that is not there has a reason instead, which the tables name.

What is measured of a run is that of everything together: this process is made
the one that orphans go to (PR_SET_CHILD_SUBREAPER), so that collectors and
other helpers are waited for as the program itself is, and their processor time
counts.  Memory is the sum of the proportional set sizes of all of them, looked
at every 20 ms, in runs of their own.
"""
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import mms  # noqa: E402

BENCH = os.path.join(mms.BUILD, 'tests', 'bench')
PR_SET_CHILD_SUBREAPER = 36
LIBRARIES = '/usr/lib/x86_64-linux-gnu'
# What `--install` asks for, by way.
PACKAGES = {'heaptrack': 'heaptrack', 'jemalloc': 'libjemalloc2', 'gperftools': 'google-perftools', 'valgrind': 'valgrind'}


def adopt_orphans():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Way:
    """command(argv, folder) -> (argv, environment); report(folder, program) -> argv or None."""

    def __init__(self, name, command, report=None, missing=None):
        self.name, self.command, self.report, self.missing = name, command, report, missing


def ours(mode):
    def command(argv, folder):
        return [mms.MMSCOPE, 'run', '--mode', mode, '-o', os.path.join(folder, 'm.db'), '--', *argv], {}

    def report(folder, program):
        return [mms.MMSCOPE, 'report', os.path.join(folder, 'm.db')]
    return Way(mode, command, report)


def first_file(folder, prefix):
    found = [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.startswith(prefix)]
    return max(found, key=os.path.getsize) if found else None


def heaptrack():
    def report(folder, program):
        f = first_file(folder, 'ht')
        return ['heaptrack_print', '-f', f] if f else None
    return Way('heaptrack', lambda argv, folder: (['heaptrack', '-o', os.path.join(folder, 'ht'), *argv], {}), report,
               None if shutil.which('heaptrack') else 'heaptrack is not installed')


def jemalloc():
    library = os.path.join(LIBRARIES, 'libjemalloc.so.2')
    missing = None
    if not os.path.exists(library):
        missing = 'libjemalloc2 is not installed'
    else:
        r = subprocess.run(['/bin/true'], env={'LD_PRELOAD': library, 'MALLOC_CONF': 'stats_print:true'}, stderr=subprocess.PIPE)
        if b'config.prof: true' not in r.stderr:
            missing = 'this libjemalloc2 is built without profiling'

    def report(folder, program):
        f, tool = first_file(folder, 'je'), shutil.which('jeprof') or shutil.which('google-pprof')
        return [tool, '--text', program, f] if f and tool else None
    return Way('jemalloc', lambda argv, folder: (argv, {
        'LD_PRELOAD': library, 'MALLOC_CONF': 'prof:true,prof_final:true,prof_prefix:%s/je' % folder}), report, missing)


def gperftools():
    library = os.path.join(LIBRARIES, 'libtcmalloc.so.4')

    def report(folder, program):
        f, tool = first_file(folder, 'hp'), shutil.which('google-pprof')
        return [tool, '--text', program, f] if f and tool else None
    return Way('gperftools', lambda argv, folder: (argv, {'LD_PRELOAD': library, 'HEAPPROFILE': os.path.join(folder, 'hp')}), report,
               None if os.path.exists(library) else 'google-perftools is not installed')


def valgrind():
    def report(folder, program):
        f = first_file(folder, 'ms')
        return ['ms_print', f] if f else None
    return Way('valgrind', lambda argv, folder: (
        ['valgrind', '-q', '--tool=massif', '--trace-children=yes', '--massif-out-file=%s/ms.%%p' % folder, *argv], {}), report,
        None if shutil.which('valgrind') else 'valgrind is not installed')


def ways():
    plain = Way('plain', lambda argv, folder: (argv, {}))
    return [plain, ours('exact'), ours('sample'), heaptrack(), jemalloc(), gperftools(), valgrind()]


def install():
    """Asks the system's package manager for what is missing; as root, on demand."""
    wanted = [PACKAGES[w.name] for w in ways() if w.missing and w.name in PACKAGES]
    if wanted:
        subprocess.run(['apt-get', 'install', '-y', '--no-install-recommends', *wanted], stdin=subprocess.DEVNULL)


# ---- one run ----

def children_of(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            return [int(n) for n in f.read().split()]
    except OSError:
        return []


def family(pid, but):
    found, todo = [], [pid]
    while todo:
        for c in children_of(todo.pop()):
            if c not in but:
                found.append(c)
                todo.append(c)
    return found


def pss(pid):
    try:
        with open('/proc/%d/smaps_rollup' % pid) as f:
            return int(re.search(r'\nPss:\s+(\d+)', f.read()).group(1))
    except (OSError, AttributeError):
        return 0


class Sampler(threading.Thread):
    """The largest sum of PSS of all our descendants but those in `but`."""

    def __init__(self, but):
        super().__init__(daemon=True)
        self.but, self.peak, self.over = but, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.peak = max(self.peak, sum(pss(p) for p in family(os.getpid(), self.but)))

    def end(self):
        self.over.set()
        self.join()
        return self.peak / 1024


def on_cpu_s(pid):
    """Of all threads of a process that lives."""
    total = 0
    try:
        for task in os.listdir('/proc/%d/task' % pid):
            with open('/proc/%d/task/%s/schedstat' % (pid, task)) as f:
                total += int(f.read().split()[0])
    except (OSError, IndexError):
        pass
    return total / 1e9


def used(before):
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def reap(limit):
    """Waits for every orphan that has come to us."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if not pid:
            time.sleep(0.002)
    for pid in family(os.getpid(), ()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return False


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(top, n)) for top, _, names in os.walk(folder) for n in names)


def aside(command, but, limit):
    """Runs what does not count: (status, processor time)."""
    q = subprocess.Popen(command, env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    but.add(q.pid)
    end = time.monotonic() + limit
    pid = 0
    while not pid:
        pid, status, u = os.wait4(q.pid, os.WNOHANG)
        if not pid:
            time.sleep(0.001)
            if time.monotonic() > end:
                q.kill()
                end += limit
    q.returncode = os.waitstatus_to_exitcode(status)
    return q.returncode, u.ru_utime + u.ru_stime


class Run:
    """Wall and CPU seconds, and how much of the CPU came after the program had
    ended; with `look` also peak MiB, bytes on disk and the seconds to the first
    report.  load.drive, where there is one, works the
    program from outside; its processes do not count."""

    def __init__(self, work, way, load, look=False, limit=60):
        self.folder = work.path('out')
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        cwd = work.fresh()
        self.peak = self.disk = self.report = self.failed = None
        argv, extra = way.command(load.argv(cwd), self.folder)
        but = set()
        sampler = Sampler(but) if look else None
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        others = 0
        if sampler:
            sampler.start()
        begin = time.monotonic()
        with open(load.stdin or os.devnull, 'rb') as given, open(work.path('stdout'), 'w+b') as out:
            p = subprocess.Popen(argv, cwd=cwd, env=mms.environment(**dict(load.env, **extra)), stdin=given, stdout=out,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
            if load.drive:
                others += load.drive(cwd, but, limit)
            self.failed = self.wait(p, begin + limit)
            self.wall = time.monotonic() - begin
            until_end = used(before) - others + sum(on_cpu_s(c) for c in family(os.getpid(), but))
            if look and way.report and not self.failed:
                others += self.first_report(way, load.argv(cwd)[0], but, max(60, limit))
            if not reap(max(30, limit) if not self.failed else 5):
                self.failed = self.failed or 'its helpers did not end'
            self.cpu = used(before) - others
            self.after = max(0, self.cpu - until_end)
            out.seek(0)
            self.out = out.read()
        if look:
            self.peak = sampler.end()
            self.disk = folder_bytes(self.folder)

    @staticmethod
    def wait(p, end):
        while time.monotonic() < end:
            pid, status = os.waitpid(p.pid, os.WNOHANG)
            if pid:
                p.returncode = os.waitstatus_to_exitcode(status)
                return None if p.returncode == 0 else 'ended with %d' % p.returncode
            time.sleep(0.0005)
        os.killpg(p.pid, signal.SIGKILL)
        os.waitpid(p.pid, 0)
        p.returncode = -9
        return 'not done in time'

    def first_report(self, way, program, but, limit):
        """Its processor time, which is not the run's."""
        begin = time.monotonic()
        command = way.report(self.folder, program)
        if not command:
            return 0
        status, cpu = aside(command, but, limit)
        if status == 0:
            self.report = time.monotonic() - begin
        return cpu
