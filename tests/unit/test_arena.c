/*
 * Goal: the contract of vmem.h, case by case, and the field's bugs
 * (PITFALLS 1), each under its number: test_pit_NN_*.
 * Method: small arenas with known answers; misuse in a child process, whose
 * panic message is looked at.
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
#include <sys/wait.h>
#include <unistd.h>
#include <vmem.h>


#define PAGE 4096u
#define TOP VMEM_ADDR_MAX

static vmem_t *
arena(vmem_addr_t base, vmem_size_t size, vmem_size_t quantum)
{
	vmem_t *vm = vmem_create(
	    "test", base, size, quantum, NULL, NULL, NULL, 0, VM_SLEEP);

	assert_non_null(vm);
	return (vm);
}

static int
xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align, vmem_size_t phase,
    vmem_size_t nocross, vmem_addr_t *addrp)
{
	return (vmem_xalloc(
	    vm, size, align, phase, nocross, 0, TOP, VM_NOSLEEP, addrp));
}

static void
finish(vmem_t *vm)
{
	vmem_xfreeall(vm);
	assert_int_equal(vmem_check(vm), 0);
	vmem_destroy(vm);
}

/* ---- misuse, in a child ------------------------------------------------- */

static int panic_fd;

static void
panic_to_pipe(const char *message)
{
	(void)!write(panic_fd, message, strlen(message));
}

/* fn(vm) must panic with a message that has all of `words`. */
static void
expect_panic(void (*fn)(vmem_t *), vmem_t *vm, const char *words)
{
	char message[1024], copy[256], *word, *rest = copy;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		panic_fd = fds[1];
		vmem_set_panic(panic_to_pipe);
		fn(vm);
		_exit(0);
	}
	(void)close(fds[1]);
	n = read(fds[0], message, sizeof(message) - 1);
	message[n > 0 ? n : 0] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	(void)snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strtok_r(rest, "|", &rest)) != NULL)
		if (strstr(message, word) == NULL)
			fail_msg("\"%s\" has no \"%s\"", message, word);
}

static void
free_twice(vmem_t *vm)
{
	vmem_addr_t a;

	if (vmem_alloc(vm, PAGE, VM_NOSLEEP, &a) != 0)
		return;
	vmem_free(vm, a, PAGE);
	vmem_free(vm, a, PAGE);
}

/* What is free has the very bounds of what was allocated. */
static void
free_twice_between(vmem_t *vm)
{
	vmem_addr_t a[3];

	for (int i = 0; i < 3; i++)
		if (xalloc(vm, PAGE, 0, 0, 0, &a[i]) != 0)
			return;
	vmem_xfree(vm, a[1], PAGE);
	vmem_xfree(vm, a[1], PAGE);
}

static void
free_wrong_size(vmem_t *vm)
{
	vmem_addr_t a;

	if (xalloc(vm, 4 * PAGE, 0, 0, 0, &a) == 0)
		vmem_xfree(vm, a, 2 * PAGE);
}

static void
free_interior(vmem_t *vm)
{
	vmem_addr_t a;

	if (xalloc(vm, 4 * PAGE, 0, 0, 0, &a) == 0)
		vmem_xfree(vm, a + PAGE, PAGE);
}

/* By the size of the whole, too. */
static void
free_interior_whole(vmem_t *vm)
{
	vmem_addr_t a;

	if (xalloc(vm, 4 * PAGE, 0, 0, 0, &a) == 0)
		vmem_xfree(vm, a + PAGE, 4 * PAGE);
}

static void
free_foreign(vmem_t *vm)
{
	vmem_xfree(vm, UINT64_C(0xdead000), PAGE);
}

static void
free_part_foreign(vmem_t *vm)
{
	(void)!vmem_xfree_part(vm, UINT64_C(0x11000), PAGE, VM_NOSLEEP);
}

static void
both_sleeps(vmem_t *vm)
{
	vmem_addr_t a;

	(void)!vmem_alloc(vm, PAGE, VM_SLEEP | VM_NOSLEEP, &a);
}

static void
two_policies(vmem_t *vm)
{
	vmem_addr_t a;

	(void)!vmem_alloc(
	    vm, PAGE, VM_NOSLEEP | VM_BESTFIT | VM_FIRSTFIT, &a);
}

static void
destroy_in_use(vmem_t *vm)
{
	vmem_addr_t a;

	if (vmem_alloc(vm, PAGE, VM_NOSLEEP, &a) == 0)
		vmem_destroy(vm);
}

static void
test_pit_25_misuse_panics(void **state)
{
	vmem_t *vm = arena(0x10000, 64 * PAGE, PAGE);

	(void)state;
	expect_panic(free_twice, vm, "vmem_free|test|expected");
	expect_panic(free_twice_between, vm, "vmem_xfree|no allocation starts");
	expect_panic(free_wrong_size, vm, "vmem_xfree|wrong size|16384");
	expect_panic(free_interior, vm, "vmem_xfree|test|expected");
	expect_panic(free_interior_whole, vm, "vmem_xfree|no allocation starts");
	expect_panic(free_foreign, vm, "vmem_xfree|0xdead000");
	expect_panic(free_part_foreign, vm, "vmem_xfree_part|inside one");
	expect_panic(both_sleeps, vm, "exactly one of VM_SLEEP");
	expect_panic(two_policies, vm, "one strategy");
	expect_panic(destroy_in_use, vm, "vmem_destroy|still allocated");
	finish(vm);
}

