/*
 * addrtree.c - ranges ordered by address, with the largest below each node.
 *
 * What is asked by address: the first (last) entry from a key on (back) whose
 * `max' is at least so large.  One tree finds an arena's rows of tags (row.c:
 * key: where the row begins, max: its largest free segment), another its spans
 * (key: start, max: size).  All in quanta.
 *
 * A B+-tree of 512-byte nodes: 24 entries of key, max, and child (a node, or in
 * leaves what the entry is for).  A binary tree would cost one cache miss a
 * level; of this one all levels but the last stay in the cache.
 *
 *	key[i]	a leaf: the entry's.  Above: a separator: every key below child
 *		i-1 < key[i] <= every key below child i; key[0] is 0.
 *	max[i]	the largest max below child i (in a leaf: the entry's).
 *
 * Insertion splits the full nodes above and at the place, and no others; removal
 * merges a node that has become sparse with a neighbour if both fill at most
 * three quarters of one, so every node but the root's path is at least a third
 * full on average, and an empty one never stays.
 *
 * Nodes come from the arena's stock, which has what an insertion may need
 * before the operation begins: one a level and a new root.
 *
 * Searching is a descent that turns back at most once a level: a child whose
 * max is large enough can disappoint only if it is the first (last) of the
 * range, cut by the bound.
 *
 * Where a leaf's largest changes, that is often one of several alike, and often
 * comes back soon; so the nodes above hear of it later, or when a search is to
 * come: addrtree_settle().  Meanwhile nd_top is what they have.  Whatever else
 * changes a leaf settles it first.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <string.h>

#define NODE_PLACES 24u
#ifndef FANOUT
#define FANOUT NODE_PLACES
#endif
#define SPARSE (FANOUT / 3)
#define MERGED_MAX (FANOUT * 3 / 4)
/* 2^23 entries, at least 8 a node once merged. */
#define LEVELS_MAX ADDRTREE_LEVELS

struct node {
	uint16_t nd_count;
	uint16_t nd_level;	/* 0: a leaf */
	uint32_t nd_up;		/* its parent, or UNIT_NIL */
	uint64_t nd_top;	/* the largest of nd_max, unless nd_due */
	uint64_t nd_key[NODE_PLACES]; /* unused ones are UINT64_MAX */
	uint64_t nd_max[NODE_PLACES]; /* 0 */
	uint32_t nd_child[NODE_PLACES];
	uint8_t nd_due;		/* 1 + its place in vm_due_leaf, or 0 */
};
_Static_assert(sizeof(struct node) <= UNIT_BYTES, "a node is a unit");

static inline void
unit_prefetch(const void *unit)
{
#pragma GCC unroll 8
	for (unsigned int i = 0; i < UNIT_BYTES; i += 64)
		__builtin_prefetch((const char *)unit + i);
}

/* The way down to a leaf. */
struct way {
	struct node *node[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX];
	unsigned int depth; /* node[depth] is the leaf */
};

static struct node *
NODE(uint32_t unit)
{
	return (UNIT(unit));
}

static uint32_t
node_unit(const struct node *nd)
{
	return ((uint32_t)(((const char *)nd - unit_table) / UNIT_BYTES));
}

static uint32_t
node_get(struct vmem *vm, unsigned int level)
{
	uint32_t unit = unit_take(vm);
	struct node *nd = NODE(unit);

	nd->nd_count = 0;
	nd->nd_level = (uint16_t)level;
	nd->nd_up = UNIT_NIL;
	nd->nd_top = 0;
	nd->nd_due = 0;
	for (unsigned int i = 0; i < NODE_PLACES; i++) {
		nd->nd_key[i] = UINT64_MAX;
		nd->nd_max[i] = 0;
	}
	return (unit);
}

/* A child hears who its parent is. */
static void
adopt(struct node *nd, unsigned int slot)
{
	uint32_t child = nd->nd_child[slot];

	if (nd->nd_level > 0)
		NODE(child)->nd_up = node_unit(nd);
	else if (child != UNIT_NIL)
		ROW(child)->rw_up = node_unit(nd);
}

