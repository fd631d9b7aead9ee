"""oom_refused.py - requests that were refused: which limit said so.

Called by oom.py, as `oom.py refused`.
"""
import os
import resource
import signal
import subprocess

import mms
from groups import PIDS, Named
from judging import MIB, SLOW, TIMES, check_text, end_of, judge, near, reached, start, wait_for

POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB'


def check_refused(work, faults):
    """Which limit said no, to requests of all kinds."""
    with open('/proc/sys/vm/overcommit_memory') as f:
        mode = f.read().strip()
    cases = [  # name, way, own limits, kind, words
        ('small', 'small', [('v', 80 * MIB)], 'RLIMIT_AS', 'said so: RLIMIT_AS.'),
        ('small-data', 'small', [('d', 24 * MIB)], 'RLIMIT_DATA', 'said so: RLIMIT_DATA.'),
        ('maps', 'maps', [('v', 200 * MIB)], 'RLIMIT_AS', 'last one of 1.00 MiB'),
        ('maps-data', 'maps', [('d', 200 * MIB)], 'RLIMIT_DATA', 'said so: RLIMIT_DATA.'),
    ]
    cases += [('threads', 'threads', [('v', 300 * MIB)], 'RLIMIT_AS', 'last one of 1.00 MiB'),
              ('usual', 'usual', [('s', 8 * MIB), ('v', 300 * MIB)], 'RLIMIT_AS', 'last one of 8.00 MiB')]
    if mode == '0':
        cases.append(('one', 'one', [], 'committed', 'the rule of vm.overcommit_memory=0 that no request exceed'))
    if SLOW:  # one after the other, each when it is asked for
        running = ((case, *start(work, case[0], case[1], own=case[2])) for case in cases)
    else:
        apart = start(work, 'noreserve', 'noreserve')
        running = [(case, *start(work, case[0], case[1], own=case[2])) for case in cases]
    for (name, _, _, kind, words), p, db, _ in running:
        p.wait()
        mms.wait_finished(db)
        after = judge(db)['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('oom_killed')), (kind, False), name + ': post mortem')
        check_text(faults, db, words)
    check_unseen(work, faults)
    check_apart(faults, *(start(work, 'noreserve', 'noreserve') if SLOW else apart))
    check_too_many(work, faults)
    check_pool(work, faults)


def set_pool(pages):
    try:
        with open(POOL + '/nr_hugepages', 'w', encoding='ascii') as f:
            f.write(pages)
    except OSError as e:
        print('pool of huge pages left as it is: %s' % e.strerror)


def check_pool(work, faults):
    """Huge pages of 2 MiB: some when they can be had, and then none."""
    if not os.path.isdir(POOL):
        print('pool of huge pages not tested: this kernel has none')
        return
    with open(POOL + '/nr_hugepages', encoding='ascii') as f:
        before = f.read()
    set_pool('8')
    try:
        p, db, progress = start(work, 'pool', 'pool')
        p.wait()
        mms.wait_finished(db)
    finally:
        set_pool(before)
    a = judge(db)
    after = a['post_mortem'] or {}
    faults.equal((after.get('failed_limit'), after.get('failed_size')), ('hugetlb', 2 * MIB), 'pool: post mortem')
    pool = {l['kind']: l for l in a['limits']}.get('hugetlb', {})
    faults.equal((pool.get('path'), pool.get('headroom_bytes')), (POOL, 0), 'pool: what was left')
    faults.equal(pool.get('limit_bytes'), reached(progress), 'pool: of what the program got')
    check_text(faults, db, 'said so: the pool of huge pages')


def check_unseen(work, faults):
    """Who is refused and over before anybody looks has told what it had."""
    for name, letter in (('RLIMIT_AS', 'v'), ('RLIMIT_DATA', 'd')):
        p, db, progress = start(work, 'unseen-' + letter, 'brief', stdin=subprocess.PIPE, own=[(letter, 200 * MIB)])
        wait_for(p, progress, 1, 1)
        collectors = mms.holders(db)
        for pid in collectors:
            os.kill(pid, signal.SIGSTOP)
        p.communicate(b'\n')
        for pid in collectors:
            os.kill(pid, signal.SIGCONT)
        mms.wait_finished(db)
        a = judge(db)
        after = a['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('failed_size')), (name, MIB), name + ', unseen: post mortem')
        left = {l['kind']: l['headroom_bytes'] for l in a['limits']}[name]
        faults.equal(0 <= left < MIB, True, '%s, unseen: %d left of what was refused' % (name, left))
        check_text(faults, db, 'said so: %s.' % name)


def check_too_many(work, faults):
    """Threads that were refused, though there is memory: by the number that a
    user may have, and by that of a cgroup."""
    os.chmod(work.top, 0o777)
    user = 65534 - os.getpid() % 1000  # whose threads are these alone
    running = [('RLIMIT_NPROC', 'said so: RLIMIT_NPROC.', start(
        work, 'nproc', 'threads', user=user, limits=[(resource.RLIMIT_NPROC, 40)]))] if os.geteuid() == 0 else []
    group = os.path.join(PIDS, 'mms-oom-%d' % os.getpid())
    try:
        os.mkdir(group)
        with open(os.path.join(group, 'pids.max'), 'w') as f:
            f.write('30')
    except OSError as e:
        print('pids cgroup not tested: %s' % e.strerror)
        group = None
    if group:
        own = Named(group)
        running.append(('pids', 'said so: pids.max of the cgroup', start(work, 'pids', 'threads', own)))
    for kind, words, (p, db, progress) in running:
        p.wait()
        mms.wait_finished(db)
        after = judge(db)['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('oom_killed')), (kind, False), kind + ': post mortem')
        check_text(faults, db, words, 'the last one, a thread or process,')
        if kind == 'pids':  # and before
            begin, _ = end_of(db)
            left = {l['path']: l for l in judge(db, begin + 0.9 * TIMES)['limits']}[group]['headroom_bytes']
            print('pids.max: predicted %d, measured %d' % (left, reached(progress) / MIB))
            faults.equal(left, reached(progress) / MIB, 'threads that may still be made')
    if group:
        own.remove()


def check_apart(faults, p, db, _):
    """What was mapped with MAP_NORESERVE is no promise: told apart."""
    p.wait()
    mms.wait_finished(db)
    _, end = end_of(db)
    debts = judge(db, end - 0.2)['debts']
    near(faults, 'untouched without a promise', debts['noreserve'], (512 - 100 + 128) * MIB)
    # Beside the 48 MiB there is the program's own small change.
    if not 47 * MIB < debts['touch'] < 80 * MIB:
        faults.add('untouched with a promise: %.1f MiB' % (debts['touch'] / MIB))
    check_text(faults, db, 'mapped with MAP_NORESERVE')
