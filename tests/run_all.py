"""run_all.py - builds three ways, runs the suites, counts.

Called by `bootstrap test` with the names of the suites that are run by hand
only.  gcc: everything.  clang: must build without a warning, unit tests.
gcc with ASan and UBSan: unit tests and the replay of the fuzz samples (never
the preloaded object: it cannot load there).

Every test of meson's own log counts once.  A build that fails counts as one
failed test.  The last line is the sum, alone.
"""
import json
import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PASSED = ('OK', 'EXPECTEDFAIL')
SKIPPED = ('SKIP',)


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0


def say(text):
    print(text, flush=True)


def build(name, options, env):
    """Configures and builds; the output is shown only when it fails."""
    path = os.path.join(TOP, name)
    e = dict(os.environ, **env)
    steps = [['ninja', '-C', path]]
    if not os.path.exists(os.path.join(path, 'build.ninja')):
        steps.insert(0, ['meson', 'setup', path, TOP] + options)
    for step in steps:
        r = subprocess.run(step, env=e, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors='replace')
        if r.returncode:
            say(r.stdout)
            say('build: %s: %s failed' % (name, step[0]))
            return False
    say('build: %s: ok' % name)
    return True


def reason_of(test):
    """Why a test was skipped: the last line it printed."""
    lines = (test.get('stdout', '') + test.get('stderr', '')).strip().splitlines()
    return lines[-1].strip() if lines else 'no reason given'


def run(name, arguments, tally):
    path = os.path.join(TOP, name)
    log = os.path.join(path, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    # Tests compare CPU-heavy programs: one more at a time than cores only
    # makes them slower.
    r = subprocess.run(['meson', 'test', '-C', path, '--no-rebuild', '--print-errorlogs',
                        '--num-processes', str(os.cpu_count() or 1)] + arguments,
                       stdin=subprocess.DEVNULL)
    if not os.path.exists(log):
        if r.returncode:
            say('%s: no test ran (meson test ended with %d)' % (name, r.returncode))
            tally.failed += 1
        return
    seen = []
    with open(log) as f:
        for line in f:
            seen.append(json.loads(line))
    for t in seen:
        if t['result'] in PASSED:
            tally.passed += 1
        elif t['result'] in SKIPPED:
            tally.skipped += 1
            say('skipped: %s: %s' % (t['name'], reason_of(t)))
        else:
            tally.failed += 1
            say('failed: %s: %s (%s)' % (name, t['name'], t['result']))
    if r.returncode and not any(t['result'] not in PASSED + SKIPPED for t in seen):
        say('%s: meson test ended with %d' % (name, r.returncode))
        tally.failed += 1


def main():
    by_hand = []
    for suite in sys.argv[1:]:
        by_hand += ['--no-suite', suite]
    clang = shutil.which('clang-14') or shutil.which('clang')
    trees = [('build', [], {}, by_hand),
             ('build-asan', ['-Db_sanitize=address,undefined', '-Db_lundef=false', '-Dman=false'], {},
              ['--suite', 'unit', '--suite', 'fuzz'])]
    if clang:
        trees.insert(1, ('build-clang', ['-Dman=false'], {'CC': clang}, ['--suite', 'unit']))
    tally = Tally()
    if not clang:
        say('build: clang is not installed, not checked')
    for name, options, env, arguments in trees:
        if build(name, options, env):
            run(name, arguments, tally)
        else:
            tally.failed += 1
    text = '%d passed, %d failed' % (tally.passed, tally.failed)
    if tally.skipped:
        text += ', %d skipped' % tally.skipped
    say(text)
    return 1 if tally.failed or not tally.passed else 0


if __name__ == '__main__':
    sys.exit(main())
