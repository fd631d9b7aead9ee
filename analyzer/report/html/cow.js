/* cow.js - the pages that forks shared, and who broke them: a bar for each
 * fork, and one fork over time, by area and by site.
 */
const COW = flat(DATA.cow);
const COW_AREAS = flat(DATA.cow_areas), COW_SITES = flat(DATA.cow_sites);
const COW_FORKS = DATA.forks.filter(f => f.method && f.method !== 'none');
const COW_BARS = 40;

function pagesOfFork(f, n) {
	return n === null ? 'not known' : plural(n, 'page', 'pages') + ' (' + size(n * (f.page_size || 4096)) + ')';
}

/* What lies in a bar, from the left. */
function cowParts(f) {
	const both = f.both_broke || 0, parent = (f.parent_broke || 0) - both, child = (f.child_broke || 0) - both;
	return [['rss', parent, 'broken by the parent'], ['hit', both, 'broken by both'], ['heap', child, 'broken by the child'],
		['other', Math.max(0, (f.pages_shared || 0) - parent - both - child), 'not broken']];
}

function drawCowBars() {
	const list = COW_FORKS.slice(0, COW_BARS), width = roomIn('cow'), line = 24, label = 150, right = 150;
	const most = Math.max(1, ...list.map(f => (f.pages_shared || 0) * (f.page_size || 4096)));
	const root = svg('svg', { viewBox: '0 0 ' + width + ' ' + (list.length * line + 4), role: 'img', 'aria-label': 'Shared pages of each fork by who broke them' });
	list.forEach((f, i) => {
		const y = i * line + 4, unit = (width - label - right) * (f.page_size || 4096) / most;
		let x = label;
		root.append(svg('text', { x: label - 10, y: y + 13, 'text-anchor': 'end' }, 'fork ' + f.id + ' at ' + duration(f.t_ns)));
		for (const [colour, n, text] of cowParts(f)) {
			if (n > 0)
				root.append(svg('rect', { x: x, y: y, width: Math.max(1, n * unit), height: line - 8, fill: cssColour(colour), opacity: colour === 'other' ? 0.35 : 0.9 },
					svg('title', null, 'Fork ' + f.id + ': ' + pagesOfFork(f, n) + ' ' + text)));
			x += n * unit;
		}
		root.append(svg('text', { x: Math.min(x, width - right) + 8, y: y + 13 }, f.pages_shared === null ? '' : size(f.pages_shared * (f.page_size || 4096)) + ' shared'));
	});
	show('cow-bars', root);
}

function cowLine(points, x, y, colour, text) {
	return svg('path', { d: points.map(([t, v], i) => (i ? 'L' : 'M') + x(t).toFixed(1) + ' ' + y(v).toFixed(1)).join(''), stroke: cssColour(colour), 'stroke-width': 2, fill: 'none' },
		svg('title', null, text));
}

const COW_METHODS = { userfaultfd: 'write protection (userfaultfd)', 'soft-dirty': 'soft-dirty bits', witness: 'a witness process',
	pfn: 'page frame numbers', totals: 'counts of page faults' };
const COW_FIGURES = [['parent_broke', 'broken by the parent'], ['child_broke', 'by the child'], ['both_broke', 'by both'],
	['still_shared', 'still shared'], ['new_parent', 'new in the parent'], ['new_child', 'new in the child'], ['copies', 'copied']];

/* "name low high;name low high" */
function cowIntervals(text) {
	return new Map((text || '').split(';').map(x => x.split(' ')).map(x => [x[0], x]));
}

/* An area that was watched whole is known. */
function isBetween(interval) {
	return interval !== undefined && interval[1] !== interval[2];
}

function cowBetween(interval) {
	return count(Number(interval[1])) + ' to ' + count(Number(interval[2]));
}

