"""guest.py - small hostile programs, plain and with the library.

    guest.py CASE

Each program of this folder prints what an unprofiled run prints, and states
on "expect:", "refuse:" and "count:" lines what the session must hold
(guest.h).  A case is run plain and recorded: output and status must be equal,
then the statements are checked against the dump of the session (record.c).
The cases at the end are about starting without a session: there a stand-in
for the collector (collector.c) says what became of it.
Python's standard library only.  Status 77: skipped.
"""
import ctypes
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from running import LIBRARY, MMSCOPE, SHM, Wrong, base_environment, compare, need, path, program, run, same


# ---- in a session ----

def constructors():
    program('constructors')


def dlsym_calls():
    program('dlsym_calls', env=base_environment(LD_PRELOAD=path('libhooked_dlsym.so')))


def dlsym_first():
    """The hook stands before us in the list: its dlsym is the one we call."""
    hook = path('libhooked_dlsym.so')
    env = base_environment()
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        plain = run([path('dlsym_calls')], dict(env, LD_PRELOAD=hook))
        both = run([path('dlsym_calls')], dict(env, LD_PRELOAD=hook + ' ' + LIBRARY, MMSCOPE_NOHELPER='1',
                                               MMSCOPE_OUT=folder + '/'))
        drop_sessions(folder)
        same(plain, both)


def closed():
    program('closed')


def vfork_exit():
    program('vfork_exit')


def exec_names():
    program('exec_names')


def forks():
    program('forks')


def threads_fork():
    program('threads_fork', statements=False)


def exits():
    for how in ('return', '_exit', '_Exit', 'quick_exit', 'abort'):
        program('exits', how, before=no_core)


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def filters():
    lines = program('filters', before=no_core)
    if not any('coverage 0x10 ' in line for line in lines if line.startswith('process')):
        raise Wrong('no process says that a filter was seen:\n' + '\n'.join(lines))


def kill_filter():
    """In a session of somebody else's, and starting by itself."""
    lines = program('kill_filter')
    if not any('begin exec' in line and 'coverage 0x10 ' in line for line in lines):
        raise Wrong('the image under the filter does not say so:\n' + '\n'.join(lines))
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        inside = ['/bin/sh', '-c', 'unset MMSCOPE_SESSION; exec ' + path('kill_filter')]
        env = base_environment(LD_PRELOAD=LIBRARY, MMSCOPE_BIN=path('collector'), MMSCOPE_OUT=folder + '/')
        same(run(inside, base_environment()), run(inside, env))
        time.sleep(0.3)
        drop_sessions(folder)


def undumpable():
    program('undumpable')


def raw_clone():
    program('raw_clone', options=['follow=none'])


def stolen():
    program('stolen')


def passed_on():
    own = base_environment(LD_PRELOAD=path('libplugin.so'))
    program('passed_on', 'all', env=own)
    program('passed_on', 'none', env=own, options=['follow=none'])


def follow_name():
    """Only images whose name fits are recorded: the first, and what fits."""
    lines = compare(['/bin/sh', '-c', '/bin/true; %s; /bin/true; :' % path('plain')], options=['follow=pl*n'],
                    statements=False)
    names = [line for line in lines if line.startswith('process')]
    if len([n for n in names if 'status 6' in n]) != 1 or len([n for n in names if 'begin spawn' in n or 'begin exec' in n]) != 1:
        raise Wrong('wrong processes:\n' + '\n'.join(names))


def waits():
    program('waits', before=no_core)


def state():
    program('state', statements=False)
    blocked = ['/bin/sh', '-c', "trap '' TERM INT HUP; umask 077; ulimit -S -c 0; exec " + path('state')]
    compare(blocked, statements=False)


def heap_edges():
    program('heap_edges')


def map_edges():
    program('map_edges')


def lowest():
    program('lowest', statements=False)


def modules():
    program('modules', path('libplugin.so'))


def tls():
    program('tls', path('libtls_plugin.so'))


