/*
 * proc_maps.h - the kernel's view of an address space, line by line.
 *
 * Area by area with the PROCMAP_QUERY ioctl where the kernel has it (Linux
 * 6.11, include/uapi/linux/fs.h; 0.4 us a question, 18 us for the 35 areas of
 * a small program), else as the text of /proc/PID/maps (23 us).  Both say the
 * same: [vsyscall], which is the kernel's own and in no process's account, is
 * left out of the text as the ioctl leaves it out.
 *
 * No allocation; raw system calls through base/sys.h.
 */
#ifndef MIRROR_PROC_MAPS_H
#define MIRROR_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proc_map {
	uintptr_t start, end;
	uint64_t offset; /* bytes */
	uint64_t inode;
	uint32_t device; /* major << 20 | minor */
	uint8_t prot;    /* PROT_READ | PROT_WRITE | PROT_EXEC */
	bool shared;
	const char *name; /* not NUL-ended; "" when none */
	size_t name_length;
};

/* Parses one line without its newline.  False: not a line of maps. */
bool proc_maps_parse(const char *line, size_t length, struct proc_map *ret);

/* Calls fn for every area in order; fn returns false to stop.  fd: of
 * /proc/PID/maps, just opened.  buffer holds at least one line (8 KiB is enough
 * for any path).  It is not one moment: an area that changes meanwhile may be
 * missed or seen twice, never torn.  0 or -errno. */
int proc_maps_walk(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map),
	void *arg);

/* The same from the text alone. */
int proc_maps_read(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map),
	void *arg);

/* As proc_maps_walk, but areas that cannot be written may be left out and none
 * needs a name: 0.4 us for each that can be, of which a program has few. */
int proc_maps_writable(int fd, char *buffer, size_t size, bool (*fn)(void *arg, const struct proc_map *map),
	void *arg);

/* The area that holds the address or the next above it, from a descriptor of
 * /proc/PID/maps.  name_buffer receives the name.  0; -ENOENT: none; -ENOTTY:
 * the kernel has no PROCMAP_QUERY (then use proc_maps_read). */
int proc_maps_query(int fd, uintptr_t address, char *name_buffer, size_t name_size, struct proc_map *ret);

#endif