/* Of all places, in four chains and without a branch: sizes are often equal, so
 * whether one more or less matters to its node can't be foretold. */
static inline uint64_t
node_max(const struct node *nd)
{
	uint64_t max[4] = { 0 };

#pragma GCC unroll 24
	for (unsigned int i = 0; i < NODE_PLACES; i++)
		max[i % 4] = nd->nd_max[i] > max[i % 4] ? nd->nd_max[i] :
							  max[i % 4];
	max[0] = max[1] > max[0] ? max[1] : max[0];
	max[2] = max[3] > max[2] ? max[3] : max[2];
	return (max[2] > max[0] ? max[2] : max[0]);
}

/*
 * The number of keys <= key, in two steps of few comparisons without branches:
 * none could be foretold.
 */
static inline unsigned int
keys_upto(const struct node *nd, uint64_t key)
{
	const uint64_t *k = nd->nd_key;
	unsigned int n = 6u * ((unsigned int)(k[5] <= key) + (k[11] <= key) +
		(k[17] <= key));

	k += n;
	n += (unsigned int)(k[0] <= key) + (k[1] <= key) + (k[2] <= key) +
	    (k[3] <= key) + (k[4] <= key) + (k[5] <= key);
	return (n < nd->nd_count ? n : nd->nd_count);
}
_Static_assert(NODE_PLACES == 24, "three borders part four sixths");
_Static_assert(FANOUT <= NODE_PLACES, "an array's use, and its length");

/* The child to look into for `key`: the last whose separator is <= key; that
 * of the first child is 0. */
static inline unsigned int
child_for(const struct node *nd, uint64_t key)
{
	return (keys_upto(nd, key) - 1);
}

static void
node_open(struct node *nd, unsigned int slot)
{
	size_t n = nd->nd_count - slot;

	memmove(&nd->nd_key[slot + 1], &nd->nd_key[slot], n * sizeof(uint64_t));
	memmove(&nd->nd_max[slot + 1], &nd->nd_max[slot], n * sizeof(uint64_t));
	memmove(&nd->nd_child[slot + 1], &nd->nd_child[slot],
	    n * sizeof(uint32_t));
	nd->nd_count++;
}

static void
node_close(struct node *nd, unsigned int slot)
{
	size_t n = nd->nd_count - slot - 1u;

	memmove(&nd->nd_key[slot], &nd->nd_key[slot + 1], n * sizeof(uint64_t));
	memmove(&nd->nd_max[slot], &nd->nd_max[slot + 1], n * sizeof(uint64_t));
	memmove(&nd->nd_child[slot], &nd->nd_child[slot + 1],
	    n * sizeof(uint32_t));
	nd->nd_key[--nd->nd_count] = UINT64_MAX;
	nd->nd_max[nd->nd_count] = 0;
	if (slot == 0 && nd->nd_level > 0)
		nd->nd_key[0] = 0;
}

/* Move the entries of src from slot `from` on to the end of dst. */
static void
node_append(struct node *dst, struct node *src, unsigned int from)
{
	for (unsigned int i = from; i < src->nd_count; i++) {
		unsigned int n = dst->nd_count++;

		dst->nd_key[n] = src->nd_key[i];
		dst->nd_max[n] = src->nd_max[i];
		dst->nd_child[n] = src->nd_child[i];
		src->nd_key[i] = UINT64_MAX;
		src->nd_max[i] = 0;
		adopt(dst, n);
	}
	src->nd_count = (uint16_t)from;
	src->nd_top = node_max(src);
	dst->nd_top = node_max(dst);
}

/* Split the full child in `slot` of a parent that has room. */
static void
split_child(struct vmem *vm, struct node *parent, unsigned int slot)
{
	struct node *left = NODE(parent->nd_child[slot]), *right;
	uint32_t unit = node_get(vm, left->nd_level);

	right = NODE(unit);
	node_append(right, left, FANOUT / 2);
	node_open(parent, slot + 1);
	parent->nd_key[slot + 1] = right->nd_key[0];
	parent->nd_child[slot + 1] = unit;
	parent->nd_max[slot] = left->nd_top;
	parent->nd_max[slot + 1] = right->nd_top;
	if (right->nd_level > 0)
		right->nd_key[0] = 0;
	adopt(parent, slot + 1);
}

