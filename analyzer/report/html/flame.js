/* flame.js - the flame graph: a canvas, so that 10,000 stacks are drawn at
 * once; boxes too narrow to see are left out.
 *
 * The stacks of the process are merged by function into one tree, outermost
 * at the top.  A measure is a column of the sites; it is summed anew when it
 * changes, the tree stays.
 */
const MEASURES = [
	['peak_bytes', 'Peak', size, 'held when the process was at its highest'],
	['live_bytes', 'Not freed', size, 'not freed at the end'],
	['alloc_bytes', 'Allocated', size, 'allocated in all'],
	['temporary_blocks', 'Temporary', n => plural(n, 'block', 'blocks'), 'blocks freed by the next event of their thread'],
];
const ROW = 19, MIN_BOX = 0.6, MIN_TEXT = 28;

function newNode(parent, name, module, depth) {
	return { parent, name, module, depth, label: shortName(name), children: new Map(), sorted: [], value: 0, self: 0,
		sites: [], x: 0, w: 0 };
}

/* Merges the stacks of a process into one tree. */
function flameTree(process) {
	const root = newNode(null, 'all', '', 0), nodes = DATA.table.nodes, frames = DATA.table.frames;
	const made = new Map();

	function child(parent, frame) {
		const key = frame < 0 ? frame : frames[frame * FRAME_WIDTH] * 2097152 + frames[frame * FRAME_WIDTH + 3];
		let node = parent.children.get(key);
		if (!node) {
			const f = frame === -1 ? { name: '(stack not captured)', module: '' }
				: frame === -2 ? { name: '(stack cut here)', module: '' } : frameOf(frame);
			node = newNode(parent, f.name, f.module, parent.depth + 1);
			parent.children.set(key, node);
		}
		return node;
	}
	/* The tree's node of a stack node; cut stacks hang under a node of their own. */
	function place(node, cut) {
		if (node < 0)
			return cut ? child(root, -2) : root;
		const key = 2 * node + (cut ? 1 : 0);
		let at = made.get(key);
		if (!at) {
			at = child(place(nodes[2 * node], cut), nodes[2 * node + 1]);
			made.set(key, at);
		}
		return at;
	}
	for (const row of sitesOf(process)) {
		const node = SITES.get(row, 'node');
		(node < 0 ? child(root, -1) : place(node, SITES.get(row, 'truncated') === 1)).sites.push(row);
	}
	return root;
}

/* Sums a measure over the tree and orders the children by it. */
function flameSum(node, measure) {
	node.self = 0;
	for (const row of node.sites)
		node.self += SITES.get(row, measure);
	node.value = node.self;
	for (const c of node.children.values())
		node.value += flameSum(c, measure);
	node.sorted = [...node.children.values()].filter(c => c.value > 0).sort((a, b) => b.value - a.value);
	return node.value;
}

class Flame {
	constructor() {
		this.canvas = el('canvas');
		this.box = byId('flame-box');
		this.box.append(this.canvas);
		this.measure = 0;
		this.search = null;
		show('flame-measure', ...MEASURES.map((m, i) => el('button', { type: 'button', title: m[3], 'aria-pressed': 'false',
			onclick: () => this.setMeasure(i) }, m[1])));
		this.canvas.addEventListener('click', e => this.zoom(this.at(e)));
		this.canvas.addEventListener('mousemove', e => this.point(this.at(e)));
		this.canvas.addEventListener('mouseleave', () => this.point(this.selected));
		this.box.addEventListener('keydown', e => this.key(e));
		byId('flame-reset').addEventListener('click', () => this.zoom(this.root));
		byId('flame-search').addEventListener('input', e => this.find(e.target.value));
	}

	setProcess(process) {
		this.root = flameTree(process);
		this.focus = this.selected = this.root;
		this.colourModules(process);
		this.setMeasure(this.measure);
	}

