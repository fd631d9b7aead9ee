/*
 * aside.h - to read a file of /proc without taking the program's descriptors.
 *
 * open() gives the lowest number that is free.  A program beside whose threads
 * we hold one for a moment sees another number than it counts on, or has one
 * closed under it that it has just been given.
 */
#ifndef BASE_ASIDE_H
#define BASE_ASIDE_H

#include <stdbool.h>

/* Calls fn(arg).  Where other threads may run: on a thread that the kernel alone
 * knows, has descriptors of its own (since Linux 5.9) and is over when this returns; true then.
 * fn makes raw system calls and may use heap_alloc, and nothing that belongs to
 * a thread: no record, no mutex.  Signals are blocked meanwhile.  Where no
 * thread can be made it is called here. */
bool aside(void (*fn)(void *arg), void *arg);

/* The program has made no other thread, as far as libc knows. */
bool aside_is_alone(void);

#endif
