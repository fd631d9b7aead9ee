-- schema.sql - the database, version 4.  docs/data-model.md explains it.
--
-- Units: bytes; times in ns since the capture's start; addresses as signed
-- 64-bit integers (print with hex_address()).  A NULL says "not known".
-- Written by the collector alone, while recording in WAL mode; totals are
-- rewritten at each flush, so a reader sees the state of the last flush.

CREATE TABLE meta (
	key   TEXT PRIMARY KEY,   -- see docs/data-model.md for the keys
	value TEXT
) STRICT, WITHOUT ROWID;

-- One row per image: a process between two execs.
CREATE TABLE process (
	id            INTEGER PRIMARY KEY,     -- the session's process number
	pid           INTEGER NOT NULL,        -- as the collector sees it, else as the process does
	ns_pid        INTEGER,                 -- as the process sees itself
	parent_id     INTEGER REFERENCES process(id),
	parent_pid    INTEGER,
	exe           TEXT,
	argv          TEXT,                    -- JSON array of strings
	cwd           TEXT,
	begin_how     TEXT NOT NULL CHECK (begin_how IN ('start','fork','exec','spawn','unknown')),
	begin_ns      INTEGER NOT NULL,
	end_how       TEXT NOT NULL CHECK (end_how IN ('exit','signal','exec','running','unknown')),
	end_ns        INTEGER,
	status        INTEGER,                 -- exit status, or the signal's number
	peak_bytes    INTEGER NOT NULL,        -- live heap at its highest
	peak_ns       INTEGER,
	live_blocks   INTEGER NOT NULL,
	live_bytes    INTEGER NOT NULL,
	inherited_blocks INTEGER NOT NULL,     -- live at the fork that made it, parent's blocks
	inherited_bytes  INTEGER NOT NULL,
	inherited_freed  INTEGER NOT NULL,     -- of these, freed here
	alloc_blocks  INTEGER NOT NULL,
	alloc_bytes   INTEGER NOT NULL,
	free_blocks   INTEGER NOT NULL,
	unknown_frees INTEGER NOT NULL,        -- frees of blocks never seen given out
	failed_allocs INTEGER NOT NULL,
	hiwater_rss   INTEGER,                 -- VmHWM in bytes: at its last word, else last seen
	lost_records  INTEGER NOT NULL,        -- found no room, or begun and never finished
	engine        TEXT,                    -- own, libunwind
	followed      INTEGER NOT NULL DEFAULT 1, -- 0: known by name only (not recorded)
	merged        INTEGER                  -- the row is the sum of so many ended processes of a
	                                       -- program (exe NULL: of all others); peak_* and
	                                       -- hiwater_rss are the highest of one; NULL: one process
) STRICT;

CREATE TABLE thread (
	process_id INTEGER NOT NULL REFERENCES process(id),
	number     INTEGER NOT NULL,           -- 1 = first seen in the process; -1: ended ones, merged
	tid        INTEGER NOT NULL,
	name       TEXT,
	begin_ns   INTEGER NOT NULL,
	end_ns     INTEGER,
	alloc_blocks INTEGER NOT NULL,
	alloc_bytes  INTEGER NOT NULL,
	PRIMARY KEY (process_id, number)
) STRICT, WITHOUT ROWID;

-- A module context: pcs of a stack are read in the context of its root.
CREATE TABLE module (
	id         INTEGER PRIMARY KEY,
	context    INTEGER NOT NULL,
	process_id INTEGER NOT NULL REFERENCES process(id),
	path       TEXT NOT NULL,
	build_id   TEXT,                       -- lower-case hex
	start      INTEGER NOT NULL,
	end        INTEGER NOT NULL,
	bias       INTEGER NOT NULL,
	kind       TEXT NOT NULL CHECK (kind IN ('exe','library','vdso','loader','mmscope','jit')),
	load_ns    INTEGER NOT NULL,
	unload_ns  INTEGER,
	symbols    TEXT NOT NULL CHECK (symbols IN
		('full',           -- functions, lines, inlined frames (DWARF)
		 'symtab',         -- functions only
		 'dynamic',        -- exported functions only
		 'none',           -- the file has no symbols
		 'missing',        -- no such file here, or another build of it
		 'pending'))       -- not looked at yet
) STRICT;

