"""reach.py - the verdicts over the blocks of programs whose leaks are known.

    reach.py CASE [valgrind|lsan|rules|off|jemalloc]

The program leaks prints what each of its functions leaves behind; the rows of
live_block, by innermost function, must say the same, blocks and bytes.  With
`valgrind` Memcheck judges the same program, with `lsan` the program is built
with LeakSanitizer: what they call definite and indirect (and possible) must be
the expectations.  Where they differ, MEMCHECK and LSAN have what they say
instead, exactly, and why.
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
        if line.startswith(('map ', 'last ')):
            continue
        function, verdict, blocks, size = line.split()
        want[function, verdict] = (int(blocks), int(size))
    return want


def found(path, want):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    names = {function for function, _ in want}
    got = {}
    rows = db.execute('SELECT l.stack_id, l.verdict, count(*), sum(l.size) FROM live_block l GROUP BY l.stack_id, l.verdict'
                      ' UNION ALL SELECT stack_id, nullif(verdict, \'\'), blocks, bytes FROM left_block').fetchall()
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


KINDS = {'definite': 'definitely lost', 'indirect': 'indirectly lost', 'possible': 'possibly lost'}
# Its child tells of the inherited blocks again, since it has them too.
MEMCHECK_CHILD = {'definite': (2 + 6, 1000 + 480), 'indirect': (0, 0), 'possible': (0, 0)}


def sums(want, verdicts):
    """Blocks and bytes by verdict."""
    return {v: tuple(sum(n[i] for (_, verdict), n in want.items() if verdict == v) for i in (0, 1)) for v in verdicts}


def memcheck_says(text):
    got = {}
    for verdict, words in KINDS.items():
        m = re.search(words + r': ([\d,]+) bytes in ([\d,]+) blocks', text)
        if not m and 'no leaks are possible' not in text:
            raise AssertionError(text)
        got[verdict] = (int(m.group(2).replace(',', '')), int(m.group(1).replace(',', ''))) if m else (0, 0)
    return got


def record(path, case, *options, program=LEAKS):
    """What the program says of itself."""
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', *options, '-o', path, '--', program, case], env=mms.environment(),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert r.returncode == 0 and not r.stderr, (r.returncode, r.stderr.decode())
    return r.stdout.decode()


def valgrind(case):
    mms.need('valgrind')
    # It ends a program that calls pvalloc.
    words = [case, 'site_pvalloc'] if case == 'entries' else [case]
    work = mms.Work('memcheck')
    r = subprocess.run(['valgrind', '--leak-check=full', '--show-leak-kinds=all', '--log-file=' + work.path('log.%p'), LEAKS, *words],
                       env=mms.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60)
    want = expected(r.stdout.decode())
    assert want, r.stderr.decode()
    parent = sums({k: n for k, n in want.items() if k[0] != 'site_child'}, KINDS)
    got = [memcheck_says(text) for text in logs(work)]
    assert got == ([parent, MEMCHECK_CHILD] if case == 'forked' else [parent]), 'wanted %s\n   got %s' % (parent, got)


def rules(case):
    """What mmscope writes for Valgrind takes away there what it was written for."""
    mms.need('valgrind')
    work = mms.Work('rules')
    path, file = work.path('rules.db'), work.path('rules.supp')
    record(path, case)
    with open(file, 'w', encoding='utf-8') as out:
        out.write(mms.verb('leaks', '--gen-suppressions=valgrind', path)[1])
    text = subprocess.run(['valgrind', '--leak-check=full', '--suppressions=' + file, LEAKS, case], env=mms.environment(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60).stderr.decode()
    lost = memcheck_says(text)
    assert lost['definite'] == lost['indirect'] == (0, 0), text
    assert re.search(r'suppressed: [1-9]', text), text


def logs(work):
    """What the processes wrote, the parent's first."""
    files = [f for f in os.listdir(work.top) if f.startswith('log.')]
    texts = []
    for f in sorted(files, key=lambda f: int(f.split('.')[1])):
        with open(work.path(f), encoding='utf-8') as file:
            texts.append(file.read())
    return texts


# Case -> what LeakSanitizer says instead, by process, and why.
LSAN = {
    # Each process tells of the blocks that it has, inherited or not.
    'forked': [{('site_lost', 'definite'): (2, 1000)},
               {('site_lost', 'definite'): (2, 1000), ('site_child', 'definite'): (6, 480)}],
    # It does not look for pointers in memory that the program mapped itself.
    'mappings': [{('site_lost', 'definite'): (1, 40), ('site_kept', 'definite'): (1, 200)}],
    # Blocks of a ring lead to each other, so it calls all of them indirect.
    'cycles': [{('site_node', 'indirect'): (13, 13 * 48)}],
    # It does nothing at _exit.
    'underscore': [],
    # It has no names of a module that is gone.
    'plugin': [{(None, 'definite'): (2, 246)}],
}


