"""verdicts.py - leak_mix under run: what leaks is told from what does not.

    verdicts.py SECONDS

151 sites of which 15 leak (tests/programs/leak_mix.c, acceptance A20).  The
truth is in the path of functions to each site.  Precision and recall of class
`leaking` or `lost` are at least 0.9.
"""
import os
import sys

import mms

SITES, LEAKING = 151, 15


def number_of(site):
    """The bits that the path of zero() and one() spells; None: another site."""
    names = [f['function'] for f in site['stack'] if f['function'] in ('zero', 'one') and not f['inlined']]
    if len(names) != 8:
        return None
    return sum((name == 'one') << bit for bit, name in enumerate(names))


def main(seconds):
    faults = mms.Faults()
    with mms.Work('verdicts') as work:
        seen = mms.observe(work, 'run', [os.path.join(mms.PROGRAMS, 'leak_mix'), seconds], onlook=False,
                           timeout=20 + 2 * float(seconds))
        faults.equal(seen.status, 0, 'status')
        mms.wait_finished(seen.db)
        answer = mms.ask('leaks', seen.db)
        told, scores = set(), {}
        for s in answer['sites']:
            number = number_of(s)
            if number is not None and s['class'] in ('leaking', 'lost'):
                told.add(number)
                scores[number] = s['score_bytes_per_s']
        right = {n for n in told if n < LEAKING}
        faults.equal([(m['areas'], m['bytes'], m['touched_bytes']) for m in answer['mappings']
                      if m['stack'][0]['function'] == 'map_pages'], [(8, 8 << 20, 56 * 4096)], 'mappings')
        print('%d told, %d of %d right; false: %s' % (len(told), len(right), LEAKING, sorted(told - right)))
        if len(right) < 0.9 * LEAKING or len(right) < 0.9 * len(told):
            faults.add('precision or recall below 0.9; missed: %s' % sorted(set(range(LEAKING)) - right))
        if any(not s or s <= 0 for n, s in scores.items() if n in right):
            faults.add('a leak without a rate: %s' % scores)
    return faults.done('verdicts')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