static void
xfree_cached(vmem_t *vm)
{
	vmem_addr_t a;

	if (vmem_alloc(vm, PAGE, VM_NOSLEEP, &a) != 0)
		return;
	vmem_free(vm, a, PAGE);
	vmem_xfree(vm, a, PAGE);
}

static void
free_wrong_class(vmem_t *vm)
{
	vmem_addr_t a;

	if (vmem_alloc(vm, PAGE, VM_NOSLEEP, &a) == 0)
		vmem_free(vm, a, 2 * PAGE);
}

static void
free_part_cached(vmem_t *vm)
{
	vmem_addr_t a;

	if (vmem_alloc(vm, 2 * PAGE, VM_NOSLEEP, &a) != 0)
		return;
	vmem_free(vm, a, 2 * PAGE);
	(void)!vmem_xfree_part(vm, a, PAGE, VM_NOSLEEP);
}

static void
test_misuse_in_caches_with_check(void **state)
{
	vmem_t *vm = vmem_create("checked", 0x10000, 64 * PAGE, PAGE, NULL,
	    NULL, NULL, 4 * PAGE, VM_SLEEP | VM_CHECK);

	(void)state;
	expect_panic(free_twice, vm, "vmem_free|checked|freed already");
	expect_panic(xfree_cached, vm, "vmem_xfree|freed already");
	expect_panic(free_wrong_class, vm, "vmem_free|wrong size");
	expect_panic(free_part_cached, vm, "vmem_xfree_part|inside one");
	finish(vm);
}

/* ---- arguments ---------------------------------------------------------- */

static void
test_create_arguments(void **state)
{
	static const struct {
		uint64_t base, size, quantum, qcache;
	} bad[] = {
		{ 0, 0, 0, 0 },		      /* no quantum */
		{ 0, 0, 3, 0 },		      /* not a power of two */
		{ 1, PAGE, PAGE, 0 },	      /* base isn't whole quanta */
		{ 0, PAGE + 1, PAGE, 0 },     /* nor size */
		{ 0 - (uint64_t)PAGE, 2 * PAGE, PAGE, 0 }, /* past the top */
		{ 0, PAGE, PAGE, 65 * PAGE }, /* too large a cache */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		assert_null(vmem_create("bad", bad[i].base, bad[i].size,
		    bad[i].quantum, NULL, NULL, NULL, bad[i].qcache,
		    VM_SLEEP));
		assert_int_equal(errno, EINVAL);
	}
	vmem_destroy(NULL);
}

static void
test_xalloc_arguments(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);
	vmem_addr_t a = 77;

	(void)state;
	assert_int_equal(xalloc(vm, 0, 0, 0, 0, &a), EINVAL);
	assert_int_equal(xalloc(vm, PAGE, 3, 0, 0, &a), EINVAL);
	assert_int_equal(xalloc(vm, PAGE, PAGE, PAGE, 0, &a), EINVAL);
	assert_int_equal(xalloc(vm, PAGE, 4 * PAGE, 1, 0, &a), EINVAL);
	assert_int_equal(xalloc(vm, PAGE, 0, 0, 3, &a), EINVAL);
	assert_int_equal(xalloc(vm, 2 * PAGE, 0, 0, PAGE, &a), EINVAL);
	assert_int_equal(vmem_xalloc(vm, PAGE, 0, 0, 0, 8 * PAGE, 4 * PAGE,
			     VM_NOSLEEP, &a),
	    EINVAL);
	assert_int_equal(
	    vmem_xalloc(vm, 2 * PAGE, 0, 0, 0, 0, PAGE, VM_NOSLEEP, &a),
	    EINVAL);
	assert_int_equal(vmem_xalloc_addr(vm, 1, PAGE, VM_NOSLEEP), EINVAL);
	assert_int_equal(vmem_add(vm, 64 * PAGE, 0, VM_NOSLEEP), EINVAL);
	assert_int_equal(a, 77); /* results are written on success only */
	finish(vm);
}

/* ---- PITFALLS 1 --------------------------------------------------------- */