static void
grow_root(struct vmem *vm, struct addrtree *at)
{
	uint32_t unit = node_get(vm, at->at_depth);
	struct node *root = NODE(unit);

	if (at->at_depth > 0) {
		root->nd_count = 1;
		root->nd_key[0] = 0;
		root->nd_child[0] = at->at_root;
		root->nd_max[0] = root->nd_top = NODE(at->at_root)->nd_top;
		adopt(root, 0);
	}
	at->at_root = unit;
	at->at_depth++;
	VERIFY(at->at_depth <= LEVELS_MAX);
	vm->vm_low = arena_low(vm);
}

/* ---- a leaf's largest --------------------------------------------------- */

/* The largest below a node changes from nd_top to `top': upwards as far as that
 * is the largest of a node, or was. */
static void
top_change(struct vmem *vm, struct node *nd, uint64_t key, uint64_t top)
{
	for (;;) {
		struct node *up;
		unsigned int slot;
		uint64_t old = nd->nd_top;

		nd->nd_top = top;
		if (nd->nd_up == UNIT_NIL)
			break;
		STEP(vm);
		up = NODE(nd->nd_up);
		slot = child_for(up, key);
		up->nd_max[slot] = top;
		if (top > up->nd_top)
			nd = up;
		else if (old == up->nd_top && (top = node_max(up)) != old)
			nd = up;
		else
			break;
	}
}

/* The nodes above hear of it. */
static void
leaf_tell(struct vmem *vm, struct node *nd)
{
	uint64_t top = node_max(nd);

	STEP(vm);
	due_drop(&vm->vm_due_leaves, vm->vm_due_leaf, &nd->nd_due);
	if (top != nd->nd_top)
		top_change(vm, nd, nd->nd_key[0], top);
}

static struct node *
leaf_of(const struct addrtree *at, uint64_t key)
{
	struct node *nd = NODE(at->at_root);

	for (; nd->nd_level > 0; nd = NODE(nd->nd_child[child_for(nd, key)]))
		STEP(at);
	return (nd);
}

static inline void
leaf_settle(struct vmem *vm, struct node *nd)
{
	if (nd->nd_due != 0)
		leaf_tell(vm, nd);
}

/* The oldest ones, to make room. */
static __attribute__((noinline)) void
leaves_retire(struct vmem *vm)
{
	const uint32_t *due = &vm->vm_due_leaf[vm->vm_due_leaves.du_at];

	for (unsigned int i = 0; i < DUE_RETIRE; i++)
		if (due[i] != UNIT_NIL)
			leaf_tell(vm, NODE(due[i]));
}

/* Before a search in vm_rows. */
void
addrtree_settle(struct vmem *vm)
{
	unsigned int at = vm->vm_due_leaves.du_at;
	uint32_t leaf;

	while ((leaf = due_newest(&vm->vm_due_leaves, vm->vm_due_leaf,
		    DUE_LEAVES, &at)) != UNIT_NIL)
		leaf_tell(vm, NODE(leaf));
}

/* The max of the entry at that slot of a leaf of vm_rows changes. */
static inline void
max_change(struct vmem *vm, struct node *nd, unsigned int slot, uint64_t max)
{
	uint64_t old = nd->nd_max[slot];
	bool is = (max > nd->nd_top) | ((old == nd->nd_top) & (max != old));

	nd->nd_max[slot] = max;
	if (__builtin_expect(due_add(&vm->vm_due_leaves, vm->vm_due_leaf,
		DUE_LEAVES, node_unit(nd), &nd->nd_due, is), 0))
		leaves_retire(vm);
}

/* ---- inserting and removing --------------------------------------------- */

