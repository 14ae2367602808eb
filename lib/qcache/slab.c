/*
 * slab.c - slabs of addresses: what quantum caches take from the arena.
 *
 * 1. A slab is one allocation of the arena, cut into ranges of one size.  All
 * caches of an arena have slabs of one size, the power of two above thrice the
 * largest cached range (the paper, 4.4.4): so whatever slab is given back can
 * be any cache's next one, and the arena doesn't fragment.  It is aligned to
 * its size: address arithmetic tells in which slab a range lies, if in one.
 * Nothing is kept in the memory handed out, which may not even be memory.
 *
 * Neighbouring sizes of which as many fit into a slab share slabs, cut for the
 * largest of them (NetBSD): slabs of their own would hold no more, and there
 * would be more that are partly used.
 *
 * 2. A slab's header is elsewhere: 24 bytes, a bit for each range (set: it is
 * free in the slab); in VM_CHECK arenas a line, and the states of its quanta in a
 * sheet (slab.h).  Headers are cut from units of the pool and found by a hash of where the slab
 * begins.  So a range of up to 16 quanta costs about 10 bytes instead of a
 * boundary tag and a place in the arena's tree.  Headers are never given back
 * while the arena lives, nor are outgrown tables: a reader without the lock
 * (slab_state()) may follow a link into a header that is another slab's by now,
 * and finds at worst nothing, in which case it looks again with the lock.
 *
 * 3. Ranges without a slab.  A slab is taken only where there is room for one
 * of each cache (room_for_slab()): in a small or crowded arena, partly used
 * slabs would lock up what others ask for.  Then ranges come from the arena one
 * by one, and go back there from wherever they end up: which kind a range is, is
 * decided by looking it up, never remembered.  In VM_CHECK arenas such a single
 * range has a header too, as a slab of one, for its state.
 *
 * 4. Wholly free slabs.  Each cache keeps one, against taking and giving back
 * the same again and again, until it is reaped.  Slabs that are partly used
 * are used first, a wholly free one last.
 *
 * 5. Lock: one for all slabs of an arena; a magazine's worth is dealt with at a
 * time.  No lock is held when the arena or the pool is called.
 */
#include "config.h"

#include "qcache/slab.h"

#include <errno.h>
#include <inttypes.h>

/* No slab is smaller, so that it fills two of the first magazines. */
#define SLAB_QUANTA_MIN 32u
#define TABLE_FIRST 1024u
/* Links followed without the lock. */
#define STEPS_MAX 32u

enum { KIND_UNUSED, KIND_SLAB, KIND_SINGLE };

/* Before there is a table: nothing is found in it. */
static struct slabtable table_none = { .st_shift = 63,
	.st_chain = { UNIT_NIL, UNIT_NIL } };

static vmem_size_t
slab_bytes(const struct slabs *sb)
{
	return (UINT64_C(1) << sb->sb_shift);
}

/* Quanta in a slab, for caches up to so many. */
static unsigned int
slab_quanta(unsigned int quanta_max)
{
	unsigned int quanta = SLAB_QUANTA_MIN;

	while (quanta <= 3 * quanta_max)
		quanta *= 2;
	return (quanta);
}

/* ---- the table ---------------------------------------------------------- */

static struct slabtable *
table_make(unsigned int bits)
{
	size_t bytes = sizeof(struct slabtable) +
	    (sizeof(uint32_t) << bits);
	struct slabtable *st = meta_alloc(bytes);

	if (st != NULL) {
		st->st_bytes = bytes;
		st->st_shift = 64 - bits;
	}
	return (st);
}

static unsigned int
kind_of(uint32_t h)
{
	return (atomic_load_explicit(&SLAB(h)->sl_kind, memory_order_acquire));
}

static _Atomic(uint32_t) *
chain_of(const struct slabs *sb, struct slabtable *st, uint64_t addr)
{
	return (&st->st_chain[slab_hash(st, addr & sb->sb_mask)]);
}

/* The header of the slab that addr lies in, or UNIT_NIL.  Without the lock, up
 * to a number of steps, and then UNIT_NIL says nothing. */
