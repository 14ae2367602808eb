/*
 * hash.c - allocated segments by their start.
 *
 * A table of cache lines.  A line has 12 slots, each the index of a tag (28
 * bits) and four bits of the hash, and for each slot a byte of the hash more:
 * one comparison of 16 bytes finds the candidates, and eleven bits of the hash
 * agree by chance once in 2048, so that of tags, which are random accesses,
 * only the right one is looked at.
 *
 * An entry whose home line is full goes to the next one with room, and every
 * line that it passed over counts it: a search ends at a line that nobody has
 * passed.  So removal leaves no tombstones.
 *
 * Lines are found by multiplication (hash * lines >> 32), which takes any
 * number of them and keeps the order of hashes.  Hence growing by a quarter,
 * memory follows need (6.7 bytes an entry when full, 8.3 just grown); and
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
#include <sys/auxv.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SLOTS 12u
#define LINES_MIN 64u		 /* a page */
/*
 * Grow above 80 % full, by a quarter; shrink below a quarter full.  While a
 * table grows, its part yet to be emptied fills further, by 1/20 at two lines a
 * step; at 87 % runs of full lines were seen that are longer than 64.
 */
#define LOAD_GROW(lines) ((lines) * SLOTS / 5 * 4)
#define LOAD_SHRINK(lines) ((lines) * SLOTS / 4)
#define LINES_FOR(count) ((count) / SLOTS * 5 / 4 * 5 / 4 + LINES_MIN)
#define STEP_LINES 2u
/* Insertions look this far for room; beyond, the table counts as full. */
#define PROBE_MAX 256u

struct hashline {
	uint8_t hl_byte[SLOTS];	/* of the hash, never 0; 0: a free slot */
	uint32_t hl_passed;	/* entries that passed over this line */
	uint32_t hl_slot[SLOTS]; /* index of the tag, and four bits on top */
};
_Static_assert(sizeof(struct hashline) == 64, "a line is a cache line");

struct key {
	uint32_t home;	/* selects the line */
	uint32_t check; /* the four bits, in place */
	uint8_t byte;
};

static struct key
key_of(const struct vmem *vm, uint64_t start)
{
	uint64_t h = ((start >> vm->vm_shift) ^ vm->vm_hash.hs_seed) *
	    0x9e3779b97f4a7c15u;

	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	return ((struct key) { .home = (uint32_t)(h >> 32),
	    .check = (uint32_t)h & ~TAG_INDEX_MASK,
	    .byte = (uint8_t)(h | 1) });
}

static uint64_t
line_of(const struct hashtable *ht, uint32_t home)
{
	return ((uint64_t)home * ht->ht_lines >> 32);
}

static uint64_t
line_next(const struct hashtable *ht, uint64_t line)
{
	return (line + 1 == ht->ht_lines ? 0 : line + 1);
}

/* A bit for each slot whose byte is that one. */
static unsigned int
slots_with(const struct hashline *hl, uint8_t byte)
{
#ifdef __SSE2__
	/* Sixteen bytes are the twelve and hl_passed, which is masked out. */
	__m128i bytes = _mm_load_si128((const __m128i *)(const void *)hl);
	__m128i same = _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)byte));

	return ((unsigned int)_mm_movemask_epi8(same) & ((1u << SLOTS) - 1));
#else
	unsigned int bits = 0;

	for (unsigned int i = 0; i < SLOTS; i++)
		bits |= (unsigned int)(hl->hl_byte[i] == byte) << i;
	return (bits);
#endif
}

/* Is the key looked for in the old table still? */
static struct hashtable *
table_for(struct hash *hs, struct key key)
{
	if (__builtin_expect(hs->hs_old.ht_line != NULL, 0) &&
	    line_of(&hs->hs_old, key.home) >= hs->hs_moved)
		return (&hs->hs_old);
	return (&hs->hs_now);
}

static int
table_insert(
    struct hashtable *ht, struct key key, uint32_t tag, uint64_t probes)
{
	uint64_t home = line_of(ht, key.home), line = home;

	for (uint64_t probe = 0; probe < probes; probe++) {
		struct hashline *hl = &ht->ht_line[line];
		unsigned int empty = slots_with(hl, 0), i;

		if (empty != 0) {
			i = (unsigned int)__builtin_ctz(empty);
			hl->hl_byte[i] = key.byte;
			hl->hl_slot[i] = tag | key.check;
			for (; home != line; home = line_next(ht, home))
				ht->ht_line[home].hl_passed++;
			return (0);
		}
		line = line_next(ht, line);
	}
	return (ENOMEM);
}

