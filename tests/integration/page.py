"""page.py - the page of `mmscope html`, opened and used in a headless Chromium.

    page.py [FOLDER]

Databases made by hand must load without a message in the console and show
their figures; search, zoom, keys, tables, theme and the choice of a process
must work; 10,000 sites must be there within two seconds.  With FOLDER
pictures of the page are written there, to be looked at.
"""
import json
import os
import re
import sys

import chromium
import fixed_db
import mms

LOADED = 'return document.getElementById("foot").textContent !== ""'


def write_page(database, page, faults):
    status, out, err = mms.verb('html', '-o', page, database)[:3]
    faults.equal((status, out.strip(), err), (0, page, ''), 'mmscope html')
    with open(page, encoding='utf-8') as f:
        return f.read()


def check_file(text, name, faults):
    """One file that loads nothing, whose data is strict JSON."""
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1)
    parsed = json.loads(data)
    faults.equal(parsed['schema'], 'mmscope.html/1', name + ': schema')
    for table in ('sites', 'areas'):
        faults.equal(len(parsed[table]['data']) % len(parsed[table]['columns']), 0, name + ': rows of ' + table)
    rest = text.replace(data, '')
    for word in ('http://', 'https://', '@import', 'url(', ' src='):
        if word in rest.replace('http://www.w3.org/2000/svg', ''):
            faults.add('%s: the page names something outside: %s' % (name, word))
    if "default-src 'none'" not in rest or '@style@' in rest or '@data@' in rest:
        faults.add(name + ': a part of the page is missing')
    names = re.findall(r'^(?:function|class|const|let) (\w+)', rest, re.M)
    faults.equal([n for n in set(names) if names.count(n) > 1], [], 'two things of one name in the scripts')
    return parsed


def check_small(b, faults):
    """What a reader of the smallest recording sees and can do."""
    figures = b.text('#figures')
    for text in ('Heap at its highest', 'exit status 3', 'Not seen'):
        if text not in figures:
            faults.add('the summary does not say %r: %s' % (text, figures))
    faults.equal('records were lost' in b.text('#unseen-list'), True, 'lost records are named')
    faults.equal(b.run('return document.querySelectorAll("#left-table tbody tr").length > 5'), True, 'rows of what was not freed')
    b.click('#left-table summary')
    faults.equal(b.becomes('return document.querySelectorAll("#left-table ol.stack li").length > 1'), True, 'a stack opens')
    before = b.text('#left-table tbody tr td')
    for _ in range(2): # the largest first, then the smallest
        b.click('#left-table th.n button')
    faults.equal(b.text('#left-table tbody tr td') != before, True, 'a click on a head turns the order')


def check_verdicts(b, path, faults):
    """The page says of each site what `leaks` says, in its order."""
    sites = mms.ask('leaks', path)['sites']
    own = [s for s in sites if s['own'] == 'target' and not s['suppressed_by'] and s['process']['pid'] == 100]
    classes = list(dict.fromkeys(s['class'] for s in own))
    b.run('for (const d of document.querySelectorAll("#left-table details")) d.open = true')
    faults.equal(b.becomes('return document.querySelectorAll("#left-table p.why").length > 0'), True, 'sentences')
    shown = b.run('return [...document.querySelectorAll("#left-table tbody tr td:nth-child(6)")].map(c => c.textContent)')
    faults.equal(list(dict.fromkeys(c for c in shown if c in classes)), classes, 'classes in the order of leaks')
    sentences = b.run('return [...document.querySelectorAll("#left-table p.why")].map(p => p.textContent)')
    faults.equal(sorted(set(sentences)), sorted({s['why'] for s in own}), 'sentences of leaks')
    definite = sum(s['bytes'] for s in sites if s['verdict'] == 'definite' and s['process']['pid'] == 100)
    faults.equal(b.run('return size(arguments[0])', definite) + ' definite' in b.text('#left-about'), True, 'the sum by reach')


def check_limit(b, path, faults):
    """The limit, what counts towards it, and where that line meets it."""
    oom = mms.ask('oom', path)
    text = b.text('#time-limit')
    for part in ('/srv/web', '256.0 MiB', '38.0 MiB left', 'Risk of running out: ' + oom['verdict']):
        if part not in text:
            faults.add('the limit: %r is not in %s' % (part, text))
    faults.equal('1.50 MiB' in b.text('#space-table'), True, 'what of an area is in memory: ' + b.text('#space-table'))
    got = b.run('return [timeChart.risk.point_s, timeChart.risk.limit_bytes]')
    faults.equal(got, [oom['time_to_limit_s']['point'], oom['binding']['limit_bytes']], 'the projection is that of oom')
    lines = b.run('''return [...document.querySelectorAll("#time-chart path[stroke='" + cssColour("limit") + "']")]
        .map(p => p.getAttribute("d").match(/[\\d.]+/g).map(Number))''')
    faults.equal(len(lines), 3, 'limit, usage and projection')
    if len(lines) == 3:
        limit, usage, ahead = lines
        faults.equal(abs(usage[-2] - ahead[0]) < 1 and abs(ahead[-1] - limit[1]) < 12, True,
                     'the projection goes from the last look to the limit: %s' % lines)


