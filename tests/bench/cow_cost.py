"""cow_cost.py - what watching copy-on-write costs, in CPU time of the program.

    cow_cost.py

Forks of a process with 20 and 200 MiB, plain, with --cow off and with --cow
auto in turn: the CPU time that the parent spends in fork, the least and the
median of all; from the recordings what protecting a page costs, beside the kernel's own
step (PAGEMAP_SCAN that protects) alone in a child of the same program.  Then a shell script
with 500 forks that execute, with --cow off and auto: user and system time of
the shell and its children, the median of ten pairs.
"""
import os
import resource
import sqlite3
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import mms

ROUNDS = 5
FORKS = '''
import mmap, os, sys, time
mib = int(sys.argv[1])
block = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(0, mib << 20, 4096): block[i] = 1
for i in range(20):
    begin = time.thread_time_ns()
    pid = os.fork()
    if pid == 0: os._exit(0)
    print(time.thread_time_ns() - begin)
    os.waitpid(pid, 0)
'''
# struct pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages, and the masks
# of mirror/cow_scan.c.
FLOOR = '''
import ctypes, mmap, os, struct, sys, time
size = int(sys.argv[1]) << 20
libc = ctypes.CDLL(None, use_errno=True)
block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(0, size, 4096): block[i] = 1
at, vec = ctypes.addressof(ctypes.c_char.from_buffer(block)), ctypes.create_string_buffer(24 * 512)
def ask(fd, request, *words):
    arg = ctypes.create_string_buffer(struct.pack('%dQ' % len(words), *words))
    begin = time.thread_time_ns()
    if libc.ioctl(fd, ctypes.c_ulong(request), arg) < 0: raise OSError(ctypes.get_errno(), hex(request))
    return time.thread_time_ns() - begin
for i in range(20):
    pid = os.fork()
    if pid == 0:
        fd = libc.syscall(323, os.O_CLOEXEC | 1)
        ask(fd, 0xc018aa3f, 0xaa, 1 << 15 | 1 << 13, 0)
        ask(fd, 0xc020aa00, at, size, 2, 0)
        ns = ask(os.open('/proc/self/pagemap', os.O_RDONLY), 0xc0606610, 96, 1, at, at + size, 0, ctypes.addressof(vec), 512, 0,
                 1 << 5 | 1 << 8, 1 | 1 << 5 | 1 << 8, 1 << 3 | 1 << 4, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6)
        os.write(1, b'%d\\n' % ns)
        os._exit(0)
    os.waitpid(pid, 0)
'''
SCRIPT = 'i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done'


def command(db, cow, argv):
    return argv if cow == 'plain' else [mms.MMSCOPE, 'run', '--wait', '--cow', cow, '-o', db, '--', *argv]


def forks(work, mib):
    seen = {'plain': [], 'off': [], 'auto': []}
    pages = []
    for i in range(ROUNDS):
        for cow in seen:
            db = work.path('forks-%d-%d-%s.db' % (mib, i, cow))
            out = subprocess.run(command(db, cow, ['/usr/bin/python3', '-c', FORKS, str(mib)]),
                                 env=mms.environment(), stdout=subprocess.PIPE, check=True, text=True).stdout
            seen[cow] += [int(x) / 1000 for x in out.split()]
            if cow == 'auto':
                pages += [(p / n, c / n) for p, c, n in sqlite3.connect(db).execute(
                    "SELECT arm_parent_ns, arm_child_ns, pages_shared * watched_share FROM fork WHERE method = 'userfaultfd'")]
    for cow, us in seen.items():
        print('%d MiB, %s: fork takes %.0f us of CPU at least, %.0f in the median' % (mib, cow, min(us), statistics.median(us)))
    floor = [int(x) / (mib << 8) for _ in range(ROUNDS) for x in subprocess.run(
        ['/usr/bin/python3', '-c', FLOOR, str(mib)], stdout=subprocess.PIPE, check=True, text=True).stdout.split()]
    print('%d MiB: the kernel alone takes %.0f ns a page in a child at least, %.0f in the median' % (
        mib, min(floor), statistics.median(floor)))
    for side, name in enumerate(('parent', 'child')):
        ns = [p[side] for p in pages]
        print('%d MiB: protecting costs the %s %.0f ns a page at least, %.0f in the median' % (
            mib, name, min(ns), statistics.median(ns)))


def cpu(argv):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=mms.environment(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def script(work):
    ratio, auto = [], []
    for i in range(10):
        one = {cow: cpu(command(work.path('script-%d-%s.db' % (i, cow)), cow, ['/bin/bash', '-c', SCRIPT]))
               for cow in (('off', 'auto'), ('auto', 'off'))[i % 2]}
        ratio.append(one['auto'] / one['off'])
        auto.append(one['auto'])
    print('500 forks of bash that execute: %.2f s of CPU, %.3f times --cow off (median; %.3f to %.3f)' % (
        statistics.median(auto), statistics.median(ratio), min(ratio), max(ratio)))


def main():
    with mms.Work('cow-cost') as work:
        forks(work, 20)
        forks(work, 200)
        script(work)


main()
