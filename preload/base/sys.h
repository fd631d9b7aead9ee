/*
 * sys.h - the system calls of the preload: mmscope/syscall.h, by its other
 * name.  Raw, errno untouched, -errno on failure.  Every file of the preload
 * that needs the kernel includes this and nothing of libc.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <mmscope/syscall.h>

#endif
