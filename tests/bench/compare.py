"""compare.py - mmscope beside the field: one command, one table.

    compare.py [--runs N] [--only WORD] [--alone] [--quick] [--minutes N] [--write [FILE]] [--install]

Runs each load of loads.py under each way of field.py, and then shows the rows
of the design: what is to be reached, what was measured (limits.py).  --only:
loads whose name has WORD; --alone: no loads, only rows of ourselves.  --write
puts both tables into docs/performance.md, or FILE.

A tool that is not there is a named gap; --install asks the system for it.
When the time is up fewer rounds are made, and `runs` says how many there were:
of plain runs and our own never less than three, since one alone may be off by a
third.
"""
import argparse
import statistics
import sys
import time

import field
import limits
import loads
import tables
from field import mms
from tables import spread


OURS = ('plain', 'exact', 'sample')
LEAST = 3  # rounds of these
SMALL = ('gperftools', 'valgrind')  # get a part of each load, beside plain runs of the same
PART, PAIR_PART = 10, 30
SLOW = 3.0  # seconds: another tool that takes longer runs once

ABOUT = """Each load runs plain and under each tool, interleaved and in changing order, so
that what changes on the machine meanwhile hits all of them. Ratios are to the
median plain run: median (smallest-largest). *Wall* is until the program has
ended. *CPU* is that of everything together, collectors too; *after the end* is
how much of it came after the program had ended. *Peak* is the largest sum of
proportional set sizes of all processes, looked at every 20 ms; it, the bytes on
disk and the seconds from the end to the first report are of a run of their own.
A tool that takes more than 3 s runs once. gperftools, Valgrind (massif) and, on
pairs, heaptrack get a tenth to a thirtieth of a load and are compared with plain
runs of that. jemalloc and gperftools bring their own allocator: their ratios are
to glibc's. jemalloc samples every 512 KiB, gperftools takes every stack."""


class Result:
    def __init__(self):
        self.runs, self.look, self.base = [], None, None
        self.self_cost, self.threads, self.rss, self.n = None, 0, 0, 0

    def values(self, value):
        runs = [r for r in self.runs if not r.failed]
        return [value(r) for r in runs]

    def failure(self):
        return next((r.failed for r in self.runs if r.failed), None)


