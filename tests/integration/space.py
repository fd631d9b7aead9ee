"""space.py - the address space that was recorded against the real one.

    space.py CASE

walk-N, threads-N   random changes by seed N: areas equal /proc/self/maps
used                memory asked for and used, to the page, by site
sealed              nobody may look (PR_SET_DUMPABLE 0, not root): says so
hidden              the program has no /proc: says so
real-NAME           a real program: no page differs, hidden classes add up, RSS is explained
container           the same as nobody, under a filter that denies what Docker's denies
live                looked at from outside while it runs, against /proc; no more is told than is known
filled              memory asked for first and used later: the history says when
slack               free memory of glibc, and pages that little keeps, against the program's own count
slack-jemalloc      the same behind jemalloc
slack-broken        lists of free blocks are destroyed: the program ends as without us, the answer is unknown
slack-handler       the end comes from a handler that interrupted malloc: nothing hangs
swapped             pages in swap count as used when their mapping goes
upgrade             a database of schema version 1 becomes one of today
"""
import json
import os
import re
import sqlite3
import subprocess
import sys
import time

import contained
import mms
import swapping

SPACE = os.path.join(mms.PROGRAMS, 'space')
SLACK = os.path.join(mms.PROGRAMS, 'slack')
PAGE = 4096
SKIPPED = ('mmscope',)  # kinds that come and go with the measuring


def record(work, faults, *argv, options=(), env=None, **more):
    db = work.db('run')
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', *options, '-o', db, '--', *argv], env=mms.environment(**(env or {})),
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600, **more)
    faults.equal((r.returncode, r.stderr), (0, ''), 'status and stderr')
    mms.integrity(db, faults)
    return db, r.stdout


def answer(verb, db, *options):
    return json.loads(subprocess.run([mms.MMSCOPE, verb, '--format', 'json', *options, db], stdout=subprocess.PIPE,
                                     check=True).stdout)


