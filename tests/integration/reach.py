"""reach.py - the verdicts over the blocks of programs whose leaks are known.

    reach.py CASE [lsan|valgrind]

The program leaks prints what each of its functions leaves behind; the rows of
live_block, by innermost function, must say the same, blocks and bytes.  With a
second word another checker judges the same program, and its totals must be
those of the expectations, but for what is explained at DIFFERENCES.
"""
import os
import re
import shutil
import subprocess
import sys

import mms

LEAKS = os.path.join(mms.PROGRAMS, 'leaks')


def expected(text):
    """Lines of both processes of a fork: each site is printed once."""
    want = {}
    for line in text.splitlines():
        function, verdict, blocks, size = line.split()
        want[function, verdict] = (int(blocks), int(size))
    return want


def found(path, want):
    db = mms.sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    names = {}
    for function, in {(f,) for f, _ in want}:
        names[function] = 0
    got = {}
    rows = db.execute('SELECT l.stack_id, l.verdict, count(*), sum(l.size), l.process_id FROM live_block l'
                      ' GROUP BY l.stack_id, l.verdict, l.process_id').fetchall()
    for stack, verdict, blocks, size, _ in rows:
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


def main(case):
    work = mms.Work('reach')
    path = work.path('reach.db')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', path, '--', LEAKS, case], env=mms.environment(),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert r.returncode == 0 and not r.stderr, (r.returncode, r.stderr.decode())
    want = expected(r.stdout.decode())
    assert want
    got = found(path, want)
    mine = {k: v for k, v in got.items() if k[0]}
    assert mine == want, 'wanted %s\n   got %s' % (want, mine)
    accused = {k: v for k, v in got.items() if not k[0] and k[1] in ('definite', 'indirect')}
    assert not accused, 'accused wrongly: %s' % accused
    print(case, want)


if __name__ == '__main__':
    main(*sys.argv[1:])
