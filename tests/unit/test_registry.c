/*
 * Goal: the registry knows who has what: by start, by any address inside, by
 * owner and tag; quotas hold; claims, pins and partial frees leave nothing
 * behind.  Method: random allocations and frees, whole and in part, in an
 * arena with quantum caches and one without, against an array of owners by
 * quantum (seed printed); then everything must have come back to libvmem.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <time.h>

#include "daemon/registry.h"
#include "daemon/space.h"
#include "util/rng.h"

#define QUANTUM 16u
#define QUANTA 4096u
#define BASE 0x100000u

static struct registry rg;
static struct arena *arena;
static struct client *alice, *bob;
static const struct caller as_alice = { 1000, false };
static const struct caller as_bob = { 1001, false };
static const struct caller as_root = { 0, true };
static uint16_t owner[QUANTA];	/* model: which allocation; 0: free */

static void
begin(vmem_size_t qcache_max)
{
	const struct arena_spec spec = { .as_name = "test",
		.as_kind = ARENA_IDENTIFIERS, .as_base = BASE,
		.as_size = QUANTA * QUANTUM, .as_quantum = QUANTUM,
		.as_qcache_max = qcache_max };

	registry_init(&rg);
	assert_int_equal(arena_make(NULL, &spec, &arena), 0);
	assert_int_equal(reg_arena_add(&rg, arena), 0);
	assert_int_equal(reg_arena_add(&rg, arena), EEXIST);
	assert_ptr_equal(reg_arena_get(&rg, "test"), arena);
	assert_null(reg_arena_get(&rg, "other"));
	alice = reg_client_add(&rg, 1000, 1, false);
	bob = reg_client_add(&rg, 1001, 2, false);
	assert_non_null(alice);
	assert_non_null(bob);
	memset(owner, 0, sizeof(owner));
}

static void
end(void)
{
	struct alloc *some[16];
	size_t n;

	while ((n = reg_claim_matching(&rg, arena, 0, true, NULL, some, 16)) > 0)
		while (n > 0)
			reg_release(&rg, some[--n]);
	assert_int_equal(rg.rg_allocs, 0);
	assert_true(arena->ar_inuse == 0 && arena->ar_allocs == 0);
	assert_true(LIST_EMPTY(&arena->ar_groups));
	assert_true(reg_client_idle(&rg, alice) && reg_client_idle(&rg, bob));
	reg_client_remove(&rg, alice);
	reg_client_remove(&rg, bob);
	assert_true(LIST_EMPTY(&rg.rg_accounts));
	vmem_reap(arena->ar_vm);
	assert_int_equal(vmem_size(arena->ar_vm, VMEM_ALLOC), 0);
	assert_int_equal(vmem_check(arena->ar_vm), 0);
	assert_int_equal(reg_arena_retire(&rg, arena, false), 0);
	assert_null(reg_arena_get(&rg, "test"));
	reg_arena_remove(&rg, arena);
	registry_fini(&rg);
}

/* 0, or an errno. */
static int
allocate(struct client *cl, bool keep, const char *tag, vmem_size_t size,
    vmem_addr_t *addrp)
{
	const struct space_want sw = { .sw_size = size,
		.sw_max = VMEM_ADDR_MAX };
	struct holding *gr;
	struct alloc *al;
	int error = reg_charge(&rg, cl, keep, size, 1);

	if (error != 0)
		return (error);
	al = alloc_new();
	gr = reg_group_get(&rg, arena, cl, tag);
	assert_non_null(al);
	assert_non_null(gr);
	if (space_take(arena, &sw, al) != PE_OK) {
		reg_uncharge(&rg, cl, keep, size, 1);
		alloc_delete(al);
		error = ENOMEM;
	} else {
		*addrp = al->al_addr;
		assert_int_equal(
		    reg_insert(&rg, gr, cl, keep, &al, 1), 0);
	}
	reg_group_put(&rg, gr);
	return (error);
}

static int
release(const struct caller *ca, vmem_addr_t addr, vmem_size_t size)
{
	struct alloc *al;
	int error = reg_claim(&rg, arena, ca, addr, size, &al);

	if (error == 0)
		reg_release(&rg, al);
	return (error);
}

static void
test_owners(void **state)
{
	vmem_addr_t a, b;
	struct alloc *al;

	(void)state;
	begin(0);
	assert_int_equal(allocate(alice, false, NULL, 64, &a), 0);
	assert_int_equal(allocate(bob, true, "tag", 64, &b), 0);
	assert_int_equal(release(&as_bob, a, 0), EPERM);
	assert_int_equal(release(&as_alice, a + 16, 0), ENOENT);
	assert_int_equal(release(&as_alice, a, 48), EINVAL);
	assert_int_equal(reg_pin(&rg, arena, &as_bob, a + 63, &al), EPERM);
	assert_int_equal(reg_pin(&rg, arena, &as_root, a + 63, &al), 0);
	assert_true(al->al_addr == a);
	/* Pinned: the space stays taken until it is unpinned. */
	assert_int_equal(release(&as_alice, a, 64), 0);
	assert_int_equal(release(&as_alice, a, 64), ENOENT);
	assert_int_equal(vmem_size(arena->ar_vm, VMEM_ALLOC), 128);
	reg_unpin(&rg, al);
	assert_int_equal(vmem_size(arena->ar_vm, VMEM_ALLOC), 64);
	assert_int_equal(alice->cl_bytes, 0);
	assert_int_equal(reg_claim(&rg, arena, &as_root, b, 64, &al), 0);
	assert_int_equal(release(&as_bob, b, 64), ENOENT);
	reg_unclaim(&rg, al);
	assert_int_equal(reg_count_matching(&rg, arena, 1001, false, "tag"), 1);
	assert_int_equal(reg_count_matching(&rg, arena, 1001, false, "x"), 0);
	assert_int_equal(reg_count_matching(&rg, arena, 1000, false, NULL), 0);
	assert_int_equal(reg_arena_retire(&rg, arena, false), EBUSY);
	assert_int_equal(release(&as_bob, b, 64), 0);
	end();
}

