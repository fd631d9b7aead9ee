"""space_stall.py - what following a 4 GiB address space does to its threads.

    space_stall.py [ROUNDS [SECONDS]]

Runs `space_cost stall` plain and under mmscope in turn, so that both meet the
same machine, and prints for each how long the slowest map and unmap was
blocked (its own work and its wait for a processor taken off), and what part of
a processor looking took.  Then the same as nobody, who may not go first.  Fails above 5 ms in the best of the rounds, and above
0.5 %.  By hand: meson test -C build --suite bench space_stall -v
"""
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile

BUILD = os.environ.get('MMS_BUILD', 'build')
COST = os.path.join(BUILD, 'tests', 'bench', 'space_cost')
NOBODY = 65534
MMSCOPE = os.path.join(BUILD, 'analyzer', 'mmscope')


def once(command, user):
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, user=user,
                          group=user, extra_groups=None if user is None else []).stdout
    m = re.search(r'99.9 % ([\d.]+) ms, worst ([\d.]+) ms, blocked at worst ([\d.]+) ms', text)
    return [float(x) for x in m.groups()]


def share(db):
    """Part of the time that looks from outside took."""
    with sqlite3.connect(db) as c:
        took, first, last = c.execute("SELECT sum(cost_ns), min(t_ns), max(t_ns) FROM page_scan WHERE look = 'tick'").fetchone()
        end = c.execute('SELECT max(end_ns) FROM process').fetchone()[0]
    return took / (max(end, last) - first)


def compare(rounds, seconds, user):
    plain, ours, shares = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        if user:
            os.chown(folder, user, user)
        for i in range(rounds):
            db = os.path.join(folder, '%d.db' % i)
            plain.append(once([COST, 'stall', seconds], user))
            ours.append(once([MMSCOPE, 'run', '--wait', '-o', db, '--', COST, 'stall', seconds], user))
            shares.append(share(db))
            print('%s: plain 99.9 %% %6.3f worst %7.3f blocked %7.3f ms; mmscope %6.3f %7.3f %7.3f ms; looks %.2f %%'
                  % (user or 'here', *plain[-1], *ours[-1], shares[-1] * 100), flush=True)
    blocked = [[r[2] for r in runs] for runs in (plain, ours)]
    print('blocked, least/median/most: plain %.3f %.3f %.3f; mmscope %.3f %.3f %.3f ms; load %.1f'
          % (*[f(b) for b in blocked for f in (min, statistics.median, max)], os.getloadavg()[0]))
    return min(blocked[1]) > 5 or max(shares) > 0.005


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = sys.argv[2] if len(sys.argv) > 2 else '10'
    failed = compare(rounds, seconds, None)
    if os.geteuid() == 0:
        failed = compare(rounds, seconds, NOBODY) or failed
    return failed


if __name__ == '__main__':
    sys.exit(main())
