/*
 * addrtree.c - segments ordered by address, with the largest below each node.
 *
 * What min/max, `at`, first, next and last fit, contains and walks ask: the
 * first (last) segment from an address on (back) that is at least so large.
 * One tree holds an arena's free segments, another its spans.
 *
 * A B+-tree of 512-byte nodes: 24 entries of key, largest size, and child (a
 * node, or in leaves a tag).  A binary tree through the tags would cost one
 * cache miss a level, twenty levels at a million; this one has four or five
 * levels, of which all but the last stay in the cache.
 *
 *	key[i]	a leaf: the segment's start.  Above: a separator: every key
 *		below child i-1 < key[i] <= every key below child i; key[0] is
 *		not used.
 *	max[i]	the largest size below child i (in a leaf: of the entry).
 *
 * Insertion splits full nodes on the way down, so one pass does; removal
 * merges a node that has become sparse with a neighbour if both fill at most
 * three quarters of one, so every node but the root's path is at least a third
 * full on average, and an empty one never stays.
 *
 * Nodes come from the arena's stock (arena_impl.h), since an insertion may
 * happen while freeing, which must not fail: without nodes, the insertion is
 * refused, and the caller (freelist.c) goes on without the index.
 *
 * Searching is a descent that turns back at most once a level: a child whose
 * max is large enough can disappoint only if it is the first (last) of the
 * range, cut by the bound.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <string.h>

#define FANOUT 24u
#define SPARSE (FANOUT / 3)
#define MERGED_MAX (FANOUT * 3 / 4)
/* 2^28 entries, at least 8 a node once merged: ten levels and room. */
#define LEVELS_MAX 14u

struct node {
	uint16_t nd_count;
	uint16_t nd_level; /* 0: a leaf */
	uint32_t nd_spare;
	uint64_t nd_key[FANOUT];
	uint64_t nd_max[FANOUT];
	uint32_t nd_child[FANOUT];
};
_Static_assert(sizeof(struct node) <= TAGS_PER_UNIT * sizeof(struct tag),
    "a node is one unit of the pool");

/* The way down to a leaf. */
struct way {
	struct node *node[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX];
	unsigned int depth; /* node[depth] is the leaf */
};

static struct node *
NODE(uint32_t unit)
{
	return (unit_ptr(unit));
}

static uint32_t
node_get(struct vmem *vm, unsigned int level)
{
	uint32_t unit = vm->vm_nodes[--vm->vm_nnodes];

	NODE(unit)->nd_count = 0;
	NODE(unit)->nd_level = (uint16_t)level;
	return (unit);
}

/* The stock has room: see NODES_MAX. */
static void
node_put(struct vmem *vm, uint32_t unit)
{
	VERIFY(vm->vm_nnodes < NODES_MAX);
	vm->vm_nodes[vm->vm_nnodes++] = unit;
}

static uint64_t
node_max(const struct node *nd)
{
	uint64_t max = 0;

	for (unsigned int i = 0; i < nd->nd_count; i++)
		if (nd->nd_max[i] > max)
			max = nd->nd_max[i];
	return (max);
}

/* The number of keys <= key, from slot `from` on. */
static unsigned int
keys_upto(const struct node *nd, unsigned int from, uint64_t key)
{
	unsigned int n = nd->nd_count - from;
	const uint64_t *base = &nd->nd_key[from];

	/* Without branches that depend on the keys: they can't be foretold. */
	while (n > 1) {
		unsigned int half = n / 2;

		base += base[half - 1] <= key ? half : 0;
		n -= half;
	}
	if (n == 1)
		base += *base <= key;
	return ((unsigned int)(base - nd->nd_key));
}

/* The child to look into for `key`: the last whose separator is <= key. */
static unsigned int
child_for(const struct node *nd, uint64_t key)
{
	return (keys_upto(nd, 1, key) - 1);
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
	nd->nd_count--;
}

/* Move the entries of src from slot `from` on to the end of dst. */
static void
node_append(struct node *dst, struct node *src, unsigned int from)
{
	size_t n = src->nd_count - from;

	memcpy(&dst->nd_key[dst->nd_count], &src->nd_key[from],
	    n * sizeof(uint64_t));
	memcpy(&dst->nd_max[dst->nd_count], &src->nd_max[from],
	    n * sizeof(uint64_t));
	memcpy(&dst->nd_child[dst->nd_count], &src->nd_child[from],
	    n * sizeof(uint32_t));
	dst->nd_count = (uint16_t)(dst->nd_count + n);
	src->nd_count = (uint16_t)from;
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
	parent->nd_max[slot] = node_max(left);
	parent->nd_max[slot + 1] = node_max(right);
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
		root->nd_max[0] = node_max(NODE(at->at_root));
	}
	at->at_root = unit;
	at->at_depth++;
}

