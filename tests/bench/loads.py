"""loads.py - the programs that the ways are compared on.

A load whose size is no part of its name takes one to three seconds plain, so
that what a recording costs once does not pass for what it costs all the time.
`scale` divides.
"""
import os
import shutil
import subprocess
import time

from field import BENCH, aside, mms

PYTHON = '''
d = []
for i in range(%d):
    d.append({'k%%d' %% j: [j, str(j)] for j in range(20)})
    if len(d) > 500: d = []
print(len(d))
'''
NODE = 'let a=[];for(let i=0;i<%d;i++){a.push({i,s:"v"+i});if(a.length>1e5)a=[]}'
SQL = ('create table t(a,b);with recursive n(i) as (select 1 union all select i+1 from n where i<%d) insert into t '
       'select i, hex(i*7919 %% 1000003) from n;create index x on t(b);')
FORKS = 'for i in $(seq %d); do /bin/true; x=$(echo $i | cat); done'


class Load:
    """argv(cwd) is the command; drive(cwd, but, limit), where there is one,
    works it from outside, puts its own processes into `but` and returns their
    processor time.  n is the number of operations where that is one.  whole: other
    tools that get all rounds."""

    def __init__(self, name, argv, stdin=None, env=None, drive=None, needs=(), n=0, rounds=None, whole=()):
        self.name, self.stdin, self.env, self.drive, self.needs, self.n = name, stdin, env or {}, drive, needs, n
        self.argv = argv if callable(argv) else lambda cwd: argv
        self.rounds, self.whole = rounds, whole

    def missing(self):
        for p in self.needs:
            if not shutil.which(p, path=mms.environment()['PATH']):
                return '%s is not installed' % p
        return None


def pair_loads(scale):
    n = 8000000 // scale
    for threads in (1, 2):
        for depth in (8, 32, 100):
            yield Load('pairs, depth %d, %d thread%s' % (depth, threads, 's' * (threads > 1)),
                       [os.path.join(BENCH, 'pairs'), str(n), str(depth), str(threads)], n=n * threads)


def c_source(work, functions):
    path = work.path('big-%d.c' % functions)
    with open(path, 'w') as f:
        f.write('#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n')
        for i in range(functions):
            f.write('int f%d(const char *s, int n)\n{\n\tint x = n * %d;\n\tfor (size_t i = 0; i < strlen(s); i++)\n'
                    '\t\tx += s[i] * (x > 3 ? %d : n);\n\treturn x;\n}\n' % (i, i, i))
    return path


def git_repository(work, commits):
    """Commits that change a few lines of some of fifty files each."""
    path = work.path('repository-%d' % commits)
    if os.path.exists(path):
        return path
    subprocess.run(['git', 'init', '-q', '--bare', path], env=mms.environment(), check=True)
    files = {i: ['line %d of %d' % (k, i) for k in range(120)] for i in range(50)}
    out = []
    for c in range(commits):
        out.append('commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 9\nchange %02d\n' % (1000000000 + c * 60, c % 100))
        for i in {c % 50, c * 7 % 50, c * 13 % 50}:
            files[i][c * 31 % 120] = 'changed by %d' % c
            text = '\n'.join(files[i]) + '\n'
            out.append('M 100644 inline d%d/f%d.txt\ndata %d\n%s' % (i % 7, i, len(text), text))
    subprocess.run(['git', '-C', path, 'fast-import', '--quiet'], input=''.join(out).encode(), env=mms.environment(), check=True)
    subprocess.run(['git', '-C', path, 'symbolic-ref', 'HEAD', 'refs/heads/main'], env=mms.environment(), check=True)
    return path


def text_file(work, name, text):
    path = work.path(name)
    with open(path, 'w') as f:
        f.write(text)
    return path


def redis_load(scale):
    n = 300000 // scale

    def drive(cwd, but, limit):
        path = os.path.join(cwd, 's')
        end = time.monotonic() + limit
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.005)
        benchmark = ['redis-benchmark', '-s', path, '-q', '-P', '16', '-c', '10', '-n', str(n), '-r', '10000', '-t', 'set,get,lpush']
        return sum(aside(c, but, limit)[1] for c in (benchmark, ['redis-cli', '-s', path, 'shutdown', 'nosave']))

    return Load('redis-server, pipeline 16', lambda cwd: [
        '/usr/bin/redis-server', '--port', '0', '--unixsocket', os.path.join(cwd, 's'), '--save', '', '--dir', cwd],
        drive=drive, needs=('redis-server', 'redis-benchmark', 'redis-cli'))


def compiler():
    r = subprocess.run(['gcc', '-print-prog-name=cc1'], stdout=subprocess.PIPE, text=True, env=mms.environment())
    return r.stdout.strip()


def all_loads(work, scale, pair_scale):
    yield Load('start of /bin/true', ['/bin/true'], rounds=21, whole=('heaptrack',))
    yield from pair_loads(pair_scale)
    yield Load('C++ map and string churn', [os.path.join(BENCH, 'churn'), str(max(1, 100 // scale))])
    yield Load('python3, PYTHONMALLOC=malloc', ['/usr/bin/python3', '-c', PYTHON % (60000 // scale)],
               env={'PYTHONMALLOC': 'malloc'})
    yield redis_load(scale)
    if shutil.which('gcc'):
        yield Load('gcc cc1 -O2, 5,000 lines', [compiler(), '-quiet', '-O2', c_source(work, 714 // scale), '-o', '/dev/null'])
    yield Load('sqlite3, 1 M rows and index', ['/usr/bin/sqlite3', ':memory:'],
               stdin=text_file(work, 'rows-%d.sql' % scale, SQL % (1000000 // scale)), needs=('sqlite3',))
    if shutil.which('git'):
        repository = git_repository(work, 12000 // scale)
        yield Load('git log --stat', ['/usr/bin/git', '-C', repository, '-c', 'safe.directory=*', 'log', '--stat'])
    yield Load('node, allocating', ['/usr/bin/node', '-e', NODE % (5000000 // scale)], needs=('node',))
    yield Load('bash, 500 subshells', ['/bin/bash', '-c', 'for i in $(seq %d); do x=$(echo $i); done' % (500 // scale)])
    yield Load('maps, 100,000 areas', [os.path.join(BENCH, 'maps'), str(100000 // scale)], n=100000 // scale)
    yield Load('forks, 600 processes', ['/bin/bash', '-c', FORKS % (200 // scale)], n=600 // scale)