-- What an address in a module's file is; shared by all contexts in which the
-- same build of the file is loaded.  Inlined functions are rows of their own,
-- chained by inlined_by.
CREATE TABLE frame (
	id         INTEGER PRIMARY KEY,
	module_id  INTEGER REFERENCES module(id),
	offset     INTEGER,                    -- pc minus bias: address in the module's file
	function   TEXT,                       -- demangled; NULL: not resolved
	file       TEXT,
	line       INTEGER,
	inlined_by INTEGER REFERENCES frame(id) -- the frame it was inlined into
) STRICT;

-- Parent-linked: the stack is the chain to parent NULL, innermost first.
-- Same ids as in the session's table.
CREATE TABLE stack (
	id        INTEGER PRIMARY KEY,
	parent_id INTEGER,                     -- the caller's node; NULL: outermost
	pc        INTEGER NOT NULL,
	context   INTEGER NOT NULL,
	frame_id  INTEGER REFERENCES frame(id), -- innermost (inlined) frame; NULL: not looked at yet
	depth     INTEGER NOT NULL,            -- frames from here to the outermost, 1 = outermost
	flags     INTEGER NOT NULL,            -- 2 guessed step, 4 truncated here, 8 pc is exact
	site_id   INTEGER REFERENCES site(id)  -- of stacks that end here; NULL: no stack does
) STRICT;

-- Stable id of a stack: functions, files and modules, not addresses or
-- lines.  Stacks that differ in lines only share a site.
CREATE TABLE site (
	id       INTEGER PRIMARY KEY,
	stable   TEXT NOT NULL UNIQUE,         -- 16 hex digits
	title    TEXT NOT NULL,                -- the innermost functions, for lists
	own      TEXT NOT NULL CHECK (own IN ('target','loader','libc','libstdc++','mmscope'))
) STRICT;

-- Totals of a stack in a process.
CREATE TABLE heap_site (
	process_id   INTEGER NOT NULL REFERENCES process(id),
	stack_id     INTEGER NOT NULL,         -- 0: the stack was not captured
	site_id      INTEGER REFERENCES site(id),
	alloc_blocks INTEGER NOT NULL,
	alloc_bytes  INTEGER NOT NULL,
	free_blocks  INTEGER NOT NULL,
	free_bytes   INTEGER NOT NULL,
	live_blocks  INTEGER NOT NULL,
	live_bytes   INTEGER NOT NULL,
	peak_blocks  INTEGER NOT NULL,         -- at the peak of the process
	peak_bytes   INTEGER NOT NULL,
	own_peak_bytes INTEGER NOT NULL,       -- this site's own highest
	temporary_blocks INTEGER NOT NULL,     -- freed by the next event of the same thread
	cross_frees  INTEGER NOT NULL,         -- freed by another thread
	realloc_in   INTEGER NOT NULL,         -- blocks that came from a realloc of another block
	min_size     INTEGER NOT NULL,
	max_size     INTEGER NOT NULL,
	first_ns     INTEGER NOT NULL,
	last_ns      INTEGER NOT NULL,
	life_ns_sum  INTEGER NOT NULL,         -- of freed blocks
	life_hist    BLOB,                     -- u32le counts by log2 of lifetime in ns
	last_thread  INTEGER,                  -- the thread that allocated or freed here last
	PRIMARY KEY (process_id, stack_id)
) STRICT, WITHOUT ROWID;

-- Live bytes and blocks of a site over time, at most 600 buckets.
CREATE TABLE heap_series (
	process_id INTEGER NOT NULL REFERENCES process(id),
	stack_id   INTEGER NOT NULL,           -- -1: the whole process
	start_ns   INTEGER NOT NULL,           -- begin of the first bucket
	bucket_ns  INTEGER NOT NULL,           -- width of a bucket
	data       BLOB NOT NULL,              -- docs/data-model.md: varint triples
	PRIMARY KEY (process_id, stack_id)
) STRICT, WITHOUT ROWID;

