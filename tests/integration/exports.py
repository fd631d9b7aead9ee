"""exports.py - each export read by the program or by the rules it is for.

    exports.py pprof|text|speedscope|openmetrics|trace|watch

pprof by `go tool pprof`, OpenMetrics by the parser of prometheus_client, the
others by what their formats demand.  Figures must be those of `sites`.
"""
import csv
import gzip
import io
import os
import re
import subprocess
import sys
import time

import fixed_db
import formats
import mms
from verbs import strict

DATABASES = ('small', 'empty', 'many-sites', 'many-pids')


def export(db, form, *words):
    status, out, err = mms.verb('export', '--format', form, *words, db)
    if status or err:
        raise SystemExit('export of %s as %s ended with %d: %s' % (db, form, status, err))
    return out


def sites_of(db):
    """All sites of all processes."""
    answer = mms.ask('sites', db)
    return [s for p in answer['processes'] or [answer] for s in p['sites']]


def count_rows(db, table):
    return mms.rows(db, 'SELECT count(*) AS n FROM ' + table)[0]['n']


def total(db, key):
    return sum(s[key] for s in sites_of(db))


def check_pprof(databases, work, faults):
    mms.need('go')
    keys = {'alloc_objects': 'alloc_blocks', 'alloc_space': 'alloc_bytes', 'inuse_objects': 'live_blocks',
            'inuse_space': 'live_bytes'}
    env = mms.environment(HOME=work.top, PPROF_TMPDIR=work.top)
    for name, db in databases.items():
        path = work.path(name + '.pb.gz')
        export(db, 'pprof', '--output', path)
        with open(path, 'rb') as f:
            gzip.decompress(f.read())
        r = subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', '-raw', path], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        faults.equal(r.returncode, 0, '%s: go tool pprof: %s' % (name, r.stderr))
        lines = r.stdout.split('Samples:\n')[1].split('Locations\n')[0].splitlines()
        faults.equal(re.findall(r'(\w+)/', lines[0]), list(keys), name + ': sample types')
        samples = [m.group(1).split() for m in (re.match(r'\s*([\d ]+):', line) for line in lines[1:]) if m]
        for column, (sample, key) in enumerate(keys.items()):
            faults.equal(sum(int(s[column]) for s in samples), total(db, key), '%s: %s' % (name, sample))
    r = subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', '-traces', work.path('small.pb.gz')], env=env,
                       stdout=subprocess.PIPE, text=True)
    if 'make_item' not in r.stdout or 'helper' not in r.stdout or '(inline)' not in r.stdout:
        faults.add('names and inlined functions:\n' + r.stdout)


def check_text(databases, work, faults):
    for name, db in databases.items():
        for by, key in {'peak': 'peak_bytes', 'live': 'live_bytes', 'count': 'alloc_blocks', 'bytes': 'alloc_bytes',
                        'temporary': 'temporary_blocks'}.items():
            lines = [re.fullmatch(r'(\S.*) (\d+)', line) for line in export(db, 'folded', '--by', by).splitlines()]
            if None in lines:
                faults.add('%s: a folded line without a number' % name)
                continue
            faults.equal(sum(int(m.group(2)) for m in lines), total(db, key), '%s: folded by %s' % (name, by))
        rows = list(csv.DictReader(io.StringIO(export(db, 'csv'), newline='')))
        sites = sites_of(db)
        faults.equal(len(rows), len(sites), name + ': rows of CSV')
        for key in ('alloc_blocks', 'alloc_bytes', 'live_blocks', 'live_bytes', 'peak_bytes', 'temporary_blocks'):
            faults.equal(sorted(int(r[key]) for r in rows), sorted(s[key] for s in sites), '%s: %s in CSV' % (name, key))
        if any(None in r or None in r.values() for r in rows):
            faults.add(name + ': rows of CSV have unlike lengths')


def check_speedscope(databases, work, faults):
    keys = {'at peak': 'peak_bytes', 'live at end': 'live_bytes', 'allocated': 'alloc_bytes', 'allocations': 'alloc_blocks',
            'temporary': 'temporary_blocks'}
    for name, db in databases.items():
        answer = strict(export(db, 'speedscope'))
        for fault in formats.shape_faults(answer, formats.SPEEDSCOPE, name):
            faults.add(fault)
        faults.equal([p['name'] for p in answer['profiles']], list(keys), name + ': profiles')
        for p in answer['profiles']:
            faults.equal(len(p['samples']), len(p['weights']), '%s: %s: samples and weights' % (name, p['name']))
            faults.equal(sum(p['weights']), total(db, keys[p['name']]), '%s: %s' % (name, p['name']))
            faults.equal(p['endValue'], sum(p['weights']), '%s: %s: end' % (name, p['name']))
            if any(i >= len(answer['shared']['frames']) for s in p['samples'] for i in s):
                faults.add('%s: %s: a frame that is not there' % (name, p['name']))


