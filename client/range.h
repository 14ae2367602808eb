/*
 * range.h - the range that an `alloc` was answered with.
 */
#ifndef CLIENT_RANGE_H
#define CLIENT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* `addr` and `size` of a result; false: it hasn't both. */
bool range_of_result(const char *result, uint64_t *addrp, uint64_t *sizep);

#endif /* CLIENT_RANGE_H */
