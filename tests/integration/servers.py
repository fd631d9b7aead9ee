"""servers.py - long-lived servers with and without mmscope.

    servers.py redis | redis-daemon | nginx | apache2 | postgres

Each server is started on a unix socket or a loopback port of its own, asked
the same questions, looked at through /proc while it serves (descriptors,
threads, signal dispositions, children), and stopped by its own means.  Answers
and portraits are compared with those of a plain run; the process tree of the
database with onlooker's.
"""
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time

import compare
import mms
import real


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def children_of(pid):
    found = []
    for task in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/children' % (pid, task)) as f:
            found += [int(c) for c in f.read().split()]
    return sorted(found)


def portrait(pid):
    """What /proc shows of a serving process."""
    with open('/proc/%d/status' % pid) as f:
        status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
    folder = '/proc/%d/fd' % pid
    # Kinds without numbers: which connection is closed first is chance.
    links = []
    for n in os.listdir(folder):
        try:
            link = os.readlink(os.path.join(folder, n))
            if not compare.of_mmscope(n, link):
                links.append(compare.place(link))
        except FileNotFoundError: # closed between the two calls
            pass
    links.sort()
    return {'name': status['Name'], 'threads': status['Threads'], 'uid': status['Uid'],
            'signals': tuple(status[k] for k in ('SigBlk', 'SigIgn', 'SigCgt')), 'descriptors': links}


def tree_portrait(pid):
    """The process and its children; a child may end while it is looked at."""
    found = [portrait(pid)]
    for child in children_of(pid):
        try:
            found.append(portrait(child))
        except OSError:
            pass
    return found


def ask_command(*command, stdin=''):
    r = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       env=mms.environment(), timeout=120, text=True)
    return r.returncode, r.stdout


class Server:
    """One recorded or plain life of a server; answers is what is compared."""

    def __init__(self, work, mode, faults):
        self.work, self.mode, self.faults = work, mode, faults
        self.cwd = work.fresh()
        self.db = None if mode == 'plain' else work.db(mode)
        self.seen = work.path('onlooker-%s.json' % mode)
        self.log = work.path('log')
        self.answers = {}
        self.started = None

    def start(self, *command, user=None):
        def become():
            mms.quiet_signals()
            if user:
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
        with open(self.log, 'ab') as log:
            self.started = subprocess.Popen([mms.ONLOOKER, self.seen] + mms.prefix(self.mode, self.db) + list(command),
                                            cwd=self.cwd, env=mms.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=become, start_new_session=True)
        return self.started

    def abandon(self):
        """After an exception: nothing of the server stays behind."""
        if self.started and self.started.poll() is None:
            self.started.kill() # all that onlooker traces ends with it
            self.started.wait()

    def finish(self, p, seconds=60):
        """The server was told to end: waits for it and all of its family."""
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.faults.add('%s: the server did not end' % self.mode)
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        self.answers['status'] = p.returncode

    def check(self, count_at_least):
        o = mms.Observation()
        o.db = self.db
        o.processes = mms.read_onlooker(self.seen, self.mode)
        if self.mode != 'plain':
            rows = real.settle(o, self.faults, self.mode)
            compare.check_tree(o, rows, (), self.faults, self.mode)
            if len(rows) < count_at_least:
                self.faults.add('%s: only %d images recorded' % (self.mode, len(rows)))
            print('%s: %d processes seen, %d images recorded' % (self.mode, len(o.processes), len(rows)))
        ends = sorted((os.path.basename(p['images'][-1]) if p['images'] else '', p['end'], p['status'])
                      for p in o.processes)
        self.answers['first end'] = ends[0]


def redis(server, *options):
    path = os.path.join(server.cwd, 's')
    p = server.start('/usr/bin/redis-server', '--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no',
                     '--dir', server.cwd, *options)
    cli = ('/usr/bin/redis-cli', '-s', path)
    if not until(lambda: ask_command(*cli, 'ping')[1] == 'PONG\n'):
        server.faults.add('%s: redis does not answer' % server.mode)
    pid = int(re.search(r'process_id:(\d+)', ask_command(*cli, 'info', 'server')[1]).group(1))
    bench = ask_command('/usr/bin/redis-benchmark', '-s', path, '-q', '-P', '16', '-c', '10', '-n', '40000', '-r', '5000',
                        '-t', 'set,get,lpush')
    server.answers['benchmark'] = bench[0]
    for k in ('a', 'b', 'c'):
        ask_command(*cli, 'set', k, k * 5000)
    server.answers['values'] = [ask_command(*cli, *q)[1] for q in (('get', 'b'), ('strlen', 'c'), ('llen', 'mylist'))]
    server.answers['bgsave'] = ask_command(*cli, 'bgsave')[1]
    until(lambda: 'rdb_bgsave_in_progress:0' in ask_command(*cli, 'info', 'persistence')[1])
    server.answers['saved'] = 'rdb_last_bgsave_status:ok' in ask_command(*cli, 'info', 'persistence')[1]
    time.sleep(0.2)
    server.answers['portrait'] = tree_portrait(pid)
    ask_command(*cli, 'shutdown', 'nosave')
    server.finish(p)
    server.check(2)


