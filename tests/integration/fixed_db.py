"""fixed_db.py - databases made by hand, the same at every run.

    fixed_db.py KIND FILE

small        one program with a forked child and an exec, every kind of frame
empty        a program that allocates nothing
many-sites   1,000 sites in one process
many-pids    500 processes
verdicts     live blocks that were examined, sites that grow, threads
unrecorded   a program that could not be recorded
recording    small, whose collector seems to be at work
incomplete   small, whose collector is gone
forks        one program with six forks: compared, watched, estimated, totals, not watched
"""
import json
import os
import re
import sqlite3
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = os.path.join(TOP, 'analyzer', 'store', 'schema.sql')
APPLICATION_ID = 0x4d4d5343
SCHEMA_VERSION = int(re.search(r'MMS_SCHEMA_VERSION (\d+)', open(os.path.join(TOP, 'include', 'mmscope', 'schema.h')).read()).group(1))
START = 1_700_000_000_000_000_000
CPP = ('std::_Rb_tree<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, '
       'std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const, int>, '
       'std::_Select1st<std::pair<std::__cxx11::basic_string<char> const, int> >, std::less<void> >'
       '::_M_insert_node(std::_Rb_tree_node_base*, std::_Rb_tree_node_base*, std::_Rb_tree_node<int>*)')
LONG = '/home/build/of/somebody/with/a/very/deep/tree/of/source/folders/and/more/of/them/src/tree.h'


def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes(out + bytes([v]))


