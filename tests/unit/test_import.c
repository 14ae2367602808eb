/*
 * Goal: what is imported is used for what it was imported for, or goes back,
 * exactly as it came; a source may call the library, be slow, give more than
 * was asked, or come too late; what it must not do is caught.
 * Method: an arena over a source whose every call is recorded, and which does
 * something on the way: free, allocate, let another thread run to its end.
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

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>

#define PAGE 4096u
#define PAGES 64
#define BASE UINT64_C(0x100000)

/* A source that is an arena of PAGES pages, and what was asked of it. */
struct source {
	vmem_t *vm;		/* gives */
	vmem_t *child;		/* takes */
	unsigned int imports, releases;
	vmem_size_t out;	/* bytes given and not released */
	vmem_size_t round;	/* gives multiples of this */
	vm_flag_t flags;	/* of the last import */
	vmem_addr_t addr[PAGES]; /* what is out */
	vmem_size_t size[PAGES];
	void (*on_import)(struct source *); /* before it gives */
	void (*on_release)(struct source *);
	vmem_addr_t taken;	/* theirs */
};

static int
source_ximport(void *arg, vmem_size_t size, vmem_size_t *actual,
    vm_flag_t flags, vmem_addr_t *addrp)
{
	struct source *src = arg;
	void (*fn)(struct source *) = src->on_import;
	unsigned int i = 0;
	int error;

	src->imports++;
	src->flags = flags;
	*actual = (size + src->round - 1) & ~(src->round - 1);
	error = vmem_alloc_import(src->vm, *actual, flags, addrp);
	src->on_import = NULL; /* once */
	if (fn != NULL)
		fn(src);
	if (error != 0)
		return (error);
	while (src->size[i] != 0)
		i++;
	src->addr[i] = *addrp;
	src->size[i] = *actual;
	src->out += *actual;
	return (0);
}

static int
source_import(void *arg, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	vmem_size_t actual;
	int error = source_ximport(arg, size, &actual, flags, addrp);

	assert_true(error != 0 || actual == size);
	return (error);
}

/* Exactly what was given: no parts, nothing joined. */
static void
source_release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct source *src = arg;
	void (*fn)(struct source *) = src->on_release;
	unsigned int i = 0;

	src->releases++;
	while (i < PAGES && (src->addr[i] != addr || src->size[i] != size))
		i++;
	assert_in_range(i, 0, PAGES - 1);
	src->size[i] = 0;
	src->out -= size;
	src->on_release = NULL;
	if (fn != NULL)
		fn(src);
	vmem_free_release(src->vm, addr, size);
}

static void
source_open(struct source *src, vmem_size_t round, vm_flag_t flags)
{
	*src = (struct source) { .round = round };
	src->vm = vmem_create("source", BASE, PAGES * PAGE, PAGE, NULL, NULL,
	    NULL, 0, VM_SLEEP);
	src->child = round == PAGE ?
	    vmem_create("child", 0, 0, PAGE, source_import, source_release, src,
		0, VM_SLEEP | flags) :
	    vmem_xcreate("child", 0, 0, PAGE, source_ximport, source_release,
		src, 0, VM_SLEEP | flags);
	assert_non_null(src->vm);
	assert_non_null(src->child);
}

/* All came back. */
static void
source_close(struct source *src)
{
	assert_int_equal(vmem_check(src->child), 0);
	assert_int_equal(vmem_size(src->child, VMEM_ALLOC), 0);
	assert_int_equal(vmem_size(src->child, VMEM_FREE), 0);
	assert_int_equal(src->out, 0);
	assert_int_equal(src->imports >= src->releases, 1);
	vmem_destroy(src->child);
	assert_int_equal(vmem_size(src->vm, VMEM_MAXFREE), PAGES * PAGE);
	assert_int_equal(vmem_check(src->vm), 0);
	vmem_destroy(src->vm);
}

static vmem_addr_t
get(vmem_t *vm, unsigned int pages)
{
	vmem_addr_t addr = 0;

	assert_int_equal(vmem_alloc(vm, pages * PAGE, VM_NOSLEEP, &addr), 0);
	return (addr);
}

