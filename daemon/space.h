/*
 * space.h - taking a range for a client, and backing it: what alloc, waiting
 * alloc and fragment have in common.
 *
 *	space_take()	addresses from libvmem
 *	space_back()	pageable: registered for faults; wired: zeroed
 *	space_drop()	neither, again: for what was never recorded
 *
 * What has been recorded in the registry is given back through it.
 */
#ifndef DAEMON_SPACE_H
#define DAEMON_SPACE_H

#include "daemon/registry.h"
#include "proto/errors.h"

/* What is wanted of each range. */
struct space_want {
	vmem_size_t sw_size;	/* rounded */
	vmem_size_t sw_align, sw_phase, sw_nocross;
	vmem_addr_t sw_min, sw_max;	/* inclusive */
	bool sw_at;		/* exactly at sw_min */
	vm_flag_t sw_fit;	/* 0: the arena's own */
};

/* Is it served by the arena's quantum caches, if it is to be? */
bool space_cached(const struct arena *ar, const struct space_want *sw);

/* al's address, size and cached are filled.  PE_OK, PE_NO_SPACE, PE_EXISTS, or
 * PE_PARAMS: nothing could ever satisfy it. */
enum proto_error space_take(
    struct arena *ar, const struct space_want *sw, struct alloc *al);

/* PE_OK or PE_NO_FRAMES. */
enum proto_error space_back(struct arena *ar, const struct alloc *al);

void space_drop(struct arena *ar, const struct alloc *al, bool backed);

/* Would backing so much hold a thread for longer than a turn? */
bool space_is_long(const struct arena *ar, uint64_t bytes);

#endif /* DAEMON_SPACE_H */
