"""cow_told.py - copy-on-write of real programs against what they say themselves.

    cow_told.py sites        a program that knows its pages by site
    cow_told.py python [N]   A9: lists that a child only reads; a child's collector
                             pass after gc.freeze (N lists, default 400,000)
    cow_told.py same [N]     A9: the same with a witness, and that what was only read
                             ends identical
    cow_told.py redis [MiB]  A10: BGSAVE under load against redis's own figure

Skipped where the machine offers no method that tells pages apart, and only there.
"""
import ctypes
import os
import re
import subprocess
import sys
import time

import mms
from servers import until

USERFAULTFD, USER_MODE_ONLY = 323, 1
SET_METHODS = ('userfaultfd', 'soft-dirty', 'witness', 'pfn')


def record(work, argv, *options, **more):
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', *argv], env=mms.environment(),
                       cwd=work.fresh(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, **more)
    if r.returncode or r.stderr:
        raise AssertionError('%s ended with %d: %s' % (argv[0], r.returncode, r.stderr))
    return db, r.stdout


def machine_tells_pages():
    fd = ctypes.CDLL(None).syscall(USERFAULTFD, USER_MODE_ONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0 and tuple(map(int, re.findall(r'\d+', os.uname().release)[:2])) >= (6, 7)


def only_fork(answer, faults):
    """The one fork, measured page by page, or the test is skipped."""
    forks = answer['forks']
    faults.equal(len(forks), 1, 'forks')
    fork = forks[0]
    if fork['method'] not in SET_METHODS:
        if machine_tells_pages():
            raise AssertionError('pages are not told apart: %s (%s)' % (fork['method'], fork['why']))
        mms.skip('no method that tells pages apart: %s (%s)' % (fork['method'], fork['why']))
    return fork


def function_of(site):
    names = [f['function'] for f in site['stack'] if f['function'] and f['function'].startswith('make_')]
    return names[0][len('make_'):] if names else None


def check_sites(work, faults):
    db, told = record(work, [os.path.join(mms.PROGRAMS, 'cow_sites')])
    fork = only_fork(mms.ask('cow', db), faults)
    faults.equal(fork['exact'], True, 'exact')
    sites = {function_of(s): s for s in fork['sites']}
    for line in told.splitlines():
        name, *numbers = line.split()
        if name == 'status':
            faults.equal(numbers, ['0'], 'status of the child')
            continue
        shared, parent, child, both, blocks, size = map(int, numbers)
        s = sites[name]
        faults.equal((s['pages_shared'], s['parent_broke'], s['child_broke'], s['both_broke'], s['blocks'], s['bytes']),
                     (shared, parent, child, both, blocks, size), name)
    for key in ('parent_broke', 'child_broke'):
        if fork[key] < max(s[key] for s in fork['sites']):
            faults.add('the fork has fewer pages than one of its sites')
    text = mms.verb('cow', db)[1]
    if 'make_counted' not in text or [line for line in text.splitlines() if len(line) > 80]:
        faults.add('the text names no site, or is wide:\n' + text)


PYTHON = '''
import gc, os, sys
data = [[i + 0.5] for i in range(%(n)d)]
gc.collect()
what = %(what)r
if what == 'collect':
    gc.freeze()
pid = os.fork()
if pid == 0:
    if what == 'collect':
        gc.collect()
    elif what == 'read':
        for item in data:
            item[0]
    with open('/proc/self/smaps_rollup') as f:
        dirty = [line for line in f if line.startswith('Private_Dirty')]
    os.write(1, dirty[0].encode())
    os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
'''


def python_fork(work, faults, n, what, *options):
    db, told = record(work, ['/usr/bin/python3', '-c', PYTHON % {'n': n, 'what': what}], *options)
    fork = only_fork(mms.ask('cow', db), faults)
    print('%s: %s of %s pages broken, %s new, Private_Dirty %d pages, by %s' % (
        what, fork['child_broke'], fork['pages_shared'], fork['new_child'],
        int(told.split()[1]) // 4, fork['method']))
    return fork, int(told.split()[1]) // 4


def check_same(work, faults, n):
    fork = check_python(work, faults, n, '--cow', 'witness')
    broken = fork['parent_broke'] + fork['child_broke'] - fork['both_broke']
    print('%d of %d broken pages identical, %d with small counts' % (fork['identical_pages'], broken, fork['counter_pages']))
    faults.equal(fork['method'], 'witness', 'method')
    if fork['identical_pages'] < 0.95 * broken:
        faults.add('%d of %d broken pages are identical' % (fork['identical_pages'], broken))
    faults.equal([a['rule'] for a in fork['advice']], ['identical'], 'advice')


def check_python(work, faults, n, *options):
    fork, dirty = python_fork(work, faults, n, 'read', *options)
    mine = fork['child_broke'] + fork['new_child']
    # A mapping of the measuring itself is private too; 40 pages however small the program is.
    if abs(mine - dirty) > max(dirty / 100, 40):
        faults.add('%d pages broken or new, the kernel says %d private dirty pages' % (mine, dirty))
    nothing, _ = python_fork(work, faults, n, 'nothing', *options)
    frozen, _ = python_fork(work, faults, n, 'collect', *options)
    if frozen['child_broke'] - nothing['child_broke'] >= 0.01 * frozen['pages_shared']:
        faults.add('after gc.freeze the collector broke %d of %d pages, doing nothing %d' % (
            frozen['child_broke'], frozen['pages_shared'], nothing['child_broke']))
    return fork


def check_redis(work, faults, mib):
    cwd, db = work.fresh(), work.db('run')
    path = os.path.join(cwd, 's')
    cli = ['/usr/bin/redis-cli', '-s', path]

    def ask(*words):
        return subprocess.run([*cli, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    keys = mib * 1000 # small values: redis gives bigger ones back in the child
    # Saving is slowed down to some seconds (-N: a nap at one key in N), so that it goes on under load.
    server = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', '/usr/bin/redis-server', '--port', '0', '--unixsocket', path,
                               '--save', '', '--appendonly', 'no', '--dir', cwd, '--rdb-key-save-delay', str(-max(1, keys // 40000))], env=mms.environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, start_new_session=True)
    # The same keys again: that is what breaks pages.
    bench = ['/usr/bin/redis-benchmark', '-s', path, '-q', '-c', '4', '-P', '16', '-d', '1000', '-r', str(keys), '-t', 'set']
    if not until(lambda: ask('ping') == 'PONG\n'):
        faults.add('redis does not answer')
    subprocess.run([*bench, '-n', str(3 * keys)], stdout=subprocess.DEVNULL, check=True)
    ask('bgsave')
    load = subprocess.Popen([*bench, '-n', '100000000'], stdout=subprocess.DEVNULL)
    time.sleep(1)
    load.kill()
    load.wait()
    if not until(lambda: 'rdb_bgsave_in_progress:0' in ask('info', 'persistence'), 120):
        faults.add('BGSAVE does not end')
    persistence = ask('info', 'persistence')
    ask('shutdown', 'nosave')
    log = server.communicate(timeout=60)[0]
    theirs = int(re.search(r'rdb_last_cow_size:(\d+)', persistence).group(1))
    line = re.findall(r'Fork CoW for RDB: current (\d+) MB', log)
    fork = only_fork(mms.ask('cow', db), faults)
    union = fork['parent_broke'] + fork['child_broke'] - fork['both_broke']
    ours = (union + fork['new_child']) * fork['page_size']
    print('redis says %.1f MiB (log: %s MB), parent %d, child %d, both %d, new in child %d pages: %.1f MiB, by %s' % (
        theirs / 2 ** 20, line[-1:] and line[-1], fork['parent_broke'], fork['child_broke'], fork['both_broke'], fork['new_child'],
        ours / 2 ** 20, fork['method']))
    if abs(ours - theirs) > 0.05 * theirs:
        faults.add('redis says %d bytes, mmscope %d' % (theirs, ours))
    names = [f['function'] for s in fork['sites'] for f in s['stack'] if 'redis' in (f['module'] or '')]
    if not [n for n in names if n]:
        faults.add('no redis function is named')


def main():
    what, *numbers = sys.argv[1:]
    faults = mms.Faults()
    with mms.Work('cow') as work:
        if what == 'sites':
            check_sites(work, faults)
        elif what in ('python', 'same'):
            mms.need('/usr/bin/python3')
            check = check_python if what == 'python' else check_same
            check(work, faults, int(numbers[0]) if numbers else 400000)
        else:
            mms.need('redis-server', 'redis-benchmark')
            check_redis(work, faults, int(numbers[0]) if numbers else 500)
    return faults.done('cow ' + what)


if __name__ == '__main__':
    sys.exit(main())
