/*
 * kmap_tree.c - the entries' list and tree (kmap.h, 1).
 *
 * An AVL tree with parent links, in which ke_maxgap is the largest ke_gap of
 * the subtree.  Whatever changes a node walks up to the root to put heights
 * and largest gaps right: O(log n).  The header is in the list, not in the
 * tree; its gap is looked at by itself.
 */
#include "config.h"

#include "models/kmap.h"

#include "util/assert.h"

static int32_t
height(const struct kmap_entry *ke)
{
	return (ke != NULL ? ke->ke_height : 0);
}

static uint64_t
maxgap(const struct kmap_entry *ke)
{
	return (ke != NULL ? ke->ke_maxgap : 0);
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return (a > b ? a : b);
}

/* What a node knows of its subtree, from its children. */
static void
pull(struct kmap_entry *ke)
{
	int32_t l = height(ke->ke_left), r = height(ke->ke_right);

	ke->ke_height = 1 + (l > r ? l : r);
	ke->ke_maxgap = larger(ke->ke_gap,
	    larger(maxgap(ke->ke_left), maxgap(ke->ke_right)));
}

/* Put `to` where `from` hangs. */
static void
replace(struct kmap *km, struct kmap_entry *from, struct kmap_entry *to)
{
	struct kmap_entry *parent = from->ke_parent;

	if (parent == NULL)
		km->km_root = to;
	else if (parent->ke_left == from)
		parent->ke_left = to;
	else
		parent->ke_right = to;
	if (to != NULL)
		to->ke_parent = parent;
}

/* Its left (right) child takes its place; returns the child. */
static struct kmap_entry *
rotate(struct kmap *km, struct kmap_entry *ke, bool left)
{
	struct kmap_entry *up = left ? ke->ke_left : ke->ke_right;
	struct kmap_entry *inner = left ? up->ke_right : up->ke_left;

	replace(km, ke, up);
	if (left) {
		up->ke_right = ke;
		ke->ke_left = inner;
	} else {
		up->ke_left = ke;
		ke->ke_right = inner;
	}
	ke->ke_parent = up;
	if (inner != NULL)
		inner->ke_parent = ke;
	pull(ke);
	pull(up);
	return (up);
}

static struct kmap_entry *
balance(struct kmap *km, struct kmap_entry *ke)
{
	int32_t lean = height(ke->ke_left) - height(ke->ke_right);
	struct kmap_entry *child;

	if (lean > 1) {
		child = ke->ke_left;
		if (height(child->ke_left) < height(child->ke_right))
			(void)rotate(km, child, false);
		return (rotate(km, ke, true));
	}
	if (lean < -1) {
		child = ke->ke_right;
		if (height(child->ke_right) < height(child->ke_left))
			(void)rotate(km, child, true);
		return (rotate(km, ke, false));
	}
	return (ke);
}

static void
fix_up(struct kmap *km, struct kmap_entry *ke)
{
	for (; ke != NULL; ke = ke->ke_parent) {
		pull(ke);
		ke = balance(km, ke);
	}
}

static void
set_gap(struct kmap *km, struct kmap_entry *ke)
{
	ke->ke_gap = (ke->ke_next != NULL ? ke->ke_next->ke_start :
	    km->km_end) - ke->ke_end;
	if (ke != &km->km_header)
		fix_up(km, ke);
}

/* As a leaf: in the list it follows prev, so it is prev's right child, or the
 * left child of the one after. */
static void
hang(struct kmap *km, struct kmap_entry *prev, struct kmap_entry *ke)
{
	struct kmap_entry *next = ke->ke_next;

	ke->ke_left = ke->ke_right = ke->ke_parent = NULL;
	if (km->km_root == NULL)
		km->km_root = ke;
	else if (prev != &km->km_header && prev->ke_right == NULL) {
		prev->ke_right = ke;
		ke->ke_parent = prev;
	} else {
		ASSERT(next != NULL && next->ke_left == NULL);
		next->ke_left = ke;
		ke->ke_parent = next;
	}
}

void
kmap_insert(struct kmap *km, struct kmap_entry *prev, struct kmap_entry *ke)
{
	ke->ke_prev = prev;
	ke->ke_next = prev->ke_next;
	if (ke->ke_next != NULL)
		ke->ke_next->ke_prev = ke;
	prev->ke_next = ke;
	hang(km, prev, ke);
	km->km_count++;
	km->km_generation++;
	if (ke->ke_end > km->km_high)
		km->km_high = ke->ke_end;
	set_gap(km, ke);
	set_gap(km, prev);
	/* No gap lies before first_free: it moves on if this one closed it. */
	if (km->km_first_free == prev && prev->ke_gap == 0)
		km->km_first_free = ke;
}

