"""completions.py - what bash, zsh and fish offer is what the program knows.

    completions.py bash|zsh|fish MMSCOPE TOP
"""
import os
import re
import shutil
import subprocess
import sys

SHELL, MMSCOPE, TOP = sys.argv[1:4]
FILES = {'bash': 'mmscope.bash', 'zsh': '_mmscope', 'fish': 'mmscope.fish'}
# Each prints what is offered for the last of the words, one a line.
SCRIPTS = {
    'bash': """. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mmscope; printf "%s\\n" "${COMPREPLY[@]}" """,
    # Outside a terminal: zsh's own functions only say what they were given.
    'zsh': """file=$1; shift; words=("$@"); CURRENT=$#
              compadd() { [[ $1 == -- ]] && shift; print -l -- $@ }
              _describe() { print -l -- ${${(P)2}%%:*} }
              _files() { : }
              _normal() { print -l -- ${(k)commands} }
              mmscope_completion() { source $file }; mmscope_completion""",
    'fish': """source $argv[1]; complete -C (string join -- ' ' $argv[2..-1]) | string replace -r '\\t.*' ''""",
}


def ask(*words):
    return subprocess.run([MMSCOPE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def offered(*words):
    start = {'bash': ['bash', '--norc', '-c', SCRIPTS['bash'], 'bash'], 'zsh': ['zsh', '-f', '-c', SCRIPTS['zsh'], 'zsh'],
             'fish': ['fish', '--no-config', '-c', SCRIPTS['fish']]}[SHELL]
    file = os.path.join(TOP, 'completions', FILES[SHELL])
    # By its name alone, as people type it: fish goes by the name.
    env = dict(os.environ, PATH=os.path.dirname(MMSCOPE) + ':' + os.environ['PATH'], HOME='/nonexistent')
    r = subprocess.run([*start, file, 'mmscope', *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       text=True)
    return set(r.stdout.split())


def main():
    if not shutil.which(SHELL):
        print(SHELL + ' is not installed')
        return 77
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
