/*
 * pagemap.h - the kernel's questions about pages: PAGEMAP_SCAN and userfaultfd.
 *
 * include/uapi/linux/fs.h (Linux 6.7) and linux/userfaultfd.h; Debian 12's
 * headers are older.
 */
#ifndef MIRROR_PAGEMAP_H
#define MIRROR_PAGEMAP_H

#include <stdint.h>

struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
_Static_assert(sizeof(struct pm_scan_arg) == 96, "pm_scan_arg");
#define SCAN_IOCTL 0xc0606610ul /* _IOWR('f', 16, struct pm_scan_arg) */
#define SCAN_WP_MATCHING 1u     /* flags: protect what is returned */
#define IS_WPALLOWED (1u << 0)
#define IS_WRITTEN (1u << 1)
#define IS_FILE (1u << 2)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)
#define IS_ZERO (1u << 5)
#define IS_HUGE (1u << 6)
#define IS_GUARD (1u << 8)

struct uffd_api {
	uint64_t api, features, ioctls;
};
struct uffd_register {
	uint64_t start, length, mode, ioctls;
};
#define UFFD_VERSION 0xaau
#define UFFD_API_IOCTL 0xc018aa3ful      /* _IOWR(0xaa, 0x3f, struct uffd_api) */
#define UFFD_REGISTER_IOCTL 0xc020aa00ul /* _IOWR(0xaa, 0x00, struct uffd_register) */
#define UFFD_MODE_WP 2u
#define UFFD_WP_UNPOPULATED (1u << 13)
#define UFFD_WP_ASYNC (1u << 15)
#define UFFD_USER_ONLY 1

#endif
