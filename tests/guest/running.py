"""running.py - how guest.py runs a program: plain, recorded, and compared."""
import fnmatch
import os
import subprocess
import sys
import tempfile

BUILD = os.environ['MMS_BUILD']
MMSCOPE = os.path.join(BUILD, 'analyzer', 'mmscope')
LIBRARY = os.path.join(BUILD, 'preload', 'libmmscope.so')
HERE = os.path.join(BUILD, 'tests', 'guest')
SHM = '/dev/shm/mmscope.%d' % os.geteuid()


class Wrong(Exception):
    pass


def path(name):
    return os.path.join(HERE, name)


def need(condition, reason):
    if not condition:
        print('skipped: ' + reason)
        sys.exit(77)


def base_environment(**more):
    env = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LANG': 'C.UTF-8', 'HOME': '/nonexistent'}
    env.update(more)
    return env


def run(argv, env, cwd=None, before=None, timeout=100):
    p = subprocess.run(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=timeout, preexec_fn=before)
    status = p.returncode if p.returncode >= 0 else 128 - p.returncode
    return status, p.stdout.decode(errors='replace'), p.stderr.decode(errors='replace')


def same(plain, recorded):
    for what, a, b in zip(('status', 'stdout', 'stderr'), plain, recorded):
        if a != b:
            raise Wrong('%s differs:\n--- plain\n%s\n--- recorded\n%s' % (what, a, b))


def check_statements(stdout, lines):
    n = 0
    for statement in stdout.splitlines():
        word, _, rest = statement.partition(': ')
        if word == 'count':
            want, _, rest = rest.partition(' ')
        elif word not in ('expect', 'refuse'):
            continue
        n += 1
        have = sum(fnmatch.fnmatchcase(line, rest) for line in lines)
        if word == 'expect' and have == 0 or word == 'refuse' and have or word == 'count' and have != int(want):
            raise Wrong('%s\nmatches %d lines of\n%s' % (statement, have, '\n'.join(lines)))
    return n


def compare(argv, options=(), env=None, before=None, statements=True, after=''):
    """Plain and recorded in one session; returns the dump's lines."""
    env = env or base_environment()
    with tempfile.TemporaryDirectory(prefix='mms-guest-') as folder:
        dump = os.path.join(folder, 'dump')
        plain = run(argv, env, cwd=folder, before=before)
        left = set(os.listdir(folder))
        recorded = run([path('record'), dump, LIBRARY + after] + list(options) + ['--'] + argv, env, cwd=folder,
                       before=before)
        same(plain, recorded)
        if set(os.listdir(folder)) - {'dump'} != left:
            raise Wrong('files left behind: %s' % os.listdir(folder))
        with open(dump) as f:
            lines = f.read().splitlines()
        n = check_statements(recorded[1], lines)
        if statements and n == 0:
            raise Wrong('the program states nothing:\n%s' % recorded[1])
        return lines


def program(name, *arguments, **more):
    return compare([path(name)] + list(arguments), **more)
