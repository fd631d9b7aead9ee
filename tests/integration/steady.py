"""steady.py - real programs against their own baselines.

    steady.py python3|redis|threads|all [RUNS]

Five recordings are the baselines.  RUNS more (20 when run by hand) must pass
`check`: no false failure.  Then the same program does 5 % more of its work in
each of three recordings, and every one must fail.
"""
import os
import subprocess
import sys
import time

import mms

BASELINES = 5
SCRIPT = '''
import json, sys, threading
n = int(sys.argv[1])
rows = [{"id": i, "name": "row %d" % i, "tags": [str(i), str(i * 7)]} for i in range(n)]
text = json.dumps(rows)
back = {r["name"]: r for r in json.loads(text)}
index = {t: r for r in back.values() for t in r["tags"]}
def work():
    return sorted(index)[:10]
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
'''


def record_python(work, db, scale):
    subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', '/usr/bin/python3', '-c', SCRIPT, str(int(20000 * scale))],
                   env=mms.environment(PYTHONMALLOC='malloc'), check=True)


def record_threads(work, db, scale):
    """Blocks of any size, freed by any of four threads, in no order."""
    subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', os.path.join(mms.PROGRAMS, 'known'), '7', '4',
                    str(int(40000 * scale)), 'free'], env=mms.environment(), stdout=subprocess.DEVNULL, check=True)


def record_redis(work, db, scale):
    mms.need('redis-server', 'redis-cli', 'redis-benchmark')
    socket = work.path('redis.sock')
    cli = ['redis-cli', '-s', socket]
    quiet = dict(env=mms.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', '/usr/bin/redis-server', '--port', '0', '--unixsocket', socket,
                               '--save', '', '--appendonly', 'no', '--enable-debug-command', 'yes', '--dir', work.top], **quiet)
    try:
        end = time.monotonic() + 20
        while subprocess.run([*cli, 'ping'], **quiet).returncode and time.monotonic() < end:
            time.sleep(0.05)
        subprocess.run([*cli, 'debug', 'populate', str(int(40000 * scale)), 'key', '100'], check=True, **quiet)
        subprocess.run(['redis-benchmark', '-s', socket, '-q', '-c', '20', '-P', '8', '-t', 'set,lpush', '-n',
                        str(int(40000 * scale))], check=True, **quiet)
        subprocess.run([*cli, 'shutdown', 'nosave'], **quiet)
        if server.wait(60):
            raise SystemExit('redis-server ended with %d' % server.returncode)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


PROGRAMS = {'python3': record_python, 'redis': record_redis, 'threads': record_threads}


def check_program(name, n_runs, work, faults):
    record = PROGRAMS[name]
    base = work.path(name + '-base')
    os.mkdir(base)
    for n in range(BASELINES):
        record(work, os.path.join(base, '%d.db' % n), 1)
    failures = 0
    for n in range(n_runs):
        db = work.path('run.db')
        record(work, db, 1)
        status, out, err = mms.verb('check', '--baseline', base, db)
        if status:
            failures += 1
            faults.add('%s, run %d: status %d\n%s%s' % (name, n, status, out, err))
    for n in range(3):
        record(work, db, 1.05)
        status, out, err = mms.verb('check', '--baseline', base, db)
        faults.equal(status, 1, '%s with 5 %% more, run %d:\n%s%s' % (name, n, out, err))
    print('%s: %d of %d runs failed by mistake' % (name, failures, n_runs), flush=True)


def main():
    faults = mms.Faults()
    names = list(PROGRAMS) if sys.argv[1] == 'all' else [sys.argv[1]]
    with mms.Work('steady') as work:
        for name in names:
            check_program(name, int(sys.argv[2]) if len(sys.argv) > 2 else 20, work, faults)
    return faults.done('steady ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
