"""snapshot.py - looks at a program while it runs, against what it says of itself.

    snapshot.py quiet|apart|many|compared|forked|refused

The program waits for a line after each part and prints the blocks of each of
its functions by verdict.  It ends with status 1 when a call of its threads was
ended early or a child came to light that it does not have.
"""
import json
import os
import subprocess
import sys

import mms

PROGRAM = os.path.join(mms.PROGRAMS, 'snapshot')


class Program:
    def __init__(self, work, *arguments, name='run'):
        self.db = work.db(name)
        self.p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', self.db, '--', PROGRAM, *arguments],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=mms.environment())
        self.read()

    def read(self):
        self.truth = json.loads(self.p.stdout.readline())

    def step(self):
        self.p.stdin.write(b'\n')
        self.p.stdin.flush()
        self.read()

    def look(self, *words):
        status, out, err = mms.verb('snapshot', self.db, *words, '--format', 'json')
        if status:
            raise AssertionError('snapshot %s: %d, %s' % (' '.join(words), status, err))
        return json.loads(out)

    def end(self, faults):
        self.p.communicate(timeout=60)
        faults.equal(self.p.returncode, 0, 'status of the program')
        if not mms.wait_finished(self.db):
            faults.add('the database is not finished')


def by_function(answer, blocks='blocks', size='bytes'):
    """function -> verdict -> [blocks, bytes], of the innermost frame that is one of the program's sites."""
    found = {}
    for site in answer['sites']:
        name = next((f['function'] for f in site['stack'] if (f['function'] or '').startswith('site_')), None)
        if name:
            have = found.setdefault(name, {}).setdefault(site['verdict'], [0, 0])
            have[0] += site[blocks]
            have[1] += site[size]
    return found


def quiet(work, faults, *arguments, method='copy'):
    p = Program(work, '1', '3', *arguments)
    first = p.look('one', '--age', '0')
    truth = p.truth
    faults.equal(by_function(first), truth, 'blocks')
    faults.equal(first['method'], method, 'method')
    faults.equal(len(first['threads']), 6, 'threads')
    inner = [next((f['function'] for f in t['stack'] if f['function']), '') for t in first['threads']]
    faults.equal(sorted(n for n in inner if n == 'holder'), ['holder'] * 3, 'threads in holder')
    if not any('epoll_wait' in (f['function'] or '') for t in first['threads'] for f in t['stack']):
        faults.add('no thread stands in epoll_wait: %s' % inner)
    p.step()
    second = p.look('two', '--age', '0', '--against', 'one')
    faults.equal(by_function(second), p.truth, 'blocks, later')
    faults.equal(by_function(second, 'blocks_before', 'bytes_before'), truth, 'blocks before')
    # What is younger than the age is not judged; what it points to is not lost.
    young = p.look('three', '--age', '3600')
    for verdict in ('definite', 'indirect', 'possible'):
        faults.equal(young['totals'][verdict]['blocks'], 0, 'of an hour ago: ' + verdict)
    if not young['totals']['young']['blocks']:
        faults.add('no block is young')
    faults.equal(p.look('one')['t_ns'], first['t_ns'], 'a name that is there is shown')
    faults.equal([p.look()['name'], p.look()['name']], ['s1', 's2'], 'names when none is given')
    p.end(faults)
    # All of it stands in the finished database.
    later = p.look('two', '--against', 'one')
    faults.equal(by_function(later), by_function(second), 'blocks, from the finished database')
    shadow(p, faults, later)
    pages(p, faults, later)
    faults.equal(later['names'], ['one', 'two', 'three', 's1', 's2'], 'names')
    status, text, err = mms.verb('snapshot', p.db, 'one', '--limit', '0')
    faults.equal((status, err), (0, ''), 'text')
    for line in text.splitlines():
        if len(line) > 80 and PROGRAM[:5] not in line:
            faults.add('wide: ' + line)
    return first