def small_root(folder, *programs):
    """A folder that holds these programs and what the loader needs for them."""
    root = os.path.join(folder, 'root')
    for file in programs:
        os.makedirs(root, exist_ok=True)
        shutil.copy(file, os.path.join(root, os.path.basename(file)))
        for word in subprocess.run(['ldd', file], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
            if word.startswith('/'):
                os.makedirs(root + os.path.dirname(word), exist_ok=True)
                shutil.copy(word, root + word)
    return root


def chroot():
    """A root without our library: not a word of the loader, by either name."""
    need(os.geteuid() == 0, 'no right to change the root')
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        root = small_root(folder, path('plain'), '/bin/sh')
        argv = ['/usr/sbin/chroot', root, '/sh', '-c', '/plain; /plain; exit 8']
        os.makedirs(folder + '/lib/x86_64-linux-gnu')
        os.symlink(LIBRARY, folder + '/lib/x86_64-linux-gnu/libmmscope.so')
        env = base_environment()
        plain = run(argv, env)
        if plain != (8, 'plain\nplain\n', ''):
            raise Wrong('the plain run is no measure: %s' % (plain,))
        for library in (LIBRARY, folder + '/$LIB/libmmscope.so'):
            same(plain, run([path('record'), folder + '/dump', library, '--'] + argv, env))
            with open(folder + '/dump') as f:
                if sum(line.startswith('process') for line in f) != 1:
                    raise Wrong('chroot itself is to be recorded, and nothing else')


def listed():
    """ldd lists what a program loads without us, and the shell is recorded."""
    for command in ('ldd /bin/ls; echo $?', 'ldd -r /usr/bin/python3', 'LD_TRACE_LOADED_OBJECTS=1 /bin/true; /bin/true'):
        # Where libraries are mapped is chance: setarch keeps it the same.
        lines = compare(['/usr/bin/setarch', '-R', '/bin/bash', '-c', command], statements=False)
        if sum(line.startswith('process') for line in lines) < 2:
            raise Wrong('bash was not recorded:\n' + '\n'.join(lines))


def address_space():
    """From too small for anything to comfortable: the status stays the same."""
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        env = base_environment()
        ours = dict(env, LD_PRELOAD=LIBRARY, MMSCOPE_NOHELPER='1', MMSCOPE_OUT=folder + '/')
        for megabytes in list(range(7, 26)) + [32, 40, 48, 60, 200]:
            def limit(n=megabytes):
                resource.setrlimit(resource.RLIMIT_AS, (n << 20, n << 20))
            plain = run([path('plain')], env, before=limit)
            bare_run = run([path('plain')], ours, before=limit)
            # where not even the program fits the loader's words differ
            if plain[0] == 6 and plain != bare_run:
                raise Wrong('at %d MiB: %s and %s' % (megabytes, plain, bare_run))
        drop_sessions(folder)


def file_size():
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    env = base_environment()
    plain = run([path('plain')], env, before=limit)
    same(plain, run([path('plain')], dict(env, LD_PRELOAD=LIBRARY), before=limit))


def sanitizers():
    """Beside a sanitizer's runtime we are passive: nothing is joined."""
    found = 0
    for name in ('plain_asan', 'plain_tsan'):
        if not os.path.exists(path(name)):
            continue
        found += 1
        env = base_environment(ASAN_OPTIONS='verify_asan_link_order=0')
        lines = program(name, env=env, statements=False)
        if lines != ['heap none']:
            raise Wrong('%s was recorded:\n%s' % (name, '\n'.join(lines)))
    need(found, 'no sanitizer runtime here')


# ---- starting by itself ----

def drop_sessions(folder):
    """Sessions that were told to write below `folder`, and no others: the
    machine may be recording something else at this moment."""
    for name in os.listdir(SHM) if os.path.isdir(SHM) else ():
        file = os.path.join(SHM, name)
        try:
            with open(file, 'rb') as f:
                ours = folder.encode() + b'/' in f.read(8192)
            if ours:
                os.unlink(file)
        except FileNotFoundError:
            pass


def alone(argv, folder, before=None, **more):
    env = base_environment()
    env['PATH'] += ':guest-seen=' + folder
    env.update(LD_PRELOAD=LIBRARY, MMSCOPE_BIN=path('collector'), MMSCOPE_OUT=folder + '/', **more)
    return run(argv, env, before=before, cwd=folder)


def seen(folder, wait=True):
    """What the stand-in collectors wrote, once they have ended."""
    end = time.monotonic() + (5 if wait else 0.3)
    while True:
        texts = [open(os.path.join(folder, n)).read() for n in os.listdir(folder) if n.startswith('seen.')]
        if texts and all('target seen' in t for t in texts) or time.monotonic() > end:
            return texts
        time.sleep(0.02)


def bare(argv, before=None, want=True, plain_argv=None):
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        plain = run(plain_argv or argv, base_environment(), before=before)
        recorded = alone(argv, folder, before)
        same(plain, recorded)
        texts = seen(folder, want)
        if not want:
            drop_sessions(folder)
            if texts:
                raise Wrong('a collector was started:\n' + texts[0])
            return
        if len(texts) != 1:
            raise Wrong('%d collectors were started' % len(texts))
        wanted = ['descriptors 4', 'dispositions 0', 'own session 1', 'blocked 0', 'cwd /', 'environment 0',
                  'target seen to end 1']
        if texts[0].splitlines() != wanted:
            raise Wrong('the collector became\n%s\ninstead of\n%s' % (texts[0], '\n'.join(wanted)))


def helper():
    bare([path('plain')])


def helper_children():
    bare([path('children')])


def helper_state():
    bare([path('state')])
    bare([path('state')], before=lambda: (os.close(0), os.close(1)))


def helper_signals():
    import signal
    bare([path('plain')], before=lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)),
                                          [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15, 17)]))


