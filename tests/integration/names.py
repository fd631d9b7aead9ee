"""names.py - meson's list of cases and cases.py name the same."""
import sys

from cases import CASES

missing = sorted(set(CASES) ^ set(sys.argv[1:]))
for name in missing:
    print('%s stands in only one of meson.build and cases.py' % name)
sys.exit(1 if missing else 0)
