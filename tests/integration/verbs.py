"""verbs.py - what the verbs say about databases that are always the same.

    verbs.py [--update]

Texts are compared with golden/*.txt; --update writes them anew, to be read
before they are committed.  JSON must parse strictly, start with the three
keys in order and add up.  No line is wider than 80 columns, a report is one
screen, and every answer is there within a second.
"""
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import unicodedata

import fixed_db
import mms

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'golden')
READERS = ('report', 'leaks', 'sites', 'maps', 'pages', 'cow')
# (name of the golden text, database, words)
TEXTS = [
    ('report-small', 'small', ['report']),
    ('report-empty', 'empty', ['report']),
    ('report-many-pids', 'many-pids', ['report']),
    ('report-unrecorded', 'unrecorded', ['report']),
    ('report-incomplete', 'incomplete', ['report']),
    ('report-verdicts', 'verdicts', ['report']),
    ('leaks-small', 'small', ['leaks']),
    ('leaks-small-one', 'small', ['leaks', '--limit', '1', '--frames', '2', '--process', '100']),
    ('leaks-empty', 'empty', ['leaks']),
    ('leaks-many-pids', 'many-pids', ['leaks', '--limit', '1']),
    ('leaks-verdicts', 'verdicts', ['leaks', '--limit', '0']),
    ('leaks-rules', 'verdicts', ['leaks', '--limit', '4', '--gen-suppressions=valgrind']),
    ('sites-small', 'small', ['sites']),
    ('cow-forks', 'forks', ['cow']),
    ('cow-forks-one', 'forks', ['cow', '--fork', '2', '--limit', '1']),
    ('cow-forks-unwatched', 'forks', ['cow', '--fork', '5']),
    ('cow-empty', 'empty', ['cow']),
    ('oom-pressed', 'pressed', ['oom']),
    ('oom-perhaps-killed', 'perhaps-killed', ['oom']),
    ('sites-small-count', 'small', ['sites', '--by', 'count', '--limit', '2', '--frames', '3']),
    ('sites-many-sites', 'many-sites', ['sites', '--by', 'live', '--limit', '3']),
]


def width(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in line)


def ask(words, path, faults, **env):
    begin = time.monotonic()
    status, out, err = mms.verb(*words, path, env=env)
    if time.monotonic() - begin > 1:
        faults.add('%s: took %.1f s' % (' '.join(words), time.monotonic() - begin))
    faults.equal(err, '', ' '.join(words) + ': stderr')
    return status, out


def check_texts(databases, faults, update):
    for name, database, words in TEXTS:
        path = databases[database]
        status, out = ask(words, path, faults)
        faults.equal(status, 0, name + ': status')
        out = out.replace(path, database + '.db')
        for line in out.splitlines():
            if width(line) > 80 or line != line.rstrip() or '\033' in line:
                faults.add('%s: a line is wide, has blanks at its end, or colours: %r' % (name, line))
        if words[0] == 'report' and len(out.splitlines()) > 40:
            faults.add('%s: %d lines are more than a screen' % (name, len(out.splitlines())))
        golden = os.path.join(GOLDEN, name + '.txt')
        if update:
            with open(golden, 'w', encoding='utf-8') as f:
                f.write(out)
        with open(golden, encoding='utf-8') as f:
            want = f.read()
        if out != want:
            faults.add('%s differs from its golden text; now:\n%s' % (name, out))


def strict(text):
    def refuse(word):
        raise ValueError(word + ' is not JSON')

    def once(pairs):
        if len({k for k, _ in pairs}) != len(pairs):
            raise ValueError('a key twice')
        return dict(pairs)
    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)


def check_json(databases, faults):
    for database, path in databases.items():
        for verb in READERS:
            status, out = mms.verb(verb, '--format=json', path)[:2]
            what = '%s of %s' % (verb, database)
            if database == 'unrecorded' and verb != 'report':
                faults.equal((status, out), (3, ''), what)
                continue
            faults.equal(status, 0, what + ': status')
            answer = strict(out)
            faults.equal(list(answer)[:3], ['schema', 'capture', 'coverage'], what + ': first keys')
            faults.equal(answer['schema'], 'mmscope.%s/1' % verb, what + ': schema')
            faults.equal(answer['capture']['state'], database if database in ('recording', 'incomplete') else 'complete',
                         what + ': state')


def answer_of(verb, path, *words):
    return strict(mms.verb(verb, '--format', 'json', *words, path)[1])