static void
test_pit_01_align_at_the_top(void **state)
{
	vmem_t *vm = arena(TOP - 99, 100, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(xalloc(vm, 10, 4096, 0, 0, &a), ENOMEM);
	assert_int_equal(xalloc(vm, 10, 16, 0, 0, &a), 0);
	assert_true(a >= TOP - 99 && a % 16 == 0);
	finish(vm);
}

static void
test_pit_02_span_to_the_top(void **state)
{
	vmem_t *vm = arena(TOP - (PAGE - 1), PAGE, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a), 0);
	vmem_free(vm, a, PAGE);
	assert_int_equal(vmem_xalloc_addr(vm, TOP, 1, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xalloc_addr(vm, TOP, 1, VM_NOSLEEP), ENOMEM);
	assert_true(vmem_contains(vm, TOP, 1));
	assert_false(vmem_contains(vm, TOP, 2));
	vmem_xfree(vm, TOP, 1);
	finish(vm);
}

/*
 * A row of tags may begin at the very last quantum: what comes after it is
 * nothing, not address 0 again.  To that end: 55 allocations and what is free
 * above fill a row; the next begins another, and is freed with the one below.
 */
static void
test_pit_02_search_from_the_last_address(void **state)
{
	vmem_t *vm = arena(1, TOP, 1);
	vmem_addr_t a;
	struct vmem_request vr = { .vr_size = 1, .vr_align = 2,
		.vr_min = TOP - 1, .vr_max = TOP, .vr_flags = VM_FIRSTFIT,
		.vr_count = 1, .vr_addrs = &a };

	(void)state;
	for (a = TOP - 56; a != 0; a++)
		assert_int_equal(vmem_xalloc_addr(vm, a, 1, VM_NOSLEEP), 0);
	vmem_xfree(vm, TOP - 2, 1);
	vmem_xfree(vm, TOP - 1, 1);
	assert_int_equal(vmem_xalloc_addr(vm, TOP - 2, 2, VM_NOSLEEP), 0);
	vmem_xfree(vm, TOP, 1);
	/* TOP alone is free there, and it is odd. */
	assert_int_equal(vmem_xalloc(vm, 1, 2, 0, 0, TOP - 1, TOP,
	    VM_NOSLEEP | VM_FIRSTFIT, &a), ENOMEM);
	assert_int_equal(vmem_xalloc(vm, 1, 2, 0, 0, TOP - 1, TOP,
	    VM_NOSLEEP | VM_BESTFIT, &a), ENOMEM);
	assert_int_equal(vmem_xalloc(vm, 1, 1, 0, 0, TOP - 1, TOP,
	    VM_NOSLEEP | VM_FIRSTFIT, &a), 0);
	assert_true(a == TOP);
	vmem_xfree(vm, a, 1);
	/* Nor is it found by who looks at all, which would have no end. */
	assert_int_equal(vmem_submit(vm, &vr), EINPROGRESS);
	assert_int_equal(vmem_cancel(vm, &vr), 0);
	finish(vm);
}

static void
test_pit_03_size_rounds_to_zero(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(vmem_alloc(vm, TOP, VM_NOSLEEP, &a), EINVAL);
	assert_int_equal(vmem_alloc(vm, TOP - 4094, VM_NOSLEEP, &a), EINVAL);
	assert_int_equal(vmem_alloc(vm, TOP - 4095, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(vmem_xalloc_addr(vm, 0, TOP, VM_NOSLEEP), EINVAL);
	finish(vm);
}

static void
test_pit_04_beyond_the_last_list(void **state)
{
	vmem_t *vm = arena(1, TOP, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(
	    vmem_alloc(vm, (UINT64_C(1) << 63) + 1, VM_NOSLEEP, &a), 0);
	vmem_free(vm, a, (UINT64_C(1) << 63) + 1);
	assert_int_equal(vmem_alloc(vm, TOP, VM_NOSLEEP, &a), 0);
	assert_int_equal(a, 1);
	assert_int_equal(vmem_alloc(vm, 1, VM_NOSLEEP, &a), ENOMEM);
	finish(vm);
}

/* One segment of 2^64-1 quanta, the largest there can be, is one to find. */
static void
test_pit_04_all_of_it_is_free(void **state)
{
	static const vm_flag_t policies[] = { VM_INSTANTFIT, VM_BESTFIT,
		VM_FIRSTFIT, VM_NEXTFIT, VM_LASTFIT };
	vmem_t *vm = arena(0, TOP, 1);
	vmem_addr_t a;

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(vmem_xalloc(vm, 1, 64, 3, 0, 5, 100,
		    VM_NOSLEEP | policies[i], &a), 0);
		assert_true(a == 67);
		vmem_xfree(vm, a, 1);
		assert_int_equal(vmem_xalloc(vm, TOP, 0, 0, 0, 0, TOP - 1,
		    VM_NOSLEEP | policies[i], &a), 0);
		assert_true(a == 0);
		vmem_xfree(vm, a, TOP);
	}
	finish(vm);
}

static void
test_pit_05_address_zero(void **state)
{
	vmem_t *vm = arena(0, 3, 1);
	vmem_addr_t a = 9;

	(void)state;
	assert_int_equal(
	    vmem_alloc(vm, 1, VM_NOSLEEP | VM_FIRSTFIT, &a), 0);
	assert_int_equal(a, 0);
	vmem_free(vm, 0, 1);
	assert_int_equal(vmem_xalloc_addr(vm, 0, 1, VM_NOSLEEP), 0);
	vmem_xfree(vm, 0, 1);
	/* All of it, and a part of what is there. */
	for (vmem_size_t size = 3; size > 0; size--) {
		a = 9;
		assert_int_equal(vmem_alloc(vm, size, VM_NOSLEEP, &a), 0);
		assert_int_equal(a, 0);
		vmem_free(vm, 0, size);
	}
	finish(vm);
}

static void
test_pit_07_max_is_inclusive(void **state)
{
	vmem_t *vm = arena(0, 1000, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(
	    vmem_xalloc(vm, 10, 0, 0, 0, 100, 109, VM_NOSLEEP, &a), 0);
	assert_int_equal(a, 100);
	assert_int_equal(
	    vmem_xalloc(vm, 1, 0, 0, 0, 109, 109, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(
	    vmem_xalloc(vm, 1, 0, 0, 0, 110, 110, VM_NOSLEEP, &a), 0);
	finish(vm);
}

/* The paper's example, 1000 units from 1, 64-aligned with phase 8. */
static void
test_pit_08_phase(void **state)
{
	vmem_t *vm = arena(1, 1000, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(
	    vmem_xalloc(vm, 100, 64, 8, 0, 200, 300, VM_NOSLEEP, &a), 0);
	assert_int_equal(a, 200);
	vmem_xfree(vm, a, 100);
	assert_int_equal(
	    vmem_xalloc(vm, 100, 64, 8, 0, 201, 400, VM_NOSLEEP, &a), 0);
	assert_int_equal(a, 264);
	finish(vm);
}

static void
test_pit_09_at_with_odd_size(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);

	(void)state;
	assert_int_equal(
	    vmem_xalloc_addr(vm, 8 * PAGE, PAGE + 1, VM_NOSLEEP), 0);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 2 * PAGE);
	assert_int_equal(
	    vmem_xalloc_addr(vm, 9 * PAGE, 1, VM_NOSLEEP), ENOMEM);
	finish(vm);
}

static void
test_pit_10_nextfit_rounds(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);
	vmem_addr_t a;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(
		    vmem_alloc(vm, 100, VM_NOSLEEP | VM_NEXTFIT, &a), 0);
		assert_int_equal(a, (uint64_t)i * PAGE);
		assert_int_equal(vmem_check(vm), 0);
	}
	finish(vm);
}

static int
import_counted(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *ap)
{
	return (vmem_alloc_import(src, size, flags, ap));
}

/* The cursor of next fit neither keeps neighbours apart nor pins a span. */
static void
test_pit_11_cursor_pins_nothing(void **state)
{
	vmem_t *src = arena(0x100000, 64 * PAGE, PAGE), *vm;
	vmem_addr_t a, b;

	(void)state;
	vm = vmem_create("next", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, src, 0, VM_SLEEP | VM_NEXTFIT);
	assert_int_equal(vmem_alloc(vm, 2 * PAGE, VM_NOSLEEP, &a), 0);
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &b), 0);
	vmem_free(vm, a, 2 * PAGE);
	vmem_free(vm, b, PAGE);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 0);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), 0);
	assert_int_equal(vmem_size(src, VMEM_MAXFREE), 64 * PAGE);
	vmem_destroy(vm);
	finish(src);
}