def lsan_says(text, names):
    got = {}
    for kind, size, blocks, stack in re.findall(r'(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object\(s\) allocated from:\n(.*?)\n\n',
                                                text, re.S):
        frames = re.findall(r'^ +#\d+ 0x[0-9a-f]+ in (\S+)', stack, re.M)
        function = next((f for f in frames if f in names), None)
        key = (function, 'definite' if kind == 'Direct' else 'indirect')
        have = got.get(key, (0, 0))
        got[key] = (have[0] + int(blocks), have[1] + int(size))
    return got


def lsan(case):
    program = LEAKS + '_lsan'
    if not os.path.exists(program):
        mms.skip('the compiler has no LeakSanitizer')
    work = mms.Work('lsan')
    r = subprocess.run([program, case], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                       env=mms.environment(LSAN_OPTIONS='fast_unwind_on_malloc=0:log_path=' + work.path('log')))
    want = expected(r.stdout.decode())
    texts = logs(work)
    if any('fatal error' in text for text in texts):
        mms.skip('LeakSanitizer does not work here: ' + texts[0])
    lost = {k: n for k, n in want.items() if k[1] in ('definite', 'indirect')}
    # It counts the page that pvalloc makes of a byte, mmscope what was asked for.
    if case == 'entries':
        lost['site_pvalloc', 'definite'] = (1, 4096)
    got = [lsan_says(text, {function for function, _ in want}) for text in texts]
    assert got == LSAN.get(case, [lost]), 'wanted %s\n   got %s\n%s' % (LSAN.get(case, [lost]), got, '\n'.join(texts))
    print(case, got)


def apart(path):
    """Blocks of parent and child stay with the process that allocated them."""
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    names = ('site_lost', 'site_inherited', 'site_child')
    got = {}
    for is_child, stack, verdict, blocks, size in db.execute(
            'SELECT p.parent_id IS NOT NULL, l.stack_id, l.verdict, count(*), sum(l.size) FROM live_block l'
            ' JOIN process p ON p.id = l.process_id GROUP BY 1, 2, 3').fetchall():
        function = owner(db, stack, names)
        if function:
            key = ('child' if is_child else 'parent', function, verdict)
            have = got.get(key, (0, 0))
            got[key] = (have[0] + blocks, have[1] + size)
    assert got == {('parent', 'site_lost', 'definite'): (2, 1000), ('parent', 'site_inherited', 'reachable'): (10, 320),
                   ('child', 'site_child', 'definite'): (6, 480), ('child', 'site_child', 'reachable'): (1, 80)}, got
    inherited = db.execute('SELECT inherited_blocks, inherited_bytes >= 1320 FROM process WHERE parent_id IS NOT NULL').fetchall()
    assert inherited == [(12, 1)], inherited


def mapped(path, text):
    """Areas, bytes and touched bytes by the function that mapped them."""
    want = {}
    for line in text.splitlines():
        if line.startswith('map '):
            _, function, areas, size, touched = line.split()
            want[function] = (int(areas), int(size), int(touched))
    got = {m['stack'][0]['function']: (m['areas'], m['bytes'], m['touched_bytes']) for m in mms.ask('leaks', path)['mappings']}
    assert got == want, 'wanted %s\n   got %s' % (want, got)


def last(path, text):
    """The thread that allocated at the site last, as the program calls it."""
    function, tid = re.search(r'^last (\w+) (\d+)$', text, re.M).groups()
    got = [s['last_thread']['tid'] for s in mms.ask('leaks', path)['sites'] if s['stack'] and s['stack'][0]['function'] == function]
    assert got == [int(tid)], (got, tid)


def main(case, other=None):
    if other in ('valgrind', 'lsan', 'rules'):
        {'valgrind': valgrind, 'lsan': lsan, 'rules': rules}[other](case)
        return
    off = other == 'off'
    work = mms.Work('reach')
    path = work.path('reach.db')
    program = LEAKS + ('_jemalloc' if other == 'jemalloc' else '')
    if not os.path.exists(program):
        mms.skip('there is no jemalloc to link with')
    text = record(path, case, *(['--reach', 'off'] if off else []), program=program)
    want = expected(text)
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
    if case == 'forked' and not other: # jemalloc brings libstdc++, which has a block as well
        apart(path)
    if case == 'threads':
        last(path, text)
    if case == 'mappings':
        mapped(path, text)
    print(case, want)


if __name__ == '__main__':
    main(*sys.argv[1:])
