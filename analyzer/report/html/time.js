/* time.js - memory over time: the live heap of the process, stacked by the
 * sites that held most, what the kernel said was resident, and how far it is
 * to the nearest limit.
 */
const TIME_BOX = { left: 76, right: 20, top: 12, bottom: 30 };

/* Value of a series at a time: that of its bucket; 0 outside. */
function seriesAt(s, t, what) {
	const i = Math.floor((t - s.start_ns) / s.bucket_ns);
	return i < 0 ? 0 : i < s[what].length ? s[what][i] : s[what].length ? s.last[s.last.length - 1] : 0;
}

function samplesOf(process) {
	const table = flat(DATA.time.samples), points = [];
	for (let i = 0; i < table.n; i++)
		if (table.get(i, 'process') === process && table.get(i, 'rss') !== null)
			points.push({ t: table.get(i, 't_ns'), rss: table.get(i, 'rss') });
	return points;
}

function seconds(s) {
	return s === null || s > 1e9 ? 'never' : duration(s * 1e9);
}

function limitText(r) {
	const amount = n => r.areas ? count(n) + ' areas' : size(n), parts = [];
	parts.push('Nearest limit: ' + r.limit + ', ' + amount(r.limit_bytes) + '; ' + amount(r.headroom_bytes) + ' left.');
	if (r.per_s !== null)
		parts.push('At this pace it is reached in ' + seconds(r.point_s) + ' (' + seconds(r.low_s) + ' to ' + seconds(r.high_s) + ').');
	parts.push('Risk of running out: ' + r.verdict + (r.reasons.length ? ' (' + r.reasons.join('; ') + ').' : '.'));
	return parts.join(' ');
}

class TimeChart {
	setProcess(id) {
		const p = PROCESS.get(id);
		this.process = p;
		const all = DATA.time.series.filter(s => s.process === id);
		this.total = all.find(s => s.node === null);
		this.sites = all.filter(s => s.node !== null).sort((a, b) => Math.max(...b.max) - Math.max(...a.max));
		this.samples = p ? samplesOf(id) : [];
		this.risk = RISK.get(id);
		byId('time-limit').textContent = this.risk ? limitText(this.risk) : '';
		this.draw();
	}

	/* The times at which values are shown. */
	times() {
		const s = this.total, end = this.process.end_ns || DATA.capture.duration_ns, at = [];
		for (let i = 0; i < s.max.length; i++)
			at.push(s.start_ns + i * s.bucket_ns);
		if (at.length && end > at[at.length - 1])
			at.push(end);
		return at;
	}

	draw() {
		show('time-legend');
		show('time-chart');
		byId('time-status').textContent = '';
		if (!this.process || !this.total || !this.total.max.length) {
			show('time-chart', el('p', { class: 'quiet' }, this.process ? 'No series was kept of this process: it was too short or too small.'
				: 'Each process has an address space of its own: choose one above to see it over time.'));
			return;
		}
		const width = roomIn('time'), height = 300, near = this.limitIsNear(), end = this.lastTime(near);
		const top = Math.max(this.process.peak_bytes, ...this.samples.map(s => s.rss), near ? this.risk.limit_bytes : 0, 1) * 1.06;
		const c = chartFrame(width, height, TIME_BOX, end, top, 'Heap and resident memory over time');
		this.chart = c;
		this.drawSites(c);
		this.drawLines(c);
		this.drawPeak(c, width);
		if (near)
			this.drawLimit(c, width, end);
		this.cursor = svg('line', { class: 'axis', y1: TIME_BOX.top, y2: height - TIME_BOX.bottom, visibility: 'hidden' });
		c.root.append(this.cursor);
		c.root.addEventListener('mousemove', e => this.point(e, width, end));
		c.root.addEventListener('mouseleave', () => this.point(null));
		show('time-chart', c.root);
		this.drawLegend();
	}

	/* A limit far above all would press the rest flat: it is told in words. */
	limitIsNear() {
		const r = this.risk, most = Math.max(this.process.peak_bytes, ...this.samples.map(s => s.rss));
		return r && !r.areas && r.limit_bytes < 20 * most && (r.per_s !== null || r.headroom_bytes < 0.75 * r.limit_bytes);
	}

	/* Room for the projection, at most as wide as three times the recording. */
	lastTime(near) {
		const end = DATA.capture.duration_ns, r = this.risk;
		if (!near || r.per_s === null)
			return end;
		return Math.max(end, r.usage[r.usage.length - 2] * 1e9 + Math.min(3 * end, r.point_s * 1e9));
	}