static void
test_pit_13_constrained_import_drains_nothing(void **state)
{
	vmem_t *src = arena(0x100000, 64 * PAGE, PAGE), *vm;
	struct vmem_stat vs;
	vmem_addr_t a;

	(void)state;
	/* Through the source's own constraints, and through a foreign one. */
	vm = vmem_create("child", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, src, 0, VM_SLEEP);
	assert_int_equal(vmem_xalloc(vm, PAGE, 0, 0, 0, 0x120000, 0x120fff,
			     VM_NOSLEEP, &a),
	    0);
	assert_int_equal(a, 0x120000);
	assert_int_equal(vmem_xalloc(vm, PAGE, 0, 0, 0, 0x900000, 0x9fffff,
			     VM_NOSLEEP, &a),
	    ENOMEM);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), PAGE);
	vmem_xfree(vm, 0x120000, PAGE);
	vmem_destroy(vm);
	vm = vmem_create("foreign", 0, 0, PAGE, import_counted,
	    vmem_free_release, src, 0, VM_SLEEP);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vmem_xalloc(vm, PAGE, 0, 0, 0, 0x900000,
				     0x9fffff, VM_NOSLEEP, &a),
		    ENOMEM);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), 0);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_size, 0);
	vmem_destroy(vm);
	finish(src);
}

static void
test_pit_15_large_import(void **state)
{
	vmem_t *src = arena(0, 20 * PAGE, PAGE), *vm;
	vmem_addr_t a, b;

	(void)state;
	vm = vmem_create("large", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, src, 0, VM_SLEEP | VM_LARGEIMPORT);
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a), 0);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 16 * PAGE);
	vmem_free(vm, a, PAGE);
	/* Sixteen times that is not to be had: exactly what is needed is. */
	assert_int_equal(vmem_alloc(vm, 18 * PAGE, VM_NOSLEEP, &a), 0);
	assert_int_equal(vmem_alloc(vm, TOP / 2, VM_NOSLEEP, &b), ENOMEM);
	vmem_free(vm, a, 18 * PAGE);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), 0);
	vmem_destroy(vm);
	finish(src);
	/* Sixteen times that is a page's worth, modulo 2^64. */
	src = arena(0, UINT64_C(1) << 61, PAGE);
	vm = vmem_create("huge", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, src, 0, VM_SLEEP | VM_LARGEIMPORT);
	b = (UINT64_C(1) << 60) + PAGE;
	assert_int_equal(vmem_alloc(vm, b, VM_NOSLEEP, &a), 0);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), b);
	vmem_free(vm, a, b);
	vmem_destroy(vm);
	finish(src);
}

static int
ximport_more(void *src, vmem_size_t size, vmem_size_t *actual, vm_flag_t flags,
    vmem_addr_t *ap)
{
	*actual = size * 4;
	return (vmem_alloc_import(src, size * 4, flags, ap));
}

static void
test_ximport_gives_more(void **state)
{
	vmem_t *src = arena(0, 64 * PAGE, PAGE), *vm;
	vmem_addr_t a[4];

	(void)state;
	vm = vmem_xcreate("x", 0, 0, PAGE, ximport_more, vmem_free_release, src,
	    0, VM_SLEEP);
	for (int i = 0; i < 4; i++)
		assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]), 0);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), 4 * PAGE);
	for (int i = 0; i < 4; i++)
		vmem_free(vm, a[i], PAGE);
	assert_int_equal(vmem_size(src, VMEM_ALLOC), 0);
	vmem_destroy(vm);
	finish(src);
}