def shadow(p, faults, answer):
    """Pages of the moment: the sums by kind, and those of the page map that the program was asked for."""
    status, out, err = mms.verb('maps', '--snapshot', 'two', '--format', 'json', p.db)
    faults.equal((status, err), (0, ''), 'maps')
    maps = json.loads(out)
    faults.equal((maps['snapshot'], maps['look_ns']), ('two', answer['t_ns']), 'snapshot in maps')
    known = [v for v in maps['vmas'] if v['present'] is not None]
    resident = sum(a['resident_bytes'] for a in answer['areas'])
    faults.equal(4096 * sum(v['present'] + v['swapped'] for v in known), resident, 'bytes in memory')
    faults.equal(sum(int(v['end'], 16) - int(v['start'], 16) for v in known), sum(a['bytes'] for a in answer['areas']), 'bytes of areas')
    faults.equal({v['perms'][1] for v in known}, {'w'}, 'areas that were looked at are writable')
    rows = mms.rows(p.db, 'SELECT name, resident, states IS NOT NULL AS listed FROM snapshot_area a JOIN snapshot s ON s.id = a.snapshot_id')
    faults.equal({r['listed'] for r in rows}, {1}, 'page states')
    faults.equal(sum(a['resident_bytes_before'] for a in answer['areas']), sum(r['resident'] for r in rows if r['name'] == 'one'),
                 'bytes in memory before')


def pages(p, faults, answer):
    """What of its blocks was in memory then: all that was written, half of the big one; and the rest of its memory."""
    status, out, err = mms.verb('pages', '--snapshot', 'two', '--format', 'json', p.db)
    faults.equal((status, err), (0, ''), 'pages')
    v = json.loads(out)
    truth = {}
    for site in answer['sites']:
        blocks, size = truth.get(site['id'], (0, 0))
        truth[site['id']] = blocks + site['blocks'], size + site['bytes']
    found = {s['id']: (s['blocks'], s['requested_bytes']) for s in v['sites'] if s['blocks']}
    faults.equal(found, truth, 'blocks and bytes by site')
    for s in v['sites']:
        names = [f['function'] for f in s['stack']]
        want = s['requested_bytes']
        if 'big_half' in names:
            want = (128 << 12) - 16
        elif s['areas']:
            want = 8192
        if 'big_half' in names or s['areas'] or any(n.startswith('site_') for n in names if n):
            faults.equal((s['touched_bytes'], s['resident_bytes'], s['never_touched_bytes']), (want, want, s['requested_bytes'] - want),
                         'pages of ' + str(names[:2]))
    rss, resident = v['rss'], sum(a['resident_bytes'] for a in answer['areas'])
    seen = sum(rss[k] for k in ('heap_live', 'heap_slack', 'mappings', 'stacks', 'file', 'shmem', 'profiler', 'other'))
    faults.equal((seen, rss['total'] - seen), (resident, rss['unexplained']), 'memory by what it is')
    faults.equal(rss['heap_live'], sum(s['resident_bytes'] for s in v['sites'] if s['blocks']), 'live blocks in memory')
    if not resident < rss['total'] < resident + (64 << 20):
        faults.add('%d of %d bytes are writable' % (resident, rss['total']))
    status, text, err = mms.verb('pages', '--snapshot', 'two', p.db)
    faults.equal((status, 'as snapshot two found it' in text), (0, True), 'pages as text')


def apart(work, faults):
    first = quiet(work, faults, 'apart', method='stopped')
    faults.equal(first['why'], 'parts of its memory are not given to copies', 'why')


def many(work, faults):
    """Threads that wait are stopped again and again: nothing is ended early."""
    p = Program(work, '0', '2')
    for i in range(8):
        p.look('n%d' % i, '--age', '0')
    p.end(faults)


def diff(faults, old, new, want):
    """want: function -> (change, blocks, bytes, bytes of it by verdict), and nothing else differs."""
    status, out, err = mms.verb('diff', old, new, '--format', 'json')
    faults.equal((status, err), (0, ''), 'diff')
    answer = json.loads(out)
    found = {}
    for site in answer['sites']:
        name = next(f['function'] for f in site['stack'] if f['function'].startswith('site_'))
        reach = {k: site['reach']['new'][k] - site['reach']['old'][k] for k in site['reach']['new']}
        found[name] = (site['change'], site['difference']['live_blocks'], site['difference']['live_bytes'],
                       {k: n for k, n in reach.items() if n})
    faults.equal(found, want, 'diff of %s and %s' % (old[-12:], new[-12:]))
    totals = answer['totals']
    for name, at in (('live_blocks', 1), ('live_bytes', 2)):
        faults.equal(totals['new'][name] - totals['old'][name], sum(w[at] for w in want.values()), name)
    faults.equal((totals['new']['peak_bytes'], totals['old']['alloc_bytes']), (None, None), 'what no snapshot knows')
    return answer


