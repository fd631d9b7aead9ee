"""sql.py - every SQL text of the analyzer is prepared against the schema.

    sql.py TOP

Each statement of each .sql file beside schema.sql is given to EXPLAIN on an
empty database made from schema.sql.  Functions that the program registers are
registered here under the same names.
"""
import os
import re
import sqlite3
import sys

TOP = os.path.abspath(sys.argv[1])
SCHEMA = os.path.join(TOP, 'analyzer', 'store', 'schema.sql')


def statements(text):
    part = ''
    for line in text.splitlines(True):
        part += line
        if sqlite3.complete_statement(part):
            if re.sub(r'--.*', '', part).strip(' \n\t;'):
                yield part
            part = ''
    if re.sub(r'--.*', '', part).strip():
        yield part


def parameters(text):
    """A NULL for each parameter: :named, ?1 or ?."""
    bare = re.sub(r"'[^']*'|--.*", '', text)
    names = {m[1:]: None for m in re.findall(r'[:@$]\w+', bare)}
    if names:
        return names
    numbers = [int(m) for m in re.findall(r'\?(\d+)', bare)]
    return [None] * (max(numbers) if numbers else bare.count('?'))


def main():
    n = n_bad = 0
    c = sqlite3.connect(':memory:')
    with open(SCHEMA) as f:
        c.executescript(f.read())
    for name, arguments in (('hex_address', 1), ('page_runs', 1)):
        c.create_function(name, arguments, lambda *a: None)
    for folder, _, files in os.walk(os.path.join(TOP, 'analyzer')):
        for file in sorted(files):
            path = os.path.join(folder, file)
            if not file.endswith('.sql') or path == SCHEMA:
                continue
            with open(path) as f:
                for text in statements(f.read()):
                    n += 1
                    try:
                        c.execute('EXPLAIN ' + text, parameters(text))
                    except sqlite3.Error as e:
                        n_bad += 1
                        print('%s: %s:\n%s' % (os.path.relpath(path, TOP), e, text.strip()))
    views = [r[0] for r in c.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
    for view in views:
        n += 1
        c.execute('EXPLAIN SELECT * FROM ' + view)
    print('%d statements and views, %d do not prepare' % (n, n_bad))
    return 1 if n_bad or n < 3 else 0


sys.exit(main())