static void
test_pit_23_destroy_gives_all_back(void **state)
{
	struct vmem_meta_stat before, after;
	vmem_addr_t a[100];
	vmem_t *vm;

	(void)state;
	vm = arena(0, 0, PAGE); /* the pool exists from here on */
	vmem_destroy(vm);
	vmem_meta_stat(&before);
	vm = vmem_create("t", 0, 4096 * PAGE, PAGE, NULL, NULL, NULL, 4 * PAGE,
	    VM_SLEEP);
	for (int i = 0; i < 100; i++)
		assert_int_equal(vmem_alloc(vm, (uint64_t)(i % 9 + 1) * PAGE,
				     VM_NOSLEEP, &a[i]),
		    0);
	for (int i = 0; i < 100; i += 2)
		vmem_free(vm, a[i], (uint64_t)(i % 9 + 1) * PAGE);
	vmem_xfreeall(vm);
	/* Free spans: rows, both trees, bins of several levels, records. */
	for (uint64_t i = 1; i <= 600; i++)
		assert_int_equal(vmem_add(vm, i << 32, (i % 4 == 0 ? 5000 + i :
			    i % 4 == 1 ? 300 : 3) * PAGE, VM_NOSLEEP), 0);
	vmem_destroy(vm);
	vmem_meta_stat(&after);
	assert_int_equal(before.ms_tags_total - before.ms_tags_free,
	    after.ms_tags_total - after.ms_tags_free);
	errno = 0;
	assert_null(vmem_create("bad", 1, PAGE, PAGE, NULL, NULL, NULL, 0, 0));
}

/* The hash table grows and shrinks while it is used. */
static void
test_pit_24_rehash(void **state)
{
	enum { MANY = 60000 };
	vmem_addr_t *a = malloc(MANY * sizeof(*a));
	vmem_t *vm = arena(0, UINT64_C(1) << 40, PAGE);

	(void)state;
	assert_non_null(a);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < MANY; i++)
			assert_int_equal(
			    vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]), 0);
		assert_int_equal(vmem_check(vm), 0);
		for (int i = 0; i < MANY; i++) {
			vmem_free(vm, a[i], PAGE);
			if (i % 10000 == 0)
				assert_int_equal(vmem_check(vm), 0);
		}
		for (int i = 0; i < 1000; i++)
			vmem_tick();
		assert_int_equal(vmem_check(vm), 0);
	}
	free(a);
	finish(vm);
}

/* There is no hash table (row.c), so no addresses collide; what there is
 * instead: starts too far apart for one row of tags. */
static void
test_pit_24_addresses_far_apart(void **state)
{
	enum { FAR = 3000 };
	vmem_t *vm = arena(0, TOP, 1);
	vmem_addr_t addr[FAR];

	(void)state;
	for (unsigned int i = 0; i < FAR; i++) {
		addr[i] = (uint64_t)i * 0x9e3779b97f4a7c15u;
		assert_int_equal(
		    vmem_xalloc_addr(vm, addr[i], 1, VM_NOSLEEP), 0);
		if (i % 100 == 0)
			assert_int_equal(vmem_check(vm), 0);
	}
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), FAR);
	for (unsigned int i = FAR; i-- > 0;) {
		vmem_xfree(vm, addr[i], 1);
		if (i % 100 == 0)
			assert_int_equal(vmem_check(vm), 0);
	}
	finish(vm);
}

static void
test_pit_27_spans_never_join(void **state)
{
	vmem_t *vm = arena(0, 4 * PAGE, PAGE);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(vmem_add(vm, 4 * PAGE, 4 * PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 4 * PAGE);
	assert_int_equal(vmem_alloc(vm, 5 * PAGE, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(
	    vmem_xalloc_addr(vm, 3 * PAGE, 2 * PAGE, VM_NOSLEEP), ENOMEM);
	assert_false(vmem_contains(vm, 3 * PAGE, 2 * PAGE));
	/* Nor when what is freed lies beside the border, below or above. */
	for (unsigned int below = 0; below < 2; below++) {
		assert_int_equal(
		    vmem_xalloc_addr(vm, 3 * PAGE, PAGE, VM_NOSLEEP), 0);
		assert_int_equal(
		    vmem_xalloc_addr(vm, 4 * PAGE, PAGE, VM_NOSLEEP), 0);
		vmem_xfree(vm, (below != 0 ? 3 : 4) * PAGE, PAGE);
		vmem_xfree(vm, (below != 0 ? 4 : 3) * PAGE, PAGE);
		assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 4 * PAGE);
		assert_int_equal(vmem_check(vm), 0);
	}
	finish(vm);
}

static void
test_pit_28_caches_hoard_nothing(void **state)
{
	vmem_t *vm = vmem_create("hoard", 0, 64 * PAGE, PAGE, NULL, NULL, NULL,
	    4 * PAGE, VM_SLEEP);
	vmem_addr_t a[64];

	(void)state;
	for (int i = 0; i < 64; i++)
		assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]), 0);
	for (int i = 0; i < 64; i++)
		vmem_free(vm, a[i], PAGE);
	assert_true(vmem_size(vm, VMEM_ALLOC) > 0); /* held by caches */
	assert_int_equal(vmem_alloc(vm, 64 * PAGE, VM_NOSLEEP, &a[0]), 0);
	vmem_free(vm, a[0], 64 * PAGE);
	finish(vm);
}

/* What the caches keep may be whole spans: then it is had from the source. */
static void
test_pit_28_caches_hoard_no_spans(void **state)
{
	vmem_addr_t a[16], addr;
	vmem_t *source = arena(0, 16 * PAGE, PAGE);
	vmem_t *vm = vmem_create("hoard", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, source, PAGE, VM_SLEEP);

	(void)state;
	assert_non_null(vm);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a[i]), 0);
	for (unsigned int i = 0; i < 16; i++)
		vmem_free(vm, a[i], PAGE);
	assert_int_equal(vmem_size(source, VMEM_FREE), 0);
	assert_int_equal(vmem_alloc(vm, 16 * PAGE, VM_NOSLEEP, &addr), 0);
	vmem_free(vm, addr, 16 * PAGE);
	finish(vm);
	finish(source);
}

