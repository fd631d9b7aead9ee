"""cow_rungs.py - the rungs of copy-on-write below userfaultfd, against programs
that know what they wrote.

    cow_rungs.py witness [FIRST [SEEDS]]  A5 with --cow witness, as nobody under a
                                  filter that denies what Docker's denies
    cow_rungs.py bytes [FIRST [SEEDS]]    A8: bytes and classes of what changed
    cow_rungs.py soft-dirty       the bits of a kernel that keeps them, without userfaultfd
    cow_rungs.py pfn              page frames, read by root, without either
    cow_rungs.py totals [FIRST [SEEDS]]   A5 on the last rung: counts of page faults, in a container
    cow_rungs.py swap-witness, swap-pfn   pages in swap at the fork, and written ones that go there
    cow_rungs.py twice            two threads fork at the same time
    cow_rungs.py prefork          a witness for each child of one parent
    cow_rungs.py killed           the child is killed: up to the last look
    cow_rungs.py unseen           no wait, signal or descriptor tells of the witness
    cow_rungs.py ends             no witness is left, however the program ends
    cow_rungs.py joined           pages that the kernel makes huge again afterwards
    cow_rungs.py none             where there can be no witness another rung is taken
"""
import ctypes
import mmap
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import contained
import cow
import mms
import swapping
from cow import check

WITNESS = ('--cow', 'witness')


def run(work, *command, options=WITNESS, status=0, **more):
    """Its output, and the open database."""
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', *command], env=mms.environment(),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600, **more)
    check('status and stderr', (r.returncode, r.stderr) == (status, ''), (r.returncode, r.stderr))
    return r.stdout, sqlite3.connect(db)


def need_nobody(work):
    if os.getuid() != 0:
        mms.skip('only root can become nobody')
    os.chmod(work.top, 0o777)


def check_sets(out, db, methods=('witness',)):
    truth, forks = cow.truth_of(out), cow.forks_of(db, lower=True)
    check('forks', len(forks) == len(truth), len(forks))
    for f, t in zip(forks, truth):
        check('method', f['method'] in methods, tuple(f))
        bad = cow.wrong(t, cow.areas_of(db, f, t))
        check('areas of fork %d' % f['id'], not bad, (f['exact'], f['why'], bad[:2]))
    return forks


def witness(work, first=1, seeds=1):
    need_nobody(work)
    for seed in range(first, first + seeds):
        for pages in ('4k', 'huge'):
            out, db = run(work, cow.PAIR, str(seed), pages, preexec_fn=contained.become)
            f, = check_sets(out, db)
            # khugepaged may come by and join the huge areas again; the sets above are right all the same.
            joined = pages == 'huge' and 'The kernel joined pages' in (f['why'] or '')
            check('exact', joined or (f['exact'] == tells_zero_page() and f['error_pages'] < 400), tuple(f))
            check('why not', f['exact'] or joined or 'does not tell the zero page' in f['why'], tuple(f))
            classes = [f[k] for k in ('identical_pages', 'counter_pages', 'pointer_pages', 'bulk_pages')]
            check('a class for each broken page that is still there', 0 < sum(classes) <=
                  f['parent_broke'] + f['child_broke'] - f['both_broke'], classes)
            print('seed %d %s: %d pages, error at most %d, the witness held up the parent for %.1f ms' % (
                seed, pages, f['pages_shared'], f['error_pages'], f['arm_parent_ns'] / 1e6))


def bytes_(work, first=1, seeds=1):
    for seed in range(first, first + seeds):
        out, db = run(work, os.path.join(mms.PROGRAMS, 'cow_bytes'), str(seed))
        f, = cow.forks_of(db)
        area, blocks = (line.split()[1:] for line in out.splitlines())
        row = db.execute('SELECT pages_shared, parent_broke, child_broke, both_broke, bytes_changed, identical_pages,'
                         ' counter_pages FROM cow_vma WHERE fork_id = ? AND start = ?', (f['id'], int(area[0], 16))).fetchone()
        check('the area', row and tuple(row) == tuple(map(int, area[1:])), (row and tuple(row), area))
        rows = db.execute("SELECT c.bytes_changed, c.false_blocks FROM cow_site c WHERE fork_id = ? AND blocks = 4000",
                          (f['id'],)).fetchall()
        check('the blocks', [tuple(r) for r in rows] == [tuple(map(int, blocks))], ([tuple(r) for r in rows], blocks))
        check('the whole', f['bytes_changed'] >= int(area[5]) + int(blocks[0]), f['bytes_changed'])
        parts = db.execute('SELECT sum(bytes_changed), sum(identical_pages), sum(counter_pages) FROM cow_vma').fetchone()
        check('areas add up', tuple(parts) == (f['bytes_changed'], f['identical_pages'], f['counter_pages']), tuple(parts))
        print('seed %d: %s bytes of the area, %s of the blocks' % (seed, area[5], blocks[0]))


