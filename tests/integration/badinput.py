"""badinput.py - bad input gets one clear line and its status.

    badinput.py databases | run

2 for what the reader cannot read and for wrong options, 125 where mmscope
itself cannot record, 126 and 127 as a shell says it.  Files that were there
before are as they were.
"""
import os
import shutil
import sqlite3
import subprocess
import sys

import mms

READERS = ('report', 'leaks', 'sites', 'maps', 'pages', 'cow', 'oom', 'html', 'top', 'export --format csv')


def one_line(status, want, out, err, what, faults, start=None):
    faults.equal(status, want, what + ': status')
    faults.equal(out, '', what + ': stdout')
    lines = err.splitlines()
    if len(lines) != 1 or not lines[0].startswith(start or 'mmscope'):
        faults.add('%s: should say one line, says %r' % (what, err))


def make_good(work):
    db = work.db('run')
    subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', '/bin/ls', '/'], env=mms.environment(), check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return db


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)
    return path


def altered(work, good, name, *statements):
    path = work.path(name)
    shutil.copy(good, path)
    c = sqlite3.connect(path)
    for s in statements:
        c.execute(s)
    c.commit()
    c.close()
    return path


def bad_databases(work):
    """(what, path) for every kind of file that is no database of ours."""
    good = make_good(work)
    with open(good, 'rb') as f:
        data = f.read()
    other = work.path('other.db')
    c = sqlite3.connect(other)
    c.execute('CREATE TABLE t(a)')
    c.commit()
    c.close()
    folder = work.path('folder.db')
    os.mkdir(folder)
    return [
        ('not there', work.path('nothing.db')),
        ('a text', write(work.path('text.db'), b'this is not a database\n' * 100)),
        ('empty', write(work.path('empty.db'), b'')),
        ('a folder', folder),
        ('of another program', other),
        ('a newer schema', altered(work, good, 'newer.db', 'PRAGMA user_version = 999')),
        ('another application_id', altered(work, good, 'id.db', 'PRAGMA application_id = 7')),
        ('cut in the middle', write(work.path('cut.db'), data[:len(data) // 2])),
        ('cut in the header', write(work.path('cut2.db'), data[:50])),
        ('one page', write(work.path('cut3.db'), data[:4096])),
        ('noise behind the header', write(work.path('noise.db'), data[:100] + os.urandom(len(data) - 100))),
        ('a device', '/dev/null'),
    ]


def databases(work, faults):
    for what, path in bad_databases(work):
        before = os.stat(path) if os.path.isfile(path) else None
        for verb in READERS:
            status, out, err = mms.verb(*verb.split(), path)
            one_line(status, 2, out, err, '%s: %s' % (verb, what), faults, 'mmscope %s: ' % verb.split()[0])
            if os.path.basename(path) not in err:
                faults.add('%s: %s: the line does not name the file: %r' % (verb, what, err))
        if before and (before.st_size, before.st_mtime_ns) != (os.stat(path).st_size, os.stat(path).st_mtime_ns):
            faults.add('%s: the file was changed' % what)
    good = make_good(work)
    for verb in READERS:
        for what, arguments in (('a wrong option', ['--no-such-option', good]), ('no file', []),
                                ('a wrong format', ['--format', 'xml', good]), ('a file too many', [good, good])):
            status, out, err = mms.verb(*verb.split(), *arguments)
            one_line(status, 2, out, err, '%s: %s' % (verb, what), faults)
    for what, arguments in (('an unknown verb', ['reprot', good]), ('no verb', [])):
        status, out, err = mms.verb(*arguments)
        one_line(status, 2, out, err, what, faults)
    for verb in ('recover', 'symbolize'):
        for what, path in (('not there', work.path('nothing')), ('a text', work.path('text.db')), ('empty', work.path('empty.db'))):
            status, out, err = mms.verb(verb, path)
            one_line(status, 2, out, err, '%s: %s' % (verb, what), faults)


def run_verb(work, *arguments, **more):
    r = subprocess.run([mms.MMSCOPE, 'run', *arguments], env=mms.environment(), stdin=subprocess.DEVNULL, timeout=60,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work.top, text=True, **more)
    return r.returncode, r.stdout, r.stderr


def as_nobody():
    os.setgid(65534)
    os.setuid(65534)


FILL = 'x = [str(i) * 20 for i in range(200000)]; print(len(x)); raise SystemExit(4)'


def on_small_disk(work, size, *options):
    """run with its database on a file system of that size; None: not allowed here."""
    mount = work.path('small')
    os.makedirs(mount, exist_ok=True)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tmpfs', mount], stderr=subprocess.DEVNULL).returncode:
        return None
    try:
        return run_verb(work, '--wait', *options, '-o', os.path.join(mount, 'full.db'), '--',
                        '/usr/bin/env', 'PYTHONMALLOC=malloc', '/usr/bin/python3', '-c', FILL)
    finally:
        subprocess.run(['umount', '-l', mount], check=True)


def full_disk(work, faults):
    """Full before the start: refused.  Full in the middle: the target runs to
    its end, and the one line says where what was recorded lies."""
    got = on_small_disk(work, '64k')
    if got is None:
        print('full disk: not allowed to mount here, left out')
        return
    one_line(*swap(got, 125, 'a full disk', faults))
    status, out, err = on_small_disk(work, '1500k', '--events')
    faults.equal((status, out), (4, '200000\n'), 'disk full in the middle: the target')
    lines = err.splitlines()
    if len(lines) != 1 or not lines[0].startswith('mmscope run: ') or 'full' not in lines[0]:
        faults.add('disk full in the middle: should say one line, says %r' % err)
        return
    saved = lines[0].split()[-1]
    if os.path.isfile(saved):
        mms.integrity(saved, faults)
        os.unlink(saved)
    else:
        faults.add('disk full in the middle: %r is not there' % saved)


def run(work, faults):
    os.mkdir(work.path('folder'))
    text = write(work.path('text'), b'no program')
    os.chmod(text, 0o644)
    one_line(*swap(run_verb(work), 125, 'no command', faults))
    one_line(*swap(run_verb(work, '--'), 125, 'nothing after --', faults))
    one_line(*swap(run_verb(work, '--no-such-option', '--', 'true'), 125, 'a wrong option', faults))
    one_line(*swap(run_verb(work, '--mode', 'magic', '--', 'true'), 125, 'a wrong mode', faults))
    one_line(*swap(run_verb(work, '-o', work.path('a.db'), '--', '/no/such/program'), 127, 'a missing program', faults))
    one_line(*swap(run_verb(work, '-o', work.path('b.db'), '--', 'no-such-program'), 127, 'a missing name', faults))
    one_line(*swap(run_verb(work, '-o', work.path('c.db'), '--', text), 126, 'not executable', faults))
    one_line(*swap(run_verb(work, '-o', work.path('folder'), '--', 'true'), 125, 'output is a folder', faults))
    one_line(*swap(run_verb(work, '-o', '/no/such/folder/a.db', '--', 'true'), 125, 'output folder missing', faults))
    precious = write(work.path('precious.txt'), b'not to be lost\n' * 50)
    one_line(*swap(run_verb(work, '-o', precious, '--', 'true'), 125, 'output is a foreign file', faults))
    with open(precious, 'rb') as f:
        faults.equal(f.read(), b'not to be lost\n' * 50, 'the foreign file')
    if os.getuid() == 0:
        shut = work.path('shut')
        os.mkdir(shut, 0o755)
        one_line(*swap(run_verb(work, '-o', os.path.join(shut, 'a.db'), '--', 'true', preexec_fn=as_nobody), 125,
                       'unwritable output', faults))
        full_disk(work, faults)
    if os.path.exists(os.path.join(mms.PROGRAMS, 'hello_static')):
        status, out, err = run_verb(work, '-o', work.path('d.db'), '--', os.path.join(mms.PROGRAMS, 'hello_static'))
        faults.equal((status, out), (7, 'hello 5\n'), 'static: the target')
        warned(err, 'static', faults)
    if os.path.exists('/usr/bin/su') and os.stat('/usr/bin/su').st_mode & 0o4000:
        arguments = {'preexec_fn': as_nobody} if os.getuid() == 0 else {}
        os.chmod(work.top, 0o777)
        status, out, err = run_verb(work, '-o', work.path('e.db'), '--', '/usr/bin/su', '--version', **arguments)
        faults.equal((status, out.startswith('su ')), (0, True), 'set-uid: the target')
        warned(err, 'set-uid', faults)


def warned(err, word, faults):
    lines = err.splitlines()
    if len(lines) != 1 or word not in lines[0].replace('setuid', 'set-uid'):
        faults.add('%s: should warn in one line, says %r' % (word, err))


def swap(got, want, what, faults):
    status, out, err = got
    return status, want, out, err, what, faults


def main():
    faults = mms.Faults()
    with mms.Work('bad') as work:
        {'databases': databases, 'run': run}[sys.argv[1]](work, faults)
    return faults.done('bad input: ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