-- Where blocks were sampled, the figures of heap_site and process are
-- estimates; this is what they rest on.  No rows: every block was recorded.
CREATE TABLE heap_estimate (
	process_id INTEGER NOT NULL REFERENCES process(id),
	stack_id INTEGER NOT NULL,             -- -1: the whole process
	samples INTEGER NOT NULL,              -- sampled blocks of alloc_blocks
	live_samples INTEGER NOT NULL,         -- of live_blocks
	peak_samples INTEGER NOT NULL,         -- of peak_blocks
	alloc_low INTEGER NOT NULL,            -- 95 % interval of alloc_bytes
	alloc_high INTEGER NOT NULL,
	alloc_blocks_low INTEGER NOT NULL,     -- of alloc_blocks
	alloc_blocks_high INTEGER NOT NULL,
	live_low INTEGER NOT NULL,             -- of live_bytes
	live_high INTEGER NOT NULL,
	live_blocks_low INTEGER NOT NULL,      -- of live_blocks
	live_blocks_high INTEGER NOT NULL,
	peak_low INTEGER NOT NULL,             -- of peak_bytes
	peak_high INTEGER NOT NULL,
	peak_blocks_low INTEGER NOT NULL,      -- of peak_blocks
	peak_blocks_high INTEGER NOT NULL,
	PRIMARY KEY (process_id, stack_id)
) STRICT, WITHOUT ROWID;

-- When heap events were not recorded, by request.
CREATE TABLE pause (
	begin_ns INTEGER PRIMARY KEY,
	end_ns   INTEGER                       -- NULL: until the end
) STRICT;

-- A look at a process while it ran (mmscope snapshot).
CREATE TABLE snapshot (
	id         INTEGER PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	process_id INTEGER NOT NULL REFERENCES process(id),
	t_ns       INTEGER NOT NULL,           -- when all of it stood still
	method     TEXT NOT NULL CHECK (method IN ('copy','stopped')), -- stopped: it stood until it was read
	why        TEXT,                       -- why there was no copy
	pause_ns   INTEGER NOT NULL,           -- how long the process stood
	read_ns    INTEGER NOT NULL,           -- reading its memory
	scan_ns    INTEGER NOT NULL,           -- following its pointers
	scanned_bytes INTEGER NOT NULL,
	age_ns     INTEGER NOT NULL,           -- younger blocks were not judged
	threads    INTEGER NOT NULL,           -- that stood
	stacks_why TEXT,                       -- why snapshot_frame has the innermost frames alone
	rss        INTEGER                     -- bytes that it had in memory, by the kernel; NULL: not known
) STRICT;

-- Its live blocks by allocating stack and verdict.
CREATE TABLE snapshot_site (
	snapshot_id INTEGER NOT NULL REFERENCES snapshot(id),
	stack_id    INTEGER NOT NULL,          -- 0: not captured, or blocks of the parent process
	verdict     TEXT NOT NULL CHECK (verdict IN ('definite','indirect','possible','reachable','young')),
	blocks      INTEGER NOT NULL,
	bytes       INTEGER NOT NULL,
	touched     INTEGER NOT NULL,          -- of bytes: in pages that were used
	resident    INTEGER NOT NULL,          -- in pages that were in memory
	PRIMARY KEY (snapshot_id, stack_id, verdict)
) STRICT, WITHOUT ROWID;

-- Its writable areas, and how much of each was in memory.
CREATE TABLE snapshot_area (
	snapshot_id INTEGER NOT NULL REFERENCES snapshot(id),
	start       INTEGER NOT NULL,
	end         INTEGER NOT NULL,
	kind        TEXT NOT NULL,             -- heap, stack, other
	resident    INTEGER NOT NULL,          -- bytes
	states      BLOB,                      -- of its pages, as in vma_pages; NULL: left out
	live_resident INTEGER NOT NULL,        -- bytes of its live blocks that were in memory
	live_pages  INTEGER NOT NULL,          -- pages in memory with a live block on them
	PRIMARY KEY (snapshot_id, start)
) STRICT, WITHOUT ROWID;

