/*
 * Goal: whatever runs out, at whatever step: the operation that needed it
 * fails with ENOMEM, nothing else changes, nothing is lost, and the same
 * operation succeeds once there is some again.  A free never fails.
 * Method: failure injection.  One scenario of allocations of all kinds, over a
 * system whose memory comes by commits (machine.h) and whose source may fail,
 * is run again for every k with the k-th such call failing, and with all from
 * the k-th on failing for a while; after each refusal every arena is checked
 * and compared with what is known to be allocated.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/resource.h>

#include "arena/arena_impl.h"
#include "machine.h"
#include "util/rng.h"

#define LIVE 9000u
#define STEPS 24000u
#define SEED 1976u

struct live {
	uint64_t addr, size;
	unsigned int kind;	/* of enum kind, or FREE */
};

/* What serves an allocation. */
enum kind { PLAIN, CONSTRAINED, IMPORTED, CACHED, KINDS, FREE };

/* Which calls fail, counted from 1 on. */
struct injection {
	uint64_t commit, commits; /* the first of them, and how many */
	uint64_t import;	  /* this one, unless 0 */
	uint64_t unit, units;	  /* calls for units of tags' memory */
	bool scarce;		  /* no more units than are needed */
};

/* What one run saw. */
struct outcome {
	uint64_t commits, imports, units, refused;
};

struct world {
	struct machine mc;
	vmem_t *vm[KINDS];	/* the arena of each kind */
	vmem_t *source;
	uint64_t imports;	/* calls */
	uint64_t import_fails;	/* the one that fails, from 1 on; 0: none */
	uint64_t refused;
	uint64_t bytes[KINDS];
	struct live live[LIVE];
	struct rng rng;
};

static struct world w;
static struct outcome *seen; /* shared with the children */

/* ---- the scenario -------------------------------------------------------- */

static int
failing_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *ap)
{
	if (++w.imports == w.import_fails)
		return (ENOMEM);
	return (vmem_alloc_import(src, size, flags, ap));
}

static vmem_t *
create(const char *name, vmem_size_t size, vmem_import_t *import, vmem_t *src,
    vmem_size_t qcache_max, vm_flag_t flags)
{
	vmem_release_t *release = import != NULL ? vmem_free_release : NULL;
	vmem_t *vm = NULL;

	/* Refused as often as it takes: at last there is memory again. */
	for (unsigned int try = 0; vm == NULL && try < 100; try++) {
		vm = vmem_create(name, 0, size, PAGE, import, release, src,
		    qcache_max, VM_NOSLEEP | flags);
		if (vm == NULL) {
			CHECK(errno == ENOMEM);
			w.refused++;
			machine_check(&w.mc);
		}
	}
	CHECK(vm != NULL);
	return (vm);
}

static void
world_create(const struct injection *in)
{
	machine_start(&w.mc, 1024 * MIB);
	w.mc.fail_from = in->commit;
	w.mc.fail_count = in->commits;
	w.import_fails = in->import;
	pool_inject(in->unit, in->units, in->scarce);
	w.vm[PLAIN] = w.vm[CONSTRAINED] = create("plain", UINT64_C(1) << 44,
	    NULL, NULL, 0, 0);
	w.source = create("source", UINT64_C(1) << 44, NULL, NULL, 0, 0);
	w.vm[IMPORTED] = create("imported", 0, failing_import, w.source, 0, 0);
	w.vm[CACHED] = create("cached", 0, vmem_alloc_import, w.source,
	    8 * PAGE, VM_CHECK | VM_LARGEIMPORT);
}

