/*
 * refplace.h - where first fit and best fit would put ranges, by definition: a
 * reference to compare placements with, not an allocator to use.
 *
 * The space is [0, 2^64).  What lies above the highest live range (the *top*)
 * isn't a hole: it is used only when no hole below fits.  First fit takes the
 * hole with the lowest address that fits, best fit the smallest that fits, the
 * lowest of those; the range is put as low in it as its alignment lets it.
 */
#ifndef BENCH_REFPLACE_H
#define BENCH_REFPLACE_H

#include <stdint.h>

enum refplace_policy { REFPLACE_FIRST, REFPLACE_BEST };

struct refplace;

struct refplace *refplace_create(enum refplace_policy policy);
void refplace_destroy(struct refplace *rp);

/* The address; `align` is a power of two, 1 for none. */
uint64_t refplace_get(struct refplace *rp, uint64_t size, uint64_t align);
/* Any part of what was had and not put yet. */
void refplace_put(struct refplace *rp, uint64_t addr, uint64_t size);

/* The highest end of any range so far. */
uint64_t refplace_extent(const struct refplace *rp);

#endif /* BENCH_REFPLACE_H */