static uint32_t
find(const struct slabs *sb, uint64_t addr, unsigned int steps)
{
	struct slabtable *st =
	    atomic_load_explicit(&sb->sb_table, memory_order_acquire);
	uint64_t start = addr & sb->sb_mask;
	uint32_t h;

	h = atomic_load_explicit(
	    chain_of(sb, st, addr), memory_order_acquire);
	for (; h != UNIT_NIL && steps > 0; steps--) {
		unsigned int kind = kind_of(h);
		uint64_t at = atomic_load_explicit(
		    &SLAB(h)->sl_addr, memory_order_relaxed);

		if ((at == start && kind == KIND_SLAB) ||
		    (at == addr && kind == KIND_SINGLE))
			return (h);
		h = atomic_load_explicit(
		    &SLAB(h)->sl_link, memory_order_acquire);
	}
	return (UNIT_NIL);
}

static void
chain_insert(struct slabs *sb, struct slabtable *st, uint32_t h)
{
	_Atomic(uint32_t) *chain = chain_of(sb, st, SLAB(h)->sl_addr);

	atomic_store_explicit(&SLAB(h)->sl_link,
	    atomic_load_explicit(chain, memory_order_relaxed),
	    memory_order_release);
	atomic_store_explicit(chain, h, memory_order_release);
}

static void
chain_remove(struct slabs *sb, uint32_t h)
{
	_Atomic(uint32_t) *link = chain_of(
	    sb, atomic_load(&sb->sb_table), SLAB(h)->sl_addr);

	while (atomic_load_explicit(link, memory_order_relaxed) != h)
		link = &SLAB(atomic_load_explicit(
			link, memory_order_relaxed))->sl_link;
	atomic_store_explicit(link,
	    atomic_load_explicit(&SLAB(h)->sl_link, memory_order_relaxed),
	    memory_order_release);
	atomic_store_explicit(
	    &SLAB(h)->sl_kind, KIND_UNUSED, memory_order_relaxed);
	sb->sb_entries--;
}

static void
table_move(struct slabs *sb, struct slabtable *from, struct slabtable *to)
{
	size_t chains = (size_t)1 << (64 - from->st_shift);

	for (size_t i = 0; i < chains; i++) {
		uint32_t h = atomic_load_explicit(
		    &from->st_chain[i], memory_order_relaxed), next;

		for (; h != UNIT_NIL; h = next) {
			next = atomic_load_explicit(
			    &SLAB(h)->sl_link, memory_order_relaxed);
			chain_insert(sb, to, h);
		}
	}
}

static bool
table_is_small(struct slabs *sb)
{
	struct slabtable *st;
	bool small;

	lock_acquire(&sb->sb_lock);
	st = atomic_load(&sb->sb_table);
	small = st == &table_none ||
	    2 * sb->sb_entries >> (64 - st->st_shift) != 0;
	lock_release(&sb->sb_lock);
	return (small);
}

/* Without the lock: twice as many chains as slabs, so that most are the first of
 * theirs; or a first table.  ENOMEM only if there is none at all. */
static int
table_grow(struct slabs *sb)
{
	struct slabtable *st = atomic_load(&sb->sb_table), *bigger;
	unsigned int bits = st == &table_none ?
	    (unsigned int)__builtin_ctz(TABLE_FIRST) :
	    64 - st->st_shift + 1;

	bigger = table_make(bits);
	if (bigger == NULL)
		return (st == &table_none ? ENOMEM : 0);
	lock_acquire(&sb->sb_lock);
	if (atomic_load(&sb->sb_table) == st) {
		table_move(sb, st, bigger);
		bigger->st_old = st;
		atomic_store(&sb->sb_table, bigger);
		bigger = NULL;
	}
	lock_release(&sb->sb_lock);
	if (bigger != NULL)
		meta_free(bigger, bigger->st_bytes);
	return (0);
}

/* ---- headers ------------------------------------------------------------ */

/* The first place in each unit that headers are cut from links the units. */
static uint32_t *
unit_link(uint32_t unit)
{
	return (UNIT(unit));
}