	setMeasure(i) {
		this.measure = i;
		[...byId('flame-measure').children].forEach((b, k) => b.setAttribute('aria-pressed', String(k === i)));
		flameSum(this.root, MEASURES[i][0]);
		while (this.focus.parent && this.focus.value === 0)
			this.focus = this.focus.parent;
		this.selected = this.focus;
		this.find(byId('flame-search').value);
	}

	/* The modules that allocated most get colours of their own. */
	colourModules(process) {
		flameSum(this.root, 'alloc_bytes');
		const weight = new Map(), visit = n => {
			if (n.parent)
				weight.set(n.module, (weight.get(n.module) || 0) + n.value);
			n.sorted.forEach(visit);
		};
		visit(this.root);
		const order = [...weight].sort((a, b) => b[1] - a[1]).map(e => e[0]);
		this.modules = order;
		this.moduleIndex = new Map(order.map((m, i) => [m, i]));
		this.legend();
	}

	legend() {
		const entries = this.modules.slice(0, HUES.length).map((m, i) => [hue(i), baseName(m) || 'no module', m]);
		if (this.modules.length > HUES.length)
			entries.push([cssColour('other'), plural(this.modules.length - HUES.length, 'other module', 'other modules')]);
		legend('flame-legend', entries);
	}

	matches(node) {
		const s = this.search;
		return node.parent !== null && (node.name.toLowerCase().includes(s) || node.module.toLowerCase().includes(s) ||
			node.sites.some(row => { const f = stackOf(SITES.get(row, 'node'))[0]; return f && f.file.toLowerCase().includes(s); }));
	}

	find(text) {
		this.search = text.trim().toLowerCase() || null;
		let found = 0, value = 0;
		const visit = (n, covered) => {
			n.hit = this.search !== null && this.matches(n);
			found += n.hit;
			value += n.hit && !covered ? n.value : 0;
			n.sorted.forEach(c => visit(c, covered || n.hit));
		};
		visit(this.root, false);
		byId('flame-found').textContent = this.search === null ? ''
			: found ? plural(found, 'place', 'places') + ', ' + percent(value, this.root.value) : 'nothing found';
		this.draw();
	}

	zoom(node) {
		if (!node)
			return;
		this.focus = this.selected = node;
		this.draw();
	}

	/* Boxes: the callers of the focus over the whole width, then its part. */
	layout(width) {
		const boxes = [], above = [];
		for (let n = this.focus.parent; n; n = n.parent)
			above.unshift(n);
		above.forEach(n => { n.x = 0; n.w = width; boxes.push(n); });
		const visit = (n, x, w) => {
			n.x = x;
			n.w = w;
			boxes.push(n);
			for (const c of n.sorted) {
				const part = w * c.value / n.value;
				if (part < MIN_BOX)
					break;
				visit(c, x, part);
				x += part;
			}
		};
		if (this.focus.value > 0)
			visit(this.focus, 0, width);
		return boxes;
	}

	draw() {
		const width = Math.max(200, this.box.clientWidth - 16), format = MEASURES[this.measure][2];
		this.boxes = this.layout(width);
		const depth = this.boxes.reduce((d, n) => Math.max(d, n.depth), 0);
		const scale = window.devicePixelRatio || 1, height = (depth + 1) * ROW;
		this.canvas.width = width * scale;
		this.canvas.height = height * scale;
		this.canvas.style.width = width + 'px';
		this.canvas.style.height = height + 'px';
		const g = this.canvas.getContext('2d');
		g.scale(scale, scale);
		g.font = '12px system-ui, "DejaVu Sans", sans-serif';
		g.textBaseline = 'middle';
		const paint = { ink: cssColour('box-ink'), root: cssColour('soft'), rootInk: cssColour('ink'),
			hit: cssColour('hit'), edge: cssColour('ink') };
		for (const n of this.boxes)
			this.drawBox(g, n, paint);
		if (!this.boxes.length) {
			g.fillStyle = cssColour('quiet');
			g.fillText('Nothing here: no ' + MEASURES[this.measure][3] + '.', 4, ROW / 2);
		}
		this.describe(this.selected, format);
		byId('flame-reset').disabled = this.focus === this.root;
		this.drawPath();
	}

