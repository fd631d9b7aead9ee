"""growth.py - what recording costs as each thing grows, and where it bends.

    growth.py [--only WORD] [--runs N] [--quick] [--write [FILE]]

One line for each number of live blocks, call stacks, frames, threads, processes
and areas.  --write puts the table into docs/performance.md, or FILE.
"""
import argparse
import os
import statistics
import sys

import field
import tables
from field import BENCH, mms
from loads import Load

# name, points, pairs, operations of a point (from n and pairs)
CURVES = (
    ('live blocks', 'blocks', (10 ** 4, 10 ** 5, 10 ** 6, 10 ** 7), 1000000, lambda n, pairs: n / 2 + pairs),
    ('call stacks', 'sites', (10 ** 2, 10 ** 3, 10 ** 4, 10 ** 5, 10 ** 6), 2000000, lambda n, pairs: pairs),
    ('frames', 'depth', (4, 8, 16, 32, 64, 100, 200, 400), 2000000, lambda n, pairs: pairs),
    ('threads', 'threads', (1, 2, 4, 8, 16, 32, 64), 3000000, lambda n, pairs: pairs),
    ('processes', 'processes', (1, 10, 100, 300, 1000), 2000000, lambda n, pairs: pairs),
    ('areas', 'vmas', (10 ** 2, 10 ** 3, 10 ** 4, 6 * 10 ** 4), 50000, lambda n, pairs: pairs))
ABOUT = """The work of a line is the same as that of the line before but for one number.
*Added* is the CPU of everything together less that of plain runs, for each
operation: a pair of malloc and free, or of mmap and munmap; for live blocks also
the calls that make them. A curve bends where that is more than half again as
much as at the point before."""
BARS = '▁▂▃▄▅▆▇█'


def point(work, name, n, pairs, runs):
    """(plain CPU s, exact CPU s, the run that was looked at), by medians; one
    run each where they are long."""
    plain, exact = field.ways()[0], field.ours('exact')
    load = Load(name, [os.path.join(BENCH, 'grow'), name, str(n), str(pairs)])
    base = [field.Run(work, plain, load, limit=150) for _ in range(runs)]
    looked = field.Run(work, exact, load, look=True, limit=150)
    here = [field.Run(work, exact, load, limit=150) for _ in range(runs)] if n < 10 ** 6 and runs > 1 else [looked]
    failed = [r for r in base + here + [looked] if r.failed]
    if failed:
        return None, None, failed[0]
    return statistics.median(r.cpu for r in base), statistics.median(r.cpu for r in here), looked


def spark(values):
    top = max(values) or 1
    return ''.join(BARS[min(7, int(v / top * 7.99))] for v in (max(v, 0) for v in values))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--only', default='')
    p.add_argument('--runs', type=int, default=3)
    p.add_argument('--quick', action='store_true')
    p.add_argument('--write', nargs='?', const=tables.DOCUMENT, metavar='FILE')
    args = p.parse_args()
    field.adopt_orphans()
    print(tables.machine() + '\n')
    curves = []
    with mms.Work('growth') as work:
        table = tables.Table(['what', 'how many', 'plain s', 'exact s', 'added ns each', 'peak MiB', 'disk MiB', 'first report s', ''],
                             [12, 12, 9, 9, 14, 9, 9, 14, 20])
        for title, name, points, pairs, operations in CURVES:
            if args.only not in name:
                continue
            before, added = None, []
            pairs = pairs // 10 if args.quick else pairs
            for n in points[:-1] if args.quick else points:
                plain, exact, look = point(work, name, n, pairs, 1 if args.quick else args.runs)
                if plain is None or look.failed:
                    table.row(title, format(n, ','), look.failed, '', '', '', '', '', '')
                    continue
                each = (exact - plain) / operations(n, pairs) * 1e9
                bends = before is not None and each > before * 1.5
                table.row(title, format(n, ','), '%.2f' % plain, '%.2f' % exact, '%.0f' % each, '%.1f' % look.peak,
                          '%.1f' % (look.disk / 2 ** 20), '-' if look.report is None else '%.2f' % look.report,
                          'bends: %.1f x' % (each / before) if bends else '')
                before = max(each, 1)
                added.append(each)
            if added:
                curves.append('%-12s %s' % (title, spark(added)))
    print('\n' + '\n'.join(curves))
    if args.write and not args.only:
        tables.write_section(args.write, 'As work grows', ABOUT + '\n\n' + table.markdown() + '\n\nAdded, by point:\n\n' + '\n'.join('    ' + c for c in curves))
    return 0


if __name__ == '__main__':
    sys.exit(main())