/* ---- sizes ---------------------------------------------------------------- */

static void
test_exact_import(void **state)
{
	struct source src;
	vmem_addr_t a, b;

	(void)state;
	source_open(&src, PAGE, VM_BESTFIT);
	a = get(src.child, 3);
	assert_int_equal(src.out, 3 * PAGE);
	assert_int_equal(src.flags, VM_NOSLEEP | VM_BESTFIT);
	b = get(src.child, 1);
	assert_int_equal(src.imports, 2);
	vmem_free(src.child, a, 3 * PAGE);
	assert_int_equal(src.out, PAGE);
	vmem_free(src.child, b, PAGE);
	source_close(&src);
}

static void
test_ximport_sizes(void **state)
{
	struct source src;
	vmem_addr_t a[8];

	(void)state;
	source_open(&src, 8 * PAGE, 0);
	for (int i = 0; i < 8; i++)
		a[i] = get(src.child, 1);
	assert_int_equal(src.imports, 1);
	for (int i = 0; i < 7; i++)
		vmem_free(src.child, a[i], PAGE);
	assert_int_equal(src.releases, 0);
	vmem_free(src.child, a[7], PAGE);
	source_close(&src);
}

/* Sixteen times, and exactly what is needed when that isn't to be had. */
static void
test_pit_15_large_import_falls_back(void **state)
{
	struct source src;
	vmem_addr_t a, b;

	(void)state;
	source_open(&src, PAGE, VM_LARGEIMPORT);
	a = get(src.child, 2);
	assert_int_equal(src.out, 32 * PAGE);
	b = get(src.child, 31); /* of which 16 times is too much */
	assert_int_equal(src.imports, 3);
	assert_int_equal(src.out, 63 * PAGE);
	vmem_free(src.child, b, 31 * PAGE);
	vmem_free(src.child, a, 2 * PAGE);
	source_close(&src);
}

/* Spans that lie side by side are released each for itself. */
static void
test_pit_27_imports_stay_apart(void **state)
{
	struct source src;
	vmem_addr_t a[8];

	(void)state;
	source_open(&src, PAGE, VM_FIRSTFIT);
	for (int i = 0; i < 8; i++) {
		a[i] = get(src.child, 1);
		assert_int_equal(a[i], BASE + (uint64_t)i * PAGE);
	}
	for (int i = 0; i < 8; i += 2)
		vmem_free(src.child, a[i], PAGE);
	for (int i = 1; i < 8; i += 2)
		vmem_free(src.child, a[i], PAGE);
	assert_int_equal(src.releases, 8);
	source_close(&src);
}

/* What has no release is kept for good. */
static void
test_import_without_release(void **state)
{
	struct source src;
	vmem_t *vm;
	vmem_addr_t a;

	(void)state;
	source_open(&src, PAGE, 0);
	vm = vmem_create("keeps", 0, 0, PAGE, source_import, NULL, &src, 0,
	    VM_SLEEP);
	assert_non_null(vm);
	a = get(vm, 2);
	vmem_free(vm, a, 2 * PAGE);
	assert_int_equal(vmem_size(vm, VMEM_FREE), 2 * PAGE);
	assert_int_equal(get(vm, 2), a);
	assert_int_equal(src.imports, 1);
	vmem_free(vm, a, 2 * PAGE);
	vmem_destroy(vm);
	source_release(&src, a, 2 * PAGE);
	source_close(&src);
}

/* ---- constraints ------------------------------------------------------------ */