def check_sums(databases, faults):
    for database in ('small', 'empty', 'many-sites', 'many-pids'):
        leaks = answer_of('leaks', databases[database])
        sites = answer_of('sites', databases[database])
        report = answer_of('report', databases[database])
        faults.equal(leaks['totals']['live']['bytes'], sum(s['bytes'] for s in leaks['sites']), database + ': leaks')
        faults.equal(leaks['totals']['live'], leaks['totals']['unclassified'], database + ': unclassified')
        faults.equal(leaks['totals']['definite'], {'blocks': None, 'bytes': None}, database + ': definite')
        faults.equal(sum(p['totals']['live']['blocks'] for p in leaks['processes']), leaks['totals']['live']['blocks'],
                     database + ': processes of leaks')
        for key in ('alloc_blocks', 'alloc_bytes', 'live_bytes', 'peak_bytes'):
            for part in [sites] + sites['processes']: # the second is empty with one process
                faults.equal(sum(s[key] for s in part['sites']), part['totals'][key], '%s: %s' % (database, key))
        faults.equal(sum(p['live_bytes'] for p in report['processes']), leaks['totals']['live']['bytes'],
                     database + ': live bytes of the report')
        for verdict in ('definite', 'indirect', 'possible', 'reachable', 'unclassified'):
            faults.equal(report['leaks'][verdict], leaks['totals'][verdict], '%s: %s of the report' % (database, verdict))


def check_small(path, faults):
    """What merging, setting apart and replaying must give."""
    leaks = answer_of('leaks', path)
    mine = [s for s in leaks['sites'] if s['process']['id'] == 2]
    items = [s for s in mine if s['id'] == 'aaaa000000000001']
    faults.equal([(s['blocks'], s['stack'][0]['line']) for s in items], [(1000, 42), (10, 43)],
                 'equal stacks are merged, lines kept apart')
    faults.equal([s['own'] for s in mine][-1], 'loader', 'the loader comes last')
    faults.equal({s['verdict'] for s in leaks['sites']}, {'unclassified'}, 'verdicts')
    faults.equal({s['bytes_low'] for s in leaks['sites']}, {None}, 'no bounds where records were lost')
    faults.equal([(m['id'], m['areas'], m['bytes'], m['process']['pid']) for m in leaks['mappings']],
                 [('aaaa000000000009', 3, 9 * 4096, 100), ('aaaa000000000009', 1, 3 * 4096, 101)], 'mappings')
    inlined = [s for s in mine if s['id'] == 'aaaa000000000007'][0]['stack']
    faults.equal([(f['function'], f['inlined']) for f in inlined],
                 [('helper', True), ('make_item', False), ('main', False)], 'inlined frames')
    unknown = [s for s in mine if s['id'] == 'aaaa000000000003'][0]['stack'][0]
    faults.equal((unknown['function'], unknown['offset'], unknown['line']), (None, '0x1234', None), 'no symbols')
    report = answer_of('report', path)
    faults.equal([(p['begin'], p['end'], p['status']) for p in report['processes']],
                 [('start', 'exec', None), ('exec', 'exit', 3), ('fork', 'signal', 9)], 'begin and end')
    faults.equal(report['capture']['command'], ['prog', '--name', "it's", 'h\u00e9llo'], 'command')
    faults.equal(report['self_cost'], {'target_bytes': 655360, 'collector_cpu_s': 0.0125, 'lost_records': 2}, 'cost')
    for key in ('never_touched_bytes', 'cow', 'oom'):
        faults.equal(report[key], None, key)
    child = answer_of('sites', path, '--process', '101')
    faults.equal((child['process']['pid'], len(child['sites'])), (101, 1), 'sites of the child')
    faults.equal(mms.verb('leaks', '--process', '77', path)[0], 3, 'a pid that is not there')


