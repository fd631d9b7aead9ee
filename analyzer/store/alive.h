/*
 * alive.h - does the collector that wrote a database still run?  Private to
 * store/.
 */
#ifndef STORE_ALIVE_H
#define STORE_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

/* Id of this boot of the kernel; "" when not known. */
void alive_boot_id(char out[64]);
/* Start of a process in clock ticks since boot; 0: there is none. */
uint64_t alive_start(int64_t pid);

#endif
