"""cases.py - the real programs: one entry is one comparison.

    argv      the command; PROGRAMS/ stands for the folder of our own programs
    files     written into the working folder before
    needs     programs that must be installed, else the case is skipped
    unseen    images that no preload can enter: static, another libc, set-uid
    masked    fields that are known to differ from run to run
    fleeting  programs whose number is chance: they are not compared
    warns     a word of the one line that run says about this program
    own_pids  False where pids in the database cannot be ours
    onlook    False where the program itself uses ptrace
    modes     where not both ways of recording make sense
    options   options of `run`
    timeout   seconds
"""


import java_class


class Case:
    def __init__(self, argv, files=None, needs=(), unseen=(), masked=(), onlook=True, stdin=b'',
                 modes=('run', 'preload'), timeout=120, env=None, passive=False, warns=None, own_pids=True, options=(),
                 fleeting=()):
        self.argv, self.files, self.needs, self.unseen = argv, files or {}, needs, unseen
        self.masked, self.onlook, self.stdin, self.modes = masked, onlook, stdin, modes
        self.timeout, self.env = timeout, env or {}
        self.warns, self.own_pids, self.options = warns, own_pids, options
        self.fleeting = fleeting
        self.passive = passive  # the preload does nothing in it: by itself it makes no database


def bash(script, **more):
    return Case(['/usr/bin/bash', '-c', script], **more)


PYTHON_CHURN = '''
import os, sys, json, threading, subprocess, signal
data = [{'k%d' % i: list(range(i % 50))} for i in range(20000)]
text = json.dumps(data)
print(len(text), sum(len(d) for d in json.loads(text)))
threads = [threading.Thread(target=lambda: [str(i) * 10 for i in range(5000)]) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(subprocess.run(['/bin/echo', 'from a child'], capture_output=True).stdout)
pid = os.fork()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(sorted(n for n in os.listdir('/proc/self/fd') if int(n) < 1000), len(os.listdir('/proc/self/task')))
print([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGSEGV, signal.SIGPROF)])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print('no child left')
sys.exit(6)
'''

FORKS = '''
import os
pids = []
for i in range(400):
    pid = os.fork()
    if pid == 0:
        os._exit(i % 256)
    pids.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids] == [i % 256 for i in range(400)])
'''

PYTHON_MULTI = '''
import multiprocessing, sys
def work(n):
    return sum(len(str(i)) for i in range(n))
if __name__ == '__main__':
    for method in ('fork', 'spawn'):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(work, [1000, 2000, 3000, 4000]))
'''

C_SOURCE = '''
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#define F(n) static double f##n(double x) { char b[64]; snprintf(b, sizeof b, "%%f", x); \\
	for (int i = 0; b[i]; i++) x += sqrt((double)b[i] * n); return x; }
''' + '\n'.join('F(%d)' % i for i in range(400)).replace('%%', '%') + '''
int main(void)
{
	double x = 1;
''' + '\n'.join('\tx = f%d(x);' % i for i in range(400)) + '''
	printf("%d\\n", x > 0);
	return 3;
}
'''

SQL = '''
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
insert into t select i, printf('row %08d', (i * 7919) % 60000), i * 0.5 from n;
create index t_b on t(b);
select count(*), min(b), max(b), sum(c) from t;
select b from t where b like 'row 0001%' order by b limit 3;
pragma integrity_check;
'''

MAKEFILE = '''
all: $(foreach i,1 2 3 4 5 6 7 8 9 10 11 12,out.$(i))
	@cat out.* | sort
out.%:
	@echo made $* > $@
'''

GO_SOURCE = '''
package main
import "fmt"
func main() {
	m := map[int]string{}
	for i := 0; i < 10000; i++ { m[i] = fmt.Sprint(i) }
	fmt.Println(len(m))
}
'''
CGO_SOURCE = GO_SOURCE.replace('import "fmt"', '''
// #include <stdlib.h>
import "C"
import "fmt"
''').replace('fmt.Println', 'p := C.malloc(100); C.free(p); fmt.Println')

