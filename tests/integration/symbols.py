"""symbols.py - names of what is not simply there, from end to end.

    symbols.py CASE

later      debugging information that comes after the recording: symbolize
reloaded   two libraries, one after the other at the same address; no frames of ours
jit        code that was made by the program, named by a perf map
rust       names of Rust, with its inlined frames
doctor     what it says of programs, and with which status
"""
import json
import os
import re
import subprocess
import sys

import mms

CALLER = '''
#include <dlfcn.h>
#include <stdio.h>
#include <pthread.h>
#include <stdlib.h>
static void *nothing(void *p) { return p; }
int main(int n, char **file)
{
	pthread_t t;
	pthread_create(&t, NULL, nothing, NULL);
	pthread_join(t, NULL);
	for (int i = 1; i < n; i++) {
		void *h = dlopen(file[i], RTLD_NOW);
		void *(*make)(void) = h ? (void *(*)(void))dlsym(h, "make") : NULL;
		void *volatile p = make ? make() : NULL;
		printf("%d\\n", p != NULL);
		dlclose(h);
	}
	return 0;
}
'''
MAKER = '''
#include <stdlib.h>
void *make(void);
static __attribute__((noinline)) void *%s(int n) { char *volatile p = malloc(n); p[0] = 1; return p; }
void *make(void) { void *volatile p = %s(%d); return p; }
'''
JIT = '''
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* push rbp; mov rbp,rsp; mov rax,rdi; mov rdi,rsi; call rax; pop rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
int main(void)
{
	char name[64];
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, code, sizeof(code));
	mprotect(at, 4096, PROT_READ | PROT_EXEC);
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	FILE *map = fopen(name, "w");
	fprintf(map, "%lx %zx made_by_hand\\n", (unsigned long)at, sizeof(code));
	fclose(map);
	void *(*call)(void *(*)(size_t), size_t) = (void *(*)(void *(*)(size_t), size_t))at;
	void *volatile p = call(malloc, 5432);
	(void)p;
	return 0;
}
'''
RUST = '''
mod inner { pub struct Shelf { pub books: Vec<String> }
impl Shelf { #[inline(never)] pub fn fill(&mut self) { for i in 0..3 { self.books.push(format!("book number {}", i)); } } } }
fn main() {
    let mut s = inner::Shelf { books: Vec::new() };
    s.fill();
    std::process::exit(s.books.len() as i32);
}
'''


def build(work, name, text, *options, compiler='gcc'):
    source, out = work.path(name + ('.rs' if compiler == 'rustc' else '.c')), work.path(name)
    with open(source, 'w') as f:
        f.write(text)
    subprocess.run([compiler, '-g', '-o', out, source, *options], check=True)
    return out


def record(work, faults, status, *argv):
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', *argv], env=mms.environment(), cwd=work.top,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    faults.equal((r.returncode, r.stderr), (status, ''), 'the program')
    return db


def stacks(db, size):
    """The frames of the sites whose blocks have this size, as (function, file, line, module)."""
    parts = mms.ask('sites', db)
    sites = [s for p in parts.get('processes') or [parts] for s in p.get('sites', parts['sites'])]
    return [[(f['function'], os.path.basename(f['file'] or ''), f['line'], os.path.basename(f['module'] or ''))
             for f in s['stack']] for s in sites if s['alloc_bytes'] == size]


def later(work, faults):
    program = build(work, 'later', MAKER % ('hidden', 'hidden', 4711) + 'int main(void) { return make() == NULL; }')
    debug = work.path('elsewhere')
    build_id = re.search(r'Build ID: (\w+)', subprocess.run(['readelf', '-n', program], stdout=subprocess.PIPE,
                                                            text=True, check=True).stdout).group(1)
    os.makedirs(os.path.join(debug, '.build-id', build_id[:2]))
    subprocess.run(['objcopy', '--only-keep-debug', program,
                    os.path.join(debug, '.build-id', build_id[:2], build_id[2:] + '.debug')], check=True)
    subprocess.run(['strip', program], check=True)
    db = record(work, faults, 0, program)
    before = stacks(db, 4711)
    faults.equal([s[0][0] for s in before], [None], 'function of a stripped program')
    os.unlink(program) # on another machine it is not there either

    status, out, err = mms.verb('symbolize', '--debug-dir', debug, db)
    faults.equal((status, err), (0, ''), 'symbolize')
    after = stacks(db, 4711)
    faults.equal([[f[:2] for f in s[:3]] for s in after],
                 [[('hidden', 'later.c'), ('make', 'later.c'), ('main', 'later.c')]], 'after symbolize, which says %r' % out)
    faults.equal(after and after[0][0][2], 4, 'line')
    mms.integrity(db, faults)