def helper_subreaper():
    bare([path('subreaper')], before=lambda: ctypes.CDLL(None).prctl(36, 1, 0, 0, 0), want=False)


def helper_pid1():
    probe = subprocess.run(['unshare', '-pf', '/bin/true'], stderr=subprocess.DEVNULL).returncode
    need(probe == 0, 'no right to make a pid namespace')
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        plain = run(['unshare', '-pf', path('children')], base_environment())
        inner = 'LD_PRELOAD=%s MMSCOPE_BIN=%s MMSCOPE_OUT=%s/ exec %s' % (
            LIBRARY, path('collector'), folder, path('children'))
        env = base_environment()
        env['PATH'] += ':guest-seen=' + folder
        recorded = run(['unshare', '-pf', '/bin/sh', '-c', inner], env)
        same(plain, recorded)
        if seen(folder, False):
            raise Wrong('pid 1 started a collector')
        drop_sessions(folder)


def helper_processes():
    """No process more is allowed: the program runs, nobody complains."""
    need(os.geteuid() == 0, 'needs root to become somebody with a limit')
    # Who has processes already, as nobody has beside a web server, may not
    # even execute the program.
    user = 100000 + os.getpid()

    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.setgroups([])
        os.setgid(65534)
        os.setuid(user)
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        os.chmod(folder, 0o777)
        copy = os.path.join(folder, 'plain')
        shutil.copy(path('plain'), copy)
        library = os.path.join(folder, 'libmmscope.so')
        shutil.copy(LIBRARY, library)
        plain = run([copy], base_environment(), before=limit)
        env = base_environment(LD_PRELOAD=library, MMSCOPE_BIN='/bin/true', MMSCOPE_OUT=folder + '/')
        same(plain, run([copy], env, before=limit))
    shutil.rmtree('/dev/shm/mmscope.%d' % user, ignore_errors=True)


