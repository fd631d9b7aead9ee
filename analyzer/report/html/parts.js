/* parts.js - pieces that several parts of the page are built of: elements,
 * scales, legends, stacks, tables that sort and grow.
 */
const SVG = 'http://www.w3.org/2000/svg';

function fill(e, attributes, children) {
	for (const [key, value] of Object.entries(attributes || {}))
		if (key.startsWith('on'))
			e.addEventListener(key.slice(2), value);
		else if (value !== null && value !== undefined && value !== false)
			e.setAttribute(key, value === true ? '' : value);
	for (const child of children)
		if (child !== null && child !== undefined)
			e.append(child);
	return e;
}

function el(name, attributes, ...children) {
	return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
	return fill(document.createElementNS(SVG, name), attributes, children);
}

function byId(id) {
	return document.getElementById(id);
}

function show(id, ...children) {
	byId(id).replaceChildren(...children.filter(c => c !== null && c !== undefined));
}

/* Width for a picture in a part of the page, inside the card's edge. */
function roomIn(id) {
	return Math.max(320, byId(id).clientWidth - 18);
}

function empty(text) {
	return el('p', { class: 'empty' }, text);
}

function cssColour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
}

function isDark() {
	return document.documentElement.dataset.theme === 'dark';
}

/* Colours that differ in hue and are of one lightness, so that the same dark
 * text is read on each of them. */
const HUES = [212, 28, 152, 330, 48, 262, 185, 0, 95, 300];

function hue(index, lightness) {
	if (index >= HUES.length)
		return cssColour('other');
	return 'hsl(' + HUES[index] + ' ' + (isDark() ? 52 : 66) + '% ' + (lightness || (isDark() ? 66 : 76)) + '%)';
}

function legend(id, entries) {
	show(id, ...entries.map(([colour, text, title]) =>
		el('span', { title: title }, el('i', { style: 'background:' + colour }), text)));
}

/* About n round steps from 0 to max; bytes go in powers of two. */
function ticks(max, n, bytes) {
	if (!(max > 0))
		return [0];
	const base = bytes ? 1024 : 10;
	let step = Math.pow(base, Math.floor(Math.log(max / n) / Math.log(base)));
	const factors = bytes ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
	step *= factors.find(f => max / (step * f) <= n) || base;
	const at = [];
	for (let v = 0; v <= max * 1.0001; v += step)
		at.push(v);
	return at;
}

/* A chart's frame: grid with sizes at the left and times below. */
function chartFrame(width, height, box, tMax, vMax, label) {
	const x = t => box.left + (width - box.left - box.right) * t / (tMax || 1);
	const y = v => height - box.bottom - (height - box.top - box.bottom) * v / (vMax || 1);
	const root = svg('svg', { viewBox: '0 0 ' + width + ' ' + height, role: 'img', 'aria-label': label });
	for (const v of ticks(vMax, 5, true)) {
		root.append(svg('line', { class: 'grid', x1: box.left, x2: width - box.right, y1: y(v), y2: y(v) }));
		root.append(svg('text', { x: box.left - 8, y: y(v) + 4, 'text-anchor': 'end' }, v ? size(v) : '0'));
	}
	for (const t of ticks(tMax, 8, false)) {
		root.append(svg('text', { x: x(t), y: height - box.bottom + 18, 'text-anchor': 'middle' }, t ? duration(t) : '0'));
		root.append(svg('line', { class: 'axis', x1: x(t), x2: x(t), y1: height - box.bottom, y2: height - box.bottom + 4 }));
	}
	return { root, x, y };
}

function frameLine(f) {
	const place = f.file ? f.file + (f.line ? ':' + f.line : '') : f.module ? '[' + baseName(f.module) + ']' : '';
	return el('li', null, f.name + ' ', el('span', { class: 'place', title: f.module },
		place + (f.inlined ? ' (inlined)' : '') + (f.guessed ? ' (guessed)' : '')));
}

function stackList(node, truncated) {
	const list = el('ol', { class: 'stack' }, ...stackOf(node).map(frameLine));
	if (truncated)
		list.append(el('li', { class: 'place' }, '... the stack was cut here'));
	return list;
}

/* A stack as one line that opens to the whole of it, and to a sentence. */
function stackFold(node, truncated, sentence) {
	const frames = stackOf(node);
	if (!frames.length)
		return el('span', { class: 'quiet' }, '(stack not captured)');
	const fold = el('details', null, el('summary', null, el('code', null, shortName(frames[0].name)),
		el('span', { class: 'tail mono' }, frames.slice(1, 4).map(f => ' \u2039 ' + shortName(f.name)).join(''))));
	fold.addEventListener('toggle', () => {
		if (fold.open && fold.children.length === 1)
			fold.append(...sentence ? [el('p', { class: 'why' }, sentence)] : [], stackList(node, truncated));
	});
	return fold;
}

/* A table that sorts by its heads and shows more rows when asked.
 * columns: [{title, key(row) to sort by, cell(row), n: is a number, down: the
 * largest key first although it is none}] */
function table(columns, rows, order, step) {
	let by = order, down = true, shown = step;
	const body = el('tbody'), more = el('p', { class: 'more-rows' });
	const heads = columns.map((c, i) => el('th', { class: c.n ? 'n' : null, scope: 'col' },
		c.key ? el('button', { type: 'button', onclick: () => sortBy(i) }, c.title) : c.title));

	function draw() {
		const key = columns[by].key;
		const sorted = rows.slice().sort((a, b) => {
			const ka = key(a), kb = key(b), less = ka < kb ? -1 : ka > kb ? 1 : 0;
			return down ? -less : less;
		});
		body.replaceChildren(...sorted.slice(0, shown).map(r => el('tr', { class: 'row' },
			...columns.map(c => el('td', { class: c.n ? 'n' : c.wide ? 'wide' : null }, c.cell(r))))));
		heads.forEach((h, i) => {
			if (i === by)
				h.setAttribute('aria-sort', down ? 'descending' : 'ascending');
			else
				h.removeAttribute('aria-sort');
		});
		more.replaceChildren();
		if (sorted.length > shown)
			more.append(el('button', { type: 'button', onclick: () => { shown += 10 * step; draw(); } }, 'Show more'),
				el('span', { class: 'quiet' }, ' ' + count(shown) + ' of ' + count(sorted.length) + ' are shown'));
	}
	function sortBy(i) {
		down = by === i ? !down : !!(columns[i].n || columns[i].down);
		by = i;
		draw();
	}
	draw();
	return el('div', { class: 'scroll' }, el('table', null, el('thead', null, el('tr', null, ...heads)), body), more);
}

/* One bar of several parts: [[value, colour, title]]. */
function partsBar(parts, whole) {
	return el('span', { class: 'bar-track' }, ...parts.map(([value, colour, title]) =>
		el('i', { style: 'width:' + (whole ? 100 * value / whole : 0) + '%;background:' + colour, title: title })));
}
