"""comparing.py - diff and check on programs in which differences are planted.

    comparing.py diff|check

One program, tests/programs/planted.c, is built in several folders, with other
flags and with moved lines.  Between such builds nothing may differ; each
planted difference must be named, and nothing else.
"""
import os
import subprocess
import sys

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


def record(program, db, *arguments):
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', program, *arguments], env=mms.environment(),
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if r.returncode or r.stderr:
        raise SystemExit('%s ended with %d: %s' % (program, r.returncode, r.stderr))
    return db


def own_function(stack):
    return [f['function'] for f in stack if f['function'] not in ('checked', 'malloc')][0]


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
    # Without debugging information inlined functions leave no trace.
    plain, fast = (build(folder, 'bare' + o, ['-O' + o]) for o in '02')
    answer = strict(mms.verb('diff', '--format=json', plain, fast)[1])
    faults.equal(answer['sites'], [], 'inlined without a trace')


def main():
    mms.need('gcc')
    faults = mms.Faults()
    with mms.Work('comparing-' + sys.argv[1]) as work:
        {'diff': test_diff}[sys.argv[1]](work.path('builds'), faults)
    return faults.done('comparing ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