class Maker:
    def __init__(self, path):
        if os.path.exists(path):
            os.unlink(path)
        self.c = sqlite3.connect(path)
        with open(SCHEMA, encoding='utf-8') as f:
            self.c.executescript(f.read())
        self.c.execute('PRAGMA application_id = %d' % APPLICATION_ID)
        self.c.execute('PRAGMA user_version = %d' % SCHEMA_VERSION)
        self.n_live = self.n_frames = self.n_stacks = self.n_sites = self.n_modules = 0
        self.modules, self.frames, self.stacks, self.sites = {}, {}, {}, {}

    def insert(self, table, **values):
        marks = ','.join('?' * len(values))
        self.c.execute('INSERT INTO %s (%s) VALUES (%s)' % (table, ','.join(values), marks), list(values.values()))

    def meta(self, **values):
        for key, value in values.items():
            self.insert('meta', key=key, value=str(value))

    def process(self, number, pid, exe, argv, begin='start', end='exit', status=0, parent=None, parent_pid=1, **more):
        row = dict(id=number, pid=pid, ns_pid=pid, parent_id=parent, parent_pid=parent_pid, exe=exe,
                   argv=json.dumps(argv), cwd='/srv', begin_how=begin, begin_ns=number * 1000000, end_how=end,
                   end_ns=None if end == 'running' else 2500000000 + number, status=status, peak_bytes=0,
                   peak_ns=1200000000, live_blocks=0, live_bytes=0, inherited_blocks=0, inherited_bytes=0,
                   inherited_freed=0, alloc_blocks=0, alloc_bytes=0, free_blocks=0, unknown_frees=0, failed_allocs=0,
                   hiwater_rss=31 << 20, lost_records=0, engine='own', followed=1)
        row.update(more)
        self.insert('process', **row)

    def module(self, path, process=1, kind='library'):
        if path not in self.modules:
            self.n_modules += 1
            self.modules[path] = self.n_modules
            self.insert('module', id=self.n_modules, context=1, process_id=process, path=path, build_id=None,
                        start=self.n_modules << 24, end=(self.n_modules + 1) << 24, bias=self.n_modules << 24,
                        kind=kind, load_ns=0, unload_ns=None, symbols='full')
        return self.modules[path]

    def frame(self, function, file=None, line=None, module='/srv/bin/prog', offset=None, inlined_by=None):
        key = (function, file, line, module, offset, inlined_by)
        if key not in self.frames:
            self.n_frames += 1
            self.frames[key] = self.n_frames
            self.insert('frame', id=self.n_frames, module_id=module and self.module(module),
                        offset=(offset or 0x1000 + 16 * self.n_frames) if module else None, function=function,
                        file=file, line=line, inlined_by=inlined_by)
        return self.frames[key]

    def stack(self, *frames, salt=0, flags=0):
        """Frames outermost first; salt makes another stack of the same frames."""
        parent = None
        for depth, frame in enumerate(frames):
            key = (parent, frame, salt)
            if key not in self.stacks:
                self.n_stacks += 1
                self.stacks[key] = self.n_stacks
                self.insert('stack', id=self.n_stacks, parent_id=parent, pc=0x550000000000 + self.n_stacks * 64,
                            context=1, frame_id=frame, depth=depth + 1, flags=flags if depth == 0 else 0)
            parent = self.stacks[key]
        return parent

    def site(self, stable, title, own='target'):
        if stable not in self.sites:
            self.n_sites += 1
            self.sites[stable] = self.n_sites
            self.insert('site', id=self.n_sites, stable=stable, title=title, own=own)
        return self.sites[stable]

    def heap(self, process, stack, site, blocks, size, live=0, peak=None, temporary=0):
        peak = live if peak is None else peak
        self.insert('heap_site', process_id=process, stack_id=stack, site_id=site, alloc_blocks=blocks,
                    alloc_bytes=blocks * size, free_blocks=blocks - live, free_bytes=(blocks - live) * size,
                    live_blocks=live, live_bytes=live * size, peak_blocks=peak, peak_bytes=peak * size,
                    own_peak_bytes=peak * size, temporary_blocks=temporary, cross_frees=1, realloc_in=2,
                    min_size=size, max_size=size, first_ns=1000, last_ns=2000, life_ns_sum=(blocks - live) * 500,
                    life_hist=None, last_thread=1)

    def vm(self, process, t_ns, op, address, length, stack, address2=None, length2=None):
        self.insert('vm_event', process_id=process, thread=1, t_ns=t_ns, op=op, address=address, length=length,
                    address2=address2, length2=length2, stack_id=stack)

    def note(self, process, kind, count, text):
        self.insert('coverage', process_id=process, kind=kind, count=count, text=text)

    def live(self, process, stack, births_s, size, verdict=None, thread=1):
        for birth in births_s:
            self.n_live += 1
            self.insert('live_block', process_id=process, address=0x600000000000 + 64 * self.n_live, size=size,
                        stack_id=stack, thread=thread, t_ns=int(birth * 1e9), verdict=verdict)

    def series(self, process, stack, values, width_ns=1000000000, start_ns=0):
        data, before = b'', 0
        for v in values:
            data += varint((v - before) << 1 if v >= before else ((before - v) << 1) - 1) + varint(0) + varint(0)
            before = v
        self.insert('heap_series', process_id=process, stack_id=stack, start_ns=start_ns, bucket_ns=width_ns, data=data)

    def thread(self, process, number, tid, name, alloc_blocks=0):
        self.insert('thread', process_id=process, number=number, tid=tid, name=name, begin_ns=0, end_ns=None,
                    alloc_blocks=alloc_blocks, alloc_bytes=64 * alloc_blocks)

    def done(self):
        """Sets the totals of the processes from their sites."""
        self.c.execute('''UPDATE process SET (alloc_blocks, alloc_bytes, free_blocks, live_blocks, live_bytes, peak_bytes)
            = (SELECT coalesce(sum(alloc_blocks), 0), coalesce(sum(alloc_bytes), 0), coalesce(sum(free_blocks), 0),
                      coalesce(sum(live_blocks), 0), coalesce(sum(live_bytes), 0), coalesce(sum(peak_bytes), 0)
               FROM heap_site WHERE process_id = process.id)''')
        self.c.commit()
        self.c.close()


