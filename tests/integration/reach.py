"""reach.py - the verdicts over the blocks of programs whose leaks are known.

    reach.py CASE [valgrind|off]

The program leaks prints what each of its functions leaves behind; the rows of
live_block, by innermost function, must say the same, blocks and bytes.  With
`valgrind` Memcheck judges the same program: its totals of definite, indirect
and possible must be those of the expectations.  Where it does not, SKIPPED
says why.
"""
import os
import re
import sqlite3
import subprocess
import sys

import mms

LEAKS = os.path.join(mms.PROGRAMS, 'leaks')


def expected(text):
    want = {}
    for line in text.splitlines():
        function, verdict, blocks, size = line.split()
        want[function, verdict] = (int(blocks), int(size))
    return want


def found(path, want):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    names = {function for function, _ in want}
    got = {}
    rows = db.execute('SELECT l.stack_id, l.verdict, count(*), sum(l.size) FROM live_block l'
                      ' GROUP BY l.stack_id, l.verdict').fetchall()
    for stack, verdict, blocks, size in rows:
        function = owner(db, stack, names)
        key = (function, verdict or 'unclassified')
        have = got.get(key, (0, 0))
        got[key] = (have[0] + blocks, have[1] + size)
    return got


def owner(db, stack, names):
    """The innermost function of the stack that is one of names."""
    while stack:
        frames = db.execute('SELECT f.function FROM frame f JOIN stack s ON f.id = s.frame_id WHERE s.id = ?', (stack,)).fetchall()
        for function, in frames:
            if function in names:
                return function
        row = db.execute('SELECT parent_id FROM stack WHERE id = ?', (stack,)).fetchone()
        stack = row[0] if row else None
    return None


# Memcheck counts what its own way of running differs in.
SKIPPED = {
    'forked': 'its child tells of the inherited blocks again',
    'entries': 'it ends a program that calls pvalloc',
}
KINDS = {'definite': 'definitely lost', 'indirect': 'indirectly lost', 'possible': 'possibly lost'}


def valgrind(case):
    mms.need('valgrind')
    if case in SKIPPED:
        mms.skip('valgrind: ' + SKIPPED[case])
    r = subprocess.run(['valgrind', '--leak-check=full', '--show-leak-kinds=all', LEAKS, case],
                       env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60)
    want = dict.fromkeys(KINDS, (0, 0))
    for (_, verdict), (blocks, size) in expected(r.stdout.decode()).items():
        if verdict in want:
            want[verdict] = (want[verdict][0] + blocks, want[verdict][1] + size)
    text = r.stderr.decode()
    got = {}
    for verdict, words in KINDS.items():
        m = re.search(words + r': ([\d,]+) bytes in ([\d,]+) blocks', text)
        assert m, text
        got[verdict] = (int(m.group(2).replace(',', '')), int(m.group(1).replace(',', '')))
    assert got == want, 'wanted %s\n   got %s\n%s' % (want, got, text)


def main(case, other=None):
    if other == 'valgrind':
        valgrind(case)
        return
    off = other == 'off'
    work = mms.Work('reach')
    path = work.path('reach.db')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', *(['--reach', 'off'] if off else []), '-o', path, '--',
                        LEAKS, case], env=mms.environment(),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert r.returncode == 0 and not r.stderr, (r.returncode, r.stderr.decode())
    want = expected(r.stdout.decode())
    assert want
    if off:
        answer = mms.ask('leaks', path)
        assert answer['totals']['unclassified'] == answer['totals']['live'], answer['totals']
        assert [c for c in answer['coverage']['notes'] if c['kind'] == 'unclassified'], answer['coverage']
        print(case, 'unclassified')
        return
    got = found(path, want)
    mine = {k: v for k, v in got.items() if k[0]}
    assert mine == want, 'wanted %s\n   got %s' % (want, mine)
    accused = {k: v for k, v in got.items() if not k[0] and k[1] in ('definite', 'indirect')}
    assert not accused, 'accused wrongly: %s' % accused
    print(case, want)


if __name__ == '__main__':
    main(*sys.argv[1:])