/* In the same way, sheets of states. */
static char **
sheet_link(char *sheet)
{
	return ((char **)(void *)(sheet + SHEET_NEXT));
}

static size_t
sheet_bytes(const struct slabs *sb)
{
	return ((size_t)SLAB_LINE << (sb->sb_shift - sb->sb_quantum));
}

/* Is there a column for each header of one more unit? */
static bool
sheet_suffices(const struct slabs *sb) REQUIRES(sb->sb_lock)
{
	return (!sb->sb_stated || sb->sb_columns >= UNIT_HEADERS);
}

static void
sheet_add(struct slabs *sb, char *sheet) REQUIRES(sb->sb_lock)
{
	*sheet_link(sheet) = sb->sb_sheets;
	sb->sb_sheets = sheet;
	sb->sb_columns = SHEET_COLUMNS;
}

/* Cut a unit into headers. */
static void
unit_cut(struct slabs *sb, uint32_t unit) REQUIRES(sb->sb_lock)
{
	uint32_t h = unit * UNIT_BYTES, end = h + (UNIT_BYTES - 1);

	*unit_link(unit) = sb->sb_units;
	sb->sb_units = unit;
	for (h += sb->sb_header; h + (sb->sb_header - 1) <= end && h != 0;
	     h += sb->sb_header) {
		atomic_init(&SLAB(h)->sl_kind, KIND_UNUSED);
		atomic_init(&SLAB(h)->sl_link, UNIT_NIL);
		if (sb->sb_stated)
			*slab_states(SLAB(h)) = (_Atomic(uint8_t) *)(void *)(
			    sb->sb_sheets + --sb->sb_columns);
		SLAB(h)->sl_next = sb->sb_headers;
		sb->sb_headers = h;
	}
}

/* Take a header, if there is one, or what can be made of a unit and a sheet that
 * the caller has; *wants_sheet: for more of them, a sheet is wanted, too. */
static uint32_t
header_take(struct slabs *sb, uint32_t *unitp, char **sheetp,
    bool *wants_sheet)
{
	uint32_t h;

	lock_acquire(&sb->sb_lock);
	if (*sheetp != NULL && !sheet_suffices(sb)) {
		sheet_add(sb, *sheetp);
		*sheetp = NULL;
	}
	if (*unitp != UNIT_NIL && sheet_suffices(sb)) {
		unit_cut(sb, *unitp);
		*unitp = UNIT_NIL;
	}
	h = sb->sb_headers;
	if (h != UNIT_NIL)
		sb->sb_headers = SLAB(h)->sl_next;
	*wants_sheet = !sheet_suffices(sb);
	lock_release(&sb->sb_lock);
	return (h);
}

/* Without the lock.  UNIT_NIL: no memory. */
static uint32_t
header_get(struct slabs *sb)
{
	uint32_t h, unit = UNIT_NIL;
	char *sheet = NULL;
	bool wants_sheet;

	for (;;) {
		h = header_take(sb, &unit, &sheet, &wants_sheet);
		if (h != UNIT_NIL)
			break;
		if (wants_sheet && sheet == NULL &&
		    (sheet = meta_alloc(sheet_bytes(sb))) == NULL)
			break;
		if (unit == UNIT_NIL && pool_get(&unit, 1) != 1)
			break;
	}
	/* Others may have been quicker. */
	if (sheet != NULL)
		meta_free(sheet, sheet_bytes(sb));
	if (unit != UNIT_NIL)
		pool_put(&unit, 1);
	return (h);
}

static void
header_put(struct slabs *sb, uint32_t h)
{
	SLAB(h)->sl_next = sb->sb_headers;
	sb->sb_headers = h;
}

/* ---- lists -------------------------------------------------------------- */

static void
unlist(struct slabclass *sc, uint32_t h)
{
	struct slab *sl = SLAB(h);

	if (sl->sl_prev != UNIT_NIL)
		SLAB(sl->sl_prev)->sl_next = sl->sl_next;
	else
		sc->sc_first = sl->sl_next;
	if (sl->sl_next != UNIT_NIL)
		SLAB(sl->sl_next)->sl_prev = sl->sl_prev;
	else
		sc->sc_last = sl->sl_prev;
}

