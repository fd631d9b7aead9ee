"""families.py - several busy programs at once, read by one thread and by several.

    families.py N

The program says by its number alone what each of its processes did; whoever
reads the records, and with a ring that is full all the time, that is in the
database, for those that were killed too.
"""
import os
import subprocess
import sys

import mms

PROGRAM = os.path.join(mms.PROGRAMS, 'families')
SITES = ('site_freed', 'site_kept', 'site_thread', 'site_child')


def truth(n, number):
    """Blocks given out and live by site, of the program and of its child."""
    kept, found = (n + 99) // 100, (n // 2 + 99) // 100
    return ({'site_freed': (n, 0, 0), 'site_kept': (kept, kept, kept * (100 + number)), 'site_thread': (n // 2, 0, 0)},
            {'site_child': (n // 4, n // 4, n // 4 * 32)}, found)


def sites_of(db, process):
    rows = mms.rows(db, 'SELECT f.function AS f, sum(h.alloc_blocks) AS a, sum(h.live_blocks) AS l, sum(h.live_bytes) AS b'
                        ' FROM heap_site h JOIN stack s ON s.id = h.stack_id JOIN stack c ON c.id = s.parent_id'
                        ' JOIN frame f ON f.id = c.frame_id WHERE h.process_id = %d GROUP BY 1' % process)
    return {r['f']: (r['a'], r['l'], r['b']) for r in rows if r['f'] in SITES}


def check_process(faults, db, n, p):
    number = int(p['argv'].split('"')[5])
    own, child, found = truth(n, number)
    is_child = p['begin_how'] == 'fork'
    name = '%s of number %d' % ('child' if is_child else 'program', number)
    faults.equal(sites_of(db, p['id']), child if is_child else own, 'sites of the ' + name)
    dies = number == (2 if is_child else 3)
    faults.equal((p['end_how'], p['status']), ('signal', 9) if dies else ('exit', 0), 'end of the ' + name)
    faults.equal(p['lost_records'], 0, 'lost records of the ' + name)
    faults.equal(p['inherited_freed'], found if is_child else 0, 'inherited blocks freed by the ' + name)
    # Blocks of the second thread that were live at the fork are inherited, too.
    if is_child and not found <= p['inherited_blocks'] <= found + 40:
        faults.add('%s inherited %d blocks' % (name, p['inherited_blocks']))
    peak = mms.rows(db, 'SELECT sum(peak_bytes) AS n FROM heap_site WHERE process_id = %d' % p['id'])[0]['n']
    faults.equal(peak, p['peak_bytes'], 'composition of the peak of the ' + name)


def check(faults, work, n, workers, ring):
    db = work.path('families.%d.db' % workers)
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--workers', str(workers), '--ring', ring, '--', PROGRAM, str(n)],
                       env=mms.environment(), stdin=subprocess.DEVNULL, timeout=100)
    faults.equal(r.returncode, 0, 'status with %d' % workers)
    threads = int(mms.rows(db, "SELECT value AS n FROM meta WHERE key = 'collector_threads'")[0]['n'])
    if (threads > 1) != (workers > 1) or threads > workers:
        faults.add('%d threads read where %d may' % (threads, workers))
    processes = mms.rows(db, "SELECT * FROM process WHERE argv LIKE '%\"one\"%'")
    faults.equal(len(processes), 8, 'processes')
    for p in processes:
        check_process(faults, db, n, p)


def main(n):
    faults = mms.Faults()
    with mms.Work('families') as work:
        for workers, ring in ((1, '32M'), (2, '2M'), (4, '32M')):
            check(faults, work, n, workers, ring)
    return faults.done('families')


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1])))
