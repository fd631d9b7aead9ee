/* data.js - the data of the page, and how numbers are written.
 *
 * Texts of the recording only ever become text nodes: nothing here is parsed
 * as HTML.
 */
'use strict';
const DATA = JSON.parse(document.getElementById('data').textContent);
const TEXTS = DATA.table.texts;
const FRAME_WIDTH = 5, INLINED = 1, GUESSED = 2;

/* Columns of a flat table by name, and its number of rows. */
function flat(part) {
	const at = {};
	part.columns.forEach((name, i) => { at[name] = i; });
	const width = part.columns.length;
	return { n: part.data.length / width, get: (row, name) => part.data[row * width + at[name]] };
}

const SITES = flat(DATA.sites);
const AREAS = flat(DATA.areas);
const RISK = new Map(DATA.risks.map(r => [r.process, r]));
const PROCESS = new Map(DATA.processes.map(p => [p.id, p]));

function frameOf(id) {
	const f = DATA.table.frames, at = id * FRAME_WIDTH;
	return { name: TEXTS[f[at]], file: TEXTS[f[at + 1]], line: f[at + 2], module: TEXTS[f[at + 3]],
		inlined: (f[at + 4] & INLINED) !== 0, guessed: (f[at + 4] & GUESSED) !== 0 };
}

/* Frames of a stack by its node, innermost first. */
function stackOf(node) {
	const frames = [];
	for (; node >= 0; node = DATA.table.nodes[2 * node])
		frames.push(frameOf(DATA.table.nodes[2 * node + 1]));
	return frames;
}

/* The rows of one process, or of all (0). */
function sitesOf(process) {
	const rows = [];
	for (let i = 0; i < SITES.n; i++)
		if (!process || SITES.get(i, 'process') === process)
			rows.push(i);
	return rows;
}

/* A sum of processes has no pid. */
function pidOf(p) {
	return p.merged ? '\u00d7' + count(p.merged) : String(p.pid);
}

function whoIs(p) {
	return pidOf(p) + ' ' + baseName(p.exe);
}

function baseName(path) {
	return path ? path.slice(path.lastIndexOf('/') + 1) : '';
}

/* Without what stands between outermost brackets: for labels. */
function shortName(name) {
	let out = '', depth = 0;
	if (name.startsWith('operator') || name.includes('operator<') || name.includes('operator('))
		return name;
	for (const c of name) {
		if (c === ')' || c === '>')
			depth = Math.max(0, depth - 1);
		if (depth === 0 && c !== ')' && c !== '>')
			out += c === '(' || c === '<' ? '' : c;
		if (c === '(' || c === '<')
			depth++;
	}
	return out || name;
}

function size(bytes) {
	if (bytes === null || bytes === undefined)
		return 'not known';
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
	let value = Math.abs(bytes), unit = 0;
	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	const sign = bytes < 0 ? '-' : '';
	return sign + (unit === 0 ? value : value < 9.995 ? value.toFixed(2) : value.toFixed(1)) + ' ' + units[unit];
}

function count(n) {
	return n === null || n === undefined ? 'not known' : String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

function plural(n, one, many) {
	return count(n) + ' ' + (n === 1 ? one : many);
}

function duration(ns) {
	if (ns === null || ns === undefined)
		return 'not known';
	if (ns < 1e3)
		return Math.round(ns) + ' ns';
	if (ns < 1e6)
		return (ns / 1e3).toFixed(1) + ' us';
	if (ns < 1e9)
		return (ns / 1e6).toFixed(1) + ' ms';
	if (ns < 119.5e9)
		return (ns / 1e9).toFixed(2) + ' s';
	if (ns < 7200e9)
		return Math.floor(ns / 60e9) + ' min ' + String(Math.floor(ns / 1e9) % 60).padStart(2, '0') + ' s';
	return Math.floor(ns / 3600e9) + ' h ' + String(Math.floor(ns / 60e9) % 60).padStart(2, '0') + ' min';
}

function percent(part, whole) {
	return whole ? (100 * part / whole).toFixed(1) + ' %' : '-';
}

const SIGNALS = { 1: 'HUP', 2: 'INT', 3: 'QUIT', 4: 'ILL', 5: 'TRAP', 6: 'ABRT', 7: 'BUS', 8: 'FPE', 9: 'KILL',
	10: 'USR1', 11: 'SEGV', 12: 'USR2', 13: 'PIPE', 14: 'ALRM', 15: 'TERM', 24: 'XCPU', 25: 'XFSZ', 31: 'SYS' };

function endOf(p) {
	switch (p.end) {
	case 'exit': return p.status === null ? 'exited, status not known' : 'exit status ' + p.status;
	case 'signal': return p.status === null ? 'killed by a signal' : 'killed by ' +
		(SIGNALS[p.status] ? 'SIG' + SIGNALS[p.status] : 'signal ' + p.status);
	case 'exec': return 'became another program';
	case 'running': return 'still running';
	default: return 'end not seen';
	}
}

function commandOf(p) {
	if (!p)
		return '(no process)';
	return p.argv.length ? p.argv.map(w => /^[\w@%+=:,./-]+$/.test(w) ? w : "'" + w.replace(/'/g, "'\\''") + "'").join(' ')
		: p.exe;
}
