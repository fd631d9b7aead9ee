"""mayflies.py - many short processes: what is kept of them, and in how much memory.

    mayflies.py N [exec] [flat]

The program says by its number alone what all of its children did, and whatever
became of their rows, the sums are that: processes and how they ended, blocks
and bytes of each site.  Every verb says what was merged, and nothing refers to
a row that is not there.  With `flat` (by hand, minutes) the list is as long as
usual, and memory of the collector and size of the database do not grow any more
after the half.
"""
import os
import subprocess
import sys

import brief
import mms

MAYFLIES = os.path.join(mms.PROGRAMS, 'mayflies')
MAX = 64
VERBS = ('report', 'leaks', 'sites', 'cow', 'maps', 'pages', 'oom')
REFERS = ('thread', 'heap_site', 'heap_series', 'left_block', 'live_block', 'vm_event', 'sample', 'mm', 'vma', 'page_scan',
          'drift', 'hidden', 'gone', 'allocator', 'debt', 'module')


def record(db, n, executes, limit):
    p = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db] + limit + ['--', MAYFLIES, str(n)] + ['exec'] * executes,
                         env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    seen = brief.watch(p, db)
    return p.wait(timeout=120), seen


def check_sums(faults, db, n, executes):
    images = mms.rows(db, 'SELECT begin_how AS b, end_how AS e, CASE end_how WHEN \'exec\' THEN 0 ELSE coalesce(status, -1) END AS s, sum(coalesce(merged, 1)) AS n'
                          ' FROM process GROUP BY 1, 2, 3 ORDER BY 1, 2, 3')
    begin = 'exec' if executes else 'fork'
    ended = {('start', 'exit', 0): 1, (begin, 'exit', 0): n - n // 50, (begin, 'exit', 3): n // 100,
             (begin, 'signal', 9): n // 100}
    if executes:
        ended['fork', 'exec', 0] = n
    faults.equal({(i['b'], i['e'], i['s']): i['n'] for i in images}, ended, 'processes by begin and end')
    sites = mms.rows(db, 'SELECT f.function AS f, sum(h.alloc_blocks) AS blocks, sum(h.alloc_bytes) AS bytes, sum(h.live_blocks) AS live'
                         ' FROM heap_site h JOIN stack s ON s.id = h.stack_id JOIN stack c ON c.id = s.id'
                         ' JOIN frame f ON f.id = c.frame_id GROUP BY 1')
    faults.equal({s['f']: (s['blocks'], s['bytes'], s['live']) for s in sites if s['f'].startswith('site_')},
                 {'site_kept': (n, 100 * n, n), 'site_freed': (n, 40 * n, 0), 'site_lost': (n // 100, 48 * (n // 100), n // 100)},
                 'what the sites did')
    sums = mms.rows(db, 'SELECT sum(alloc_blocks) AS a, sum(live_bytes) AS l, sum(lost_records) AS lost FROM process')[0]
    faults.equal((sums['a'], sums['l'], sums['lost']), (2 * n + n // 100, 100 * n + 48 * (n // 100), 0), 'sums of the processes')
    faults.equal(mms.rows(db, 'SELECT sum(alloc_blocks) AS a FROM thread')[0]['a'], sums['a'], 'sums of the threads')
    faults.equal(mms.rows(db, 'SELECT count(*) AS n FROM process p WHERE peak_bytes <> (SELECT coalesce(sum(peak_bytes), 0)'
                              ' FROM heap_site h WHERE h.process_id = p.id)')[0]['n'], 0, 'peaks that do not add up')
    faults.equal(mms.rows(db, 'SELECT max(peak_bytes) AS n FROM process')[0]['n'], 148, 'the highest peak')
    faults.equal(mms.rows(db, 'SELECT sum(coalesce(merged, 1)) AS n FROM fork')[0]['n'], n, 'forks')


def check_rows(faults, db, limit):
    for table in REFERS:
        dangling = mms.rows(db, 'SELECT count(*) AS n FROM %s WHERE process_id NOT IN (SELECT id FROM process)' % table)[0]['n']
        faults.equal(dangling, 0, 'rows of %s without a process' % table)
    faults.equal(mms.rows(db, 'SELECT count(*) AS n FROM heap_site h LEFT JOIN stack s ON s.id = h.stack_id LEFT JOIN module m'
                              ' ON m.context = s.context WHERE h.stack_id > 0 AND m.id IS NULL')[0]['n'], 0, 'sites without modules')
    kept = mms.rows(db, 'SELECT count(*) AS n FROM process')[0]['n']
    merged = mms.rows(db, "SELECT coalesce(sum(count), 0) AS n FROM coverage WHERE kind = 'processes_merged'")[0]['n']
    if not merged or kept > limit:
        faults.add('%d rows of processes, %d merged' % (kept, merged))


def check_verbs(faults, db, n, children):
    for verb in VERBS:
        answer = mms.ask(verb, db)
        kinds = [note['kind'] for note in answer['coverage']['notes']]
        if 'processes_merged' not in kinds:
            faults.add('%s does not say that processes were merged' % verb)
        faults.equal(answer['capture']['processes'], n, 'processes in ' + verb)
    sums = [p for p in mms.ask('report', db)['processes'] if p.get('merged')]
    faults.equal([p['pid'] for p in sums], [None] * len(sums), 'pids of sums')
    lost = [s for s in mms.ask('leaks', db)['sites'] if s['stack'] and s['stack'][0]['function'] == 'site_lost']
    faults.equal(sum(s['blocks'] for s in lost), children // 100, 'blocks of site_lost in leaks')
    text = mms.verb('leaks', '--limit', '0', db)[1]
    if 'further mayflies, merged' not in text:
        faults.add('leaks does not show the sum of the processes')
    for words in (['top', '--once'], ['html', '--output', db + '.html'], ['diff', db],
                  ['export', '--format', 'openmetrics'], ['export', '--format', 'trace'], ['export', '--format', 'csv']):
        r = subprocess.run([mms.MMSCOPE] + words + [db], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if r.returncode:
            faults.add('%s: status %d: %s' % (' '.join(words), r.returncode, r.stderr))


def main(n, *words):
    faults = mms.Faults()
    executes, flat = 'exec' in words, 'flat' in words
    with mms.Work('mayflies') as work:
        db = work.path('mayflies.db')
        status, seen = record(db, n, executes, [] if flat else ['--processes', str(MAX)])
        faults.equal((status, len(seen)), (0, 10), 'the program')
        check_sums(faults, db, n, executes)
        check_rows(faults, db, 4096 if flat else MAX)
        check_verbs(faults, db, n * (1 + executes) + 1, n)
        for what, now, then in zip(('memory of the collector', 'database'), seen[-1], seen[4]):
            if flat and now > then + then // 5 + 4096:
                faults.add('%s grew from %d to %d KiB' % (what, then, now))
    return faults.done('mayflies')


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