def check_verdicts(path, faults):
    """Entries by verdict, classes by evidence, in its order."""
    leaks = answer_of('leaks', path)
    mine = [s for s in leaks['sites'] if s['own'] == 'target']
    faults.equal([(s['stack'][0]['function'], s['verdict'], s['blocks'], s['class']) for s in mine],
                 [('leaking', 'definite', 100, 'leaking'), ('forgotten', 'unclassified', 200, 'leaking'),
                  ('lost_list', 'definite', 1, 'lost'), ('lost_list', 'indirect', 9, 'lost'),
                  ('mixed', 'definite', 1, 'lost'), ('mixed', 'reachable', 2, 'lost'), ('mixed', 'unclassified', 1, 'lost'),
                  ('cache', 'reachable', 100, 'growing, reachable'), ('middle', 'possible', 2, 'unproven'),
                  ('settings', 'reachable', 30, 'start-up'), ('session', 'reachable', 20, 'exit noise'),
                  ('_IO_file_doallocate', 'reachable', 1, 'start-up')], 'entries')
    totals = leaks['totals']
    faults.equal([(k, totals[k]['blocks'], totals[k]['bytes']) for k in ('definite', 'indirect', 'possible', 'reachable',
                                                                      'unclassified')],
                 [('definite', 102, 100164), ('indirect', 9, 576), ('possible', 2, 8192), ('reachable', 153, 61496),
                  ('unclassified', 202, 20172)], 'totals by verdict')
    for key in ('blocks', 'bytes'):
        faults.equal(totals['live'][key], sum(s[key] for s in leaks['sites']), 'live ' + key)
        faults.equal(totals['live'][key], sum(totals[k][key] for k in totals if k not in ('live', 'apart')), 'sum of ' + key)
    first, second = mine[0], mine[1]
    faults.equal(first['last_thread'], {'number': 2, 'tid': 107, 'name': 'worker', 't_ns': 2000}, 'last thread')
    faults.equal(first['growth']['verdict'], 'growing', 'growth')
    for site, rate in ((first, 1000), (second, 200)):
        if not 0.95 * rate < site['score_bytes_per_s'] <= 1.01 * rate:
            faults.add('score of %s: %s' % (site['stack'][0]['function'], site['score_bytes_per_s']))
    faults.equal([s['suppressed_by'] for s in mine if s['suppressed_by']], ['libc: stdio buffer'], 'built-in rule')
    faults.equal((totals['apart']['blocks'], leaks['suppressions']),
                 (2, [{'rule': 'libc: stdio buffer', 'built_in': True, 'sites': 1, 'blocks': 1, 'bytes': 4096}]), 'apart')


def check_rules(path, work, faults):
    """Suppressions take their blocks away, say so, and name the place of an error."""
    def file(name, text):
        with open(work.path(name), 'w', encoding='utf-8') as f:
            f.write(text)
        return work.path(name)

    one = file('lsan.supp', '# known\nleak:^forgotten$\n')
    two = file('valgrind.supp', '{\n  old\n  Memcheck:Leak\n  match-leak-kinds: definite\n  fun:malloc\n  fun:mi?ed\n}\n')
    words = ['--suppressions', one, '--suppressions=' + two]
    leaks, all_of_it = answer_of('leaks', path, *words), answer_of('leaks', path)
    faults.equal([(s['stack'][0]['function'], s['verdict']) for s in leaks['sites'] if s['stack'][0]['function'] in
                  ('forgotten', 'mixed')], [('mixed', 'reachable'), ('mixed', 'unclassified')], 'suppressed')
    faults.equal([(r['rule'], r['sites'], r['blocks'], r['bytes']) for r in leaks['suppressions'] if not r['built_in']],
                 [('leak:^forgotten$', 1, 200, 20000), ('old', 1, 1, 100)], 'rules used')
    faults.equal(all_of_it['totals']['live']['bytes'] - leaks['totals']['live']['bytes'], 20100, 'bytes taken away')
    text = mms.verb('leaks', *words, path)[1]
    if '1 site suppressed by leak:^forgotten$: 19.5 KiB' not in text:
        faults.add('text does not say what was suppressed:\n' + text)
    # What is written takes away what it was written for.
    for way in ('lsan', 'valgrind'):
        rules = file('made', mms.verb('leaks', '--gen-suppressions=' + way, path)[1])
        rest = answer_of('leaks', path, '--suppressions', rules)
        faults.equal([s['own'] for s in rest['sites'] if s['own'] == 'target' and not s['suppressed_by']], [], way)
    bad = file('bad.supp', 'leak:x\n   fun:y\n')
    status, out, err = mms.verb('leaks', '--suppressions', bad, path)
    faults.equal((status, out, err.split(': ')[:2]), (2, '', ['mmscope leaks', bad + ':2:4']), 'a bad rule')
    faults.equal(mms.verb('leaks', '--suppressions', work.path('none'), path)[0], 2, 'a file that is not there')
    check_suppressed(path, file, one, bad, faults)


