"""completions.py - what bash offers is what the program knows.

    completions.py MMSCOPE TOP
"""
import os
import re
import subprocess
import sys

MMSCOPE, TOP = sys.argv[1:3]


def ask(*words):
    return subprocess.run([MMSCOPE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def offered(*words):
    """What bash would offer for the last of the words."""
    script = '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mmscope; printf "%s\\n" "${COMPREPLY[@]}"'
    r = subprocess.run(['bash', '--norc', '-c', script, 'bash', os.path.join(TOP, 'completions', 'mmscope.bash'),
                        MMSCOPE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return set(r.stdout.split())


def main():
    wrong = []
    verbs = set(re.findall(r'^  ([a-z]+) {2,}\S', ask('--help'), re.M))
    if offered('') - {'--help', '--version'} != verbs or len(verbs) < 7:
        wrong.append('verbs: %s' % sorted(offered('') ^ verbs))
    for verb in verbs:
        options = set(re.findall(r'^  (?:-\w, )?(--[a-z][a-z-]*)', ask(verb, '--help'), re.M))
        if not options <= offered(verb, '--'):
            wrong.append('%s: not offered: %s' % (verb, sorted(options - offered(verb, '--'))))
    if offered('leaks', '--format', '') != {'text', 'json'}:
        wrong.append('values of --format: %s' % sorted(offered('leaks', '--format', '')))
    if 'bash' not in offered('run', '--', 'bas'):
        wrong.append('run -- does not offer commands')
    print('\n'.join(wrong) or '%d verbs and their options are offered' % len(verbs))
    return 1 if wrong else 0


sys.exit(main())
