"""cpython.py - a part of CPython's own suite, with and without mmscope.

    cpython.py quick | long

The verdict of each test module, and the number of tests it ran, must be those
of the plain run.
"""
import os
import re
import subprocess
import sys

import mms

MODULES = {'quick': ('test_posix', 'test_mmap', 'test_fork1'),
           'long': ('test_os', 'test_subprocess', 'test_signal', 'test_fork1', 'test_posix', 'test_threading', 'test_mmap')}
COUNT = re.compile(r'^Ran (\d+) tests?', re.M)


def verdict(work, mode, module):
    """(status, tests run, what failed)."""
    command = mms.prefix(mode, work.db(mode)) + ['/usr/bin/python3', '-m', 'unittest', '-v', 'test.' + module]
    r = subprocess.run(command, cwd=work.fresh(), env=mms.environment(HOME=work.cwd), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', timeout=900,
                       preexec_fn=mms.quiet_signals)
    count = COUNT.search(r.stdout)
    failed = sorted(set(re.findall(r'^(?:FAIL|ERROR): (\S+)', r.stdout, re.M)))
    return r.returncode, int(count.group(1)) if count else None, failed


def main():
    if not os.path.exists('/usr/lib/python3.11/test/test_subprocess.py'):
        mms.skip('libpython3.11-testsuite is not installed')
    faults = mms.Faults()
    with mms.Work('cpython') as work:
        for module in MODULES[sys.argv[1]]:
            plain = verdict(work, 'plain', module)
            other = verdict(work, 'run', module)
            if other != plain and other[2] and set(other[2]) - set(plain[2]):
                other = verdict(work, 'run', module)  # some of these tests fail once in a while by themselves
            print('%s: %s tests, status %s, failed %s' % (module, plain[1], plain[0], plain[2]), flush=True)
            faults.equal(other, plain, module)
            if not plain[1]:
                faults.add(module + ': no test ran')
    return faults.done('cpython ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
