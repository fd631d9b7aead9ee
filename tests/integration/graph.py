"""graph.py - leaks told from what is kept, in heaps of up to 4,000,000 blocks (A17).

    graph.py BLOCKS MOVERS [AGE]

The program makes trees, lists and rings that hang from roots of every kind, or
from none, and prints what is what.  A look at it while it runs and the verdicts
at its end must say the same, block for block; of more than 1,000,000 blocks the
end lists a part and counts the rest.  With movers, threads move,
allocate and free blocks meanwhile: none of those that are older than AGE
seconds (0: the program is quiet) may be accused.
"""
import os
import subprocess
import sys
import time

import mms
import reach

PROGRAM = os.path.join(mms.PROGRAMS, 'graph')


def read_truth(p):
    lines = []
    for line in p.stdout:
        if line == 'ready\n':
            break
        lines.append(line)
    return {k: v for k, v in reach.expected(''.join(lines)).items() if v[0]}


def look(db, age, name):
    """(function, verdict) -> (blocks, bytes)."""
    status, out, err = mms.verb('snapshot', db, name, '--age', str(age), '--limit', '0', '--format', 'json')
    assert status == 0, err
    got = {}
    answer = mms.json.loads(out)
    for site in answer['sites']:
        name = next((f['function'] for f in site['stack'] if (f['function'] or '').startswith('site_')), None)
        have = got.get((name, site['verdict']), (0, 0))
        got[name, site['verdict']] = (have[0] + site['blocks'], have[1] + site['bytes'])
    print('paused %.1f ms, read in %.0f ms, scanned %d MB in %.0f ms' % (
        answer['pause_ns'] / 1e6, answer['read_ns'] / 1e6, answer['scanned_bytes'] // 1000000, answer['scan_ns'] / 1e6))
    return got


def compare(faults, got, want, moved, what):
    fixed = {k: v for k, v in got.items() if k[0] and k[0] != 'site_moved'}
    faults.equal(fixed, want, what)
    accused = {k: v for k, v in got.items() if k[0] in (None, 'site_moved') and k[1] in ('definite', 'indirect')}
    faults.equal(accused, {}, what + ', accused wrongly')
    if moved and not got.get(('site_moved', 'reachable')):
        faults.add(what + ': nothing of the movers was old enough to be judged')


def main(blocks, movers=0, age=0):
    faults = mms.Faults()
    with mms.Work('graph') as work:
        db = work.path('graph.db')
        p = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', PROGRAM, str(blocks), '4', str(movers)],
                             env=mms.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        want = read_truth(p)
        time.sleep(age + (1 if age else 0))
        for i in range(3 if movers else 1):
            compare(faults, look(db, age, 'look%d' % i), want, movers, 'look %d' % i)
        p.communicate(timeout=600)
        faults.equal(p.returncode, 0, 'status of the program')
        names = want | {('site_moved', 'reachable'): (0, 0)}
        at_end = reach.found(db, names)
        compare(faults, at_end, want, 0, 'at the end')
        print({k: v for k, v in sorted(want.items())})
    return faults.done('graph')


if __name__ == '__main__':
    sys.exit(main(*map(int, sys.argv[1:])))
