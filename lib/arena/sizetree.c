/*
 * sizetree.c - free segments beyond the exact bins, ordered by (size, start).
 *
 * An AVL tree (Adelson-Velsky and Landis, 1962) through the two links that a
 * binned segment would use for its list, and two spare bits for the balance:
 * so it takes no memory, and a free can't fail for it.  Large free segments
 * are few, as a rule; the bound is what counts: 1.44 log2(2^28) = 41 levels.
 *
 * There are no parent links.  Insertion and removal note the path from the
 * root as an array of pointers' places, and rebalance along it.
 */
#include "config.h"

#include "arena/arena_impl.h"

#define DEPTH_MAX 42
/* bt_balance */
#define EVEN 0u
#define LEFT_HIGH 1u
#define RIGHT_HIGH 2u

struct path {
	uint32_t node[DEPTH_MAX];
	bool right[DEPTH_MAX]; /* went right from node[i] */
	unsigned int depth;
};

static bool
less(const struct tag *a, const struct tag *b)
{
	return (a->bt_size < b->bt_size ||
	    (a->bt_size == b->bt_size && a->bt_start < b->bt_start));
}

static void
set_left(uint32_t node, uint32_t child)
{
	TAG(node)->bt_link = child & TAG_INDEX_MASK;
}

static void
set_right(uint32_t node, uint32_t child)
{
	TAG(node)->bt_back = child & TAG_INDEX_MASK;
}

static void
path_push(struct path *p, uint32_t node, bool right)
{
	VERIFY(p->depth < DEPTH_MAX);
	p->node[p->depth] = node;
	p->right[p->depth++] = right;
}

/* Hang `child` where the path's first `depth` steps lead. */
static void
path_set(uint32_t *root, const struct path *p, unsigned int depth,
    uint32_t child)
{
	if (depth == 0)
		*root = child;
	else if (p->right[depth - 1])
		set_right(p->node[depth - 1], child);
	else
		set_left(p->node[depth - 1], child);
}

static void
single_balance(struct tag *high, struct tag *low, unsigned int side)
{
	/* Only a removal finds the higher child even: then both stay uneven. */
	if (high->bt_balance == EVEN) {
		low->bt_balance = side & 3;
		high->bt_balance = (side == LEFT_HIGH ? RIGHT_HIGH : LEFT_HIGH) & 3;
	} else {
		low->bt_balance = EVEN;
		high->bt_balance = EVEN;
	}
}

static void
double_balance(struct tag *mid, struct tag *left, struct tag *right)
{
	left->bt_balance =
	    (mid->bt_balance == RIGHT_HIGH ? LEFT_HIGH : EVEN) & 3;
	right->bt_balance =
	    (mid->bt_balance == LEFT_HIGH ? RIGHT_HIGH : EVEN) & 3;
	mid->bt_balance = EVEN;
}

/* `top` leans twice to the left; returns the new top. */
static uint32_t
rotate_left_high(uint32_t top)
{
	uint32_t l = TAG(top)->bt_link, m;

	if (TAG(l)->bt_balance == RIGHT_HIGH) {
		m = TAG(l)->bt_back;
		set_right(l, TAG(m)->bt_link);
		set_left(top, TAG(m)->bt_back);
		set_left(m, l);
		set_right(m, top);
		double_balance(TAG(m), TAG(l), TAG(top));
		return (m);
	}
	set_left(top, TAG(l)->bt_back);
	set_right(l, top);
	single_balance(TAG(l), TAG(top), LEFT_HIGH);
	return (l);
}

static uint32_t
rotate_right_high(uint32_t top)
{
	uint32_t r = TAG(top)->bt_back, m;

	if (TAG(r)->bt_balance == LEFT_HIGH) {
		m = TAG(r)->bt_link;
		set_left(r, TAG(m)->bt_back);
		set_right(top, TAG(m)->bt_link);
		set_right(m, r);
		set_left(m, top);
		double_balance(TAG(m), TAG(top), TAG(r));
		return (m);
	}
	set_right(top, TAG(r)->bt_link);
	set_left(r, top);
	single_balance(TAG(r), TAG(top), RIGHT_HIGH);
	return (r);
}

void
sizetree_insert(uint32_t *root, uint32_t tag)
{
	struct path p = { .depth = 0 };
	struct tag *bt = TAG(tag);
	uint32_t n = *root;

	bt->bt_link = TAG_NIL;
	bt->bt_back = TAG_NIL;
	bt->bt_balance = EVEN;
	while (n != TAG_NIL) {
		bool right = less(TAG(n), bt);

		path_push(&p, n, right);
		n = right ? TAG(n)->bt_back : TAG(n)->bt_link;
	}
	path_set(root, &p, p.depth, tag);
	/* Up, while the subtree has grown. */
	for (unsigned int i = p.depth; i-- > 0;) {
		struct tag *up = TAG(p.node[i]);
		unsigned int side = p.right[i] ? RIGHT_HIGH : LEFT_HIGH;

		if (up->bt_balance == EVEN) {
			up->bt_balance = side & 3;
			continue;
		}
		if (up->bt_balance != side)
			up->bt_balance = EVEN;
		else
			path_set(root, &p, i, side == LEFT_HIGH ?
				rotate_left_high(p.node[i]) :
				rotate_right_high(p.node[i]));
		break;
	}
}

