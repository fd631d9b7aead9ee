"""oom.py - mmscope oom against limits that are really hit.

    oom.py time [RUNS]   A13: when a cgroup's limit is hit, told in advance
    oom.py limits        A15, A16: which limit, and what is left
    oom.py cow           A12: what a fork of huge pages can call in
    oom.py flat          A14 in part: three programs that do not grow for long

Makes its own memory cgroups (v1) and removes them; skipped where that is not
allowed.  Truth is what the programs of oom_cases came to, and when they died.
"""
import os
import resource
import struct
import subprocess
import sys
import threading
import time

import mms

MIB = 1 << 20
TOP = '/sys/fs/cgroup/memory'
CASES = os.path.join(mms.PROGRAMS, 'oom_cases')


class Group:
    """A cgroup of this test, below another or the top."""
    made = 0

    def __init__(self, limit=None, above=TOP):
        Group.made += 1
        self.path = os.path.join(above, 'mms-oom-%d-%d' % (os.getpid(), Group.made))
        try:
            os.mkdir(self.path)
            if limit:
                self.write('memory.limit_in_bytes', limit)
        except OSError as e:
            if os.path.isdir(self.path):
                os.rmdir(self.path)
            mms.skip('no memory cgroup (v1) can be made here: %s' % e.strerror)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as f:
            f.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name)) as f:
            return int(f.read())

    def enter(self):
        self.write('cgroup.procs', os.getpid())

    def remove(self):
        """The collector may still be inside for a moment."""
        for _ in range(200):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)


def start(work, name, way, group=None, arguments=(), limits=(), stdin=subprocess.DEVNULL):
    """Runs a case; the collector stays outside the group that is tested."""
    db, progress = work.path(name + '.db'), work.path(name + '.progress')

    def before():
        for which, value in limits:
            resource.setrlimit(which, (value, value))
    command = [CASES, way, progress, *arguments]
    if group:  # the program moves itself, the collector was there before
        command = ['/bin/sh', '-c', 'echo $$ > %s/cgroup.procs; exec "$@"' % group.path, 'sh'] + command
    p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--'] + command, env=mms.environment(), stdin=stdin,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=before)
    return p, db, progress


def reached(progress, index=0):
    with open(progress, 'rb') as f:
        return struct.unpack('2Q', f.read(16))[index]


def judge(db, at=None):
    words = ['--at', '%.3f' % at] if at is not None else []
    status, out, err = mms.verb('oom', '--format', 'json', *words, db)
    if status:
        raise AssertionError('oom ended with %d: %s' % (status, err))
    import json
    return json.loads(out)


def end_of(db):
    """When the case began and ended, in seconds of the recording."""
    row = mms.rows(db, "SELECT begin_ns, end_ns FROM process WHERE argv LIKE '%oom_cases%' ORDER BY id DESC LIMIT 1")[0]
    return row['begin_ns'] / 1e9, row['end_ns'] / 1e9


def near(faults, what, got, want, share=0.02, least=4 * MIB):
    print('%s: predicted %.1f MiB, measured %.1f MiB' % (what, got / MIB, want / MIB))
    if abs(got - want) > max(share * want, least):
        faults.add('%s: predicted %d, measured %d' % (what, got, want))


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
    covered = 0
    for way, part, t, left in told:
        if not t:
            faults.add('%s at %.2f of the way: no time was told' % (way, part))
            continue
        error = abs(t['point'] - left)
        covered += t['low'] <= left <= t['high']
        print('%-7s %.2f: %.2f s [%.2f, %.2f], truth %.2f, off by %.1f %%' % (
            way, part, t['point'], t['low'], t['high'], left, 100 * error / left))
        # Which tooth or spike hits the limit is not known in advance: they are
        # up to 0.3 s of growth high here.
        if error > (max(0.05 * left, 0.1) if way == 'grow' else max(0.1 * left, 0.3)):
            faults.add('%s at %.2f: %.2f s told, %.2f s were left' % (way, part, t['point'], left))
    print('the interval holds the truth in %d of %d' % (covered, len(told)))
    if covered < 0.9 * len(told):
        faults.add('the interval holds the truth in %d of %d' % (covered, len(told)))
    for way, _, a, _ in (r for r in results if r[1] == 'end'):
        faults.equal((a['verdict'], a['binding']['kind']), ('critical', 'cgroup1'), way + ': at the end')
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
    a = judge(db, begin + 0.9)
    faults.equal(a['binding']['path'], parent.path, 'binding limit of nested cgroups')
    faults.equal(a['victim'] and a['victim']['pid'], other.pid, 'victim')
    near(faults, 'nested cgroups', a['binding']['headroom_bytes'], got)


def check_rlimits(work, faults):
    for name, which in (('RLIMIT_AS', resource.RLIMIT_AS), ('RLIMIT_DATA', resource.RLIMIT_DATA)):
        p, db, progress = start(work, name, 'null', limits=[(which, 400 * MIB)])
        p.wait()
        mms.wait_finished(db)
        begin, _ = end_of(db)
        a = judge(db, begin + 0.9)
        faults.equal(a['binding']['kind'], name, 'binding limit')
        near(faults, name, a['binding']['headroom_bytes'], reached(progress))
        after = judge(db)['post_mortem'] or {}
        faults.equal((after.get('failed_limit'), after.get('oom_killed')), (name, False), name + ': post mortem')


def check_areas(work, faults):
    p, db, progress = start(work, 'areas', 'areas')
    p.wait()
    mms.wait_finished(db)
    begin, _ = end_of(db)
    limits = {l['kind']: l for l in judge(db, begin + 0.9)['limits']}
    left, got = limits['max_map_count']['headroom_bytes'], reached(progress)
    print('areas: predicted %d, measured %d' % (left, got))
    if abs(left - got) > 0.01 * got:
        faults.add('areas: predicted %d, measured %d' % (left, got))
    faults.equal(judge(db)['binding']['kind'], 'max_map_count', 'binding limit at the end')


def check_cow(work, faults):
    with open('/sys/kernel/mm/transparent_hugepage/enabled') as f:
        if '[never]' in f.read():
            mms.skip('this kernel gives no huge pages')
    group = Group()
    p, db, progress = start(work, 'cow', 'thp', group, stdin=subprocess.PIPE)
    time.sleep(1.5)
    before = group.read('memory.usage_in_bytes')
    p.stdin.write(b'\n')
    p.stdin.flush()
    while p.poll() is None and reached(progress) != 2:
        time.sleep(0.01)
    actual = group.read('memory.usage_in_bytes') - before
    p.stdin.write(b'\n')
    p.stdin.close()
    p.wait()
    mms.wait_finished(db)
    group.remove()
    begin, _ = end_of(db)
    row = mms.rows(db, 'SELECT max(cow) AS cow, max(cow_huge) AS huge FROM debt WHERE t_ns < ?', int((begin + 1.4) * 1e9))[0]
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
        faults.equal(a['binding']['kind'], 'cgroup1', name)


def main():
    what, faults = sys.argv[1], mms.Faults()
    Group().remove()  # skips here when none can be made
    with mms.Work('oom') as work:
        if what == 'time':
            check_time(work, faults, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
        elif what == 'limits':
            check_cgroups(work, faults)
            check_rlimits(work, faults)
            check_areas(work, faults)
        elif what == 'cow':
            check_cow(work, faults)
        else:
            check_flat(work, faults)
    return faults.done('oom ' + what)


sys.exit(main())