def head(m, state='complete'):
    m.meta(state=state, version='0.1.0', mode='exact', sample_bytes=524288, policy='block', clock='tsc', cwd='/srv',
           host='somehost', kernel='Linux 6.1.0', start_realtime_ns=START, last_flush_ns=2500000001,
           collector_cpu_ns=12500000, preload_bytes=131072, session_bytes=524288)


def small(path, state='complete'):
    m = Maker(path)
    head(m, state)
    m.process(1, 100, '/usr/bin/env', ['env', 'X=1', 'prog'], end='exec', status=None)
    m.process(2, 100, '/srv/bin/prog', ['prog', '--name', "it's", 'h\u00e9llo'], begin='exec', parent=1, status=3,
              lost_records=2, unknown_frees=1)
    m.process(3, 101, '/srv/bin/prog', ['prog', '--name', "it's"], begin='fork', parent=2, parent_pid=100,
              end='signal', status=9, inherited_blocks=12, inherited_bytes=4096)
    outer = m.frame('main', 'src/main.c', 10)
    load = m.frame('load_all', LONG, 99)
    item = m.frame('make_item', 'src/item.c', 42)
    heap = [m.stack(outer, load, item), m.stack(outer, load, item, salt=1),
            m.stack(outer, load, m.frame('make_item', 'src/item.c', 43)),
            m.stack(outer, m.frame(CPP, LONG, 1234)),
            m.stack(outer, m.frame(None, module='/usr/lib/x86_64-linux-gnu/libnosymbols.so.3', offset=0x1234)),
            m.stack(m.frame('h\u6f22\u5b57', 'src/\u6f22.c', 1)),
            m.stack(m.frame('g', module='/lib/ld-linux-x86-64.so.2')),
            m.stack(*[m.frame('recursion', 'src/deep.c', 100 + i % 2) for i in range(30)], flags=4)]
    inlined = m.frame('helper', 'src/item.h', 7, inlined_by=item)
    heap.append(m.stack(outer, inlined))
    one, two = m.site('aaaa000000000001', 'make_item < load_all'), m.site('aaaa000000000002', 'insert < main')
    m.heap(2, heap[0], one, 1000, 100, 700, 900)
    m.heap(2, heap[1], one, 500, 100, 300, 300)
    m.heap(2, heap[2], one, 10, 5000, 10)
    m.heap(2, heap[3], two, 3000, 48, 1, 2999, 40)
    m.heap(2, heap[4], m.site('aaaa000000000003', 'libnosymbols.so.3'), 7, 1 << 20, 1)
    m.heap(2, heap[5], m.site('aaaa000000000004', '\u6f22'), 2, 8, 1)
    m.heap(2, heap[6], m.site('aaaa000000000005', 'g', 'loader'), 2, 72, 2)
    m.heap(2, heap[7], m.site('aaaa000000000006', 'recursion'), 30, 16, 15)
    m.heap(2, heap[8], m.site('aaaa000000000007', 'helper'), 9, 24, 9, 9, 3)
    m.heap(2, 0, None, 4, 64, 4)
    m.heap(3, heap[0], one, 20, 100, 20)
    m.heap(1, m.stack(m.frame('env_main', module='/usr/bin/env')), m.site('aaaa000000000008', 'env_main'), 3, 32, 1)
    maps = m.stack(outer, m.frame('map_it', 'src/map.c', 5))
    m.c.execute('UPDATE stack SET site_id = ? WHERE id = ?', (m.site('aaaa000000000009', 'map_it < main'), maps))
    m.vm(2, 5000000, 'mmap', 0x10000000, 8 * 4096, maps)
    m.vm(2, 5000001, 'munmap', 0x10002000, 4096, maps)
    m.vm(2, 5000002, 'mmap', 0x20000000, 4096, maps)
    m.vm(2, 5000003, 'mremap', 0x30000000, 8192, heap[0], 0x20000000, 4096)
    m.vm(2, 5000004, 'mmap', 0x40000000, 4096, maps)
    m.vm(2, 5000005, 'munmap', 0x40000000, 100, maps)
    m.vm(3, 6000000, 'munmap', 0x10000000, 4096, maps)
    m.vm(3, 6000001, 'mmap', 0x50000000, 12288, maps)
    m.note(None, 'vm_events_cut', 17, 'Only the first events that changed the address space were kept.')
    m.note(2, 'foreign_free', 1, 'Blocks were freed that were never seen given out.')
    m.done()


