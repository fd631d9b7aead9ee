"""known.py - what the generator did against what mmscope says it did.

    known.py FIRST_SEED N_SEEDS [run|preload|forked|sampled|jemalloc|tcmalloc|mimalloc]

The program known prints its own truth per function; the JSON of `sites`,
`leaks` and `report` is added up by the innermost function of each stack and
must be the same number for number.  Seeds go round 1 to 8 threads; the ordered
ones also check the peak and its composition.  `forked`: both sides of a fork,
each against its own truth, read from the tables.  `sampled`: a sample in each byte.
The last three: the same program, linked with that malloc when it was built.
"""
import json
import os
import subprocess
import sys

import mms

KNOWN = os.path.join(mms.PROGRAMS, 'known')
LINKED = ('jemalloc', 'tcmalloc', 'mimalloc')
OPERATIONS = 1500
KEYS = ('alloc_blocks', 'alloc_bytes', 'live_blocks', 'live_bytes', 'temporary_blocks')


def parameters(seed):
    threads = seed % 8 + 1
    ordered = threads == 1 or (seed // 8) % 2 == 0
    return [str(seed), str(threads), str(OPERATIONS), 'ordered' if ordered else 'free'], ordered


def record(work, seed, mode):
    arguments, ordered = parameters(seed)
    db = work.db(mode)
    options = ['--sample', '1'] if mode == 'sampled' else []
    command = mms.prefix(mode, db) if mode == 'preload' else [mms.MMSCOPE, 'run', '--wait', *options, '-o', db, '--']
    if mode == 'forked':
        arguments[1:] = ['1', str(OPERATIONS), 'forked']
        ordered = False
    program = '%s_%s' % (KNOWN, mode) if mode in LINKED else KNOWN
    r = subprocess.run(command + [program] + arguments, env=mms.environment(), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work.top, timeout=60)
    if r.returncode or r.stderr:
        raise AssertionError('known ended with %d: %s' % (r.returncode, r.stderr.decode()))
    truths = [json.loads(t) for t in r.stdout.decode().replace('}\n{', '}\0{').split('\0')]
    return db, truths, ordered


class Nearly(mms.Faults):
    """With a sample in each byte all blocks are samples but some of less than
    16 bytes, and they count for what they are: one in 40 blocks has no size."""

    def equal(self, got, want, what):
        if isinstance(got, tuple) and len(got) == len(want):
            for g, w in zip(got, want):
                self.equal(g, w, what)
        elif not (isinstance(got, int) and isinstance(want, int) and abs(got - want) <= 18):
            super().equal(got, want, what)


def function_of(site):
    stack = site['stack']
    return stack[0]['function'] if stack else None


def by_function(sites, keys):
    """Sums the sites of the generator's functions."""
    total = {}
    for s in sites:
        name = function_of(s)
        if name and name.startswith('site_'):
            have = total.setdefault(name, dict.fromkeys(keys, 0))
            for k in keys:
                have[k] += s[k]
    return total


def check_sites(answer, truth, ordered, faults, what):
    keys = KEYS + (('peak_bytes',) if ordered else ())
    got = by_function(answer['sites'], keys)
    for name, want in truth['sites'].items():
        for k in keys:
            faults.equal(got.get(name, {}).get(k, 0), want[k], '%s: %s %s' % (what, name, k))
    for name in set(got) - set(truth['sites']):
        faults.add('%s: %s is not a function of the generator' % (what, name))
    foreign = [s for s in answer['sites'] if not (function_of(s) or '').startswith('site_')]
    for k in ('alloc_blocks', 'alloc_bytes', 'live_blocks', 'live_bytes', 'peak_bytes'):
        faults.equal(answer['totals'][k], sum(s[k] for s in answer['sites']), '%s: totals.%s' % (what, k))
    if ordered:
        beside = sum(s['peak_bytes'] for s in foreign)
        faults.equal(answer['totals']['peak_bytes'] - beside, truth['peak_bytes'], what + ': peak_bytes')


def check_leaks(answer, truth, faults, what):
    got = by_function(answer['sites'], ('blocks', 'bytes'))
    for name, want in truth['sites'].items():
        have = got.get(name, {'blocks': 0, 'bytes': 0})
        faults.equal((have['blocks'], have['bytes']), (want['live_blocks'], want['live_bytes']),
                     '%s: leaks of %s' % (what, name))
    live = answer['totals']['live']
    faults.equal((live['blocks'], live['bytes']),
                 (sum(s['blocks'] for s in answer['sites']), sum(s['bytes'] for s in answer['sites'])),
                 what + ': totals.live of leaks')


def check_report(answer, sites, faults, what):
    faults.equal(len(answer['processes']), 1, what + ': processes of the report')
    for p in answer['processes'][:1]:
        faults.equal(p['peak_bytes'], sites['totals']['peak_bytes'], what + ': report peak_bytes')
        faults.equal(p['live_bytes'], sites['totals']['live_bytes'], what + ': report live_bytes')
        faults.equal((p['end'], p['status']), ('exit', 0), what + ': report end')
    if answer['self_cost']['lost_records']: # of these none is let pass, sampled or not
        faults.add('%s: %d records lost' % (what, answer['self_cost']['lost_records']))


OF_PROCESS = '''
SELECT f.function, sum(h.alloc_blocks) alloc_blocks, sum(h.alloc_bytes) alloc_bytes, sum(h.live_blocks) live_blocks,
       sum(h.live_bytes) live_bytes, sum(h.temporary_blocks) temporary_blocks
FROM heap_site h JOIN stack s ON s.id = h.stack_id JOIN frame f ON f.id = s.frame_id
WHERE h.process_id = ? AND f.function LIKE 'site!_%' ESCAPE '!' GROUP BY f.function
'''


def check_process(db, process, truth, faults, what):
    got = {r['function']: r for r in mms.rows(db, OF_PROCESS, process['id'])}
    for name, want in truth['sites'].items():
        for k in KEYS:
            faults.equal(got.get(name, {}).get(k, 0), want[k], '%s: %s %s' % (what, name, k))
    # What libc keeps beside is inherited too: at least, not exactly.
    if process['inherited_blocks'] < truth['inherited_blocks'] or process['inherited_bytes'] < truth['inherited_bytes']:
        faults.add('%s: inherited %d blocks, %d bytes, should be at least %d, %d' % (
            what, process['inherited_blocks'], process['inherited_bytes'], truth['inherited_blocks'], truth['inherited_bytes']))
    faults.equal(process['inherited_freed'], truth['inherited_freed'], what + ': inherited_freed')


def check_forked(work, seed, faults):
    db, truths, _ = record(work, seed, 'forked')
    processes = mms.rows(db, 'SELECT * FROM process ORDER BY begin_ns, id')
    faults.equal([p['begin_how'] for p in processes], ['start', 'fork'], 'seed %d: processes' % seed)
    for process, truth, side in zip(processes, reversed(truths), ('parent', 'child')):
        check_process(db, process, truth, faults, 'seed %d, %s' % (seed, side))
    os.unlink(db)


def check_seed(work, seed, mode, faults):
    if mode == 'forked':
        check_forked(work, seed, faults)
        return
    db, (truth,), ordered = record(work, seed, mode)
    what = 'seed %d' % seed
    if mode == 'preload' and not mms.wait_finished(db):
        faults.add(what + ': the database is not finished')
        return
    sites = mms.ask('sites', db)
    check_sites(sites, truth, ordered, faults, what)
    check_leaks(mms.ask('leaks', db), truth, faults, what)
    check_report(mms.ask('report', db), sites, faults, what)
    os.unlink(db)


def main():
    first, n = int(sys.argv[1]), int(sys.argv[2])
    mode = sys.argv[3] if len(sys.argv) > 3 else 'run'
    if mode in LINKED and not os.path.exists('%s_%s' % (KNOWN, mode)):
        mms.skip('lib%s was not there when the programs were built' % mode)
    faults = Nearly() if mode == 'sampled' else mms.Faults()
    with mms.Work('known') as work:
        for seed in range(first, first + n):
            try:
                check_seed(work, seed, mode, faults)
            except (AssertionError, KeyError, TypeError, subprocess.TimeoutExpired) as e:
                faults.add('seed %d: %s: %s' % (seed, type(e).__name__, e))
            if len(faults.list) > 40:
                break
    return faults.done('%d seeds from %d, %s' % (n, first, mode))


if __name__ == '__main__':
    sys.exit(main())