def reloaded(work, faults):
    first = build(work, 'first.so', MAKER % ('of_the_first', 'of_the_first', 4001), '-shared', '-fPIC')
    second = build(work, 'other.so', MAKER % ('of_the_other', 'of_the_other', 4002), '-shared', '-fPIC')
    db = record(work, faults, 0, build(work, 'caller', CALLER), first, second, first)
    for size, name, module in ((8002, 'of_the_first', 'first.so'), (4002, 'of_the_other', 'other.so')):
        faults.equal([(s[0][0], s[0][3]) for s in stacks(db, size)] or stacks(db, size // 2), [(name, module)], 'site of %s' % module)
    where = mms.rows(db, "SELECT DISTINCT start FROM module WHERE context > 0 AND (path LIKE '%/first.so' OR path LIKE '%/other.so')")
    faults.equal(len(where), 1, 'addresses of the two libraries')
    threads = [s['stack'] for s in mms.ask('sites', db)['sites'] if any('pthread_create' in (f['function'] or '') for f in s['stack'])]
    faults.equal(bool(threads), True, 'sites below pthread_create')
    faults.equal([f for s in threads for f in s if 'libmmscope' in (f['module'] or '')], [], 'our own frames in them')


def jit(work, faults):
    db = record(work, faults, 0, build(work, 'jit', JIT))
    found = stacks(db, 5432)
    faults.equal([[f[0] for f in s[:2]] for s in found], [['made_by_hand', 'main']], 'stack through made code')
    for row in mms.rows(db, 'SELECT pid FROM process'):
        os.unlink('/tmp/perf-%d.map' % row['pid'])


def rust(work, faults):
    mms.need('rustc')
    program = build(work, 'shelf', RUST, '-C', 'opt-level=1', compiler='rustc')
    db = record(work, faults, 3, program)
    names = {f['function'] for f in mms.rows(db, 'SELECT function FROM frame WHERE function IS NOT NULL')}
    faults.equal('shelf::inner::Shelf::fill' in names, True, 'the method among %s' % sorted(n for n in names if 'helf' in n))
    bad = [n for n in names if n.startswith('_ZN') or n.startswith('_R') or re.search(r'::h[0-9a-f]{16}$', n)]
    faults.equal(bad, [], 'names as the linker has them')


def doctor(work, faults):
    good = build(work, 'good', 'int main(void) { return 0; }')
    static = build(work, 'static', 'int main(void) { return 0; }', '-static')
    script = work.path('script')
    with open(script, 'w') as f:
        f.write('#!%s\n' % static)
    os.chmod(script, 0o755)
    for program, status, verdict in ((good, 0, 'ok limited'), (static, 1, 'refused'), (script, 1, 'refused')):
        got, out, err = mms.verb('doctor', '--format', 'json', program)
        answer = json.loads(out)
        faults.equal((got, err, answer['verdict'] in verdict), (status, '', True), 'doctor %s: %s' % (program, out))
        got, out, err = mms.verb('doctor', program)
        faults.equal((got, err, 'static' in out), (status, '', status == 1), 'doctor %s: %s' % (program, out))
    got, out, err = mms.verb('doctor', work.path('nothing'))
    faults.equal((got, out, err.count('\n')), (2, '', 1), 'doctor of nothing: %r' % err)


CASES = {f.__name__: f for f in (later, reloaded, jit, rust, doctor)}


def main():
    faults = mms.Faults()
    with mms.Work('symbols') as work:
        CASES[sys.argv[1]](work, faults)
    return faults.done('symbols ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