def incomplete(path):
    small(path, 'recording')


def recording(path):
    """The collector is this process: alive as long as the test runs."""
    small(path, 'recording')
    with open('/proc/self/stat') as f:
        start = f.read().rsplit(')', 1)[1].split()[19]
    with open('/proc/sys/kernel/random/boot_id') as f:
        boot = f.read().strip()
    c = sqlite3.connect(path)
    for key, value in (('collector_pid', os.getpid()), ('collector_start', start), ('boot_id', boot)):
        c.execute('INSERT INTO meta VALUES (?, ?)', (key, str(value)))
    c.commit()
    c.close()


def empty(path):
    m = Maker(path)
    head(m)
    m.process(1, 100, '/bin/nothing', ['nothing'])
    m.done()


def many_sites(path, n=1000, depth=0):
    """depth: frames between main and the sites; they branch outwards in."""
    m = Maker(path)
    head(m)
    m.process(1, 100, '/srv/bin/prog', ['prog'] + ['argument-%d' % i for i in range(200)])
    outer = m.frame('main', 'src/main.c', 10)
    for i in range(n):
        between = [m.frame('part_%d_of_level_%d' % (i % 2 ** min(d, 11), d), 'src/level_%d.c' % d, d + 1) for d in range(depth)]
        stack = m.stack(outer, *between, m.frame('site_%d' % i, 'src/file_%d.c' % (i % 17), i + 1))
        m.heap(1, stack, m.site('%016x' % i, 'site_%d < main' % i), i + 2, 16 + i, i % 3)
    m.done()


def pressed(path, end='exit', kills=None):
    """100 MiB and 2 MiB more each second, looked at 60 times: a cgroup of 256
    MiB has 38 MiB left, for 19 s.  kills: how many were counted up to second n."""
    m = Maker(path)
    head(m)
    m.process(1, 100, '/srv/bin/server', ['server'], end=end, status=None if end == 'unknown' else 0, end_ns=60000000000)
    stack = m.stack(m.frame('main', 'src/main.c', 10), m.frame('grow', 'src/grow.c', 5))
    m.heap(1, stack, m.site('00000000000000aa', 'grow < main'), 59, 2 << 20, 59)
    m.series(1, -1, [n << 21 for n in range(60)])
    m.insert('vma', process_id=1, start=0x7f0000000000, end=0x7f0000400000, perms='rw-p', kind='anon', stack_id=stack,
             born_ns=5, present=384, zero=1, swapped=2, huge=0, touched=387)
    for n in range(60):
        t_ns, usage = n * 1000000000, (100 << 20) + (n << 21)
        m.insert('sample', process_id=1, t_ns=t_ns, rss=usage, live_bytes=n << 21, live_blocks=n)
        m.insert('debt', process_id=1, t_ns=t_ns, place=1)
        m.insert('limit_point', place=1, process_id=0, kind='cgroup2', path='/srv/web', t_ns=t_ns,
                 limit_value=256 << 20, usage=usage, reclaimable=0, oom_kills=kills(n) if kills else None)
    if kills:
        m.insert('limit_point', place=1, process_id=0, kind='cgroup2', path='/srv/web', t_ns=60100000000,
                 limit_value=256 << 20, usage=1 << 20, reclaimable=0, oom_kills=kills(60))
    m.done()


