"""comparing.py - diff and check on programs in which differences are planted.

    comparing.py diff|check

One program, tests/programs/planted.c, is built in several folders, with other
flags and with moved lines.  Between such builds nothing may differ; each
planted difference must be named, and nothing else.
"""
import os
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree

import formats
import mms
from verbs import strict

SOURCE = os.path.join(mms.TOP, 'tests', 'programs', 'planted.c')
# Builds of the same program: compiler flags, lines put before the source.
SAME = {
    'plain': (['-g', '-O0'], 0),
    'again': (['-g', '-O0'], 0),
    'fast': (['-g', '-O2'], 7),
    'small': (['-g', '-Os', '-fno-inline'], 3),
    'frames': (['-g', '-O1', '-fno-omit-frame-pointer', '-fno-optimize-sibling-calls'], 1),
    'levels': (['-g', '-O3', '-funroll-loops'], 2),
}
# Planted difference: (kind, innermost function of the program's own, change of one measure).
PLANTED = {
    'LEAK': ('new', 'leak_a_name', ('live_bytes', 24)),
    'BUFFER': ('worse', 'read_input', ('alloc_bytes', 32 << 10)),
    'TEMPORARY': ('worse', 'join_words', ('temporary_blocks', 5000)),
    'PERCENT': ('worse', 'remember_word', ('alloc_blocks', 100)),
}


def build(folder, name, flags, n_lines=0, defines=()):
    """Builds into FOLDER/NAME/planted and records it; the database."""
    place = os.path.join(folder, name)
    os.makedirs(place)
    source = os.path.join(place, 'planted.c')
    with open(SOURCE, encoding='utf-8') as f, open(source, 'w', encoding='utf-8') as out:
        out.write('\n' * n_lines + f.read())
    subprocess.run(['gcc', *flags, *['-D' + d for d in defines], '-o', 'planted', 'planted.c'], cwd=place, check=True)
    return record(os.path.join(place, 'planted'), os.path.join(folder, name + '.db'))


def record(program, db, *arguments, options=()):
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, *options, '--', program, *arguments], env=mms.environment(),
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if r.returncode or r.stderr:
        raise SystemExit('%s ended with %d: %s' % (program, r.returncode, r.stderr))
    return db


def own_function(stack):
    return [f['function'] for f in stack if f['function'] not in ('checked', 'malloc')][0]


def test_one_page(folder, faults):
    """One more page that a child wrote, and nothing else."""
    ten, again, eleven = (build(folder, 'forks-' + name, *SAME[how], defines=['FORKS=%d' % n])
                          for name, how, n in (('10', 'plain', 10), ('again', 'fast', 10), ('11', 'fast', 11)))
    if strict(mms.verb('report', '--format=json', ten)[1])['cow']['broken_pages'] is None:
        print('no method that tells pages apart: broken pages were not compared')
        return
    answer = strict(mms.verb('diff', '--format=json', ten, again)[1])
    faults.equal(answer['sites'], [], 'the same pages written')
    sites = strict(mms.verb('diff', '--fail', '--format=json', ten, eleven)[1])['sites']
    faults.equal([(s['change'], own_function(s['stack']), s['difference']['cow_broken_pages']) for s in sites],
                 [('worse', 'make_shared', 1)], 'one more page broken')
    faults.equal([(s['old_cow_at_most'], s['new_cow_at_most']) for s in sites], [(False, False)], 'each page once')
    twice = sqlite3.connect(eleven)
    # As if the site had two call stacks with blocks on these pages.
    twice.execute('INSERT INTO cow_site SELECT fork_id, stack_id + 1000000, site_id, pages_shared, parent_broke, child_broke, both_broke,'
                  ' blocks, bytes, false_blocks, bytes_changed, identical_pages, counter_pages FROM cow_site WHERE child_broke = 11')
    twice.commit()
    twice.close()
    sites = strict(mms.verb('diff', '--format=json', ten, eleven)[1])['sites']
    faults.equal([(s['new']['cow_broken_pages'], s['old_cow_at_most'], s['new_cow_at_most']) for s in sites],
                 [(22, False, True)], 'pages of two call stacks')
    faults.equal('at most: pages that several' in mms.verb('diff', ten, eleven)[1], True, 'the text says so')