/*
 * How many nodes, from the leaf upwards, are full where `key` belongs: those an
 * insertion splits, and no others.  Down with the one above known to have room
 * or to have been split, so that one pass does.
 */
static unsigned int
addrtree_full(const struct addrtree *at, uint64_t key)
{
	const struct node *nd;
	unsigned int full = 0;

	if (at->at_depth == 0)
		return (0);
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[child_for(nd, key)])) {
		STEP(at);
		full = nd->nd_count == FANOUT ? full + 1 : 0;
	}
	return (nd->nd_count == FANOUT ? full + 1 : 0);
}

void
addrtree_insert(
    struct vmem *vm, struct addrtree *at, const struct addrentry *entry)
{
	unsigned int full = addrtree_full(at, entry->ae_key), slot;
	struct node *nd, *child;

	if (at->at_depth > 0)
		leaf_settle(vm, leaf_of(at, entry->ae_key));
	if (full == at->at_depth) {
		grow_root(vm, at);
		if (at->at_depth > 1)
			split_child(vm, NODE(at->at_root), 0);
	}
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot])) {
		STEP(vm);
		slot = child_for(nd, entry->ae_key);
		child = NODE(nd->nd_child[slot]);
		if (child->nd_level < full && child->nd_count == FANOUT) {
			split_child(vm, nd, slot);
			if (nd->nd_key[slot + 1] <= entry->ae_key)
				slot++;
		}
		if (nd->nd_max[slot] < entry->ae_max)
			nd->nd_max[slot] = entry->ae_max;
		if (nd->nd_top < entry->ae_max)
			nd->nd_top = entry->ae_max;
	}
	slot = keys_upto(nd, entry->ae_key);
	ASSERT(slot == 0 || nd->nd_key[slot - 1] < entry->ae_key);
	node_open(nd, slot);
	nd->nd_key[slot] = entry->ae_key;
	nd->nd_max[slot] = entry->ae_max;
	nd->nd_child[slot] = entry->ae_child;
	if (nd->nd_top < entry->ae_max)
		nd->nd_top = entry->ae_max;
	adopt(nd, slot);
	at->at_count++;
}

static void
way_find(const struct addrtree *at, uint64_t key, struct way *way)
{
	struct node *nd;
	unsigned int slot;

	VERIFY(at->at_depth > 0);
	nd = NODE(at->at_root);
	way->depth = 0;
	while (nd->nd_level > 0) {
		STEP(at);
		slot = child_for(nd, key);
		way->node[way->depth] = nd;
		way->slot[way->depth++] = slot;
		nd = NODE(nd->nd_child[slot]);
	}
	slot = keys_upto(nd, key);
	VERIFY(slot > 0 && nd->nd_key[slot - 1] == key);
	way->node[way->depth] = nd;
	way->slot[way->depth] = slot - 1;
}

/* Join the children in `slot` and after it, if both exist and fit well. */
static bool
join_children(struct vmem *vm, struct node *parent, unsigned int slot)
{
	struct node *left, *right;
	uint32_t gone;

	if (slot + 1 >= parent->nd_count)
		return (false);
	gone = parent->nd_child[slot + 1];
	left = NODE(parent->nd_child[slot]);
	right = NODE(gone);
	if (left->nd_count + right->nd_count > MERGED_MAX)
		return (false);
	leaf_settle(vm, left);
	leaf_settle(vm, right);
	/* A separator becomes the key that an inner node doesn't use in 0. */
	right->nd_key[0] = right->nd_level > 0 ? parent->nd_key[slot + 1] :
						 right->nd_key[0];
	node_append(left, right, 0);
	parent->nd_max[slot] = left->nd_top;
	node_close(parent, slot + 1);
	unit_give(vm, gone);
	return (true);
}

/* Drop the child in `slot` if empty; else join it with a neighbour.  Either
 * will do: so of two neighbours one at least is a third full, whatever becomes
 * sparse in which order. */
