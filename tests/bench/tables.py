"""tables.py - results as text on a terminal and as a section of a document."""
import os
import re
import statistics
import time

from field import mms

DOCUMENT = os.path.join(mms.TOP, 'docs', 'performance.md')


def spread(values, form='%.2f'):
    """Median, and smallest to largest where there are several."""
    if not values:
        return '-'
    text = form % statistics.median(values)
    if len(values) == 1:
        return text
    return '%s (%s-%s)' % (text, form % min(values), form % max(values))


class Table:
    """Rows are printed as they come, and kept for the document."""

    def __init__(self, columns, widths):
        self.columns, self.widths, self.rows = columns, widths, []
        self.show(columns)

    def show(self, cells):
        print('  '.join(str(c).ljust(w) for c, w in zip(cells, self.widths)).rstrip(), flush=True)

    def row(self, *cells):
        self.rows.append(cells)
        self.show(cells)

    def markdown(self):
        out = ['| ' + ' | '.join(self.columns) + ' |', '|' + '---|' * len(self.columns)]
        out += ['| ' + ' | '.join(str(c) for c in r) + ' |' for r in self.rows]
        return '\n'.join(out)


def machine():
    """Processor, number of them, memory, kernel: no name and no path."""
    with open('/proc/cpuinfo') as f:
        found = re.findall(r'model name\s*:\s*(.*)', f.read())
    with open('/proc/meminfo') as f:
        gib = int(re.search(r'MemTotal:\s+(\d+)', f.read()).group(1)) / 2 ** 20
    return '%s, %d processors, %.0f GiB, Linux %s; load %.1f at the begin' % (
        re.sub(r'\s+', ' ', found[0]) if found else 'unknown processor', os.cpu_count(), gib,
        '.'.join(os.uname().release.split('.')[:2]), START_LOAD)


START_LOAD = os.getloadavg()[0]


def write_section(path, title, text):
    """Puts `## title` with text into the document, in place of what it had."""
    with open(path) as f:
        whole = f.read()
    section = '## %s\n\n%s, %s.\n\n%s\n' % (title, time.strftime('%Y-%m-%d'), machine(), text.strip())
    at = whole.find('## %s\n' % title)
    if at < 0:
        whole = whole.rstrip('\n') + '\n\n' + section
    else:
        end = whole.find('\n## ', at + 3)
        whole = whole[:at] + section + (whole[end:] if end >= 0 else '')
    with open(path, 'w') as f:
        f.write(whole)
