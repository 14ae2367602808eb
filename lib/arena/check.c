/*
 * check.c - every invariant of an arena (arena.c, 3.), verified.
 *
 * The rows are gone through in slices, so that others get the lock in between.
 * What is local to a row is checked in any case; the sums only if nothing
 * changed from the first slice to the last, for else they aren't of one
 * moment: vm_generation tells.  The bins and the trees are checked whole, under
 * one hold of the lock, if they are small, or if nothing else can.  So are the
 * hints (hint.c).
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>

#include "qcache/qcache.h"

/* Rows looked at under one hold of the lock. */
#define SLICE 16u
/* Free segments, and spans, up to which the trees are checked in one go. */
#define INDEX_MAX 65536u

struct tally {
	uint64_t inuse, free, spans, span_bytes, busy_count, free_count;
	uint64_t tags, strays, rows;
};

/* Can the segment above not be joined with this one? */
static bool
parted(uint32_t tag, uint32_t above)
{
	if ((above & TAG_SPAN) != 0)
		return (true);
	if ((tag & TAG_FREE) != 0 || (above & TAG_FREE) != 0)
		return ((tag & TAG_FREE) != (above & TAG_FREE));
	return (tag_is_busy(tag) || tag_is_busy(above));
}

/* One tag, and against the one above it. */
static const char *
check_tag(struct vmem *vm, struct place p, struct tally *sum)
{
	uint32_t tag = TAG(p);
	uint64_t size = tag_size(p);
	struct place above;
	bool span = (tag & TAG_SPAN) != 0;
	struct addrentry entry;

	sum->tags++;
	if (size == 0 && (vm->vm_shift != 0 || tag != TAG_GAP))
		return ("a segment is empty");
	if (span) {
		sum->spans++;
		if (!addrtree_last(&vm->vm_spans, tag_start(p), 0, &entry) ||
		    entry.ae_key != tag_start(p))
			return ("a span isn't in the tree of spans");
		sum->span_bytes += to_addr(vm, entry.ae_max);
	}
	if ((tag & TAG_FREE) != 0) {
		sum->free += to_addr(vm, size);
	} else if (tag_is_busy(tag)) {
		sum->inuse += to_addr(vm, size);
		sum->busy_count++;
	} else if (span || tag != TAG_GAP)
		return ("a segment has no known type");
	if (tag_above(p, &above) && !parted(tag, TAG(above)))
		return ("two neighbours aren't joined");
	return (NULL);
}

/* A row against its neighbour and its entry in the tree. */
static const char *
check_row(struct vmem *vm, uint32_t row, struct tally *sum)
{
	const struct row *rw = ROW(row);
	struct addrentry entry;
	const char *why = NULL;

	sum->rows++;
	if (rw->rw_count == 0 || rw->rw_count > ROW_TAGS ||
	    rw->rw_off[0] != 0)
		return ("a row of tags is empty");
	for (unsigned int i = 1; i < rw->rw_count; i++)
		if (rw->rw_off[i] <= rw->rw_off[i - 1])
			return ("a row of tags is out of order");
	for (unsigned int i = rw->rw_count; i < ROW_PLACES; i++)
		if (rw->rw_off[i] != INT32_MAX)
			return ("a row's unused places aren't marked");
	if (rw->rw_next != UNIT_NIL &&
	    (ROW(rw->rw_next)->rw_base != rw->rw_end ||
		ROW(rw->rw_next)->rw_prev != row))
		return ("there is a gap between rows");
	if (!addrtree_last(&vm->vm_rows, rw->rw_base, 0, &entry) ||
	    entry.ae_key != rw->rw_base || entry.ae_child != row)
		return ("a row isn't in the tree of rows");
	if (rw->rw_due != 0 || rw->rw_max != row_max(rw) ||
	    entry.ae_max != rw->rw_max)
		return ("a row's largest free segment isn't known");
	for (unsigned int i = 0; i < rw->rw_count; i++)
		if ((rw->rw_free >> i & 1) != rw->rw_tag[i] >> 31)
			return ("a row's bitmap of free segments is wrong");
	if (rw->rw_free >> rw->rw_count != 0)
		return ("a row's bitmap of free segments is too long");
	for (unsigned int i = 0; why == NULL && i < rw->rw_count; i++)
		why = check_tag(vm, (struct place) { row, i }, sum);
	return (why != NULL ? why :
	    fl_check_row(vm, row, &sum->free_count, &sum->strays));
}

static const char *
check_sums(const struct vmem *vm, const struct tally *sum)
{
	if (sum->inuse != vm->vm_inuse)
		return ("the allocated segments don't sum up to what is in use");
	if (sum->span_bytes != vm->vm_size ||
	    sum->spans != vm->vm_spans.at_count)
		return ("the spans don't sum up to the size");
	if (sum->inuse + sum->free != vm->vm_size)
		return ("the segments don't cover the spans");
	if (sum->busy_count != vm->vm_nbusy)
		return ("the allocated segments count wrong");
	if (sum->free_count != vm->vm_free.fl_count ||
	    sum->strays != vm->vm_free.fl_strays)
		return ("the free segments count wrong");
	if (sum->tags != vm->vm_ntags)
		return ("the tags in use count wrong");
	if (sum->rows != vm->vm_rows.at_count)
		return ("the rows count wrong");
	return (NULL);
}

/* Some rows, from the one that *cursor lies in. */
static const char *
check_slice(struct vmem *vm, uint64_t *cursor, bool *more, struct tally *sum)
{
	uint32_t row = row_find(vm, *cursor).row;
	const char *why = NULL;

	for (unsigned int n = 0; n < SLICE && row != UNIT_NIL && why == NULL;
	     n++) {
		why = check_row(vm, row, sum);
		row = ROW(row)->rw_next;
	}
	*more = row != UNIT_NIL;
	if (*more)
		*cursor = ROW(row)->rw_base;
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
		arena_enter_free(vm);
		rows_settle(vm);
		if (first)
			generation = vm->vm_generation;
		why = check_slice(vm, &cursor, &more, &sum);
		if (why == NULL && !more && vm->vm_generation == generation)
			why = check_sums(vm, &sum);
		if (why == NULL && first && vm->vm_free.fl_count <= INDEX_MAX)
			why = fl_check(vm);
		if (why == NULL && first && vm->vm_spans.at_count <= INDEX_MAX)
			why = addrtree_check(&vm->vm_spans);
		if (why == NULL && first && vm->vm_rows.at_count <= INDEX_MAX)
			why = hint_check(vm);
		first = false;
		arena_leave(vm);
	}
	if (why == NULL)
		why = qcache_check(vm);
	if (whyp != NULL)
		*whyp = why;
	return (why == NULL ? 0 : EIO);
}

int
vmem_check(vmem_t *vm)
{
	return (vmem_check_why(vm, NULL));
}
