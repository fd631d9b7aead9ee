/* space.js - the address space: areas by address, each with how much of it is
 * in memory, and what was in memory over time.
 *
 * The gaps between areas are huge; the picture leaves them out and gives each
 * area a width by the square root of its size, so that small ones are seen.
 */
const PAGE = 4096;
const STATES = [['present', 'heap', 'in memory'], ['zero', 'limit', 'read, never written'], ['swapped', 'rss', 'swapped out']];

function areasOf(process) {
	const rows = [];
	for (let i = 0; i < AREAS.n; i++)
		if (AREAS.get(i, 'process') === process)
			rows.push(i);
	return rows;
}

function areaName(row) {
	const name = TEXTS[AREAS.get(row, 'name')], kind = TEXTS[AREAS.get(row, 'kind')];
	return name ? (name.startsWith('[') ? name : baseName(name)) : kind;
}

function areaBytes(row) {
	return (AREAS.get(row, 'end') - AREAS.get(row, 'start')) * PAGE;
}

function pagesText(row, what) {
	const n = AREAS.get(row, what);
	return n < 0 ? 'not known' : size(n * PAGE);
}

class SpacePicture {
	setProcess(id) {
		this.rows = areasOf(id);
		this.id = id;
		this.draw();
	}

	draw() {
		for (const part of ['picture', 'legend', 'time', 'table'])
			show('space-' + part);
		byId('space-status').textContent = '';
		if (!this.id || !this.rows.length) {
			byId('space-about').textContent = '';
			show('space-table', empty(!this.id ? 'Each process has an address space of its own: choose one above.'
				: 'The address space of this process was not looked at.'));
			return;
		}
		this.live = this.rows.filter(r => AREAS.get(r, 'died_ns') < 0);
		const bytes = this.live.reduce((sum, r) => sum + areaBytes(r), 0);
		const present = this.live.reduce((sum, r) => sum + Math.max(0, AREAS.get(r, 'present')), 0) * PAGE;
		byId('space-about').textContent = plural(this.live.length, 'area', 'areas') + ' of ' + size(bytes) +
			' at the last look, ' + size(present) + ' of it in memory. Areas stand in the order of their addresses; ' +
			'the gaps between them are left out, and widths grow with the square root of the size.';
		this.drawPicture();
		this.drawTime();
		this.drawTable();
	}

	drawPicture() {
		const width = roomIn('space'), rows = this.live.filter(r => TEXTS[AREAS.get(r, 'perms')] !== '---p');
		const weight = r => Math.sqrt(areaBytes(r)), whole = rows.reduce((s, r) => s + weight(r), 0);
		const perLine = whole / Math.max(1, Math.min(4, Math.ceil(rows.length / 18))), height = 46;
		const lines = [];
		let used = perLine;
		for (const r of rows) {
			if (used + weight(r) / 2 >= perLine && lines.length < 4) {
				lines.push([]);
				used = 0;
			}
			lines[lines.length - 1].push(r);
			used += weight(r);
		}
		const root = svg('svg', { viewBox: '0 0 ' + width + ' ' + lines.length * (height + 18), role: 'img',
			'aria-label': 'Areas of the address space' });
		lines.forEach((line, k) => this.drawLine(root, line, k * (height + 18), width, height));
		show('space-picture', root);
		legend('space-legend', STATES.map(s => [cssColour(s[1]), s[2]]).concat([[cssColour('soft'), 'never touched, or given back']]));
	}

	drawLine(root, line, y, width, height) {
		const weight = r => Math.sqrt(areaBytes(r)), whole = line.reduce((s, r) => s + weight(r), 0);
		let x = 0;
		for (const r of line) {
			const w = width * weight(r) / whole, pages = AREAS.get(r, 'end') - AREAS.get(r, 'start');
			const box = svg('g', { onmouseenter: () => this.tell(r) });
			box.append(svg('rect', { x: x, y: y, width: Math.max(w - 1, 0.5), height: height, fill: cssColour('soft'), stroke: cssColour('line') }));
			let level = y + height;
			for (const [what, colour] of STATES) {
				const part = height * Math.max(0, AREAS.get(r, what)) / pages;
				level -= part;
				if (part > 0)
					box.append(svg('rect', { x: x, y: level, width: Math.max(w - 1, 0.5), height: part, fill: cssColour(colour), opacity: 0.75 }));
			}
			const name = areaName(r);
			if (w > 9 + 6.6 * Math.min(name.length, 9))
				box.append(svg('text', { x: x + 2, y: y + height + 13 }, name.length * 6.6 < w ? name : name.slice(0, Math.max(3, Math.floor(w / 6.8) - 1)) + '\u2026'));
			root.append(box);
			x += w;
		}
	}