def test_diff(folder, faults):
    builds = {name: build(folder, name, *how) for name, how in SAME.items()}
    for name, db in builds.items():
        status, out, err = mms.verb('diff', '--fail', '--format=json', builds['plain'], db)
        answer = strict(out)
        faults.equal((status, err, answer['sites']), (0, '', []), 'the same program, built as ' + name)
    for how in ('plain', 'fast'):
        for plant, (kind, function, (measure, change)) in PLANTED.items():
            db = build(folder, plant + how, *SAME[how], defines=['PLANT_' + plant])
            status, out, err = mms.verb('diff', '--fail', '--format=json', builds['plain'], db)
            sites = strict(out)['sites']
            faults.equal([(s['change'], own_function(s['stack']), s['difference'][measure]) for s in sites],
                         [(kind, function, change)], '%s in a build like %s' % (plant, how))
            faults.equal((status, err), (1, ''), plant + ': status')
            back = strict(mms.verb('diff', '--format=json', db, builds['plain'])[1])['sites']
            faults.equal([s['change'] for s in back], ['gone' if kind == 'new' else 'better'], plant + ' taken back')
            text = mms.verb('diff', builds['plain'], db)[1]
            if function not in text or [line for line in text.splitlines() if len(line) > 80]:
                faults.add('%s: the text does not name %s, or is wide:\n%s' % (plant, function, text))
    full, half = (build(folder, 'filled-%d' % n, *SAME['fast'], defines=['FILLED=%d' % n]) for n in (2 << 20, 1 << 20))
    sites = strict(mms.verb('diff', '--format=json', full, half)[1])['sites']
    never = [s['difference']['never_touched_bytes'] for s in sites]
    faults.equal([(s['change'], own_function(s['stack'])) for s in sites], [('worse', 'make_room')], 'half of it untouched')
    if len(never) == 1 and abs(never[0] - (1 << 20)) > 8192:
        faults.add('1 MiB more was not touched, diff says %d' % never[0])
    test_one_page(folder, faults)
    # Without debugging information inlined functions leave no trace.
    plain, fast = (build(folder, 'bare' + o, ['-O' + o]) for o in '02')
    answer = strict(mms.verb('diff', '--format=json', plain, fast)[1])
    faults.equal(answer['sites'], [], 'inlined without a trace')


def test_check(folder, faults):
    base = os.path.join(folder, 'base')
    os.makedirs(base)
    first = build(folder, 'plain', *SAME['plain'])
    program = os.path.join(folder, 'plain', 'planted')
    for n in range(5):
        db = record(program, os.path.join(folder, 'base-%d.db' % n))
        status, out, err = mms.verb('check', '--baseline', base, '--update-baseline', db)
        faults.equal((status, len(os.listdir(base))), (0, n + 1), 'update of the baselines: ' + err)
    for name in ('plain', 'fast', 'frames'):
        db = first if name == 'plain' else build(folder, name, *SAME[name])
        status, out, err = mms.verb('check', '--baseline', base, db)
        faults.equal((status, err), (0, ''), 'check of %s:\n%s' % (name, out))
    for plant, rules in {'PERCENT': ['peak.bytes', 'alloc.bytes', 'alloc.blocks'], 'BUFFER': ['peak.bytes', 'alloc.bytes'],
                         'TEMPORARY': ['alloc.bytes', 'alloc.blocks', 'temporary.blocks']}.items():
        db = build(folder, plant, *SAME['fast'], defines=['PLANT_' + plant])
        function = PLANTED[plant][1]
        status, out, err = mms.verb('check', '--baseline', base, '--format=json', db)
        failed = [r for r in strict(out)['rules'] if r['state'] != 'ok']
        faults.equal((status, [r['measure'] for r in failed]), (1, rules), plant + ': what failed')
        for r in failed:
            faults.equal([own_function(s['stack']) for s in r['sites']], [function], '%s: %s' % (plant, r['rule']))
        check_forms(folder, base, db, function, len(rules), faults)
    check_broken_pages(folder, faults)
    check_budgets(folder, base, first, faults)


