/*
 * fault.h - one fault, between fault.c, run.c and access.c.
 */
#ifndef PAGER_FAULT_H
#define PAGER_FAULT_H

#include "pager/pager_impl.h"

enum fault_kind {
	FAULT_NONE,		/* it was resident */
	FAULT_MINOR,		/* served without I/O */
	FAULT_MAJOR		/* read from swap */
};

struct fault {
	struct vmpager_map *ft_map;
	uint64_t ft_page;
	bool ft_write;		/* mark it dirty */
	bool ft_pin;		/* leave it pinned: else it may go at once */
	bool ft_trap;		/* the CPU couldn't reach it */
	bool ft_ahead;		/* nobody has asked for it yet */
	bool ft_claimed;	/* the page is ours, and ft_pte what it was */
	uint64_t ft_pte;
	uint32_t ft_frame;	/* out: where it is; holds while pinned */
	enum fault_kind ft_kind; /* out */
};

#endif /* PAGER_FAULT_H */
