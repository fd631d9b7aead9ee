"""oom.py - mmscope oom against limits that are really hit.

    oom.py time [RUNS]   A13: when a cgroup's limit is hit, told in advance
    oom.py limits        A15, A16: which limit, and what is left
    oom.py refused       which limit said no
    oom.py 32-bit        the end of a 32-bit program's address space
    oom.py killed        post mortem; --at against the recording as it was then
    oom.py stacks        A15: threads, and what their stacks can call in
    oom.py cow           A12: what a fork of huge pages can call in
    oom.py flat          A14 in part: three programs that do not grow for long
    oom.py commit        A15 with vm.overcommit_memory=2: by hand, for it
                         changes the machine for four seconds

Makes its own memory cgroups, of the version that the machine has, and removes
them; skipped where that is not allowed.  Truth is what the programs of oom_cases came to, and when they died.
"""
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import mms
from groups import KIND, USAGE, Group
from judging import CASES, MIB, SLOW, TIMES, check_text, end_of, go_on, judge, near, reached, start, wait_for
from oom_refused import check_refused


def one_time(work, name, way, limit, rate, results):
    group = Group(limit)
    p, db, progress = start(work, name, way, group, [str(rate)])
    p.wait()
    mms.wait_finished(db)
    group.remove()
    begin, _ = end_of(db)
    end = begin + reached(progress, 1) / 1e9
    for part in (0.25, 0.4, 0.55, 0.7, 0.85):
        at = begin + part * (end - begin)
        a = judge(db, at)
        left = end - a['t_ns'] / 1e9
        results.append((way, part, a['time_to_limit_s'], left))
    results.append((way, 'end', judge(db), None))