/* Everything is there, and nothing else: what caches hold apart. */
static void
world_check(void)
{
	struct vmem_stat vs;
	uint64_t plain = w.bytes[PLAIN] + w.bytes[CONSTRAINED];

	CHECK(vmem_size(w.vm[PLAIN], VMEM_ALLOC) == plain);
	CHECK(vmem_size(w.vm[IMPORTED], VMEM_ALLOC) == w.bytes[IMPORTED]);
	vmem_stat(w.vm[CACHED], &vs);
	CHECK(vs.vs_inuse == w.bytes[CACHED] + vs.vs_qc_held_bytes);
	CHECK(vmem_size(w.source, VMEM_ALLOC) ==
	    vs.vs_size + vmem_size(w.vm[IMPORTED], VMEM_ALLOC | VMEM_FREE));
	for (unsigned int k = 0; k < KINDS; k++)
		CHECK(vmem_check(w.vm[k]) == 0);
	CHECK(vmem_check(w.source) == 0);
	machine_check(&w.mc);
}

static int
get(struct live *lv)
{
	static const vm_flag_t policies[] = { VM_BESTFIT, VM_FIRSTFIT,
		VM_NEXTFIT, VM_LASTFIT };
	vmem_t *vm = w.vm[lv->kind];

	if (lv->kind == CONSTRAINED)
		return (vmem_xalloc(vm, lv->size, 4 * PAGE, PAGE, 64 * PAGE,
		    lv->size, VMEM_ADDR_MAX - lv->size,
		    VM_NOSLEEP | policies[lv->size / PAGE % 4], &lv->addr));
	if (lv->kind == CACHED)
		return (vmem_alloc(vm, lv->size, VM_NOSLEEP, &lv->addr));
	return (vmem_xalloc(vm, lv->size, 0, 0, 0, 0, VMEM_ADDR_MAX,
	    VM_NOSLEEP, &lv->addr));
}

static void
step_alloc(struct live *lv)
{
	unsigned int kind = (unsigned int)rng_below(&w.rng, KINDS);

	lv->kind = kind;
	lv->size = (1 + rng_below(&w.rng, 12)) * PAGE;
	lv->addr = 4711;
	while (get(lv) != 0) {
		CHECK(lv->addr == 4711); /* written on success only */
		CHECK(++w.refused < 10000);
		world_check();
	}
	w.bytes[kind] += lv->size;
}

/* All of it, or a part: the first page, a middle one, the last. */
static void
step_free(struct live *lv)
{
	vmem_t *vm = w.vm[lv->kind];
	uint64_t page = rng_below(&w.rng, lv->size / PAGE) * PAGE;
	int error;

	if (lv->kind == CACHED)
		vmem_free(vm, lv->addr, lv->size);
	else if (lv->size == PAGE || rng_below(&w.rng, 4) != 0)
		vmem_xfree(vm, lv->addr, lv->size);
	else {
		while ((error = vmem_xfree_part(vm, lv->addr + page, PAGE,
			    VM_NOSLEEP)) != 0) {
			CHECK(error == ENOMEM);
			CHECK(++w.refused < 10000);
			world_check();
		}
		if (page != 0)
			vmem_xfree(vm, lv->addr, page);
		if (page + PAGE != lv->size)
			vmem_xfree(vm, lv->addr + page + PAGE,
			    lv->size - page - PAGE);
	}
	w.bytes[lv->kind] -= lv->size;
	lv->kind = FREE;
}

/* Fill up, churn, empty: growth and shrinking of all there is. */
static void
scenario(void *arg)
{
	struct live *lv;

	rng_init(&w.rng, SEED);
	world_create(arg);
	for (unsigned int i = 0; i < LIVE; i++)
		w.live[i].kind = FREE;
	for (unsigned int i = 0; i < STEPS; i++) {
		lv = i < LIVE ? &w.live[i] :
				&w.live[rng_below(&w.rng, LIVE)];
		if (lv->kind == FREE)
			step_alloc(lv);
		else
			step_free(lv);
	}
	world_check();
	for (unsigned int i = 0; i < LIVE; i++)
		if (w.live[i].kind != FREE)
			step_free(&w.live[i]);
	vmem_reap(w.vm[CACHED]);
	world_check();
	CHECK(vmem_size(w.source, VMEM_ALLOC) == 0);
	vmem_destroy(w.vm[CACHED]);
	vmem_destroy(w.vm[IMPORTED]);
	vmem_destroy(w.source);
	vmem_destroy(w.vm[PLAIN]);
	machine_check(&w.mc);
	*seen = (struct outcome) { .commits = w.mc.commits,
		.imports = w.imports, .units = pool_calls(),
		.refused = w.refused };
}

