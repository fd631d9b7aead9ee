"""hot_path.py - what malloc, free and their kin cost where nothing is recorded.

    hot_path.py LIBRARY

They have no frame (whom they jump to stands in their place, and the walk of the
stack begins there), call nothing but the real function, and are short: the
longest way through each, in instructions, as it was when it was measured.
"""
import re
import subprocess
import sys

LONGEST = {'malloc': 20, 'calloc': 40, 'realloc': 40, 'free': 20, 'malloc_usable_size': 2}


def instructions(library, name):
    text = subprocess.run(['objdump', '-d', '--no-show-raw-insn', '--disassemble=' + name, library], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r'^ +[0-9a-f]+:\t(.*?) *(?:#.*)?$', text, re.M)
    return [i for i in found if not re.match(r'(data16|cs|nop|xchg +%ax,%ax)', i)]


def main():
    bad = []
    for name, longest in LONGEST.items():
        code = instructions(sys.argv[1], name)
        print('%s: %d instructions' % (name, len(code)))
        if not 0 < len(code) <= longest:
            bad.append('%s has %d instructions, not 1 to %d' % (name, len(code), longest))
        bad += ['%s: %s' % (name, i) for i in code if re.match(r'mov +%rsp,', i) or re.match(r'call +(?! *\*)', i)]
    print('\n'.join(bad))
    return 1 if bad else 0


sys.exit(main())