def check_suppressed(path, file, rules, bad, faults):
    """A build does not fail by leaks that are known, nor by what libc keeps."""
    budget = file('leaks.budget', ''.join('leaks.%s.%s <= 0\n' % (verdict, unit) for verdict in
                                          ('definite', 'possible', 'reachable', 'unclassified') for unit in ('bytes', 'blocks')))
    more = file('more.supp', 'leak:^leaking$\nleak:src/lost_list.c\nleak:^mixed$\n')

    def judged(*words):
        status, out, err = mms.verb('check', '--budget', budget, '--format=json', *words, path)
        answer = json.loads(out)
        values = [r['value'] for r in answer['rules']]
        return status, values, [[s['stack'][0]['function'] for s in r['sites']] for r in answer['rules']], answer['suppressions']

    status, values, sites, used = judged()
    faults.equal((status, values), (1, [100164, 102, 8192, 2, 57400, 152, 20100, 201]), 'nothing but the built-in rules')
    faults.equal(sites[0], ['leaking', 'mixed', 'lost_list'], 'who leaked')
    faults.equal([(r['rule'], r['built_in'], r['bytes']) for r in used], [('libc: stdio buffer', True, 4096)], 'built-in')
    status, values, sites, used = judged('--suppressions', rules, '--suppressions=' + more)
    faults.equal((status, values), (1, [0, 0, 8192, 2, 57200, 150, 0, 0]), 'suppressed')
    faults.equal(sites[0], [], 'nobody leaked')
    faults.equal([(r['rule'], r['bytes']) for r in used if not r['built_in']],
                 [('leak:^forgotten$', 20000), ('leak:^leaking$', 100000), ('leak:src/lost_list.c', 640), ('leak:^mixed$', 400)], 'used')
    one_line = file('one.budget', 'leaks.definite.bytes <= 0\n')
    faults.equal(mms.verb('check', '--budget', one_line, '--suppressions', more, path)[0], 0, 'a build with known leaks')
    text = mms.verb('check', '--budget', one_line, '--suppressions', more, path)[1]
    if '1 site suppressed by leak:^leaking$: 97.7 KiB' not in text:
        faults.add('check does not say what was suppressed:\n' + text)
    # Baselines are judged by the same rules.
    line = file('base.budget', 'leaks.definite.blocks <= +0\n')
    status, out, err = mms.verb('check', '--baseline', path, '--budget', line, '--suppressions', more, '--format=json', path)
    faults.equal([(r['value'], r['usual']) for r in json.loads(out)['rules'] if r['measure'] == 'leaks.definite.blocks'],
                 [(0, 0), (0, 0)], 'of the baseline')
    status, out, err = mms.verb('check', '--budget', one_line, '--suppressions', bad, path)
    faults.equal((status, out, err.split(': ')[:2]), (2, '', ['mmscope check', bad + ':2:4']), 'a bad rule in check')


KNOWN_ONLY = ('bytes_changed', 'identical_pages', 'counter_pages', 'pointer_pages', 'bulk_pages')


def check_forks(path, faults):
    """Copy-on-write: keys, what is null, sums, and the build gate."""
    cow, report = answer_of('cow', path), answer_of('report', path)
    forks = cow['forks']
    faults.equal([(f['parent'], f['child'], f['method'], f['exact']) for f in forks],
                 [(100, 101, 'witness', True), (100, 102, 'userfaultfd', True), (100, 103, 'userfaultfd', False),
                  (100, 104, 'totals', False), (100, 105, 'none', None), (100, 106, 'none', None)], 'forks')
    faults.equal([[f[key] is None for key in KNOWN_ONLY] for f in forks], [[i > 0] * 5 for i in range(6)], 'compared or null')
    faults.equal((forks[3]['parent_broke'], forks[3]['child_broke'], forks[4]['pages_shared']), (None, 90, None), 'nulls')
    faults.equal([f['bytes_copied'] for f in forks[:3]], [9560 * 4096, 11197 * 4096, 3000 * 4096], 'bytes copied')
    faults.equal([(s['id'], s['child_broke'], s['false_blocks'], s['stack'][0]['function']) for s in forks[0]['sites'][:2]],
                 [('bbbb000000000001', 9000, 399000, 'new_object'), ('bbbb000000000003', 530, 8100, 'note')], 'sites')
    faults.equal((forks[0]['sites'][2]['id'], forks[0]['sites'][2]['stack']), (None, []), 'pages without a block')
    faults.equal([len(f['samples']) for f in forks], [25, 0, 0, 0, 0, 0], 'samples')
    faults.equal([[a['rule'] for a in f['advice']] for f in forks], [['identical'], ['table'], [], [], [], []], 'advice')
    faults.equal([(p['process']['pid'], p['forks']) for p in cow['processes']], [(100, forks)], 'processes')
    faults.equal(cow['not_watched'], [{'why': 'Children of this place go on to another program.', 'forks': 2}], 'not watched')
    faults.equal(report['cow'], {'forks': 6, 'watched': 4, 'pages_shared': 941340, 'broken_pages': 23836, 'parent_broke': 12210,
                                 'child_broke': 11670, 'both_broke': 44, 'copies': 23757, 'bytes_copied': 23757 * 4096},
                 'the head in the report')
    faults.equal([f['id'] for f in answer_of('cow', path, '--fork', '2')['forks']], [2], '--fork')
    faults.equal(mms.verb('cow', '--fork', '77', path)[0], 3, 'a fork that is not there')
    budget = path + '.budget'
    for limit, known, status in ((2000, True, 1), (23836, True, 0), (2000, False, 3)):
        with open(budget, 'w', encoding='utf-8') as f:
            f.write('cow.broken.pages <= %d\n' % limit)
        copy = path + '.copy'
        shutil.copyfile(path, copy)
        if known: # the only fork of which nothing is known
            with sqlite3.connect(copy) as c:
                c.execute('DELETE FROM fork WHERE id = 6')
        result = mms.verb('check', '--budget', budget, copy)
        faults.equal(result[0], status, 'cow.broken.pages <= %d' % limit)
        faults.equal('dictResize' in result[1], status == 1, 'the site that broke most is named')