/* ENOMEM: the stock of nodes might not do; nothing has changed. */
int
addrtree_insert(struct vmem *vm, struct addrtree *at, uint32_t tag)
{
	uint64_t start = TAG(tag)->bt_start, size = TAG(tag)->bt_size;
	struct node *nd;
	unsigned int slot;

	if (vm->vm_nnodes < at->at_depth + 1 || at->at_depth == LEVELS_MAX - 1)
		return (ENOMEM);
	if (at->at_depth == 0 || NODE(at->at_root)->nd_count == FANOUT) {
		grow_root(vm, at);
		if (at->at_depth > 1)
			split_child(vm, NODE(at->at_root), 0);
	}
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot])) {
		slot = child_for(nd, start);
		if (NODE(nd->nd_child[slot])->nd_count == FANOUT) {
			split_child(vm, nd, slot);
			if (nd->nd_key[slot + 1] <= start)
				slot++;
		}
		if (nd->nd_max[slot] < size)
			nd->nd_max[slot] = size;
	}
	slot = keys_upto(nd, 0, start);
	ASSERT(slot == 0 || nd->nd_key[slot - 1] < start);
	node_open(nd, slot);
	nd->nd_key[slot] = start;
	nd->nd_max[slot] = size;
	nd->nd_child[slot] = tag;
	at->at_count++;
	return (0);
}

static void
way_find(const struct addrtree *at, uint64_t start, struct way *way)
{
	struct node *nd;
	unsigned int slot;

	VERIFY(at->at_depth > 0);
	nd = NODE(at->at_root);
	way->depth = 0;
	while (nd->nd_level > 0) {
		slot = child_for(nd, start);
		way->node[way->depth] = nd;
		way->slot[way->depth++] = slot;
		nd = NODE(nd->nd_child[slot]);
	}
	slot = keys_upto(nd, 0, start);
	VERIFY(slot > 0 && nd->nd_key[slot - 1] == start);
	way->node[way->depth] = nd;
	way->slot[way->depth] = slot - 1;
}

/* Carry a changed maximum of the node at `depth` upwards. */
static void
way_update_max(const struct way *way, unsigned int depth)
{
	while (depth > 0) {
		uint64_t max = node_max(way->node[depth]);
		struct node *up = way->node[--depth];

		if (up->nd_max[way->slot[depth]] == max)
			break;
		up->nd_max[way->slot[depth]] = max;
	}
}

/* Drop the child in `slot` if empty; else join it with a neighbour, if they
 * fit well. */
static void
merge_child(struct vmem *vm, struct node *parent, unsigned int slot)
{
	struct node *left, *right;
	uint32_t gone = parent->nd_child[slot];

	if (NODE(gone)->nd_count == 0) {
		node_close(parent, slot);
		node_put(vm, gone);
		return;
	}
	if (parent->nd_count == 1)
		return;
	if (slot == parent->nd_count - 1u)
		slot--;
	left = NODE(parent->nd_child[slot]);
	right = NODE(parent->nd_child[slot + 1]);
	if (left->nd_count + right->nd_count > MERGED_MAX)
		return;
	gone = parent->nd_child[slot + 1];
	/* A separator becomes the key that an inner node doesn't use in 0. */
	right->nd_key[0] = right->nd_level > 0 ? parent->nd_key[slot + 1] :
						 right->nd_key[0];
	node_append(left, right, 0);
	parent->nd_max[slot] = node_max(left);
	node_close(parent, slot + 1);
	node_put(vm, gone);
}

void
addrtree_remove(struct vmem *vm, struct addrtree *at, uint64_t start)
{
	struct way way;
	unsigned int d;
	uint32_t root;

	way_find(at, start, &way);
	d = way.depth;
	node_close(way.node[d], way.slot[d]);
	at->at_count--;
	way_update_max(&way, d);
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
			*at = (struct addrtree) { .at_root = TAG_NIL };
		else {
			at->at_root = NODE(root)->nd_child[0];
			at->at_depth--;
		}
		node_put(vm, root);
	}
}

/*
 * The segment that starts at `start` now has another start and size, and is
 * still between the same neighbours.  Separators on the way are moved where
 * they would part the entry from its leaf.
 */
