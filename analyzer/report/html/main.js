/* main.js - fills the page: summary, what was not freed, processes and forks,
 * what was not seen; wires keys, theme and the choice of a process.
 */
const RECORDED = DATA.processes.filter(p => p.followed);
const MAIN = PROCESS.get(DATA.main) || null;
/* Strongest evidence first, as verdict.h. */
const CLASSES = ['leaking', 'lost', 'growing, reachable', 'unproven', 'start-up', 'exit noise'];
const REACH = ['definite', 'indirect', 'possible', 'reachable', 'unclassified'];
const LEFT_STEP = 20, FORKS_MAX = 5000; /* of html_forks.sql */
let flame, timeChart, space;

function figure(title, value, more) {
	return el('div', null, el('dt', null, title), el('dd', { class: 'value' }, value), el('dd', { class: 'more' }, more || ''));
}

function drawSummary() {
	const c = DATA.capture;
	document.title = 'mmscope: ' + commandOf(MAIN);
	byId('command').textContent = commandOf(MAIN);
	byId('about').textContent = [c.started && 'recorded ' + c.started, c.host && 'on ' + c.host, duration(c.duration_ns),
		plural(c.processes, 'process', 'processes'),
		c.mode === 'sample' ? 'sampled every ' + size(c.sample_bytes) + ': figures are estimates' : 'every block recorded']
		.filter(Boolean).join(', ').replace('every block recorded', DATA.coverage.lost_records ? 'every block, but records were lost' : 'every block recorded');
	const warning = { recording: 'Still recording: these are the figures of the last flush.',
		incomplete: 'The recording broke off: what happened after the last flush is missing.' }[c.state];
	byId('state').hidden = !warning;
	byId('state').textContent = warning || '';
	byId('foot').textContent = 'mmscope ' + (c.version || '') + ', from ' + c.file + (c.kernel ? ', ' + c.kernel : '');
}

function drawFigures(id) {
	const p = PROCESS.get(id), unseen = DATA.coverage.notes.length + (DATA.coverage.lost_records ? 1 : 0);
	const sum = key => RECORDED.reduce((n, q) => n + q[key], 0);
	const of = key => p ? p[key] : sum(key), rows = sitesOf(id);
	const temporary = rows.reduce((n, r) => n + SITES.get(r, 'temporary_blocks'), 0);
	show('figures',
		figure(p ? 'Heap at its highest' : 'Highest heaps added up', size(of('peak_bytes')), p ? duration(p.peak_ns) + ' after the start' : 'not at one moment'),
		figure('Not freed at the end', size(of('live_bytes')), plural(of('live_blocks'), 'block', 'blocks')),
		figure('Allocated in all', size(of('alloc_bytes')), plural(of('alloc_blocks'), 'block', 'blocks')),
		figure('Temporary', percent(temporary, of('alloc_blocks')), plural(temporary, 'block', 'blocks')),
		p ? figure('Resident at most', p.hiwater_rss === null ? 'not known' : size(p.hiwater_rss), 'when last looked at') : null,
		p ? figure('Ended', endOf(p), p.merged ? 'the sum of ' + plural(p.merged, 'process', 'processes') : 'pid ' + p.pid) : figure('Processes', count(DATA.capture.processes), count(RECORDED.length) + ' recorded'),
		p && RISK.has(p.id) ? figure('Risk of running out', RISK.get(p.id).verdict, 'see memory over time') : null,
		figure('Not seen', unseen ? plural(unseen, 'note', 'notes') : 'nothing', unseen ? 'see the end of the page' : 'no gap is known'));
}