static void
list_first(struct slabclass *sc, uint32_t h)
{
	struct slab *sl = SLAB(h);

	sl->sl_prev = UNIT_NIL;
	sl->sl_next = sc->sc_first;
	if (sc->sc_first != UNIT_NIL)
		SLAB(sc->sc_first)->sl_prev = h;
	else
		sc->sc_last = h;
	sc->sc_first = h;
}

static void
list_last(struct slabclass *sc, uint32_t h)
{
	struct slab *sl = SLAB(h);

	sl->sl_next = UNIT_NIL;
	sl->sl_prev = sc->sc_last;
	if (sc->sc_last != UNIT_NIL)
		SLAB(sc->sc_last)->sl_next = h;
	else
		sc->sc_first = h;
	sc->sc_last = h;
}

static void
empty_add(struct slabs *sb, struct slabclass *sc, int count)
{
	sc->sc_empty += (uint64_t)(int64_t)count;
	atomic_store_explicit(&sb->sb_empty,
	    atomic_load_explicit(&sb->sb_empty, memory_order_relaxed) +
		(uint64_t)(int64_t)count, memory_order_relaxed);
}

/* ---- taking ranges ------------------------------------------------------ */

static unsigned int
slab_take(struct slabs *sb, struct slab *sl, vmem_size_t pitch,
    vmem_addr_t *addrs, unsigned int want)
{
	uint64_t start = atomic_load_explicit(
	    &sl->sl_addr, memory_order_relaxed);
	unsigned int n = 0;

	for (unsigned int w = 0; w < sb->sb_words && n < want; w++)
		while (sl->sl_bits[w] != 0 && n < want) {
			unsigned int bit =
			    (unsigned int)__builtin_ctzll(sl->sl_bits[w]);

			sl->sl_bits[w] &= sl->sl_bits[w] - 1;
			addrs[n++] = start + (w * 64 + bit) * pitch;
		}
	sl->sl_free = (uint16_t)(sl->sl_free - n);
	return (n);
}

/* Up to `want` ranges from slabs that are there; returns how many. */
unsigned int
slab_get(struct qcache *qc, vmem_addr_t *addrs, unsigned int want)
{
	struct slabs *sb = qc->qc_set->qs_slabs;
	struct slabclass *sc = qc->qc_class;
	unsigned int n = 0, got;

	lock_acquire(&sb->sb_lock);
	while (n < want && sc->sc_first != UNIT_NIL) {
		uint32_t h = sc->sc_first;

		if (SLAB(h)->sl_free == sc->sc_objects)
			empty_add(sb, sc, -1);
		got = slab_take(sb, SLAB(h), sc->sc_pitch, addrs + n, want - n);
		sc->sc_free -= got;
		n += got;
		if (SLAB(h)->sl_free == 0)
			unlist(sc, h);
	}
	qc->qc_out += n;
	lock_release(&sb->sb_lock);
	return (n);
}

/* Nothing is allocated there. */
static void
states_init(const struct slabs *sb, struct slab *sl)
{
	if (sb->sb_stated)
		for (unsigned int i = 0;
		     i < 1u << (sb->sb_shift - sb->sb_quantum); i++)
			atomic_store_explicit(slab_state_of(sl, i),
			    STATE_INSIDE, memory_order_relaxed);
}

/* Visible to find() from here on. */
static void
header_publish(struct slab *sl, unsigned int kind, uint64_t addr)
{
	atomic_store_explicit(&sl->sl_addr, addr, memory_order_relaxed);
	atomic_store_explicit(
	    &sl->sl_kind, (uint8_t)kind, memory_order_release);
}

