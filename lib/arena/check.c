/*
 * check.c - every invariant of an arena (arena.c, 3.), verified.
 *
 * The list of segments is gone through in slices, so that others get the lock
 * in between.  What is local to a segment is checked in any case; the sums
 * only if nothing changed from the first slice to the last, for else they
 * aren't of one moment: vm_generation tells.  The indexes are checked whole,
 * under one hold of the lock, if they are small, or if nothing else can.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>

#define SLICE 512u
/* Free segments up to which the indexes are checked under one hold. */
#define INDEX_MAX 65536u

struct tally {
	uint64_t inuse, free, spans, span_bytes, busy_count, free_count;
	uint64_t tags, cached;
};

/* One tag against its neighbour before it. */
static const char *
check_tag(struct vmem *vm, uint32_t t, struct tally *sum)
{
	const struct tag *bt = TAG(t), *prev = TAG(bt->bt_prev);
	struct hashplace hp;

	sum->tags++;
	if (prev->bt_next != t)
		return ("the list of segments is broken");
	if (tag_is_span(bt)) {
		sum->spans++;
		sum->span_bytes += bt->bt_size;
		if (prev->bt_type != TAG_HEAD &&
		    (tag_is_span(prev) || tag_last(prev) >= bt->bt_start))
			return ("spans are out of order, or empty");
		if (TAG(bt->bt_next)->bt_start != bt->bt_start)
			return ("a span's first segment isn't at its start");
		return (NULL);
	}
	if (bt->bt_size == 0 || (bt->bt_size & (vm->vm_quantum - 1)) != 0 ||
	    (bt->bt_start & (vm->vm_quantum - 1)) != 0)
		return ("a segment isn't whole quanta");
	if (!tag_is_span(prev) && prev->bt_type != TAG_HEAD &&
	    tag_last(prev) + 1 != bt->bt_start)
		return ("there is a gap between segments");
	if (bt->bt_type == TAG_FREE) {
		sum->free += bt->bt_size;
		sum->free_count++;
		return (prev->bt_type == TAG_FREE ?
			"two free neighbours aren't joined" :
			NULL);
	}
	if (bt->bt_type != TAG_BUSY)
		return ("a segment has no known type");
	sum->inuse += bt->bt_size;
	sum->busy_count++;
	return (hash_find(vm, bt->bt_start, &hp) && hp.hp_tag == t ?
		NULL :
		"an allocated segment isn't in the hash table");
}

static const char *
check_sums(const struct vmem *vm, const struct tally *sum)
{
	if (sum->inuse != vm->vm_inuse)
		return ("the allocated segments don't sum up to what is in use");
	if (sum->span_bytes != vm->vm_size || sum->spans != vm->vm_nspans ||
	    sum->spans != vm->vm_spantree.at_count)
		return ("the spans don't sum up to the size");
	if (sum->inuse + sum->free != vm->vm_size)
		return ("the segments don't cover the spans");
	if (sum->busy_count != vm->vm_hash.hs_count)
		return ("the hash table counts wrong");
	if (sum->free_count != vm->vm_free.fl_count)
		return ("the free segments count wrong");
	if (sum->tags + 1 != vm->vm_tags_used)
		return ("the tags in use count wrong");
	return (NULL);
}

static const char *
check_slice(struct vmem *vm, uint64_t *cursor, bool *more, struct tally *sum)
{
	uint32_t t = *cursor == 0 ? TAG(vm->vm_head)->bt_next :
				    arena_seek(vm, *cursor);
	const char *why = NULL;
	unsigned int n = 0;

	*more = false;
	if (t == TAG_NIL)
		return (NULL);
	/* A slice that begins with a span's first segment has the span too. */
	if (t != vm->vm_head && tag_is_span(TAG(TAG(t)->bt_prev)) && *cursor != 0)
		t = TAG(t)->bt_prev;
	for (; t != vm->vm_head && why == NULL; t = TAG(t)->bt_next) {
		if (n++ >= SLICE && !tag_is_span(TAG(TAG(t)->bt_prev)) &&
		    TAG(t)->bt_start != 0) {
			*cursor = TAG(t)->bt_start;
			*more = true;
			break;
		}
		why = check_tag(vm, t, sum);
	}
	return (why);
}

int
vmem_check_why(vmem_t *vm, const char **whyp)
{
	struct tally sum = { 0 };
	const char *why = NULL;
	uint64_t cursor = 0, generation = 0;
	bool more = true, first = true;

	while (more && why == NULL) {
		arena_enter_look(vm);
		if (first)
			generation = vm->vm_generation;
		why = check_slice(vm, &cursor, &more, &sum);
		if (why == NULL && !more && vm->vm_generation == generation)
			why = check_sums(vm, &sum);
		if (why == NULL && first && vm->vm_free.fl_count <= INDEX_MAX)
			why = fl_check(vm);
		if (why == NULL && first && vm->vm_nspans <= INDEX_MAX)
			why = addrtree_check(&vm->vm_spantree);
		first = false;
		arena_leave(vm);
	}
	if (whyp != NULL)
		*whyp = why;
	return (why == NULL ? 0 : EIO);
}

int
vmem_check(vmem_t *vm)
{
	return (vmem_check_why(vm, NULL));
}