/* Where the entry that starts at `start` is; false: nowhere. */
static bool
table_find(struct hashtable *ht, struct key key, uint64_t start,
    struct hashplace *hp)
{
	uint64_t line = line_of(ht, key.home);

	for (uint64_t n = 0; n < ht->ht_lines; n++) {
		const struct hashline *hl = &ht->ht_line[line];
		unsigned int bits = slots_with(hl, key.byte);

		for (; bits != 0; bits &= bits - 1) {
			unsigned int i = (unsigned int)__builtin_ctz(bits);
			uint32_t tag = hl->hl_slot[i] & TAG_INDEX_MASK;

			if ((hl->hl_slot[i] ^ key.check) >> TAG_INDEX_BITS != 0 ||
			    TAG(tag)->bt_start != start)
				continue;
			*hp = (struct hashplace) { .hp_table = ht,
				.hp_home = line_of(ht, key.home),
				.hp_line = line, .hp_slot = i, .hp_tag = tag };
			return (true);
		}
		if (hl->hl_passed == 0)
			break;
		line = line_next(ht, line);
	}
	return (false);
}

static void
table_remove(const struct hashplace *hp)
{
	struct hashtable *ht = hp->hp_table;
	struct hashline *hl = &ht->ht_line[hp->hp_line];

	hl->hl_byte[hp->hp_slot] = 0;
	hl->hl_slot[hp->hp_slot] = TAG_NIL;
	for (uint64_t home = hp->hp_home; home != hp->hp_line;
	     home = line_next(ht, home))
		ht->ht_line[home].hl_passed--;
}

static size_t
table_bytes(uint64_t lines)
{
	return (lines * sizeof(struct hashline));
}

static void
table_free(struct hashtable *ht)
{
	if (ht->ht_line != NULL)
		meta_free(ht->ht_line, table_bytes(ht->ht_lines));
	*ht = (struct hashtable) { NULL, 0 };
}

/* When to call hash_resize() next: at any count, once the old table is empty. */
static void
thresholds_set(struct hash *hs)
{
	uint64_t lines = hs->hs_now.ht_lines;

	if (hs->hs_busy) {
		hs->hs_grow_above = UINT64_MAX;
		hs->hs_shrink_below = 0;
	} else if (hs->hs_old.ht_line != NULL) {
		hs->hs_grow_above = hs->hs_moved < hs->hs_old.ht_lines ?
		    UINT64_MAX : 0;
		hs->hs_shrink_below =
		    hs->hs_moved < hs->hs_old.ht_lines ? 0 : UINT64_MAX;
	} else {
		hs->hs_grow_above = LOAD_GROW(lines);
		hs->hs_shrink_below =
		    lines > 4 * LINES_MIN ? LOAD_SHRINK(lines) : 0;
	}
}

/*
 * So that who may choose addresses can't choose ones that collide: sixteen
 * bytes of the kernel's for each process, and the arena.
 */
static uint64_t
seed_make(const struct vmem *vm)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t seed = (uintptr_t)vm;

	if (random != NULL) {
		uint64_t word;

		memcpy(&word, random, sizeof(word));
		seed ^= word;
	}
	return (seed * 0xd6e8feb86659fd93u);
}