static void
slab_init(struct qcaches *qs, struct slabclass *sc, uint32_t h, uint64_t addr)
{
	struct slabs *sb = qs->qs_slabs;
	struct slab *sl = SLAB(h);
	unsigned int n = sc->sc_objects, i;

	for (i = 0; i < sb->sb_words; i++)
		sl->sl_bits[i] = n >= (i + 1) * 64 ? UINT64_MAX :
		    n <= i * 64			   ? 0 :
				 (UINT64_C(1) << (n - i * 64)) - 1;
	sl->sl_free = (uint16_t)n;
	sl->sl_class = (uint8_t)(sc - qs->qs_classes);
	states_init(sb, sl);
	for (i = 0; sb->sb_stated && i < n; i++)
		atomic_store_explicit(
		    slab_state_of(sl, (i * sc->sc_pitch) >> sb->sb_quantum),
		    STATE_CACHED, memory_order_relaxed);
	header_publish(sl, KIND_SLAB, addr);
}

/*
 * Is there room for a slab of each class, in the arena or where it imports
 * from?  A class in use has one partly used slab, as a rule; what is less than
 * that for all would be locked up in them.
 */
static bool
room_for_slab(const struct qcaches *qs)
{
	vmem_size_t need = qs->qs_nclasses * slab_bytes(qs->qs_slabs);
	struct vmem *vm = qs->qs_vm;

	for (; vm != NULL; vm = vm->vm_parent) {
		if (vmem_size(vm, VMEM_FREE) >= need)
			return (true);
		if (vm->vm_parent == NULL &&
		    (vm->vm_import != NULL || vm->vm_import_exact != NULL))
			return (true); /* nobody knows; it may refuse */
	}
	return (false);
}

/* One more slab.  ENOMEM: no room, or no memory for its header. */
int
slab_make(struct qcache *qc)
{
	struct qcaches *qs = qc->qc_set;
	struct slabs *sb = qs->qs_slabs;
	struct slabclass *sc = qc->qc_class;
	uint32_t h;
	uint64_t addr;

	if (!room_for_slab(qs) ||
	    (table_is_small(sb) && table_grow(sb) != 0))
		return (ENOMEM);
	h = header_get(sb);
	if (h == UNIT_NIL)
		return (ENOMEM);
	if (arena_get_slab(qs->qs_vm, slab_bytes(sb), &addr) != 0) {
		lock_acquire(&sb->sb_lock);
		header_put(sb, h);
		lock_release(&sb->sb_lock);
		return (ENOMEM);
	}
	lock_acquire(&sb->sb_lock);
	slab_init(qs, sc, h, addr);
	chain_insert(sb, atomic_load(&sb->sb_table), h);
	list_last(sc, h);
	sb->sb_entries++;
	sb->sb_count++;
	sb->sb_gets++;
	sc->sc_slabs++;
	empty_add(sb, sc, 1);
	sc->sc_free += sc->sc_objects;
	lock_release(&sb->sb_lock);
	return (0);
}

/* ---- giving back -------------------------------------------------------- */

/* Out of all that knows it; the arena still has it. */
static void
slab_detach(struct slabs *sb, struct slabclass *sc, uint32_t h)
{
	struct slab *sl = SLAB(h);

	if (sl->sl_free > 0)
		unlist(sc, h);
	sc->sc_slabs--;
	sc->sc_free -= sl->sl_free;
	if (sl->sl_free == sc->sc_objects)
		empty_add(sb, sc, -1);
	sb->sb_count--;
	sb->sb_puts++;
	chain_remove(sb, h);
}

/* Wholly free slabs of a class beyond so many: out, into a list by address. */
static unsigned int
detach_empty(struct slabs *sb, struct slabclass *sc, unsigned int keep,
    uint64_t *addrs, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && sc->sc_empty > keep) {
		uint32_t h = sc->sc_last;

		ASSERT(SLAB(h)->sl_free == sc->sc_objects);
		addrs[n++] = SLAB(h)->sl_addr;
		slab_detach(sb, sc, h);
		header_put(sb, h);
	}
	return (n);
}

static void __attribute__((__noreturn__, __cold__, __noinline__))
misput(const struct qcache *qc, vmem_addr_t addr, const char *what)
{
	vmem_panic("vmem_free(\"%s\", 0x%" PRIx64 ", %" PRIu64 "): found in a "
	    "cache: %s", qc->qc_set->qs_vm->vm_name, addr, qc->qc_size, what);
}

