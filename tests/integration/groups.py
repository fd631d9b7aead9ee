"""groups.py - cgroups of a test's own, of the version that the machine has.
"""
import os
import time

import mms

V2 = os.path.exists('/sys/fs/cgroup/cgroup.controllers')
TOP = '/sys/fs/cgroup' if V2 else '/sys/fs/cgroup/memory'
PIDS = '/sys/fs/cgroup' if V2 else '/sys/fs/cgroup/pids'
KIND, LIMIT, USAGE = (('cgroup2', 'memory.max', 'memory.current') if V2 else
                      ('cgroup1', 'memory.limit_in_bytes', 'memory.usage_in_bytes'))


class Group:
    """A cgroup of this test, below another or the top."""
    made = 0

    def __init__(self, limit=None, above=TOP):
        Group.made += 1
        self.path = os.path.join(above, 'mms-oom-%d-%d' % (os.getpid(), Group.made))
        try:
            if V2:  # who has no groups inside has no controllers for them
                with open(os.path.join(above, 'cgroup.subtree_control'), 'w') as f:
                    f.write('+memory +pids')
            os.mkdir(self.path)
            if limit:
                self.write(LIMIT, limit)
        except OSError as e:
            if os.path.isdir(self.path):
                os.rmdir(self.path)
            mms.skip('no memory cgroup can be made here: %s' % e.strerror)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as f:
            f.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name)) as f:
            return int(f.read())

    def enter(self):
        self.write('cgroup.procs', os.getpid())

    def remove(self):
        """The collector may still be inside for a moment."""
        for _ in range(200):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)


class Named(Group):
    """One that is there already."""

    def __init__(self, path):
        self.path = path
