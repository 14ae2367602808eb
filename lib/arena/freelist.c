/*
 * freelist.c - free segments, by size and by address.
 *
 * By size.  A segment of up to 4096 quanta is in the bin of exactly its size,
 * a list (last in, first out); a bitmap of two levels says which bins aren't
 * empty.  So the smallest segment that fits is two find-first-set away: best
 * fit at the price of instant fit, and "none" is found as fast.  Against bins
 * of powers of two this halves the free segments under random churn, which is
 * footprint, and footprint is time.  Bins are lists rather than kept in order
 * of address, for that costs a cache miss a level: on the real traces the
 * extent is within 1.01 of a best fit that takes the lowest address.
 * Larger segments are in a balanced tree by size (sizetree.c).
 *
 * By address.  addrtree.c finds what is asked by address.  Most allocations
 * never ask, and most free segments are reused soon, so indexing is put off:
 * a newly free segment goes into a ring of the 256 latest, and only who is
 * pushed out of the ring is inserted in the tree, one insertion an operation
 * at most.  A question by address first indexes what is in the ring.
 *
 * Insertion in the tree may want for nodes (addrtree.c).  Then the segment is
 * counted as unindexed; questions by address look for such by walking, until
 * nodes can be had.  So a free never fails.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>

static unsigned int
slot_of(const struct tag *bt)
{
	return ((unsigned int)bt->bt_slot_hi << 6 |
	    (unsigned int)bt->bt_slot_mid << 4 | bt->bt_slot_lo);
}

static void
slot_set(struct tag *bt, unsigned int slot)
{
	bt->bt_slot_lo = slot & 15;
	bt->bt_slot_mid = (slot >> 4) & 3;
	bt->bt_slot_hi = (slot >> 6) & 3;
}

/* ---- by size ------------------------------------------------------------ */

static void
bin_insert(struct vmem *vm, uint32_t tag)
{
	struct freelist *fl = &vm->vm_free;
	struct tag *bt = TAG(tag);
	uint64_t quanta = bt->bt_size >> vm->vm_shift;
	unsigned int bin;

	if (quanta > FL_EXACT) {
		sizetree_insert(&fl->fl_large, tag);
		if (fl->fl_largest == TAG_NIL ||
		    TAG(fl->fl_largest)->bt_size <= bt->bt_size)
			fl->fl_largest = sizetree_max(fl->fl_large);
		return;
	}
	bin = (unsigned int)quanta - 1;
	bt->bt_back = TAG_NIL;
	bt->bt_link = fl->fl_bin[bin] & TAG_INDEX_MASK;
	if (bt->bt_link != TAG_NIL)
		TAG(bt->bt_link)->bt_back = tag & TAG_INDEX_MASK;
	fl->fl_bin[bin] = tag;
	fl->fl_bits[bin / 64] |= UINT64_C(1) << (bin % 64);
	fl->fl_summary |= UINT64_C(1) << (bin / 64);
}

