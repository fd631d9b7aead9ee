"""apart.py - the collector of `run` was a copy of it: nothing of the program is left in it, neither its arguments
(pkill -f) nor its environment, descriptors, signals, folder.

    apart.py
"""
import os
import subprocess
import sys

import mms
from test_run_life import collectors, finished, session_of


def read_proc(pid, name):
    with open('/proc/%d/%s' % (pid, name), 'rb') as f:
        return f.read()


def comm(pid):
    try:
        return read_proc(pid, 'comm').decode().strip()
    except OSError:
        return None


def apart(work, faults):
    for env in (mms.environment(), {}):
        mark = 'mark-%d-%d' % (os.getpid(), len(env))
        db = work.db('run')
        p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--', '/bin/sh', '-c', 'echo here; read x; : %s' % mark],
                             env=dict(env, MARK=mark) if env else {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             preexec_fn=mms.quiet_signals)
        p.stdout.readline()
        what = 'with an environment' if env else 'without'
        path = session_of(p.pid)
        mine = collectors(path) if env else [pid for pid in map(int, filter(str.isdigit, os.listdir('/proc')))
                                             if comm(pid) == 'mmscope-collect' and session_of(pid, 0.05) == path]
        faults.equal(len(mine), 1, what + ': collectors')
        if len(mine) != 1:
            p.communicate(b'\n')
            continue
        left = {name: read_proc(mine[0], name) for name in ('cmdline', 'environ', 'status')}
        faults.equal([name for name in left if mark.encode() in left[name]], [], what + ': the program in the collector')
        faults.equal(set(left['environ'].strip(b'\0')), set(), what + ': environment')
        masks = [line for line in left['status'].decode().splitlines() if line[:6] == 'SigBlk']
        faults.equal(masks, ['SigBlk:\t0000000000000000'], what + ': signals')
        faults.equal(os.readlink('/proc/%d/cwd' % mine[0]), '/', what + ': folder')
        pipes = {os.readlink('/proc/self/fd/%d' % f.fileno()) for f in (p.stdin, p.stdout)}
        fds = {os.readlink('/proc/%d/fd/%s' % (mine[0], n)) for n in os.listdir('/proc/%d/fd' % mine[0])}
        faults.equal(fds & pipes, set(), what + ': pipes of the program')
        p.communicate(b'\n')
        finished(db, faults, what)


def main():
    faults = mms.Faults()
    with mms.Work('apart') as work:
        apart(work, faults)
    return faults.done('apart')


if __name__ == '__main__':
    sys.exit(main())