static void
test_pit_38_freed_fits_again(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, 1);
	vmem_addr_t a, b;

	(void)state;
	for (vmem_size_t size = 1; size < 60 * PAGE; size = size * 3 + 1) {
		assert_int_equal(vmem_alloc(vm, size, VM_NOSLEEP, &a), 0);
		assert_int_equal(vmem_alloc(
		    vm, vmem_size(vm, VMEM_FREE), VM_NOSLEEP, &b), 0);
		vmem_free(vm, a, size);
		assert_int_equal(vmem_alloc(vm, size, VM_NOSLEEP, &a), 0);
		vmem_xfreeall(vm);
	}
	finish(vm);
}

static void
test_pit_39_add(void **state)
{
	vmem_t *vm = arena(8 * PAGE, 8 * PAGE, PAGE);

	(void)state;
	assert_int_equal(vmem_add(vm, 8 * PAGE, PAGE, VM_NOSLEEP), EINVAL);
	assert_int_equal(vmem_add(vm, 15 * PAGE, 2 * PAGE, VM_NOSLEEP), EINVAL);
	assert_int_equal(vmem_add(vm, 4 * PAGE, 5 * PAGE, VM_NOSLEEP), EINVAL);
	assert_int_equal(vmem_add(vm, 0, 64 * PAGE, VM_NOSLEEP), EINVAL);
	assert_int_equal(vmem_add(vm, 4 * PAGE, 4 * PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_add(vm, 16 * PAGE, PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_add(
	    vm, TOP - (PAGE - 1), 2 * PAGE, VM_NOSLEEP), EINVAL);
	finish(vm);
}

static void
test_pit_42_nocross_and_phase(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, 1);
	vmem_addr_t a;

	(void)state;
	assert_int_equal(xalloc(vm, 50, 64, 20, 64, &a), EINVAL);
	assert_int_equal(xalloc(vm, 44, 64, 20, 64, &a), 0);
	assert_int_equal(a % 64, 20);
	assert_int_equal(xalloc(vm, 60, 0, 0, 64, &a), 0);
	assert_true(a / 64 == (a + 59) / 64);
	finish(vm);
}

/* ---- how many segments a search looks at -------------------------------- */

/*
 * `many' holes of 8 that aren't aligned to 8, and one of 9 that is: where the
 * strategy looks last.  All in [min, max].
 */
static vmem_t *
misaligned(unsigned int many, vm_flag_t policy, vmem_addr_t *fit)
{
	vmem_t *vm = arena(0, 0, 1);

	*fit = policy == VM_LASTFIT ? 64 : 1 << 20;
	for (unsigned int i = 0; i < many; i++)
		assert_int_equal(vmem_add(
		    vm, 1028 + (uint64_t)i * 16, 8, VM_NOSLEEP), 0);
	assert_int_equal(vmem_add(vm, *fit, 9, VM_NOSLEEP), 0);
	return (vm);
}

/* Up to VMEM_LOOKS_MAX segments may disappoint but one, and the strategy is
 * exact; one more, and it's another's turn that surely fits, or nobody's. */
static void
test_looks(void **state)
{
	static const vm_flag_t policies[] = { VM_BESTFIT, VM_FIRSTFIT,
		VM_NEXTFIT, VM_LASTFIT };
	vmem_addr_t a, fit, sure;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		vm_flag_t flags = VM_NOSLEEP | policies[i];
		vmem_t *vm = misaligned(VMEM_LOOKS_MAX - 1, policies[i], &fit);

		assert_int_equal(
		    vmem_xalloc(vm, 8, 8, 0, 0, 0, TOP, flags, &a), 0);
		assert_int_equal(a, fit);
		finish(vm);
		vm = misaligned(VMEM_LOOKS_MAX, policies[i], &fit);
		assert_int_equal(
		    vmem_xalloc(vm, 8, 8, 0, 0, 0, TOP, flags, &a), ENOMEM);
		/* A search without constraints, or of another size, isn't
		 * concerned. */
		assert_int_equal(
		    vmem_xalloc(vm, 9, 0, 0, 0, 0, TOP, flags, &a), 0);
		assert_int_equal(a, fit);
		vmem_xfree(vm, a, 9);
		sure = policies[i] == VM_LASTFIT ? 17 : (1 << 21) + 1;
		assert_int_equal(vmem_add(vm, sure, 15, VM_NOSLEEP), 0);
		assert_int_equal(
		    vmem_xalloc(vm, 8, 8, 0, 0, 0, TOP, flags, &a), 0);
		assert_int_equal(a, (sure + 7) & ~UINT64_C(7));
		finish(vm);
	}
}