	drawBox(g, n, paint) {
		const y = n.depth * ROW, w = Math.max(n.w - 0.7, 0.5);
		g.globalAlpha = this.search !== null && !n.hit && n.parent ? 0.32 : n.depth < this.focus.depth ? 0.55 : 1;
		g.fillStyle = !n.parent ? paint.root : n.hit ? paint.hit : hue(this.moduleIndex.get(n.module));
		g.fillRect(n.x, y, w, ROW - 1);
		g.globalAlpha = 1;
		if (n === this.selected) {
			g.strokeStyle = paint.edge;
			g.lineWidth = 2;
			g.strokeRect(n.x + 1, y + 1, Math.max(w - 2, 1), ROW - 3);
		}
		if (n.w < MIN_TEXT)
			return;
		g.fillStyle = !n.parent ? paint.rootInk : n.hit ? cssColour('paper') : paint.ink;
		const text = n.parent ? n.label : 'all: ' + MEASURES[this.measure][2](n.value) + ' ' + MEASURES[this.measure][3];
		g.save();
		g.beginPath();
		g.rect(n.x + 4, y, w - 6, ROW);
		g.clip();
		g.fillText(fit(g, text, w - 8), n.x + 4, y + ROW / 2);
		g.restore();
	}

	drawPath() {
		const parts = [];
		for (let n = this.focus; n; n = n.parent) {
			const node = n;
			parts.unshift(el('button', { type: 'button', onclick: () => this.zoom(node) }, n.parent ? n.label : 'all'));
			if (n.parent)
				parts.unshift(' \u203a ');
		}
		show('flame-path', ...(this.focus.parent ? parts : []));
	}

	at(event) {
		const r = this.canvas.getBoundingClientRect(), x = event.clientX - r.left;
		const depth = Math.floor((event.clientY - r.top) / ROW);
		return this.boxes.find(n => n.depth === depth && x >= n.x && x < n.x + Math.max(n.w, 1)) || null;
	}

	point(node) {
		this.describe(node || this.selected, MEASURES[this.measure][2]);
	}

	describe(n, format) {
		const parts = [(n.parent ? n.name : 'all') + ': ' + format(n.value), percent(n.value, this.root.value) + ' of all'];
		if (n.self && n.children.size)
			parts.push(format(n.self) + ' by itself');
		if (n.module)
			parts.push(baseName(n.module));
		byId('flame-status').textContent = parts.join(', ');
	}

	key(e) {
		const s = this.selected, siblings = s.parent ? s.parent.sorted : [s], i = siblings.indexOf(s);
		const to = { ArrowUp: s.parent, ArrowDown: s.sorted[0], ArrowLeft: siblings[i - 1], ArrowRight: siblings[i + 1] }[e.key];
		if (e.key === 'Enter')
			this.zoom(s);
		else if (e.key === 'Escape' || e.key === 'Backspace')
			this.zoom(this.focus.parent || this.root);
		else if (to)
			this.select(to);
		else if (!e.key.startsWith('Arrow'))
			return;
		e.preventDefault();
	}

	/* Moving out of what is shown takes the picture along. */
	select(node) {
		this.selected = node;
		if (node.depth < this.focus.depth)
			this.focus = node;
		this.draw();
	}
}

function fit(g, text, width) {
	if (g.measureText(text).width <= width)
		return text;
	let n = Math.floor(text.length * width / g.measureText(text).width);
	while (n > 1 && g.measureText(text.slice(0, n) + '\u2026').width > width)
		n--;
	return n > 1 ? text.slice(0, n) + '\u2026' : '';
}
