"""cow.py - what is reported of forks against programs that know it.

    cow.py pair [FIRST [SEEDS]]  A5: which pages each side wrote, 4 KiB and huge
    cow.py nobody                the same as a user without rights
    cow.py prefork               A6: one parent and four children
    cow.py killed                A11: the child is killed
    cow.py goes-on               the recording ends before both sides do
    cow.py small                 what is not watched, and that it says so
    cow.py closes                the program closes every descriptor
    cow.py execs                 children that execute are not watched for long
    cow.py leaves                the parent's descriptor goes when the fork is over
    cow.py owner                 the program has a userfaultfd of its own
    cow.py swap                  pages in swap at the fork, and written ones that go there
    cow.py reads                 A7: pages written by read(2)
    cow.py threads               A7: threads write while the process forks
    cow.py fresh                 pages in areas that came after the fork, and in areas that moved
    cow.py kinds                 daemon, forkpty, a raw clone, grandchildren
    cow.py share                 more memory than can be protected in 5 ms: estimates

Skipped where the kernel has no userfaultfd in asynchronous mode (before 6.7).
"""
import os
import re
import sqlite3
import subprocess
import sys
import time

import mms
import swapping
from servers import until

GROUP = {}
PAIR = os.path.join(mms.PROGRAMS, 'cow_pair')