/* What the source can't know is imported once, and goes back. */
static void
test_pit_13_one_import_for_one_request(void **state)
{
	struct source src;
	vmem_addr_t a = 4711;

	(void)state;
	source_open(&src, PAGE, 0);
	assert_int_equal(vmem_xalloc(src.child, PAGE, 0, 0, 0,
	    BASE + PAGES * PAGE, VMEM_ADDR_MAX, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(a, 4711);
	assert_int_equal(src.imports, 1);
	assert_int_equal(src.releases, 1);
	/* As much as any place in it needs: aligned, whatever comes. */
	assert_int_equal(vmem_xalloc(src.child, PAGE, 8 * PAGE, 3 * PAGE, 0, 0,
	    VMEM_ADDR_MAX, VM_NOSLEEP, &a), 0);
	assert_int_equal(a % (8 * PAGE), 3 * PAGE);
	assert_int_equal(src.imports, 2);
	vmem_xfree(src.child, a, PAGE);
	source_close(&src);
}

/* ---- meanwhile --------------------------------------------------------------- */

/* The space comes back while the source is asked. */
static void
free_in_child(struct source *src)
{
	vmem_xfree(src->child, src->taken, PAGE);
}

/* It is met out of what was imported for it, though that is the last of many
 * segments that might do, and a search looks at no more than so many. */
static void
test_import_is_found_among_many(void **state)
{
	static const vm_flag_t policies[] = { VM_INSTANTFIT, VM_BESTFIT,
		VM_FIRSTFIT, VM_NEXTFIT, VM_LASTFIT };
	enum { HOLES = VMEM_LOOKS_MAX + 1, STEP = 256 };
	vmem_t *source = vmem_create("source", UINT64_C(1) << 41, 1 << 20, 64,
	    NULL, NULL, NULL, 0, VM_SLEEP), *child;
	vmem_addr_t a;

	(void)state;
	assert_non_null(source);
	/* The child's own: holes of 9 that have no aligned 8, and that any
	 * strategy looks at before what it imports. */
	for (unsigned int i = 0; i < 5; i++) {
		child = vmem_create("child", 0, 0, 1, vmem_alloc_import,
		    vmem_free_release, source, 0, VM_SLEEP | policies[i]);
		assert_non_null(child);
		for (unsigned int n = 0; n < HOLES; n++)
			assert_int_equal(vmem_add(child, (policies[i] ==
			    VM_LASTFIT ? UINT64_C(1) << 42 : 0) +
			    (uint64_t)(n + 1) * STEP - 63, 9, VM_NOSLEEP), 0);
		assert_int_equal(vmem_xalloc(child, 8, 8, 0, 0, 0,
		    VMEM_ADDR_MAX, VM_NOSLEEP, &a), 0);
		assert_int_equal(vmem_size(source, VMEM_ALLOC), 64);
		vmem_xfree(child, a, 8);
		assert_int_equal(vmem_size(source, VMEM_ALLOC), 0);
		vmem_destroy(child);
	}
	assert_int_equal(vmem_check(source), 0);
	vmem_destroy(source);
}

static void
test_pit_14_freed_during_import(void **state)
{
	struct source src;
	vmem_addr_t keep, a;

	(void)state;
	source_open(&src, 2 * PAGE, 0);
	keep = get(src.child, 1);
	src.taken = get(src.child, 1);
	assert_int_equal(src.imports, 1);
	src.on_import = free_in_child;
	a = get(src.child, 1);
	assert_int_equal(a, src.taken);
	assert_int_equal(src.imports, 2);
	assert_int_equal(src.releases, 1); /* wasn't needed after all */
	assert_int_equal(src.out, 2 * PAGE);
	vmem_free(src.child, a, PAGE);
	vmem_free(src.child, keep, PAGE);
	source_close(&src);
}

/* Two threads import for one need: the second to come back finds room, and its
 * span is a surplus. */
static void *
other_thread(void *arg)
{
	struct source *src = arg;

	src->taken = get(src->child, 1);
	return (NULL);
}

static void
run_other(struct source *src)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, other_thread, src), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void
test_pit_14_two_threads_import(void **state)
{
	struct source src;
	vmem_addr_t a;

	(void)state;
	source_open(&src, 8 * PAGE, 0);
	src.on_import = run_other;
	a = get(src.child, 1);
	assert_int_equal(src.imports, 2);
	assert_int_equal(src.releases, 1);
	assert_int_equal(src.out, 8 * PAGE);
	vmem_free(src.child, a, PAGE);
	vmem_free(src.child, src.taken, PAGE);
	source_close(&src);
}

/* Everything that one may call, from within an import and a release. */
static int
count(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)addr;
	*(vmem_size_t *)arg += size;
	return (0);
}

