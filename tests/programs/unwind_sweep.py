"""unwind_sweep.py - the unwinder at every malloc of real programs.

    unwind_sweep.py UNWIND_CHECK UNWIND_ORACLE.so [NAME...]

Runs each program that is installed under the oracle: libunwind, libgcc, the
uncached walk and the interned nodes must agree with every stack.  One line a
program; status 1 when anything differed or too few stacks were seen, 77 when
nothing that was asked for is installed.  All of them: a few minutes.
"""
import os
import shutil
import subprocess
import sys
import tempfile

PYTHON = '''
import json, re, collections
for i in range(6):
    json.loads(json.dumps({str(k): [k] * 5 for k in range(3000)}))
re.findall(r'(\\w+)', 'abc def ' * 20000)
class A:
    def f(self, n): return [n] if n == 0 else self.f(n - 1) + [n]
for i in range(300): A().f(i % 60)
import subprocess, threading
[t.start() or t.join() for t in [threading.Thread(target=lambda: json.dumps([1] * 1000)) for _ in range(8)]]
subprocess.run(['true'])
'''
PERL = 'my %h; $h{$_} = [1..3] for 1..30000; my @s = sort { $a <=> $b } keys %h; my $x = join ",", map { s/1/2/r } @s;'
RUBY = 'a = (1..60000).map { |i| "s#{i}" }; f = Fiber.new { loop { Fiber.yield "x" * 40 } }; 3000.times { f.resume }; a.sort.group_by(&:size)'
NODE = 'let a=[];for(let i=0;i<150000;i++)a.push({x:i,s:"q"+i});JSON.stringify(a).length;new Function("return 1")();[1,2].sort()'
PHP = '$a=[]; for($i=0;$i<50000;$i++) $a[]="s".$i; sort($a); preg_match_all("/s1(\\d)/", implode(",",$a), $m);'
SQL = ('create table t(a,b); with recursive n(i) as (select 1 union all select i+1 from n where i<40000) '
       'insert into t select i, hex(randomblob(8)) from n; create index x on t(b); select count(distinct b) from t;')
C = '''#include <stdio.h>
#include <stdlib.h>
#include <string.h>
''' + '\n'.join('int f%d(int a, char *b){ int r=0; for(int i=0;i<a;i++){ r += (int)strlen(b)*%d; if (r>9) printf("%%d",r);} return r; }'
                % (i, i) for i in range(150)) + '\nint main(void){return f1(2,"x");}\n'
CC = '#include <map>\n#include <string>\n#include <vector>\nint main(){std::map<std::string,std::vector<int>> m; m["a"].push_back(1); return (int)m.size();}\n'
BASH = 'for i in $(seq 60); do (echo $i | cat); x=$(echo $i | tr 1 2); a[$i]="$x$x"; done >/dev/null'

# So many stacks must have been compared; what is not here, 100.
LEAST = {'python3': 300000, 'cc1': 300000, 'node': 100000, 'sqlite3': 80000, 'redis': 80000, 'perl': 40000, 'bash': 20000,
         'git': 2000}


def commands(work):
    files = {'a.c': C, 'a.cc': CC, 'a.py': PYTHON}
    for name, text in files.items():
        with open(os.path.join(work, name), 'w') as f:
            f.write(text)
    at = lambda name: os.path.join(work, name)
    return {
        'python3': (['/usr/bin/python3', at('a.py')], {'PYTHONMALLOC': 'malloc'}),
        'python3 pymalloc': (['/usr/bin/python3', at('a.py')], {}),
        'bash': (['bash', '-c', BASH], {}),
        'perl': (['perl', '-e', PERL], {}),
        'sqlite3': (['sqlite3', ':memory:', SQL], {}),
        'git': (['sh', '-c', 'cd %s && git init -q g && cd g && cp ../a.c . && git add a.c && '
                 'git -c user.name=a -c user.email=a@b commit -qm a && git log --stat && git gc -q' % work], {}),
        'cc1': (['gcc', '-O2', '-c', at('a.c'), '-o', at('a.o')], {}),
        'cc1plus': (['g++', '-O2', '-c', at('a.cc'), '-o', at('b.o')], {}),
        'clang': (['clang-14', '-O1', '-c', at('a.c'), '-o', at('c.o')], {}),
        'node': (['node', '-e', NODE], {}),
        'ruby': (['ruby', '-e', RUBY], {}),
        'php': (['php', '-n', '-r', PHP], {}),
        'gdb': (['gdb', '-batch', '-ex', 'info functions main', shutil.which('bash') or 'bash'], {}),
        'redis': (['sh', '-c', 'redis-server --port 0 --unixsocket %s/r.sock --save "" --daemonize no >/dev/null & '
                   'p=$!; for i in $(seq 200); do [ -S %s/r.sock ] && break; LD_PRELOAD= sleep 0.1; done; '
                   'LD_PRELOAD= redis-benchmark -s %s/r.sock -q -n 8000 -P 16 -t set,get,lpush,hset >/dev/null; '
                   'LD_PRELOAD= redis-cli -s %s/r.sock shutdown nosave; wait $p' % (work, work, work, work)], {}),
        'tar gzip': (['sh', '-c', 'cd /usr/include && tar cf - linux | gzip -1 | cat >/dev/null'], {}),
        'awk sort': (['sh', '-c', 'seq 30000 | awk \'{a[$1%97]=a[$1%97] $1} END {for (i in a) print a[i]}\' | sort >/dev/null'], {}),
        'vim': (['vim', '-es', '-u', 'NONE', '-c', 'normal ihello', '-c', 'q!', at('a.c')], {}),
        'openssl': (['openssl', 'genrsa', '-out', '/dev/null', '1024'], {}),
    }


def main():
    check, oracle, wanted = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
    failed = ran = 0
    with tempfile.TemporaryDirectory(prefix='unwind_sweep.') as work:
        for name, (command, env) in commands(work).items():
            if (wanted and name not in wanted) or not shutil.which(command[0]):
                continue
            if command[0] == 'sh' and name == 'redis' and not shutil.which('redis-server'):
                continue
            r = subprocess.run([check, oracle, '--min', str(LEAST.get(name, 100)), '--'] + command, env=dict(os.environ, **env),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors='replace')
            ran += 1
            failed += r.returncode != 0
            lines = r.stdout.splitlines()
            at = [i for i, line in enumerate(lines) if line.startswith('processes ')]
            print('%s %s: %s' % ('ok  ' if not r.returncode else 'FAIL', name,
                                 '\n     '.join(lines[at[-1] - 1 if r.returncode else at[-1]:]) if at else r.stdout))
            sys.stdout.flush()
    print('%d programs, %d failed' % (ran, failed))
    return 1 if failed else 0 if ran else 77


sys.exit(main())
