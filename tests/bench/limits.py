"""limits.py - the rows of the design's section on speed: to reach, and measured.

Some come from the runs of compare.py, the others are measured here: the
collector alone, its idle cost, its memory, a full ring, the database, the
verbs, arming of copy-on-write.
"""
import os
import re
import shutil
import statistics
import subprocess
import time

import tables
from field import BENCH, Run, Way, mms, on_cpu_s, ours
from loads import Load
from tables import spread

TEXT = """A ratio is the median of the CPU of everything together to that of plain runs. `until the program ends` is the
same without what the collector does afterwards: reading the rest, symbols, the database. That part does not grow with
the time that a program runs; it weighs in loads of half a second as these are."""

PROGRAMS = {  # load: exact, sample
    'C++ map and string churn': (2.0, 1.05), 'python3, PYTHONMALLOC=malloc': (1.9, 1.02), 'gcc cc1 -O2, 5,000 lines': (1.4, 1.02),
    'sqlite3, 1 M rows and index': (1.25, 1.02), 'redis-server, pipeline 16': (1.25, 1.02), 'git log --stat': (1.15, 1.02),
    'node, allocating': (1.6, 1.05), 'bash, 500 subshells': (1.4, 1.15)}
PAIRS = {8: 30, 32: 40, 100: 80}
VERBS = ('report', 'leaks', 'sites', 'maps', 'pages', 'cow', 'oom', 'html', 'export', 'diff')


class Rows(tables.Table):
    def __init__(self):
        super().__init__(['what', 'to reach', 'measured', ''], [52, 22, 44, 12])

    def judge(self, what, limit, value, text, form='%g'):
        self.row(what, '<= ' + form % limit, text, 'reached' if value <= limit else 'falls short')

    def gap(self, what, reason):
        self.row(what, '', reason, 'not measured')


def largest(work):
    return work.path('largest.db')


def after_exact(work, folder, result):
    """Keeps the figures about ourselves, and the largest database."""
    db = os.path.join(folder, 'm.db')
    result.self_cost = mms.ask('report', db)['self_cost']
    meta = mms.rows(db, "SELECT key, value FROM meta WHERE key IN ('preload_bytes', 'session_bytes')")
    result.self_cost.update((r['key'], int(r['value'])) for r in meta)
    found = mms.rows(db, 'SELECT (SELECT count(*) FROM thread WHERE process_id = p.id) AS threads, coalesce(hiwater_rss, 0) AS rss'
                         ' FROM process p ORDER BY 1')
    one = len(found) == 1
    result.threads, result.rss = found[0]['threads'] if one else 1, found[0]['rss'] if one else 0
    if not os.path.exists(largest(work)) or os.path.getsize(db) > os.path.getsize(largest(work)):
        shutil.copyfile(db, largest(work))


def pair_rows(table, found, ns):
    def added(depth, way, threads=1):
        here = found.get('pairs, depth %d, %d thread%s' % (depth, threads, 's' * (threads > 1)))
        if not here or way not in here or here[way].failure():
            return None
        base = statistics.median(here['plain'].values(ns))
        return [v - base for v in here[way].values(ns)]
    for depth, limit in PAIRS.items():
        values = added(depth, 'exact')
        if values:
            table.judge('exact, ns added a pair, depth %d' % depth, limit, statistics.median(values), spread(values, '%.0f'))
    one, two = added(32, 'exact'), added(32, 'exact', 2)
    if one and two:
        ratio = statistics.median(two) / statistics.median(one)
        table.judge('exact, 2 threads: added a pair to that of 1 thread', 1.1, ratio, '%.2f' % ratio)
    here = found.get('pairs, depth 32, 1 thread')
    if here and one:
        n = here['exact'].n
        base = statistics.median(here['plain'].values(lambda r: r.cpu))
        values = [(v - base) / n * 1e9 for v in here['exact'].values(lambda r: r.cpu)]
        table.judge('exact, target and collector together, depth 32, ns', 90, statistics.median(values), spread(values, '%.0f'))


