/*
 * large.c - free segments beyond the exact bins, ordered by (size, start).
 *
 * An AVL tree (Adelson-Velsky and Landis, 1962) of records of 32 bytes, fifteen
 * to a unit, whose sixteenth says which are in use.  Large free segments are
 * few, as a rule; the bound is what counts: 1.44 log2(2^27) = 39 levels.
 *
 * A record's number is its unit's and its own, 27 bits: it stands in the tag
 * of the segment (row.c), and the record has the segment's row.
 *
 * There are no parent links.  Insertion and removal note the path from the
 * root as an array of pointers' places, and rebalance along it.
 */
#include "config.h"

#include "arena/arena_impl.h"

#ifndef RECORDS
#define RECORDS 15u /* in a unit, beside its head */
#endif
#define HEAD_SLOT 15u
#define RECORDS_ALL ((1u << RECORDS) - 1)

/* A free segment; in quanta. */
struct large {
	uint64_t lr_start;
	uint64_t lr_size;
	uint32_t lr_left;
	uint32_t lr_right;
	uint32_t lr_row;
	uint32_t lr_balance;
};

/* The last place of a unit. */
struct largehead {
	uint32_t lh_used;	/* a bit for each record */
	uint32_t lh_prev;	/* units with unused records, or UNIT_NIL */
	uint32_t lh_next;
	uint32_t lh_spare[5];
};
_Static_assert(sizeof(struct large) == 32 && sizeof(struct largehead) == 32,
    "sixteen to a unit");

static struct large *
LARGE(uint32_t record)
{
	return ((struct large *)UNIT(record >> 4) + (record & 15));
}

static struct largehead *
HEAD(uint32_t unit)
{
	return ((struct largehead *)UNIT(unit) + HEAD_SLOT);
}

#define DEPTH_MAX 42
/* lr_balance */
#define EVEN 0u
#define LEFT_HIGH 1u
#define RIGHT_HIGH 2u

struct path {
	uint32_t node[DEPTH_MAX];
	bool right[DEPTH_MAX]; /* went right from node[i] */
	unsigned int depth;
};

static bool
less(const struct large *a, const struct large *b)
{
	return (a->lr_size < b->lr_size ||
	    (a->lr_size == b->lr_size && a->lr_start < b->lr_start));
}

static void
set_left(uint32_t node, uint32_t child)
{
	LARGE(node)->lr_left = child;
}

