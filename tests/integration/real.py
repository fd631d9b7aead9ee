"""real.py - one real program with and without mmscope.

    real.py CASE        one entry of cases.py, as meson calls it
    real.py             all, by hand
"""
import os
import sys

import compare
import mms
from cases import CASES


def at_home(text):
    return text.replace('PROGRAMS', mms.PROGRAMS)


def settle(o, faults, mode):
    """Waits for the database and reads its process table."""
    if not mms.wait_finished(o.db):
        faults.add('%s: the database is not finished after 20 s' % mode)
        return []
    mms.integrity(o.db, faults)
    print('%s: %d address spaces agree with the kernel' % (mode, mms.drift(o.db, faults)))
    return mms.rows(o.db, 'SELECT * FROM process ORDER BY begin_ns, id')


def take_warning(case, o, mode, faults):
    """The one line that `run` says about a program it cannot record."""
    if mode != 'run' or not case.warns:
        return
    lines = o.stderr.splitlines(True)
    own = [line for line in lines if line.startswith(b'mmscope run: ')]
    if len(own) != 1 or case.warns.encode() not in own[0]:
        faults.add('run: should warn once with %r, says %r' % (case.warns, own))
    o.stderr = b''.join(line for line in lines if line not in own)


def judge(case, plain, other, again, mode, faults):
    """again(): another plain run, made only to learn what varies by itself."""
    bad = compare.differing(plain, other, case.masked)
    for _ in range(3):
        if not bad:
            return
        third = again()
        varying = compare.differing(plain, third, case.masked)
        bad = [f for f in bad if f not in varying and compare.field(third, f) != compare.field(other, f)]
    for f in bad:
        faults.add('%s: %s differs: %s' % (mode, f, compare.explain(plain, other, f)))


def missing_program(case):
    for a in case.argv:
        for word in at_home(a).split():
            word = word.rstrip(';')
            if word.startswith(mms.PROGRAMS) and not os.path.exists(word):
                return os.path.basename(word)
    return None


def run_case(name):
    case = CASES[name]
    mms.need(*case.needs)
    gone = missing_program(case)
    if gone:
        mms.skip('%s was not built here (compiler or library missing)' % gone)
    faults = mms.Faults()
    argv = [at_home(a) for a in case.argv]

    def setup(cwd):
        for file, text in case.files.items():
            with open(os.path.join(cwd, file), 'wb') as f:
                f.write(text if isinstance(text, bytes) else text.encode())

    with mms.Work(name) as work:
        def once(mode):
            o = mms.observe(work, mode, argv, setup, case.stdin, case.env, case.onlook, case.timeout, case.options)
            o.fleeting = case.fleeting
            return o

        plain = once('plain')
        if plain.status == 'hangs' or not plain.stdout and not plain.status and not plain.stderr:
            faults.add('the plain run is no measure: status %r, no output' % plain.status)
        for mode in case.modes:
            other = once(mode)
            take_warning(case, other, mode, faults)
            judge(case, plain, other, lambda: once('plain'), mode, faults)
            if other.status == 'hangs':
                continue
            own = [p for p in other.processes if any(os.path.basename(i) not in case.unseen for i in p['images'])]
            if case.onlook and not own or case.passive and mode == 'preload':
                continue
            rows = settle(other, faults, mode)
            if case.onlook and case.own_pids:
                compare.check_tree(other, rows, case.unseen, faults, mode)
            print('%s: %s: %d processes seen, %d images recorded, %.2f s (plain %.2f s)' % (
                name, mode, len(other.processes), len(rows), other.seconds, plain.seconds))
    return faults.done(name)


def main():
    names = sys.argv[1:] or list(CASES)
    if len(names) == 1:
        return run_case(names[0])
    bad = []
    for name in names:
        try:
            if run_case(name):
                bad.append(name)
        except SystemExit:
            pass
    print('%d cases, %d with faults: %s' % (len(names), len(bad), ' '.join(bad)))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