	drawLimit(c, width, end) {
		const r = this.risk, points = [], colour = cssColour('limit'), y = c.y(r.limit_bytes);
		for (let i = 0; i < r.usage.length; i += 2)
			points.push(c.x(r.usage[i] * 1e9) + ' ' + c.y(r.usage[i + 1]));
		const line = (d, dashes) => c.root.append(svg('path', { d: d, fill: 'none', stroke: colour, 'stroke-width': 1.6, 'stroke-dasharray': dashes }));
		line('M' + TIME_BOX.left + ' ' + y + 'H' + (width - TIME_BOX.right), null);
		c.root.append(svg('text', { x: TIME_BOX.left + 6, y: y + 14, style: 'fill:' + colour }, 'limit ' + size(r.limit_bytes)));
		if (points.length > 1)
			line('M' + points.join('L'), '2 2');
		if (r.per_s === null)
			return;
		const from = r.usage[r.usage.length - 2], to = end / 1e9;
		line('M' + c.x(from * 1e9) + ' ' + c.y(r.level) + 'L' + c.x(end) + ' ' + c.y(Math.min(r.limit_bytes, r.level + r.per_s * (to - from))), '8 5');
	}

	drawSites(c) {
		const times = this.times(), below = times.map(() => 0);
		this.sites.forEach((s, k) => {
			const upper = times.map((t, i) => Math.min(below[i] + seriesAt(s, t, 'last'), seriesAt(this.total, t, 'max')));
			const d = 'M' + times.map((t, i) => c.x(t) + ' ' + c.y(upper[i])).join('L') + 'L' +
				times.map((t, i) => c.x(t) + ' ' + c.y(below[i])).reverse().join('L') + 'Z';
			c.root.append(svg('path', { d: d, fill: hue(k), opacity: 0.85 }));
			upper.forEach((v, i) => { below[i] = v; });
		});
		const d = 'M' + times.map((t, i) => c.x(t) + ' ' + c.y(seriesAt(this.total, t, 'last'))).join('L') + 'L' +
			times.map((t, i) => c.x(t) + ' ' + c.y(below[i])).reverse().join('L') + 'Z';
		c.root.append(svg('path', { d: d, fill: cssColour('other'), opacity: 0.45 }));
	}

	drawLines(c) {
		const times = this.times();
		c.root.append(svg('path', { d: 'M' + times.map(t => c.x(t) + ' ' + c.y(seriesAt(this.total, t, 'max'))).join('L'),
			fill: 'none', stroke: cssColour('heap'), 'stroke-width': 1.8, 'stroke-linejoin': 'round' }));
		if (this.samples.length > 1)
			c.root.append(svg('path', { d: 'M' + this.samples.map(s => c.x(s.t) + ' ' + c.y(s.rss)).join('L'), fill: 'none',
				stroke: cssColour('rss'), 'stroke-width': 1.8, 'stroke-dasharray': '5 3' }));
		for (const s of this.samples.length > 60 ? [] : this.samples)
			c.root.append(svg('circle', { cx: c.x(s.t), cy: c.y(s.rss), r: 2.5, fill: cssColour('rss') }));
	}

	drawPeak(c, width) {
		const p = this.process, x = c.x(p.peak_ns), right = x > width - 220;
		c.root.append(svg('circle', { cx: x, cy: c.y(p.peak_bytes), r: 4, fill: cssColour('card'), stroke: cssColour('heap'),
			'stroke-width': 2 }));
		c.root.append(svg('text', { x: x + (right ? -9 : 9), y: c.y(p.peak_bytes) - 5, 'text-anchor': right ? 'end' : 'start',
			style: 'fill:' + cssColour('ink') + ';font-weight:600' }, 'peak ' + size(p.peak_bytes)));
	}

	drawLegend() {
		const entries = [[cssColour('heap'), 'live heap']];
		if (this.samples.length)
			entries.push([cssColour('rss'), 'resident (as the kernel says)']);
		if (this.limitIsNear())
			entries.push([cssColour('limit'), 'the limit, what counts towards it, and how that goes on']);
		this.sites.forEach((s, k) => {
			const f = stackOf(s.node)[0];
			entries.push([hue(k), f ? shortName(f.name) : '(stack not captured)', f ? f.name : null]);
		});
		entries.push([cssColour('other'), 'other sites']);
		legend('time-legend', entries);
	}

	point(e, width, end) {
		this.cursor.setAttribute('visibility', e ? 'visible' : 'hidden');
		byId('time-status').textContent = '';
		if (!e)
			return;
		const r = this.chart.root.getBoundingClientRect(), inner = width - TIME_BOX.left - TIME_BOX.right;
		const t = Math.max(0, Math.min(1, ((e.clientX - r.left) * width / r.width - TIME_BOX.left) / inner)) * end;
		this.cursor.setAttribute('x1', this.chart.x(t));
		this.cursor.setAttribute('x2', this.chart.x(t));
		const parts = [duration(t), 'heap ' + size(seriesAt(this.total, t, 'last'))];
		const near = this.samples.filter(s => s.t <= t).pop();
		if (near)
			parts.push('resident ' + size(near.rss) + ' (seen at ' + duration(near.t) + ')');
		this.sites.slice(0, 3).forEach(s => {
			const f = stackOf(s.node)[0], v = seriesAt(s, t, 'last');
			if (f && v)
				parts.push(shortName(f.name) + ' ' + size(v));
		});
		byId('time-status').textContent = parts.join(', ');
	}
}
