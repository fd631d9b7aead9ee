"""sampled.py - recordings that sample, against what the program says it did.

    sampled.py SEED-FROM RUNS
    sampled.py programs

programs: real ones, and the recorded program of this folder with threads, forks
and every kind of realloc, do under sampling what they do without.

A18: over all sites and runs the estimates are right on average, and as many
intervals as they promise hold the truth.  Every run is random: the bounds
below are wide enough that chance breaks them less than once in 10,000 times.
"""
import json
import os
import subprocess
import sys

import mms

KEYS = ('alloc_blocks', 'alloc_bytes', 'live_blocks', 'live_bytes')
# Standard errors of the mean over a run's sites, of 160 runs; a site has about 770
# samples (a child's half as many), a quarter of them live at the end, and those of
# small blocks weigh most.
ERRORS = {'alloc_blocks': 0.014, 'alloc_bytes': 0.0095, 'live_blocks': 0.034, 'live_bytes': 0.022, 'temporary_blocks': 0.031}
SAMPLED = mms.PROGRAMS + '/sampled'


def record(work, arguments, options, stdin=b'', env=None):
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', SAMPLED, *arguments], input=stdin,
                       stdout=subprocess.PIPE, env=mms.environment(**(env or {})), timeout=120)
    if r.returncode:
        raise AssertionError('status %d' % r.returncode)
    return db, [json.loads(line) for line in r.stdout.splitlines()]


def by_function(sites):
    """site_N -> sums over its stacks, with the interval of what stacks there are."""
    found = {}
    for s in sites:
        names = [f['function'] for f in s['stack'] if f['function']]
        name = next((n for n in names if n.startswith('site_')), None)
        if name:
            found.setdefault(name, []).append(s)
    return found


def check_chance(work, faults):
    """Two runs that do the same do not differ; one that does more is worse."""
    once, again, more = (record(work, [str(seed), str(mib)], ['--sample', '64K'])[0] for seed, mib in ((1, 8), (2, 8), (3, 40)))
    faults.equal(json.loads(mms.verb('diff', '--format', 'json', once, again)[1])['sites'], [], 'sites that differ')
    faults.equal(mms.verb('diff', '--fail', once, more)[0], 1, 'diff of a run that does five times as much')
    status, out, err = mms.verb('check', '--baseline', once, again)
    faults.equal(status, 0, 'check of two that do the same: ' + out + err)
    faults.equal(mms.verb('check', '--baseline', once, more)[0], 1, 'check of a run that does five times as much')


def check_run(work, seed, faults, sums):
    db, (child, main) = record(work, [str(seed), '12', 'fork'], ['--sample', '16K'])
    answer = mms.ask('sites', db)
    faults.equal(answer['capture']['mode'], 'sample', 'mode')
    faults.equal(answer['capture']['sample_bytes'], 16384, 'sample_bytes')
    for part, truth in zip(answer['processes'], (main, child)):
        found = by_function(part['sites'])
        for name, true in truth['sites'].items():
            stacks = found.get(name, [])
            if not true['alloc_bytes'] or name == 'site_4': # next to no bytes: seldom a sample
                continue
            for key in KEYS + ('temporary_blocks',):
                if true[key]:
                    sums[key].append(sum(s[key] for s in stacks) / true[key] - 1)
                elif any(s[key] for s in stacks):
                    faults.add('seed %d: %s: %s where there is none' % (seed, name, key))
            if len(stacks) == 1:
                for key in ('alloc_bytes', 'live_bytes'):
                    sums['covered'].append(stacks[0][key + '_low'] <= true[key] <= stacks[0][key + '_high'])
            for s in stacks:
                if not s['live_samples'] <= s['samples']:
                    faults.add('%s: %d samples, %d live' % (name, s['samples'], s['live_samples']))
    if mms.rows(db, 'SELECT sum(unknown_frees) AS n FROM process')[0]['n']:
        faults.add('seed %d: frees of unknown blocks were counted' % seed)
    leaks = mms.ask('leaks', db)
    for s in leaks['sites']:
        if not s['bytes_low'] <= s['bytes'] <= s['bytes_high'] or s['verdict'] != 'unclassified':
            faults.add('leaks: %r' % s)


