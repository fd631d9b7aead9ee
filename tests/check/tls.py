"""tls.py - thread-local storage of libmmscope.so, and how it is linked.

    tls.py LIBRARY

GOOD_GUEST 3: its variables are reached from the thread pointer alone.  With
the general model each first touch would be a call of the loader that may call
malloc, that is us.  No destructor of a thread is asked for either.  And what
the list of hostile programs (1, row 23) forbids: -z initfirst, with which the
constructor would run before libc has its environment.
"""
import subprocess
import sys

LIBRARY = sys.argv[1]
FORBIDDEN = ('__tls_get_addr', '__cxa_thread_atexit_impl', '__cxa_thread_atexit', 'pthread_key_create',
             '__pthread_key_create', 'tss_create')


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    bad = []
    relocations = output('readelf', '-rW', LIBRARY)
    bad += ['a general relocation: ' + line for line in relocations.splitlines()
            if any(kind in line for kind in ('DTPMOD', 'DTPOFF', 'TLSDESC'))]
    needed = {line.split()[-1].split('@')[0] for line in output('nm', '-D', '--undefined-only', LIBRARY).splitlines()}
    bad += [name + ' is called' for name in FORBIDDEN if name in needed]
    dynamic = output('readelf', '-dW', LIBRARY)
    if 'STATIC_TLS' not in dynamic:
        bad.append('not marked STATIC_TLS: are there no variables of threads?')
    if 'INITFIRST' in dynamic:
        bad.append('linked with -z initfirst')
    for text in bad:
        print(text)
    print('%d relocations looked at, %d things wrong' % (relocations.count('R_X86_64'), len(bad)))
    return 1 if bad else 0


sys.exit(main())
