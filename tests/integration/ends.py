"""ends.py - how processes ended, where nobody looks from outside.

    ends.py CASE

What the program itself was told by its waits is the truth.
"""
import subprocess
import sys

import mms
import test_run_life as life


def told(work, faults):
    """Without a collector nobody looks from outside: parents tell how their children ended, also after an exec and by pid."""
    db = work.db('preload')
    script = ''.join("sh -c '%s'; echo $?\n" % end for end in ('kill -KILL $$', 'exit 7', 'kill -TERM $$', ':'))
    script += '(kill -KILL $(exec sh -c "echo \\$PPID")); echo $?; env true; (exec env true); echo end'
    r = subprocess.run(['/usr/bin/env', 'LD_PRELOAD=' + mms.LIBRARY, 'MMSCOPE_OUT=' + db, 'MMSCOPE_NOHELPER=1', '/bin/dash', '-c', script],
                       env=mms.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    faults.equal((r.returncode, r.stdout.split()), (0, ['137', '7', '143', '0', '137', 'end']), 'what the shell says')
    mine = life.sessions_for(db)
    faults.equal(len(mine), 1, 'sessions left behind')
    status = mms.verb('recover', mine[0])[0] if mine else 1
    faults.equal(status, 0, 'recover')
    if status:
        return
    rows = mms.rows(db, "SELECT begin_how AS b, end_how AS e, status AS s FROM process WHERE end_how <> 'exec' ORDER BY id")
    faults.equal([(x['e'], x['s']) for x in rows if x['e'] == 'unknown'], [], 'ends that nobody knew')
    faults.equal(sorted((x['s'] for x in rows if x['e'] == 'signal')), [9, 9, 15], 'signals that killed')
    faults.equal(sorted(x['s'] for x in rows if x['e'] == 'exit' and x['s']), [7], 'exit statuses')


CASES = {'told': told}


def main():
    name = sys.argv[1]
    faults = mms.Faults()
    with mms.Work('ends-' + name) as work:
        CASES[name](work, faults)
    return faults.done(name)


if __name__ == '__main__':
    sys.exit(main())
