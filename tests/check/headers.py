"""headers.py - every header compiles alone, with every compiler given.

    headers.py TOP COMPILER...
"""
import concurrent.futures
import os
import subprocess
import sys
import tempfile

TOP = os.path.abspath(sys.argv[1])
FLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-DMMS_VERSION="0"', '-Wall', '-Wextra', '-Werror',
         '-Wno-unused-parameter', '-Wno-unused-function', '-fsyntax-only',
         '-I' + os.path.join(TOP, 'include'), '-I' + os.path.join(TOP, 'preload'),
         '-I' + os.path.join(TOP, 'analyzer'), '-I' + TOP]


def headers():
    for root in ('include', 'preload', 'analyzer', 'tests'):
        for folder, _, files in os.walk(os.path.join(TOP, root)):
            for name in sorted(files):
                if name.endswith('.h'):
                    yield os.path.join(folder, name)


def compile_alone(job):
    """Twice in one unit: the second time the guard must hold."""
    compiler, header, work = job
    source = os.path.join(work, '%s-%s.c' % (os.path.basename(compiler), header.strip('/').replace('/', '_')))
    with open(source, 'w') as f:
        f.write('#include "%s"\n#include "%s"\nint main(void) { return 0; }\n' % (header, header))
    r = subprocess.run([compiler] + FLAGS + ['-I' + os.path.dirname(header), source],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return compiler, header, r.returncode, r.stdout


def main():
    found = list(headers())
    n_bad = 0
    with tempfile.TemporaryDirectory(prefix='mms-headers-') as work:
        jobs = [(c, h, work) for c in sys.argv[2:] for h in found]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for compiler, header, status, text in pool.map(compile_alone, jobs):
                if status:
                    n_bad += 1
                    print('%s: %s does not compile alone:\n%s' % (compiler, os.path.relpath(header, TOP), text))
    print('%d headers, %s: %d do not compile alone' % (len(found), ' '.join(sys.argv[2:]), n_bad))
    return 1 if n_bad or not found else 0


sys.exit(main())