-- Where its threads stood.
CREATE TABLE snapshot_frame (
	snapshot_id INTEGER NOT NULL REFERENCES snapshot(id),
	tid         INTEGER NOT NULL,
	depth       INTEGER NOT NULL,          -- 0: innermost
	pc          INTEGER NOT NULL,
	function    TEXT,
	module      TEXT,
	offset      INTEGER,                   -- in the module's file
	PRIMARY KEY (snapshot_id, tid, depth)
) STRICT, WITHOUT ROWID;

CREATE TABLE live_block (
	process_id INTEGER NOT NULL REFERENCES process(id),
	address    INTEGER NOT NULL,
	size       INTEGER NOT NULL,
	stack_id   INTEGER NOT NULL,
	thread     INTEGER NOT NULL,
	t_ns       INTEGER NOT NULL,
	verdict    TEXT,                       -- NULL: unclassified
	PRIMARY KEY (process_id, address)
) STRICT, WITHOUT ROWID;

-- Live blocks that are no rows of live_block, counted: of merged processes, and
-- where there were too many.
CREATE TABLE left_block (
	process_id INTEGER NOT NULL REFERENCES process(id),
	stack_id   INTEGER NOT NULL,
	verdict    TEXT NOT NULL,              -- as in live_block; '': unclassified
	blocks     INTEGER NOT NULL,
	bytes      INTEGER NOT NULL,
	oldest_ns  INTEGER NOT NULL,           -- births of the oldest and the youngest of the stack
	youngest_ns INTEGER NOT NULL,
	PRIMARY KEY (process_id, stack_id, verdict)
) STRICT, WITHOUT ROWID;

-- Wrapped calls that changed the address space.
CREATE TABLE vm_event (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER NOT NULL REFERENCES process(id),
	thread     INTEGER NOT NULL,
	t_ns       INTEGER NOT NULL,
	op         TEXT NOT NULL,              -- mmap, munmap, mremap, brk, mprotect, madvise, mlock, munlock, shmat, shmdt
	address    INTEGER NOT NULL,
	length     INTEGER NOT NULL,
	address2   INTEGER,
	length2    INTEGER,
	prot       INTEGER,
	flags      INTEGER,
	fd         INTEGER,
	offset     INTEGER,
	stack_id   INTEGER NOT NULL
) STRICT;

-- fork and its family, seen from the parent.
CREATE TABLE fork (
	id         INTEGER PRIMARY KEY,
	parent_id  INTEGER NOT NULL REFERENCES process(id),
	child_id   INTEGER REFERENCES process(id),
	child_pid  INTEGER,
	kind       TEXT NOT NULL,              -- fork, _Fork, atfork, vfork, spawn, clone, system
	t_ns       INTEGER NOT NULL,
	pause_ns   INTEGER NOT NULL,
	thread     INTEGER NOT NULL,
	stack_id   INTEGER NOT NULL,
	method        TEXT,                    -- how breaks were seen: userfaultfd, soft-dirty, witness, pfn;
	                                       -- totals: faults alone;
	                                       -- none: not watched; NULL: no memory was shared
	exact         INTEGER,                 -- 1: the sets of pages are exact
	why           TEXT,                    -- why not watched, not exact, or not the better method
	watched_share REAL,                    -- of the shared pages; below 1 the counts are estimates (cow_interval)
	areas         INTEGER,                 -- VMAs that the fork copied
	page_tables   INTEGER,                 -- bytes of page tables that it copied
	arm_parent_ns INTEGER,                 -- what protecting the pages cost each side
	arm_child_ns  INTEGER,
	page_size     INTEGER,
	pages_shared  INTEGER,                 -- private pages that both had after the fork
	parent_broke  INTEGER,                 -- pages that a side wrote
	child_broke   INTEGER,
	both_broke    INTEGER,                 -- by both: counted in each of the two above
	still_shared  INTEGER,                 -- when watching ended
	new_parent    INTEGER,                 -- pages that came after the fork: never COW
	new_child     INTEGER,
	copies        INTEGER,                 -- pages that the kernel copied
	copies_low    INTEGER,
	copies_high   INTEGER,
	error_pages   INTEGER,                 -- counts above are off by at most so many; NULL: not known
	parent_faults INTEGER,                 -- minor faults of a side, from its return from fork
	                                       -- to the end of the child
	child_faults  INTEGER,
	bytes_changed INTEGER,                 -- of broken pages, compared byte by byte (witness)
	identical_pages INTEGER,               -- broken, and the same bytes at the end
	counter_pages INTEGER,                 -- changed words differ by little: reference counts
	pointer_pages INTEGER,                 -- changed words are addresses
	bulk_pages    INTEGER,                 -- the rest
	watched_ns    INTEGER,                 -- how long both sides were watched
	merged        INTEGER                  -- the row is the sum of so many forks of a place, t_ns the
	                                       -- first one's; NULL: one fork
) STRICT;