void
kmap_remove(struct kmap *km, struct kmap_entry *ke)
{
	struct kmap_entry *prev = ke->ke_prev, *from, *next = ke->ke_next;

	/* Out of the tree: one with two children changes places with the one
	 * after, which has no left child. */
	if (ke->ke_left != NULL && ke->ke_right != NULL) {
		from = next->ke_parent == ke ? next : next->ke_parent;
		replace(km, next, next->ke_right);
		next->ke_left = ke->ke_left;
		next->ke_left->ke_parent = next;
		next->ke_right = ke->ke_right;
		if (next->ke_right != NULL)
			next->ke_right->ke_parent = next;
		replace(km, ke, next);
	} else {
		from = ke->ke_parent;
		replace(km, ke,
		    ke->ke_left != NULL ? ke->ke_left : ke->ke_right);
	}
	fix_up(km, from);
	prev->ke_next = next;
	if (next != NULL)
		next->ke_prev = prev;
	km->km_count--;
	km->km_generation++;
	if (km->km_hint == ke)
		km->km_hint = prev;
	if (km->km_first_free == ke || ke->ke_start <
	    km->km_first_free->ke_end)
		km->km_first_free = prev;
	set_gap(km, prev);
}

void
kmap_changed(struct kmap *km, struct kmap_entry *ke)
{
	km->km_generation++;
	if (ke->ke_end > km->km_high)
		km->km_high = ke->ke_end;
	set_gap(km, ke);
	set_gap(km, ke->ke_prev);
	if (km->km_first_free == ke->ke_prev && ke->ke_prev->ke_gap == 0)
		km->km_first_free = ke;
	else if (ke->ke_prev->ke_gap > 0 && ke->ke_prev->ke_end <
	    km->km_first_free->ke_end)
		km->km_first_free = ke->ke_prev;
	else if (ke->ke_gap > 0 && ke->ke_end < km->km_first_free->ke_end)
		km->km_first_free = ke;
}

struct kmap_entry *
kmap_seek(struct kmap *km, uint64_t addr, uint64_t *stepsp)
{
	struct kmap_entry *ke = km->km_hint, *found = &km->km_header;

	/* What was looked up last is often looked up again. */
	++*stepsp;
	if (ke != &km->km_header && addr >= ke->ke_start && addr < ke->ke_end)
		return (ke);
	for (ke = km->km_root; ke != NULL;) {
		++*stepsp;
		if (addr < ke->ke_start)
			ke = ke->ke_left;
		else {
			found = ke;
			if (addr < ke->ke_end)
				break;
			ke = ke->ke_right;
		}
	}
	km->km_hint = found;
	return (found);
}

/* ---- finding space ------------------------------------------------------ */

static bool
fits(const struct kmap_entry *ke, uint64_t size, uint64_t align,
    uint64_t *startp)
{
	uint64_t start = ke->ke_end;

	if (align > MODEL_PAGE)
		start = (start + align - 1) & ~(align - 1);
	if (ke->ke_gap < size || start - ke->ke_end > ke->ke_gap - size)
		return (false);
	*startp = start;
	return (true);
}

/* The first in the subtree with a gap of that size, none of which is before
 * the entry `from`: NULL, if there is none at all. */
static struct kmap_entry *
first_gap(struct kmap_entry *ke, uint64_t size)
{
	while (ke != NULL && ke->ke_maxgap >= size) {
		if (maxgap(ke->ke_left) >= size)
			ke = ke->ke_left;
		else if (ke->ke_gap >= size)
			return (ke);
		else
			ke = ke->ke_right;
	}
	return (NULL);
}

/* The next after ke, in address order, with a gap of that size. */
static struct kmap_entry *
next_gap(struct kmap_entry *ke, uint64_t size)
{
	struct kmap_entry *found = first_gap(ke->ke_right, size);

	while (found == NULL && ke->ke_parent != NULL) {
		struct kmap_entry *parent = ke->ke_parent;

		if (parent->ke_left == ke) {
			if (parent->ke_gap >= size)
				return (parent);
			found = first_gap(parent->ke_right, size);
		}
		ke = parent;
	}
	return (found);
}

struct kmap_entry *
kmap_space(struct kmap *km, uint64_t size, uint64_t align, uint64_t *startp)
{
	struct kmap_entry *ke = km->km_first_free;

	if (fits(ke, size, align, startp))
		return (ke);
	if (ke == &km->km_header)
		ke = first_gap(km->km_root, size);
	else
		ke = next_gap(ke, size);
	while (ke != NULL && !fits(ke, size, align, startp))
		ke = next_gap(ke, size);
	return (ke);
}
