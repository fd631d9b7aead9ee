"""top.py - mmscope top beside a recording that goes on.

On a terminal of 80 by 24: frames follow each other, show a growing heap, fit
the screen, take keys, and q gives the terminal back as it was.  Elsewhere one
moment, as text and as JSON.  The recording is whole afterwards.
"""
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import fcntl

import mms
import verbs


def read_until(fd, pattern, seconds, seen=b''):
    """What comes from the terminal until the pattern is in it."""
    end = time.monotonic() + seconds
    while not re.search(pattern, seen) and time.monotonic() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    return seen


def frames(seen):
    for part in seen.split(b'\033[H\033[2J')[1:]:
        yield re.sub(r'\033\[[0-9;?]*[a-zA-Z]', '', part.decode()).replace('\r', '')


def begin(db):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    return subprocess.Popen([mms.MMSCOPE, 'top', db], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                            env=mms.environment(TERM='xterm'), start_new_session=True), master, slave, before


def end(p, slave, before, what, faults):
    """It ends by itself, and the terminal is as it was."""
    try:
        status = p.wait(20)
    except subprocess.TimeoutExpired:
        p.kill()
        status = 'did not end'
    faults.equal((status, p.stderr.read()), (0, b''), 'status and stderr after ' + what)
    faults.equal(termios.tcgetattr(slave), before, 'the terminal after ' + what)


def live(db, faults):
    p, master, slave, before = begin(db)
    growing = rb'(?s)recording.*\+[0-9.]+ [KM]?i?B/s'
    seen = read_until(master, growing, 60)
    if not re.search(growing, seen):
        faults.add('no frame shows growth: %r' % seen[-2000:])
    os.write(master, b'l')
    seen = read_until(master, rb'(?s)$^', 1.5, seen)
    os.write(master, b'q')
    seen = read_until(master, rb'\033\[\?1049l', 20, seen)
    end(p, slave, before, 'q', faults)
    all_frames = list(frames(seen))
    if len(all_frames) < 3:
        faults.add('%d frames only' % len(all_frames))
    for frame in all_frames[:-1]:
        lines = frame.rstrip('\n').split('\n')
        if len(lines) > 24 or any(verbs.width(line) > 80 for line in lines):
            faults.add('a frame does not fit the screen:\n' + frame)
        if 'q quit' not in frame or ('further' not in frame and ' 0 of 0 ' not in frame):
            faults.add('a frame without its foot or its sites:\n' + frame)
    os.close(master)
    os.close(slave)


def to_the_end(view, faults):
    """The view of a recording that has ended; its last moment stays behind."""
    p, master, slave, before = view
    seen = read_until(master, rb'(?s)\033\[\?1049l.* ended, .*site', 20)
    if not re.search(rb'(?s)\033\[\?1049l.* ended, .*site', seen):
        faults.add('no last moment: %r' % seen[-2000:])
    end(p, slave, before, 'the end of the recording', faults)
    os.close(master)
    os.close(slave)


def once(db, faults):
    status, out, err = mms.verb('top', db)
    faults.equal((status, err), (0, ''), 'top, no terminal')
    if not out.startswith('top of ') or '\033' in out or any(verbs.width(line) > 80 for line in out.splitlines()):
        faults.add('one moment as text:\n' + out)
    answer = verbs.answer_of('top', db, '--by', 'live', '--limit', '3')
    live_bytes = [s['live_bytes'] for s in answer['sites']]
    faults.equal((answer['schema'], len(live_bytes), sorted(live_bytes, reverse=True) == live_bytes),
                 ('mmscope.top/1', 3, True), 'JSON')
    return answer


def main():
    faults = mms.Faults()
    with mms.Work('top') as work:
        db = work.path('top.db')
        program = os.path.join(mms.PROGRAMS, 'leak_mix')
        run = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--', program, '12'], env=mms.environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        view = None
        try:
            while not os.path.exists(db) and run.poll() is None:
                time.sleep(0.05)
            live(db, faults)
            if run.poll() is None:
                faults.equal(once(db, faults)['state'], 'recording', 'state')
                view = begin(db)
        finally:
            if run.poll() is None:
                run.terminate() # by its default action: the mix has shown enough
            out, err = run.communicate(timeout=60)
        faults.equal((run.returncode in (0, -15), out), (True, b''), 'the program beside it')
        mms.wait_finished(db)
        if view:
            to_the_end(view, faults)
        mms.integrity(db, faults)
        ended = once(db, faults)
        faults.equal((ended['state'], ended['running']), ('ended', 0), 'after the end')
        faults.equal(ended['processes'][0]['live_blocks'], mms.ask('leaks', db)['totals']['live']['blocks'], 'live at the end')
        faults.equal(mms.verb('top', work.path('none.db'))[0], 2, 'no such file')
    return faults.done('top')


if __name__ == '__main__':
    sys.exit(main())