/* One range back into its slab. */
static void
slab_return(struct qcache *qc, uint32_t h, vmem_addr_t addr)
{
	struct slabclass *sc = qc->qc_class;
	struct slab *sl = SLAB(h);
	uint64_t off = addr - sl->sl_addr, i = off / sc->sc_pitch;
	uint64_t bit = UINT64_C(1) << (i % 64);

	if (&qc->qc_set->qs_classes[sl->sl_class] != sc)
		misput(qc, addr, "wrong size (expected the one that was "
		    "allocated)");
	if (off % sc->sc_pitch != 0 || i >= sc->sc_objects)
		misput(qc, addr, "no range starts there (expected one that "
		    "was allocated)");
	if ((sl->sl_bits[i / 64] & bit) != 0)
		misput(qc, addr, "freed already (expected an allocated range)");
	sl->sl_bits[i / 64] |= bit;
	qc->qc_out--;
	sc->sc_free++;
	if (++sl->sl_free == sc->sc_objects) {
		empty_add(qc->qc_set->qs_slabs, sc, 1);
		if (sl->sl_free > 1)
			unlist(sc, h);
		list_last(sc, h);
	} else if (sl->sl_free == 1)
		list_first(sc, h);
}

/* false: it is of no slab, and the arena's again. */
static bool
slab_returns(struct qcache *qc, vmem_addr_t addr)
{
	struct slabs *sb = qc->qc_set->qs_slabs;
	uint32_t h = find(sb, addr, UINT32_MAX);

	if (h == UNIT_NIL)
		return (false);
	if (kind_of(h) == KIND_SINGLE) {
		chain_remove(sb, h);
		header_put(sb, h);
		return (false);
	}
	slab_return(qc, h, addr);
	return (true);
}

/* Give ranges of one size back, to their slabs or, without one, to the arena,
 * which also gets slabs that have become free; returns how often it got
 * something. */
unsigned int
slab_put(struct qcache *qc, const vmem_addr_t *addrs, unsigned int count,
    enum slab_keep keep)
{
	struct vmem *vm = qc->qc_set->qs_vm;
	struct slabs *sb = qc->qc_set->qs_slabs;
	vmem_addr_t single[ROUNDS_MAX], empty[ROUNDS_MAX];
	unsigned int nsingle = 0, nempty, i;

	ASSERT(count <= ROUNDS_MAX);
	lock_acquire(&sb->sb_lock);
	for (i = 0; i < count; i++)
		if (!slab_returns(qc, addrs[i]))
			single[nsingle++] = addrs[i];
	nempty = detach_empty(sb, qc->qc_class,
	    keep == SLAB_KEEP_ONE ? 1 : 0, empty, ROUNDS_MAX);
	sb->sb_puts += nsingle;
	lock_release(&sb->sb_lock);
	for (i = 0; i < nsingle; i++)
		arena_put_quietly(vm, single[i], qc->qc_size, "vmem_reap");
	for (i = 0; i < nempty; i++)
		arena_put_quietly(vm, empty[i], slab_bytes(sb), "vmem_reap");
	return (nsingle + nempty);
}

/* Give all wholly free slabs back; returns how many. */
unsigned int
slabs_trim(struct qcaches *qs)
{
	unsigned int total = 0;

	for (unsigned int i = 0; i < qs->qs_nclasses; i++) {
		unsigned int n;

		do {
			vmem_addr_t empty[ROUNDS_MAX];
			struct slabs *sb = qs->qs_slabs;

			lock_acquire(&sb->sb_lock);
			n = detach_empty(sb, &qs->qs_classes[i], 0, empty,
			    ROUNDS_MAX);
			lock_release(&sb->sb_lock);
			for (unsigned int k = 0; k < n; k++)
				arena_put_quietly(qs->qs_vm, empty[k],
				    slab_bytes(sb), "vmem_reap");
			total += n;
		} while (n == ROUNDS_MAX);
	}
	return (total);
}