def entry_of(address):
    with open('/proc/self/pagemap', 'rb') as f:
        f.seek(address // 4096 * 8)
        return int.from_bytes(f.read(8), 'little')


def machine():
    """Does the kernel keep soft-dirty bits, and may we read page frames?"""
    page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[0] = 1
    entry = entry_of(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return bool(entry >> 55 & 1), bool(entry & (1 << 55) - 1)


def tells_zero_page():
    """By PAGEMAP_SCAN, of Linux 6.7."""
    return tuple(map(int, re.match(r'(\d+)\.(\d+)', os.uname().release).groups())) >= (6, 7)


def soft_dirty(work):
    if not machine()[0]:
        mms.skip('this kernel keeps no soft-dirty bits')
    for arguments in (('3', '4k'), ('5', '4k', '4')):
        out, db = run(work, cow.PAIR, *arguments, options=(), preexec_fn=contained.without_userfaultfd)
        for f in check_sets(out, db, ('soft-dirty',)):
            check('why', f['exact'] == 0 and 'No userfaultfd: Operation not permitted.' in f['why'], tuple(f))


def pfn(work):
    soft, frames = machine()
    if soft or not frames:
        mms.skip('this kernel keeps soft-dirty bits' if soft else 'only who may administer the machine sees page frames')
    for seed, children in (('3', 1), ('5', 4)):
        out, db = run(work, cow.PAIR, seed, 'kept', str(children), options=(), preexec_fn=contained.without_userfaultfd)
        truth, forks = cow.truth_of(out), cow.forks_of(db, lower=True)
        check('forks', len(forks) == len(truth) == children, len(forks))
        for f, t in zip(forks, truth):
            check('method', (f['method'], f['exact']) == ('pfn', 0), tuple(f))
            for word in ('left the page alone', 'No userfaultfd: Operation not permitted.', 'bits: this kernel keeps none.'):
                check('why: ' + word, word in f['why'], f['why'])
            seen = cow.areas_of(db, f, t)
            # Of a page that both wrote the first to write made a copy, and the other was left alone with it.
            first = {'s': 's', 'p': 'p', 'c': 'c', 'b': 'pc' if children == 1 else 'pcb'}
            bad = [(hex(a), i) for a, x in t.items() for i in range(len(x[4])) if seen[a][4][i] not in first[x[4][i]]]
            check('pages', not bad, (len(bad), bad[:5]))
            if children == 1:
                copied = sum(len(x[4]) - x[4].count('s') for x in t.values())
                check('copies', f['copies'] == f['parent_broke'] + f['child_broke'] >= copied, tuple(f))
            print('fork %d: %d copies, held up for %.1f ms' % (f['id'], f['copies'], f['arm_parent_ns'] / 1e6))


def totals(work, first=1, seeds=1):
    """The program counts its faults by itself: from its return from fork to just before it ends."""
    if machine()[0]:
        mms.skip('this kernel keeps soft-dirty bits, which come before the totals')
    need_nobody(work)
    for seed in range(first, first + seeds):
        for pages in ('kept', '4k', 'huge'):
            out, db = run(work, cow.PAIR, str(seed), pages, '1', 'faults', options=(), preexec_fn=contained.become)
            parent, child = map(int, out.split('faults ')[1].split())
            truth, (f,) = cow.truth_of(out)[0], db_forks(db)
            check('method', (f['method'], f['exact']) == ('totals', 0) and f['why'], tuple(f))
            check('why not better', 'No userfaultfd: ' in f['why'] and 'No soft-dirty bits: ' in f['why'], f['why'])
            check('sets are not known', f['child_broke'] is None and f['parent_broke'] is None, tuple(f))
            wrote = [sum(t[i] for t in truth.values()) for i in (1, 2)]
            plain = [int(x) for x in subprocess.run([cow.PAIR, str(seed), pages, '1', 'faults'], stdout=subprocess.PIPE, check=True,
                                                    text=True).stdout.split('faults ')[1].split()]
            check('parent: its own count', f['parent_faults'] == parent, (f['parent_faults'], parent))
            check('child: its own count', f['child_faults'] == child, (f['child_faults'], child))
            # Beside the pages: its code and libc's, and the stack; ours only where a child maps and unmaps.
            check('pages written', all(0 <= n - k < 64 for n, k in zip(plain, wrote)), (plain, wrote))
            check('unwatched', abs(parent - plain[0]) < 8 and abs(child - plain[1]) < (8 if pages == 'kept' else 1000),
                  (parent, child, plain))
            print('seed %d %s: parent %d, child %d faults; unwatched %d and %d; pages written %d and %d' % (
                seed, pages, f['parent_faults'], f['child_faults'], *plain, *wrote))


def swap(work, options, letters, **more):
    """letters: what is told of a page that nobody wrote, the parent, the child, and both."""
    program = cow.SWAP.replace('again = out(0, n)', 'again = out(768, 256)')
    with swapping.swap_file():
        out, db = run(work, '/usr/bin/python3', '-c', program, options=options, **more)
    start, at_fork, *later = map(int, out.split())
    if at_fork != 512 or not all(n > at_fork // 4 for n in later):
        mms.skip('the kernel moved too little out: %s' % [at_fork, *later])
    f, = db_forks(db)
    row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?', (f['id'], start, start)).fetchone()
    check('the area', row, tuple(f))
    at = (start - row[0]) // 4096
    seen = cow.letters(row[2], (row[1] - row[0]) // 4096)[at:at + 1024]
    may = [letters[(i % 3 == 0) + 2 * (i % 4 == 0)] for i in range(1024)]
    check('in swap at the fork: not shared', seen[:512] == '.' * 512, seen[:512])
    check('never in swap', all(x in y for x, y in zip(seen[512:768], may[512:768])), seen[512:768])
    lost = sum(x not in y for x, y in zip(seen[768:], may[768:]))
    check('in swap at the end', all(x in y + 's' for x, y in zip(seen[768:], may[768:])), seen[768:])
    check('it says so', '512 pages were in swap at the fork' in f['why'] and f['exact'] == 0, tuple(f))
    check('the error is known', 0 < lost <= f['error_pages'], (lost, f['error_pages']))
    print('%s: %d of the pages written later were in swap at the end, error at most %d' % (f['method'], lost, f['error_pages']))
    return f


def swap_witness(work):
    f = swap(work, WITNESS, 'spcb')
    check('method', f['method'] == 'witness', tuple(f))


def swap_pfn(work):
    soft, frames = machine()
    if soft or not frames:
        mms.skip('this kernel keeps soft-dirty bits' if soft else 'only who may administer the machine sees page frames')
    # Of a page that both wrote the first to write made a copy, and the other was left alone with
    # it; where the kernel still held the page (it was on its way to swap), that one copied, too.
    f = swap(work, (), ('s', 'p', 'c', 'pcb'), preexec_fn=contained.without_userfaultfd)
    check('method', f['method'] == 'pfn', tuple(f))


def twice(work):
    """Two threads fork at the same time: each fork is right, or says why not, and none is held up for long."""
    program = os.path.join(mms.PROGRAMS, 'cow_twice')
    for name, options, more in (('userfaultfd', (), {}), ('witness', WITNESS, {}),
                                ('pfn', (), {'preexec_fn': contained.without_userfaultfd})):
        if name == 'pfn' and (machine()[0] or not machine()[1]):
            continue
        out, db = run(work, program, '10', '4096', options=options, **more)
        start, longest = int(out.split()[1], 16), int(out.split()[3])
        forks = db_forks(db)
        check('forks', len(forks) == 20, len(forks))
        said = 0
        for f in forks:
            if f['method'] == 'totals':
                check('why', 'another thread forked at the same time' in f['why'], tuple(f))
                continue
            check('each child said its last word, and was compared', 'last' not in (f['why'] or ''), tuple(f))
            if f['method'] == 'userfaultfd' and f['exact'] == 0 and 'could not be watched' in f['why']:
                said += 1 # a descriptor that was closed lives on in the child that was just made
                continue
            row = db.execute('SELECT end, pages_shared, child_broke FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?',
                             (f['id'], start, start)).fetchone()
            check('the area', row and row[1] >= 4096 and 100 <= row[2] < 110, (row and tuple(row), tuple(f)))
        methods = [f['method'] for f in forks]
        check('most are watched', len(methods) - methods.count('totals') >= 5, methods)
        check('few are not exact', said <= 4, [tuple(f) for f in forks])
        check('none waits for another', longest < 1500000000, longest)
        print('%s: %d of 20 watched, the longest took %.0f ms' % (name, 20 - methods.count('totals'), longest / 1e6))


def db_forks(db):
    db.row_factory = sqlite3.Row
    return db.execute('SELECT * FROM fork ORDER BY t_ns').fetchall()


def prefork(work):
    out, db = run(work, cow.PAIR, '5', '4k', '4')
    check_sets(out, db)


def killed(work):
    out, db = cow.record_killed(work, *WITNESS)
    f, = check_sets(out, db)
    check('it says so', f['exact'] == 0 and 'last look' in f['why'], tuple(f))
    check('nobody compared', f['bytes_changed'] is None and f['identical_pages'] is None, tuple(f))


UNSEEN = '''
import ctypes, os, signal, sys
block = bytearray(8 << 20)
got = []
signal.signal(signal.SIGCHLD, lambda *a: got.append(1))
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(r)
    block[4096] = 1
    os.read(os.open("/dev/zero", os.O_RDONLY), 1)
    os._exit(7)
os.close(w)
assert os.read(r, 1) == b"", "nobody else holds the pipe"
libc = ctypes.CDLL(None, use_errno=True)
status = ctypes.c_int()
assert libc.waitpid(-1, ctypes.byref(status), 0x40000000) == pid and status.value == 7 << 8
assert libc.waitpid(-1, ctypes.byref(status), 0x40000000) == -1 and ctypes.get_errno() == 10
assert len(got) == 1, got
fds = [n for n in os.listdir("/proc/self/fd") if int(n) > 2 and int(n) < 1000 and int(n) != r]
assert len(fds) <= 1, fds
print(os.getpgid(0))
'''


def unseen(work):
    run(work, '/usr/bin/python3', '-c', UNSEEN)


def witnesses():
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/comm' % pid) as f:
                if f.read() == 'mms-witness\n':
                    found.append(int(pid))
        except OSError:
            continue
    return found


# Whose memory it is: the name of an area that the program made.
FORKER = '''
import os, sys, time
mark = open(sys.argv[1], "w+b")
block = bytearray(8 << 20)
pid = os.fork()
if pid == 0:
    time.sleep(float(sys.argv[2]))
    os._exit(0)
print("there", flush=True)
time.sleep(600)
'''


def mine(mark, patience=0.0):
    """Witnesses of a program: its command line is theirs, too."""
    end = time.monotonic() + patience
    while True:
        found = []
        for pid in witnesses():
            try:
                with open('/proc/%d/cmdline' % pid) as f:
                    found += [pid] if mark in f.read() else []
            except OSError:
                pass
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def ends(work):
    for what in ('child', 'killed', 'collector'):
        mark = work.path('mark-' + what)
        p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', work.db('run'), *WITNESS, '--', '/usr/bin/python3', '-c', FORKER, mark,
                              '0.1' if what == 'child' else '600'], env=mms.environment(), stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        if what != 'child':
            check('there is one', len(mine(mark)) == 1, what)
        if what == 'killed':
            p.kill()
        if what == 'collector':
            os.kill(collector_of(p.pid), signal.SIGKILL)
        left = mine(mark, 20)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if what != 'killed':
            p.kill()
        p.wait()
        for pid in others(mark):
            os.kill(pid, signal.SIGKILL)
        check('none is left: ' + what, not left, left)


def others(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % pid) as f:
                found += [int(pid)] if mark in f.read().split('\0') and int(pid) != os.getpid() else []
        except OSError:
            pass
    return found


def collector_of(pid):
    """Who maps the same session file and is `mmscope collect`."""
    with open('/proc/%d/maps' % pid) as f:
        session = next(line.split()[-1] for line in f if '/mmscope.' in line)
    for other in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % other) as f:
                words = f.read().split('\0')
        except OSError:
            continue
        if 'collect' in words and session in words:
            return int(other)
    raise AssertionError('no collector of ' + session)


# Piece 0: the parent writes, piece 1: the child, piece 2: the parent; 0 and 1 are made huge again.
JOINED = '''
import ctypes, mmap, os
c, n, big = ctypes.CDLL(None), 4 * 512, 2 << 20
m = mmap.mmap(-1, (n << 12) + big, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
at = (ctypes.addressof(ctypes.c_char.from_buffer(m)) + big - 1) // big * big
advise = lambda start, length, what: c.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), what)
def write(piece):
    for i in range(100): ctypes.memset(at + piece * big + (i << 13), 2, 1)
def is_huge(piece):
    with open('/proc/self/pagemap', 'rb') as f:
        f.seek((at + piece * big) >> 12 << 3)
        return all(entry >> 56 & 1 for entry in memoryview(f.read(4096)).cast('Q'))
advise(at, n << 12, 14)  # MADV_HUGEPAGE
for i in range(n): ctypes.memset(at + (i << 12), 1, 1)
down, up = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    write(1)
    advise(at + big, big, 25)  # MADV_COLLAPSE
    os.write(up[1], b'%d' % is_huge(1))
    os.read(down[0], 1)
    os._exit(0)
write(0)
write(2)
advise(at, big, 25)
both = is_huge(0), int(os.read(up[0], 1))
os.write(down[1], b'1')
os.waitpid(pid, 0)
print(at, *map(int, both), flush=True)
os._exit(0)
'''


def joined(work):
    """A page of a 2 MiB entry that the kernel made later is in it whoever wrote it."""
    if not tells_zero_page():
        mms.skip('this kernel does not tell huge pages')
    out, db = run(work, '/usr/bin/python3', '-c', JOINED)
    at, *huge = map(int, out.split())
    if huge != [1, 1]:
        mms.skip('the kernel joined no pages')
    f, = db_forks(db)
    row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?', (f['id'], at, at)).fetchone()
    seen = cow.letters(row[2], (row[1] - row[0]) // 4096)[(at - row[0]) // 4096:][:2048]
    truth = ''.join(letter if i < 200 and i % 2 == 0 else 's' for letter in 'pcps' for i in range(512))
    check('pages', seen == truth, sum(a != b for a, b in zip(seen, truth)))
    check('it says so', f['exact'] == 0 and '824 that read as at the fork' in f['why'] and f['error_pages'] >= 824, tuple(f))


NONE = '''
import ctypes, os
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
block = bytearray(8 << 20)
pid = os.fork()
if pid == 0:
    block[4096] = 1
    os._exit(0)
os.waitpid(pid, 0)
try:
    os.waitpid(-1, 0)
    raise SystemExit("a child of ours")
except ChildProcessError:
    pass
'''


def none(work):
    out, db = run(work, '/usr/bin/python3', '-c', NONE)
    f, = db_forks(db)
    check('another way, and why', f['method'] != 'witness' and 'There was no witness: orphans' in f['why'], tuple(f))


def main():
    what, rest = sys.argv[1], [int(x) for x in sys.argv[2:]]
    mms.need('/usr/bin/python3')
    work = mms.Work('cow-rungs')
    {'witness': witness, 'bytes': bytes_, 'soft-dirty': soft_dirty, 'pfn': pfn, 'totals': totals, 'swap-witness': swap_witness, 'swap-pfn': swap_pfn, 'twice': twice, 'prefork': prefork, 'killed': killed, 'unseen': unseen,
     'ends': ends, 'none': none, 'joined': joined}[what](work, *rest)
    if not work.keep:
        import shutil
        shutil.rmtree(work.top)


main()
