/*
 * files.h - the places of files: one address for one place of a file, in all
 * processes of a session.
 *
 * Each file that is loaded as a module has a place of its own in the upper half
 * of the 48 bits of a pc, which no process has addresses in, the same however
 * often and wherever processes load it.  Its number is where its identity (a
 * hash of build id, path and size, preload/wrap/module.c) stands in the
 * session's table, from 1 on.  A MODULE record tells it.
 *
 * The last 16 GiB of the 48 bits are nobody's place: vsyscall lies there.
 */
#ifndef MMSCOPE_FILES_H
#define MMSCOPE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "session.h"

#define MMS_CONTEXT_COMMON 0u
#define MMS_FILES 8191u
#define MMS_FILE_SHIFT 34
#define MMS_CANONICAL (1ull << 47)
struct mms_files {
	_Atomic uint64_t identity[MMS_FILES]; /* T: 0: nobody's yet */
};
_Static_assert(sizeof(struct mms_files) <= MMS_CELL_SIZE, "one cell of files");

/* NULL: the session has no such table. */
static inline struct mms_files *mms_files(const struct mms_session *s)
{
	uint32_t cell = s->header->files_cell;
	return cell && cell < s->n_cells_mapped ? (struct mms_files *)(void *)mms_cell(s, cell) : NULL;
}

/* Where file `number`, from 1 on, begins. */
static inline uint64_t mms_file_start(uint32_t number)
{
	return MMS_CANONICAL | (uint64_t)(number - 1) << MMS_FILE_SHIFT;
}

/* The number of the file that a canonical pc lies in. */
static inline uint32_t mms_file_of(uint64_t pc)
{
	return (uint32_t)((pc & (MMS_CANONICAL - 1)) >> MMS_FILE_SHIFT) + 1;
}

/* Is a pc of 48 bits in a file's place? */
static inline bool mms_pc_is_canonical(uint64_t pc)
{
	return pc & MMS_CANONICAL && (pc & (MMS_CANONICAL - 1)) >> MMS_FILE_SHIFT < MMS_FILES;
}

/* 48 bits, sign extended, as databases have pcs: user space, and above it files
 * and vsyscall. */
static inline uint64_t mms_pc_extended(uint64_t pc)
{
	return (uint64_t)((int64_t)(pc << 16) >> 16);
}

#endif