def perhaps_killed(path):
    """Who ended as nobody knows, when a second victim of its cgroup was counted."""
    pressed(path, 'unknown', lambda n: 1 + (n == 60))


def killed_before(path):
    """The same, but the second victim was half a minute before its end."""
    pressed(path, 'unknown', lambda n: 1 + (n >= 30))


def one_peak(path, size, n_threads):
    """A program whose peak is 1000 blocks of SIZE, allocated by N_THREADS."""
    m = Maker(path)
    head(m)
    m.process(1, 100, '/srv/bin/prog', ['prog'])
    m.heap(1, m.stack(m.frame('fill', 'src/fill.c', 5)), m.site('00000000000000aa', 'fill'), 1000, size, 0, 1000)
    for n in range(n_threads):
        m.thread(1, n + 1, 100 + n, 'worker', 1000 // n_threads)
    m.done()


def many_pids(path):
    m = Maker(path)
    head(m)
    m.process(1, 1000, '/bin/sh', ['sh', '-c', 'for i in ...'])
    stack = m.stack(m.frame('xmalloc', 'misc.c', 5))
    site = m.site('00000000000000ff', 'xmalloc')
    m.heap(1, stack, site, 600, 64, 10, 500)
    for i in range(2, 501):
        m.process(i, 1000 + i, '/bin/worker', ['worker', str(i)], begin='fork', parent=1, parent_pid=1000,
                  status=i % 7 == 0)
        m.heap(i, stack, site, 10 + i, 64, i % 5, i)
    m.done()


def verdicts(path):
    """A server of 100 s; each function is named after what its site is."""
    m = Maker(path)
    head(m)
    m.c.execute("UPDATE meta SET value = '100000000000' WHERE key = 'last_flush_ns'")
    m.process(1, 100, '/srv/bin/server', ['server'], begin_ns=0, end_ns=100000000000)
    m.thread(1, 1, 100, 'server')
    m.thread(1, 2, 107, 'worker')
    outer, number = m.frame('main', 'src/main.c', 10), 0

    def site(name, live, size, blocks=None, line=5, own='target', module='/srv/bin/prog', last_thread=1, lives=None):
        nonlocal number
        number += 1
        stack = m.stack(outer, m.frame(name, 'src/%s.c' % name, line, module=module))
        m.heap(1, stack, m.site('bbbb%012d' % number, name + ' < main', own), blocks or live, size, live)
        hist = b''.join(n.to_bytes(4, 'little') for n in lives) if lives else None
        m.c.execute('UPDATE heap_site SET last_thread = ?, life_hist = ?, first_ns = 0 WHERE stack_id = ?',
                    (last_thread, hist, stack))
        return stack

    evenly = [i + 0.5 for i in range(100)]
    rising = [1000 * (i + 1) for i in range(100)]
    s = site('leaking', 100, 1000, last_thread=2)
    m.live(1, s, evenly, 1000, 'definite')
    m.series(1, s, rising)
    s = site('forgotten', 200, 100, blocks=10000, lives=[0] * 20 + [9800])
    m.live(1, s, [i / 2 for i in range(200)], 100)
    m.series(1, s, [200 * (i + 1) for i in range(100)])
    s = site('lost_list', 10, 64)
    m.live(1, s, [50], 64, 'definite')
    m.live(1, s, [50] * 9, 64, 'indirect')
    m.series(1, s, [640] * 50, start_ns=50000000000)
    s = site('cache', 100, 500)
    m.live(1, s, evenly, 500, 'reachable')
    m.series(1, s, [500 * (i + 1) for i in range(100)])
    s = site('settings', 30, 40)
    m.live(1, s, [0.1 * i for i in range(30)], 40, 'reachable')
    m.series(1, s, [40 * min(10 * (i + 1), 30) for i in range(100)])
    s = site('session', 20, 300, blocks=5000, lives=[0] * 33 + [4980])
    m.live(1, s, [98 + 0.1 * i for i in range(20)], 300, 'reachable')
    m.series(1, s, [6000, 5700] * 50)
    s = site('middle', 2, 4096)
    m.live(1, s, [20, 30], 4096, 'possible')
    m.series(1, s, [0] * 20 + [4096] * 10 + [8192] * 70)
    s = site('mixed', 4, 100)
    m.live(1, s, [40], 100, 'definite')
    m.live(1, s, [41, 42], 100, 'reachable')
    m.series(1, s, [400] * 60, start_ns=40000000000)
    s = site('_IO_file_doallocate', 1, 4096, module='/lib/libc.so.6')
    m.live(1, s, [0.01], 4096, 'reachable')
    site('start_of_loader', 1, 72, own='loader', module='/lib/ld-linux-x86-64.so.2')
    m.done()


def fork_row(m, number, parent, child, t_ns, stack, **more):
    m.insert('fork', id=number, parent_id=parent, child_id=child, child_pid=100 + number, kind='fork', t_ns=t_ns,
             pause_ns=1200000 + number, thread=1, stack_id=stack, **more)


def forks(path):
    m = Maker(path)
    head(m)
    m.process(1, 100, '/usr/bin/python3.11', ['python3', 'server.py'])
    for i in range(1, 6):
        m.process(1 + i, 100 + i, '/usr/bin/python3.11', ['python3', 'server.py'], begin='fork', parent=1, parent_pid=100,
                  end='exec' if i > 4 else 'exit', status=None if i > 4 else 0)
    outer = m.frame('main', 'src/main.c', 10)
    forked = m.stack(outer, m.frame('start_worker', 'src/pool.c', 77))
    objects = m.stack(outer, m.frame('new_object', 'src/object.c', 42))
    table = m.stack(outer, m.frame('dictResize', 'src/dict.c', 120))
    small = m.stack(outer, m.frame('note', 'src/note.c', 9))
    sites = [(objects, m.site('bbbb000000000001', 'new_object < main')), (table, m.site('bbbb000000000002', 'dictResize < main')),
             (small, m.site('bbbb000000000003', 'note < main'))]
    for stack, site in sites:
        m.heap(1, stack, site, 50000, 56, 49000)
    fork_row(m, 1, 1, 2, 100000000, forked, method='witness', exact=1, areas=40, page_tables=327680, arm_parent_ns=900000,
             arm_child_ns=None, page_size=4096, pages_shared=12000, parent_broke=30, child_broke=9530, both_broke=11,
             still_shared=2451, new_parent=5, new_child=131, copies=9560, copies_low=9560, copies_high=9560, error_pages=0,
             parent_faults=35, child_faults=9661, bytes_changed=11047, identical_pages=9487, counter_pages=10,
             pointer_pages=22, bulk_pages=30, watched_ns=1250000000)
    fork_row(m, 2, 1, 3, 300000000, forked, method='userfaultfd', exact=1, areas=40, page_tables=1031000,
             arm_parent_ns=6600000, arm_child_ns=6100000, page_size=4096, pages_shared=128840, parent_broke=11180,
             child_broke=50, both_broke=33, still_shared=117643, new_parent=400, new_child=131, copies=11197,
             copies_low=11190, copies_high=11199, error_pages=2, parent_faults=11580, child_faults=181, watched_ns=1900000000)
    fork_row(m, 3, 1, 4, 500000000, forked, method='userfaultfd', exact=0, watched_share=0.25,
             why='Protecting all pages would have taken 40 ms.', areas=41, page_size=4096, pages_shared=800000,
             parent_broke=1000, child_broke=2000, both_broke=0, still_shared=797000, copies=3000, copies_low=2800,
             copies_high=3210, error_pages=180, watched_ns=400000000)
    fork_row(m, 4, 1, 5, 600000000, forked, method='totals', exact=0, why='The machine allows no better method.',
             page_size=4096, pages_shared=500, child_broke=90, child_faults=95, error_pages=5, watched_ns=80000000)
    for name, low, high in (('parent_broke', 820, 1190), ('copies', 2800, 3210)):
        m.insert('cow_interval', fork_id=3, name=name, low=low, high=high)
    for i in (5, 6):
        fork_row(m, i, 1, 6 if i == 5 else None, 600000000 + i, forked, method='none',
                 why='Children of this place go on to another program.')
    for fork, start, kind, name, stack, pages in (
            (1, 0x555500000000, 'heap', '[heap]', 0, (9000, 20, 9000, 8, 0)),
            (1, 0x7f0000000000, 'mapping', None, forked, (3000, 10, 530, 3, 512)),
            (2, 0x7f1000000000, 'mapping', None, table, (120000, 11000, 40, 30, 0)),
            (2, 0x7f3000000000, 'library', '/usr/lib/x86_64-linux-gnu/libc.so.6', 0, (8840, 180, 10, 3, 0)),
            (3, 0x7f1000000000, 'mapping', None, table, (790000, 990, 2000, 0, 0))):
        m.insert('cow_vma', fork_id=fork, start=start, end=start + (64 << 20), perms='rw-p', kind=kind, name=name,
                 stack_id=stack, pages_shared=pages[0], parent_broke=pages[1], child_broke=pages[2], both_broke=pages[3],
                 huge=pages[4])
    for fork, stack, site, pages, blocks, size, compared in (
            (1, objects, 1, (9000, 20, 9000, 8), 400000, 56, (399000, 8000, 8980, 6)),
            (1, small, 3, (2000, 10, 530, 3), 9000, 16, (8100, 3047, 507, 4)),
            (1, 0, None, (1200, 0, 4, 0), 0, 0, (0, 0, 0, 0)),
            (2, table, 2, (100000, 8192, 10, 8), 2, 32 << 20, None),
            (2, objects, 1, (20000, 2000, 30, 20), 300000, 56, None),
            (3, objects, 1, (780000, 980, 1900, 0), 50000000, 56, None)):
        compared = compared or (None,) * 4
        m.insert('cow_site', fork_id=fork, stack_id=stack, site_id=site, pages_shared=pages[0], parent_broke=pages[1],
                 child_broke=pages[2], both_broke=pages[3], blocks=blocks, bytes=blocks * size, false_blocks=compared[0],
                 bytes_changed=compared[1], identical_pages=compared[2], counter_pages=compared[3])
    for area, stack, low_high in ((0x7f1000000000, 0, (785000, 790000, 700, 1280, 1804, 2200, 0, 90)),
                                  (0, objects, (779000, 786432, 690, 1270, 1700, 2100, 0, 80))):
        for i, name in enumerate(('pages_shared', 'parent_broke', 'child_broke', 'both_broke')):
            m.insert('cow_part_interval', fork_id=3, area=area, stack_id=stack, name=name, low=low_high[2 * i], high=low_high[2 * i + 1])
    for i in range(25):
        part = (i + 1) / 25
        m.insert('cow_sample', fork_id=1, t_ns=100000000 + 50000000 * (i + 1), parent_broke=int(30 * part),
                 child_broke=int(9530 * part), both_broke=int(11 * part), new_parent=int(5 * part), new_child=None)
    m.done()


def unrecorded(path):
    m = Maker(path)
    head(m)
    m.process(1, 100, '/srv/bin/static', ['static'], followed=0)
    m.note(1, 'static', 1, 'The program is statically linked: nothing can be preloaded into it.')
    m.done()


KINDS = {'small': small, 'empty': empty, 'many-sites': many_sites, 'many-pids': many_pids, 'verdicts': verdicts,
         'unrecorded': unrecorded, 'recording': recording, 'incomplete': incomplete, 'forks': forks,
         'pressed': pressed, 'perhaps-killed': perhaps_killed, 'killed-before': killed_before}

if __name__ == '__main__':
    KINDS[sys.argv[1]](sys.argv[2])