static void
merge_child(struct vmem *vm, struct node *parent, unsigned int slot)
{
	uint32_t unit = parent->nd_child[slot];

	if (NODE(unit)->nd_count == 0) {
		node_close(parent, slot);
		unit_give(vm, unit);
		return;
	}
	if (!join_children(vm, parent, slot) && slot > 0)
		(void)join_children(vm, parent, slot - 1);
}

void
addrtree_remove(struct vmem *vm, struct addrtree *at, uint64_t key)
{
	struct way way;
	unsigned int d;
	uint32_t root;

	way_find(at, key, &way);
	d = way.depth;
	way.node[d]->nd_max[way.slot[d]] = 0;
	leaf_tell(vm, way.node[d]);
	node_close(way.node[d], way.slot[d]);
	at->at_count--;
	while (d > 0 && way.node[d]->nd_count < SPARSE) {
		d--;
		merge_child(vm, way.node[d], way.slot[d]);
	}
	/* A root with one child, or an empty leaf, isn't needed. */
	while (at->at_depth > 0) {
		root = at->at_root;
		if (NODE(root)->nd_count > (NODE(root)->nd_level > 0 ? 1 : 0))
			break;
		if (NODE(root)->nd_count == 0)
			*at = (struct addrtree) { .at_root = UNIT_NIL };
		else {
			at->at_root = NODE(root)->nd_child[0];
			at->at_depth--;
			NODE(at->at_root)->nd_up = UNIT_NIL;
		}
		unit_give(vm, root);
		vm->vm_low = arena_low(vm);
	}
}

/*
 * The entry's key changes; it stays between the same neighbours.  Separators on
 * the way are moved where they would part it from its leaf.
 */
void
addrtree_change(
    struct vmem *vm, struct addrtree *at, uint64_t key, uint64_t newkey)
{
	struct way way;
	struct node *nd;
	unsigned int slot;

	STEP(vm);
	way_find(at, key, &way);
	for (unsigned int d = 0; d < way.depth; d++) {
		nd = way.node[d];
		slot = way.slot[d];
		if (slot > 0 && nd->nd_key[slot] > newkey)
			nd->nd_key[slot] = newkey;
		if (slot + 1u < nd->nd_count && nd->nd_key[slot + 1] <= newkey)
			nd->nd_key[slot + 1] = newkey + 1;
	}
	way.node[way.depth]->nd_key[way.slot[way.depth]] = newkey;
}

static bool
found(const struct node *nd, unsigned int i, struct addrentry *entry)
{
	*entry = (struct addrentry) { .ae_key = nd->nd_key[i],
		.ae_max = nd->nd_max[i],
		.ae_child = nd->nd_child[i] };
	return (true);
}

/*
 * The first entry with key >= from and max >= size.  Down to where `from`
 * belongs; then along the leaf, and if that has none, up to the first parent
 * with a later child that is large enough, and down its first such entries.
 */
bool
addrtree_first(const struct addrtree *at, uint64_t from, uint64_t size,
    struct addrentry *entry)
{
	const struct node *way[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX], d = 0, i;
	const struct node *nd;

	if (at->at_depth == 0)
		return (false);
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot[d++]])) {
		STEP(at);
		way[d] = nd;
		slot[d] = child_for(nd, from);
	}
	i = from == 0 ? 0 : keys_upto(nd, from - 1);
	for (;;) {
		STEP(at);
		for (; i < nd->nd_count && nd->nd_max[i] < size; i++)
			continue;
		if (i < nd->nd_count) {
			if (nd->nd_level == 0)
				return (found(nd, i, entry));
			way[d] = nd;
			slot[d++] = i;
			nd = NODE(nd->nd_child[i]);
			i = 0;
			continue;
		}
		if (d == 0)
			return (false);
		nd = way[--d];
		i = slot[d] + 1;
	}
}

/* The last entry with key <= upto and max >= size. */
bool
addrtree_last(const struct addrtree *at, uint64_t upto, uint64_t size,
    struct addrentry *entry)
{
	const struct node *way[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX], d = 0, i;
	const struct node *nd;

