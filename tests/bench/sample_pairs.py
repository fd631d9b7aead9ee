"""sample_pairs.py - what sampling costs, in pairs of runs that follow each other.

    sample_pairs.py [malloc|redis|pipelined|all]

A machine that does other things makes single runs differ by more than what is
asked for: plain and sampled runs alternate, first one and then the other first,
and the figure is the median of the pairs' ratios (or differences), with the
interval that holds the median in 95 of 100 cases, from the order of the values
alone.  What sampling costs at start and end of a program is left out here.

Two controls run in the same rounds: a second plain run (what it differs by is the
measure's own error), and a preload that only passes calls on (passed.c: what
being in between costs before anything is recorded).

  malloc+free  thread CPU of a second and more of pairs, ns a pair added
  redis        servers that live beside each other, loaded in turn with a
               tenth of a second of redis-benchmark, four rounds; then new
               servers, because where a server's memory lies makes some 3 % for
               as long as it lives.  The figure of a set of servers is the median
               of its rounds; judged is the median of the sets.  Requests a
               second, CPU of the server, and of the collector apart
  pipelined    the same, 16 requests in each message: next to no time in the
               kernel, so that a request is little more than its 3.75 blocks
"""
import math
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

from field import BENCH, mms

PAIRS = 25  # of malloc
N = 60000000
# What redis-benchmark does by itself, with 50 connections; and the most that can be had.
LOADS = {'redis': (['-c', '50'], 4000), 'pipelined': (['-P', '16', '-c', '10'], 50000)}
SETS = 120
ROUNDS = 4


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


WAYS = ('plain', 'plain again', 'passed on', 'sampled')
LAST = len(WAYS) - 1


def in_turn(i, runs):
    """Results of all ways; each way is first, second and so on equally often."""
    order = [(i + k) % len(runs) for k in range(len(runs))]
    if i // len(runs) % 2:
        order.reverse()
    results = [None] * len(runs)
    for k in order:
        results[k] = runs[k]()
    return results


def tell(what, rounds, of):
    """The controls beside the plain run; no limit is theirs."""
    for k in range(1, LAST):
        values = [of(r[0], r[k]) for r in rounds]
        print('%-34s %.3f (%.3f to %.3f), control' % ('%s, %s' % (what, WAYS[k]), statistics.median(values), *interval(values)), flush=True)


def passed():
    return mms.environment(LD_PRELOAD=os.path.join(BENCH, 'passed.so'))


def ns_a_pair(argv, env=None):
    return float(subprocess.run(argv, env=env or mms.environment(), check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0])


def malloc_pairs(folder):
    short = False
    for depth in (8, 32, 100):
        argv = [os.path.join(BENCH, 'pairs'), str(N), str(depth), '1']
        runs = (lambda: ns_a_pair(argv), lambda: ns_a_pair(argv), lambda: ns_a_pair(argv, passed()),
                lambda: ns_a_pair(sampled(os.path.join(folder, 'p.db'), argv)))
        rounds = [in_turn(i, runs) for i in range(PAIRS)]
        print('depth %d: ' % depth + ', '.join('%s %.2f' % (WAYS[k], min(r[k] for r in rounds)) for k in range(len(WAYS))) + ' ns at best')
        tell('malloc+free, depth %d' % depth, rounds, lambda a, b: b - a)
        short |= judge('malloc+free, depth %d, ns added' % depth, [r[LAST] - r[0] for r in rounds], 5, '%.2f')
    return short


class Server:
    """A redis server; cpu() is what its threads have had, in ns.  db: where it is recorded."""

    def __init__(self, folder, name, load, env=None, db=None):
        self.db, prefix, self.load_words = db, sampled(db, []) if db else [], load
        self.path = os.path.join(folder, name)
        self.p = subprocess.Popen(prefix + ['/usr/bin/redis-server', '--port', '0', '--unixsocket', self.path, '--save', '', '--dir', folder],
                                  env=env or mms.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not os.path.exists(self.path):
            assert time.monotonic() < end, 'the server does not listen'
            time.sleep(0.01)
        while db and not self.collector_pid():
            assert time.monotonic() < end, 'the collector does not begin its database'
            time.sleep(0.01)

    def cpu(self, pid=None):
        total, tasks = 0, '/proc/%d/task' % (pid or self.p.pid)
        for task in os.listdir(tasks):
            with open('%s/%s/schedstat' % (tasks, task), encoding='utf-8') as f:
                total += int(f.read().split()[0])
        return total

    def cli(self, *words):
        subprocess.run(['redis-cli', '-s', self.path, *words], stdout=subprocess.DEVNULL, check=True)

    def collector_pid(self):
        try:
            return int(mms.rows(self.db, "SELECT value FROM meta WHERE key = 'collector_pid'")[0]['value'])
        except (sqlite3.OperationalError, IndexError):  # its tables come after the server's socket, and its pid after them
            return None

    def collector(self):
        return self.cpu(self.collector_pid()) if self.db else 0

    def load(self):
        """(requests a second, ns of the server a request, of the collector a second)."""
        words, n = self.load_words
        self.cli('flushall')
        cpu, aside, begin = self.cpu(), self.collector(), time.monotonic()
        subprocess.run(['redis-benchmark', '-s', self.path, '-q', *words, '-n', str(n), '-r', '10000',
                        '-t', 'set,get,lpush'], stdout=subprocess.DEVNULL, check=True)
        took = time.monotonic() - begin
        return 3 * n / took, (self.cpu() - cpu) / (3 * n), (self.collector() - aside) / took

    def stop(self):
        self.cli('shutdown', 'nosave')
        self.p.wait(timeout=60)


def redis(folder, name):
    load = LOADS[name]
    sets = []
    for n in range(SETS):
        servers = [Server(folder, 'plain', load), Server(folder, 'again', load), Server(folder, 'passed', load, env=passed()),
                   Server(folder, 'sampled', load, db=os.path.join(folder, 'r%d.db' % n))]
        for s in servers:
            s.load()
        sets.append([in_turn(i, [s.load for s in servers]) for i in range(ROUNDS)])
        for s in servers:
            s.stop()
    rounds = [r for rounds in sets for r in rounds]
    for k, way in enumerate(WAYS):
        print('%s, %s: %.0f requests a second, %.0f ns of the server a request, medians' % (
            name, way, *(statistics.median(r[k][v] for r in rounds) for v in (0, 1))))
    print('%s: the collector used %.3f %% of a processor, median' % (name, statistics.median(r[LAST][2] for r in rounds) / 1e7))
    # A set as one round: the ratios of each way to the plain server of the same round.
    ratios = [[[statistics.median(r[k][v] / r[0][v] for r in rounds) for v in (0, 1)] for k in range(len(WAYS))] for rounds in sets]
    tell(name + ', throughput to plain', ratios, lambda a, b: b[0])
    tell(name + ', CPU to plain', ratios, lambda a, b: b[1])
    short = judge(name + ', throughput to plain', [r[LAST][0] for r in ratios], 0.98, '%.3f', at_most=False)
    return judge(name + ', CPU of the server to plain', [r[LAST][1] for r in ratios], 1.02, '%.3f') or short


def main(what='all'):
    for program in ('redis-server', 'redis-benchmark', 'redis-cli'):
        mms.need(program)
    with tempfile.TemporaryDirectory(prefix='mms-sample-pairs-') as folder:
        short = what in ('malloc', 'all') and malloc_pairs(folder)
        for name in LOADS:
            short |= what in (name, 'all') and redis(folder, name)
    return 1 if short else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