/* ---- every call fails once ------------------------------------------------- */

static struct outcome
run(struct injection in)
{
	memset(seen, 0, sizeof(*seen));
	if (in_child(scenario, &in) != 0)
		fail_msg("with commits %llu+%llu, import %llu failing",
		    (unsigned long long)in.commit,
		    (unsigned long long)in.commits,
		    (unsigned long long)in.import);
	return (*seen);
}

static void
test_undisturbed(void **state)
{
	struct outcome out = run((struct injection) { 0 });

	(void)state;
	assert_int_equal(out.refused, 0);
	assert_true(out.commits > 10 && out.imports > 100);
}

static void
test_each_commit_fails(void **state)
{
	uint64_t commits = run((struct injection) { 0 }).commits, refused = 0;

	(void)state;
	for (uint64_t k = 1; k <= commits; k++)
		refused += run((struct injection) {
			       .commit = k, .commits = 1 }).refused;
	/* It did happen, if not each time: a table may grow later. */
	assert_true(refused > 2);
	printf("%llu commits, %llu refusals\n", (unsigned long long)commits,
	    (unsigned long long)refused);
}

/* For a while there is none at all: every operation in turn comes to need
 * some, and is refused. */
static void
test_no_commits_for_a_while(void **state)
{
	uint64_t commits = run((struct injection) { 0 }).commits, refused = 0;

	(void)state;
	for (uint64_t k = 1; k <= commits; k += 3)
		refused += run((struct injection) {
			       .commit = k, .commits = 40 }).refused;
	assert_true(refused > 20);
}

static void
test_each_import_fails(void **state)
{
	uint64_t imports = run((struct injection) { 0 }).imports;
	uint64_t step = imports / 40 + 1;

	(void)state;
	for (uint64_t k = 1; k <= imports; k += k < 10 ? 1 : step)
		assert_int_equal(
		    run((struct injection) { .import = k }).refused, 1);
}

/* ---- the reserve ------------------------------------------------------------ */

/* A refill fails, at every step where there is one: what has no reserve to
 * begin with is refused, and nothing runs out of it half-way. */
static void
test_each_refill_fails(void **state)
{
	uint64_t units = run((struct injection) { 0 }).units, refused = 0;
	uint64_t step = units / 60 + 1;

	(void)state;
	for (uint64_t k = 1; k <= units; k += k < 20 ? 1 : step)
		refused += run((struct injection) {
			       .unit = k, .units = 1 }).refused;
	/* Few are: most can do without (lib/arena/scarce.c). */
	assert_true(refused > 0);
	printf("%llu refills, %llu refusals\n", (unsigned long long)units,
	    (unsigned long long)refused);
}

static void
test_no_refills_for_a_while(void **state)
{
	uint64_t units = run((struct injection) { 0 }).units, refused = 0;

	(void)state;
	for (uint64_t k = 1; k <= units; k += units / 12 + 1)
		refused += run((struct injection) {
			       .unit = k, .units = 80 }).refused;
	assert_true(refused > 20);
}

/* With just the reserve, and no unit more, all goes well. */
static void
test_reserve_is_enough(void **state)
{
	(void)state;
	assert_int_equal(
	    run((struct injection) { .scarce = true }).refused, 0);
	(void)run((struct injection) {
	    .scarce = true, .unit = 50, .units = 200 });
}

/* Free segments that there was no memory to bin are taken in once there is
 * some; a check that is under way meanwhile finds nothing wrong. */