	if (at->at_depth == 0)
		return (false);
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot[d++]])) {
		STEP(at);
		way[d] = nd;
		slot[d] = child_for(nd, upto);
	}
	i = keys_upto(nd, upto); /* entries [0, i) are in reach */
	for (;;) {
		STEP(at);
		for (; i > 0 && nd->nd_max[i - 1] < size; i--)
			continue;
		if (i > 0) {
			if (nd->nd_level == 0)
				return (found(nd, i - 1, entry));
			way[d] = nd;
			slot[d++] = i - 1;
			nd = NODE(nd->nd_child[i - 1]);
			i = nd->nd_count;
			continue;
		}
		if (d == 0)
			return (false);
		nd = way[--d];
		i = slot[d];
	}
}

/*
 * The child of the last entry with key <= upto: there is one.  The way of every
 * free, so without an entry's copy and without turning back, which happens only
 * where a leaf's first entry has been removed.
 */
static inline uint32_t
addrtree_child(const struct vmem *vm, const struct addrtree *at, uint64_t upto)
{
	const struct node *nd = NODE(at->at_root);
	struct addrentry entry;
	unsigned int slot;

	while (nd->nd_level > 0) {
		STEP(vm);
		nd = NODE(nd->nd_child[child_for(nd, upto)]);
		/* Lines that will be wanted, if only to change the row's max. */
		unit_prefetch(nd);
	}
	slot = keys_upto(nd, upto);
	if (__builtin_expect(slot > 0, 1))
		return (nd->nd_child[slot - 1]);
	VERIFY(addrtree_last(at, upto, 0, &entry));
	return (entry.ae_child);
}

uint64_t
addrtree_max(const struct addrtree *at)
{
	return (at->at_depth == 0 ? 0 : NODE(at->at_root)->nd_top);
}

/* Give every node back, without the lock; recursion is as deep as the tree. */
static void
node_fini(struct vmem *vm, uint32_t unit)
{
	struct node *nd = NODE(unit);

	if (nd->nd_level > 0)
		for (unsigned int i = 0; i < nd->nd_count; i++)
			node_fini(vm, nd->nd_child[i]);
	if (vm->vm_nunits == UNITS_MAX)
		units_drain(vm);
	unit_give(vm, unit);
}

void
addrtree_fini(struct vmem *vm, struct addrtree *at)
{
	if (at->at_depth > 0)
		node_fini(vm, at->at_root);
	*at = (struct addrtree) { .at_root = UNIT_NIL };
}

/* Keys of the subtree lie in [lo, hi]; counts its entries. */
static bool
node_check(uint32_t unit, unsigned int level, uint64_t lo, uint64_t hi,
    uint64_t *countp)
{
	const struct node *nd = NODE(unit);

	if (nd->nd_level != level || nd->nd_count == 0 ||
	    nd->nd_count > FANOUT || nd->nd_top != node_max(nd))
		return (false);
	for (unsigned int i = nd->nd_count; i < NODE_PLACES; i++)
		if (nd->nd_key[i] != UINT64_MAX || nd->nd_max[i] != 0)
			return (false);
	for (unsigned int i = 0; i < nd->nd_count; i++) {
		uint64_t from = i == 0 && level > 0 ? lo : nd->nd_key[i];
		uint64_t to = i + 1u < nd->nd_count ? nd->nd_key[i + 1] - 1 : hi;

		if (from < lo || from > to || to > hi)
			return (false);
		if (level > 0) {
			if (nd->nd_max[i] != NODE(nd->nd_child[i])->nd_top ||
			    NODE(nd->nd_child[i])->nd_up != unit ||
			    !node_check(nd->nd_child[i], level - 1, from, to,
				countp))
				return (false);
			continue;
		}
		(*countp)++;
	}
	return (true);
}

const char *
addrtree_check(const struct addrtree *at)
{
	uint64_t count = 0;

	if (at->at_depth > 0 &&
	    !node_check(at->at_root, at->at_depth - 1, 0, UINT64_MAX, &count))
		return ("the tree by address is out of order");
	return (count == at->at_count ? NULL :
					"the tree by address lost an entry");
}
