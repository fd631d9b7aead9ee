"""inside.py - what runs on Debian's own kernel; started by vm.py in the machine.

    inside.py [NAME...]   these cases, or all

Each case is a test of tests/integration or tests/unit, unchanged.  Linux 6.1 has
soft-dirty bits, and has neither PAGEMAP_SCAN nor asynchronous write protection
(6.7), nor PROCMAP_QUERY (6.11), nor an exit status in PIDFD_GET_INFO (6.15): what
replaces them is what these cases run.  The cgroups are of version 2.  Prints TAP.
"""
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ['MMS_BUILD']
LIMIT_S = 600

# What is against the clock is left out: it is emulated, and ten times slower.
# MMS_SLOW tells the programs of `oom` to stand still for so much longer.
UNIT = {'page_scan': '10000', 'cow_bits': None, 'vma_tree': '1', 'limit': None, 'exit_status': None, 'deaths': None,
        'page_traps': None}
INTEGRATION = {
    'cow_rungs': ('soft-dirty', 'witness', 'bytes', 'totals', 'swap-witness', 'twice', 'prefork', 'unseen', 'ends', 'none', 'killed'),
    'cow': ('small', 'kinds', 'reads'),
    'space': ('walk-1', 'threads-4', 'used', 'container', 'sealed', 'hidden', 'slack', 'swapped', 'real-python3', 'real-bash'),
    'oom': ('killed', 'refused', 'stacks', 'limits'),
    'reach': ('direct', 'threads', 'forked', 'mappings'),
    'snapshot': ('quiet', 'apart', 'many', 'refused'),
    'crash': ('none', 'segv', 'kill', 'exec', 'collector'),
    'control': ('pause', 'stop'),
    'ends': ('told', 'late', 'killed'),
    'test_run_life': ('in_place', 'statuses', 'forks_401', 'exec_chain', 'spawned', 'daemon', 'job_control'),
    'real': ('python3', 'git', 'perl', 'namespaces'),
}


def cases():
    for name, size in UNIT.items():
        yield 'unit ' + name, [os.path.join(BUILD, 'tests', 'unit', 'test_' + name), *([size] if size else [])]
    for driver, names in INTEGRATION.items():
        for name in names:
            yield driver.removeprefix('test_') + ' ' + name, ['/usr/bin/python3', os.path.join(TOP, 'tests', 'integration', driver + '.py'), name]


def main():
    chosen = [c for c in cases() if not sys.argv[1:] or any(re.fullmatch(n, c[0]) for n in sys.argv[1:])]
    print('1..%d' % len(chosen), flush=True)
    failed = 0
    for number, (name, command) in enumerate(chosen, 1):
        begin = time.monotonic()
        try:
            r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                               env=dict(os.environ, MMS_SLOW='5'))
            status, out = r.returncode, r.stdout.decode('utf-8', 'replace')
        except subprocess.TimeoutExpired as e:
            status, out = 'more than %d s' % LIMIT_S, (e.stdout or b'').decode('utf-8', 'replace')
        lines = out.strip().splitlines() or ['']
        skipped = status == 77
        failed += status not in (0, 77)
        print('%s %d - %s%s' % ('ok' if status in (0, 77) else 'not ok', number, name, ' # SKIP ' + lines[-1] if skipped else ''))
        print('# %.1f s, status %s' % (time.monotonic() - begin, status))
        shown = [] if skipped else lines[-20 if status else -3:]
        for line in [x for x in lines if x.startswith('WRONG') and x not in shown] + shown:
            print('#   ' + line[:1000])
        sys.stdout.flush()
    return 1 if failed else 0


sys.exit(main())