static void
call_everything(struct source *src)
{
	struct vmem_stat vs;
	vmem_size_t bytes = 0;
	vmem_addr_t a, b;
	vmem_t *vm = vmem_create("nested", BASE, 4 * PAGE, PAGE, NULL, NULL,
	    NULL, 2 * PAGE, VM_SLEEP);

	assert_non_null(vm);
	a = get(vm, 1);
	b = get(src->child, 2); /* imports, too */
	vmem_stat(src->child, &vs);
	vmem_walk(src->child, VMEM_ALLOC | VMEM_FREE, count, &bytes);
	assert_int_equal(bytes, vs.vs_size);
	assert_int_equal(vmem_check(src->child), 0);
	vmem_reap(src->child);
	vmem_tick();
	vmem_set_limit(src->child, 0);
	assert_int_equal(vmem_xfree_part(src->child, b, PAGE, VM_NOSLEEP), 0);
	vmem_xfree(src->child, b + PAGE, PAGE);
	vmem_free(vm, a, PAGE);
	vmem_destroy(vm);
}

static void
test_callbacks_may_call_everything(void **state)
{
	struct source src;
	vmem_addr_t a;

	(void)state;
	source_open(&src, PAGE, 0);
	src.on_import = call_everything;
	a = get(src.child, 3);
	assert_null(src.on_import);
	src.on_release = call_everything;
	vmem_free(src.child, a, 3 * PAGE);
	assert_null(src.on_release);
	source_close(&src);
}

/* ---- what a source must not do ---------------------------------------------- */

static const struct bad {
	vmem_addr_t addr;
	vmem_size_t size;
	const char *words;
} *bad;

static int
bad_import(void *src, vmem_size_t size, vmem_size_t *actual, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	(void)src;
	(void)size;
	(void)flags;
	*addrp = bad->addr;
	*actual = bad->size;
	return (0);
}

static void
bad_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	(void)src;
	(void)addr;
	(void)size;
}

static void
expect_words(const char *message)
{
	_exit(strstr(message, bad->words) != NULL ? 0 : 2);
}

static void
test_bad_imports_panic(void **state)
{
	static const struct bad cases[] = {
		{ BASE, PAGE, "at least 8192" },	   /* too small */
		{ BASE + 1, 2 * PAGE, "whole quanta" },	   /* unaligned */
		{ BASE, 2 * PAGE + 1, "whole quanta" },	   /* so its size */
		{ 0 - (vmem_addr_t)PAGE, 2 * PAGE, "bad" }, /* wraps */
		{ BASE + 8 * PAGE, 2 * PAGE, "hasn't got yet" }, /* its own */
	};
	int status;
	vmem_addr_t a;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bad = &cases[i];
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			vmem_t *vm = vmem_xcreate("bad", 0, 0, PAGE,
			    bad_import, bad_release, NULL, 0, VM_SLEEP);

			vmem_set_panic(expect_words);
			if (vm == NULL || vmem_add(vm, BASE + 9 * PAGE, PAGE,
			    VM_NOSLEEP) != 0)
				_exit(3);
			(void)!vmem_alloc(vm, 2 * PAGE, VM_NOSLEEP, &a);
			_exit(4);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_import),
		cmocka_unit_test(test_ximport_sizes),
		cmocka_unit_test(test_pit_15_large_import_falls_back),
		cmocka_unit_test(test_pit_27_imports_stay_apart),
		cmocka_unit_test(test_import_without_release),
		cmocka_unit_test(test_pit_13_one_import_for_one_request),
		cmocka_unit_test(test_import_is_found_among_many),
		cmocka_unit_test(test_pit_14_freed_during_import),
		cmocka_unit_test(test_pit_14_two_threads_import),
		cmocka_unit_test(test_callbacks_may_call_everything),
		cmocka_unit_test(test_bad_imports_panic),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