	tell(r) {
		byId('space-status').textContent = '0x' + (AREAS.get(r, 'start') * PAGE).toString(16) + '-0x' +
			(AREAS.get(r, 'end') * PAGE).toString(16) + ' ' + TEXTS[AREAS.get(r, 'perms')] + ' ' + areaName(r) + ': ' +
			size(areaBytes(r)) + ', in memory ' + pagesText(r, 'present') + ', touched ' + pagesText(r, 'touched');
	}

	/* What was in memory at each look at the pages. */
	drawTime() {
		const table = flat(DATA.time.scans), looks = [];
		for (let i = 0; i < table.n; i++)
			if (table.get(i, 'process') === this.id)
				looks.push(i);
		if (looks.length < 2)
			return;
		const width = roomIn('space'), height = 180, end = DATA.capture.duration_ns;
		const sum = i => table.get(i, 'present') + table.get(i, 'zero') + table.get(i, 'swapped');
		const c = chartFrame(width, height, TIME_BOX, end, Math.max(...looks.map(sum)) * PAGE * 1.06, 'Pages in memory over time');
		const below = looks.map(() => 0);
		for (const [what, colour] of STATES) {
			const upper = looks.map((i, k) => below[k] + table.get(i, what) * PAGE);
			c.root.append(svg('path', { d: 'M' + looks.map((i, k) => c.x(table.get(i, 't_ns')) + ' ' + c.y(upper[k])).join('L') + 'L' +
				looks.map((i, k) => c.x(table.get(i, 't_ns')) + ' ' + c.y(below[k])).reverse().join('L') + 'Z',
			fill: cssColour(colour), opacity: 0.6 }));
			upper.forEach((v, k) => { below[k] = v; });
		}
		show('space-time', c.root);
	}

	drawTable() {
		const columns = [
			{ title: 'Size', n: true, key: areaBytes, cell: r => size(areaBytes(r)) },
			{ title: 'In memory', n: true, key: r => AREAS.get(r, 'present'), cell: r => pagesText(r, 'present') },
			{ title: 'Touched', n: true, key: r => AREAS.get(r, 'touched'), cell: r => pagesText(r, 'touched') },
			{ title: 'Swapped', n: true, key: r => AREAS.get(r, 'swapped'), cell: r => pagesText(r, 'swapped') },
			{ title: 'Access', key: r => TEXTS[AREAS.get(r, 'perms')], cell: r => el('code', null, TEXTS[AREAS.get(r, 'perms')]) },
			{ title: 'Kind', key: r => TEXTS[AREAS.get(r, 'kind')], cell: r => TEXTS[AREAS.get(r, 'kind')] },
			{ title: 'Area, and who mapped it', wide: true, key: r => AREAS.get(r, 'start'), cell: r => el('div', null,
				el('code', null, '0x' + (AREAS.get(r, 'start') * PAGE).toString(16)), ' ' + (TEXTS[AREAS.get(r, 'name')] || ''),
				AREAS.get(r, 'node') >= 0 ? stackFold(AREAS.get(r, 'node')) : null) },
			{ title: 'Life', n: true, key: r => AREAS.get(r, 'born_ns'), cell: r => AREAS.get(r, 'died_ns') < 0 ? 'from ' + duration(AREAS.get(r, 'born_ns'))
				: duration(AREAS.get(r, 'born_ns')) + ' to ' + duration(AREAS.get(r, 'died_ns')) },
		];
		show('space-table', table(columns, this.rows, 0, 10));
		if (AREAS.n < DATA.areas.all)
			byId('space-table').append(el('p', { class: 'quiet' }, 'The ' + count(AREAS.n) + ' largest of ' + count(DATA.areas.all) + ' areas are in this page.'));
	}
}