static void
set_right(uint32_t node, uint32_t child)
{
	LARGE(node)->lr_right = child;
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
single_balance(struct large *high, struct large *low, unsigned int side)
{
	/* Only a removal finds the higher child even: then both stay uneven. */
	if (high->lr_balance == EVEN) {
		low->lr_balance = side;
		high->lr_balance = side == LEFT_HIGH ? RIGHT_HIGH : LEFT_HIGH;
	} else {
		low->lr_balance = EVEN;
		high->lr_balance = EVEN;
	}
}

static void
double_balance(struct large *mid, struct large *left, struct large *right)
{
	left->lr_balance =
	    mid->lr_balance == RIGHT_HIGH ? LEFT_HIGH : EVEN;
	right->lr_balance =
	    mid->lr_balance == LEFT_HIGH ? RIGHT_HIGH : EVEN;
	mid->lr_balance = EVEN;
}

/* `top` leans twice to the left; returns the new top. */
static uint32_t
rotate_left_high(uint32_t top)
{
	uint32_t l = LARGE(top)->lr_left, m;

	if (LARGE(l)->lr_balance == RIGHT_HIGH) {
		m = LARGE(l)->lr_right;
		set_right(l, LARGE(m)->lr_left);
		set_left(top, LARGE(m)->lr_right);
		set_left(m, l);
		set_right(m, top);
		double_balance(LARGE(m), LARGE(l), LARGE(top));
		return (m);
	}
	set_left(top, LARGE(l)->lr_right);
	set_right(l, top);
	single_balance(LARGE(l), LARGE(top), LEFT_HIGH);
	return (l);
}

static uint32_t
rotate_right_high(uint32_t top)
{
	uint32_t r = LARGE(top)->lr_right, m;

	if (LARGE(r)->lr_balance == LEFT_HIGH) {
		m = LARGE(r)->lr_left;
		set_left(r, LARGE(m)->lr_right);
		set_right(top, LARGE(m)->lr_left);
		set_right(m, r);
		set_left(m, top);
		double_balance(LARGE(m), LARGE(top), LARGE(r));
		return (m);
	}
	set_right(top, LARGE(r)->lr_left);
	set_left(r, top);
	single_balance(LARGE(r), LARGE(top), RIGHT_HIGH);
	return (r);
}

/* ---- records ------------------------------------------------------------ */

static void
open_insert(struct larges *lg, uint32_t unit)
{
	HEAD(unit)->lh_prev = UNIT_NIL;
	HEAD(unit)->lh_next = lg->lg_open;
	if (lg->lg_open != UNIT_NIL)
		HEAD(lg->lg_open)->lh_prev = unit;
	lg->lg_open = unit;
}

static void
open_remove(struct larges *lg, uint32_t unit)
{
	const struct largehead *lh = HEAD(unit);

	if (lh->lh_next != UNIT_NIL)
		HEAD(lh->lh_next)->lh_prev = lh->lh_prev;
	if (lh->lh_prev != UNIT_NIL)
		HEAD(lh->lh_prev)->lh_next = lh->lh_next;
	else
		lg->lg_open = lh->lh_next;
}

/* LARGE_NIL: there is no unit for it. */
static uint32_t
record_get(struct vmem *vm, struct larges *lg)
{
	uint32_t unit = lg->lg_open;
	unsigned int slot;

	if (unit == UNIT_NIL) {
		if (!units_at_hand(vm, BIN_UNITS))
			return (LARGE_NIL);
		unit = unit_take(vm);
		HEAD(unit)->lh_used = 0;
		open_insert(lg, unit);
	}
	slot = (unsigned int)__builtin_ctz(~HEAD(unit)->lh_used);
	HEAD(unit)->lh_used |= 1u << slot;
	if (HEAD(unit)->lh_used == RECORDS_ALL)
		open_remove(lg, unit);
	return (unit << 4 | slot);
}

static void
record_put(struct vmem *vm, struct larges *lg, uint32_t record)
{
	uint32_t unit = record >> 4;

	if (HEAD(unit)->lh_used == RECORDS_ALL)
		open_insert(lg, unit);
	HEAD(unit)->lh_used &= ~(1u << (record & 15));
	if (HEAD(unit)->lh_used == 0) {
		open_remove(lg, unit);
		unit_give(vm, unit);
	}
}

/* ---- the tree ----------------------------------------------------------- */

static void
tree_insert(struct vmem *vm, uint32_t *root, uint32_t record)
{
	struct path p = { .depth = 0 };
	struct large *lr = LARGE(record);
	uint32_t n = *root;

	lr->lr_left = LARGE_NIL;
	lr->lr_right = LARGE_NIL;
	lr->lr_balance = EVEN;
	while (n != LARGE_NIL) {
		bool right = less(LARGE(n), lr);

		STEP(vm);
		path_push(&p, n, right);
		n = right ? LARGE(n)->lr_right : LARGE(n)->lr_left;
	}
	path_set(root, &p, p.depth, record);
	/* Up, while the subtree has grown. */
	for (unsigned int i = p.depth; i-- > 0;) {
		struct large *up = LARGE(p.node[i]);
		unsigned int side = p.right[i] ? RIGHT_HIGH : LEFT_HIGH;

		if (up->lr_balance == EVEN) {
			up->lr_balance = side;
			continue;
		}
		if (up->lr_balance != side)
			up->lr_balance = EVEN;
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
		struct large *up = LARGE(p->node[i]);
		unsigned int other = p->right[i] ? LEFT_HIGH : RIGHT_HIGH;
		uint32_t top;

		if (up->lr_balance == EVEN) {
			up->lr_balance = other & 3;
			break;
		}
		if (up->lr_balance != other) {
			up->lr_balance = EVEN;
			continue;
		}
		top = other == LEFT_HIGH ? rotate_left_high(p->node[i]) :
					   rotate_right_high(p->node[i]);
		path_set(root, p, i, top);
		if (LARGE(top)->lr_balance != EVEN)
			break;
	}
}

static void
tree_remove(struct vmem *vm, uint32_t *root, uint32_t record)
{
	struct path p = { .depth = 0 };
	struct large *lr = LARGE(record);
	unsigned int at;
	uint32_t n = *root, heir;

	while (n != record) {
		bool right;

		STEP(vm);
		VERIFY(n != LARGE_NIL);
		right = less(LARGE(n), lr);
		path_push(&p, n, right);
		n = right ? LARGE(n)->lr_right : LARGE(n)->lr_left;
	}
	at = p.depth;
	if (lr->lr_left == LARGE_NIL || lr->lr_right == LARGE_NIL) {
		path_set(root, &p, at,
		    lr->lr_left != LARGE_NIL ? lr->lr_left : lr->lr_right);
	} else {
		/* Its successor takes its place. */
		path_push(&p, record, true);
		for (heir = lr->lr_right; LARGE(heir)->lr_left != LARGE_NIL;
		     heir = LARGE(heir)->lr_left) {
			STEP(vm);
			path_push(&p, heir, false);
		}
		path_set(root, &p, p.depth, LARGE(heir)->lr_right);
		LARGE(heir)->lr_left = lr->lr_left;
		LARGE(heir)->lr_right = lr->lr_right;
		LARGE(heir)->lr_balance = lr->lr_balance;
		p.node[at] = heir;
		path_set(root, &p, at, heir);
	}
	shrink_up(root, &p);
}

/* ---- the interface ------------------------------------------------------ */

/* Its record, or LARGE_NIL: there is no memory for one. */
uint32_t
large_insert(struct vmem *vm, struct larges *lg, uint64_t start, uint64_t size,
    uint32_t row)
{
	uint32_t record = record_get(vm, lg);

	if (record == LARGE_NIL)
		return (LARGE_NIL);
	LARGE(record)->lr_start = start;
	LARGE(record)->lr_size = size;
	LARGE(record)->lr_row = row;
	tree_insert(vm, &lg->lg_root, record);
	lg->lg_count++;
	return (record);
}

void
large_remove(struct vmem *vm, struct larges *lg, uint32_t record)
{
	tree_remove(vm, &lg->lg_root, record);
	record_put(vm, lg, record);
	lg->lg_count--;
}

/* The smallest of at least that size. */
uint32_t
large_lower(const struct larges *lg, uint64_t size)
{
	uint32_t best = LARGE_NIL, n = lg->lg_root;

	while (n != LARGE_NIL) {
		STEP(lg);
		if (LARGE(n)->lr_size >= size) {
			best = n;
			n = LARGE(n)->lr_left;
		} else
			n = LARGE(n)->lr_right;
	}
	return (best);
}

/* The size of the largest, or 0. */
uint64_t
large_max(const struct larges *lg)
{
	uint32_t n = lg->lg_root;

	if (n == LARGE_NIL)
		return (0);
	while (LARGE(n)->lr_right != LARGE_NIL) {
		STEP(lg);
		n = LARGE(n)->lr_right;
	}
	return (LARGE(n)->lr_size);
}

/* The one after `record` in order, or LARGE_NIL. */
uint32_t
large_next(const struct larges *lg, uint32_t record)
{
	uint32_t best = LARGE_NIL, n = lg->lg_root;

	while (n != LARGE_NIL) {
		STEP(lg);
		if (less(LARGE(record), LARGE(n))) {
			best = n;
			n = LARGE(n)->lr_left;
		} else
			n = LARGE(n)->lr_right;
	}
	return (best);
}

uint64_t
large_size(uint32_t record)
{
	return (LARGE(record)->lr_size);
}

uint32_t
large_row(uint32_t record)
{
	return (LARGE(record)->lr_row);
}

/* Its tag is in another row now. */
void
large_move(uint32_t record, uint32_t row)
{
	LARGE(record)->lr_row = row;
}

/* At the end of an arena: all units go back to the pool, each with its last
 * record; recursion is bounded by DEPTH_MAX. */
static void
node_end(struct vmem *vm, struct larges *lg, uint32_t n)
{
	if (n == LARGE_NIL)
		return;
	node_end(vm, lg, LARGE(n)->lr_left);
	node_end(vm, lg, LARGE(n)->lr_right);
	if (vm->vm_nunits == UNITS_MAX)
		units_drain(vm);
	record_put(vm, lg, n);
}

void
large_fini(struct vmem *vm, struct larges *lg)
{
	node_end(vm, lg, lg->lg_root);
	*lg = (struct larges) { .lg_root = LARGE_NIL };
}

/* Height of the subtree, or -1; recursion is bounded by DEPTH_MAX. */
static int
check_height(uint32_t n, unsigned int depth, uint64_t *countp)
{
	const struct large *lr = LARGE(n);
	int l, r;

	if (n == LARGE_NIL)
		return (0);
	if (depth == DEPTH_MAX)
		return (-1);
	if ((lr->lr_left != LARGE_NIL && !less(LARGE(lr->lr_left), lr)) ||
	    (lr->lr_right != LARGE_NIL && !less(lr, LARGE(lr->lr_right))))
		return (-1);
	l = check_height(lr->lr_left, depth + 1, countp);
	r = check_height(lr->lr_right, depth + 1, countp);
	(*countp)++;
	if (l < 0 || r < 0 ||
	    lr->lr_balance !=
		(l == r ? EVEN : l == r + 1 ? LEFT_HIGH : RIGHT_HIGH) ||
	    r - l > 1 || l - r > 1)
		return (-1);
	return (1 + (l > r ? l : r));
}

const char *
large_check(const struct larges *lg)
{
	uint64_t count = 0;

	if (check_height(lg->lg_root, 0, &count) < 0)
		return ("the tree of large free segments is out of order");
	return (count == lg->lg_count ? NULL :
	    "the tree of large free segments lost one");
}