def redis_daemon(server):
    """The first process ends at once; its child closes what it inherited."""
    redis(server, '--daemonize', 'yes', '--pidfile', os.path.join(server.cwd, 'pid'), '--logfile',
          os.path.join(server.cwd, 'redis.log'))
    server.answers['pid file'] = os.path.exists(os.path.join(server.cwd, 'pid'))
    with open(os.path.join(server.cwd, 'redis.log')) as f:
        server.answers['warnings'] = sorted(re.findall(r'# (.*)', re.sub(r'pid=\d+', 'pid=N', f.read())))


NGINX = '''
daemon on; master_process on; worker_processes 2; pid %(cwd)s/pid; error_log %(cwd)s/error.log;
events { worker_connections 64; }
http { access_log off; client_body_temp_path %(cwd)s/a; proxy_temp_path %(cwd)s/b; fastcgi_temp_path %(cwd)s/c;
uwsgi_temp_path %(cwd)s/d; scgi_temp_path %(cwd)s/e; gzip on; gzip_types text/plain; gzip_min_length 10;
server { listen 127.0.0.1:%(port)d; root %(cwd)s/www; } }
'''


def fetch(port, path):
    with socket.create_connection(('127.0.0.1', port), 10) as s:
        s.sendall(('GET %s HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n' % path).encode())
        data = b''
        while True:
            part = s.recv(65536)
            if not part:
                head, _, body = data.partition(b'\r\n\r\n')
                return head.split(b'\r\n')[0].decode(), len(body)
            data += part


def pid_of(server):
    with open(os.path.join(server.cwd, 'pid')) as f:
        return int(f.read())


def nginx(server):
    values = {'cwd': server.cwd, 'port': free_port()}
    os.mkdir(os.path.join(server.cwd, 'www'))
    with open(os.path.join(server.cwd, 'www', 'f'), 'w') as f:
        f.write('line of text\n' * 5000)
    conf = os.path.join(server.cwd, 'conf')
    with open(conf, 'w') as f:
        f.write(NGINX % values)
    p = server.start('/usr/sbin/nginx', '-e', os.path.join(server.cwd, 'error.log'), '-c', conf)
    if not until(lambda: os.path.exists(os.path.join(server.cwd, 'pid')) and len(children_of(pid_of(server))) == 2):
        server.faults.add('%s: nginx has no two workers' % server.mode)
    server.answers['pages'] = [fetch(values['port'], q) for q in ['/f', '/none'] * 100]
    server.answers['portrait'] = tree_portrait(pid_of(server))
    before = children_of(pid_of(server))
    os.kill(pid_of(server), signal.SIGHUP)
    until(lambda: len(children_of(pid_of(server))) == 2 and not set(before) & set(children_of(pid_of(server))))
    server.answers['after reload'] = [fetch(values['port'], '/f') for _ in range(10)]
    os.kill(pid_of(server), signal.SIGQUIT)
    server.finish(p)
    server.check(6)


APACHE = '''
ServerRoot %(cwd)s
PidFile %(cwd)s/pid
ErrorLog %(cwd)s/error.log
Mutex file:%(cwd)s
ServerName localhost
Listen 127.0.0.1:%(port)d
%(user)s
LoadModule mpm_event_module %(modules)s/mpm_event.so
LoadModule authz_core_module %(modules)s/authz_core.so
LoadModule deflate_module %(modules)s/deflate.so
LoadModule filter_module %(modules)s/filter.so
DocumentRoot %(cwd)s/www
<Directory />
  Require all granted
</Directory>
StartServers 2
MinSpareThreads 1
MaxSpareThreads 50
ThreadsPerChild 25
SetOutputFilter DEFLATE
'''


