/*
 * hash.c - allocated segments by their start.
 *
 * A table of cache lines.  A line has 15 slots and a count; a slot is the
 * index of a tag (28 bits) and four more bits of the hash, so that the tag
 * itself, a random access, is looked at once for 16 slots that might match.
 * An entry whose home line is full goes to the next one with room, and every
 * line that it passed over counts it: a search ends at a line that nobody has
 * passed.  So removal leaves no tombstones.
 *
 * Lines are found by multiplication (hash * lines >> 32), which takes any
 * number of them and keeps the order of hashes.  Hence growing by a third,
 * memory follows need (5.3 bytes an entry when full, 7.1 just grown); and
 * growing in steps: each insertion empties two home lines of the old table into
 * the new, in order, so that one comparison tells where a key is looked for.
 * An operation takes a bounded number of steps however large the table is.
 *
 * Memory for a new table is had without locks, before an operation
 * (hash_resize()); an operation that finds the table wanting only says so.
 * A full table refuses an insertion (ENOMEM): an allocation fails then, never
 * a free.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <string.h>

#define LINE 16u		 /* uint32_t's: one cache line */
#define SLOTS (LINE - 1)
#define PASSED SLOTS		 /* where a line counts who passed it */
#define LINES_MIN 64u		 /* a page */
/*
 * Grow above 12/15 full, to 3/4 of that; shrink below a quarter.  At 13/15 runs
 * of full lines were seen that are longer than 64, for while a table grows,
 * its part yet to be emptied fills further: by 1/24, at two lines a step.
 */
#define FULL 12u
#define LOAD_GROW(lines) ((lines) * FULL)
#define STEP_LINES 2u
#define LOAD_SHRINK(lines) ((lines) * 4)
/* Insertions look this far for room; beyond, the table counts as full. */
#define PROBE_MAX 256u

struct key {
	uint32_t home;	/* selects the line */
	uint32_t check; /* the four bits, in place */
};

static struct key
key_of(const struct vmem *vm, uint64_t start)
{
	uint64_t h = (start >> vm->vm_shift) * 0x9e3779b97f4a7c15u;

	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	return ((struct key) { .home = (uint32_t)(h >> 32),
	    .check = (uint32_t)h & ~TAG_INDEX_MASK });
}

static uint64_t
line_of(const struct hashtable *ht, uint32_t home)
{
	return ((uint64_t)home * ht->ht_buckets >> 32);
}

static uint32_t *
line_ptr(const struct hashtable *ht, uint64_t line)
{
	return (&ht->ht_slots[line * LINE]);
}

static uint64_t
line_next(const struct hashtable *ht, uint64_t line)
{
	return (line + 1 == ht->ht_buckets ? 0 : line + 1);
}

/* Is the key looked for in the old table still? */
static struct hashtable *
table_for(struct hash *hs, struct key key)
{
	if (hs->hs_old.ht_slots != NULL &&
	    line_of(&hs->hs_old, key.home) >= hs->hs_moved)
		return (&hs->hs_old);
	return (&hs->hs_now);
}

static int
table_insert(struct hashtable *ht, struct key key, uint32_t tag)
{
	uint64_t home = line_of(ht, key.home), line = home;
	uint32_t *lp;

	for (unsigned int probe = 0; probe < PROBE_MAX; probe++) {
		lp = line_ptr(ht, line);
		for (unsigned int i = 0; i < SLOTS; i++) {
			if (lp[i] != TAG_NIL)
				continue;
			lp[i] = tag | key.check;
			for (; home != line; home = line_next(ht, home))
				line_ptr(ht, home)[PASSED]++;
			return (0);
		}
		line = line_next(ht, line);
	}
	return (ENOMEM);
}

/* The slot of the entry that starts at `start`, or NULL. */
static uint32_t *
table_find(struct hashtable *ht, struct key key, uint64_t start,
    uint64_t *linep)
{
	uint64_t line = line_of(ht, key.home);
	uint32_t *lp;

	for (uint64_t n = 0; n < ht->ht_buckets; n++) {
		lp = line_ptr(ht, line);
		for (unsigned int i = 0; i < SLOTS; i++) {
			if ((lp[i] & ~TAG_INDEX_MASK) != key.check ||
			    (lp[i] & TAG_INDEX_MASK) == TAG_NIL)
				continue;
			if (TAG(lp[i] & TAG_INDEX_MASK)->bt_start == start) {
				*linep = line;
				return (&lp[i]);
			}
		}
		if (lp[PASSED] == 0)
			break;
		line = line_next(ht, line);
	}
	return (NULL);
}

static void
table_remove(struct hashtable *ht, struct key key, uint32_t *slot,
    uint64_t line)
{
	*slot = TAG_NIL;
	for (uint64_t home = line_of(ht, key.home); home != line;
	     home = line_next(ht, home))
		line_ptr(ht, home)[PASSED]--;
}

static size_t
table_bytes(uint64_t lines)
{
	return (lines * LINE * sizeof(uint32_t));
}

static void
table_free(struct hashtable *ht)
{
	if (ht->ht_slots != NULL)
		meta_free(ht->ht_slots, table_bytes(ht->ht_buckets));
	*ht = (struct hashtable) { NULL, 0 };
}

int
hash_init(struct vmem *vm)
{
	struct hashtable *ht = &vm->vm_hash.hs_now;

	ht->ht_slots = meta_alloc(table_bytes(LINES_MIN));
	if (ht->ht_slots == NULL)
		return (ENOMEM);
	ht->ht_buckets = LINES_MIN;
	return (0);
}