/* How it was seen, and how far off the figures may be. */
function cowSeen(f) {
	const share = f.watched_percent !== null && f.watched_percent < 100, within = cowIntervals(f.intervals);
	const known = COW_FIGURES.filter(([key]) => within.has(key)).map(([key, text]) => text + ' ' + cowBetween(within.get(key)));
	return 'Seen by ' + (COW_METHODS[f.method] || f.method) + ': ' + (share ? 'estimates from ' + f.watched_percent + ' % of the pages' : f.exact ? 'exact' : 'not exact') +
		(f.error_pages ? (f.exact ? ' but for' : share ? ', besides off by' : ', off by') + ' at most ' + plural(f.error_pages, 'page', 'pages') : '') + '.' + (f.why ? ' ' + f.why : '') +
		(known.length ? ' With 95 % certainty the pages are: ' + known.join(', ') + '.' : '');
}

/* What a witness found by comparing the broken pages. */
function cowChanged(f) {
	if (f.bytes_changed === null)
		return '';
	const classes = [['identical_pages', 'ended as they were'], ['counter_pages', 'differ by small counts'], ['pointer_pages', 'in addresses'], ['bulk_pages', 'in data']];
	const copied = f.copies === null ? 0 : f.copies * (f.page_size || 4096);
	return 'Compared byte by byte, ' + size(f.bytes_changed) + ' changed' + (copied && f.bytes_changed ? ', ' + count(Math.floor(copied / f.bytes_changed)) + ' copied for each byte' : '') + ': ' +
		classes.filter(([key]) => f[key] !== null).map(([key, text]) => pagesOfFork(f, f[key]) + ' ' + text).join(', ') + '.';
}

function cowCopies(f) {
	if (f.copies === null && f.copies_low !== null && f.copies_high !== null)
		return count(f.copies_low) + ' to ' + pagesOfFork(f, f.copies_high);
	return pagesOfFork(f, f.copies) + (f.copies !== null && f.copies_low !== null && f.copies_low !== f.copies_high ? ', at least ' + count(f.copies_low) + ' and at most ' + count(f.copies_high) : '');
}

/* Areas or sites of a fork, those of which most was broken; each figure with its interval where a part was watched. */
function cowPartTable(f, part, title, cell, none) {
	const rows = [];
	for (let i = 0; i < part.n; i++)
		if (part.get(i, 'fork') === f.id)
			rows.push({ i: i, within: cowIntervals(TEXTS[part.get(i, 'intervals')]) });
	if (!rows.length)
		return empty(none);
	const figure = (head, key) => ({ title: head, n: true, key: r => part.get(r.i, key) || 0, cell: r => el('span', null, part.get(r.i, key) === null ? '-' : count(part.get(r.i, key)),
		isBetween(r.within.get(key)) ? el('span', { class: 'quiet between', title: 'with 95 % certainty' }, cowBetween(r.within.get(key))) : null) });
	const columns = [figure('Shared', 'pages_shared'), figure('Parent broke', 'parent_broke'), figure('Child broke', 'child_broke'), figure('Both', 'both_broke')];
	if (rows.some(r => part.get(r.i, 'bytes_changed') !== null))
		columns.push({ title: 'Changed', n: true, key: r => part.get(r.i, 'bytes_changed') || 0, cell: r => part.get(r.i, 'bytes_changed') === null ? '-' : size(part.get(r.i, 'bytes_changed')) });
	columns.push({ title: title, wide: true, cell: r => cell(r.i) });
	const broken = rows.some(r => part.get(r.i, 'parent_broke') > part.get(r.i, 'child_broke')) ? 1 : 2, all = part.get(rows[0].i, 'rows');
	const about = rows.some(r => r.within.size > 1) ? el('p', { class: 'quiet' }, 'Below a figure: where it is with 95 % certainty.') : null;
	return fill(el('div'), null, [about, table(columns, rows, broken, 10), all > rows.length ? el('p', { class: 'quiet' }, count(all - rows.length) + ' more: mmscope cow --fork ' + f.id + ' --limit 0') : null]);
}

function cowArea(i) {
	const name = TEXTS[COW_AREAS.get(i, 'name')], kind = TEXTS[COW_AREAS.get(i, 'kind')], node = COW_AREAS.get(i, 'node');
	return el('span', null, kind + ' ', name || node < 0 ? el('span', { title: name }, name.startsWith('[') ? name : baseName(name)) : stackFold(node));
}