-- Copy-on-write of a fork by area, by site, and over time.  Pages; NULL: not
-- measured.
CREATE TABLE cow_vma (
	fork_id      INTEGER NOT NULL REFERENCES fork(id),
	start        INTEGER NOT NULL,
	end          INTEGER NOT NULL,
	perms        TEXT NOT NULL,
	kind         TEXT NOT NULL,            -- as in vma
	name         TEXT,
	stack_id     INTEGER NOT NULL,         -- of the call that mapped it; 0: not known
	pages_shared INTEGER NOT NULL,
	parent_broke INTEGER,
	child_broke  INTEGER,
	both_broke   INTEGER,
	huge         INTEGER NOT NULL,         -- of the shared pages, in 2 MiB entries
	pages        BLOB,                     -- what became of each page (data-model.md); NULL: left out
	bytes_changed INTEGER,                 -- of broken pages, compared byte by byte (witness)
	identical_pages INTEGER,               -- of these, no byte differs
	counter_pages INTEGER,                 -- all words that differ do by little
	PRIMARY KEY (fork_id, start)
) STRICT, WITHOUT ROWID;

-- Pages with at least one live block of the stack; a page counts for every
-- stack that has a block on it.
CREATE TABLE cow_site (
	fork_id      INTEGER NOT NULL REFERENCES fork(id),
	stack_id     INTEGER NOT NULL,         -- 0: pages without a live block
	site_id      INTEGER REFERENCES site(id),
	pages_shared INTEGER NOT NULL,
	parent_broke INTEGER,
	child_broke  INTEGER,
	both_broke   INTEGER,
	blocks       INTEGER NOT NULL,         -- live at the fork, on shared pages; where a part was
	                                       -- watched, all of the stack
	bytes        INTEGER NOT NULL,
	false_blocks INTEGER,                  -- on broken pages, themselves unchanged
	bytes_changed INTEGER,
	identical_pages INTEGER,
	counter_pages INTEGER,
	PRIMARY KEY (fork_id, stack_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cow_sample (
	fork_id      INTEGER NOT NULL REFERENCES fork(id),
	t_ns         INTEGER NOT NULL,
	parent_broke INTEGER,
	child_broke  INTEGER,
	both_broke   INTEGER,
	new_parent   INTEGER,
	new_child    INTEGER,
	PRIMARY KEY (fork_id, t_ns)
) STRICT, WITHOUT ROWID;

-- Where a share of the memory was watched: 95 % intervals of the fork's figures.
CREATE TABLE cow_interval (
	fork_id      INTEGER NOT NULL REFERENCES fork(id),
	name         TEXT NOT NULL,            -- column of fork
	low          INTEGER NOT NULL,
	high         INTEGER NOT NULL,
	PRIMARY KEY (fork_id, name)
) STRICT, WITHOUT ROWID;

-- The same of the figures of its areas and sites.
CREATE TABLE cow_part_interval (
	fork_id      INTEGER NOT NULL REFERENCES fork(id),
	area         INTEGER NOT NULL,         -- start of the row of cow_vma; 0: of cow_site
	stack_id     INTEGER NOT NULL,         -- of the row of cow_site; 0 with an area
	name         TEXT NOT NULL,            -- column
	low          INTEGER NOT NULL,
	high         INTEGER NOT NULL,
	PRIMARY KEY (fork_id, area, stack_id, name)
) STRICT, WITHOUT ROWID;

-- One row per tick and process, read from outside.
CREATE TABLE sample (
	process_id INTEGER NOT NULL REFERENCES process(id),
	t_ns       INTEGER NOT NULL,
	rss        INTEGER,
	vm_size    INTEGER,
	shared     INTEGER,
	data       INTEGER,
	minflt     INTEGER,
	majflt     INTEGER,
	live_bytes INTEGER NOT NULL,
	live_blocks INTEGER NOT NULL,
	PRIMARY KEY (process_id, t_ns)
) STRICT, WITHOUT ROWID;

-- Limits at a tick.  Those of cgroups and host belong to a place, which all
-- processes of one cgroup share (debt.place); process_id is 0 there.
CREATE TABLE limit_point (
	place       INTEGER NOT NULL,
	process_id  INTEGER NOT NULL,          -- 0: of the place; else the process's own
	kind        TEXT NOT NULL,             -- cgroup1, cgroup1.memsw, cgroup2, cgroup2.high,
	                                       -- cgroup2.swap, host, committed, commit, RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK,
	                                       -- task_size, max_map_count, RLIMIT_NPROC, pids, threads-max
	path        TEXT NOT NULL,             -- cgroup folder, or the name of the setting
	t_ns        INTEGER NOT NULL,
	limit_value INTEGER NOT NULL,          -- bytes; areas for max_map_count; threads for those behind it
	usage       INTEGER NOT NULL,
	reclaimable INTEGER NOT NULL,          -- file pages inside usage
	residue     INTEGER,                   -- usage that no statistic of the cgroup names
	swap        INTEGER,
	failures    INTEGER,                   -- v1 failcnt, v2 the event max (of high: high)
	oom_kills   INTEGER,
	stall_us    INTEGER,                   -- PSI some, full
	full_stall_us INTEGER,
	peak        INTEGER,                   -- most that a cgroup ever used
	PRIMARY KEY (place, process_id, kind, path, t_ns)
) STRICT, WITHOUT ROWID;

-- What a process was promised and can call in without a further call, per tick.
CREATE TABLE debt (
	process_id  INTEGER NOT NULL REFERENCES process(id),
	t_ns        INTEGER NOT NULL,
	place       INTEGER NOT NULL,
	touch       INTEGER,                   -- writable private memory not yet touched
	stack       INTEGER,                   -- of thread stacks, inside touch; and growth of the main stack
	cow         INTEGER,                   -- pages shared with live forks
	cow_huge    INTEGER,                   -- of these, huge
	page_tables INTEGER,                   -- in use
	private     INTEGER,                   -- writable private bytes: what a fork commits
	threads     INTEGER,
	swap        INTEGER,
	noreserve   INTEGER,                   -- inside touch: of areas mapped with MAP_NORESERVE
	PRIMARY KEY (process_id, t_ns)
) STRICT, WITHOUT ROWID;

-- Whom the kernel would kill when a limit is hit, largest badness first.
CREATE TABLE victim (
	place      INTEGER NOT NULL,
	path       TEXT NOT NULL,              -- of the limit
	t_ns       INTEGER NOT NULL,
	rank       INTEGER NOT NULL,           -- 1: the victim
	pid        INTEGER NOT NULL,
	name       TEXT NOT NULL,
	badness    INTEGER NOT NULL,           -- bytes: resident, swap, page tables, and the adjustment
	adjustment INTEGER NOT NULL,           -- oom_score_adj
	PRIMARY KEY (place, path, t_ns, rank)
) STRICT, WITHOUT ROWID;

-- Allocations that returned NULL, the first 1,000.
CREATE TABLE alloc_failure (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER NOT NULL REFERENCES process(id),
	thread     INTEGER NOT NULL,
	t_ns       INTEGER NOT NULL,
	size       INTEGER NOT NULL,
	error      INTEGER NOT NULL,
	stack_id   INTEGER NOT NULL,
	hugetlb    INTEGER NOT NULL DEFAULT 0  -- 1: huge pages of a pool (MAP_HUGETLB)
) STRICT;

-- Raw heap events, only with --events.
CREATE TABLE heap_event (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER NOT NULL,
	thread     INTEGER NOT NULL,
	t_ns       INTEGER NOT NULL,
	op         TEXT NOT NULL,
	address    INTEGER NOT NULL,
	size       INTEGER,
	stack_id   INTEGER NOT NULL
) STRICT;

-- What was not seen, and why.
CREATE TABLE coverage (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER REFERENCES process(id), -- NULL: the whole capture
	kind       TEXT NOT NULL,              -- a word: static, setuid, lost, seccomp, ...
	count      INTEGER NOT NULL,
	text       TEXT NOT NULL               -- one plain sentence
) STRICT;

CREATE INDEX coverage_process ON coverage(process_id, kind);

-- Judgements of the analyzer, kept with the data they were made from.
CREATE TABLE finding (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER REFERENCES process(id),
	verb       TEXT NOT NULL,
	verdict    TEXT NOT NULL,
	stack_id   INTEGER,
	text       TEXT NOT NULL
) STRICT;

-- The address space as the kernel accounts it: at the end, and at ticks when
-- it changed.  Bytes; NULL: not known.
CREATE TABLE mm (
	process_id INTEGER NOT NULL REFERENCES process(id),
	t_ns       INTEGER NOT NULL,
	total_vm   INTEGER,
	peak_vm    INTEGER,
	rss        INTEGER,
	hiwater_rss INTEGER,
	rss_anon   INTEGER,
	rss_file   INTEGER,
	rss_shmem  INTEGER,
	data_vm    INTEGER,
	stack_vm   INTEGER,
	exec_vm    INTEGER,
	library_vm INTEGER,
	locked_vm  INTEGER,
	pinned_vm  INTEGER,
	swap       INTEGER,
	page_table INTEGER,
	map_count  INTEGER,                    -- areas
	users      INTEGER,                    -- threads
	start_code INTEGER,                    -- addresses from here on
	end_code   INTEGER,
	start_data INTEGER,
	end_data   INTEGER,
	start_brk  INTEGER,
	brk        INTEGER,
	start_stack INTEGER,
	arg_start  INTEGER,
	arg_end    INTEGER,
	env_start  INTEGER,
	env_end    INTEGER,
	mmap_base  INTEGER,                    -- end of the highest area below the stack
	task_size  INTEGER,
	PRIMARY KEY (process_id, t_ns)
) STRICT, WITHOUT ROWID;

-- Areas of address spaces.  Page counts are those of the last look at it;
-- NULL: its pages could not be looked at.
CREATE TABLE vma (
	id         INTEGER PRIMARY KEY,
	process_id INTEGER NOT NULL REFERENCES process(id),
	start      INTEGER NOT NULL,
	end        INTEGER NOT NULL,
	perms      TEXT NOT NULL,              -- rwxp, rwxs, - for none
	pgoff      INTEGER,                    -- offset in the file, in pages
	kind       TEXT NOT NULL,              -- docs/data-model.md lists them
	name       TEXT,                       -- path or [tag]
	inode      INTEGER,
	device     INTEGER,                    -- major << 20 | minor
	stack_id   INTEGER NOT NULL,           -- of the call that mapped it; 0: no call was seen
	born_ns    INTEGER NOT NULL,
	died_ns    INTEGER,                    -- NULL: there at the last look
	present    INTEGER,                    -- pages in memory, the zero page left out where it is told
	zero       INTEGER,                    -- pages read but never written; NULL: the kernel does not tell
	swapped    INTEGER,
	huge       INTEGER,                    -- of the present ones, in 2 MiB entries
	touched    INTEGER                     -- pages that were there at any look
) STRICT;

-- States of the pages of an area at its last look, from its start on:
-- docs/data-model.md has the format, page_runs(states) reads it.
CREATE TABLE vma_pages (
	vma_id INTEGER PRIMARY KEY REFERENCES vma(id),
	states BLOB NOT NULL
) STRICT;

-- One row per look at an address space.
CREATE TABLE page_scan (
	process_id INTEGER NOT NULL REFERENCES process(id),
	t_ns       INTEGER NOT NULL,
	look       TEXT NOT NULL,              -- exit, exec, fork: by the process itself; tick: from outside
	areas      INTEGER NOT NULL,
	pages      INTEGER NOT NULL,           -- asked about
	present    INTEGER NOT NULL,
	zero       INTEGER NOT NULL,
	swapped    INTEGER NOT NULL,
	cost_ns    INTEGER NOT NULL,
	error      INTEGER,                    -- errno: why pages were not looked at
	PRIMARY KEY (process_id, t_ns)
) STRICT, WITHOUT ROWID;

-- The process's own list of areas against the kernel's.
CREATE TABLE drift (
	process_id  INTEGER PRIMARY KEY REFERENCES process(id),
	checks      INTEGER NOT NULL,
	differences INTEGER NOT NULL,          -- found in all checks; hidden has their classes
	left_pages  INTEGER NOT NULL,          -- that still differed after the last check
	missed      INTEGER NOT NULL           -- calls that could not be followed
) STRICT;

CREATE TABLE hidden (
	process_id INTEGER NOT NULL REFERENCES process(id),
	class      TEXT NOT NULL,
	count      INTEGER NOT NULL,
	PRIMARY KEY (process_id, class)
) STRICT, WITHOUT ROWID;

-- Big memory that was given back: how much of it had been used.
CREATE TABLE gone (
	process_id INTEGER NOT NULL REFERENCES process(id),
	stack_id   INTEGER NOT NULL,           -- of the call that took it
	count      INTEGER NOT NULL,
	bytes      INTEGER NOT NULL,
	touched    INTEGER NOT NULL,           -- pages
	PRIMARY KEY (process_id, stack_id)
) STRICT, WITHOUT ROWID;

-- The allocator's own books at the end of the process: docs/data-model.md.
CREATE TABLE allocator (
	process_id INTEGER PRIMARY KEY REFERENCES process(id),
	name       TEXT NOT NULL,              -- glibc, jemalloc, other
	in_use     INTEGER,                    -- bytes from here on; NULL: it was not, or could not be asked
	cached     INTEGER,                    -- free and whole
	fragmented INTEGER,                    -- free between blocks
	mapped     INTEGER,                    -- in blocks that glibc mapped by themselves
	cost_ns    INTEGER NOT NULL,
	error      INTEGER                     -- errno: why not
) STRICT;

-- When an area became real: looks at which more of it had been used than
-- before, at most 16 an area.
CREATE TABLE vma_touch (
	vma_id  INTEGER NOT NULL REFERENCES vma(id),
	t_ns    INTEGER NOT NULL,
	pages   INTEGER NOT NULL,              -- asked for: its size then
	touched INTEGER NOT NULL,              -- used until then
	PRIMARY KEY (vma_id, t_ns)
) STRICT, WITHOUT ROWID;

CREATE INDEX vma_process ON vma(process_id, start);

CREATE VIEW v_vmas AS
SELECT v.process_id, p.pid, printf('0x%x', v.start) AS start, printf('0x%x', v.end) AS end, v.perms, v.kind,
       v.name, (v.end - v.start) / 4096 AS pages, v.present, v.zero, v.swapped, v.huge, v.touched,
       v.stack_id, v.born_ns, v.died_ns
FROM vma v JOIN process p ON p.id = v.process_id;

CREATE INDEX vm_event_process ON vm_event(process_id, t_ns);

CREATE VIEW v_sites AS
SELECT h.process_id, p.pid, p.exe, s.stable, s.title, h.stack_id,
       h.alloc_blocks, h.alloc_bytes, h.live_blocks, h.live_bytes,
       h.peak_bytes, h.temporary_blocks
FROM heap_site h JOIN process p ON p.id = h.process_id LEFT JOIN site s ON s.id = h.site_id;

CREATE VIEW v_leaks AS
SELECT * FROM v_sites WHERE live_blocks > 0 ORDER BY live_bytes DESC;

CREATE VIEW v_forks AS
SELECT f.id, f.t_ns, f.kind, f.pause_ns, pp.pid AS parent_pid, f.child_pid,
       c.end_how AS child_end, c.status AS child_status, f.method, f.exact, f.pages_shared,
       f.parent_broke, f.child_broke, f.both_broke, f.copies
FROM fork f JOIN process pp ON pp.id = f.parent_id LEFT JOIN process c ON c.id = f.child_id;