/* Best fit within bounds: exact if few are larger, or few are there. */
static void
test_looks_within_bounds(void **state)
{
	vmem_addr_t a;
	vmem_t *vm = misaligned(2 * VMEM_LOOKS_MAX, VM_BESTFIT, &a);

	(void)state;
	/* The smallest of all, though it is the last by address. */
	assert_int_equal(vmem_add(vm, 1 << 21, 7, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xalloc(vm, 7, 0, 0, 0, 1, TOP,
	    VM_NOSLEEP | VM_BESTFIT, &a), 0);
	assert_int_equal(a, 1 << 21);
	/* The only one there, though all others are smaller. */
	assert_int_equal(vmem_xalloc(vm, 7, 0, 0, 0, 1 << 20, (1 << 20) + 8,
	    VM_NOSLEEP | VM_BESTFIT, &a), 0);
	assert_int_equal(a, 1 << 20);
	finish(vm);
}

/* ---- the rest of the contract -------------------------------------------- */

static void
test_free_part(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);
	struct vmem_stat vs;

	(void)state;
	assert_int_equal(vmem_xalloc_addr(vm, 0, 10 * PAGE, VM_NOSLEEP), 0);
	assert_int_equal(
	    vmem_xfree_part(vm, 4 * PAGE, 2 * PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 8 * PAGE);
	vmem_stat(vm, &vs);
	assert_int_equal(vs.vs_segments, 2);
	assert_int_equal(vmem_xfree_part(vm, 0, PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xfree_part(vm, 9 * PAGE, PAGE, VM_NOSLEEP), 0);
	assert_int_equal(vmem_xfree_part(vm, 1, PAGE, VM_NOSLEEP), EINVAL);
	vmem_xfree(vm, PAGE, 3 * PAGE);
	vmem_xfree(vm, 6 * PAGE, 3 * PAGE);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 64 * PAGE);
	finish(vm);
}

static void
test_limit(void **state)
{
	vmem_t *src = arena(0, 64 * PAGE, PAGE), *vm;
	vmem_addr_t a;

	(void)state;
	vm = vmem_create("child", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, src, 0, VM_SLEEP);
	vmem_set_limit(vm, 8 * PAGE);
	assert_int_equal(vmem_alloc(vm, 9 * PAGE, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(vmem_alloc(vm, 8 * PAGE, VM_NOSLEEP, &a), 0);
	assert_int_equal(vmem_alloc(vm, 9 * PAGE, VM_SLEEP, &a), ENOMEM);
	vmem_free(vm, a, 8 * PAGE);
	vmem_destroy(vm);
	finish(src);
}

struct reclaim {
	vmem_addr_t held;
	unsigned int calls;
	vmem_size_t wanted, align;
	vmem_addr_t minaddr, maxaddr;
};

static void
reclaim_fn(void *arg, vmem_t *vm, vmem_size_t wanted, vmem_size_t align,
    vmem_addr_t minaddr, vmem_addr_t maxaddr)
{
	struct reclaim *rc = arg;

	if (rc->calls++ == 0)
		vmem_free(vm, rc->held, 64 * PAGE);
	rc->wanted = wanted;
	rc->align = align;
	rc->minaddr = minaddr;
	rc->maxaddr = maxaddr;
}

/* A source that gives all it has. */
static int
lavish_import(void *src, vmem_size_t size, vmem_size_t *actual,
    vm_flag_t flags, vmem_addr_t *addrp)
{
	(void)src;
	(void)flags;
	*actual = 16 * size;
	*addrp = 0;
	return (0);
}

static void
count_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	(void)addr;
	*(vmem_size_t *)src += size;
}

static void
test_limit_of_what_source_gives(void **state)
{
	vmem_size_t released = 0;
	vmem_addr_t addr;
	vmem_t *vm = vmem_xcreate("limited", 0, 0, PAGE, lavish_import,
	    count_release, &released, 0, VM_SLEEP);

	(void)state;
	assert_non_null(vm);
	vmem_set_limit(vm, 4 * PAGE);
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr), ENOMEM);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 0);
	assert_int_equal(released, 16 * PAGE);
	vmem_set_limit(vm, 16 * PAGE);
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr), 0);
	finish(vm);
}

/* 16 levels, counting those below who is given a source. */
static void
test_depth(void **state)
{
	vmem_t *up[10], *low[7];

	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		up[i] = arena(0, PAGE, PAGE);
		if (i > 0)
			assert_int_equal(
			    vmem_set_upstream(up[i], up[i - 1]), 0);
	}
	for (unsigned int i = 0; i < 7; i++) {
		low[i] = arena(0, PAGE, PAGE);
		if (i > 0)
			assert_int_equal(
			    vmem_set_upstream(low[i], low[i - 1]), 0);
	}
	assert_int_equal(vmem_set_upstream(low[0], up[9]), EINVAL);
	assert_int_equal(vmem_set_upstream(low[0], low[6]), EINVAL);
	assert_int_equal(vmem_set_upstream(low[0], up[8]), 0);
	for (unsigned int i = 7; i-- > 0;)
		finish(low[i]);
	for (unsigned int i = 10; i-- > 0;)
		finish(up[i]);
}