void
addrtree_change(struct addrtree *at, uint64_t start, uint64_t newstart,
    uint64_t newsize)
{
	struct way way;
	struct node *nd;
	unsigned int slot;

	way_find(at, start, &way);
	for (unsigned int d = 0; d < way.depth; d++) {
		nd = way.node[d];
		slot = way.slot[d];
		if (slot > 0 && nd->nd_key[slot] > newstart)
			nd->nd_key[slot] = newstart;
		if (slot + 1u < nd->nd_count && nd->nd_key[slot + 1] <= newstart)
			nd->nd_key[slot + 1] = newstart + 1;
	}
	nd = way.node[way.depth];
	slot = way.slot[way.depth];
	nd->nd_key[slot] = newstart;
	if (nd->nd_max[slot] == newsize)
		return;
	nd->nd_max[slot] = newsize;
	way_update_max(&way, way.depth);
}

/*
 * The first entry with key >= from and size >= size.  Down to where `from`
 * belongs; then along the leaf, and if that has none, up to the first parent
 * with a later child that is large enough, and down its first such entries.
 */
uint32_t
addrtree_first(const struct addrtree *at, uint64_t from, uint64_t size)
{
	const struct node *way[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX], d = 0, i;
	const struct node *nd;

	if (at->at_depth == 0)
		return (TAG_NIL);
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot[d++]])) {
		way[d] = nd;
		slot[d] = child_for(nd, from);
	}
	i = from == 0 ? 0 : keys_upto(nd, 0, from - 1);
	for (;;) {
		for (; i < nd->nd_count && nd->nd_max[i] < size; i++)
			continue;
		if (i < nd->nd_count) {
			if (nd->nd_level == 0)
				return (nd->nd_child[i]);
			way[d] = nd;
			slot[d++] = i;
			nd = NODE(nd->nd_child[i]);
			i = 0;
			continue;
		}
		if (d == 0)
			return (TAG_NIL);
		nd = way[--d];
		i = slot[d] + 1;
	}
}

/* The last entry with key <= upto and size >= size. */
uint32_t
addrtree_last(const struct addrtree *at, uint64_t upto, uint64_t size)
{
	const struct node *way[LEVELS_MAX];
	unsigned int slot[LEVELS_MAX], d = 0, i;
	const struct node *nd;

	if (at->at_depth == 0)
		return (TAG_NIL);
	for (nd = NODE(at->at_root); nd->nd_level > 0;
	     nd = NODE(nd->nd_child[slot[d++]])) {
		way[d] = nd;
		slot[d] = child_for(nd, upto);
	}
	i = keys_upto(nd, 0, upto); /* entries [0, i) are in reach */
	for (;;) {
		for (; i > 0 && nd->nd_max[i - 1] < size; i--)
			continue;
		if (i > 0) {
			if (nd->nd_level == 0)
				return (nd->nd_child[i - 1]);
			way[d] = nd;
			slot[d++] = i - 1;
			nd = NODE(nd->nd_child[i - 1]);
			i = nd->nd_count;
			continue;
		}
		if (d == 0)
			return (TAG_NIL);
		nd = way[--d];
		i = slot[d];
	}
}

/* Give every node back, without the lock; recursion is as deep as the tree. */
static void
node_fini(struct vmem *vm, uint32_t unit)
{
	struct node *nd = NODE(unit);

	if (nd->nd_level > 0)
		for (unsigned int i = 0; i < nd->nd_count; i++)
			node_fini(vm, nd->nd_child[i]);
	if (vm->vm_nnodes == NODES_MAX)
		tags_drain(vm);
	node_put(vm, unit);
}

void
addrtree_fini(struct vmem *vm, struct addrtree *at)
{
	if (at->at_depth > 0)
		node_fini(vm, at->at_root);
	*at = (struct addrtree) { .at_root = TAG_NIL };
}

/* Keys of the subtree lie in [lo, hi]; counts its entries. */
static bool
node_check(uint32_t unit, unsigned int level, uint64_t lo, uint64_t hi,
    uint64_t *countp)
{
	const struct node *nd = NODE(unit);

	if (nd->nd_level != level || nd->nd_count == 0 ||
	    nd->nd_count > FANOUT)
		return (false);
	for (unsigned int i = 0; i < nd->nd_count; i++) {
		uint64_t from = i == 0 && level > 0 ? lo : nd->nd_key[i];
		uint64_t to = i + 1u < nd->nd_count ? nd->nd_key[i + 1] - 1 : hi;

		if (from < lo || from > to || to > hi)
			return (false);
		if (level > 0) {
			if (nd->nd_max[i] != node_max(NODE(nd->nd_child[i])) ||
			    !node_check(nd->nd_child[i], level - 1, from, to,
				countp))
				return (false);
			continue;
		}
		if (TAG(nd->nd_child[i])->bt_start != nd->nd_key[i] ||
		    TAG(nd->nd_child[i])->bt_size != nd->nd_max[i])
			return (false);
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
