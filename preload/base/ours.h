/*
 * ours.h - OURS: before the declaration of data that another file of this
 * library defines.
 *
 * -fvisibility=hidden speaks of definitions; a mere declaration may be of
 * another library's data for all the compiler knows, and is reached through the
 * global offset table: one load more at each use, in functions of 20 to 30
 * instructions.
 */
#ifndef BASE_OURS_H
#define BASE_OURS_H

#define OURS __attribute__((visibility("hidden")))

#endif