def check_forms(folder, base, db, function, n_failed, faults):
    files = {form: os.path.join(folder, 'result.' + form) for form in ('junit', 'sarif', 'markdown')}
    words = ['--%s=%s' % item for item in files.items()]
    status, out, err = mms.verb('check', '--baseline', base, '--github', *words, db)
    faults.equal((status, err), (1, ''), 'check with all forms')
    if function not in out or [line for line in out.splitlines() if len(line) > 80 and not line.startswith('::')]:
        faults.add('the text does not name %s, or is wide:\n%s' % (function, out))
    notes = [line for line in out.splitlines() if line.startswith('::error file=')]
    if len(notes) != n_failed or any('line=' not in note or function not in note for note in notes):
        faults.add('annotations:\n%s' % out)
    with open(files['sarif'], encoding='utf-8') as f:
        sarif = strict(f.read())
    for fault in formats.sarif_faults(sarif):
        faults.add('SARIF: ' + fault)
    results = sarif['runs'][0]['results']
    faults.equal(len(results), n_failed, 'results in SARIF')
    faults.equal({r['stacks'][0]['frames'][1]['location']['message']['text'] for r in results}, {function},
                 'function in SARIF')
    suite = xml.etree.ElementTree.parse(files['junit']).getroot().find('testsuite')
    cases = suite.findall('testcase')
    faults.equal((int(suite.get('tests')), int(suite.get('failures')), len(suite.findall('testcase/failure'))),
                 (len(cases), n_failed, n_failed), 'counts in JUnit')
    if any(function not in f.text for f in suite.findall('testcase/failure')):
        faults.add('JUnit does not name ' + function)
    with open(files['markdown'], encoding='utf-8') as f:
        text = f.read()
    if text.count('**failed**') != n_failed or function not in text:
        faults.add('Markdown:\n' + text)


def check_broken_pages(folder, faults):
    """A gate on broken pages: 700 and the interpreter's own; a subshell's are left out."""
    program = ('import mmap, os; m = mmap.mmap(-1, 8 << 20, flags=34); m.write(b"x" * (8 << 20)); pid = os.fork()\n'
               'if pid == 0:\n for i in range(700): m[i << 12] = 1\n os._exit(0)\nos.waitpid(pid, 0); os._exit(0)')
    path = os.path.join(folder, 'budget')
    for options, limit, status in ((['--cow', 'auto'], 1200, 0), (['--cow', 'auto'], 600, 1), (['--cow', 'off'], 1200, 3)):
        db = record('/bin/sh', os.path.join(folder, 'broken.db'), '-c', '(:); /usr/bin/python3 -c "$0"', program, options=options)
        if options[1] == 'auto' and strict(mms.verb('report', '--format=json', db)[1])['cow']['broken_pages'] is None:
            return
        with open(path, 'w', encoding='utf-8') as f:
            f.write('cow.broken.pages <= %d\n' % limit)
        got, out, err = mms.verb('check', '--budget', path, db)
        faults.equal((got, err), (status, ''), 'at most %d broken pages with %s:\n%s' % (limit, options, out))
        faults.equal('not every fork was watched. Switched off' in ' '.join(out.split()), status == 3, 'why it cannot be judged:\n' + out)


def check_budgets(folder, base, db, faults):
    path = os.path.join(folder, 'budget')

    def judge(text, *more):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return mms.verb('check', '--budget', path, *more, db)

    for text, status in {'peak.bytes <= 1 MiB': 0, 'peak.bytes <= 1 KiB': 1, 'site:remember_* alloc.blocks == 2000': 0,
                         'site:remember_* alloc.blocks < 2000': 1, 'site:nobody live.bytes <= 0': 0}.items():
        faults.equal(judge(text + '\n')[0], status, 'budget: ' + text)
    faults.equal(judge('alloc.blocks <= +5 %')[0], 3, 'a relative rule without a baseline')
    faults.equal(judge('alloc.blocks <= +0 %', '--baseline', base)[0], 0, 'a relative rule with baselines')
    status, out, err = judge('# fine\n\n  peak.bytes <= 3 XB\n')
    faults.equal((status, out, err), (2, '', "mmscope check: %s:3:19: no such unit here: 'XB'\n" % path), 'a wrong budget')
    status, out, err = mms.verb('check', db)
    faults.equal((status, out), (2, ''), 'nothing to check against: ' + err)
    status, out, err = mms.verb('check', '--baseline', os.path.join(folder, 'nowhere.db'), db)
    faults.equal((status, out, len(err.splitlines())), (2, '', 1), 'a baseline that is not there')


def main():
    mms.need('gcc')
    faults = mms.Faults()
    with mms.Work('comparing-' + sys.argv[1]) as work:
        {'diff': test_diff, 'check': test_check}[sys.argv[1]](work.path('builds'), faults)
    return faults.done('comparing ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