def record(work, name, *command, options=(), before=()):
    """Runs it; its output and the open database."""
    db = work.path(name + '.db')
    out = subprocess.run([*before, mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', *command],
                         env=mms.environment(**GROUP), stdout=subprocess.PIPE, check=True, text=True).stdout
    return out, sqlite3.connect(db)


def record_killed(work, *options):
    """cow_pair, whose child is killed when the collector told in the database of a look that
    it took after the last write."""
    db = work.path('killed.db')
    p = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', PAIR, '9', '4k', '1', 'kill'],
                         env=mms.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    out = ''
    while not out.endswith('\n') or not out.splitlines()[-1].startswith('rss'):
        line = p.stdout.readline()
        check('the program tells what it wrote', line, out[-200:])
        out += line
    wrote_ns = time.time_ns()
    looked = ('SELECT max(t_ns) + (SELECT value FROM meta WHERE key = \'start_realtime_ns\') AS at FROM cow_sample')
    check('a look after the last write', until(lambda: (mms.rows(db, looked)[0]['at'] or 0) > wrote_ns, 60))
    out += p.communicate('k')[0]
    check('status', p.returncode == 0, p.returncode)
    return out, sqlite3.connect(db)


def truth_of(out):
    """[{start: (shared, parent, child, both, what became of each page)}], one for each fork."""
    forks = []
    for line in out.splitlines():
        word = line.split()
        if word[0] == 'fork':
            forks.append({})
        elif word[0] == 'area':
            forks[-1][int(word[1], 16)] = (*(int(x) for x in word[2:6]), word[6])
    return forks


def forks_of(db, lower=False):
    """lower: another way than userfaultfd is what is tested."""
    db.row_factory = sqlite3.Row
    rows = db.execute("SELECT * FROM fork WHERE kind IN ('fork', '_Fork', 'atfork')"
                      ' ORDER BY t_ns').fetchall()
    for f in rows:
        if not lower and re.search('write-protected|No userfaultfd', f['why'] or ''):
            mms.skip('no userfaultfd here: ' + f['why'])
    return rows


def letters(blob, n):
    """The column cow_vma.pages (include/mmscope/pages.h), a letter for each of n pages."""
    pages, at = [], 0
    while at < len(blob):
        head, shift = 0, 0
        while True:
            head |= (blob[at] & 0x7f) << shift
            shift, at = shift + 7, at + 1
            if not blob[at - 1] & 0x80:
                break
        count, state = head >> 3, head & 7
        if state == 7:
            pages += ['.s'[blob[at + i // 8] >> i % 8 & 1] for i in range(count)]
            at += (count + 7) // 8
        else:
            pages += ['.spcb'[state]] * count
    return ''.join(pages).ljust(n, '.')


def areas_of(db, fork, truth):
    """Of the areas that the program speaks of."""
    rows = db.execute('SELECT start, pages_shared, parent_broke, child_broke, both_broke, pages, (end - start) / 4096'
                      ' FROM cow_vma WHERE fork_id = ?', (fork['id'],))
    return {r[0]: (*tuple(r)[1:5], letters(r[5], r[6])) for r in rows if r[0] in truth}


def wrong(truth, seen):
    """Areas of which another set was reported: each page counts."""
    return [(hex(a), t, seen.get(a)) for a, t in truth.items() if seen.get(a) != t]


def sides_wrong(truth, seen):
    """Page-sides: in how many pages the sides that wrote them differ."""
    def bits(letter):
        return '.spcb'.index(letter) - 1 if letter != '.' else 4
    return sum(bin(bits(x) ^ bits(y)).count('1') for a, t in truth.items() for x, y in zip(t[4], seen[a][4]))


def check(what, ok, detail=''):
    if not ok:
        sys.exit('wrong: %s %s' % (what, detail))


def check_pair(work, seed, pages, before=(), options=()):
    out, db = record(work, 'pair', PAIR, str(seed), pages, before=before, options=options)
    truth = truth_of(out)
    forks = forks_of(db)
    check('one fork', len(forks) == 1 and len(truth) == 1)
    f = forks[0]
    check('method', f['method'] == 'userfaultfd' and f['exact'] == 1, tuple(f))
    seen = areas_of(db, f, truth[0])
    bad = wrong(truth[0], seen)
    check('the error is known', f['error_pages'] is not None and f['error_pages'] < 400, f['error_pages'])
    check('areas, seed %s %s: %d page-sides wrong' % (seed, pages, sides_wrong(truth[0], seen)), not bad, bad[:2])
    whole = [sum(t[i] for t in truth[0].values()) for i in range(4)]
    check('pages shared', 0 <= f['pages_shared'] - whole[0] <= 600, (f['pages_shared'], whole))
    check('copies', f['copies_low'] <= f['copies_high'] <= f['parent_broke'] + f['child_broke'], tuple(f))
    check('faults of the parent', f['parent_faults'] >= whole[1] if pages == '4k' else True, f['parent_faults'])
    print('seed %s %s: %d pages, error at most %d, %.0f and %.0f ns a page' % (
        seed, pages, f['pages_shared'], f['error_pages'], f['arm_parent_ns'] / f['pages_shared'],
        f['arm_child_ns'] / f['pages_shared']))


def pair(work, first=1, seeds=3):
    for seed in range(first, first + seeds):
        for pages in ('4k', 'huge'):
            check_pair(work, seed, pages)


def nobody(work):
    if os.getuid() != 0:
        mms.skip('only root can become nobody')
    mms.need('setpriv')
    os.chmod(work.top, 0o777)
    check_pair(work, 7, '4k', before=('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'))


def main():
    what, rest = sys.argv[1], [int(x) for x in sys.argv[2:]]
    work = mms.Work('cow')
    {'pair': pair, 'nobody': nobody, 'prefork': prefork, 'killed': killed, 'small': small,
     'goes-on': goes_on, 'closes': closes, 'execs': execs, 'leaves': leaves, 'owner': owner, 'swap': swap, 'reads': reads, 'share': share,
     'threads': threads, 'fresh': fresh, 'kinds': kinds}[what](work, *rest)
    if not work.keep:
        import shutil
        shutil.rmtree(work.top)


def check_prefork(work, pages):
    out, db = record(work, 'prefork', PAIR, '5', pages, '4')
    truth, forks = truth_of(out), forks_of(db)
    check('four forks', len(forks) == 4 and len(truth) == 4)
    for f, t in zip(forks, truth):
        check('method', f['method'] == 'userfaultfd', tuple(f))
        bad = wrong(t, areas_of(db, f, t))
        check('areas of fork %d' % f['id'], not bad, bad[:5])
    grown = int(out.split('rss ')[1]) // 4096
    low, high = (sum(f[c] for f in forks) for c in ('copies_low', 'copies_high'))
    print('%s: copies %d to %d, the cgroup grew by %d pages' % (pages, low, high, grown))
    return low, high, grown


def prefork(work):
    check_prefork(work, '4k')
    group = '/sys/fs/cgroup/memory/mms-cow-%d' % os.getpid()
    try:
        os.mkdir(group)
    except OSError as e:
        mms.skip('sets are exact; no memory cgroup (v1) to compare copies with: %s' % e.strerror)
    try:
        GROUP['COW_GROUP'] = group
        with open(group + '/cgroup.procs', 'w') as f:
            f.write(str(os.getpid()))
        low, high, grown = check_prefork(work, 'kept')
        check('no doubt without dropped pages', low == high, (low, high))
        check('copies are what the cgroup grew by', abs(high - grown) <= high * 0.005, (high, grown))
    finally:
        with open('/sys/fs/cgroup/memory/cgroup.procs', 'w') as f:
            f.write(str(os.getpid()))
        for _ in range(100):
            try:
                os.rmdir(group)
                break
            except OSError:
                time.sleep(0.05)


def killed(work):
    out, db = record_killed(work)
    truth, forks = truth_of(out)[0], forks_of(db)
    bad = wrong(truth, areas_of(db, forks[0], truth))
    check('what was written before the last look', not bad, bad[:5])
    check('it says so', forks[0]['exact'] == 0 and re.search(r'wrote in the \d+\.\d+ s since the last look', forks[0]['why']), tuple(forks[0]))


def goes_on(work):
    program = ('import ctypes, mmap, os, time\nctypes.CDLL(None).prctl(41, 1, 0, 0, 0)\n'
               'm = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nm.write(b"x" * (8 << 20))\n'
               'pid = os.fork()\nfor i in range(300 if pid else 700): m[i << 12] = 1\ntime.sleep(4)\n'
               'if pid == 0: os._exit(0)\nos.waitpid(pid, 0)\n')
    out, db = record(work, 'goes-on', '/usr/bin/python3', '-c', program, options=('--duration', '3s'))
    f, = forks_of(db)
    row = db.execute('SELECT parent_broke, child_broke FROM cow_vma WHERE pages_shared >= 2048 AND fork_id = ?', (f['id'],)).fetchone()
    check('both were asked in the end', f['exact'] == 1 and not f['why'] and f['error_pages'] is not None, tuple(f))
    check('pages', tuple(row) == (300, 700), row and tuple(row))


def small(work):
    out, db = record(work, 'small', '/bin/sh', '-c', 'i=0; while [ $i -lt 6 ]; do /bin/true; (:); i=$((i+1)); done')
    forks = forks_of(db)
    check('forks', len(forks) == 6, len(forks))
    check('none is watched', all(f['method'] in ('totals', 'none') and f['exact'] == 0 and f['why'] for f in forks),
          [tuple(f)[9:12] for f in forks])
    check('faults of the children are known', all(f['child_faults'] is not None for f in forks))


def closes(work):
    program = ('import os\nblock = bytearray(8 << 20)\npid = os.fork()\n'
               'seen = [int(n) for n in os.listdir("/proc/self/fd")]\n'
               'assert all(n < 4 or n >= 1000 for n in seen), seen\n'
               'if pid == 0:\n os.closerange(3, 1 << 16)\n block[4096] = 1\n os._exit(0)\n'
               'assert os.waitpid(pid, 0) == (pid, 0)\n'
               'try:\n os.waitpid(-1, 0)\n raise SystemExit("a child of ours")\nexcept ChildProcessError:\n pass\n')
    out, db = record(work, 'closes', sys.executable, '-c', program)
    f = forks_of(db)[0]
    check('it says what was lost', f['exact'] == 0 and 'closed' in f['why'], tuple(f))


def execs(work):
    program = ('import os\nblock = bytearray(8 << 20)\nfor i in range(8):\n pid = os.fork()\n if pid == 0:\n'
               '  os.execv("/bin/true", ["true"])\n os.waitpid(pid, 0)\n')
    out, db = record(work, 'execs', sys.executable, '-c', program)
    methods = [f['method'] for f in forks_of(db)]
    check('two are watched', methods[:2] == ['userfaultfd'] * 2, methods)
    check('then it was learned', methods[2:] == ['none'] * 6, methods)


def leaves(work):
    program = ('import mmap, os, sys, time\nblock = bytearray(8 << 20)\npid = os.fork()\n'
               'if pid == 0: time.sleep(0.3); os._exit(0)\n'
               'mine = lambda: sum(os.readlink("/proc/self/fd/" + n) == "anon_inode:[userfaultfd]"'
               ' for n in os.listdir("/proc/self/fd") if os.path.islink("/proc/self/fd/" + n))\n'
               'sys.stdout.write("%d" % mine())\nos.waitpid(pid, 0)\n'
               'for i in range(200):\n time.sleep(0.05)\n mmap.mmap(-1, 4096).close()\n if not mine(): break\n'
               'print(mine())\n')
    out, db = record(work, 'leaves', sys.executable, '-c', program)
    check('one while watched, none afterwards', out.strip() == '10', out)


def owner(work):
    out, db = record(work, 'owner', os.path.join(mms.PROGRAMS, 'cow_owner'))
    own, other, marked = (int(x, 16) for x in out.split())
    f = forks_of(db)[0]
    areas = dict(db.execute('SELECT start, child_broke FROM cow_vma WHERE fork_id = ?', (f['id'],)))
    check('the other area', areas.get(other) == 100, areas)
    check('it says which were not watched', f['exact'] == 0 and '1 area' in f['why'], tuple(f))
    check('the own area is named', own in areas, areas)
    check('its marks are as the program left them', marked == 50, marked)


SWAP = '''import ctypes, mmap, os, resource, struct
c, n = ctypes.CDLL(None, use_errno=True), 1024
m = mmap.mmap(-1, n << 12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block = bytearray(4 << 20)
for i in range(n): m[i << 12:(i << 12) + 8] = os.urandom(8)
at = ctypes.addressof(ctypes.c_char.from_buffer(m))
def out(first, pages):
    c.madvise(ctypes.c_void_p(at + (first << 12)), ctypes.c_size_t(pages << 12), 21)  # MADV_PAGEOUT
    with open('/proc/self/pagemap', 'rb') as f:
        f.seek(at // 4096 * 8)
        return sum(x >> 62 & 1 for x in struct.unpack('1024Q', f.read(8192)))
swapped = out(0, n // 2)
r, w = os.pipe()
pid = os.fork()
for i in range(0, n, 3) if pid else range(0, n, 4): m[i << 12] = 7
again = out(0, n)
if pid == 0:
    os.write(w, struct.pack('Q', again))
    os._exit(0)
os.waitpid(pid, 0)
print(at, swapped, again, *struct.unpack('Q', os.read(r, 8)), flush=True)
os._exit(0)
'''


def swap(work):
    with swapping.swap_file():
        out, db = record(work, 'swap', '/usr/bin/python3', '-c', SWAP)
    start, *swapped = map(int, out.split())
    if not all(swapped):
        mms.skip('the kernel moved nothing out: %s' % swapped)
    f = forks_of(db)[0]
    row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?', (f['id'], start, start)).fetchone()
    at = (start - row[0]) // 4096
    seen = letters(row[2], (row[1] - row[0]) // 4096)[at:at + 1024]
    truth = ''.join('spcb'[(i % 3 == 0) + 2 * (i % 4 == 0)] for i in range(1024))
    check('pages', seen == truth, sum(a != b for a, b in zip(seen, truth)))
    check('exact', f['method'] == 'userfaultfd' and f['exact'] == 1, tuple(f))
    print('pages in swap: %d at the fork, then %d of the parent and %d of the child' % tuple(swapped))


def reads(work):
    program = ('import mmap, os, threading\nm = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n'
               'm.write(b"x" * (16 << 20))\nr, w = os.pipe()\npid = os.fork()\nif pid == 0:\n'
               ' f = open("/dev/zero", "rb", 0)\n'
               ' for i in range(0, 4096, 8): f.readinto(memoryview(m)[i * 4096:i * 4096 + 100])\n os._exit(0)\n'
               'os.waitpid(pid, 0)\n')
    out, db = record(work, 'reads', sys.executable, '-c', program)
    f = forks_of(db)[0]
    row = db.execute('SELECT child_broke, parent_broke FROM cow_vma WHERE pages_shared >= 4096'
                     ' AND fork_id = ?', (f['id'],)).fetchone()
    check('512 pages were written by the kernel', row and 512 <= row[0] <= 512 + f['error_pages'], row and tuple(row))
    print('error at most %d pages' % f['error_pages'])


def threads(work):
    for seconds in ('0.3', '0.002'):
        out, db = record(work, 'threads' + seconds, os.path.join(mms.PROGRAMS, 'cow_threads'), seconds)
        start, n, wrote = int(out.split()[1], 16), *map(int, out.split()[2:])
        f = forks_of(db)[0]
        row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end >= ?',
                         (f['id'], start, start + n * 4096)).fetchone()
        check('the area', row, out)
        at = (start - row[0]) // 4096
        pages = letters(row[2], (row[1] - row[0]) // 4096)[at:at + n]
        seen = pages.count('p') + pages.count('b')
        check('the error is known', f['error_pages'] is not None, tuple(f))
        check('within the error', 0 <= wrote - seen <= f['error_pages'], (wrote, seen, f['error_pages']))
        text = ' '.join(mms.verb('cow', work.path('threads%s.db' % seconds))[1].split())
        check('the text says it', 'but for at most' in text, text)
        print('%d pages written, %d seen, error at most %d' % (wrote, seen, f['error_pages']))


FRESH = '''import ctypes, mmap, os
c = ctypes.CDLL(None)
c.mmap.restype = c.mremap.restype = ctypes.c_void_p
def area(at, n, flags): return c.mmap(ctypes.c_void_p(at), ctypes.c_size_t(n << 12), 3, 0x22 | flags, -1, ctypes.c_size_t(0))
def touch(at, n):
    for i in range(n): ctypes.memset(at + (i << 12), 1, 1)
c.prctl(41, 1, 0, 0, 0)  # no huge pages
old, moves = area(0, 2048, 0), area(0, 1024, 0)
touch(old, 2048)
touch(moves, 1024)
r, w = os.pipe()
pid = os.fork()
touch(area(0, 1000, 0), 1000)
touch(area(old, 300, 0x10), 200)
touch(old + (1024 << 12), 50)
if pid == 0:
    to = c.mremap(ctypes.c_void_p(moves), ctypes.c_size_t(1024 << 12), ctypes.c_size_t(2048 << 12), 3, ctypes.c_void_p(area(0, 2048, 0)))
    touch(to + (1024 << 12), 300)
    os.read(r, 1)
    os._exit(0)
print(old, moves, flush=True)
os.write(w, b'1')
os.waitpid(pid, 0)
'''


def fresh(work):
    """Both sides have a new area, and one in the place of an old one; the child moves one, and makes it longer."""
    out, db = record(work, 'fresh', '/usr/bin/python3', '-c', FRESH)
    old, moves = map(int, out.split())
    f, = forks_of(db)
    for start, n, child, parent in ((old, 2048, 50, 50), (moves, 1024, 0, 0)):
        row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?', (f['id'], start, start)).fetchone()
        pages = letters(row[2], (row[1] - row[0]) // 4096)[(start - row[0]) // 4096:][:n]
        seen = [pages.count(a) + pages.count('b') for a in 'cp']
        check('written of the old area', seen == [child, parent], (seen, tuple(f)))
    check('new in the child', 1500 <= f['new_child'] < 1530, f['new_child'])
    check('new in the parent, which is asked from outside', 1200 <= f['new_parent'] < 1230, f['new_parent'])
    check('exact', f['exact'] == 1, tuple(f))
    print('%d and %d new pages' % (f['new_child'], f['new_parent']))


def kinds(work):
    out, db = record(work, 'kinds', os.path.join(mms.PROGRAMS, 'cow_kinds'))
    truth = {word[0]: (int(word[1], 16), int(word[2])) for word in map(str.split, out.splitlines())}
    forks_of(db) # names of columns
    clone = db.execute("SELECT * FROM fork WHERE kind = 'clone'").fetchall()
    check('one clone', len(clone) == 1 and clone[0]['method'] == 'totals' and clone[0]['exact'] == 0, clone and tuple(clone[0]))
    check('its faults', clone[0]['child_faults'] >= truth['clone'][1], tuple(clone[0]))
    forks = forks_of(db)
    # The daemon's first fork is the program's own, the second is inside libc; who is between ends inside libc, too.
    names = (('fork', 'fork'), ('grandchild', 'fork'), ('underscore', '_Fork'), ('forkpty', 'atfork'), (None, 'fork'),
             ('daemon', 'atfork'))
    check('kinds', [f['kind'] for f in forks] == [kind for _, kind in names], [tuple(f) for f in forks])
    for f, (name, kind) in zip(forks, names):
        if not name:
            continue
        start, n = truth[name]
        row = db.execute('SELECT start, end, pages FROM cow_vma WHERE fork_id = ? AND start <= ? AND end > ?',
                         (f['id'], start, start)).fetchone()
        at = (start - row[0]) // 4096
        pages = letters(row[2], (row[1] - row[0]) // 4096)[at:at + 2048]
        check(name, f['method'] == 'userfaultfd' and pages.count('c') == n and pages.count('p') + pages.count('b') == 0,
              (tuple(f), pages.count('c'), n))
        check(name + ': is exact', f['exact'] == (name != 'daemon'), tuple(f))


def share(work):
    """1 GiB takes more than the time that there is.  A fifth of the pages is written here and there, and of
    every twelfth piece of 2 MiB all."""
    for name, memory in (('block', 'bytearray(n << 12)'), ('mapping', 'mmap.mmap(-1, n << 12, flags=34)')):
        share_of(work, name, memory)


def share_of(work, name, memory):
    program = ('import ctypes, mmap, os, random\nn = 1 << 18\nctypes.CDLL(None).prctl(41, 1, 0, 0, 0)\n'  # no huge pages
               'm = ' + memory + '\nfor i in range(n): m[i << 12] = 1\n'
               'child = set(random.sample(range(n), n // 5))\n'
               'parent = {i for i in range(n) if i // 512 % 12 == 5}\n'
               'r, w = os.pipe()\npid = os.fork()\n'
               'for i in parent if pid else child: m[i << 12] = 2\n'
               'later = mmap.mmap(-1, 5000 << 12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n'
               'for i in range(5000 if pid else 3000): later[i << 12] = 1\n'
               'if pid == 0: os.read(r, 1); os._exit(0)\n'
               'print(len(parent), len(child), len(parent & child), ctypes.addressof(ctypes.c_char.from_buffer(m)), flush=True)\n'
               'os.write(w, b"1"); os.waitpid(pid, 0)\n')
    out, db = record(work, name, sys.executable, '-c', program)
    f = forks_of(db)[0]
    check('a part was watched', 0.1 < f['watched_share'] < 1 and f['exact'] == 0 and 'estimates' in f['why'], tuple(f))
    check('all pages that were shared, and what Python has', 0 <= f['pages_shared'] - (1 << 18) < 12000, f['pages_shared'])
    *counts, address = map(int, out.split())
    truth = dict(zip(('parent_broke', 'child_broke', 'both_broke'), counts))
    low_high = {r[0]: tuple(r)[1:] for r in db.execute('SELECT name, low, high FROM cow_interval WHERE fork_id = ?', (f['id'],))}
    check('every figure has an interval', {'copies', 'still_shared', 'new_parent', 'new_child', *truth} == set(low_high), low_high)
    check_within(truth, f, low_high, 800)
    # Of an area that came later every page is known, and Python has few elsewhere.
    for side, pages in (('new_parent', 5000), ('new_child', 3000)):
        check(side, pages <= low_high[side][0] <= low_high[side][1] < pages + 4096, (pages, f[side], low_high[side]))
    # The one block or mapping, which is an area: the same by area and by site.
    answer = mms.ask('cow', work.path(name + '.db'))['forks'][0]
    check('JSON', answer['intervals']['child_broke'] == dict(zip(('low', 'high'), low_high['child_broke'])), answer['intervals'])
    area, = [v for v in answer['vmas'] if int(v['start'], 16) <= address < int(v['end'], 16)]
    site, = [v for v in answer['sites'] if v['pages_shared'] > 1 << 17 and v['id']]
    for part in (area, site):
        check_within({'pages_shared': 1 << 18, **truth}, part, {k: tuple(v.values()) for k, v in part['intervals'].items()}, 8)
    text = mms.verb('cow', work.path(name + '.db'))[1]
    flat = ' '.join(text.split())
    check('text', flat.count('ith 95 % certainty') > 2 and max(map(len, text.splitlines())) <= 80, text)


def check_within(truth, seen, low_high, more):
    """The intervals hold the truth in 95 of 100 runs: here it is let be three times as far, and `more` pages."""
    for name, n in truth.items():
        low, high = low_high[name]
        check(name, seen[name] - 3 * (seen[name] - low) - more <= n <= seen[name] + 3 * (high - seen[name]) + more,
              (n, seen[name], low, high))
        check(name + ': it is an interval', low <= seen[name] <= high and high - low < 1 << 17, (low, high))
        print('%s: %d, estimated %d (%d to %d)' % (name, n, seen[name], low, high))


if __name__ == '__main__':
    main()