def check_flame(b, faults):
    all_text = b.text('#flame-status')
    b.click('#flame-search')
    b.keys(*'load_all')
    found = b.text('#flame-found')
    faults.equal(re.match(r'1 place, \d+\.\d %$', found) is not None, True, 'search finds load_all once: ' + found)
    b.keys('escape')
    faults.equal(b.text('#flame-found'), '', 'Escape ends the search')
    b.click('#flame-box canvas', 40, 19 + 9)
    status = b.text('#flame-status')
    faults.equal(status.startswith('main: ') and status != all_text, True, 'a click zooms to main: ' + status)
    faults.equal('main' in b.text('#flame-path'), True, 'the path of the zoom')
    b.run('document.getElementById("flame-box").focus()')
    b.keys('down', 'enter')
    deeper = b.text('#flame-status')
    faults.equal(deeper.startswith('main: '), False, 'down and Enter go deeper: ' + deeper)
    b.keys('escape', 'escape')
    faults.equal(b.run('return document.getElementById("flame-reset").disabled'), True, 'Escape zooms out')
    for i, word in enumerate(('live_bytes', 'alloc_bytes', 'temporary_blocks'), 2):
        b.click('#flame-measure button:nth-child(%d)' % i)
        want = b.run('''let n = 0; for (const r of sitesOf(Number(document.getElementById("process").value)))
            n += SITES.get(r, arguments[0]); return n''', word)
        faults.equal(b.run('return flame.root.value'), want, 'the root of ' + word)
    b.run('document.activeElement.blur()')
    b.keys('/')
    faults.equal(b.run('return document.activeElement.id'), 'flame-search', 'the slash goes to the search')


def check_choice(b, faults):
    values = b.run('return [...document.querySelectorAll("#process option")].map(o => o.value)')
    faults.equal(len(values), 4, 'three processes and all of them')
    for value in values:
        b.run('''const s = document.getElementById("process"); s.value = arguments[0];
            s.dispatchEvent(new Event("change"))''', value)
        faults.equal(b.run('return flame.root.value'), b.run('''let n = 0; for (const r of sitesOf(Number(arguments[0])))
            n += SITES.get(r, "temporary_blocks"); return n''', value), 'sites of process ' + value)


def check_theme(b, faults):
    paper = 'return getComputedStyle(document.body).backgroundColor'
    light = b.run(paper)
    b.click('#theme')
    faults.equal(b.run(paper) != light, True, 'dark is another colour')


def open_page(b, page, faults, name):
    b.open(page)
    faults.equal(b.run(LOADED), True, name + ': loaded')
    messages = [m['message'] for m in b.messages()]
    faults.equal(messages, [], name + ': messages in the console')
    for word in ('NaN', 'undefined', 'Infinity', '[object'):
        faults.equal(word in b.run('return document.body.innerText'), False, '%s: %s is to be read' % (name, word))
    # Its own time: from the start of the load to the end of the last script.
    return b.run('const t = performance.getEntriesByType("navigation")[0]; return t.domContentLoadedEventEnd')


def check_hostile(work, browser, faults):
    """Names from the recording are text, never part of the page."""
    path, page = work.path('hostile.db'), work.path('hostile.html')
    evil = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>'
    m = fixed_db.Maker(path)
    fixed_db.head(m)
    m.process(1, 100, '/bin/' + evil.replace('/', ''), [evil, '<!--'])
    stack = m.stack(m.frame(evil, evil, 1))
    m.heap(1, stack, m.site('aaaa00000000000e', evil), 5, 10, 5)
    m.note(1, 'odd', 1, evil)
    m.done()
    check_file(write_page(path, page, faults), 'hostile', faults)
    open_page(browser, page, faults, 'hostile')
    faults.equal(browser.run('return document.title').startswith('mmscope: '), True, 'the title is ours')
    faults.equal(browser.run('return document.querySelectorAll("img").length'), 0, 'no element out of a name')