function drawLeft(id) {
	const rows = sitesOf(id).filter(r => SITES.get(r, 'live_blocks') > 0);
	const classOf = r => TEXTS[SITES.get(r, 'class')], apart = r => classOf(r) === '';
	const whose = r => apart(r) ? TEXTS[SITES.get(r, 'own')] === 'target' ? 'kept by libc' : TEXTS[SITES.get(r, 'own')] : classOf(r);
	const rank = r => CLASSES.length - (apart(r) ? CLASSES.length : CLASSES.indexOf(classOf(r)));
	rows.sort((a, b) => SITES.get(b, 'live_bytes') - SITES.get(a, 'live_bytes'));
	const bytes = rows.reduce((n, r) => n + SITES.get(r, 'live_bytes'), 0), peak = Math.max(1, ...rows.map(r => SITES.get(r, 'live_bytes')));
	byId('left-about').textContent = rows.length ? size(bytes) + ' in ' + plural(rows.reduce((n, r) => n + SITES.get(r, 'live_blocks'), 0), 'block', 'blocks') +
		' of ' + plural(rows.length, 'site', 'sites') + '. ' + reachText(rows) : '';
	const columns = [
		{ title: 'At end', n: true, key: r => SITES.get(r, 'live_bytes'), cell: r => size(SITES.get(r, 'live_bytes')) },
		{ title: '', cell: r => partsBar([[SITES.get(r, 'live_bytes'), apart(r) ? cssColour('other') : cssColour('heap')]], peak) },
		{ title: 'Blocks', n: true, key: r => SITES.get(r, 'live_blocks'), cell: r => count(SITES.get(r, 'live_blocks')) },
		{ title: 'At peak', n: true, key: r => SITES.get(r, 'peak_bytes'), cell: r => size(SITES.get(r, 'peak_bytes')) },
		{ title: 'Allocated', n: true, key: r => SITES.get(r, 'alloc_bytes'), cell: r => size(SITES.get(r, 'alloc_bytes')) },
		{ title: 'What it is', down: true, key: rank, cell: whose },
		{ title: 'Allocated by', wide: true, cell: r => stackFold(SITES.get(r, 'node'), SITES.get(r, 'truncated') === 1, TEXTS[SITES.get(r, 'why')]) },
	];
	if (!id)
		columns.splice(6, 0, { title: 'Pid', n: true, key: r => SITES.get(r, 'process'), cell: r => pidOf(PROCESS.get(SITES.get(r, 'process'))) });
	show('left-table', rows.length ? table(columns, rows, 5, LEFT_STEP) : empty('Everything was freed.'));
}

/* Whether something still points to the blocks, in bytes by kind. */
function reachText(rows) {
	const sums = REACH.map(kind => [kind, rows.reduce((n, r) => n + SITES.get(r, kind + '_bytes'), 0)]).filter(([, n]) => n);
	if (sums.every(([kind]) => kind === 'unclassified'))
		return 'Whether something still points to them was not examined.';
	return sums.map(([kind, n]) => size(n) + ' ' + kind).join(', ') + '.';
}

/* Lives of the processes as bars, forks as marks on them. */
function drawLives() {
	const list = DATA.processes.slice(0, 60), width = roomIn('forks'), line = 22;
	const end = DATA.capture.duration_ns || 1, label = 210, x = t => label + (width - label - 8) * Math.min(1, t / end);
	const root = svg('svg', { viewBox: '0 0 ' + width + ' ' + (list.length * line + 24), role: 'img', 'aria-label': 'Lives of the processes' });
	const row = new Map(list.map((p, i) => [p.id, i]));
	list.forEach((p, i) => {
		const y = i * line + 4, failed = p.end === 'signal' || (p.end === 'exit' && p.status > 0);
		const name = whoIs(p);
		root.append(svg('text', { x: label - 10, y: y + 12, 'text-anchor': 'end', style: 'fill:' + cssColour('ink') }, name.length > 30 ? name.slice(0, 29) + '\u2026' : name));
		root.append(svg('rect', { x: x(p.begin_ns), y: y, width: Math.max(2, x(p.end_ns === null ? end : p.end_ns) - x(p.begin_ns)), height: line - 8, rx: 3,
			fill: cssColour(failed ? 'bad' : 'heap'), opacity: p.followed ? 0.8 : 0.3 }, svg('title', null, commandOf(p) + ': ' + endOf(p))));
	});
	for (const f of DATA.forks)
		if (row.has(f.parent) && row.has(f.child)) {
			const from = row.get(f.parent) * line + 11, to = row.get(f.child) * line + 4;
			root.append(svg('path', { d: 'M' + x(f.t_ns) + ' ' + from + 'V' + to, stroke: cssColour('ink'), fill: 'none', opacity: 0.6 }));
		}
	for (const t of ticks(end, 6, false))
		root.append(svg('text', { x: x(t), y: list.length * line + 18, 'text-anchor': t ? 'middle' : 'start' }, t ? duration(t) : '0'));
	show('forks-picture', root);
	if (DATA.processes.length > list.length)
		byId('forks-picture').append(el('p', { class: 'quiet' }, 'The first ' + list.length + ' of ' + count(DATA.processes.length) + ' processes.'));
}

