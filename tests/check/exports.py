"""exports.py - what libmmscope.so shows to the world.

    exports.py LIBRARY EXPECTED

The dynamic symbols it defines are those of the list and no others (GOOD_GUEST:
the wrappers and nothing else), it needs libc.so.6 and the loader alone, and it
is linked with -z now and -z nodelete.
"""
import subprocess
import sys

LIBRARY, EXPECTED = sys.argv[1:3]
NEEDED_MAY = {'libc.so.6', 'ld-linux-x86-64.so.2'}


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    n_bad = 0
    lines = output('nm', '-D', '--defined-only', LIBRARY).splitlines()
    have = {line.split()[-1].split('@')[0] for line in lines if line.split()[-2] != 'A'}
    with open(EXPECTED) as f:
        want = {line.strip() for line in f if line.strip() and not line.startswith('#')}
    for name in sorted(have - want):
        print('%s is exported but not in the list' % name)
        n_bad += 1
    for name in sorted(want - have):
        print('%s is in the list but not exported' % name)
        n_bad += 1
    dynamic = output('readelf', '-dW', LIBRARY)
    for line in dynamic.splitlines():
        if '(NEEDED)' in line:
            name = line[line.index('[') + 1:line.rindex(']')]
            if name not in NEEDED_MAY:
                print('%s is needed' % name)
                n_bad += 1
    for flag in ('NOW', 'NODELETE'):
        if not any('FLAGS' in line and flag in line for line in dynamic.splitlines()):
            print('not linked with -z %s' % flag.lower())
            n_bad += 1
    print('%d symbols exported, %d things wrong' % (len(have), n_bad))
    return 1 if n_bad else 0


sys.exit(main())