def parsed_metrics(text):
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError:
        mms.skip('prometheus_client is not installed')
    families = {f.name: f for f in text_string_to_metric_families(text)}
    for f in families.values():
        labels = [tuple(sorted(s.labels.items())) for s in f.samples]
        if len(labels) != len(set(labels)):
            raise SystemExit('%s: the same labels twice' % f.name)
    return families


def check_openmetrics(databases, work, faults):
    for name, db in databases.items():
        families = parsed_metrics(export(db, 'openmetrics'))
        report = mms.ask('report', db)
        for family, key in {'mmscope_heap_live_bytes': 'live_bytes', 'mmscope_heap_peak_bytes': 'peak_bytes'}.items():
            f = families[family]
            faults.equal((f.type, f.unit), ('gauge', 'bytes'), '%s: %s' % (name, family))
            faults.equal({int(s.labels['image']): s.value for s in f.samples},
                         {n + 1: p[key] for n, p in enumerate(report['processes']) if p[key] is not None},
                         '%s: %s' % (name, family))
        faults.equal(sum(s.value for s in families['mmscope_heap_allocated_bytes'].samples), total(db, 'alloc_bytes'),
                     name + ': allocated')
        if len(families['mmscope_site_live_bytes'].samples) > 20:
            faults.add(name + ': too many sites')


def check_trace(databases, work, faults):
    for name, db in databases.items():
        events = strict(export(db, 'trace'))['traceEvents']
        needed = {'X': ('ts', 'dur'), 'i': ('ts', 's'), 'C': ('ts', 'args'), 'M': ('args',), 's': ('ts', 'id'), 'f': ('ts', 'id', 'bp')}
        for e in events:
            missing = [k for k in ('name', 'ph', 'pid', 'tid') + needed[e['ph']] if k not in e]
            if missing or ('ts' in e and e['ts'] < 0):
                faults.add('%s: an event lacks %s: %s' % (name, missing, e))
        count = lambda ph, cat=None: len([e for e in events if e['ph'] == ph and e.get('cat') == cat])
        faults.equal(count('X', 'process'), count_rows(db, 'process'), name + ': processes')
        faults.equal(count('i', 'vm'), count_rows(db, 'vm_event'), name + ': vm events')
        faults.equal(count('X', 'fork'), count_rows(db, 'fork'), name + ': forks')
        if count('s', 'fork') != count('f', 'fork'):
            faults.add(name + ': an arrow without an end')
        heap = [e['args']['live'] for e in events if e['ph'] == 'C' and e['name'].startswith('live')]
        faults.equal(sorted(heap), sorted(r['live_bytes'] for r in mms.rows(db, 'SELECT live_bytes FROM sample')), name + ': ticks')


def check_watch(databases, work, faults):
    db, prom = work.path('watched.db'), work.path('watched.prom')
    command = ['/usr/bin/python3', '-c', 'import time; x = [bytes(100000) for _ in range(50)]; time.sleep(4)']
    with subprocess.Popen([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', *command], env=mms.environment()) as recording:
        end = time.monotonic() + 20
        while not os.path.exists(db) and time.monotonic() < end:
            time.sleep(0.05)
        with subprocess.Popen([mms.MMSCOPE, 'export', '--format', 'openmetrics', '--watch', prom, '--interval', '1', db],
                              env=mms.environment()) as watcher:
            states = set()
            while watcher.poll() is None and time.monotonic() < end:
                if os.path.exists(prom):
                    with open(prom, encoding='utf-8') as f:
                        families = parsed_metrics(f.read())
                    states.add(families['mmscope_recording'].samples[0].labels['state'])
                time.sleep(0.1)
            if watcher.poll() is None:
                watcher.kill()
                faults.add('the watcher goes on after the end')
        faults.equal((watcher.returncode, recording.wait()), (0, 0), 'watcher and recording')
    with open(prom, encoding='utf-8') as f:
        last = parsed_metrics(f.read())['mmscope_recording'].samples[0].labels['state']
    faults.equal((last, 'recording' in states), ('complete', True), 'states seen: %s' % sorted(states))
    faults.equal(mms.verb('export', '--format', 'csv', '--watch', prom, db)[0], 2, '--watch of another format')
    status, out, err = mms.verb('export', db)
    faults.equal((status, out, len(err.splitlines())), (2, '', 1), 'no format')


def main():
    faults = mms.Faults()
    with mms.Work('exports') as work:
        databases = {}
        for name in DATABASES:
            databases[name] = work.path(name + '.db')
            fixed_db.KINDS[name](databases[name])
        globals()['check_' + sys.argv[1]](databases, work, faults)
    return faults.done('exports ' + sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
