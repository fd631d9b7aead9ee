"""sample_pairs.py - what sampling costs, in pairs of runs that follow each other.

    sample_pairs.py [PAIRS]

A machine that does other things makes single runs differ by more than what is
asked for: plain and sampled runs alternate, first one and then the other first,
and the figure is the median of the pairs' ratios (or differences), with the
interval that holds the median in 95 of 100 cases, from the order of the values
alone.  What sampling costs at start and end of a program is left out here.

  malloc+free  thread CPU of a second and more of pairs, ns a pair added
  redis        two servers that live beside each other, loaded in turn with a
               second of redis-benchmark; requests a second, and CPU of the
               server; new servers after each five pairs
"""
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

from field import BENCH, mms

PAIRS = 25
N = 60000000
REQUESTS = 400000
PER_SERVERS = 5


def interval(values):
    """The 95 % interval of the median: order statistics, binomial."""
    values, n = sorted(values), len(values)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2 ** n
        if below > 0.025:
            break
        k += 1
    return values[max(k - 1, 0)], values[min(n - k, n - 1)]


def judge(what, values, limit, form, at_most=True):
    middle, (low, high) = statistics.median(values), interval(values)
    surely = low > limit if at_most else high < limit
    word = 'reached' if (middle <= limit if at_most else middle >= limit) else 'falls short' if surely else 'not shown'
    print(('%-34s ' + form + ' (' + form + ' to ' + form + '), limit ' + form + ': %s, %d pairs') % (
        what, middle, low, high, limit, word, len(values)), flush=True)
    return surely


def sampled(db, argv):
    return [mms.MMSCOPE, 'run', '--mode', 'sample', '-o', db, '--'] + argv


def in_turn(i, plain, other):
    """Both, the other way round each second time."""
    if i % 2:
        b = other()
        return plain(), b
    a = plain()
    return a, other()


def ns_a_pair(argv):
    return float(subprocess.run(argv, env=mms.environment(), check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0])


def malloc_pairs(pairs, folder):
    short = False
    for depth in (8, 32, 100):
        argv = [os.path.join(BENCH, 'pairs'), str(N), str(depth), '1']
        both = [in_turn(i, lambda: ns_a_pair(argv), lambda: ns_a_pair(sampled(os.path.join(folder, 'p.db'), argv))) for i in range(pairs)]
        print('depth %d: plain %.2f, sampled %.2f ns at best' % (depth, min(a for a, _ in both), min(b for _, b in both)))
        short |= judge('malloc+free, depth %d, ns added' % depth, [b - a for a, b in both], 5, '%.2f')
    return short


class Server:
    """A redis server; cpu() is what its threads have had, in ns."""

    def __init__(self, folder, name, prefix):
        self.path = os.path.join(folder, name)
        self.p = subprocess.Popen(prefix + ['/usr/bin/redis-server', '--port', '0', '--unixsocket', self.path, '--save', '', '--dir', folder],
                                  env=mms.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not os.path.exists(self.path):
            assert time.monotonic() < end, 'the server does not listen'
            time.sleep(0.01)

    def cpu(self):
        total, tasks = 0, '/proc/%d/task' % self.p.pid
        for task in os.listdir(tasks):
            with open('%s/%s/schedstat' % (tasks, task), encoding='utf-8') as f:
                total += int(f.read().split()[0])
        return total

    def cli(self, *words):
        subprocess.run(['redis-cli', '-s', self.path, *words], stdout=subprocess.DEVNULL, check=True)

    def load(self, n=REQUESTS):
        """(requests a second, ns of the server a request)."""
        self.cli('flushall')
        cpu, begin = self.cpu(), time.monotonic()
        subprocess.run(['redis-benchmark', '-s', self.path, '-q', '-P', '16', '-c', '10', '-n', str(n), '-r', '10000',
                        '-t', 'set,get,lpush'], stdout=subprocess.DEVNULL, check=True)
        return 3 * n / (time.monotonic() - begin), (self.cpu() - cpu) / (3 * n)

    def stop(self):
        self.cli('shutdown', 'nosave')
        self.p.wait(timeout=60)


def redis(pairs, folder):
    both = []
    while len(both) < pairs:
        plain, other = Server(folder, 'plain', []), Server(folder, 'sampled', sampled(os.path.join(folder, 'r.db'), []))
        for s in (plain, other):
            s.load(REQUESTS // 10)
        for i in range(PER_SERVERS):
            both.append(in_turn(i + len(both), plain.load, other.load))
        plain.stop()
        other.stop()
    print('redis: plain %.0f, sampled %.0f requests a second, %.0f and %.0f ns of the server a request, medians' % (
        *(statistics.median(p[i][0] for p in both) for i in (0, 1)), *(statistics.median(p[i][1] for p in both) for i in (0, 1))))
    short = judge('redis, throughput to plain', [b[0] / a[0] for a, b in both], 0.98, '%.3f', at_most=False)
    return judge('redis, CPU of the server to plain', [b[1] / a[1] for a, b in both], 1.02, '%.3f') or short


def main(pairs=PAIRS):
    for program in ('redis-server', 'redis-benchmark', 'redis-cli'):
        mms.need(program)
    with tempfile.TemporaryDirectory(prefix='mms-sample-pairs-') as folder:
        short = redis(pairs, folder)
        short |= malloc_pairs(pairs, folder)
    return 1 if short else 0


if __name__ == '__main__':
    sys.exit(main(*map(int, sys.argv[1:])))
