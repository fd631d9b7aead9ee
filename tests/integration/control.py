"""control.py - a recording that is changed while it goes on, against the truth.

    control.py pause|sample|stop|duration|refused

The program waits for a line before each of its four parts and prints what it
did after each, so that what fell into a pause is known to the block.
"""
import json
import os
import shutil
import subprocess
import sys

import mms

SAMPLED = mms.PROGRAMS + '/sampled'


class Steps:
    """The program, part by part, under run."""

    def __init__(self, work, options=(), seed=7):
        self.db = work.db('run')
        self.p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', self.db, *options, '--', SAMPLED, str(seed), '8', 'steps'],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=mms.environment())
        self.truth = []

    def step(self):
        self.p.stdin.write(b'\n')
        self.p.stdin.flush()
        self.truth.append(json.loads(self.p.stdout.readline())['sites'])

    def ctl(self, *words):
        status, out, err = mms.verb('ctl', self.db, *words, '--format', 'json')
        if status:
            raise AssertionError('ctl %s: %s' % (' '.join(words), err))
        return json.loads(out)

    def end(self, faults):
        self.p.communicate(timeout=60)
        faults.equal(self.p.returncode, 0, 'status of the program')
        if not mms.wait_finished(self.db):
            faults.add('the database is not finished')


def sites_of(db, key='alloc_blocks'):
    """site_N -> the sum of a column over its stacks."""
    found = {}
    for s in mms.ask('sites', db)['sites']:
        name = next((f['function'] for f in s['stack'] if (f['function'] or '').startswith('site_')), None)
        if name:
            found[name] = found.get(name, 0) + s[key]
    return found


def check_counts(db, want, faults, what):
    for key in ('alloc_blocks', 'alloc_bytes'):
        got = sites_of(db, key)
        for name, numbers in want.items():
            faults.equal(got.get(name, 0), numbers[key], '%s: %s of %s' % (what, key, name))


def difference(later, earlier):
    return {n: {k: later[n][k] - earlier[n][k] for k in later[n]} for n in later}


def together(a, b):
    return {n: {k: a[n][k] + b[n][k] for k in a[n]} for n in a}


def pause(work, faults):
    s = Steps(work)
    s.step()
    faults.equal(s.ctl('status')['state'], 'exact', 'state')
    faults.equal(s.ctl('pause')['state'], 'paused', 'state')
    faults.equal(s.ctl('pause')['pauses'], 1, 'pauses')
    s.step()
    faults.equal(s.ctl('resume')['state'], 'exact', 'state')
    s.step()
    s.step()
    s.end(faults)
    seen = difference(s.truth[3], s.truth[1])
    check_counts(s.db, together(s.truth[0], seen), faults, 'pause')
    pauses = mms.rows(s.db, 'SELECT * FROM pause')
    faults.equal(len(pauses), 1, 'rows of pause')
    faults.equal([p['end_ns'] is not None and p['end_ns'] > p['begin_ns'] for p in pauses], [True], 'pause has an end')
    leaks = mms.ask('leaks', s.db)
    notes = [n['kind'] for n in leaks['coverage']['notes']]
    faults.equal('paused' in notes, True, 'a note about the pause')
    certain = uncertain = 0
    for site in leaks['sites']:
        if site['own'] != 'target' or not any((f['function'] or '').startswith('site_') for f in site['stack']):
            continue
        faults.equal((site['bytes_low'], site['bytes_high'], site['verdict']), (None, None, 'unclassified'), 'bounds')
        certain += site['blocks'] - site['uncertain_blocks']
        uncertain += site['uncertain_blocks']
    # What was kept after the pause is certain; the block that was held over
    # each of its ends is on one side or the other.
    kept = sum(n['live_blocks'] for n in seen.values())
    if abs(certain - kept) > 2:
        faults.add('%d blocks are certain, should be %d' % (certain, kept))
    first = sum(n['live_blocks'] for n in s.truth[0].values())
    if abs(uncertain - first) > 2:
        faults.add('%d blocks are uncertain, should be %d' % (uncertain, first))
    faults.equal(mms.rows(s.db, 'SELECT sum(unknown_frees) AS n FROM process')[0]['n'], 0, 'unknown frees')
    text = mms.verb('leaks', s.db)[1]
    faults.equal('from before a pause' in text, True, 'leaks says what is uncertain')