def compared(work, faults):
    """Two snapshots of one recording, while it goes on and after, and of two recordings."""
    p = Program(work, '0', '0')
    p.look('before', '--age', '0')
    for i in range(3):
        p.step()
    p.look('after@3', '--age', '0')
    want = {'site_lost': ('worse', 30, 6000, {'definite': 6000})}
    names = p.db + '@before', p.db + '@after@3'
    answer = diff(faults, *names, want)
    faults.equal([answer['snapshots'][k]['name'] for k in ('old', 'new')], ['before', 'after@3'], 'names')
    p.end(faults)
    diff(faults, *names, want)
    diff(faults, *reversed(names), {'site_lost': ('better', -30, -6000, {'definite': -6000})})
    status, text, err = mms.verb('diff', *names, '--fail')
    faults.equal((status, err), (1, ''), 'diff --fail')
    for line in ('+5.86 KiB live, from 1.95 KiB to 7.81 KiB', 'of it definite: 7.81 KiB, before 1.95 KiB', ' sites differs: 0 new, 1 worse, 0 gone, 0 better'):
        if line not in text:
            faults.add('no %r in %s' % (line, text))
    other = Program(work, '1', '2', name='other')
    other.look('one', '--age', '600')
    other.end(faults)
    young = {'unclassified': 1024 * 1024}
    diff(faults, names[0], other.db + '@one', {
        'site_kept': ('new', 1024, 1 << 20, young),
        **{'site_' + n: ('new', 2, 2 * size, {'unclassified': 2 * size}) for n, size in (('register', 72), ('tls', 88), ('stack', 104))}})
    for words, want in (((names[0], p.db), 'a snapshot is compared with a snapshot'),
                        ((names[0], p.db + '@none'), 'none: there is no snapshot of this name'),
                        ((names[0], work.db('none') + '@after'), '.db@after: No such file')):
        status, out, err = mms.verb('diff', *words)
        faults.equal((status, out, want in err), (2, '', True), 'diff %s %s: %s' % (*words, err))


def forked(work, faults):
    """A child: what it took itself by site, its parent's blocks as one sum."""
    p = Program(work, '1', '0', 'forked')
    with open('/proc/%d/task/%d/children' % (p.p.pid, p.p.pid), encoding='ascii') as f:
        child = f.read().split()[0]
    p.look('before', '--age', '0', '--process', child)
    p.step()
    p.look('after', '--age', '0', '--process', child)
    diff(faults, p.db + '@before', p.db + '@after', {'site_lost': ('new', 10, 2000, {'definite': 2000})})
    p.end(faults)
    status, out, err = mms.verb('pages', '--snapshot', 'after', '--format', 'json', p.db)
    sites = json.loads(out)['sites']
    inherited = [s for s in sites if not s['stack']]
    faults.equal((status, err, len(inherited), inherited[0]['blocks'] >= 1024 + 160, inherited[0]['requested_bytes'] >= 2 << 20), (0, '', 1, True, True), 'inherited')
    faults.equal([s['requested_bytes'] for s in sites if s['stack'] and s['stack'][0]['function'] == 'site_lost'], [2000], 'its own')
    status, text, err = mms.verb('pages', '--snapshot', 'after', p.db)
    faults.equal((status, 'blocks of its parent, from before the fork' in text), (0, True), 'pages as text')


def refused(work, faults):
    p = Program(work, '0', '0')
    for words, status, want in ((('x', '--process', '1'), 3, 'no recorded process of this number lives'),
                                (('x', '--against', 'none'), 2, 'there is no snapshot of this name'),
                                (('y' * 64,), 2, 'a name has 1 to 63 bytes')):
        got, out, err = mms.verb('snapshot', p.db, *words)
        faults.equal((got, out), (status, ''), 'snapshot ' + ' '.join(words))
        if want not in err:
            faults.add('%s: %r' % (words, err))
    p.end(faults)
    got, out, err = mms.verb('snapshot', p.db, 'none')
    faults.equal((got, 'there is no snapshot of this name' in err), (2, True), 'a name that is not there')
    for verb in ('maps', 'pages'):
        got, out, err = mms.verb(verb, '--snapshot', 'none', p.db)
        faults.equal((got, out, 'there is no snapshot of this name' in err), (2, '', True), 'a name that is not there, in ' + verb)


def main():
    faults = mms.Faults()
    with mms.Work('snapshot') as work:
        {'quiet': quiet, 'apart': apart, 'many': many, 'compared': compared, 'forked': forked, 'refused': refused}[sys.argv[1]](work, faults)
    return faults.done('snapshot ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