def no_shm():
    """/dev/shm read-only, full, absent: the session lies beside the database.

    Only new file systems are mounted, in a mount namespace of their own.
    Never remount here: that changes the file system itself, which the whole
    machine shares, and not this namespace's view of it."""
    private = ['unshare', '-m', '--propagation', 'private']
    script = {
        'read-only': 'mount -t tmpfs -o ro none /dev/shm',
        'full': 'mount -t tmpfs -o size=64k none /dev/shm',
        'of 1 MiB': 'mount -t tmpfs -o size=1m none /dev/shm',
        'absent': 'mount -t tmpfs none /dev',
    }
    probe = subprocess.run(private + ['/bin/true'], stderr=subprocess.DEVNULL).returncode
    need(probe == 0, 'no right to make a mount namespace')
    before = open('/proc/mounts').read()
    for what, command in script.items():
        with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
            env = base_environment(LIB=LIBRARY, OUT=folder + '/')
            plain = run(private + ['/bin/sh', '-c', command + '; exec ' + path('plain')], env)
            line = command + '; LD_PRELOAD=$LIB MMSCOPE_OUT=$OUT MMSCOPE_NOHELPER=1 exec ' + path('plain')
            same(plain, run(private + ['/bin/sh', '-c', line], env))
            files = [n for n in os.listdir(folder) if n.startswith('.mmscope.')]
            if len(files) != 1:
                raise Wrong('%s: %s in the output folder' % (what, os.listdir(folder)))
    if open('/proc/mounts').read() != before:
        raise Wrong('the mounts of the machine have changed')


def memory_limit():
    """A memory group of 16 MiB, and of 2 MiB: where the program fits, so does
    the recorded one; the small one it must survive as well."""
    with open('/proc/self/cgroup') as f:
        own = [line.strip().split(':')[2] for line in f if ':memory:' in line]
    group = '/sys/fs/cgroup/memory%s/mms-guest.%d' % (own[0] if own else '', os.getpid())
    try:
        os.mkdir(group)
    except OSError:
        need(False, 'no right to make a memory group (version 1)')
    try:
        for megabytes in (16, 2):
            with open(group + '/memory.limit_in_bytes', 'w') as f:
                f.write(str(megabytes << 20))

            def join():
                with open(group + '/cgroup.procs', 'w') as f:
                    f.write(str(os.getpid()))
            big = run(['/usr/bin/python3', '-c', 'b"x" * (64 << 20)'], base_environment(), before=join)
            need(big[0] == 128 + 9, 'the limit of a memory group is not in force here')
            plain = run([path('plain')], base_environment(), before=join)
            if plain[0] != 6:
                raise Wrong('the plain run is no measure at %d MiB: %s' % (megabytes, plain))
            with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
                both = run([path('record'), folder + '/dump', LIBRARY, 'cells=8', '--', path('plain')], base_environment(),
                           before=join)
                same(plain, both)
    finally:
        for _ in range(50):
            try:
                os.rmdir(group)
                break
            except OSError:
                time.sleep(0.02)


def pids_limit():
    """A group that has room for one process: no collector of our own, and no
    word about it."""
    with open('/proc/self/cgroup') as f:
        own = [line.strip().split(':')[2] for line in f if ':pids:' in line]
    group = '/sys/fs/cgroup/pids%s/mms-guest.%d' % (own[0] if own else '', os.getpid())
    try:
        os.mkdir(group)
    except OSError:
        need(False, 'no right to make a group of processes (version 1)')

    def join():
        with open(group + '/cgroup.procs', 'w') as f:
            f.write(str(os.getpid()))
    try:
        with open(group + '/pids.max', 'w') as f:
            f.write('1')
        forks = run(['/usr/bin/python3', '-c', 'import os; os.fork()'], base_environment(), before=join)
        need(forks[0] == 1, 'the limit of a group of processes is not in force here')
        bare([path('plain')], before=join, want=False)
        with open(group + '/pids.max', 'w') as f:
            f.write('2') # the recorder and the program
        lines = compare([path('plain')], before=join, statements=False)
        if not any('status 6' in line for line in lines):
            raise Wrong('not recorded:\n' + '\n'.join(lines))
    finally:
        for _ in range(50):
            try:
                os.rmdir(group)
                break
            except OSError:
                time.sleep(0.02)


