"""ends.py - how processes ended, where nobody looks from outside.

    ends.py CASE

What the program itself was told by its waits is the truth.
"""
import os
import subprocess
import sys
import time

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


def killed(work, faults):
    """SIGKILL of the target: the end, and nothing left of us a second later."""
    db = work.db('run')
    p = subprocess.Popen(life.command(db, '/usr/bin/python3', '-c',
                                 "keep=[]\nprint('go', flush=True)\nwhile 1: keep.append(bytearray(600))"),
                         env=mms.environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    p.stdout.readline()
    time.sleep(0.3)
    session = life.session_of(p.pid)
    p.kill()
    faults.equal(p.wait(), -9, 'status')
    if not life.finished(db, faults, 'killed'):
        return
    row = mms.rows(db, 'SELECT end_how, status, lost_records FROM process')[0]
    faults.equal((row['end_how'], row['status'], row['lost_records']), ('signal', 9, 0), 'end')
    time.sleep(1)
    faults.equal(life.collectors(session), [], 'collectors a second later')
    faults.equal(os.path.exists(session), False, 'session file a second later')


def late(work, faults):
    """A child that shows up when its parent is over has what was there at the fork."""
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '-o', db, '--', os.path.join(mms.PROGRAMS, 'late_child')], env=mms.environment(), timeout=60)
    faults.equal(r.returncode, 3, 'the parent')
    if not life.finished(db, faults, 'late child'):
        return
    parent, child = mms.rows(db, 'SELECT * FROM process ORDER BY id')
    if not child['begin_ns'] > parent['end_ns']:
        faults.add('the child began at %d, the parent ended at %d' % (child['begin_ns'], parent['end_ns']))
    faults.equal((child['end_how'], child['status']), ('exit', 4), 'end of the child')
    faults.equal(child['inherited_blocks'], parent['live_blocks'] + 300, 'inherited: what the parent freed after the fork, too')
    faults.equal((child['inherited_freed'], child['unknown_frees']), (1000, 0), 'what the child freed')


CASES = {'told': told, 'late': late, 'killed': killed}


def main():
    name = sys.argv[1]
    faults = mms.Faults()
    with mms.Work('ends-' + name) as work:
        CASES[name](work, faults)
    return faults.done(name)


if __name__ == '__main__':
    sys.exit(main())
