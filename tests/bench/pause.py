"""pause.py - how long `snapshot` holds a program up, and how fast it reads.

    pause.py [MIB [ROUNDS]]

One program with 1 GiB in blocks full of addresses; in turn it is looked at and
forks by itself, so that both see the same memory and the same machine.  Judged
by issue 6: the pause is at most 1.2 times the fork, the scan at least 0.7 GB/s.
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import mms

PROGRAM = os.path.join(mms.BUILD, 'tests', 'bench', 'pause')


def fork_ns(p):
    p.stdin.write('\n')
    p.stdin.flush()
    return int(p.stdout.readline())


def main(mib=1024, rounds=9):
    forks, looks = [], []
    with mms.Work('pause') as work:
        db = work.db('run')
        p = subprocess.Popen([mms.MMSCOPE, 'run', '--cow', 'off', '-o', db, '--', PROGRAM, str(mib)], env=mms.environment(),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == 'ready\n'
        for i in range(rounds):
            forks.append(fork_ns(p))
            status, out, err = mms.verb('snapshot', db, 'look%d' % i, '--age', '0', '--format', 'json')
            assert status == 0, err
            looks.append(json.loads(out))
            assert looks[-1]['method'] == 'copy', looks[-1]
        p.communicate(timeout=60)
    pauses = [a['pause_ns'] for a in looks]
    for what, f in (('least', min), ('median', statistics.median)):
        print('%d MiB, %s: fork %.2f ms, pause %.2f ms, %.2f times' % (
            mib, what, f(forks) / 1e6, f(pauses) / 1e6, f(pauses) / f(forks)))
    gb = looks[-1]['scanned_bytes'] / 1e9
    for what, ns in (('reading', 'read_ns'), ('scan', 'scan_ns')):
        times = [a[ns] / 1e9 for a in looks]
        print('%s of %.2f GB: %.2f s at least, %.2f in the median, %.2f GB/s' % (
            what, gb, min(times), statistics.median(times), gb / statistics.median(times)))
    whole = [(a['read_ns'] + a['scan_ns']) / 1e9 for a in looks]
    print('both: %.2f s in the median, %.2f GB/s' % (statistics.median(whole), gb / statistics.median(whole)))


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