def recorded_by_all(argv, folder):
    """The whole of mmscope: plain and recorded are the same; the database."""
    db = os.path.join(folder, 'x.db')
    plain = run(argv, base_environment())
    same(plain, run([MMSCOPE, 'run', '--wait', '-o', db, '--'] + argv, base_environment()))
    return plain, db


def pid_reuse():
    """Two lives under one pid are two processes, each with its own books."""
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        plain, db = recorded_by_all([path('pid_reuse')], folder)
        need(plain[0] != 77, 'pids cannot be asked for here')
        if plain != (5, '31 32 1\n', ''):
            raise Wrong('the plain run is no measure: %s' % (plain,))
        found = sqlite3.connect(db).execute(
            'SELECT pid, parent_id, begin_how, end_how, status, alloc_blocks FROM process ORDER BY id').fetchall()
        pids = {row[0] for row in found[1:]}
        lives = [row[1:] for row in found[1:]]
        if len(pids) != 1 or lives != [(1, 'fork', 'exit', 31, 10), (1, 'fork', 'exit', 32, 20)]:
            raise Wrong('wrong processes: %s' % found)


def not_leaks():
    """What loader and C++ library keep is told apart from what is forgotten."""
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        plain, db = recorded_by_all([path('not_leaks'), path('libtls_plugin.so')], folder)
        if plain != (3, 'a pool a plugin\n', ''):
            raise Wrong('the plain run is no measure: %s' % (plain,))
        answer = json.loads(run([MMSCOPE, 'leaks', '--format', 'json', db], base_environment())[1])
        definite = [(s['bytes'], s['own']) for s in answer['sites'] if s['verdict'] == 'definite']
        pool = [(s['own'], s['suppressed_by']) for s in answer['sites'] if s['bytes'] == 72704]
        counted = [s for s in answer['sites'] if s['own'] == 'target' and not s['suppressed_by']]
        loader = [s for s in answer['sites'] if s['own'] == 'loader']
        own = sum(s['bytes'] for s in answer['sites']) - 4321
        if definite != [(4321, 'target')] or pool != [('libstdc++', None)] or len(counted) != 1 or not loader or \
                answer['totals']['apart']['bytes'] != own:
            raise Wrong(json.dumps(answer['sites'], indent=1))


def leaves_nothing():
    """The real collector: a second after the end there is neither it, nor its
    session, nor anything beside the database."""
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        db = os.path.join(folder, 'x.db')
        env = base_environment(LD_PRELOAD=LIBRARY, MMSCOPE_BIN=MMSCOPE, MMSCOPE_OUT=db)
        same(run([path('plain')], base_environment()), run([path('plain')], env))
        time.sleep(1)
        if os.listdir(folder) != ['x.db']:
            raise Wrong('after a second the folder holds %s' % os.listdir(folder))
        for name in os.listdir(SHM):
            try:
                with open(os.path.join(SHM, name), 'rb') as f:
                    if db.encode() in f.read(8192):
                        raise Wrong('the session %s is left' % name)
            except FileNotFoundError:
                pass
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/maps' % pid) as f:
                    if db in f.read():
                        raise Wrong('process %s is left' % pid)
            except OSError:
                pass


def threads_fork_soak():
    """By hand: the hang of another profiler came once in 6,000 forks."""
    for _ in range(15):
        threads_fork()


CASES = {f.__name__: f for f in (
    constructors, dlsym_calls, dlsym_first, closed, vfork_exit, exec_names, forks, threads_fork, exits, filters,
    passed_on, follow_name, state, modules, address_space, file_size, sanitizers, helper, helper_children,
    helper_state, helper_signals, helper_subreaper, helper_pid1, helper_processes, no_shm,
    heap_edges, map_edges, lowest, kill_filter, undumpable, stolen, raw_clone, memory_limit, leaves_nothing,
    tls, chroot, listed, pids_limit, pid_reuse, not_leaks, waits, threads_fork_soak)}


def main():
    name = sys.argv[1]
    try:
        CASES[name]()
    except Wrong as e:
        print('%s: %s' % (name, e))
        return 1
    print('%s: ok' % name)
    return 0


sys.exit(main())