PROGRAMS = [
    ['/bin/bash', '-c', 'for i in $(seq 60); do x=$(echo $i | sed s/1/2/); done; echo $x'],
    ['/usr/bin/python3', '-c', 'import os,json,threading\nd=[json.dumps({str(i): [i]*9}) for i in range(20000)]\n'
     't=[threading.Thread(target=lambda: sorted(map(str, range(20000)))) for _ in range(4)]\n'
     '[x.start() for x in t]\np=os.fork()\nif p==0: os._exit(len(d)%7)\n[x.join() for x in t]\n'
     'print(len(d), os.waitpid(p,0)[1])'],
    ['/usr/bin/git', '--version'],
    ['/usr/bin/perl', '-e', 'my %h; $h{$_ % 5000} .= "x$_" for 1..200000; print length(join("", map { $h{$_} } sort keys %h)), "\n"'],
    ['/usr/bin/sqlite3', ':memory:', 'create table t(a); with recursive n(i) as (select 1 union all select i+1 from n where '
     'i<30000) insert into t select hex(i) from n; select count(*), max(a) from t;'],
    [SAMPLED, '5', '4', 'fork'],
]


def programs(faults):
    """1 byte: every block is a sample; 300: the filter grows, often."""
    with mms.Work('sampled') as work:
        for argv in PROGRAMS:
            name = argv[0].rsplit('/', 1)[-1]
            if not os.path.exists(argv[0]):
                print(name + ' is not installed')
                continue
            plain = mms.observe(work, 'plain', argv, env={'PYTHONMALLOC': 'malloc'})
            for size in ('1', '300', '512K'):
                o = mms.observe(work, 'run', argv, env={'PYTHONMALLOC': 'malloc'}, options=['--sample', size])
                what = '%s, --sample %s' % (name, size)
                faults.equal((o.status, o.stdout, o.stderr), (plain.status, plain.stdout, plain.stderr), what)
                if not mms.wait_finished(o.db, 60):
                    faults.add(what + ': the database is not finished')
                    continue
                mms.integrity(o.db, faults)
                lost = mms.rows(o.db, 'SELECT sum(lost_records) AS n, sum(unknown_frees) AS u FROM process')[0]
                faults.equal((lost['n'], lost['u']), (0, 0), what + ': lost records, unknown frees')
                if size == '1':
                    check_whole(o.db, faults, what)
                os.unlink(o.db)
    return faults.done('programs')


def check_whole(db, faults, what):
    """Weights of 1: but for blocks of a few bytes samples are all blocks."""
    for r in mms.rows(db, 'SELECT h.alloc_blocks AS blocks, e.samples, h.min_size FROM heap_site h '
                          'JOIN heap_estimate e USING (process_id, stack_id) WHERE h.min_size > 40'):
        if r['blocks'] != r['samples']:
            faults.add('%s: %d blocks, %d samples' % (what, r['blocks'], r['samples']))
            return


def main():
    if sys.argv[1] == 'programs':
        return programs(mms.Faults())
    first, n = int(sys.argv[1]), int(sys.argv[2])
    faults = mms.Faults()
    sums = {key: [] for key in KEYS + ('temporary_blocks', 'covered')}
    with mms.Work('sampled') as work:
        for seed in range(first, first + n):
            check_run(work, seed, faults, sums)
        check_chance(work, faults)
    for key, error in ERRORS.items():
        bias, most = sum(sums[key]) / len(sums[key]), max(0.02, 4.5 * error / n ** 0.5)
        print('%s: bias %+.2f %%, at most %.2f' % (key, 100 * bias, 100 * most))
        if abs(bias) >= most:
            faults.add('%s is off by %+.2f %%' % (key, 100 * bias))
    covered = sum(sums['covered']) / len(sums['covered'])
    print('intervals that hold the truth: %.1f %% of %d' % (100 * covered, len(sums['covered'])))
    if not covered >= 0.89:
        faults.add('only %.1f %% of the intervals hold the truth' % (100 * covered))
    return faults.done('%d runs from seed %d' % (n, first))


if __name__ == '__main__':
    sys.exit(main())