void
hash_fini(struct vmem *vm)
{
	table_free(&vm->vm_hash.hs_now);
	table_free(&vm->vm_hash.hs_old);
}

/*
 * Empty one home line of the old table: its entries are in that line and
 * those that follow, as far as somebody passed.
 */
static int
move_line(struct vmem *vm, uint64_t home)
{
	struct hashtable *old = &vm->vm_hash.hs_old;
	uint64_t line = home;
	bool passed;

	for (uint64_t n = 0; n < old->ht_buckets; n++) {
		uint32_t *lp = line_ptr(old, line);

		passed = lp[PASSED] != 0;
		for (unsigned int i = 0; i < SLOTS; i++)
			__builtin_prefetch(TAG(lp[i] & TAG_INDEX_MASK));
		for (unsigned int i = 0; i < SLOTS; i++) {
			uint32_t tag = lp[i] & TAG_INDEX_MASK;
			struct key key;

			if (tag == TAG_NIL)
				continue;
			key = key_of(vm, TAG(tag)->bt_start);
			if (line_of(old, key.home) != home)
				continue;
			if (table_insert(&vm->vm_hash.hs_now, key, tag) != 0)
				return (ENOMEM);
			table_remove(old, key, &lp[i], line);
		}
		if (!passed)
			break;
		line = line_next(old, line);
	}
	return (0);
}

/* One step of a resize under way. */
void
hash_step(struct vmem *vm)
{
	struct hash *hs = &vm->vm_hash;

	if (hs->hs_old.ht_slots == NULL)
		return;
	for (unsigned int i = 0; i < STEP_LINES &&
	     hs->hs_moved < hs->hs_old.ht_buckets; i++) {
		if (move_line(vm, hs->hs_moved) != 0)
			break;
		hs->hs_moved++;
	}
}

int
hash_insert(struct vmem *vm, uint32_t tag)
{
	struct hash *hs = &vm->vm_hash;
	struct key key = key_of(vm, TAG(tag)->bt_start);
	int error;

	hash_step(vm);
	error = table_insert(table_for(hs, key), key, tag);
	if (error == 0)
		hs->hs_count++;
	else
		hs->hs_wanted = true;
	return (error);
}

void
hash_remove(struct vmem *vm, uint32_t tag)
{
	struct hash *hs = &vm->vm_hash;
	struct key key = key_of(vm, TAG(tag)->bt_start);
	struct hashtable *ht = table_for(hs, key);
	uint64_t line = 0;
	uint32_t *slot = table_find(ht, key, TAG(tag)->bt_start, &line);

	VERIFY(slot != NULL);
	table_remove(ht, key, slot, line);
	hs->hs_count--;
	hash_step(vm);
}

/* The tag of the allocated segment that starts there, or TAG_NIL. */
uint32_t
hash_find(struct vmem *vm, uint64_t start)
{
	struct key key = key_of(vm, start);
	uint64_t line;
	uint32_t *slot =
	    table_find(table_for(&vm->vm_hash, key), key, start, &line);

	return (slot == NULL ? TAG_NIL : *slot & TAG_INDEX_MASK);
}

bool
hash_wants_resize(const struct vmem *vm)
{
	const struct hash *hs = &vm->vm_hash;

	if (hs->hs_old.ht_slots != NULL)
		return (hs->hs_moved == hs->hs_old.ht_buckets);
	return (hs->hs_wanted || hs->hs_count > LOAD_GROW(hs->hs_now.ht_buckets) ||
	    (hs->hs_now.ht_buckets > 4 * LINES_MIN &&
		hs->hs_count < LOAD_SHRINK(hs->hs_now.ht_buckets)));
}

/*
 * Start a resize, or end one: called without locks, for memory is had and
 * given back here.  What was true may have changed once the lock is held.
 */
void
hash_resize(struct vmem *vm)
{
	struct hash *hs = &vm->vm_hash;
	struct hashtable spare = { NULL, 0 }, done = { NULL, 0 };

	lock_acquire(&vm->vm_lock);
	if (hs->hs_old.ht_slots != NULL) {
		if (hs->hs_moved == hs->hs_old.ht_buckets) {
			done = hs->hs_old;
			hs->hs_old = (struct hashtable) { NULL, 0 };
		}
	} else if (hash_wants_resize(vm))
		spare.ht_buckets = hs->hs_count / FULL * 4 / 3 + LINES_MIN;
	hs->hs_wanted = false;
	lock_release(&vm->vm_lock);

	if (spare.ht_buckets != 0)
		spare.ht_slots = meta_alloc(table_bytes(spare.ht_buckets));
	if (spare.ht_slots != NULL) {
		lock_acquire(&vm->vm_lock);
		if (hs->hs_old.ht_slots == NULL &&
		    spare.ht_buckets != hs->hs_now.ht_buckets) {
			hs->hs_old = hs->hs_now;
			hs->hs_now = spare;
			hs->hs_moved = 0;
			spare = (struct hashtable) { NULL, 0 };
		}
		lock_release(&vm->vm_lock);
	}
	table_free(&spare);
	table_free(&done);
}

uint64_t
hash_bytes(const struct vmem *vm)
{
	return (table_bytes(
	    vm->vm_hash.hs_now.ht_buckets + vm->vm_hash.hs_old.ht_buckets));
}
