"""compare.py - the rows of the design's table that can be measured now.

    compare.py [--runs N] [--only WORD] [--quick]

Runs are interleaved (plain, exact, sample, heaptrack, plain, ...), so that
what changes on the machine meanwhile hits all of them.  A cell is the median
of the ratios to the median plain run, with the smallest and largest beside.
CPU is that of everything: the target's family, and the collector's from the
`report` of the recording.  Where heaptrack is not installed its column is
empty.  Hand-run: the suite is `bench`.
"""
import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import mms  # noqa: E402

BENCH = os.path.join(mms.BUILD, 'tests', 'bench')
WAYS = ['plain', 'exact', 'sample', 'heaptrack']


def command_of(way, db, command):
    if way == 'plain':
        return command
    if way == 'heaptrack':
        return ['heaptrack', '-o', db, *command]
    return [mms.MMSCOPE, 'run', '--mode', way, '-o', db, '--', *command]


def collector_seconds(db):
    answer = mms.ask('report', db)
    return answer['self_cost']['collector_cpu_s'] or 0


class Run:
    """One run of one way: CPU seconds of everything, wall, output, database."""

    def __init__(self, work, way, command, stdin=b'', env=None):
        self.db = work.db(way)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        r = subprocess.run(command_of(way, self.db, command), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           cwd=work.fresh(), env=mms.environment(**(env or {})))
        self.wall = time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.target_cpu = self.cpu
        self.out = r.stdout
        self.size = 0
        if way in ('exact', 'sample'):
            if not mms.wait_finished(self.db, 60):
                raise SystemExit('%s: the database is not finished' % self.db)
            self.collector = collector_seconds(self.db)
            self.cpu += self.collector
            self.size = os.path.getsize(self.db)


def interleaved(work, runs, command, ways, **more):
    """way -> runs, the ways one after the other in each round."""
    found = {w: [] for w in ways}
    for _ in range(runs):
        for w in ways:
            found[w].append(Run(work, w, command, **more))
    return found


def spread(values, form='%.2f'):
    if not values:
        return '-'
    return (form + ' (' + form + '-' + form + ')') % (statistics.median(values), min(values), max(values))


def ratios(found, way, value):
    base = statistics.median(value(r) for r in found['plain'])
    return [value(r) / base for r in found.get(way, [])]


def row(name, plain, cells, note=''):
    print('%-26s %10s  %-22s %-22s %-22s %s' % ((name, plain) + tuple(cells) + (note,)), flush=True)


def program(work, args, name, command, ways=None, value=lambda r: r.cpu, runs=None, **more):
    ways = ways or args.ways
    found = interleaved(work, runs or args.runs, command, ways, **more)
    base = statistics.median(value(r) for r in found['plain'])
    sizes = [r.size for r in found.get('exact', [])]
    row(name, '%.2f s' % base, [spread(ratios(found, w, value)) if w in ways else '-' for w in WAYS[1:]],
        'db %.1f MiB' % (max(sizes) / 2 ** 20) if sizes else '')
    return found


def pairs(work, args):
    for depth, threads in ((8, 1), (32, 1), (100, 1), (32, 2)):
        n = 300000 if args.quick else 2000000
        command = [os.path.join(BENCH, 'pairs'), str(n), str(depth), str(threads)]
        found = interleaved(work, args.runs, command, args.ways)
        base = statistics.median(float(r.out) for r in found['plain'])

        def added(way):
            return spread([ns_of(r) - base for r in found.get(way, [])], '%.0f')
        row('pair, depth %d, %d thread%s' % (depth, threads, 's' if threads > 1 else ''), '%.0f ns' % base,
            [added(w) if w in args.ways else '-' for w in WAYS[1:]], 'ns added in the target')
        if threads == 1 and depth == 32:
            per = [(r.cpu - statistics.median(p.cpu for p in found['plain'])) / n * 1e9 for r in found['exact']]
            row('  with the collector', '', [spread(per, '%.0f'), '', ''], 'ns added, target and collector')
            speed = [2 * n / r.collector / 1e6 for r in found['exact'] if r.collector]
            row('  collector, M records/s', '', [spread(speed, '%.1f'), '', ''], 'a core, its start and end included')


def ns_of(run):
    """heaptrack prints on stdout too: the number is a line of its own."""
    return float(re.findall(rb'^(\d+\.\d+)$', run.out, re.M)[-1])


def start(work, args):
    """200 starts of /bin/true in one run of a shell: each process; and one."""
    runs = 5 if args.quick else 15
    found = interleaved(work, runs, ['/bin/true'], args.ways)
    base = statistics.median(r.wall for r in found['plain']) * 1e3
    row('start of /bin/true', '%.1f ms' % base,
        [spread([r.wall * 1e3 - base for r in found.get(w, [])], '%+.1f') for w in WAYS[1:]], 'ms of wall added')
    script = 'for i in $(seq 200); do /bin/true; done'
    ways = [w for w in args.ways if w != 'heaptrack']
    found = interleaved(work, args.runs, ['/bin/bash', '-c', script], ways)
    base = statistics.median(r.wall for r in found['plain']) * 1e3
    row('each further process', '%.2f ms' % (base / 200),
        [spread([(r.wall * 1e3 - base) / 200 for r in found.get(w, [])], '%+.2f') for w in WAYS[1:]], 'ms of wall added')


