"""again.py - what comes again adds nothing to the session's table of stacks.

    again.py

A program that is executed, and a plugin that is loaded, lie at other addresses
each time.  However often that is, their stacks are the ones of the first time,
with the names of their functions, and what their sites did is the sum.  Two
plugins that take turns at the same address are never taken for each other.
"""
import os
import shutil
import subprocess

import mms

AGAIN = os.path.join(mms.PROGRAMS, 'again')
PLUGIN = os.path.join(mms.PROGRAMS, 'leak_plugin.so')


def record(work, name, *words):
    db = work.db(name)
    r = subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', AGAIN, *words], env=mms.environment(), stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 0, r.stdout + r.stderr
    return db


def sites(db):
    """(function, file) -> blocks, of what was allocated in the program and the plugin."""
    rows = mms.rows(db, 'SELECT f.function AS f, m.path AS p, sum(h.alloc_blocks) AS n FROM heap_site h JOIN stack s ON s.id = h.stack_id'
                        " JOIN frame f ON f.id = s.frame_id JOIN module m ON m.id = f.module_id WHERE f.function LIKE 'site_%' GROUP BY 1, 2")
    return {(r['f'], os.path.basename(r['p'])): r['n'] for r in rows}


def nodes(db):
    return mms.rows(db, 'SELECT count(*) AS n FROM stack')[0]['n']


def main():
    faults = mms.Faults()
    with mms.Work('again') as work:
        for way, words, blocks in (
                ('exec', (), lambda n: {('site_again', 'again'): n}),
                ('plugin', (PLUGIN,), lambda n: {('site_again', 'again'): 1, ('site_in_plugin', 'leak_plugin.so'): 2 * n}),
                ('both', (PLUGIN,), lambda n: {('site_again', 'again'): n, ('site_in_plugin', 'leak_plugin.so'): 4 * n})):
            seen = {}
            for n in (8, 120):
                db = record(work, '%s%d' % (way, n), way, str(n), *words)
                faults.equal(sites(db), blocks(n), '%s %d times' % (way, n))
                seen[n] = nodes(db)
            print('%s: %d nodes after 8 times, %d after 120' % (way, seen[8], seen[120]))
            faults.equal(seen[120], seen[8], 'nodes of ' + way)
            lost = mms.rows(db, "SELECT coalesce(sum(count), 0) AS n FROM coverage WHERE kind LIKE '%stack%'")[0]['n']
            faults.equal(lost, 0, 'stacks that were lost by ' + way)
        # The same code under another name is another file.
        other = work.path('other_plugin.so')
        shutil.copy(PLUGIN, other)
        turns = work.path('turns.sh')
        with open(turns, 'w', encoding='utf-8') as f:
            f.write('for i in 1 2 3 4 5; do "$1" plugin 2 "$2"; "$1" plugin 3 "$3"; done\n')
        db = work.db('turns')
        subprocess.run([mms.MMSCOPE, 'run', '--wait', '-o', db, '--', 'sh', turns, AGAIN, PLUGIN, other], env=mms.environment(), check=True)
        faults.equal(sites(db), {('site_again', 'again'): 10, ('site_in_plugin', 'leak_plugin.so'): 20, ('site_in_plugin', 'other_plugin.so'): 30},
                     'two files in turn')
    return faults.done('again')


if __name__ == '__main__':
    raise SystemExit(main())
