"""tree.py - habits that a compiler does not hold.

Files under 600 lines, no struct typedefs, no folder or file for odds and
ends, no unfinished marks, nothing that belongs to one machine, an opening
comment in each .c.  Prints FILE:LINE: what is wrong.
"""
import os
import re
import subprocess
import sys

TOP = os.path.abspath(sys.argv[1])
MAX_LINES = 600
# Spelt in pieces, so that this file does not find itself.
WORDS = [(re.compile(r'\b(TO' r'DO|FIX' r'ME|X' r'XX|HA' r'CK)\b'), 'an unfinished mark'),
         (re.compile(r'phase' r' (2|two)\b', re.I), 'a plan for later'),
         (re.compile(r'not (yet )?' r'implemented', re.I), 'unfinished'),
         (re.compile(r'/(work|root)' r'/'), 'a path of one machine')]
BAD_PARTS = {'utils', 'util', 'common', 'helpers', 'helpers.c', 'misc', 'misc.c', 'utils.c', 'utils.h'}
TYPEDEF = re.compile(r'^\s*typedef\s+struct\b')
NO_FIX = ('-samples/', '/samples/', '/corpus/')


def files():
    listed = subprocess.run(['git', '-C', TOP, 'ls-files', '--cached', '--others', '--exclude-standard'],
                            stdout=subprocess.PIPE, text=True)
    if listed.returncode == 0:
        return [f for f in listed.stdout.splitlines() if os.path.isfile(os.path.join(TOP, f))]
    found = []
    for folder, folders, names in os.walk(TOP):
        folders[:] = [d for d in folders if not d.startswith(('build', '.git'))]
        found += [os.path.relpath(os.path.join(folder, n), TOP) for n in names]
    return found


def check_file(path):
    """Yields (line, what) for everything wrong in one file."""
    with open(os.path.join(TOP, path), 'rb') as f:
        raw = f.read()
    if b'\0' in raw or any(part in '/' + path for part in NO_FIX) or path == 'LICENSE':
        return
    lines = raw.decode('utf-8', 'replace').splitlines()
    is_code = path.endswith(('.c', '.h', '.py', '.S', '.sh'))
    if is_code and len(lines) >= MAX_LINES:
        yield len(lines), 'the file has %d lines' % len(lines)
    if BAD_PARTS & set(path.split('/')):
        yield 0, 'a place for odds and ends'
    if path.endswith('.c') and not path.startswith('tests/') and not (lines and lines[0].startswith('/*')):
        yield 1, 'no opening comment'
    for n, line in enumerate(lines, 1):
        for pattern, what in WORDS:
            if pattern.search(line):
                yield n, what + ': ' + line.strip()
        if path.endswith(('.c', '.h')) and TYPEDEF.match(line):
            yield n, 'typedef of a struct'


def main():
    n_files = n_wrong = 0
    for path in sorted(files()):
        n_files += 1
        for line, what in check_file(path):
            n_wrong += 1
            print('%s:%d: %s' % (path, line, what))
    print('%d files, %d things wrong' % (n_files, n_wrong))
    return 1 if n_wrong or n_files < 10 else 0


sys.exit(main())