def sample_pairs(table, work, quick, ns):
    """Less than what two runs of the same differ by: loops five times as long, each
    beside a plain one right before it."""
    load = Load('long pairs', [os.path.join(BENCH, 'pairs'), str(40000000 // (6 if quick else 1)), '32', '1'])
    plain, sample = Way('plain', lambda argv, folder: (argv, {})), ours('sample')
    values = []
    for _ in range(3 if quick else 9):
        before, run = Run(work, plain, load), Run(work, sample, load)
        if before.failed or run.failed:
            raise ValueError(before.failed or run.failed)
        values.append(ns(run) - ns(before))
    table.judge('sample 512 KiB, ns added a pair', 5, statistics.median(values), spread(values, '%.1f'))


def program_rows(table, found):
    for name, limits in PROGRAMS.items():
        here = found.get(name)
        for way, limit in zip(('exact', 'sample'), limits):
            if not here or way not in here or here[way].failure():
                continue
            base = statistics.median(here['plain'].values(lambda r: r.cpu))
            values = [v / base for v in here[way].values(lambda r: r.cpu)]
            alone = statistics.median(here[way].values(lambda r: r.cpu - r.after)) / base
            table.judge('%s, %s' % (name, way), limit, statistics.median(values),
                        '%s; until the program ends %.3f' % (spread(values, '%.3f'), alone))
    for name, what, n in (('start of /bin/true', 'start of /bin/true under run, ms', 1),
                          ('forks, 600 processes', 'each further process, ms', None)):
        here = found.get(name)
        for way in ('exact', 'sample'):
            if here and not here[way].failure():
                base = statistics.median(here['plain'].values(lambda r: r.wall))
                values = [(v - base) * 1e3 / (n or here[way].n) for v in here[way].values(lambda r: r.wall)]
                table.judge('%s, %s' % (what, way), 3 if n else 0.3, statistics.median(values), spread(values, '%.2f'))


def arming(table, work):
    db = work.path('arm.db')
    subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', os.path.join(mms.PROGRAMS, 'cow_pair'), '1', '4k'],
                   env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found = mms.rows(db, 'SELECT arm_parent_ns, arm_child_ns, pages_shared FROM fork WHERE arm_parent_ns > 0 AND pages_shared > 0')
    if not found:
        table.gap('COW arming, ns a page', 'no write protection by userfaultfd here')
        return
    f = found[0]
    parent, child = f['arm_parent_ns'] / f['pages_shared'], f['arm_child_ns'] / f['pages_shared']
    table.judge('COW arming, ns a page', 60, max(parent, child), 'parent %.0f, child %.0f' % (parent, child))


def collector_speed(table, found):
    tool = os.path.join(BENCH, 'bench_collector')
    r = subprocess.run([tool, '100000'], stdout=subprocess.PIPE, text=True)
    parts = [line.split() for line in r.stdout.splitlines()[1:] if len(line.split()) >= 4]
    parts = [p for p in parts if p[0] != 'growth']  # that is the kernel giving pages
    two = [p for p in parts if p[0].startswith('two/')]  # by time, where the others are by CPU
    parts = [p for p in parts if p not in two]
    if two:
        table.row('collector, M records/s of two programs, by threads and live blocks', '',
                  ', '.join('%s %s %s' % (p[0][4:], format(int(p[1]), ','), p[3]) for p in two), '')
    if parts:
        worst = min(float(p[3]) for p in parts)
        table.row('collector, M records/s a core, by stream and live blocks', '>= 20',
                  ', '.join('%s %s %s' % (p[0], format(int(p[1]), ','), p[3]) for p in parts),
                  'reached' if worst >= 20 else 'falls short')
    here = found.get('pairs, depth 32, 1 thread')
    if here and here['exact'].self_cost:
        speed = 2 * here['exact'].n / here['exact'].self_cost['collector_cpu_s'] / 1e6
        table.row('  the same, a whole run of pairs', '', '%.1f, its start and end included' % speed, '')


def hold(work, n, ring=None):
    db = work.path('hold-%d.db' % n)
    options = ['--ring', ring] if ring else []
    p = subprocess.Popen([mms.MMSCOPE, 'run', *options, '-o', db, '--', os.path.join(BENCH, 'hold'), str(n)],
                         env=mms.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    return p, db


def status_kib(pid, name):
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(name + r':\s+(\d+)', f.read()).group(1))


def collector_alone(table, work, quick):
    """Idle cost, and memory with many live blocks against nearly none."""
    n = 200000 if quick else 2000000
    anon = {}
    for blocks in (1000, n):
        p, db = hold(work, blocks)
        time.sleep(3)
        for pid in mms.holders(db)[:1]:
            anon[blocks], all_of_it = status_kib(pid, 'RssAnon'), status_kib(pid, 'VmRSS')
            if blocks < n:
                continue
            seconds = 3 if quick else 12
            before = on_cpu_s(pid)
            time.sleep(seconds)
            idle = (on_cpu_s(pid) - before) / seconds * 100
            table.judge('collector, idle, % of a core', 0.5, idle, '%.2f in %d s' % (idle, seconds))
        p.communicate(b'')
        mms.wait_finished(db)
    each = (anon[n] - anon[1000]) * 1024 / n
    table.judge('collector, bytes a live block (%s of them)' % format(n, ','), 48, each, '%.1f' % each)
    table.judge('collector, MiB in memory then', n * 48 / 2 ** 20 + 64, all_of_it / 1024, '%.0f' % (all_of_it / 1024), '%.0f')


def back_pressure(table, work, quick):
    """Two threads that do nothing but allocate, through rings of each size."""
    n = 200000 if quick else 1000000
    out = []
    for ring in ('128K', '1M', '32M'):
        load = Load('ring', [os.path.join(BENCH, 'pairs'), str(n), '8', '2'])
        way = ours('exact')
        plain = way.command
        way.command = lambda argv, folder: (lambda c, e: ([*c[:2], '--ring', ring, *c[2:]], e))(*plain(argv, folder))
        r = Run(work, way, load)
        db = os.path.join(r.folder, 'm.db')
        lost = mms.rows(db, 'SELECT sum(lost_records) AS n, sum(alloc_blocks) AS made FROM process')[0]
        out.append((ring, r.cpu / n / 2 * 1e9, r.wall, lost['n'], lost['made'] >= 2 * n))
    good = all(lost == 0 and whole for _, _, _, lost, whole in out)
    table.row('back-pressure, 2 threads of pairs, by --ring', 'all arrive',
              '; '.join('%s %.0f ns a pair, %.2f s' % (r, ns, wall) for r, ns, wall, _, _ in out),
              'reached' if good else 'falls short')


def loading(table, work, quick):
    """What loading mmscope costs more than /bin/true: a part of each start, paid once."""
    ways = [Load('true', ['/bin/true']), Load('mmscope', [mms.MMSCOPE, '--version'])]
    plain = Way('plain', lambda argv, folder: (argv, {}))
    ms = {load.name: [] for load in ways}
    for _ in range(10 if quick else 40):
        for load in ways:
            ms[load.name].append(Run(work, plain, load).cpu * 1e3)
    added = [statistics.median(ms['mmscope']) - statistics.median(ms['true']), min(ms['mmscope']) - min(ms['true'])]
    table.row('loading mmscope, CPU ms more than /bin/true', '', '%.2f; of the least %.2f' % tuple(added), '')


HIDE = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /usr/lib/debug && exec "$@"', 'sh']


def the_end(table, work):
    """What reading the debug information of the C library costs each recording."""
    load = Load('end', [os.path.join(BENCH, 'pairs'), '1000', '8', '1'])
    plain = ours('exact').command
    seconds = []
    for before in ([], HIDE):
        way = ours('exact')
        way.command = lambda argv, folder: (before + plain(argv, folder)[0], {})
        runs = [Run(work, way, load) for _ in range(5)]
        failed = [r.failed for r in runs if r.failed]
        seconds.append(None if failed else statistics.median(r.after for r in runs))
    if seconds[0] is not None:
        rest = '%.0f ms where no debug files are' % (seconds[1] * 1e3) if seconds[1] is not None else 'debug files cannot be hidden here'
        table.row('CPU after the end of a program of nothing', '', '%.0f ms; %s' % (seconds[0] * 1e3, rest), '')


def database(table, work, found):
    sizes = {name: here['exact'].look.disk for name, here in found.items()
             if here['exact'].look and here['exact'].look.disk is not None}
    if sizes:
        name = max(sizes, key=sizes.get)
        table.judge('database, MiB, the largest of all runs above', 64, sizes[name] / 2 ** 20,
                    '%.1f (%s)' % (sizes[name] / 2 ** 20, name))
    bounded = os.path.join(mms.BUILD, 'tests', 'unit', 'test_bounded')
    if os.path.exists(bounded):
        r = subprocess.run([bounded], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        end = re.search(r'(\d+) at the end', r.stdout)
        if end:
            table.judge('database, MiB, of months, without sites', 64, int(end.group(1)) / 2 ** 20,
                        '%.1f, when every list is full' % (int(end.group(1)) / 2 ** 20))
    if not os.path.exists(largest(work)):
        return
    more = {'html': ['-o', work.path('page.html')], 'export': ['--format', 'folded'], 'diff': [largest(work)]}
    times = {}
    for v in VERBS:
        begin = time.monotonic()
        status, _, err = mms.verb(v, *more.get(v, []), largest(work))
        times[v] = time.monotonic() - begin
        if status not in (0, 1):
            raise ValueError('%s ended with %d: %s' % (v, status, err.strip()))
    worst = max(times, key=times.get)
    table.judge('every verb, s, on the largest database (%.1f MiB)' % (os.path.getsize(largest(work)) / 2 ** 20), 1, times[worst],
                '%.2f (%s); %s' % (times[worst], worst, ', '.join('%s %.2f' % x for x in times.items() if x[0] != worst)))


def preload(table, found):
    """The largest share of what it may take, over all loads.  Where it is the
    child of a fork that is largest, threads and RSS may be another process's:
    the limit counts one thread and no RSS then."""
    worst, session = None, 0
    for name, here in found.items():
        cost = here['exact'].self_cost
        if not cost or cost.get('preload_bytes', -1) < 0:
            continue
        session = max(session, cost['session_bytes'])
        limit = 2 * 2 ** 20 + 65536 * here['exact'].threads + here['exact'].rss // 1000
        if not worst or cost['preload_bytes'] / limit > worst[0]:
            worst = cost['preload_bytes'] / limit, name, cost['preload_bytes'], limit
    if worst:
        table.judge('the preload in the target, MiB, where it is nearest its limit', worst[3] / 2 ** 20, worst[2] / 2 ** 20,
                    '%.2f (%s); beside it the session file that all share, at most %.0f MiB' % (
                        worst[2] / 2 ** 20, worst[1], session / 2 ** 20), '%.2f')


def rows(work, args, found, ns):
    table = Rows()
    parts = [lambda: pair_rows(table, found, ns), lambda: program_rows(table, found)]
    if not args.only:
        parts += [lambda: sample_pairs(table, work, args.quick, ns), lambda: loading(table, work, args.quick),
                  lambda: arming(table, work), lambda: collector_speed(table, found),
                  lambda: collector_alone(table, work, args.quick), lambda: back_pressure(table, work, args.quick),
                  lambda: the_end(table, work), lambda: database(table, work, found), lambda: preload(table, found)]
    for part in parts:
        try:
            part()
        except (OSError, ValueError, KeyError, subprocess.SubprocessError, AssertionError) as e:
            table.gap('rows', '%s: %s' % (type(e).__name__, e))
    return table
