"""judging.py - programs of oom_cases that run into a limit, and what mmscope oom says of them.

Truth is what the program came to: it writes that into a page of the test's.
"""
import json
import os
import resource
import struct
import subprocess
import time

import mms

MIB = 1 << 20
# On an emulated machine (tests/vm) the programs stand still for longer.
SLOW = {k: v for k, v in os.environ.items() if k == 'MMS_SLOW'}
TIMES = float(SLOW.get('MMS_SLOW', 1))
CASES = os.path.join(mms.PROGRAMS, 'oom_cases')


def make_progress(path):
    """Its page is charged to the cgroup of this test, who writes it first.  Were
    it the only file page of the group that is tested, and dirty as it always is,
    the kernel would wait up to 0.1 s for it at the limit, before it kills
    (shrink_inactive_list of cgroup v1, VMSCAN_THROTTLE_WRITEBACK)."""
    with open(path, 'wb') as f:
        f.write(bytes(4096))
    os.chmod(path, 0o666)


def start(work, name, way, group=None, arguments=(), limits=(), stdin=subprocess.DEVNULL, user=None, own=()):
    """Runs a case; the collector stays outside the group that is tested, but
    has the same `limits`.  `own` are those of the case alone (ulimit)."""
    db, progress = work.path(name + '.db'), work.path(name + '.progress')
    make_progress(progress)

    def before():
        for which, value in limits:
            resource.setrlimit(which, (value, value))
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    command = [CASES, way, progress, *arguments]
    for letter, value in own:
        command = ['/bin/sh', '-c', 'ulimit -%s %d; exec "$@"' % (letter, value >> 10), 'sh'] + command
    if group:  # the program moves itself, the collector was there before
        command = ['/bin/sh', '-c', 'echo $$ > %s/cgroup.procs; exec "$@"' % group.path, 'sh'] + command
    p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--'] + command, env=mms.environment(**SLOW), stdin=stdin,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=before)
    return p, db, progress


def reached(progress, index=0):
    with open(progress, 'rb') as f:
        return struct.unpack('2Q', f.read(16))[index]


def judge(db, at=None):
    words = ['--at', at if isinstance(at, str) else '%.3f' % at] if at is not None else []
    status, out, err = mms.verb('oom', '--format', 'json', *words, db)
    if status:
        raise AssertionError('oom ended with %d: %s' % (status, err))
    return json.loads(out)


def check_text(faults, db, *needed):
    """What people read says the same, in 80 columns; stacks may be wider."""
    status, out, _ = mms.verb('oom', db)
    faults.equal(status, 0, 'oom as text')
    for line in out.splitlines():
        if len(line) > 80 and '/' not in line:
            faults.add('wider than 80 columns: %r' % line)
    flat = ' '.join(out.split())
    for words in needed:
        faults.equal(words in flat, True, 'the text says %r:\n%s' % (words, out))


def end_of(db):
    """When the case began and ended, in seconds of the recording."""
    row = mms.rows(db, "SELECT begin_ns, end_ns FROM process WHERE argv LIKE '%oom_cases%' ORDER BY id DESC LIMIT 1")[0]
    return row['begin_ns'] / 1e9, row['end_ns'] / 1e9


def near(faults, what, got, want, share=0.02, least=4 * MIB):
    print('%s: predicted %.1f MiB, measured %.1f MiB' % (what, got / MIB, want / MIB))
    if abs(got - want) > max(share * want, least):
        faults.add('%s: predicted %d, measured %d' % (what, got, want))


def wait_for(p, progress, value, index=0):
    while p.poll() is None and not (os.path.exists(progress) and os.path.getsize(progress) >= 16 and
                                    reached(progress, index) == value):
        time.sleep(0.002)


def go_on(progress, value):
    with open(progress, 'r+b') as f:
        f.seek(8)
        f.write(struct.pack('Q', value))