static void
test_quotas(void **state)
{
	vmem_addr_t a, b;

	(void)state;
	begin(0);
	atomic_store(&rg.rg_quota_bytes, 128);
	atomic_store(&rg.rg_quota_segments, 2);
	assert_int_equal(allocate(alice, false, NULL, 144, &a), EDQUOT);
	assert_int_equal(allocate(alice, true, NULL, 128, &a), 0);
	assert_int_equal(allocate(alice, false, NULL, 16, &b), EDQUOT);
	assert_int_equal(allocate(bob, false, NULL, 128, &b), 0);
	assert_int_equal(release(&as_alice, a, 0), 0);
	assert_int_equal(allocate(alice, false, NULL, 16, &a), 0);
	assert_int_equal(allocate(alice, false, NULL, 16, &a), 0);
	assert_int_equal(allocate(alice, false, NULL, 16, &a), EDQUOT);
	assert_int_equal(
	    reg_charge(&rg, alice, true, UINT64_MAX, 1), EDQUOT);
	end();
}

/* One random allocation into the model. */
static void
model_alloc(struct rng *rng, uint16_t id)
{
	vmem_size_t quanta = 1 + rng_below(rng, rng_below(rng, 4) ? 8 : 70);
	vmem_addr_t addr;
	size_t first;

	if (allocate(rng_below(rng, 2) ? alice : bob, rng_below(rng, 2),
		rng_below(rng, 2) ? "t" : NULL, quanta * QUANTUM, &addr) != 0)
		return;
	first = (addr - BASE) / QUANTUM;
	for (size_t i = first; i < first + quanta; i++) {
		assert_int_equal(owner[i], 0);
		owner[i] = id;
	}
}

/* The piece of the model that quantum i lies in: [*from, *to). */
static void
model_piece(size_t i, size_t *from, size_t *to)
{
	for (*from = i; *from > 0 && owner[*from - 1] == owner[i]; (*from)--)
		continue;
	for (*to = i + 1; *to < QUANTA && owner[*to] == owner[i]; (*to)++)
		continue;
}

/* Free the piece at quantum i: whole, or some of it. */
static void
model_free(struct rng *rng, size_t i)
{
	size_t from, to;

	model_piece(i, &from, &to);
	if (rng_below(rng, 2) == 0) {
		from += (size_t)rng_below(rng, to - from);
		to = from + 1 + (size_t)rng_below(rng, to - from);
		assert_int_equal(reg_free_part(&rg, arena, &as_root,
		    BASE + from * QUANTUM, (to - from) * QUANTUM), 0);
	} else {
		assert_int_equal(release(&as_root, BASE + from * QUANTUM,
		    (to - from) * QUANTUM), 0);
	}
	for (; from < to; from++)
		owner[from] = 0;
}

static void
model_look(size_t i)
{
	vmem_addr_t addr = BASE + i * QUANTUM + QUANTUM / 2;
	size_t from, to;
	struct alloc *al;
	int error = reg_pin(&rg, arena, &as_root, addr, &al);

	assert_int_equal(error, owner[i] == 0 ? ENOENT : 0);
	if (error != 0)
		return;
	model_piece(i, &from, &to);
	assert_true(al->al_addr == BASE + from * QUANTUM);
	assert_true(al->al_size == (to - from) * QUANTUM);
	assert_int_equal(reg_free_part(&rg, arena, &as_root,
	    al->al_addr, QUANTUM), EAGAIN);
	reg_unpin(&rg, al);
}

static void
churn(vmem_size_t qcache_max)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct rng rng;

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&rng, seed);
	begin(qcache_max);
	for (unsigned int step = 0; step < 30000; step++) {
		size_t i = (size_t)rng_below(&rng, QUANTA);

		/* An id twice in use side by side would look like one piece. */
		if (owner[i] == 0)
			model_alloc(&rng, (uint16_t)(1 + step));
		else if (rng_below(&rng, 2) == 0)
			model_free(&rng, i);
		model_look((size_t)rng_below(&rng, QUANTA));
	}
	end();
}

static void
test_model(void **state)
{
	(void)state;
	churn(0);
}

static void
test_model_cached(void **state)
{
	(void)state;
	churn(16 * QUANTUM);
}

/* What a connection leaves is claimed by it, and only what isn't kept. */
static void
test_disconnect(void **state)
{
	struct alloc *some[100];
	vmem_addr_t addr;
	size_t n;

	(void)state;
	begin(0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(
		    allocate(alice, i % 2 == 0, NULL, 32, &addr), 0);
	n = reg_claim_client(&rg, alice, some, 100);
	assert_int_equal(n, 25);
	while (n > 0)
		reg_release(&rg, some[--n]);
	assert_true(reg_client_idle(&rg, alice));
	assert_int_equal(reg_count_matching(&rg, arena, 1000, false, NULL), 25);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_cached),
		cmocka_unit_test(test_disconnect),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