def apache2(server):
    """The master and workers of 27 threads each; reload and stop by signals."""
    values = {'cwd': server.cwd, 'port': free_port(), 'modules': '/usr/lib/apache2/modules/mod',
              'user': 'User nobody\nGroup nogroup' if os.getuid() == 0 else ''}
    os.chmod(server.cwd, 0o755)
    os.mkdir(os.path.join(server.cwd, 'www'))
    with open(os.path.join(server.cwd, 'www', 'f'), 'w') as f:
        f.write('line of text\n' * 5000)
    conf = os.path.join(server.cwd, 'conf')
    with open(conf, 'w') as f:
        f.write((APACHE % values).replace('/mod/', '/mod_'))
    p = server.start('/usr/sbin/apache2', '-d', server.cwd, '-f', conf, '-k', 'start')

    def workers():
        return children_of(pid_of(server)) if os.path.exists(os.path.join(server.cwd, 'pid')) else []

    def serving():
        try:
            return fetch(values['port'], '/f')[0].endswith('200 OK')
        except OSError:
            return False
    if not until(lambda: len(workers()) == 2 and serving()):
        server.faults.add('%s: apache2 has no two workers that serve' % server.mode)
    server.answers['pages'] = [fetch(values['port'], q) for q in ['/f', '/none'] * 50]
    until(lambda: all(p['threads'] == '28' for p in tree_portrait(pid_of(server))[1:]), 5)
    server.answers['portrait'] = tree_portrait(pid_of(server))
    before = workers()
    os.kill(pid_of(server), signal.SIGUSR1)
    until(lambda: len(workers()) == 2 and not set(before) & set(workers()) and serving())
    server.answers['after reload'] = [fetch(values['port'], '/f') for _ in range(10)]
    os.kill(pid_of(server), signal.SIGTERM)
    server.finish(p)
    server.check(5)


def postgres(server):
    folders = [os.path.join('/usr/lib/postgresql', v, 'bin') for v in sorted(os.listdir('/usr/lib/postgresql'))]
    bin_folder = folders[-1]
    user = pwd.getpwnam('postgres')
    os.chown(server.cwd, user.pw_uid, user.pw_gid)
    os.chmod(server.work.top, 0o777)
    script = server.work.path('pg.sh')
    with open(script, 'w') as f:
        f.write(POSTGRES % {'bin': bin_folder, 'cwd': server.cwd})
    p = server.start('/bin/bash', script, user=user)
    server.finish(p, 150)
    with open(os.path.join(server.cwd, 'answers')) as f:
        server.answers['answers'] = f.read()
    server.check(10)


POSTGRES = '''
set -e
export PATH=%(bin)s:$PATH PGHOST=%(cwd)s/run PGDATA=%(cwd)s/data HOME=%(cwd)s
mkdir "$PGHOST"
initdb -A trust -U p -E UTF8 --locale C --no-sync > initdb.log 2>&1
pg_ctl -w -l server.log -o "-k $PGHOST -c listen_addresses= -c fsync=off -c autovacuum=off" start > start.log
q() { psql -qAtX -U p postgres -c "$1" >> answers 2>&1; }
q "create table t as select g a, md5(g::text) b from generate_series(1, 20000) g"
q "create index on t(b)"
q "select count(*), min(b), max(b) from t" & q "analyze t" & wait
q "select string_agg(b, ',' order by a) from t where a < 5"
q "select 1/0" || true
sort -o answers answers
pg_ctl -w -m fast stop > stop.log
echo "stopped $?" >> answers
'''

SERVERS = {'redis': (redis, ('redis-server', 'redis-benchmark')),
           'redis-daemon': (redis_daemon, ('redis-server', 'redis-benchmark')), 'nginx': (nginx, ('nginx',)),
           'apache2': (apache2, ('apache2',)),
           'postgres': (postgres, ())}


def main():
    name = sys.argv[1]
    body, programs = SERVERS[name]
    mms.need(*programs)
    if name == 'postgres' and not (os.path.isdir('/usr/lib/postgresql') and os.getuid() == 0):
        mms.skip('PostgreSQL is not installed, or this is not root (it refuses to run as root, so root must give way)')
    faults = mms.Faults()
    answers = {}
    with mms.Work(name) as work:
        for mode in ('plain',) + mms.MODES:
            server = Server(work, mode, faults)
            try:
                body(server)
            finally:
                server.abandon()
            answers[mode] = server.answers
    for mode in mms.MODES:
        for key, want in answers['plain'].items():
            faults.equal(answers[mode].get(key), want, '%s: %s' % (mode, key))
    return faults.done(name)


if __name__ == '__main__':
    sys.exit(main())