int
hash_init(struct vmem *vm)
{
	struct hashtable *ht = &vm->vm_hash.hs_now;

	ht->ht_line = meta_alloc(table_bytes(LINES_MIN));
	if (ht->ht_line == NULL)
		return (ENOMEM);
	ht->ht_lines = LINES_MIN;
	vm->vm_hash.hs_seed = seed_make(vm);
	thresholds_set(&vm->vm_hash);
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
 * those that follow, as far as somebody passed.  They find room however far
 * it is: callers may choose addresses whose hashes collide.  ENOMEM: some have
 * moved, and the new table has no room at all.
 */
static int
move_line(struct vmem *vm, uint64_t home)
{
	struct hashtable *old = &vm->vm_hash.hs_old;
	uint64_t line = home;
	bool passed;

	for (uint64_t n = 0; n < old->ht_lines; n++) {
		struct hashline *hl = &old->ht_line[line];
		unsigned int used = ~slots_with(hl, 0) & ((1u << SLOTS) - 1);

		passed = hl->hl_passed != 0;
		for (unsigned int bits = used; bits != 0; bits &= bits - 1)
			__builtin_prefetch(
			    TAG(hl->hl_slot[__builtin_ctz(bits)] &
				TAG_INDEX_MASK));
		for (; used != 0; used &= used - 1) {
			unsigned int i = (unsigned int)__builtin_ctz(used);
			uint32_t tag = hl->hl_slot[i] & TAG_INDEX_MASK;
			struct key key = key_of(vm, TAG(tag)->bt_start);
			struct hashplace hp = { .hp_table = old,
				.hp_home = home, .hp_line = line, .hp_slot = i };

			if (line_of(old, key.home) != home)
				continue;
			if (table_insert(&vm->vm_hash.hs_now, key, tag,
				vm->vm_hash.hs_now.ht_lines) != 0)
				return (ENOMEM);
			table_remove(&hp);
		}
		if (!passed)
			break;
		line = line_next(old, line);
	}
	return (0);
}

/* One step of a resize under way. */
static void
step(struct vmem *vm)
{
	struct hash *hs = &vm->vm_hash;

	for (unsigned int i = 0; i < STEP_LINES &&
	     hs->hs_moved < hs->hs_old.ht_lines; i++) {
		if (move_line(vm, hs->hs_moved) != 0)
			break;
		hs->hs_moved++;
	}
	if (hs->hs_moved == hs->hs_old.ht_lines)
		thresholds_set(hs);
}

void
hash_step(struct vmem *vm)
{
	if (__builtin_expect(vm->vm_hash.hs_old.ht_line != NULL, 0))
		step(vm);
}

int
hash_insert(struct vmem *vm, uint32_t tag)
{
	struct hash *hs = &vm->vm_hash;
	struct key key = key_of(vm, TAG(tag)->bt_start);
	int error;

	hash_step(vm);
	error = table_insert(table_for(hs, key), key, tag, PROBE_MAX);
	if (error == 0)
		hs->hs_count++;
	else if (hs->hs_old.ht_line == NULL)
		hs->hs_grow_above = 0; /* the next operation tries to grow */
	return (error);
}

/* Where the allocated segment that starts there is; false: there is none. */
bool
hash_find(struct vmem *vm, uint64_t start, struct hashplace *hp)
{
	struct hash *hs = &vm->vm_hash;
	struct key key = key_of(vm, start);
	struct hashtable *ht = table_for(hs, key);

	/* A line may have been moved in part: see move_line(). */
	return (table_find(ht, key, start, hp) ||
	    (ht == &hs->hs_old && table_find(&hs->hs_now, key, start, hp)));
}

/* Nothing has been inserted or removed since hp was found. */
void
hash_remove(struct vmem *vm, const struct hashplace *hp)
{
	table_remove(hp);
	vm->vm_hash.hs_count--;
	hash_step(vm);
}

/*
 * Start a resize, or end one: called without locks, for memory is had and
 * given back here.  One at a time: the meta arena's own table comes from the
 * meta arena, by an allocation that would begin with a resize, without end.
 */
void
hash_resize(struct vmem *vm)
{
	struct hash *hs = &vm->vm_hash;
	struct hashtable spare = { NULL, 0 }, done = { NULL, 0 };

	lock_acquire(&vm->vm_lock);
	if (hs->hs_busy) {
		lock_release(&vm->vm_lock);
		return;
	}
	if (hs->hs_old.ht_line != NULL) {
		if (hs->hs_moved == hs->hs_old.ht_lines) {
			done = hs->hs_old;
			hs->hs_old = (struct hashtable) { NULL, 0 };
		}
	} else if (hash_wants_resize(hs))
		spare.ht_lines = LINES_FOR(hs->hs_count);
	hs->hs_busy = spare.ht_lines != 0;
	thresholds_set(hs);
	lock_release(&vm->vm_lock);

	if (spare.ht_lines != 0) {
		spare.ht_line = meta_alloc(table_bytes(spare.ht_lines));
		lock_acquire(&vm->vm_lock);
		if (spare.ht_line != NULL &&
		    spare.ht_lines != hs->hs_now.ht_lines) {
			hs->hs_old = hs->hs_now;
			hs->hs_now = spare;
			hs->hs_moved = 0;
			spare = (struct hashtable) { NULL, 0 };
		}
		hs->hs_busy = false;
		thresholds_set(hs);
		lock_release(&vm->vm_lock);
	}
	table_free(&spare);
	table_free(&done);
}

uint64_t
hash_bytes(const struct vmem *vm)
{
	return (table_bytes(
	    vm->vm_hash.hs_now.ht_lines + vm->vm_hash.hs_old.ht_lines));
}