def check_time(work, faults, runs):
    results, ways = [], ['grow', 'saw', 'spikes']
    for first in range(0, runs, 3):
        threads = [threading.Thread(target=one_time, args=(work, 'time%d' % i, ways[i % 3], 256 * MIB, 40, results))
                   for i in range(first, min(first + 3, runs))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    told = [r for r in results if r[1] != 'end']
    covered, close = 0, {way: [] for way in ways}
    for way, part, t, left in told:
        if not t:
            faults.add('%s at %.2f of the way: no time was told' % (way, part))
            continue
        error = abs(t['point'] - left)
        covered += t['low'] <= left <= t['high']
        close[way].append(error <= 0.05 * left)
        print('%-7s %.2f: %.2f s [%.2f, %.2f], truth %.2f, off by %.1f %%' % (
            way, part, t['point'], t['low'], t['high'], left, 100 * error / left))
        # Which tooth or spike hits the limit is not known in advance: they come
        # every 0.4 and 0.2 s here.
        if error > max(0.05 * left, {'grow': 0.1, 'saw': 0.4, 'spikes': 0.3}[way]):
            faults.add('%s at %.2f: %.2f s told, %.2f s were left' % (way, part, t['point'], left))
    for way, all_of in close.items():
        print('%s: within 5 %% of what was left in %d of %d' % (way, sum(all_of), len(all_of)))
        if all_of.count(False) > max(1, len(all_of) // 20):
            faults.add('%s: within 5 %% in %d of %d' % (way, sum(all_of), len(all_of)))
    print('the interval holds the truth in %d of %d' % (covered, len(told)))
    if covered < 0.9 * len(told):
        faults.add('the interval holds the truth in %d of %d' % (covered, len(told)))
    for way, _, a, _ in (r for r in results if r[1] == 'end'):
        faults.equal((a['verdict'], a['binding']['kind']), ('critical', KIND), way + ': at the end')
        faults.equal(bool(a['post_mortem'] and a['post_mortem']['oom_killed']), True, way + ': post mortem')
        if way == 'grow':
            names = [f['function'] for s in a['growing_sites'][:1] for f in s['stack']]
            faults.equal('take' in names, True, 'take() grows most: %r' % names)


def check_cgroups(work, faults):
    """A parent of 200 MiB with a sibling of 120 MiB inside, a child of 400."""
    parent = Group(200 * MIB)
    child, sibling = Group(400 * MIB, parent.path), Group(None, parent.path)
    other = subprocess.Popen(['/usr/bin/python3', '-c', 'x = bytearray(b"1") * (112 << 20); print(len(x), flush=True); '
                              'import time; time.sleep(60)'], stdout=subprocess.PIPE, preexec_fn=sibling.enter)
    other.stdout.readline()
    p, db, progress = start(work, 'nested', 'touch', child)
    # The sibling is the larger one and is killed first: what is left until then.
    while other.poll() is None and p.poll() is None:
        time.sleep(0.0005)
    got = reached(progress)
    other.kill()
    other.wait()
    p.kill()
    p.wait()
    mms.wait_finished(db)
    for g in (child, sibling, parent):
        g.remove()
    begin, _ = end_of(db)
    a = judge(db, begin + 0.9 * TIMES)
    faults.equal(a['binding']['path'], parent.path, 'binding limit of nested cgroups')
    faults.equal(a['victim'] and a['victim']['pid'], other.pid, 'victim')
    near(faults, 'nested cgroups', a['binding']['headroom_bytes'], got)


def check_rlimits(work, faults):
    cases = (('RLIMIT_AS', resource.RLIMIT_AS), ('RLIMIT_DATA', resource.RLIMIT_DATA))
    running = [(name, *start(work, name, 'null', limits=[(which, 400 * MIB)])) for name, which in cases]
    for name, p, db, progress in running:
        p.wait()
        mms.wait_finished(db)
        begin, _ = end_of(db)
        a = judge(db, begin + 0.9 * TIMES)
        faults.equal(a['binding']['kind'], name, 'binding limit')
        near(faults, name, a['binding']['headroom_bytes'], reached(progress))
        after = judge(db)['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('oom_killed')), (name, False), name + ': post mortem')


def check_others(work, faults):
    """Limits that are seldom near: locked memory, and the whole address space
    of a 64-bit program, 128 TiB less a page."""
    cases = [('task_size', *start(work, 'space', 'space'))]
    if os.geteuid() == 0:
        os.chmod(work.top, 0o777)
        cases.append(('RLIMIT_MEMLOCK', *start(work, 'locks', 'locks', user=65534,
                                               limits=[(resource.RLIMIT_MEMLOCK, 6 * MIB)])))
    for kind, p, db, progress in cases:
        p.wait()
        mms.wait_finished(db)
        begin, _ = end_of(db)
        limits = {l['kind']: l for l in judge(db, begin + 0.9 * TIMES)['limits']}
        near(faults, kind, limits[kind]['headroom_bytes'], reached(progress), 0.02, MIB / 2)
        after = judge(db)['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('oom_killed')), (kind, False), kind + ': post mortem')


def check_32(work, faults):
    """A 32-bit program, which is looked at from outside: 4 GiB less two pages."""
    program = os.path.join(mms.PROGRAMS, 'space_32')
    if not os.path.exists(program) or subprocess.call([program], stderr=subprocess.DEVNULL) != 2:
        mms.skip('32-bit programs cannot be built or run here')
    db, progress = work.path('space_32.db'), work.path('space_32.progress')
    command = ['/bin/sh', '-c', 'exec "$@"', 'sh', program, 'space', progress]
    subprocess.run([mms.MMSCOPE, 'run', '-o', db, '--'] + command, env=mms.environment(), check=True)
    mms.wait_finished(db)
    begin = mms.rows(db, "SELECT begin_ns FROM process WHERE exe LIKE '%space_32'")[0]['begin_ns'] / 1e9
    limits = {l['kind']: l for l in judge(db, begin + 0.9 * TIMES)['limits']}
    faults.equal(limits['task_size']['limit_bytes'], 0xffffe000, '32-bit: end of the address space')
    near(faults, '32-bit address space', limits['task_size']['headroom_bytes'], reached(progress))


def check_threads(work, faults):
    """Stacks of threads against RLIMIT_AS, and called in within a cgroup."""
    p, db, progress = start(work, 'threads', 'threads', limits=[(resource.RLIMIT_AS, 400 * MIB)])
    p.wait()
    mms.wait_finished(db)
    begin, _ = end_of(db)
    a = judge(db, begin + 0.9 * TIMES)
    faults.equal(a['binding']['kind'], 'RLIMIT_AS', 'threads: binding limit')
    near(faults, 'stacks of 1 MiB until none is given', a['binding']['headroom_bytes'], reached(progress))
    group = Group()
    p, db, progress = start(work, 'stacks', 'stacks', group)
    wait_for(p, progress, 1)
    before = group.read(USAGE)
    go_on(progress, 1)
    wait_for(p, progress, 2)
    actual = group.read(USAGE) - before
    go_on(progress, 2)
    p.wait()
    mms.wait_finished(db)
    group.remove()
    begin, _ = end_of(db)
    near(faults, 'thread stacks', judge(db, begin + 0.95)['debts']['stack'], actual)


def check_killed(work, faults):
    """Killed in a group without a limit, below one that has it; and a process
    that is killed by a person, whose group saw a victim before."""
    quiet, above = Group(256 * MIB), Group(64 * MIB)
    own = Group(None, above.path)
    stay, stay_db, _ = start(work, 'stay', 'stay', quiet)
    time.sleep(0.5)
    subprocess.run(['/usr/bin/python3', '-c', 'x = bytearray(b"1") * (400 << 20)'], preexec_fn=quiet.enter,
                   stderr=subprocess.DEVNULL)
    victim_at = time.time()
    p, db, _ = start(work, 'killed', 'grow', own, ['20'])
    then = snapshot(work, db)
    p.wait()
    mms.wait_finished(db)
    a = judge(db)
    after = a['post_mortem'] or {}
    faults.equal((after.get('oom_killed'), after.get('counted_by')), (True, own.path), 'killed: post mortem')
    faults.equal((a['verdict'], a['binding']['path']), ('critical', above.path), 'killed: verdict')
    faults.equal(any('take' in f['function'] for s in a['largest_sites'][:1] for f in s['stack']), True,
                 'killed: take() held most')
    faults.equal(a['binding']['headroom_bytes'] < 16 * MIB, True, 'killed: little was left at the last look')
    faults.equal(a['debts']['thp'], 0, 'killed: there were no huge pages')
    check_text(faults, db, 'The kernel killed this process for lack of memory', 'time to limit')
    compare_then(faults, db, then)
    check_child(work, faults)
    time.sleep(max(0, victim_at + 6.5 - time.time()))
    stay.send_signal(signal.SIGKILL)
    stay.wait()
    mms.wait_finished(stay_db)
    a = judge(stay_db)
    kills = [l['new_oom_kills'] for l in a['limits'] if l['path'] == quiet.path]
    faults.equal(kills, [1], 'the victim before was counted')
    faults.equal(a['post_mortem'], None, 'killed by a person: no post mortem')
    faults.equal((a['verdict'], 'for memory' in str(a['reasons'])), ('elevated', False), 'killed by a person: verdict')
    for g in (own, above, quiet):
        g.remove()


def check_child(work, faults):
    """Who asks about a program of which a child was killed is told so."""
    group, db = Group(48 * MIB), work.path('child.db')
    script = 'echo $$ > %s/cgroup.procs; %s grow %s 80; exit 0' % (group.path, CASES, work.path('child.progress'))
    subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', '/bin/sh', '-c', script], env=mms.environment(),
                   stderr=subprocess.DEVNULL, check=True)
    group.remove()
    pid = mms.rows(db, "SELECT pid FROM process WHERE end_how = 'signal'")[0]['pid']
    check_text(faults, db, 'killed for memory', 'oom_cases (%d) at' % pid)


def snapshot(work, db):
    """The recording as it is after a while, in the midst of it: it has been looked at by then."""
    time.sleep(1.8)
    for _ in range(200):
        if any(r['n'] for r in mms.rows(db, "SELECT (SELECT count(*) FROM sqlite_master WHERE name = 'limit_point')"
                                            " * (SELECT count(*) FROM sqlite_master WHERE name = 'frame') AS n")):
            if mms.rows(db, 'SELECT 1 FROM limit_point WHERE process_id LIMIT 1'):
                break
        time.sleep(0.05)
    then = work.path('then.db')
    source, copy = sqlite3.connect(db), sqlite3.connect(then)
    source.backup(copy)
    source.close()
    copy.close()
    return then


def compare_then(faults, db, then):
    """--at judges as the recording did that ended there."""
    want = judge(then)
    got = judge(db, '%dns' % want['t_ns'])
    print('--at %.2f s: %s, %d reasons' % (want['t_ns'] / 1e9, want['verdict'], len(want['reasons'])))
    for key in want:
        if key not in ('capture', 'coverage', 'process', 'processes', 'growing_sites', 'largest_sites'):
            faults.equal(got.get(key), want[key], '--at: ' + key)
    faults.equal(want['post_mortem'], None, '--at: it was not known then that it is killed')
    # What sites held is kept in buckets: the truth is what all blocks were.
    live = mms.rows(db, 'SELECT max(live_bytes) AS bytes FROM sample WHERE t_ns <= ?', want['t_ns'])[0]['bytes']
    held = sum(s['live_bytes'] for s in got['largest_sites'])
    if abs(held - live) > 2 * MIB:
        faults.add('--at: the sites hold %d of %d' % (held, live))


SETTINGS = ('overcommit_memory', 'overcommit_kbytes', 'overcommit_ratio', 'admin_reserve_kbytes', 'user_reserve_kbytes')


class Strict:
    """vm.overcommit_memory=2 with 6 GiB left for those who may not administrate
    and 4 GiB more for all others; everything is as before at the end."""

    def put(self, name, value):
        with open('/proc/sys/vm/' + name, 'w') as f:
            f.write(str(value))

    def __enter__(self):
        self.before = {}
        for name in SETTINGS:
            with open('/proc/sys/vm/' + name) as f:
                self.before[name] = f.read().strip()
        with open('/proc/meminfo') as f:
            committed = [int(line.split()[1]) for line in f if line.startswith('Committed_AS')][0]
        try:
            self.put('admin_reserve_kbytes', 4 << 20)
            self.put('overcommit_kbytes', committed + (10 << 20))
            self.put('overcommit_memory', 2)
        except OSError as e:
            self.__exit__()
            mms.skip('vm.overcommit_memory cannot be changed here: %s' % e.strerror)
        return self

    def __exit__(self, *_):
        self.put('overcommit_memory', self.before['overcommit_memory'])
        # Each of the two sets the other to 0.
        which = 'overcommit_kbytes' if self.before['overcommit_kbytes'] != '0' else 'overcommit_ratio'
        for name in (which, 'admin_reserve_kbytes', 'user_reserve_kbytes'):
            self.put(name, self.before[name])


def check_commit(work, faults):
    os.chmod(work.top, 0o777)
    with Strict():
        running = [start(work, 'commit', 'maps', user=65534)]
        for p, _, _ in running:
            p.wait()
        running.append(start(work, 'forks', 'forks', arguments=['4000'], user=65534))
        running[-1][0].wait()
    for p, db, progress in running:
        mms.wait_finished(db)
    begin, _ = end_of(running[0][1])
    a = judge(running[0][1], begin + 0.9 * TIMES)
    left = [l for l in a['limits'] if l['kind'] == 'commit']
    near(faults, 'overcommit 2', left[0]['headroom_bytes'], reached(running[0][2]))
    faults.equal(a['binding']['kind'], 'commit', 'overcommit 2: binding limit')
    for (_, db, progress), what in zip(running, ('mapping', 'fork')):
        after = judge(db)['post_mortem'] or {}
        faults.equal(after.get('failed_limit'), 'commit', what + ' refused: post mortem')
    faults.equal(reached(running[1][2]), 1, 'the fork was refused')
    check_text(faults, running[1][1], 'the last one, a fork, at', 'the next fork')


def check_areas(work, faults):
    p, db, progress = start(work, 'areas', 'areas')
    p.wait()
    mms.wait_finished(db)
    begin, _ = end_of(db)
    limits = {l['kind']: l for l in judge(db, begin + 0.9 * TIMES)['limits']}
    left, got = limits['max_map_count']['headroom_bytes'], reached(progress)
    print('areas: predicted %d, measured %d' % (left, got))
    if abs(left - got) > 0.01 * got:
        faults.add('areas: predicted %d, measured %d' % (left, got))
    after = judge(db)
    faults.equal(after['binding']['kind'], 'max_map_count', 'binding limit at the end')
    faults.equal((after['post_mortem'] or {}).get('failed_limit'), 'max_map_count', 'areas: who said no')


def check_cow(work, faults):
    with open('/sys/kernel/mm/transparent_hugepage/enabled') as f:
        if '[never]' in f.read():
            mms.skip('this kernel gives no huge pages')
    group = Group()
    p, db, progress = start(work, 'cow', 'thp', group, stdin=subprocess.PIPE)
    time.sleep(1.5 * TIMES)
    before = group.read(USAGE)
    p.stdin.write(b'\n')
    p.stdin.flush()
    while p.poll() is None and reached(progress) != 2:
        time.sleep(0.01)
    actual = group.read(USAGE) - before
    p.stdin.write(b'\n')
    p.stdin.close()
    p.wait()
    mms.wait_finished(db)
    group.remove()
    begin, _ = end_of(db)
    row = mms.rows(db, 'SELECT max(cow) AS cow, max(cow_huge) AS huge FROM debt WHERE t_ns < ?', int((begin + 1.4 * TIMES) * 1e9))[0]
    print('copy-on-write: predicted %.1f MiB (%.1f huge), called in %.1f MiB' % (
        row['cow'] / MIB, row['huge'] / MIB, actual / MIB))
    if not actual <= row['cow'] <= 1.1 * actual:
        faults.add('copy-on-write debt %d, called in %d' % (row['cow'], actual))


def check_flat(work, faults):
    """Warm-up and plateau, saw, cache fill: none is called growing."""
    texts = {
        'warm-up': 'x=[bytearray(b"1")*(1<<20) for _ in range(60)]; time.sleep(4)',
        'saw': 'end=time.time()+5\nwhile time.time()<end:\n x=[]\n for _ in range(20): x.append(bytearray(b"1")*(1<<20)); time.sleep(.01)',
        'cache': 'x={}\nend=time.time()+5\nwhile time.time()<end:\n x[len(x)%40]=bytearray(b"1")*(1<<20); time.sleep(.02)',
    }
    running = []
    for name, text in texts.items():
        db, group = work.path(name + '.db'), Group(400 * MIB)
        running.append((name, db, group, subprocess.Popen(
            [mms.MMSCOPE, 'run', '-o', db, '--', '/bin/sh', '-c', 'echo $$ > %s/cgroup.procs; exec "$@"' % group.path, 'sh',
             '/usr/bin/python3', '-c', 'import time\n' + text], env=mms.environment())))
    for name, db, group, p in running:
        p.wait()
        mms.wait_finished(db)
        group.remove()
        a = judge(db)
        print('%s: %s, %s' % (name, a['growth']['verdict'], a['verdict']))
        faults.equal(a['growth']['verdict'], 'flat', name)
        faults.equal(a['binding']['kind'], KIND, name)


def main():
    what, faults = sys.argv[1], mms.Faults()
    if what not in ('refused', 'commit', '32-bit'):
        Group().remove()  # skips here when none can be made
    with mms.Work('oom') as work:
        if what == 'time':
            check_time(work, faults, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
        elif what == 'limits':
            check_cgroups(work, faults)
            check_rlimits(work, faults)
            check_others(work, faults)
            check_areas(work, faults)
        else:
            {'cow': check_cow, 'flat': check_flat, 'refused': check_refused, 'killed': check_killed,
             'stacks': check_threads, 'commit': check_commit, '32-bit': check_32}[what](work, faults)
    return faults.done('oom ' + what)


sys.exit(main())
