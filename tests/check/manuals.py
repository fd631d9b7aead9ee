"""manuals.py - every verb has a man page and a help that shows an example.

    manuals.py MMSCOPE TOP

The verbs are asked of the program itself, so that a new one cannot be
forgotten here.
"""
import os
import re
import subprocess
import sys

MMSCOPE, TOP = sys.argv[1:3]


def ask(*arguments):
    return subprocess.run([MMSCOPE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def pages():
    found = set()
    for folder, _, files in os.walk(os.path.join(TOP, 'docs')):
        found.update(f for f in files if f.endswith('.scd'))
    return found


def main():
    n_wrong = 0
    general = ask('--help')
    verbs = [m.group(1) for m in re.finditer(r'^  ([a-z]+) {2,}\S', general.stdout, re.M)]
    have = pages()
    if 'mmscope.1.scd' not in have:
        print('mmscope: no man page')
        n_wrong += 1
    for verb in verbs:
        if 'mmscope-%s.1.scd' % verb not in have:
            print('%s: no man page' % verb)
            n_wrong += 1
        r = ask(verb, '--help')
        if r.returncode != 0 or r.stderr or 'mmscope ' + verb not in r.stdout:
            print('%s: --help ends with %d and shows no example' % (verb, r.returncode))
            n_wrong += 1
        wide = [line for line in r.stdout.splitlines() if len(line) > 80]
        if wide:
            print('%s: --help has lines over 80 columns: %s' % (verb, wide[0]))
            n_wrong += 1
    print('%d verbs, %d things wrong' % (len(verbs), n_wrong))
    return 1 if n_wrong or len(verbs) < 7 else 0


sys.exit(main())