/* Take any slab or single range away from the caches; false: there is none. */
static bool
forget_one(struct qcaches *qs, _Atomic(uint32_t) *chain, uint64_t *addrp,
    vmem_size_t *sizep)
{
	struct slabs *sb = qs->qs_slabs;
	uint32_t h;

	lock_acquire(&sb->sb_lock);
	h = atomic_load(chain);
	if (h != UNIT_NIL) {
		*addrp = SLAB(h)->sl_addr;
		if (kind_of(h) == KIND_SLAB) {
			*sizep = slab_bytes(sb);
			slab_detach(sb, &qs->qs_classes[SLAB(h)->sl_class], h);
		} else {
			*sizep = qs->qs_caches[SLAB(h)->sl_class].qc_size;
			sb->sb_puts++;
			chain_remove(sb, h);
		}
		header_put(sb, h);
	}
	lock_release(&sb->sb_lock);
	return (h != UNIT_NIL);
}

/* Give back all slabs, whatever of them is still allocated. */
void
slabs_forget(struct qcaches *qs)
{
	struct slabtable *st = atomic_load(&qs->qs_slabs->sb_table);
	size_t chains = (size_t)1 << (64 - st->st_shift);
	uint64_t addr;
	vmem_size_t size;

	for (size_t i = 0; i < chains; i++)
		while (forget_one(qs, &st->st_chain[i], &addr, &size))
			arena_put_quietly(qs->qs_vm, addr, size,
			    "vmem_xfreeall");
	lock_acquire(&qs->qs_slabs->sb_lock);
	for (unsigned int i = 0; i < qs->qs_count; i++)
		qs->qs_caches[i].qc_out = 0;
	lock_release(&qs->qs_slabs->sb_lock);
}

/* What is in slabs, and neither the user's nor in a magazine. */
vmem_size_t
slabs_idle(struct qcaches *qs)
{
	vmem_size_t bytes;

	lock_acquire(&qs->qs_slabs->sb_lock);
	bytes = qs->qs_slabs->sb_count * slab_bytes(qs->qs_slabs);
	for (unsigned int i = 0; i < qs->qs_count; i++)
		bytes -= qs->qs_caches[i].qc_out * qs->qs_caches[i].qc_size;
	lock_release(&qs->qs_slabs->sb_lock);
	return (bytes);
}

void
slabs_counted(struct qcaches *qs, uint64_t *counter)
{
	lock_acquire(&qs->qs_slabs->sb_lock);
	(*counter)++;
	lock_release(&qs->qs_slabs->sb_lock);
}

/* ---- VM_CHECK ----------------------------------------------------------- */

/* A range from the arena: a header for its state.  ENOMEM. */
int
slab_single(struct qcache *qc, vmem_addr_t addr)
{
	struct slabs *sb = qc->qc_set->qs_slabs;
	struct slab *sl;
	uint32_t h;

	if (table_is_small(sb) && table_grow(sb) != 0)
		return (ENOMEM);
	h = header_get(sb);
	if (h == UNIT_NIL)
		return (ENOMEM);
	lock_acquire(&sb->sb_lock);
	sl = SLAB(h);
	sl->sl_class = (uint8_t)qc->qc_index;
	sl->sl_free = 0;
	states_init(sb, sl);
	atomic_store_explicit(
	    slab_state_of(sl, 0), STATE_CACHED, memory_order_relaxed);
	header_publish(sl, KIND_SINGLE, addr);
	chain_insert(sb, atomic_load(&sb->sb_table), h);
	sb->sb_entries++;
	lock_release(&sb->sb_lock);
	return (0);
}

/* Where the state of the quantum at addr is, or NULL: it is in no slab. */
_Atomic(uint8_t) *
slab_state(struct qcaches *qs, vmem_addr_t addr)
{
	struct slabs *sb = qs->qs_slabs;
	uint32_t h = find(sb, addr, STEPS_MAX);

	if (h == UNIT_NIL) {
		lock_acquire(&sb->sb_lock);
		h = find(sb, addr, UINT32_MAX);
		lock_release(&sb->sb_lock);
		if (h == UNIT_NIL)
			return (NULL);
	}
	return (slab_state_of(SLAB(h),
	    (addr - SLAB(h)->sl_addr) >> qs->qs_vm->vm_shift));
}