def check_forks(b, faults):
    """A bar for each watched fork, and the one that was asked for over time."""
    faults.equal('4 forks watched, 2 not' in b.text('#cow-about'), True, 'forks that were watched')
    faults.equal(b.run('return document.querySelectorAll("#cow-bars rect").length'), 13, 'parts of the bars')
    faults.equal('Fork 2: 128,840 pages' in b.text('#cow-status'), True, 'the fork that broke most comes first')
    b.run('const s = document.getElementById("cow-fork"); s.value = "0"; s.dispatchEvent(new Event("change"))')
    faults.equal(b.becomes('return document.querySelectorAll("#cow-time path").length === 2'), True, 'a line for each side')
    says(b, faults, '#cow-status', 'child 9,530 pages (37.2 MiB)', 'copied 9,560 pages (37.3 MiB)')
    says(b, faults, '#cow-changed', '10.8 KiB changed, 3,544 copied for each byte', '9,487 pages (37.1 MiB) ended as they were',
         '10 pages (40.0 KiB) differ by small counts', '22 pages (88.0 KiB) in addresses', '30 pages (120.0 KiB) in data')
    says(b, faults, '#cow-seen', 'Seen by a witness process: exact.')
    says(b, faults, '#cow-areas', '9,000', 'heap [heap]', 'start_worker')
    says(b, faults, '#cow-sites', 'new_object', '7.81 KiB', 'pages without a block of a known stack')
    faults.equal('certainty' in b.text('#cow-areas') + b.text('#cow-sites'), False, 'no interval where all was watched')
    for fork, texts in (('1', ('write protection (userfaultfd): exact but for at most 2 pages',)),
                        ('2', ('estimates from 25 % of the pages, besides off by at most 180 pages. Protecting all pages would',
                               'With 95 % certainty the pages are: broken by the parent 820 to 1,190, copied 2,800 to 3,210.')),
                        ('3', ('counts of page faults: not exact, off by at most 5 pages. The machine allows no better',))):
        b.run('const s = document.getElementById("cow-fork"); s.value = "%s"; s.dispatchEvent(new Event("change"))' % fork)
        says(b, faults, '#cow-seen', *texts)
        if fork == '2':
            says(b, faults, '#cow-areas', '785,000 to 790,000', '700 to 1,280', '1,804 to 2,200', '0 to 90', 'dictResize')
            says(b, faults, '#cow-sites', '779,000 to 786,432', '690 to 1,270', '1,700 to 2,100', '0 to 80', 'new_object')
    faults.equal(b.text('#cow-changed'), '', 'nothing was compared without a witness')


def says(b, faults, where, *texts):
    for text in texts:
        if text not in b.text(where):
            faults.add('%s does not say %r: %s' % (where, text, b.text(where)))


def check_many(work, browser, faults):
    path, page = work.path('large.db'), work.path('large.html')
    fixed_db.many_sites(path, 10000, 25)
    parsed = check_file(write_page(path, page, faults), 'large', faults)
    faults.equal(len(parsed['sites']['data']) // len(parsed['sites']['columns']), 10000, '10,000 sites are in the page')
    took = open_page(browser, page, faults, 'large')
    print('10,000 sites: %.0f ms, %.1f MB' % (took, os.path.getsize(page) / 1e6))
    if took > 2000:
        faults.add('10,000 sites took %.0f ms to open' % took)


def check_pictures(work, page, folder):
    for dark in (False, True):
        with chromium.Browser(work.path('profile-%d' % dark), height=3200) as b:
            b.open(page)
            if dark:
                b.click('#theme')
            b.picture(os.path.join(folder, 'page-%s.png' % ('dark' if dark else 'light')))


def main():
    what = chromium.missing()
    if what:
        mms.skip(what + ' is not installed')
    faults = mms.Faults()
    with mms.Work('page') as work:
        pages = {}
        for kind in ('small', 'empty', 'unrecorded', 'incomplete', 'forks', 'verdicts', 'pressed'):
            path, pages[kind] = work.path(kind + '.db'), work.path(kind + '.html')
            fixed_db.KINDS[kind](path)
            check_file(write_page(path, pages[kind], faults), kind, faults)
        with chromium.Browser(work.path('profile')) as b:
            for kind, page in pages.items():
                open_page(b, page, faults, kind)
            open_page(b, pages['small'], faults, 'small')
            check_small(b, faults)
            check_flame(b, faults)
            check_choice(b, faults)
            check_theme(b, faults)
            open_page(b, pages['forks'], faults, 'forks')
            check_forks(b, faults)
            open_page(b, pages['verdicts'], faults, 'verdicts')
            check_verdicts(b, work.path('verdicts.db'), faults)
            open_page(b, pages['pressed'], faults, 'pressed')
            check_limit(b, work.path('pressed.db'), faults)
            faults.equal([m['message'] for m in b.messages()], [], 'messages after use')
            check_hostile(work, b, faults)
            check_many(work, b, faults)
        if len(sys.argv) > 1:
            check_pictures(work, pages['small'], sys.argv[1])
    return faults.done('page')


if __name__ == '__main__':
    sys.exit(main())