static void
test_reclaim(void **state)
{
	vmem_t *vm = arena(0, 64 * PAGE, PAGE);
	struct reclaim rc = { 0 };
	vmem_addr_t a;

	(void)state;
	assert_int_equal(vmem_alloc(vm, 64 * PAGE, VM_NOSLEEP, &rc.held), 0);
	vmem_set_reclaim(vm, reclaim_fn, &rc);
	assert_int_equal(vmem_alloc(vm, PAGE + 1, VM_NOSLEEP, &a), 0);
	assert_int_equal(rc.calls, 1);
	assert_int_equal(rc.wanted, 2 * PAGE);
	assert_int_equal(rc.minaddr, VMEM_ADDR_MIN);
	assert_true(rc.maxaddr == VMEM_ADDR_MAX);
	/* It is told what is wanted, and where; and that before sleeping, too. */
	assert_int_equal(vmem_xalloc(vm, 50 * PAGE, 16 * PAGE, 0, 0, PAGE,
	    60 * PAGE, VM_NOSLEEP, &a), ENOMEM);
	assert_int_equal(rc.calls, 2);
	assert_int_equal(rc.wanted, 50 * PAGE);
	assert_int_equal(rc.align, 16 * PAGE);
	assert_int_equal(rc.minaddr, PAGE);
	assert_int_equal(rc.maxaddr, 60 * PAGE);
	assert_int_equal(vmem_alloc_until(vm, 63 * PAGE, VM_SLEEP,
	    &(struct timespec) { 0, 0 }, &a), ETIMEDOUT);
	assert_true(rc.calls > 2);
	assert_int_equal(rc.wanted, 63 * PAGE);
	vmem_set_reclaim(vm, NULL, NULL);
	assert_int_equal(vmem_alloc(vm, 64 * PAGE, VM_NOSLEEP, &a), ENOMEM);
	finish(vm);
}

struct seen {
	uint64_t bytes, count;
	vmem_addr_t last;
};

static int
see(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct seen *sn = arg;

	assert_true(sn->count == 0 || addr > sn->last);
	sn->last = addr;
	sn->bytes += size;
	sn->count++;
	return (0);
}

static void
test_walk(void **state)
{
	vmem_t *vm = arena(0, 4096 * PAGE, PAGE);
	struct seen sn = { 0 };
	vmem_addr_t a[500];

	(void)state;
	for (int i = 0; i < 500; i++)
		assert_int_equal(vmem_xalloc(vm, 2 * PAGE, 0, 0, 0, 0, TOP,
				     VM_NOSLEEP | VM_FIRSTFIT, &a[i]),
		    0);
	for (int i = 0; i < 500; i += 5)
		vmem_xfree(vm, a[i], 2 * PAGE);
	vmem_walk(vm, VMEM_ALLOC, see, &sn);
	assert_int_equal(sn.count, 400);
	assert_int_equal(sn.bytes, vmem_size(vm, VMEM_ALLOC));
	sn = (struct seen) { 0 };
	vmem_walk(vm, VMEM_FREE, see, &sn);
	assert_int_equal(sn.count, 101);
	assert_int_equal(sn.bytes, vmem_size(vm, VMEM_FREE));
	finish(vm);
}

static void
test_stat(void **state)
{
	vmem_t *vm = vmem_create("stat", 0, 64 * PAGE, PAGE, NULL, NULL, NULL,
	    2 * PAGE, VM_SLEEP | VM_BESTFIT);
	struct vmem_qcache_stat qs;
	struct vmem_stat vs;
	vmem_addr_t a;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &a), 0);
		vmem_free(vm, a, PAGE);
	}
	assert_int_equal(vmem_alloc(vm, 65 * PAGE, VM_NOSLEEP, &a), ENOMEM);
	vmem_stat(vm, &vs);
	assert_string_equal(vs.vs_name, "stat");
	assert_int_equal(vs.vs_allocs, 10);
	assert_int_equal(vs.vs_frees, 10);
	assert_int_equal(vs.vs_fails, 1);
	assert_int_equal(vs.vs_qc_count, 2);
	assert_int_equal(vs.vs_policy, VM_BESTFIT);
	assert_int_equal(vmem_qcache_stat(vm, 0, &qs), 0);
	assert_int_equal(qs.qs_hits + qs.qs_misses, 10);
	assert_int_equal(vmem_qcache_stat(vm, 2, &qs), ENOENT);
	finish(vm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_arguments),
		cmocka_unit_test(test_xalloc_arguments),
		cmocka_unit_test(test_pit_01_align_at_the_top),
		cmocka_unit_test(test_pit_02_span_to_the_top),
		cmocka_unit_test(test_pit_02_search_from_the_last_address),
		cmocka_unit_test(test_pit_03_size_rounds_to_zero),
		cmocka_unit_test(test_pit_04_beyond_the_last_list),
		cmocka_unit_test(test_pit_04_all_of_it_is_free),
		cmocka_unit_test(test_pit_05_address_zero),
		cmocka_unit_test(test_pit_07_max_is_inclusive),
		cmocka_unit_test(test_pit_08_phase),
		cmocka_unit_test(test_pit_09_at_with_odd_size),
		cmocka_unit_test(test_pit_10_nextfit_rounds),
		cmocka_unit_test(test_pit_11_cursor_pins_nothing),
		cmocka_unit_test(test_pit_13_constrained_import_drains_nothing),
		cmocka_unit_test(test_pit_15_large_import),
		cmocka_unit_test(test_ximport_gives_more),
		cmocka_unit_test(test_pit_23_destroy_gives_all_back),
		cmocka_unit_test(test_pit_24_rehash),
		cmocka_unit_test(test_pit_24_addresses_far_apart),
		cmocka_unit_test(test_pit_25_misuse_panics),
		cmocka_unit_test(test_misuse_in_caches_with_check),
		cmocka_unit_test(test_pit_27_spans_never_join),
		cmocka_unit_test(test_pit_28_caches_hoard_nothing),
		cmocka_unit_test(test_pit_28_caches_hoard_no_spans),
		cmocka_unit_test(test_pit_38_freed_fits_again),
		cmocka_unit_test(test_pit_39_add),
		cmocka_unit_test(test_pit_42_nocross_and_phase),
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_looks_within_bounds),
		cmocka_unit_test(test_free_part),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_of_what_source_gives),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_reclaim),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_stat),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
