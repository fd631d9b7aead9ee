"""refusals.py - blocks that were refused are counted, once each.

    refusals.py exact|sample
"""
import json
import os
import subprocess
import sys

import mms

ROUNDS = 500
ENTRIES = 14


def check(work, mode):
    db = work.path('r.db')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '--mode', mode, '-o', db, '--',
                        os.path.join(mms.PROGRAMS, 'refused_blocks'), str(ROUNDS)],
                       env=mms.environment(), stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    refused, held = map(int, r.stdout.split())
    assert refused == ENTRIES * ROUNDS, refused
    told = mms.rows(db, 'SELECT failed_allocs AS n FROM process')
    assert told == [{'n': refused}], 'refused %d times, told %s' % (refused, told)
    listed = mms.rows(db, 'SELECT count(DISTINCT stack_id) AS stacks, min(error) AS least, max(error) AS most FROM alloc_failure')
    assert listed == [{'stacks': ENTRIES, 'least': 12, 'most': 12}], listed
    after = json.loads(mms.verb('oom', '--format', 'json', db)[1])['post_mortem']
    assert after['failed_allocs'] == refused, after  # of which a thousand have rows
    assert 'the last one that was kept' in ' '.join(mms.verb('oom', db)[1].split())
    if mode == 'exact':  # what could not grow lives on
        assert len(mms.rows(db, 'SELECT size FROM live_block WHERE size = ?', held)) == 1
    print('%s: refused %d times, told so' % (mode, refused))


if __name__ == '__main__':
    with mms.Work('refusals') as top:
        check(top, sys.argv[1])
