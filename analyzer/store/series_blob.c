/*
 * series_blob.c - a time series as the blob of heap_series, and back.
 *
 * The blob is one group of three varints (LEB128, 7 bits a byte, low first)
 * per bucket: zigzag(last - last of the bucket before), max - last,
 * last - min.  A quiet bucket takes three bytes.
 *
 * Written by sites.c, read by the verbs through capture_series().  The reader
 * checks every byte: a database may be damaged.
 */
#include "capture.h"
#include "store.h"

#include "model/series.h"

#include <errno.h>

static uint8_t *put(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static uint64_t zigzag(uint64_t delta) { return delta << 1 ^ (uint64_t)((int64_t)delta >> 63); }
static uint64_t unzigzag(uint64_t v) { return v >> 1 ^ (0 - (v & 1)); }

size_t series_blob_room(uint32_t n_buckets) { return (size_t)n_buckets * 30; }

static struct series_bucket merged(const struct series *s, uint32_t first, uint32_t n)
{
	struct series_bucket b = s->bucket[first];

	for (uint32_t i = first + 1; i < first + n && i < s->n; i++) {
		b.min = s->bucket[i].min < b.min ? s->bucket[i].min : b.min;
		b.max = s->bucket[i].max > b.max ? s->bucket[i].max : b.max;
		b.last = s->bucket[i].last;
	}
	return b;
}

size_t series_blob(const struct series *s, uint32_t merge, uint8_t *out)
{
	uint8_t *p = out;
	uint64_t before = 0;

	for (uint32_t i = 0; i < s->n; i += merge) {
		struct series_bucket b = merged(s, i, merge);

		p = put(p, zigzag(b.last - before));
		p = put(p, b.max - b.last);
		p = put(p, b.last - b.min);
		before = b.last;
	}
	return (size_t)(p - out);
}

static const uint8_t *get(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; p < end && shift < 64; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80)) {
			*ret = v;
			return p;
		}
	}
	return NULL;
}

int capture_series(const void *data, size_t size, struct capture_bucket *out, size_t n_out)
{
	const uint8_t *p = data, *end = p + size;
	uint64_t last = 0;
	size_t n = 0;

	while (p < end && n < n_out) {
		uint64_t delta, above, below;

		p = get(p, end, &delta);
		p = p ? get(p, end, &above) : NULL;
		p = p ? get(p, end, &below) : NULL;
		if (!p)
			return -EINVAL;
		last += unzigzag(delta);
		out[n++] = (struct capture_bucket){last - below, last + above, last};
	}
	return (int)n;
}