/* ---- life cycle, invariants --------------------------------------------- */

/* Which class serves which cache: those of which as many fit into a slab. */
static void
classes_plan(struct qcaches *qs, unsigned int slab)
{
	struct slabclass *sc = qs->qs_classes;

	for (unsigned int q = 1; q <= qs->qs_count; q++) {
		struct qcache *qc = &qs->qs_caches[q - 1];

		if (q > 1 && slab / q != slab / (q - 1))
			sc++;
		qc->qc_class = sc;
		sc->sc_pitch = qc->qc_size; /* the largest so far */
		sc->sc_objects = slab / q;
	}
	qs->qs_nclasses = (unsigned int)(sc - qs->qs_classes) + 1;
}

int
slabs_init(struct qcaches *qs)
{
	struct slabs *sb = qs->qs_slabs;
	unsigned int quanta = slab_quanta(qs->qs_count);

	lock_init(&sb->sb_lock, "slabs", LOCK_QCACHE_SLAB);
	atomic_init(&sb->sb_table, &table_none);
	sb->sb_shift = qs->qs_vm->vm_shift +
	    (unsigned int)__builtin_ctz(quanta);
	if (sb->sb_shift >= 64)
		return (ENOMEM);
	sb->sb_mask = ~(slab_bytes(sb) - 1);
	sb->sb_quantum = qs->qs_vm->vm_shift;
	sb->sb_words = (quanta + 63) / 64;
	sb->sb_stated = qs->qs_check;
	sb->sb_header = SLAB_LINE;
	if (!sb->sb_stated)
		sb->sb_header = (unsigned int)(sizeof(struct slab) +
		    sb->sb_words * sizeof(uint64_t));
	classes_plan(qs, quanta);
	return (0);
}

void
slabs_fini(struct qcaches *qs)
{
	struct slabs *sb = qs->qs_slabs;
	struct slabtable *st = atomic_load(&sb->sb_table), *old;
	uint32_t unit, next;
	char *sheet;

	for (; st != &table_none; st = old) {
		old = st->st_old;
		meta_free(st, st->st_bytes);
	}
	for (unit = sb->sb_units; unit != UNIT_NIL; unit = next) {
		next = *unit_link(unit);
		pool_put(&unit, 1);
	}
	while ((sheet = sb->sb_sheets) != NULL) {
		sb->sb_sheets = *sheet_link(sheet);
		meta_free(sheet, sheet_bytes(sb));
	}
	lock_fini(&sb->sb_lock);
}

static const char *
check_slab(const struct qcaches *qs, const struct slabclass *sc, uint32_t h)
{
	const struct slabs *sb = qs->qs_slabs;
	const struct slab *sl = SLAB(h);
	unsigned int bits = 0;

	for (unsigned int w = 0; w < sb->sb_words; w++)
		bits += (unsigned int)__builtin_popcountll(sl->sl_bits[w]);
	if (bits != sl->sl_free || bits == 0 ||
	    &qs->qs_classes[sl->sl_class] != sc)
		return ("a slab counts its free ranges wrong");
	return (find(sb, sl->sl_addr, UINT32_MAX) == h ?
		NULL :
		"a slab isn't where its address is looked up");
}

/* The slabs that have something free; NULL: all is well. */
const char *
slabs_check(struct qcaches *qs)
{
	const char *why = NULL;

	lock_acquire(&qs->qs_slabs->sb_lock);
	for (unsigned int i = 0; i < qs->qs_nclasses && why == NULL; i++) {
		const struct slabclass *sc = &qs->qs_classes[i];
		uint64_t free = 0;

		for (uint32_t h = sc->sc_first; h != UNIT_NIL && why == NULL;
		     h = SLAB(h)->sl_next) {
			free += SLAB(h)->sl_free;
			why = check_slab(qs, sc, h);
		}
		if (why == NULL && free != sc->sc_free)
			why = "the free ranges of slabs are counted wrong";
	}
	lock_release(&qs->qs_slabs->sb_lock);
	return (why);
}
