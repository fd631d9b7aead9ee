"""brief.py - many short threads: what is kept of them, and in how much memory.

    brief.py N [flat]

Whatever becomes of the rows of threads, their sums are those of the process,
nothing of a block that a thread lost is taken for reachable, and what was
merged is said.  With `flat` (by hand, minutes): memory of the collector and
size of the database, at each tenth of the threads, do not grow any more after
the second.
"""
import os
import subprocess
import sys

import mms

BRIEF = os.path.join(mms.PROGRAMS, 'brief')
AT_ONCE, LOSES = 8, 1000


def collector_kib(db):
    """Its own memory: what it shares with the program is the session, which is bounded by its size."""
    total = 0
    for pid in mms.holders(db):
        with open('/proc/%d/status' % pid, encoding='utf-8') as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith('RssAnon:'))
    return total


def size_kib(db):
    return sum(os.path.getsize(db + end) for end in ('', '-wal') if os.path.exists(db + end)) // 1024


def watch(p, db):
    """Memory and size in KiB at each tenth."""
    seen = []
    for line in p.stdout:
        seen.append((collector_kib(db), size_kib(db)))
        print('%s0 %%: collector %d KiB, database %d KiB' % (line.strip(), *seen[-1]), flush=True)
    return seen


def main(n, flat=False):
    faults = mms.Faults()
    with mms.Work('brief') as work:
        db = work.path('brief.db')
        p = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', BRIEF, str(n)], env=mms.environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        seen = watch(p, db)
        faults.equal((p.wait(timeout=120), len(seen)), (0, 10), 'the program')
        process = mms.rows(db, 'SELECT alloc_blocks, alloc_bytes, lost_records FROM process')[0]
        sums = mms.rows(db, 'SELECT sum(alloc_blocks) AS blocks, sum(alloc_bytes) AS bytes, sum(number > 0) AS n FROM thread')[0]
        merged = mms.rows(db, "SELECT coalesce(sum(count), 0) AS n FROM coverage WHERE kind = 'threads_merged'")[0]['n']
        faults.equal(process['lost_records'], 0, 'lost records')
        faults.equal((sums['blocks'], sums['bytes']), (process['alloc_blocks'], process['alloc_bytes']), 'sums of the threads')
        faults.equal(sums['n'] + merged, n + 1, 'threads')
        if merged == 0 or sums['n'] > 4096 + AT_ONCE + 1:
            faults.add('%d rows of threads, %d merged' % (sums['n'], merged))
        lost = [(s['verdict'], s['blocks'], s['bytes']) for s in mms.ask('leaks', db)['sites']
                if s['stack'] and s['stack'][0]['function'] == 'site_lost']
        faults.equal(lost, [('definite', n // LOSES, 48 * (n // LOSES))], 'lost blocks')
        for what, now, then in zip(('memory of the collector', 'database'), seen[-1], seen[1]):
            if flat and now > then + then // 5 + 4096:
                faults.add('%s grew from %d to %d KiB' % (what, then, now))
    return faults.done('brief')


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]), 'flat' in sys.argv[2:]))