/* Up from depth, while the subtree on the path's side has shrunk. */
static void
shrink_up(uint32_t *root, struct path *p)
{
	for (unsigned int i = p->depth; i-- > 0;) {
		struct tag *up = TAG(p->node[i]);
		unsigned int other = p->right[i] ? LEFT_HIGH : RIGHT_HIGH;
		uint32_t top;

		if (up->bt_balance == EVEN) {
			up->bt_balance = other & 3;
			break;
		}
		if (up->bt_balance != other) {
			up->bt_balance = EVEN;
			continue;
		}
		top = other == LEFT_HIGH ? rotate_left_high(p->node[i]) :
					   rotate_right_high(p->node[i]);
		path_set(root, p, i, top);
		if (TAG(top)->bt_balance != EVEN)
			break;
	}
}

void
sizetree_remove(uint32_t *root, uint32_t tag)
{
	struct path p = { .depth = 0 };
	struct tag *bt = TAG(tag);
	unsigned int at;
	uint32_t n = *root, heir;

	while (n != tag) {
		bool right;

		VERIFY(n != TAG_NIL);
		right = less(TAG(n), bt);
		path_push(&p, n, right);
		n = right ? TAG(n)->bt_back : TAG(n)->bt_link;
	}
	at = p.depth;
	if (bt->bt_link == TAG_NIL || bt->bt_back == TAG_NIL) {
		path_set(root, &p, at,
		    bt->bt_link != TAG_NIL ? bt->bt_link : bt->bt_back);
	} else {
		/* Its successor takes its place. */
		path_push(&p, tag, true);
		for (heir = bt->bt_back; TAG(heir)->bt_link != TAG_NIL;
		     heir = TAG(heir)->bt_link)
			path_push(&p, heir, false);
		path_set(root, &p, p.depth, TAG(heir)->bt_back);
		TAG(heir)->bt_link = bt->bt_link;
		TAG(heir)->bt_back = bt->bt_back;
		TAG(heir)->bt_balance = bt->bt_balance;
		p.node[at] = heir;
		path_set(root, &p, at, heir);
	}
	shrink_up(root, &p);
}

uint32_t
sizetree_lower(uint32_t root, uint64_t size)
{
	uint32_t best = TAG_NIL;

	while (root != TAG_NIL) {
		if (TAG(root)->bt_size >= size) {
			best = root;
			root = TAG(root)->bt_link;
		} else
			root = TAG(root)->bt_back;
	}
	return (best);
}

uint32_t
sizetree_max(uint32_t root)
{
	if (root != TAG_NIL)
		while (TAG(root)->bt_back != TAG_NIL)
			root = TAG(root)->bt_back;
	return (root);
}

/* The one after `tag` in order, or TAG_NIL. */
uint32_t
sizetree_next(uint32_t root, uint32_t tag)
{
	uint32_t best = TAG_NIL;

	while (root != TAG_NIL) {
		if (less(TAG(tag), TAG(root))) {
			best = root;
			root = TAG(root)->bt_link;
		} else
			root = TAG(root)->bt_back;
	}
	return (best);
}

/* Height of the subtree, or -1; recursion is bounded by DEPTH_MAX. */
static int
check_height(uint32_t n, unsigned int depth, uint64_t *countp)
{
	const struct tag *bt = TAG(n);
	int l, r;

	if (n == TAG_NIL)
		return (0);
	if (depth == DEPTH_MAX || bt->bt_type != TAG_FREE)
		return (-1);
	if ((bt->bt_link != TAG_NIL && !less(TAG(bt->bt_link), bt)) ||
	    (bt->bt_back != TAG_NIL && !less(bt, TAG(bt->bt_back))))
		return (-1);
	l = check_height(bt->bt_link, depth + 1, countp);
	r = check_height(bt->bt_back, depth + 1, countp);
	(*countp)++;
	if (l < 0 || r < 0 ||
	    bt->bt_balance !=
		(l == r ? EVEN : l == r + 1 ? LEFT_HIGH : RIGHT_HIGH) ||
	    r - l > 1 || l - r > 1)
		return (-1);
	return (1 + (l > r ? l : r));
}

const char *
sizetree_check(uint32_t root, uint64_t *countp)
{
	return (check_height(root, 0, countp) < 0 ?
		"the tree of large free segments is out of order" :
		NULL);
}