function drawCowParts(f) {
	show('cow-areas', cowPartTable(f, COW_AREAS, 'Area, and who mapped it', cowArea, 'Areas of this fork are not known.'));
	show('cow-sites', cowPartTable(f, COW_SITES, 'Site that has blocks on the pages', i => COW_SITES.get(i, 'node') < 0 ?
		el('span', { class: 'quiet' }, 'pages without a block of a known stack') : stackFold(COW_SITES.get(i, 'node')), 'Sites of this fork are not known.'));
}

/* Bytes broken since the fork, by side. */
function drawCowTime(f) {
	const unit = f.page_size || 4096, rows = [];
	for (let i = 0; i < COW.n; i++)
		if (COW.get(i, 'fork') === f.id)
			rows.push(i);
	byId('cow-status').textContent = 'Fork ' + f.id + ': ' + pagesOfFork(f, f.pages_shared) + ' shared, parent broke ' + pagesOfFork(f, f.parent_broke) +
		', child ' + pagesOfFork(f, f.child_broke) + ', both ' + pagesOfFork(f, f.both_broke) + ', copied ' + cowCopies(f) + '.';
	byId('cow-changed').textContent = cowChanged(f);
	byId('cow-seen').textContent = cowSeen(f);
	drawCowParts(f);
	if (!rows.length)
		return show('cow-time', el('p', { class: 'quiet' }, 'This fork was looked at only at its end.'));
	const of = side => [[0, 0]].concat(rows.filter(i => COW.get(i, side) !== null).map(i => [COW.get(i, 't_ns') - f.t_ns, COW.get(i, side) * unit]));
	const sides = [['parent_broke', 'rss', 'parent'], ['child_broke', 'heap', 'child']].map(([key, colour, text]) => [of(key), colour, text]);
	const all = sides.flatMap(([points]) => points), tMax = Math.max(...all.map(p => p[0])), vMax = Math.max(unit, ...all.map(p => p[1]));
	const { root, x, y } = chartFrame(roomIn('cow'), 220, { left: 78, right: 16, top: 12, bottom: 28 }, tMax, vMax, 'Broken pages of the fork over time');
	for (const [points, colour, text] of sides)
		root.append(cowLine(points, x, y, colour, 'broken by the ' + text));
	show('cow-time', root);
}

function drawCow() {
	const copied = DATA.forks.filter(f => !['vfork', 'spawn', 'system'].includes(f.kind)), unwatched = copied.length - COW_FORKS.length;
	byId('cow-about').textContent = !copied.length ? 'Nothing forked: no page was shared.' :
		plural(COW_FORKS.length, 'fork', 'forks') + ' watched, ' + unwatched + ' not.' +
		(COW_FORKS.length > COW_BARS ? ' The first ' + COW_BARS + ' are shown.' : '');
	byId('cow-pick').hidden = byId('cow-bars').hidden = !COW_FORKS.length;
	if (!COW_FORKS.length)
		return;
	const choice = byId('cow-fork');
	if (!choice.options.length) {
		choice.append(...COW_FORKS.map((f, i) => el('option', { value: i }, 'fork ' + f.id + ', child ' + (f.child_pid || '?'))));
		const most = COW_FORKS.reduce((best, f, i) => (f.parent_broke || 0) + (f.child_broke || 0) > (COW_FORKS[best].parent_broke || 0) + (COW_FORKS[best].child_broke || 0) ? i : best, 0);
		choice.value = String(most);
		choice.addEventListener('change', () => drawCowTime(COW_FORKS[Number(choice.value)]));
	}
	drawCowBars();
	legend('cow-legend', [['rss', 'broken by the parent'], ['hit', 'by both'], ['heap', 'by the child'], ['other', 'not broken']].map(([c, text]) => [cssColour(c), text, text]));
	drawCowTime(COW_FORKS[Number(choice.value)]);
}
