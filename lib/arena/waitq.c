/*
 * waitq.c - the queue of requests that wait in one arena.
 *
 * First in, first out; but who serves it wants to know "the next one from here
 * on that asks for less than this", for when a size can't be had there is no
 * use in asking those that want as much, be they a thousand.  So the queue is a
 * tree in the order of arrival, in which each node knows the least that
 * anybody below it asks for: a treap (R. Seidel, C. Aragon, "Randomized search
 * trees", Algorithmica 16, 1996), with priorities that are a hash of the
 * ticket.  Its nodes are the requests themselves.  Every operation takes
 * O(log n) steps, expected; nothing here allocates.
 *
 * A request that is being served asks for nothing meanwhile (vr_wants), but
 * keeps its place.
 *
 * Everything here: with vm_lock held.
 */
#include "config.h"

#include "arena/arena_impl.h"

#define NOTHING UINT64_MAX /* no request is as large: EINVAL */

static uint64_t
priority(const struct vmem_request *vr)
{
	uint64_t x = vr->vr_ticket * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return (x ^ (x >> 32));
}

static uint64_t
least_of(const struct vmem_request *vr)
{
	return (vr == NULL ? NOTHING : vr->vr_least);
}

/* The least that is asked for, anew from a node up to the root. */
static void
least_update(struct vmem_request *vr)
{
	for (; vr != NULL; vr = vr->vr_up) {
		uint64_t left = least_of(vr->vr_left);
		uint64_t right = least_of(vr->vr_right);
		uint64_t least = left < right ? left : right;

		vr->vr_least = vr->vr_wants < least ? vr->vr_wants : least;
	}
}

/* What points at a node. */
static struct vmem_request **
link_to(struct vmem *vm, struct vmem_request *vr)
{
	if (vr->vr_up == NULL)
		return (&vm->vm_wait_root);
	return (vr->vr_up->vr_left == vr ? &vr->vr_up->vr_left :
					   &vr->vr_up->vr_right);
}

void
waitq_append(struct vmem *vm, struct vmem_request *vr)
{
	struct vmem_request *up = NULL, **link = &vm->vm_wait_root;

	vr->vr_ticket = ++vm->vm_ticket;
	vr->vr_wants = vr->vr_size;
	while (*link != NULL && priority(*link) > priority(vr)) {
		up = *link;
		link = &up->vr_right;
	}
	vr->vr_up = up;
	vr->vr_left = *link;
	vr->vr_right = NULL;
	if (*link != NULL)
		(*link)->vr_up = vr;
	*link = vr;
	least_update(vr);
	vm->vm_waiting++;
}

void
waitq_remove(struct vmem *vm, struct vmem_request *vr)
{
	struct vmem_request *left = vr->vr_left, *right = vr->vr_right;
	struct vmem_request *up = vr->vr_up, **link = link_to(vm, vr);

	if (vr == waitq_first(vm))
		vm->vm_overtaken = 0;
	/* Join what was below it, in its place. */
	while (left != NULL && right != NULL) {
		if (priority(left) > priority(right)) {
			*link = left;
			left->vr_up = up;
			up = left;
			link = &left->vr_right;
			left = left->vr_right;
		} else {
			*link = right;
			right->vr_up = up;
			up = right;
			link = &right->vr_left;
			right = right->vr_left;
		}
	}
	*link = left != NULL ? left : right;
	if (*link != NULL)
		(*link)->vr_up = up;
	least_update(up);
	vm->vm_waiting--;
}

/* While it is served it asks for nothing; else for its size. */
void
waitq_serving(struct vmem_request *vr, bool serving)
{
	vr->vr_wants = serving ? NOTHING : vr->vr_size;
	least_update(vr);
}

/* The one that has waited longest, or NULL. */
struct vmem_request *
waitq_first(const struct vmem *vm)
{
	struct vmem_request *vr = vm->vm_wait_root;

	while (vr != NULL && vr->vr_left != NULL)
		vr = vr->vr_left;
	return (vr);
}

/* The first that came after `ticket`. */
static struct vmem_request *
came_after(const struct vmem *vm, uint64_t ticket)
{
	struct vmem_request *vr = vm->vm_wait_root, *after = NULL;

	while (vr != NULL) {
		if (vr->vr_ticket > ticket) {
			after = vr;
			vr = vr->vr_left;
		} else
			vr = vr->vr_right;
	}
	return (after);
}

/* The first that came after `ticket` and asks for less than `size`, or NULL. */
struct vmem_request *
waitq_next(const struct vmem *vm, uint64_t ticket, uint64_t size)
{
	struct vmem_request *vr = came_after(vm, ticket);

	while (vr != NULL && vr->vr_wants >= size) {
		if (least_of(vr->vr_right) < size) {
			vr = vr->vr_right;
			while (least_of(vr->vr_left) < size)
				vr = vr->vr_left;
			continue;
		}
		/* Up to the first that came later than all of this. */
		while (vr->vr_up != NULL && vr == vr->vr_up->vr_right)
			vr = vr->vr_up;
		vr = vr->vr_up;
	}
	return (vr);
}