static void
bin_remove(struct vmem *vm, uint32_t tag)
{
	struct freelist *fl = &vm->vm_free;
	struct tag *bt = TAG(tag);
	uint64_t quanta = bt->bt_size >> vm->vm_shift;
	unsigned int bin;

	if (quanta > FL_EXACT) {
		sizetree_remove(&fl->fl_large, tag);
		if (fl->fl_largest == tag)
			fl->fl_largest = sizetree_max(fl->fl_large);
		return;
	}
	bin = (unsigned int)quanta - 1;
	if (bt->bt_link != TAG_NIL)
		TAG(bt->bt_link)->bt_back = bt->bt_back;
	if (bt->bt_back != TAG_NIL) {
		TAG(bt->bt_back)->bt_link = bt->bt_link;
		return;
	}
	fl->fl_bin[bin] = bt->bt_link;
	if (bt->bt_link != TAG_NIL)
		return;
	fl->fl_bits[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
	if (fl->fl_bits[bin / 64] == 0)
		fl->fl_summary &= ~(UINT64_C(1) << (bin / 64));
}

/* The first bin that isn't empty from `bin` on, or FL_EXACT. */
static unsigned int
bin_first(const struct freelist *fl, unsigned int bin)
{
	unsigned int word = bin / 64;
	uint64_t bits;

	if (bin >= FL_EXACT)
		return (FL_EXACT);
	bits = fl->fl_bits[word] & (~UINT64_C(0) << (bin % 64));
	if (bits == 0) {
		bits = word == 63 ? 0 :
				    fl->fl_summary & (~UINT64_C(1) << word);
		if (bits == 0)
			return (FL_EXACT);
		word = (unsigned int)__builtin_ctzll(bits);
		bits = fl->fl_bits[word];
	}
	return (word * 64 + (unsigned int)__builtin_ctzll(bits));
}

/* The smallest free segment of at least `size`, a multiple of the quantum. */
uint32_t
fl_best(const struct vmem *vm, uint64_t size)
{
	const struct freelist *fl = &vm->vm_free;
	uint64_t quanta = size >> vm->vm_shift;
	unsigned int bin = FL_EXACT;

	if (quanta <= FL_EXACT)
		bin = bin_first(fl, (unsigned int)quanta - 1);
	if (bin < FL_EXACT)
		return (fl->fl_bin[bin]);
	return (sizetree_lower(fl->fl_large, size));
}

/* The one after `tag` in the order of fl_best(): no smaller, or TAG_NIL. */
uint32_t
fl_after(const struct vmem *vm, uint32_t tag)
{
	const struct freelist *fl = &vm->vm_free;
	uint64_t quanta = TAG(tag)->bt_size >> vm->vm_shift;
	unsigned int bin;

	if (quanta > FL_EXACT)
		return (sizetree_next(fl->fl_large, tag));
	if (TAG(tag)->bt_link != TAG_NIL)
		return (TAG(tag)->bt_link);
	bin = bin_first(fl, (unsigned int)quanta);
	if (bin < FL_EXACT)
		return (fl->fl_bin[bin]);
	return (sizetree_lower(fl->fl_large, 1));
}

/* The size of the largest, exact. */
uint64_t
fl_max(const struct vmem *vm)
{
	const struct freelist *fl = &vm->vm_free;
	unsigned int word;

	if (fl->fl_largest != TAG_NIL)
		return (TAG(fl->fl_largest)->bt_size);
	if (fl->fl_summary == 0)
		return (0);
	word = 63 - (unsigned int)__builtin_clzll(fl->fl_summary);
	return ((word * 64 + 64 -
		    (uint64_t)__builtin_clzll(fl->fl_bits[word]))
	    << vm->vm_shift);
}

/* ---- by address --------------------------------------------------------- */

static void
index_insert(struct vmem *vm, uint32_t tag)
{
	if (addrtree_insert(vm, &vm->vm_freetree, tag) == 0)
		TAG(tag)->bt_state = TAG_INDEXED;
	else {
		TAG(tag)->bt_state = TAG_UNINDEXED;
		vm->vm_free.fl_unindexed++;
	}
}

static void
pending_insert(struct vmem *vm, uint32_t tag)
{
	struct freelist *fl = &vm->vm_free;
	unsigned int slot = fl->fl_hand;
	uint32_t old = fl->fl_pending[slot];

	if (old != TAG_NIL)
		index_insert(vm, old);
	fl->fl_pending[slot] = tag;
	fl->fl_hand = (slot + 1) % FL_PENDING;
	slot_set(TAG(tag), slot);
	TAG(tag)->bt_state = TAG_PENDING;
}

static void
index_remove(struct vmem *vm, uint32_t tag)
{
	struct tag *bt = TAG(tag);

	if (bt->bt_state == TAG_PENDING)
		vm->vm_free.fl_pending[slot_of(bt)] = TAG_NIL;
	else if (bt->bt_state == TAG_INDEXED)
		addrtree_remove(vm, &vm->vm_freetree, bt->bt_start);
	else
		vm->vm_free.fl_unindexed--;
	bt->bt_state = TAG_UNINDEXED;
}

/* Index those that had no nodes, by walking the list of segments. */
static int
index_strays(struct vmem *vm)
{
	uint32_t t = TAG(vm->vm_head)->bt_next;

	for (; vm->vm_free.fl_unindexed > 0; t = TAG(t)->bt_next) {
		VERIFY(t != vm->vm_head);
		if (TAG(t)->bt_type != TAG_FREE ||
		    TAG(t)->bt_state != TAG_UNINDEXED)
			continue;
		vm->vm_free.fl_unindexed--;
		index_insert(vm, t);
		if (TAG(t)->bt_state == TAG_UNINDEXED)
			return (ENOMEM);
	}
	return (0);
}

/*
 * Before a question by address: index all that is pending.  ENOMEM: not all,
 * for want of nodes: refill and ask again, or do without the rest.
 */
int
fl_index_all(struct vmem *vm)
{
	struct freelist *fl = &vm->vm_free;
	uint32_t tag;

	for (unsigned int i = 0; i < FL_PENDING; i++) {
		tag = fl->fl_pending[i];
		if (tag == TAG_NIL)
			continue;
		if (addrtree_insert(vm, &vm->vm_freetree, tag) != 0)
			return (ENOMEM);
		fl->fl_pending[i] = TAG_NIL;
		TAG(tag)->bt_state = TAG_INDEXED;
	}
	return (fl->fl_unindexed > 0 ? index_strays(vm) : 0);
}

/* ---- both --------------------------------------------------------------- */

void
fl_insert(struct vmem *vm, uint32_t tag)
{
	TAG(tag)->bt_type = TAG_FREE;
	vm->vm_free.fl_count++;
	bin_insert(vm, tag);
	pending_insert(vm, tag);
}

void
fl_remove(struct vmem *vm, uint32_t tag)
{
	vm->vm_free.fl_count--;
	bin_remove(vm, tag);
	index_remove(vm, tag);
}

/* A free segment grows or shrinks between its neighbours. */
void
fl_change(struct vmem *vm, uint32_t tag, uint64_t start, uint64_t size)
{
	struct tag *bt = TAG(tag);

	bin_remove(vm, tag);
	if (bt->bt_state == TAG_INDEXED)
		addrtree_change(&vm->vm_freetree, bt->bt_start, start, size);
	bt->bt_start = start;
	bt->bt_size = size;
	bin_insert(vm, tag);
}

const char *
fl_check(struct vmem *vm)
{
	struct freelist *fl = &vm->vm_free;
	uint64_t count = 0, large = 0, pending = 0;
	const char *why = sizetree_check(fl->fl_large, &large);

	if (why != NULL)
		return (why);
	for (unsigned int bin = 0; bin < FL_EXACT; bin++) {
		uint32_t back = TAG_NIL;
		bool bit = (fl->fl_bits[bin / 64] >> (bin % 64) & 1) != 0;

		if (bit != (fl->fl_bin[bin] != TAG_NIL))
			return ("the bitmap of bins is wrong");
		for (uint32_t t = fl->fl_bin[bin]; t != TAG_NIL;
		     back = t, t = TAG(t)->bt_link, count++)
			if (TAG(t)->bt_type != TAG_FREE ||
			    TAG(t)->bt_back != back ||
			    TAG(t)->bt_size >> vm->vm_shift != bin + 1)
				return ("a bin holds what it shouldn't");
	}
	for (unsigned int w = 0; w < FL_WORDS; w++)
		if ((fl->fl_summary >> w & 1) != (fl->fl_bits[w] != 0))
			return ("the summary of the bitmap is wrong");
	if (count + large != fl->fl_count)
		return ("the bins lost a free segment");
	if (fl->fl_largest != sizetree_max(fl->fl_large))
		return ("the largest free segment isn't the largest");
	for (unsigned int i = 0; i < FL_PENDING; i++) {
		uint32_t t = fl->fl_pending[i];

		if (t == TAG_NIL)
			continue;
		pending++;
		if (TAG(t)->bt_type != TAG_FREE ||
		    TAG(t)->bt_state != TAG_PENDING || slot_of(TAG(t)) != i)
			return ("the ring of pending segments is wrong");
	}
	if (pending + fl->fl_unindexed + vm->vm_freetree.at_count !=
	    fl->fl_count)
		return ("the index by address lost a free segment");
	return (addrtree_check(&vm->vm_freetree));
}