def pages_of(areas):
    """page -> permissions, of lists of (start, end, permissions)"""
    return {page: perms for start, end, perms in areas for page in range(start // PAGE, end // PAGE)}


def walk(work, faults, seed, threads):
    copy = work.path('maps')
    db, _ = record(work, faults, SPACE, 'walk', str(seed), '3000', str(threads), copy)
    seen, ours = [], set()
    for v in answer('maps', db)['vmas']:
        area = (int(v['start'], 16), int(v['end'], 16), v['perms'])
        if v['kind'] in SKIPPED:
            ours.update(range(area[0] // PAGE, area[1] // PAGE))
        else:
            seen.append(area)
    real = []
    with open(copy) as f:
        for line in f:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S{4})', line)
            if int(m.group(1), 16) < 1 << 63:  # [vsyscall] is the kernel's own, and in no account
                real.append((int(m.group(1), 16), int(m.group(2), 16), m.group(3)))
    a, b = pages_of(seen), pages_of(x for x in real)
    wrong = [p for p in a.keys() | b.keys() if p not in ours and a.get(p) != b.get(p)]
    faults.equal([(hex(p * PAGE), a.get(p), b.get(p)) for p in sorted(wrong)[:5]], [], 'pages that differ (%d)' % len(wrong))
    faults.equal(len(b) > 1000, True, 'pages compared')
    faults.equal(mms.drift(db, faults) > 0, True, 'spaces compared')


def kernel():
    return tuple(map(int, re.match(r'(\d+)\.(\d+)', os.uname().release).groups()))


def used(work, faults, **more):
    db, out = record(work, faults, SPACE, 'used', **more)
    sites = answer('pages', db, '--limit', '0')['sites']
    for line in out.splitlines():
        name, asked, pages = line.split()[0], int(line.split()[1]), int(line.split()[2])
        mine = [s for s in sites if any(f['function'] == name for f in s['stack'])]
        if name in ('place_gone', 'place_freed'):
            got = [(s['gone']['requested_bytes'], s['gone']['touched_bytes']) for s in mine if s['gone']['count']]
            # malloc_usable_size may be more than was asked for, the page of the header is one of those used
            faults.equal(got, [(asked, pages * PAGE)], name)
            continue
        got = sum(s['requested_bytes'] for s in mine), sum(s['touched_bytes'] for s in mine)
        want = pages * PAGE - (16 if name == 'place_block' else 0)  # glibc's header lies in the first page
        faults.equal(got, (asked, want), name)
        faults.equal(sum(s['never_touched_bytes'] for s in mine), asked - want, name + ': never used')
    resident = [sum(s['resident_bytes'] for s in sites if any(f['function'] == n for f in s['stack']))
                for n in ('place_mapped', 'place_read')]
    # Before Linux 6.7 the 300 that were only read cannot be told.
    faults.equal(resident, [1000 * PAGE, (50 if kernel() >= (6, 7) else 350) * PAGE], 'in memory')
    explained(db, faults)
    states = mms.rows(db, "SELECT sum(zero) AS zero FROM vma WHERE kind = 'mapping'")
    faults.equal(states[0]['zero'], 300 if kernel() >= (6, 7) else None, 'zero pages')


def container(work, faults):
    need_nobody(work)
    mms.need('/usr/bin/python3')
    denied = subprocess.run(['/usr/bin/python3', '-c', 'import ctypes; c = ctypes.CDLL(None, use_errno=True);'
                             'print(c.syscall(323, 1), ctypes.get_errno())'], preexec_fn=contained.become, stdout=subprocess.PIPE, text=True)
    faults.equal(denied.stdout, '-1 1\n', 'the filter is there')
    used(work, faults, preexec_fn=contained.become)


def explained(db, faults):
    for p in answer('pages', db)['processes']:
        if not p['rss'] or not p['rss']['total']:
            continue
        rss = p['rss']
        if kernel() >= (6, 7):
            faults.equal(abs(rss['unexplained']) * 50 < rss['total'], True, 'not explained: %d of %d' % (rss['unexplained'], rss['total']))
        else:
            said = ' '.join(n['text'] for n in answer('pages', db)['coverage']['notes'])
            faults.equal('only read' in said and 'lags behind' in said, True, 'what this kernel does not tell: ' + said)
        parts = sum(rss[k] for k in ('heap_live', 'heap_slack', 'mappings', 'stacks', 'file', 'shmem', 'profiler', 'other', 'unexplained'))
        faults.equal(parts, rss['total'], 'sum of the parts')


LIVE = '''
import mmap, os, sys, threading, time
blocks = [bytearray(100000) for i in range(200)]
for i in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
maps = [mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for i in range(8)]
for m in maps:
    m[0] = 1
print('ready', flush=True)
sys.stdin.read()
os._exit(0)
'''


def live(work, faults):
    mms.need('/usr/bin/python3')
    db = work.db('run')
    p = subprocess.Popen([mms.MMSCOPE, 'run', '-o', db, '--', '/usr/bin/python3', '-c', LIVE], env=mms.environment(),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    with open('/proc/%d/smaps' % p.pid) as f:
        text = f.read()
    lines = [l for l in re.findall(r'^[0-9a-f]+-[0-9a-f]+ ', text, re.M) if not l.startswith('ffff')]
    rss = sum(map(int, re.findall(r'^Rss: +([0-9]+)', text, re.M))) << 10
    got = {}
    for _ in range(200):  # a look follows within a second, and is written
        status, out, _ = mms.verb('pages', '--format', 'json', db)
        got = (json.loads(out)['rss'] if status == 0 else None) or {}
        if abs(got.get('total', 0) - rss) < 64 * PAGE:  # less is no reason for another look
            break
        time.sleep(0.1)
    if not got:
        faults.add('no look from outside in 20 s')
        return
    faults.equal(abs(got['total'] - rss) < 64 * PAGE, True, 'in memory: %d, the kernel says %d' % (got['total'], rss))
    faults.equal((got['unexplained'], got['heap_live'], got['mappings']), (0, None, None), 'while it runs')
    faults.equal(got['heap_and_mappings'] > 20 << 20, True, 'heap and mappings: %s' % got)
    maps = answer('maps', db)
    faults.equal(maps['mm']['map_count'], len(lines), 'areas')
    narrow(faults, db)
    p.communicate()
    mms.wait_finished(db)
    narrow(faults, db)

    def ours(answered):
        return set(pages_of((int(v['start'], 16), int(v['end'], 16), '') for v in answered['vmas']
                            if v['kind'] == 'mmscope' and not v['name']))
    # What the library itself says at the end is the truth of whose they are.
    faults.equal(len(ours(maps) - ours(answer('maps', db))), 0, 'pages that are not mmscope\'s')
    faults.equal(len(ours(maps)) > 4000, True, 'its pages, seen from outside: %d' % len(ours(maps)))
    faults.equal(answer('pages', db)['rss']['heap_live'] > 19 << 20, True, 'live blocks at the end')


def narrow(faults, db):
    """What people read fits 80 columns; names of files are cut, call stacks too."""
    for verb in ('maps', 'pages', 'oom'):
        out = subprocess.run([mms.MMSCOPE, verb, db], stdout=subprocess.PIPE, text=True, check=True).stdout
        faults.equal([l for l in out.splitlines() if len(l) > 80], [], verb + ': wider than 80 columns')


def filled(work, faults):
    """512 MiB asked for, and 16000 pages of it used three seconds later."""
    used = 16000 * PAGE
    script = ('import mmap, time\n'
              'm = mmap.mmap(-1, 512 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n'
              'time.sleep(3)\n'
              'for p in range(16000): m[p * 4096] = 1\n'
              'import os; os._exit(0)\n')
    mms.need('/usr/bin/python3')
    db, _ = record(work, faults, '/usr/bin/python3', '-c', script)
    whole = answer('maps', db)['history']
    asked = [h for h in whole[:-1] if h['data_vm'] > 512 << 20]
    faults.equal(len(asked) > 0, True, 'a look while it waits, of %s' % whole)
    if asked:
        faults.equal(abs(whole[-1]['rss'] - asked[0]['rss'] - used) < 2 << 20, True, 'became real: %s' % whole)
        faults.equal(whole[-1]['data_vm'] - asked[0]['data_vm'] < 2 << 20, True, 'nothing more was asked for')
        at = asked[0]['t_ns']
        before = answer('maps', db, '--at', '%.9f' % (at / 1e9 + 1e-6))
        faults.equal(before['history'], [h for h in whole if h['t_ns'] <= at], 'history up to a moment')
        faults.equal(before['mm']['rss'], asked[0]['rss'], 'the moment itself')
        mine = [v['history'] for v in answer('maps', db)['vmas'] if v['kind'] == 'mapping' and v['touched'] >= 16000]
        faults.equal(len(mine), 1, 'one mapping that is used')
        for h in mine:
            faults.equal((h[0]['pages'], h[0]['touched'], h[-1]['touched']), (512 << 8, 0, 16000), 'asked for, not used; used')
            faults.equal(h[0]['t_ns'] <= at < h[-1]['t_ns'], True, 'when')
            faults.equal(all(a['touched'] < b['touched'] and a['t_ns'] < b['t_ns'] for a, b in zip(h, h[1:])), True, 'growing')
        then = [v['history'] for v in before['vmas'] if v['kind'] == 'mapping' and v['end'] != v['start']
                and int(v['end'], 16) - int(v['start'], 16) >= 512 << 20]
        faults.equal([[m['touched'] for m in h] for h in then], [[0]], 'its history up to a moment')


def books(work, faults, env):
    """The allocator's books are those that the program read itself; its kept pages are found at their site."""
    db, out = record(work, faults, SLACK, 'books', env=env)
    name, used, cached, fragmented, kept = out.split()
    page = answer('pages', db, '--limit', '0')
    got = page['allocator']
    faults.equal(bool(got), True, 'it answered')
    if got:
        faults.equal((got['name'], got['in_use_bytes'], got['fragmented_bytes']), (name, int(used), int(fragmented)), 'books')
        if cached != '-':
            faults.equal(got['cached_bytes'], int(cached), 'kept whole')
    mine = [s for s in page['sites'] if any(f['function'] == 'place_keeping' for f in s['stack'])]
    if name == 'glibc':
        faults.equal(sum(s['pinned_pages'] for s in mine), int(kept), 'pages that its blocks keep')
        faults.equal(page['fragmentation']['sparse_pages'] >= int(kept), True, 'sparse pages')
        # all the free memory lies in the heap, and is in memory but for its end
        slack = page['rss']['heap_slack']
        faults.equal(abs(slack - got['fragmented_bytes']) < slack / 10, True, 'slack %d' % slack)
    explained(db, faults)
    text = subprocess.run([mms.MMSCOPE, 'pages', db], stdout=subprocess.PIPE, text=True, check=True).stdout
    faults.equal('by the books of %s' % name in text, True, 'text')


def slack(work, faults):
    books(work, faults, None)


def slack_jemalloc(work, faults):
    library = 'libjemalloc.so.2'
    if subprocess.run(['/bin/true'], env={'LD_PRELOAD': library}, stderr=subprocess.PIPE).stderr:
        mms.skip('no %s here' % library)
    books(work, faults, {'LD_PRELOAD': library})


def unanswered(work, faults, how):
    db, _ = record(work, faults, SLACK, how)
    rows = mms.rows(db, 'SELECT error, in_use FROM allocator')
    faults.equal(len(rows), 1, 'it was asked')
    reasons = mms.rows(db, "SELECT text FROM coverage WHERE kind = 'allocator'")
    for row in rows:
        faults.equal(len(reasons), 1 if row['error'] else 0, 'a reason in coverage')
        faults.equal(row['in_use'] is None, row['error'] is not None, 'no number without an answer')
    if how == 'broken':
        faults.equal(rows and rows[0]['error'] is not None, True, 'glibc could not walk its lists')
        faults.equal(answer('pages', db)['allocator'], None, 'pages')


def slack_broken(work, faults):
    unanswered(work, faults, 'broken')


def slack_handler(work, faults):
    unanswered(work, faults, 'handler')


GONE = """import ctypes, mmap, os, struct
c = ctypes.CDLL(None, use_errno=True)
m = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(1024): m[i * 4096:i * 4096 + 8] = os.urandom(8)
at = ctypes.addressof(ctypes.c_char.from_buffer(m))
c.madvise(ctypes.c_void_p(at), ctypes.c_size_t(4 << 20), 21)  # MADV_PAGEOUT
with open('/proc/self/pagemap', 'rb') as f:
    f.seek(at // 4096 * 8)
    print(sum(x >> 62 & 1 for x in struct.unpack('1024Q', f.read(8192))), flush=True)
c.munmap(ctypes.c_void_p(at), ctypes.c_size_t(4 << 20))
os._exit(0)
"""


def swapped(work, faults):
    mms.need('/usr/bin/python3')
    with swapping.swap_file():
        db, out = record(work, faults, '/usr/bin/python3', '-c', GONE)
    if int(out) == 0:
        mms.skip('the kernel moved nothing out')
    rows = mms.rows(db, 'SELECT touched FROM gone WHERE bytes = 4 << 20')
    faults.equal([r['touched'] for r in rows], [1024], 'used pages of a mapping with %s in swap' % out.strip())


def need_nobody(work):
    if os.geteuid() != 0:
        mms.skip('needs root to become nobody')
    os.chmod(work.top, 0o777)
    probe = subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', mms.MMSCOPE, '--version'],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if probe.returncode:
        mms.skip('nobody may not read the build folder')


def sealed(work, faults):
    """As nobody: the program runs on, its pages are unknown, and the reason is named."""
    need_nobody(work)
    db = work.db('run')
    r = subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', mms.MMSCOPE, 'run', '--wait', '-o', db, '--',
                        SPACE, 'sealed'], env=mms.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    faults.equal((r.returncode, r.stderr, len(r.stdout.splitlines())), (0, '', 5), 'run')
    kinds = [row['kind'] for row in mms.rows(db, 'SELECT kind FROM coverage')]
    page = answer('pages', db)
    known = mms.rows(db, "SELECT count(*) AS n FROM vma WHERE present IS NOT NULL AND died_ns IS NULL")[0]['n']
    if known == 0:
        faults.equal('pages' in kinds, True, 'a reason in %s' % kinds)
        faults.equal(page['rss'], None, 'rss')


def hidden(work, faults):
    """No /proc for the program: it runs on, and the reason is named."""
    command = ['unshare', '-m', 'dash', '-c', 'mount -t tmpfs none /proc && exec "$0" used', SPACE]
    if subprocess.run([*command[:4], 'mount -t tmpfs none /proc'], stderr=subprocess.DEVNULL).returncode:
        mms.skip('no mount namespace here')
    db, out = record(work, faults, *command)
    faults.equal(len(out.splitlines()), 5, 'lines of the program')
    images = [(r['id'], r['exe']) for r in mms.rows(db, 'SELECT id, exe FROM process ORDER BY id')]
    faults.equal([os.path.basename(exe) for _, exe in images], ['unshare', 'dash', 'mount', 'space'], 'images')
    last = images[-1][0]
    text = [r['text'] for r in mms.rows(db, "SELECT text FROM coverage WHERE kind = 'pages' AND process_id = ?", last)]
    looks = mms.rows(db, 'SELECT count(*) AS n FROM page_scan WHERE process_id = ?', last)[0]['n']
    # The collector looks from outside once a second, if the machine is that slow.
    faults.equal(looks > 0 or (len(text) == 1 and 'No such file' in text[0]), True, 'a reason in %s' % text)


def real(work, faults, name):
    programs = {
        'python3': ['/usr/bin/python3', '-c', 'import json, ssl, threading, decimal\n'
                    't = [threading.Thread(target=lambda: [bytearray(n) for n in range(0, 400000, 999)]) for _ in range(4)]\n'
                    '[x.start() for x in t]; [x.join() for x in t]\nkeep = [bytes(i) for i in range(5000)]'],
        'git': ['/usr/bin/git', '--version'],
        'sqlite3': ['/usr/bin/python3', '-c', 'import sqlite3\nc = sqlite3.connect(":memory:")\n'
                    'c.execute("create table t (a, b)")\n'
                    'c.executemany("insert into t values (?, ?)", ((i, str(i)) for i in range(20000)))'],
        'bash': ['/bin/bash', '-c', 'x=$(seq 1 20000); for i in 1 2 3; do (sleep 0.05); done; echo ${#x}'],
        'redis': ['/bin/sh', '-c', 'redis-server --port 0 --unixsocket "$0" --save "" --appendonly no --enable-debug-command yes'
                  ' --dir "${0%/*}" > /dev/null & for i in $(seq 200); do redis-cli -s "$0" ping > /dev/null 2>&1 && break;'
                  ' sleep 0.1; done; redis-cli -s "$0" debug populate 40000 key 100; redis-cli -s "$0" shutdown nosave;'
                  ' wait', work.path('redis.sock')],
        'perl': ['/usr/bin/perl', '-e', 'my %h; $h{$_} = "x" x 100 for 1 .. 20000;'],
    }
    mms.need(programs[name][0], *(['redis-server', 'redis-cli'] if name == 'redis' else []))
    db, _ = record(work, faults, *programs[name])
    faults.equal(mms.drift(db, faults) > 0, True, 'spaces compared')
    explained(db, faults)
    whole = mms.rows(db, "SELECT count(*) AS n FROM page_scan WHERE look = 'exit'")[0]['n']
    faults.equal(whole > 0, True, 'a look at the end')


def added():
    """(TABLE, VIEW, INDEX or COLUMN, name) of all that came after version 1, from the steps themselves."""
    found = []
    for n in range(2, 100):
        path = os.path.join(mms.TOP, 'analyzer', 'store', 'upgrade_%d.c' % n)
        if not os.path.exists(path):
            return found
        with open(path) as f:
            text = f.read()
        found += re.findall(r'CREATE (TABLE|VIEW|INDEX) (\w+)', text)
        found += [('COLUMN', c) for c in re.findall(r'ALTER TABLE (\w+ ADD COLUMN \w+)', text)]


def schema_of(path):
    with sqlite3.connect(path) as c:
        texts = c.execute('SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name').fetchall()
    return {name: re.sub(r'\s+', '', re.sub(r'--.*', '', sql)) for name, sql in texts}


def upgrade(work, faults):
    db, _ = record(work, faults, '/bin/true')
    new = schema_of(db)
    old = work.path('old.db')
    os.rename(db, old)
    with sqlite3.connect(old) as c:
        tables = [name for kind, name in added() if kind == 'TABLE']
        for kind, name in sorted(added(), reverse=True):  # views first
            if kind == 'COLUMN' and name.split()[0] in tables:
                continue  # gone with its table
            if kind == 'COLUMN':
                c.execute('ALTER TABLE ' + name.replace(' ADD ', ' DROP '))
            else:
                c.execute('DROP %s IF EXISTS %s' % (kind, name))  # an index may be gone with its table
        c.execute('PRAGMA user_version = 1')
    before = subprocess.run([mms.MMSCOPE, 'report', old], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    faults.equal((before.returncode, before.stderr), (0, ''), 'an old database is read')
    r = subprocess.run([mms.MMSCOPE, 'symbolize', old], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    faults.equal(r.returncode, 0, 'symbolize: ' + r.stderr)
    faults.equal(schema_of(old), new, 'tables after the upgrade')


def main():
    name = sys.argv[1]
    faults = mms.Faults()
    case, _, rest = name.partition('-')
    with mms.Work('space-' + name) as work:
        if case in ('walk', 'threads'):
            walk(work, faults, int(rest), 1 if case == 'walk' else 4)
        elif case == 'real':
            real(work, faults, rest)
        else:
            {'used': used, 'slack': slack, 'slack-jemalloc': slack_jemalloc, 'slack-broken': slack_broken,
             'slack-handler': slack_handler, 'swapped': swapped, 'container': container, 'filled': filled, 'live': live, 'sealed': sealed, 'hidden': hidden,
             'upgrade': upgrade}[name](work, faults)
    return faults.done(name)


if __name__ == '__main__':
    sys.exit(main())