def sample(work, faults):
    s = Steps(work)
    s.step()
    changed = s.ctl('sample', '4K')
    faults.equal((changed['state'], changed['sample_bytes']), ('sample', 4096), 'after sample')
    s.step()
    s.ctl('sample', '8K')
    s.step()
    faults.equal(s.ctl('exact')['state'], 'exact', 'after exact')
    s.step()
    s.end(faults)
    sites = mms.ask('sites', s.db)
    faults.equal(sites['capture']['mode'], 'sample', 'mode')
    totals, truth = sites['totals'], s.truth[3].values()
    # Two of four parts are samples, 2,000 to 4,000 of them for each MiB of 2.
    for key, most in (('alloc_bytes', 0.03), ('live_bytes', 0.06)):
        off = totals[key] / sum(n[key] for n in truth) - 1
        print('%s is off by %+.2f %%' % (key, 100 * off))
        if abs(off) > most:
            faults.add('%s is off by %+.2f %%' % (key, 100 * off))
        if not totals[key + '_low'] <= totals[key] <= totals[key + '_high']:
            faults.add('%s is not within its bounds' % key)
    if not 0 < totals['samples'] < totals['alloc_blocks']:
        faults.add('%d samples' % totals['samples'])
    faults.equal(totals['unknown_frees'], 0, 'unknown frees')
    # The first and the last part were recorded whole.
    whole = together(s.truth[0], difference(s.truth[3], s.truth[2]))
    for name, blocks in sites_of(s.db).items():
        if blocks < whole[name]['alloc_blocks']:
            faults.add('%s: %d blocks, the parts recorded whole alone have %d' % (name, blocks, whole[name]['alloc_blocks']))


def after_stop(s, n, kind, faults):
    """The database is finished while the program lives, and has n parts."""
    if not mms.wait_finished(s.db):
        faults.add('the database is not finished while the program runs')
    faults.equal(s.p.poll(), None, 'the program runs')
    while len(s.truth) < 4:
        s.step()
    s.end(faults)
    check_counts(s.db, s.truth[n - 1], faults, kind)
    report = mms.ask('report', s.db)
    faults.equal((report['capture']['state'], report['processes'][0]['end']), ('complete', 'running'), 'state and end')
    faults.equal('stopped' in [c['kind'] for c in report['coverage']['notes']], True, 'a note about the end')
    live = sites_of(s.db, 'live_blocks')
    for name, numbers in s.truth[n - 1].items():
        faults.equal(live.get(name, 0), numbers['live_blocks'], '%s: live blocks of %s' % (kind, name))


def stop(work, faults):
    s = Steps(work)
    s.step()
    s.step()
    faults.equal(s.ctl('stop')['state'], 'stopped', 'state')
    after_stop(s, 2, 'stop', faults)


def duration(work, faults):
    s = Steps(work, ['--duration', '3'])
    s.step()
    after_stop(s, 1, 'duration', faults)
    # Children that are forked and executed afterwards: as without us.
    folder = work.fresh()
    r = subprocess.run([mms.MMSCOPE, 'run', '-o', work.db('run'), '--duration', '1', '--', '/bin/bash', '-c',
                        'sleep 3; (echo sub; /bin/echo one); x=$(/bin/echo two); echo $x; ls'],
                       cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=mms.environment(), timeout=60)
    faults.equal((r.returncode, r.stdout, r.stderr), (0, b'sub\none\ntwo\n', b''), 'a shell after the end')


def refused(work, faults):
    s = Steps(work)
    s.step()
    for words, part in (((), 'a database, and what'), (('sleep',), 'must be status'), (('sample',), 'needs a size'),
                        (('sample', '0'), 'not a size'), (('sample', '12X'), 'not a size'), (('pause', '1'), 'too many')):
        status, out, err = mms.verb('ctl', s.db, *words)
        if status != 2 or out or part not in err:
            faults.add('ctl %s: %d %r' % (' '.join(words), status, err))
    if os.geteuid() == 0 and shutil.which('setpriv'):
        os.chmod(s.db, 0o644)
        r = subprocess.run(['setpriv', '--reuid', '65534', '--clear-groups', mms.MMSCOPE, 'ctl', s.db, 'stop'],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=mms.environment(), timeout=60)
        faults.equal((r.returncode, r.stdout), (2, b''), 'ctl as somebody else')
    faults.equal(s.ctl('status')['state'], 'exact', 'state')
    for _ in range(3):
        s.step()
    s.end(faults)
    check_counts(s.db, s.truth[3], faults, 'refused')
    for path, part in ((s.db, 'is not being recorded'), (work.path('none.db'), 'No such file')):
        status, out, err = mms.verb('ctl', path, 'pause')
        if status != 2 or out or part not in err:
            faults.add('ctl of %s: %d %r' % (path, status, err))


def main():
    what = sys.argv[1]
    faults = mms.Faults()
    with mms.Work('control') as work:
        globals()[what](work, faults)
    return faults.done(what)


if __name__ == '__main__':
    sys.exit(main())