function drawForks() {
	byId('forks-about').textContent = plural(DATA.processes.length, 'process', 'processes') + ', ' + plural(DATA.forks.length, 'fork', 'forks') + '.';
	drawLives();
	const columns = [
		{ title: 'Time', n: true, key: f => f.t_ns, cell: f => duration(f.t_ns) },
		{ title: 'Kind', key: f => f.kind, cell: f => f.kind },
		{ title: 'Parent', n: true, key: f => f.parent, cell: f => PROCESS.has(f.parent) ? pidOf(PROCESS.get(f.parent)) : '?' },
		{ title: 'Child', n: true, key: f => f.child_pid || 0, cell: f => f.child_pid || '?' },
		{ title: 'Parent paused', n: true, key: f => f.pause_ns, cell: f => duration(f.pause_ns) },
		{ title: 'Heap inherited', n: true, key: f => inherited(f), cell: f => f.child ? size(inherited(f)) : 'not known' },
		{ title: 'Child ended', key: f => f.child ? endOf(PROCESS.get(f.child)) : '', cell: f => f.child && PROCESS.has(f.child) ? endOf(PROCESS.get(f.child)) : 'not recorded' },
		{ title: 'Forked by', wide: true, cell: f => stackFold(f.node) },
	];
	if (DATA.forks.length === FORKS_MAX)
		byId('forks-about').textContent += ' Only the first ' + count(FORKS_MAX) + ' forks are in this page.';
	show('forks-table', DATA.forks.length ? table(columns, DATA.forks, 0, 10) : empty('Nothing forked.'));
}

function inherited(f) {
	const child = PROCESS.get(f.child);
	return child ? child.inherited_bytes : 0;
}

function drawUnseen() {
	const notes = DATA.coverage.notes.map(n => el('li', null, n.process ? whoIs(n.process) + ': ' : '',
		n.text, n.count > 1 ? ' (' + count(n.count) + ')' : ''));
	if (DATA.coverage.lost_records)
		notes.unshift(el('li', null, count(DATA.coverage.lost_records) + ' records were lost: every figure may be off by what they held.'));
	show('unseen-list', notes.length ? el('ul', null, ...notes) : empty('Nothing is known to be missing from this recording.'));
}

function chooseProcess(id) {
	drawFigures(id);
	timeChart.setProcess(id);
	flame.setProcess(id);
	drawLeft(id);
	space.setProcess(id);
}

function fillChoice() {
	const pick = byId('process'), many = RECORDED.length > 1;
	byId('pick-label').hidden = !many;
	const option = (value, text) => el('option', { value: value }, text);
	pick.append(...RECORDED.map(p => option(p.id, whoIs(p) + ' (' + p.begin + ', ' + size(p.peak_bytes) + ')')));
	if (many)
		pick.append(option(0, 'all processes'));
	const first = MAIN && MAIN.followed ? MAIN.id : RECORDED.length ? RECORDED[0].id : 0;
	pick.value = String(first);
	pick.addEventListener('change', () => chooseProcess(Number(pick.value)));
	return first;
}

function setTheme(name) {
	document.documentElement.dataset.theme = name;
}

function redraw() {
	flame.legend();
	flame.draw();
	timeChart.draw();
	space.draw();
	drawLeft(Number(byId('process').value));
	drawLives();
	drawCow();
}

function wire() {
	const dark = window.matchMedia('(prefers-color-scheme: dark)');
	dark.addEventListener('change', () => { setTheme(dark.matches ? 'dark' : 'light'); redraw(); });
	byId('theme').addEventListener('click', () => { setTheme(isDark() ? 'light' : 'dark'); redraw(); });
	document.addEventListener('keydown', e => {
		if (e.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) {
			e.preventDefault();
			byId('flame-search').focus();
		}
	});
	byId('flame-search').addEventListener('keydown', e => {
		if (e.key === 'Escape') {
			e.target.value = '';
			flame.find('');
			byId('flame-box').focus();
		}
	});
	let before = null;
	window.addEventListener('beforeprint', () => { before = document.documentElement.dataset.theme; setTheme('light'); redraw(); });
	window.addEventListener('afterprint', () => { setTheme(before); redraw(); });
	let width = window.innerWidth;
	window.addEventListener('resize', () => {
		if (window.innerWidth !== width) {
			width = window.innerWidth;
			redraw();
		}
	});
	return dark.matches ? 'dark' : 'light';
}

setTheme(wire());
flame = new Flame();
timeChart = new TimeChart();
space = new SpacePicture();
drawSummary();
chooseProcess(fillChoice());
drawForks();
drawCow();
drawUnseen();