RUST_SOURCE = '''
use std::collections::HashMap;
use std::process::Command;
fn main() {
    let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || {
        let m: HashMap<u32, String> = (0..5000).map(|i| (i, format!("{}-{}", n, i))).collect();
        m.values().map(|s| s.len()).sum::<usize>()
    })).collect();
    let sums: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    println!("{:?}", sums);
    let failed = std::panic::catch_unwind(|| { let v: Vec<Box<u32>> = Vec::new(); *v[3] });
    println!("{}", failed.is_err());
    let out = Command::new("/bin/echo").arg("from a child").output().unwrap();
    print!("{}", String::from_utf8_lossy(&out.stdout));
    std::process::exit(Command::new("/bin/sh").arg("-c").arg("exit 6").status().unwrap().code().unwrap());
}
'''

RUST_SMALL = '''
fn main() {
    let v: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    println!("{}", v.iter().map(|s| s.len()).sum::<usize>());
    std::process::exit(std::process::Command::new("/bin/sh").arg("-c").arg("exit 6").status().unwrap().code().unwrap());
}
'''

CARGO_TOML = '''
[package]
name = "a"
version = "1.0.0"
edition = "2021"
[[bin]]
name = "a"
path = "a.rs"
'''

# A server for one session on the client's pipe, with its own sandbox; no shell,
# whose start files are everybody's own.
SSHD = '''
mkdir -p -m 755 /run/sshd; umask 077
ssh-keygen -q -t ed25519 -N "" -C c -f host; ssh-keygen -q -t ed25519 -N "" -C c -f own
cp own.pub authorized
cat > conf <<END
HostKey $PWD/host
AuthorizedKeysFile $PWD/authorized
PidFile none
UsePAM no
StrictModes no
LogLevel ERROR
Subsystem sftp internal-sftp
END
/usr/sbin/sshd -T -f conf | grep -v "$PWD" | md5sum
printf 'pwd\\nget /etc/passwd p\\nls /no/such/file\\n' > batch
sftp -q -b batch -F /dev/null -i own -o StrictHostKeyChecking=no -o UserKnownHostsFile=known -o LogLevel=ERROR \\
  -o "ProxyCommand=/usr/sbin/sshd -i -f $PWD/conf" $(id -un)@one; echo $?; cmp p /etc/passwd && echo same
'''

CHURN = 'print(len([str(i) for i in range(50000)]))'

