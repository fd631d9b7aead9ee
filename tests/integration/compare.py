"""compare.py - is a run under mmscope the run without it?

Compares output, status and what onlooker saw of each process at its end, and
the process table of the database with onlooker's list.  A field that differs
between two plain runs of the same program (thread counts of a JIT) is masked
after that was shown, and said.
"""
import os
import re



# Shells and sanitizers name pids in their messages.
PID = re.compile(rb'(?<=: )\d+(?= )|(?<===)\d+(?===)')


# What `run` says about a program that it cannot record; nothing else of ours
# may stand on stderr.
WARNING = re.compile(rb'^mmscope run: \S+ (?:is|uses|runs|brings|cannot) [^\n]*record[^\n]*\n', re.M)


def place(link):
    """What a descriptor leads to, without what differs from run to run."""
    link = re.sub(r'^(pipe|socket):\[\d+\]', r'\1', link)
    link = re.sub(r'/(tmp|proc)/[^ ]*\d[^ /]*', r'/\1/N', link) if link.startswith(('/tmp/', '/proc/')) else link
    return re.sub(r'^/dev/pts/\d+', '/dev/pts/N', link)


def of_mmscope(n, link):
    """The one descriptor that the library may hold, while a fork is watched."""
    return int(n) >= 1000 and link == 'anon_inode:[userfaultfd]'


def of_a_look(p, link):
    """A signal of somebody else's may end a process while a wrapper reads /proc."""
    return p['end'] == 'signal' and re.match(r'/proc/\d+/(maps|pagemap|statm|status)$', link)


def portrait(p, masked):
    """One process, without pids and with descriptors by number and kind."""
    fields = {
        'images': tuple(os.path.basename(i) for i in p['images']),
        'end': (p['end'], p['status']),
        'threads': p['threads'],
        'signals': (p['blocked'], p['ignored'], p['caught']) if p['fds'] is not None else None,
        'descriptors': None if p['fds'] is None else tuple(
            sorted((int(n), place(link)) for n, link in p['fds'].items()
                   if not of_mmscope(n, link) and not of_a_look(p, link))),
    }
    return tuple((k, v) for k, v in fields.items() if k not in masked)


def portraits(o, masked):
    seen = [p for p in o.processes if not p['images'] or os.path.basename(p['images'][-1]) not in o.fleeting]
    return sorted((portrait(p, masked) for p in seen), key=repr)


FIELDS = ('stdout', 'stderr', 'status', 'n_processes', 'images', 'end', 'threads', 'signals', 'descriptors')
OF_PROCESS = FIELDS[4:]


def field(o, name):
    if name == 'n_processes':
        return len(o.processes)
    if name in OF_PROCESS:
        return portraits(o, [f for f in OF_PROCESS if f not in (name, 'images')])
    if name in ('stdout', 'stderr'):
        return PID.sub(b'PID', WARNING.sub(b'', getattr(o, name)))
    return getattr(o, name)


def differing(a, b, masked):
    return [f for f in FIELDS if f not in masked and field(a, f) != field(b, f)]


def explain(plain, other, name):
    a, b = field(plain, name), field(other, name)
    if isinstance(a, list):
        left = [x for x in a if x not in b]
        right = [x for x in b if x not in a]
        return 'plain only: %r\n  with mmscope only: %r' % (left[:4], right[:4])
    if isinstance(a, bytes):
        return 'plain: %s\n  with mmscope: %s' % (first_difference(a, b))
    return 'plain: %r, with mmscope: %r' % (a, b)


def first_difference(a, b):
    x, y = a.splitlines(), b.splitlines()
    for i in range(max(len(x), len(y))):
        l, r = x[i:i + 1], y[i:i + 1]
        if l != r:
            return ('line %d %r' % (i + 1, l), 'line %d %r' % (i + 1, r))
    return (a[-80:], b[-80:])


def check_parent(p, row, db_rows, pids, faults, what):
    """The parent that the database names is the one that made the process."""
    if p['by'] == 'start' or p['parent'] not in pids:
        return
    have = [r['pid'] for r in db_rows if r['id'] == row['parent_id']]
    if have != [p['parent']]:
        faults.add('%s: parent is %s, should be %d' % (what, have, p['parent']))


def out_of_sight(p, processes, unseen):
    """A child that a program made in which there is no preload."""
    if any(os.path.basename(i) not in unseen for i in p['images']):
        return False
    maker = [q for q in processes if q['pid'] == p['parent']]
    return bool(maker) and (bool(maker[0]['images']) and os.path.basename(maker[0]['images'][-1]) in unseen or
                            out_of_sight(maker[0], processes, unseen))


def check_tree(o, db_rows, unseen, faults, mode):
    """Every process onlooker saw stands in the database, with its images and
    its end, and nothing else does.  unseen: programs that no preload can
    enter (static, set-uid, other libc)."""
    by_pid = {}
    for r in db_rows:
        by_pid.setdefault(r['pid'], []).append(r)
    for p in o.processes:
        own = [i for i in p['images'] if os.path.basename(i) not in unseen]
        if out_of_sight(p, o.processes, unseen):
            continue
        # A vfork child is its parent until it executes something.
        if not own and (p['by'] in ('vfork', 'start') or p['images'] and p['by'] == 'clone'):
            continue
        have = by_pid.get(p['pid'], [])
        what = '%s: process %s (%s)' % (mode, p['pid'], ' '.join(p['images']) or p['by'])
        if not have:
            faults.add(what + ' is not in the database')
            continue
        new = [r['exe'] for r in have if r['begin_how'] in ('start', 'exec', 'spawn') and
               (r['followed'] or os.path.basename(r['exe'] or '') not in unseen)]
        if sorted(map(str, new)) != sorted(own):
            faults.add('%s: images are %r, should be %r' % (what, new, own))
        if len(own) < len(p['images']) and all(r['followed'] for r in have):
            faults.add('%s: the image that cannot be recorded is not listed' % what)
        check_parent(p, have[0], db_rows, {q['pid'] for q in o.processes}, faults, what)
        last = have[-1]
        if p['images'] and os.path.basename(p['images'][-1]) in unseen:
            continue
        if (last['end_how'], last['status']) != (p['end'], p['status']):
            faults.add('%s: end is %s %s, should be %s %s' % (
                what, last['end_how'], last['status'], p['end'], p['status']))
    strangers = set(by_pid) - {p['pid'] for p in o.processes}
    for pid in sorted(strangers):
        faults.add('%s: process %d of the database (%s) was never there' % (mode, pid, by_pid[pid][0]['exe']))