static void
test_strays_come_home(void **state)
{
	enum { MANY = 8000 };
	static vmem_addr_t a[MANY];
	vmem_t *vm = vmem_create("strays", 0, UINT64_C(1) << 40, PAGE, NULL,
	    NULL, NULL, 0, VM_NOSLEEP);
	unsigned int checks = 0;

	(void)state;
	assert_non_null(vm);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(vmem_xalloc(vm, (1 + i % 2) * PAGE, 0, 0, 0, 0,
		    VMEM_ADDR_MAX, VM_NOSLEEP, &a[i]), 0);
	pool_inject(0, UINT64_MAX, false);
	for (unsigned int i = 0; i < MANY; i += 2)
		vmem_xfree(vm, a[i], PAGE);
	assert_true(vm->vm_free.fl_strays > 1000);
	pool_inject(0, 0, false);
	for (; vm->vm_free.fl_strays > 0; checks++) {
		assert_int_equal(vmem_check(vm), 0);
		assert_true(checks < 100);
	}
	assert_true(checks > 1);
	for (unsigned int i = 1; i < MANY; i += 2)
		vmem_xfree(vm, a[i], 2 * PAGE);
	assert_int_equal(vmem_check(vm), 0);
	vmem_destroy(vm);
}

/* What is imported for good, without a release, isn't imported when there are
 * no tags to keep it by: it would be lost. */
static void
test_no_import_in_vain(void **state)
{
	vmem_t *src = vmem_create("source", 0, UINT64_C(1) << 40, PAGE, NULL,
	    NULL, NULL, 0, VM_NOSLEEP);
	vmem_t *vm = vmem_create("child", 0, 0, PAGE, vmem_alloc_import, NULL,
	    src, 0, VM_NOSLEEP);
	vmem_addr_t a;
	unsigned int n = 0;

	(void)state;
	assert_non_null(src);
	assert_non_null(vm);
	pool_inject(0, UINT64_MAX, false);
	while (vmem_xalloc(vm, PAGE, 0, 0, 0, 0, VMEM_ADDR_MAX, VM_NOSLEEP,
		   &a) == 0)
		n++;
	assert_true(n > 10);
	pool_inject(0, 0, false);
	assert_true(vmem_size(src, VMEM_ALLOC) == n * PAGE);
	assert_true(vmem_size(vm, VMEM_ALLOC | VMEM_FREE) == n * PAGE);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
	vmem_xfreeall(src);
	vmem_destroy(src);
}

/* ---- without a meta arena -------------------------------------------------- */

/* No address space is left: mmap fails. */
static void
no_address_space(void *arg)
{
	const struct rlimit none = { 0, 0 };
	vmem_t *vm = vmem_create("first", 0, UINT64_C(1) << 40, PAGE, NULL,
	    NULL, NULL, 0, VM_NOSLEEP);
	static vmem_addr_t a[LIVE];
	unsigned int n = 0;

	(void)arg;
	CHECK(vm != NULL);
	CHECK(setrlimit(RLIMIT_AS, &none) == 0);
	errno = 0;
	CHECK(vmem_create("second", 0, 0, PAGE, NULL, NULL, NULL, 0,
		  VM_NOSLEEP) == NULL);
	CHECK(errno == ENOMEM);
	/* What the first has got goes on, as far as that goes. */
	while (n < LIVE && vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[n]) == 0)
		n++;
	CHECK(n > 100);
	CHECK(vmem_check(vm) == 0);
	while (n > 0)
		vmem_free(vm, a[--n], PAGE);
	CHECK(vmem_check(vm) == 0);
	vmem_destroy(vm);
}

static void
test_no_address_space(void **state)
{
	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* the sanitizer needs address space itself */
#endif
	assert_int_equal(in_child(no_address_space, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undisturbed),
		cmocka_unit_test(test_each_commit_fails),
		cmocka_unit_test(test_no_commits_for_a_while),
		cmocka_unit_test(test_each_import_fails),
		cmocka_unit_test(test_each_refill_fails),
		cmocka_unit_test(test_no_refills_for_a_while),
		cmocka_unit_test(test_reserve_is_enough),
		cmocka_unit_test(test_strays_come_home),
		cmocka_unit_test(test_no_import_in_vain),
		cmocka_unit_test(test_no_address_space),
	};

	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return (1);
	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