def check_peak_of_threads(work, faults):
    """Of a program with threads chance has a part in the peak: 2 % are let
    pass then, and 4 % are not."""
    base, now = work.path('peak-base'), work.path('peak.db')
    for n_threads, size, failed in ((1, 1020, ['peak.bytes', 'alloc.bytes']), (2, 1020, ['alloc.bytes']),
                                    (2, 1040, ['peak.bytes', 'alloc.bytes'])):
        shutil.rmtree(base, ignore_errors=True)
        os.mkdir(base)
        for n in range(5):
            fixed_db.one_peak(os.path.join(base, '%d.db' % n), 1000, n_threads)
        fixed_db.one_peak(now, size, n_threads)
        status, out, err = mms.verb('check', '--baseline', base, '--format=json', now)
        rules = json.loads(out)['rules'] if out else []
        faults.equal((status, sorted(r['measure'] for r in rules if r['state'] != 'ok')), (1, sorted(failed)),
                     'peak of %d threads, blocks of %d: %s' % (n_threads, size, err))


def check_colour(path, faults):
    """Colour on a terminal, and not with NO_COLOR; 160 columns are used."""
    script = "import pty, sys; sys.exit(pty.spawn([sys.argv[1], 'report', sys.argv[2]]) >> 8)"
    for env, coloured in (({}, True), ({'NO_COLOR': '1'}, False), ({'TERM': 'dumb'}, False)):
        env = mms.environment(**{'TERM': 'xterm', **env})
        r = subprocess.run([sys.executable, '-c', script, mms.MMSCOPE, path], env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, timeout=20)
        faults.equal((r.returncode, b'\033[1m' in r.stdout), (0, coloured), 'colour with %r' % env.get('NO_COLOR'))


def check_full_output(path, faults):
    with open('/dev/full', 'w') as full:
        r = subprocess.run([mms.MMSCOPE, 'sites', path], stdout=full, stderr=subprocess.PIPE, text=True)
    faults.equal((r.returncode, r.stderr.count('\n')), (2, 1), 'a full disk behind stdout')


def make(work):
    databases = {}
    for kind in fixed_db.KINDS:
        databases[kind] = work.path(kind + '.db')
        fixed_db.KINDS[kind](databases[kind])
    return databases


def check_unknown_end(databases, faults):
    """Nobody knows by what it ended: a victim counted then is told, one before is not, and in no case that it was killed."""
    for kind, want in (('perhaps-killed', {'oom_killed': None, 'counted_by': '/srv/web', 'kills_before': 1, 'kills_after': 2}),
                       ('killed-before', {})):
        answer = mms.ask('oom', databases[kind])
        after = answer['post_mortem']
        faults.equal({k: after[k] for k in want} if after else {}, want, kind + ': post mortem')
        faults.equal(any('by what it ended is not known' in r for r in answer['reasons']), bool(want), kind + ': reasons')


def main():
    faults = mms.Faults()
    with mms.Work('verbs') as work:
        databases = make(work)
        check_texts(databases, faults, '--update' in sys.argv)
        check_json(databases, faults)
        check_sums(databases, faults)
        check_small(databases['small'], faults)
        check_verdicts(databases['verdicts'], faults)
        check_rules(databases['verdicts'], work, faults)
        check_forks(databases['forks'], faults)
        check_unknown_end(databases, faults)
        check_peak_of_threads(work, faults)
        check_colour(databases['small'], faults)
        check_full_output(databases['small'], faults)
    return faults.done('verbs')


if __name__ == '__main__':
    sys.exit(main())
