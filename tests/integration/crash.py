"""crash.py - the end in the middle of a million allocations.

    crash.py HOW        one of the ways below

The program's progress lies in a mapped file.  Every allocation made before
the end is in the database: exactly, or one less, when the program was stopped
between the allocation's return and its own count of it the other way round.
`collector`: the collector is killed instead; the target must not notice, and
`recover` brings what stands in the session file.
`saturated`: the collector stands still while the program fills a small ring:
what was recorded and what is counted as lost are together what was made.
"""
import glob
import os
import signal
import struct
import subprocess
import sys
import time

import mms

CRASH = os.path.join(mms.PROGRAMS, 'crash')
N = 1000000
ENDS = {'none': ('exit', 40), 'segv': ('signal', signal.SIGSEGV), 'abort': ('signal', signal.SIGABRT),
        '_exit': ('exit', 41), 'quick_exit': ('exit', 42), 'exec': ('exit', 43),
        'kill': ('signal', signal.SIGKILL)}


def progress(path):
    try:
        with open(path, 'rb') as f:
            data = f.read(16)
        return struct.unpack('QQ', data) if len(data) == 16 else (0, 0)
    except OSError:
        return 0, 0


def until_made(p, file, n):
    while progress(file)[0] < n and p.poll() is None:
        time.sleep(0.0005)


def start(work, db, file, how, *options):
    return subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, *options, '--', CRASH, file, str(N), how], env=mms.environment(),
                            cwd=work.top, stdin=subprocess.PIPE if how == 'rest' else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=mms.quiet_signals)


def bytes_of(first, last):
    return sum(16 + i % 64 for i in range(first, last))


def in_database(db):
    """(blocks, bytes, live blocks) that crash allocated itself."""
    answer = mms.ask('sites', db)
    parts = answer.get('processes') or [answer]
    own = [s for p in parts for s in p['sites'] if s['stack'] and s['stack'][0]['function'] == 'site_crash']
    return tuple(sum(s[k] for s in own) for k in ('alloc_blocks', 'alloc_bytes', 'live_blocks'))


def check_counts(db, file, killed, faults, what):
    allocated, freed = progress(file)
    blocks, size, live = in_database(db)
    # A kill can fall between malloc's return and the program's own count, and
    # between its count of a free and the free: one more on either side.
    slack = 1 if killed else 0
    if not allocated <= blocks <= allocated + slack:
        faults.add('%s: %d allocations in the database, %d were made' % (what, blocks, allocated))
    faults.equal(size, bytes_of(0, blocks), what + ': bytes')
    if not allocated - freed <= live <= allocated - freed + slack * 2:
        faults.add('%s: %d live blocks in the database, %d are' % (what, live, allocated - freed))


def ended(how, work, faults):
    db, file = work.db('run'), work.path('progress')
    p = start(work, db, file, 'loop' if how == 'kill' else how)
    if how == 'kill':
        until_made(p, file, N // 2)
        p.kill()
    out, err = p.communicate(timeout=120)
    kind, status = ENDS[how]
    faults.equal(p.returncode, status if kind == 'exit' else -status, how + ': status')
    faults.equal((out, err), (b'', b''), how + ': output')
    if not mms.wait_finished(db, 60):
        faults.add(how + ': the database is not finished')
        return
    mms.integrity(db, faults)
    check_counts(db, file, how == 'kill', faults, how)
    rows = mms.rows(db, 'SELECT end_how, status, lost_records FROM process ORDER BY begin_ns, id')
    faults.equal((rows[-1]['end_how'], rows[-1]['status']), (kind, int(status)), how + ': end in the database')
    faults.equal(sum(r['lost_records'] for r in rows), 0, how + ': lost records')


def session_of(pid):
    """The session file that a target has mapped."""
    with open('/proc/%d/maps' % pid) as f:
        for line in f:
            if 'mmscope' in line and line.split()[1].startswith('rw-s'):
                return line.split(None, 5)[5].strip()
    return None


def collector_killed(work, faults):
    db, file = work.db('run'), work.path('progress')
    p = start(work, db, file, 'none')
    until_made(p, file, N // 10)
    session = session_of(p.pid)
    victims = mms.holders(db)
    faults.equal(len(victims), 1, 'collectors of one session')
    seen = progress(file)[0]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=120)
    faults.equal((p.returncode, out), (40, b''), 'target after its collector was killed')
    faults.equal(progress(file)[0], N, 'allocations made by the target')
    recovered = work.path('recovered.db')
    if not session or not os.path.exists(session):
        faults.add('the session file %s is gone' % session)
        return
    status, out, err = mms.verb('recover', '-o', recovered, session)
    faults.equal((status, err), (0, ''), 'recover')
    if status:
        return
    mms.integrity(recovered, faults)
    blocks, _, _ = in_database(recovered)
    unwritten = sum(r['n'] for r in mms.rows(recovered, "SELECT count AS n FROM coverage WHERE kind = 'collector_killed'"))
    print('recover: %d of %d allocations, %d had been made when the collector was killed, %d records were read and not written'
          % (blocks, N, seen, unwritten))
    if not seen <= blocks + unwritten <= N + unwritten:
        faults.add('recover: %d allocations and %d records unwritten, %d had been made' % (blocks, unwritten, seen))
    for path in glob.glob(glob.escape(session) + '*'):
        os.unlink(path)


def heap_events(db):
    """(heap records that arrived, records counted as lost), of all processes."""
    r = mms.rows(db, 'SELECT sum(alloc_blocks + free_blocks + unknown_frees) AS n, sum(lost_records) AS lost FROM process')[0]
    return r['n'], r['lost']


def saturated(work, faults):
    """The same program with nothing in the way says what it makes besides.  It
    ends when the ring is empty again: its last words are not among the lost."""
    whole = work.db('run')
    start(work, whole, work.path('whole'), 'rest').communicate(b'x', timeout=120)
    db, file = work.db('run'), work.path('progress')
    p = start(work, db, file, 'rest', '--policy', 'drop', '--ring', '128K')
    end = time.monotonic() + 20
    while not mms.holders(db) and time.monotonic() < end:
        time.sleep(0.01)
    victims = mms.holders(db)
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    p.stdin.write(b'x')
    p.stdin.flush()
    until_made(p, file, N)
    for pid in victims:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    p.communicate(timeout=120)
    if not (mms.wait_finished(whole, 60) and mms.wait_finished(db, 60)):
        faults.add('a database is not finished')
        return
    made, none = heap_events(whole)
    got, lost = heap_events(db)
    print('%d heap records made, %d recorded, %d lost' % (made, got, lost))
    faults.equal(none, 0, 'lost without a reason')
    faults.equal(got + lost, made, 'recorded and lost')
    if not lost:
        faults.add('nothing was lost: nothing was tested')


def main():
    how = sys.argv[1]
    faults = mms.Faults()
    with mms.Work('crash-' + how) as work:
        if how == 'collector':
            collector_killed(work, faults)
        elif how == 'saturated':
            saturated(work, faults)
        else:
            ended(how, work, faults)
    return faults.done(how)


if __name__ == '__main__':
    sys.exit(main())
