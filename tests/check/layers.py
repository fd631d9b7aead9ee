"""layers.py - who may include whom.

    wrap -> capture, mirror -> base -> include        (preload)
    report -> store/capture.h, symbol; store -> model, symbol  (analyzer)
    model knows neither SQLite nor the rings
    preload and analyzer meet in include/ and preload/mirror alone
    libunwind, jemalloc, SQLite, elfutils: one home each

A folder that is not in the table below fails: whoever adds one says here what
it may know.  Prints one line for each include that breaks the rule.
"""
import os
import re
import sys

TOP = os.path.abspath(sys.argv[1])

# Folder -> folders it may include from, itself and include/ beside.
MAY = {
    'preload/base': [],
    'preload/mirror': ['preload/base'],
    'preload/capture': ['preload/base'],
    'preload/wrap': ['preload/capture', 'preload/mirror', 'preload/base'],
    'preload': ['preload/wrap', 'preload/capture', 'preload/mirror', 'preload/base'],
    'analyzer/model': [],
    'analyzer/store': ['analyzer/model', 'analyzer/symbol'],
    'analyzer/symbol': [],
    'analyzer/collect': ['analyzer/model', 'analyzer/store', 'analyzer/symbol', 'preload/mirror', 'analyzer'],
    'analyzer/report': ['analyzer/store', 'analyzer/symbol', 'analyzer'],
    'analyzer': [],
    'include/mmscope': [],
}
# Single files that may include more than their folder: doctor judges with the
# code that `run` itself uses; growth is arithmetic over a trace.
ALSO = {
    'analyzer/report/doctor.c': ['analyzer/collect/elf_check.h', 'analyzer/collect/run.h'],
    'analyzer/report/oom_judge.c': ['analyzer/model/hit.h'],
    'analyzer/report/verdict.h': ['analyzer/model/growth.h'],
    'analyzer/report/oom_judge.h': ['analyzer/model/growth.h'],
}
# Headers of ours that a folder may not include although the folder may.
NOT = {
    'analyzer/model': ['mmscope/ring.h', 'mmscope/stacks.h'],
    'analyzer/report': ['mmscope/ring.h', 'mmscope/stacks.h', 'store/writer.h'],
}
# What another library's header looks like, and the folders that are its home.
HOMES = [
    (r'sqlite3(ext)?\.h', ['analyzer/store']),
    (r'libunwind.*\.h', ['preload/capture', 'analyzer/collect']),
    (r'jemalloc/.*', ['preload/base']),
    (r'(elfutils/.*|gelf\.h|libelf\.h|dwarf\.h|libdw.*\.h)', ['analyzer/symbol']),
    (r'zlib\.h', ['analyzer/report', 'analyzer/symbol']),
    (r'(demangle\.h|libiberty.*)', ['analyzer/symbol']),
]
INCLUDE = re.compile(r'^\s*#\s*include(?:_next)?\s*([<"])([^>"]+)[>"]', re.M)


def sources():
    for root in ('include', 'preload', 'analyzer'):
        for folder, _, files in os.walk(os.path.join(TOP, root)):
            for name in files:
                if name.endswith(('.c', '.h', '.S')):
                    yield os.path.relpath(os.path.join(folder, name), TOP)


def folder_of(path):
    """The known folder that path lies in, or the folder itself."""
    return os.path.dirname(path)


def find(source, name):
    """The file of ours that `name` means in `source`, or None."""
    side = source.split('/')[0]
    for base in (os.path.dirname(source), side, 'include', 'preload', 'analyzer', ''):
        path = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(TOP, path)):
            return path
    return None


def wrong(source, name):
    """Says what is wrong with the include, or None."""
    here = folder_of(source)
    if here not in MAY:
        return 'folder %s is not in the table of tests/check/layers.py' % here
    if name.endswith('.c'):
        return 'a .c file is included'
    target = find(source, name)
    if target is None:
        for pattern, homes in HOMES:
            if re.fullmatch(pattern, name) and here not in homes:
                return '%s is at home in %s' % (name, ', '.join(homes))
        return None
    for bad in NOT.get(here, []):
        if target.endswith(bad):
            return '%s may not know %s' % (here, bad)
    there = folder_of(target)
    if target in ALSO.get(source, []):
        return None
    if there == here or there == 'include/mmscope' or there in MAY[here]:
        return None
    return '%s may not include from %s' % (here, there)


def main():
    n_files = n_wrong = 0
    for source in sorted(sources()):
        n_files += 1
        with open(os.path.join(TOP, source)) as f:
            text = f.read()
        for kind, name in INCLUDE.findall(text):
            what = wrong(source, name)
            if what:
                n_wrong += 1
                print('%s: #include %s: %s' % (source, name, what))
    print('%d files, %d includes against the rule' % (n_files, n_wrong))
    return 1 if n_wrong or n_files < 10 else 0


sys.exit(main())