def collector_memory(work, args):
    n = 200000 if args.quick else 2000000
    db = work.db('exact')
    p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--', os.path.join(BENCH, 'hold'), str(n)], env=mms.environment(),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    time.sleep(2)
    for pid in mms.holders(db):
        with open('/proc/%d/status' % pid) as f:
            kib = int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1))
        row('bytes a live block', '', ['%.1f' % (kib * 1024 / n), '', ''], 'collector %.0f MiB with %d blocks' % (kib / 1024, n))
    p.communicate(b'')
    mms.wait_finished(db)


PYTHON = '''
d = []
for i in range(%d):
    d.append({'k%%d' %% j: [j, str(j)] for j in range(20)})
    if len(d) > 500: d = []
print(len(d))
'''


def programs(work, args):
    small = 4 if args.quick else 1
    yield 'C++ map and string', [os.path.join(BENCH, 'churn'), str(40 // small)], {}
    yield 'python3, malloc', ['/usr/bin/python3', '-c', PYTHON % (60000 // small)], {'env': {'PYTHONMALLOC': 'malloc'}}
    source = work.path('big.c')
    with open(source, 'w') as f:
        f.write('#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n')
        for i in range(1000 // small):
            f.write('int f%d(const char *s, int n)\n{\n\tint x = n * %d;\n\tfor (size_t i = 0; i < strlen(s); i++)\n'
                    '\t\tx += s[i] * (x > 3 ? %d : n);\n\treturn x;\n}\n' % (i, i, i))
    cc1 = subprocess.run(['gcc', '-print-prog-name=cc1'], stdout=subprocess.PIPE, text=True).stdout.strip()
    yield 'cc1 -O2', [cc1, '-quiet', '-O2', source, '-o', '/dev/null'], {}
    sql = ('create table t(a,b);with recursive n(i) as (select 1 union all select i+1 from n where i<%d) insert into t '
           'select i, hex(i*7919 %% 1000003) from n;create index x on t(b);' % (1000000 // small))
    yield 'sqlite3, rows and index', ['/usr/bin/sqlite3', ':memory:'], {'stdin': sql.encode()}
    yield 'node, allocating', ['/usr/bin/node', '-e', 'let a=[];for(let i=0;i<%d;i++){a.push({i,s:"v"+i});if(a.length>1e5)a=[]}'
                               % (5000000 // small)], {}
    yield 'bash, 500 subshells', ['/bin/bash', '-c', 'for i in $(seq %d); do x=$(echo $i); done' % (500 // small)], {}


def git_log(work, args):
    """This project's own history, or none."""
    if subprocess.run(['git', '-C', mms.TOP, 'rev-parse'], stderr=subprocess.DEVNULL).returncode == 0:
        program(work, args, 'git log --stat', ['git', '-c', 'safe.directory=*', '-C', mms.TOP, 'log', '--stat', '--all'])


def redis(work, args):
    """CPU seconds of the server alone (and its collector) for a fixed load."""
    if not shutil.which('redis-server'):
        return
    n = 50000 if args.quick else 400000
    found = {w: [] for w in args.ways}
    for _ in range(args.runs):
        for w in args.ways:
            found[w].append(redis_once(work, w, n))
    base = statistics.median(found['plain'])
    row('redis-server, pipeline 16', '%.2f s' % base,
        [spread([x / base for x in found.get(w, [])]) for w in WAYS[1:]], 'server CPU')


def redis_once(work, way, n):
    path = os.path.join(work.fresh(), 's')
    db = work.db(way)
    server = ['/usr/bin/redis-server', '--port', '0', '--unixsocket', path, '--save', '', '--dir', work.cwd]
    p = subprocess.Popen(command_of(way, db, server), env=mms.environment(), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(path):
        time.sleep(0.02)
    subprocess.run(['redis-benchmark', '-s', path, '-q', '-P', '16', '-c', '10', '-n', str(n), '-r', '10000', '-t', 'set,get,lpush'],
                   stdout=subprocess.DEVNULL, check=True)
    subprocess.run(['redis-cli', '-s', path, 'shutdown', 'nosave'], stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(p.pid, 0)
    p.returncode = 0
    seconds = used.ru_utime + used.ru_stime
    if way in ('exact', 'sample'):
        mms.wait_finished(db, 60)
        seconds += collector_seconds(db)
    return seconds


def sample_is_there(work):
    """A recording by sampling belongs to a later step of the project."""
    status, _, _ = mms.verb('run', '--mode', 'sample', '-o', work.path('s.db'), '--', '/bin/true')
    return status == 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--runs', type=int, default=5)
    p.add_argument('--only', default='')
    p.add_argument('--quick', action='store_true')
    args = p.parse_args()
    args.ways = ['plain', 'exact']
    print('ratios to plain: median (smallest-largest) of %d interleaved runs; CPU of everything unless said' % args.runs)
    with mms.Work('bench') as work:
        if sample_is_there(work):
            args.ways.append('sample')
        if shutil.which('heaptrack'):
            args.ways.append('heaptrack')
        row('', 'plain', ('exact', 'sample', 'heaptrack'))
        for name, body in (('pair', pairs), ('start', start), ('memory', collector_memory), ('git', git_log), ('redis', redis)):
            if args.only in name:
                body(work, args)
        for name, command, more in programs(work, args):
            if args.only in name and shutil.which(command[0]):
                program(work, args, name, command, **more)
    return 0


if __name__ == '__main__':
    sys.exit(main())