CASES = {
    'python3': Case(['/usr/bin/python3', '-c', PYTHON_CHURN]),
    'python3-malloc': Case(['/usr/bin/python3', '-c', PYTHON_CHURN], env={'PYTHONMALLOC': 'malloc'}),
    'python3-multiprocessing': Case(['/usr/bin/python3', 'm.py'], files={'m.py': PYTHON_MULTI},
                                    masked=('stderr', 'signals', 'end', 'descriptors')),
    'bash-200': bash('for i in $(seq 1 100); do x=$(echo $i | tr 0-9 a-j); y="$y$x"; done; echo ${#y}; '
                     '(exit 3); echo $?; ls -l /proc/self/fd | wc -l; trap "echo chld" CHLD; true & wait $!; '
                     'sleep 0.05 & sleep 0.1 & wait -n; wait; set -m; sleep 0.05 & fg >/dev/null; exit 8'),
    'forks-401': Case(['/usr/bin/python3', '-c', FORKS]),
    'dash': Case(['/usr/bin/dash', '-c', 'for i in 1 2 3 4 5; do (echo $i | cat); done; exit 5']),
    'signals': bash('trap "echo got; exit 9" TERM; kill -TERM $$; sleep 5'),
    'killed': bash('bash -c "kill -SEGV \\$\\$"; echo $?; bash -c "kill -9 \\$\\$"; echo $?; kill -ABRT $$',
                   masked=()),
    'git': bash('git init -q r && cd r && git config user.name n && git config user.email e@e && '
                'for i in 1 2 3 4 5; do seq $i 500 > f$i; git add f$i; '
                'git commit -q --date "2020-01-0$i 00:00" -m "c $i"; done; git gc -q; git fsck --no-progress; '
                'git log --stat --format=%s; git repack -adq; git status --short; git blame f1 | wc -l',
                needs=['git'], env={'GIT_COMMITTER_DATE': '2020-01-01 00:00'}, masked=('threads',)),
    'gcc': bash('gcc -O2 -g a.c -o a -lm && ./a; echo $?', files={'a.c': C_SOURCE}, needs=['gcc']),
    'clang': bash('clang-14 -O1 -g a.c -o a -lm && ./a; echo $?', files={'a.c': C_SOURCE}, needs=['clang-14']),
    'g++': bash('g++ -O1 a.cc -o a && ./a', needs=['g++'], files={'a.cc': '''
#include <map>
#include <string>
#include <vector>
#include <iostream>
int main() { std::map<int, std::string> m; for (int i = 0; i < 20000; i++) m[i] = std::to_string(i) + std::string(30, 'x');
std::vector<std::string> v; for (auto &p : m) v.push_back(p.second); std::cout << v.size() << v.back() << std::endl; return 4; }
'''}),
    'perl': Case(['/usr/bin/perl', '-e',
                  'my %h; $h{$_} = "x" x ($_ % 100) for 1..50000; print scalar(keys %h), "\\n"; '
                  'for (1..20) { my $p = fork(); exit($_) unless $p; waitpid($p, 0); print $? >> 8, " " } '
                  'print `echo sub`; system("true"); open(my $f, "-|", "echo piped"); print <$f>; exit 5']),
    'node': Case(['/usr/bin/node', '-e',
                  'const a=[]; for(let i=0;i<200000;i++) a.push({i, s:"v"+i}); console.log(a.length);'
                  'console.log(Buffer.alloc(5000000).length);'
                  'console.log(require("child_process").execSync("echo child").toString()); process.exit(9)'],
                 needs=['node'], masked=('threads',)),
    'sqlite3': Case(['/usr/bin/sqlite3', 'x.db'], stdin=SQL.encode(), needs=['sqlite3']),
    'plugin': Case(['PROGRAMS/plugin_host', 'PROGRAMS/plugin_throws.so']),
    'plugin-deepbind': Case(['PROGRAMS/plugin_host', 'PROGRAMS/plugin_throws.so', 'deep']),
    'plugin-dlmopen': Case(['PROGRAMS/plugin_host', 'PROGRAMS/plugin_throws.so', 'apart']),
    'ruby': Case(['/usr/bin/ruby', '-e',
                  'a = (1..50000).map { |i| "s#{i}" }; puts a.length; t = 4.times.map { |n| Thread.new { a.map(&:size).sum } }; '
                  't.each { |x| puts x.value }; pid = fork { exit 4 }; Process.wait pid; puts $?.exitstatus; puts `echo sub`; exit 3'],
                 needs=['ruby']),
    'php': Case(['/usr/bin/php', '-r',
                 '$a=[]; for($i=0;$i<100000;$i++) $a[]="s$i"; echo count($a),"\\n"; echo shell_exec("echo sub"); exit(2);'],
                needs=['php'], env={'USE_ZEND_ALLOC': '0'}),
    'awk': bash("seq 1 50000 | awk '{ a[$1 % 1000] += $1; s = s substr($1, 1, 1) } END { print length(a), length(s); exit 4 }'"),
    'sort-parallel': bash('seq 1 200000 | sort -r --parallel=4 -S 8M | sort -n --parallel=4 | md5sum'),
    'tar-gzip': bash('mkdir d; for i in $(seq 30); do seq 1 2000 > d/f$i; done; tar cf - d | gzip -9 | gzip -d | tar tf - | sort | wc -l; '
                     'tar czf d.tgz d && tar xzf d.tgz && ls d | wc -l'),
    'xargs': bash('seq 1 60 | xargs -P 4 -n 3 echo | sort -n'),
    'make-j': bash('make -s -j4', files={'Makefile': MAKEFILE}, needs=['make']),
    'openssl': bash('echo secret | openssl enc -aes-256-cbc -pbkdf2 -pass pass:x | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x; '
                    'openssl genrsa 1024 2>/dev/null | openssl rsa -noout -check; openssl dgst -sha256 /usr/bin/bash', needs=['openssl']),
    'vim': bash('seq 1 3000 > t; vim -u NONE -i NONE -es t -c "%s/1/one/g" -c "wq" < /dev/null; md5sum t', needs=['vim']),
    'less': bash('seq 1 1000 | less | md5sum; LESSOPEN= less /etc/passwd | md5sum', needs=['less']),
    # tee stands still when the server is told to end: nothing races for its last state.
    # The second utempter races with that end.
    'tmux': bash('unset TMUX; mkfifo f; tmux -L "$PWD/s" -S "$PWD/s" -f /dev/null new-session -d -x 80 -y 24 "exec tee f"; '
                 'tmux -S "$PWD/s" send-keys "in tmux" Enter; read -r x < f; echo "$x"; tmux -S "$PWD/s" kill-server; true',
                 needs=['tmux'], masked=('signals', 'end', 'n_processes', 'images', 'threads'), unseen=('utempter',),
                 fleeting=('utempter',)),
    'timeout': bash('timeout 0.2 sleep 5; echo $?; timeout -k 0.1 0.1 bash -c "trap : TERM; while :; do sleep 0.05; done"; echo $?; timeout 5 true; echo $?',
                    masked=('n_processes', 'images', 'end', 'threads', 'signals', 'descriptors')),
    'setsid': bash('setsid -w bash -c "echo in session; exit 6"; echo $?; nohup true; (setsid sleep 0.1 &); sleep 0.2'),
    'script': bash('script -qec "echo on a terminal; tty | cut -c1-9; exit 4" log </dev/null; echo $?', needs=['script'],
                   masked=('signals',)),
    'env-i': bash('env -i /bin/echo cleaned; env -i sh -c "echo x | cat"', unseen=('echo', 'dash', 'cat')),
    'exec-chain': bash('exec env A=1 sh -c "exec python3 -c \\"import os; os.execvp(\'echo\', [\'echo\', \'end of the chain\'])\\""'),
    'missing': Case(['/usr/bin/bash', '-c', '/no/such/program; echo $?; ./notexec; echo $?'], files={'notexec': 'x'}),
    'closed-fds': bash('exec 0<&- 2>&-; ls /proc/self/fd | head -3; echo done'),
    'static': Case(['PROGRAMS/hello_static'], unseen=('hello_static',), modes=('run',), warns='static'),
    'musl': bash('PROGRAMS/hello_musl; echo $?', unseen=('hello_musl',), modes=('run',)),
    '32-bit': bash('PROGRAMS/hello_32; echo $?', unseen=('hello_32',), modes=('run',)),
    'go-static': bash('HOME=$PWD GOCACHE=$PWD/c GOFLAGS=-p=2 CGO_ENABLED=0 go build -o g g.go && ./g', files={'g.go': GO_SOURCE},
                      needs=['go'], onlook=False, unseen=('g', 'go', 'compile', 'link', 'asm'), timeout=300),
    'go-cgo': bash('HOME=$PWD GOCACHE=/tmp/mms-go-cache GOFLAGS=-p=2 go build -o g g.go && ./g', files={'g.go': CGO_SOURCE},
                   needs=['go', 'gcc'], onlook=False, unseen=('go', 'compile', 'link', 'asm', 'cgo'), timeout=300),
    'asan': bash('PROGRAMS/hello_asan; echo $?', env={'ASAN_OPTIONS': 'verify_asan_link_order=0'}, onlook=False),
    'asan-direct': Case(['PROGRAMS/hello_asan'], modes=('run',), onlook=False),
    'asan-clang': Case(['PROGRAMS/hello_asan_clang'], onlook=False, passive=True, warns='own malloc'),
    'tsan': Case(['PROGRAMS/hello_tsan'], masked=('threads',), unseen=('hello_tsan',), passive=True),
    'ubsan': Case(['PROGRAMS/hello_ubsan']),
    'own-malloc': Case(['PROGRAMS/own_malloc'], warns='own malloc'),
    'jemalloc-linked': Case(['/usr/bin/env', 'LD_PRELOAD=libjemalloc.so.2', '/usr/bin/python3', '-c', CHURN],
                            modes=('run',), unseen=('python3.11',), masked=('threads',)),
    'tcmalloc-linked': Case(['/usr/bin/env', 'LD_PRELOAD=libtcmalloc_minimal.so.4', '/usr/bin/python3', '-c', CHURN],
                            modes=('run',), unseen=('python3.11',)),
    # Already in the environment: it stays there, behind us.
    'jemalloc-behind': Case(['/usr/bin/python3', '-c', CHURN], env={'LD_PRELOAD': 'libjemalloc.so.2'}, modes=('run',),
                            masked=('threads',)),
    'tcmalloc-behind': Case(['/usr/bin/python3', '-c', CHURN], env={'LD_PRELOAD': 'libtcmalloc_minimal.so.4'}, modes=('run',)),
    'mimalloc-behind': Case(['/usr/bin/python3', '-c', CHURN], env={'LD_PRELOAD': 'libmimalloc.so.2'}, modes=('run',)),
    # Linked when they were built, as a library or into the executable.
    'with-jemalloc': Case(['PROGRAMS/hello_jemalloc']),
    'with-tcmalloc': Case(['PROGRAMS/hello_tcmalloc']),
    'with-tcmalloc-minimal': Case(['PROGRAMS/hello_tcmalloc_minimal']),
    'with-mimalloc': Case(['PROGRAMS/hello_mimalloc']),
    'jemalloc-inside': Case(['PROGRAMS/hello_jemalloc_inside'], warns='own malloc'),
    'tcmalloc-inside': Case(['PROGRAMS/hello_tcmalloc_inside'], warns='own malloc'),
    'busybox': bash('busybox sh -c "echo x | cat; exit 3"; echo $?', needs=['busybox'], unseen=('busybox',)),
    'bwrap': bash('bwrap --unshare-pid --unshare-ipc --unshare-uts --bind / / --proc /proc bash -c "echo inside | cat; exit 3"; echo $?',
                  needs=['bwrap']),
    # In a network namespace of its own nothing can be rung: pids are those inside.
    'bwrap-all': bash('bwrap --unshare-all --ro-bind / / --dev /dev --proc /proc bash -c "echo inside | cat; exit 3"; echo $?',
                      needs=['bwrap'], own_pids=False),
    'namespaces': bash('unshare -U id -u; unshare -Ur id -u; unshare -m sh -c "echo x | cat"; '
                       'unshare -pf sh -c "echo \\$\\$; echo y | cat; exit 3"; echo $?; nsenter -t $$ -m sh -c "echo z | cat"; echo $?',
                       needs=['unshare', 'nsenter']),
    'strace-on-top': bash('strace -f -e trace=none -o log bash -c "echo x | cat; exit 3"; echo $?; grep -c exited.with log', needs=['strace'], onlook=False),
    'gdb-on-top': Case(['/usr/bin/gdb', '-q', '-batch', '-nx', '-ex', 'set debuginfod enabled off', '-ex', 'run', '-ex', 'info inferiors', '--args', '/bin/echo', 'hello'],
                       needs=['gdb'], onlook=False, masked=('stdout',)),
    'valgrind-on-top': bash('valgrind -q --error-exitcode=99 /bin/echo hello; echo $?', needs=['valgrind'], onlook=False),
    'heaptrack-on-top': bash('heaptrack -o h /bin/echo hello 2>&1 | grep -c hello', needs=['heaptrack'], onlook=False),
    'screen': bash('export SCREENDIR=$PWD/d; mkdir -m 700 d; mkfifo f; screen -c /dev/null -d -m -S s sh -c "echo in screen > f; exit 3"; '
                   'cat f', # no polling: each look would be a process
                   needs=['screen'], masked=('signals', 'end', 'threads', 'descriptors'), unseen=('utempter',)),
    'ssh-agent': bash('eval $(ssh-agent -s -a $PWD/s) > /dev/null; ssh-keygen -q -t ed25519 -N "" -C c -f k; ssh-add -q k; '
                      'ssh-add -l | cut -d" " -f3-; '
                      'while [ -e /proc/$SSH_AGENT_PID/fd/4 ]; do :; done; ' # until it knows that the client is gone
                      'ssh-agent -k > /dev/null; echo $?', needs=['ssh-agent', 'ssh-keygen'],
                      unseen=('ssh-agent',)), # set-gid, so that nobody reads its memory
    'start-stop-daemon': bash('start-stop-daemon --start --background --make-pidfile --pidfile $PWD/p --exec /bin/sleep -- 30; echo $?; '
                              'for i in $(seq 100); do start-stop-daemon --status --pidfile $PWD/p --exec /bin/sleep && break; sleep 0.02; done; '
                              'start-stop-daemon --stop --retry 2 --pidfile $PWD/p --exec /bin/sleep > /dev/null; echo $?',
                              needs=['start-stop-daemon'], masked=('n_processes', 'images', 'end', 'signals', 'threads', 'descriptors')),
    'dpkg': bash('dpkg -l | md5sum; dpkg -S /bin/true; dpkg-query -W -f "\${Status}\n" bash', needs=['dpkg']),
    'apt-get': bash('apt-get -s -o Debug::NoLocking=1 install bash 2>&1 | tail -1; apt-cache policy bash | head -2', needs=['apt-get'],
                    onlook=False), # closes a million descriptors, each a stop for onlooker
    'gpg': bash('mkdir -m 700 h; export GNUPGHOME=$PWD/h; echo text | gpg -q --batch --passphrase x --pinentry-mode loopback --no-symkey-cache -c -o f; '
                'gpg -q --batch --passphrase x --pinentry-mode loopback --no-symkey-cache -d f; gpgconf --kill all; gpg --print-md sha256 < f | wc -c; sleep 0.2',
                needs=['gpg'], masked=('threads', 'signals', 'descriptors', 'end')),
    'java': bash('java -XX:+UseSerialGC -Xmx64m -Xshare:auto -version 2>&1 | wc -l', needs=['java'], masked=('threads',), onlook=False),
    'java-exec': bash('java -XX:+UseSerialGC -Xmx64m -cp . Starts /bin/sh -c "echo from a child | cat; exit 5"; echo $?', needs=['java'],
                      files={'Starts.class': java_class.starts('Starts')}, masked=('threads',), onlook=False),
    'rust': bash('rustc a.rs -o a && ./a; echo $?', files={'a.rs': RUST_SOURCE}, needs=['rustc', 'gcc'], modes=('run',),
                 masked=('threads',)),
    'rust-static': bash('rustc -C target-feature=+crt-static a.rs -o a && ./a; echo $?', files={'a.rs': RUST_SMALL},
                        needs=['rustc', 'gcc'], modes=('run',), masked=('threads',), unseen=('a',)),
    'cargo': bash('CARGO_HOME=$PWD/c cargo build -q --offline && target/debug/a; echo $?', files={'a.rs': RUST_SMALL, 'Cargo.toml': CARGO_TOML},
                  needs=['cargo', 'gcc'], modes=('run',), masked=('threads',)),
    # It clears the environment: what it starts is not recorded.
    'sudo': bash('sudo -n id -u; sudo -n -u nobody /bin/sh -c "id -u; exit 4"; echo $?; sudo -n /no/such/program; echo $?',
                 needs=['sudo'], unseen=('id', 'dash')),
    # It ends with SIGCHLD blocked or not, by what comes first (14 of 40 plain runs).
    'sshd': bash(SSHD, needs=['sshd', 'ssh', 'ssh-keygen'], masked=('signals',)),
    'perf-on-top': bash('perf stat -o log -e task-clock sh -c "echo x | cat; exit 3"; echo $?; perf record -q -o data -e cpu-clock '
                        '/bin/echo hello 2>/dev/null; echo $?', needs=['perf'], onlook=False),
    'setpriv': bash('setpriv --reuid=65534 --regid=65534 --clear-groups id -u; setpriv --no-new-privs --bounding-set -all echo less; echo $?',
                    needs=['setpriv']),
    'su': bash('su -s /bin/sh nobody -c "id -u; echo x | cat; exit 4"; echo $?', needs=['su'], masked=('signals',), options=('--any-uid',)),
    'ssh': bash('ssh -V 2>&1; ssh -F /dev/null -G host | sort | md5sum; ssh -F /dev/null -o BatchMode=yes -p 1 127.0.0.1 true; echo $?', needs=['ssh']),
    'man': bash('man -P cat -l a.1 | md5sum; man -w nothing-of-that-name; echo $?', needs=['man', 'groff'],
                onlook=False, # under its filters, which forbid to open for writing, col and preconv cannot join
                files={'a.1': '.TH A 1\n.SH NAME\na \\- a page\n.SH TEXT\n' + 'Some words to fill. ' * 400}),
    'file': bash('file /usr/bin/bash a.c; file -S -b a.c; echo $?', files={'a.c': C_SOURCE}, needs=['file']), # a filter of its own
    'curl-file': bash('curl -s file:///etc/passwd | md5sum', needs=['curl'], masked=('threads',)),
    'stdio-tools': bash('find /usr/share/doc -maxdepth 1 -name "l*" | sort | sed -n 1,50p | sed s/l/L/g | grep -c L; head -50 /etc/services > /dev/null; df / > /dev/null; '
                        'date -u -d @0; id -u; stat -c %s /bin/bash; dd if=/dev/zero bs=1M count=20 2>/dev/null | md5sum'),
}