def measure(work, load, part, ways, args, until):
    """way name -> Result; the time that is left decides how many rounds."""
    found = {w.name: Result() for w in ways}
    rounds = load.rounds or args.runs
    enough = {}
    small = SMALL + ('heaptrack',) if load.name.startswith('pairs') else SMALL
    for w in ways:
        here = found[w.name]
        here.n, here.base = load.n, found['plain']
        if w.name in small:
            here.n, here.base = part.n, Result()
            here.base.runs = [field.Run(work, ways[0], part) for _ in range(3)]
        here.look = field.Run(work, w, part if w.name in small else load, look=True, limit=20)
        enough[w.name] = rounds if w.name in OURS or w.name in load.whole else max(1, rounds // 2)
        if here.look.failed or (w.name not in OURS and here.look.wall > SLOW):
            enough[w.name] = 0
            here.runs.append(here.look)
        elif w.name == 'exact':
            limits.after_exact(work, here.look.folder, here)
    for r in range(rounds):
        for w in ways[r % len(ways):] + ways[:r % len(ways)]:
            least = LEAST if w.name in OURS else 1
            if r < enough[w.name] and (r < least or time.monotonic() < until):
                found[w.name].runs.append(field.Run(work, w, part if w.name in small else load, limit=20))
    return found


def note(load, here):
    """What an operation costs more, where a load counts them."""
    if load.name.startswith('pairs'):
        base = statistics.median(here.base.values(pair_ns))
        return '%s ns a pair added in the program' % spread([v - base for v in here.values(pair_ns)], '%.0f')
    if load.name.startswith('start'):
        base = statistics.median(here.base.values(lambda r: r.wall))
        return '%s ms added' % spread([(v - base) * 1e3 for v in here.values(lambda r: r.wall)], '%+.1f')
    if here.n:
        base = statistics.median(here.base.values(lambda r: r.cpu))
        return '%.1f us added each' % (statistics.median([v - base for v in here.values(lambda r: r.cpu)]) / here.n * 1e6)
    return ''


def pair_ns(run):
    """Other tools print on stdout too: the number is a line of its own."""
    return [float(line) for line in run.out.decode('utf-8', 'replace').splitlines()
            if line.replace('.', '', 1).strip().isdigit() and '.' in line][-1]


def mib(value):
    return '-' if value is None else '%.1f' % value


def show(table, load, way, found):
    here = found[way]
    failure = here.failure() or here.base.failure() or (None if here.runs else 'no run')
    if failure:
        table.row(load.name, way, failure, *[''] * 7)
        return
    look = here.look
    if way == 'plain':
        cells = [spread(here.values(lambda r: r.wall)) + ' s', spread(here.values(lambda r: r.cpu)) + ' s']
    else:
        wall = statistics.median(here.base.values(lambda r: r.wall))
        cpu = max(statistics.median(here.base.values(lambda r: r.cpu)), 1e-4)
        cells = [spread([v / wall for v in here.values(lambda r: r.wall)]) + ' x',
                 spread([v / cpu for v in here.values(lambda r: r.cpu)]) + ' x']
    disk = None if way == 'plain' else look.disk / 2 ** 20
    after = statistics.median(here.values(lambda r: r.after))
    table.row(load.name, way, cells[0], cells[1], '-' if way == 'plain' else '%.2f s' % after, mib(look.peak), mib(disk),
              '-' if look.report is None else '%.2f' % look.report, len(here.runs), '' if way == 'plain' else note(load, here))


def compare(work, args, until):
    """The table, and load name -> way -> Result."""
    ways = [w for w in field.ways() if not w.missing]
    for w in field.ways():
        if w.missing:
            print('no column %s: %s' % (w.name, w.missing))
    table = tables.Table(['program', 'way', 'wall', 'CPU of everything', 'after the end', 'peak MiB', 'disk MiB', 'first report s', 'runs', ''],
                         [28, 10, 22, 22, 13, 9, 9, 14, 4, 40])
    all_found = {}
    scale = 6 if args.quick else 1
    parts = loads.all_loads(work, scale * PART, scale * PAIR_PART)
    every = [x for x in zip(loads.all_loads(work, scale, scale), parts) if args.only in x[0].name]
    for i, (load, part) in enumerate(every):
        reason = load.missing()
        if reason:
            table.row(load.name, '-', reason, *[''] * 7)
            continue
        now = time.monotonic()
        here = [w for w in ways if w.name in OURS or now < until + 30]
        share = now + max(0, until - now) / (len(every) - i)
        found = measure(work, load, part, here, args, share)
        if found['plain'].failure():
            table.row(load.name, 'plain', found['plain'].failure(), *[''] * 7)
            continue
        all_found[load.name] = found
        for w in ways:
            if w.name in found:
                show(table, load, w.name, found)
            else:
                table.row(load.name, w.name, 'no time was left', *[''] * 7)
    return table, all_found


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--runs', type=int, default=5)
    p.add_argument('--only', default='')
    p.add_argument('--alone', action='store_true')
    p.add_argument('--quick', action='store_true')
    p.add_argument('--minutes', type=float, default=12)
    p.add_argument('--write', nargs='?', const=tables.DOCUMENT, metavar='FILE')
    p.add_argument('--install', action='store_true')
    args = p.parse_args()
    if args.quick:
        args.runs, args.minutes = min(args.runs, 2), min(args.minutes, 3)
    if args.install:
        field.install()
    field.adopt_orphans()
    print('%s\n%s: ratios to the median plain run, median (smallest-largest)\n' % (tables.machine(), time.strftime('%Y-%m-%d')))
    with mms.Work('bench') as work:
        table, found = (None, {}) if args.alone else compare(work, args, time.monotonic() + args.minutes * 60)
        print()
        rows = limits.rows(work, args, found, pair_ns)
    if args.write and not (args.alone or args.only):
        gaps = ''.join('No row %s: %s.\n' % (w.name, w.missing) for w in field.ways() if w.missing)
        tables.write_section(args.write, 'Against the field', ABOUT + '\n\n' + gaps + '\n' + table.markdown())
        tables.write_section(args.write, 'The rows of the design', limits.TEXT + '\n\n' + rows.markdown())
    return 0


if __name__ == '__main__':
    sys.exit(main())
