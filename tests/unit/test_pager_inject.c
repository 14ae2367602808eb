/*
 * Goal: faults never allocate; and what the swap does wrong is found out: flipped
 * bits, short and failed reads, failed writes and a full disk end as an errno,
 * never as data, and lose no page but the one that was damaged; what was only cut
 * short goes on.
 * Method: this program has its own malloc, mmap, pread and pwrite, which the
 * library then uses.  While a test says so the first two abort, and the others
 * misbehave with a given probability; what is read back is compared with an
 * oracle of versions.  In each mode.
 */
#define _FORTIFY_SOURCE 0
#include "config.h"

#include "unit/pager_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/nofault.h"
#include "util/pattern.h"
#include "util/rng.h"

#define SEED 77u
#define PAGES 96u
#define FRAMES 24u

static struct fixture fx;
static struct rng rng;

/* ---- what misbehaves ------------------------------------------------------*/

static __thread __attribute__((tls_model("initial-exec"))) bool no_memory;

enum evil { NONE, FLIP, PART_READ, SHORT_READ, READ_EIO, WRITE_EIO,
	WRITE_ENOSPC, SHORT_WRITE };
static enum evil evil;
static unsigned int evil_share;		/* one in so many */
static unsigned int evil_done;

static bool
strikes(enum evil one)
{
	if (evil != one || rng_below(&rng, evil_share) != 0)
		return (false);
	evil_done++;
	return (true);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset);
ssize_t pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset);

ssize_t
pread(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t done;

	if (strikes(READ_EIO)) {
		errno = EIO;
		return (-1);
	}
	if (strikes(PART_READ))
		len = len / 2 + 1;
	done = syscall(SYS_pread64, fd, buf, len, offset);
	if (done > 0 && strikes(FLIP))
		((unsigned char *)buf)[rng_below(&rng, (uint64_t)done)] ^=
		    (unsigned char)(1u << rng_below(&rng, 8));
	/* Half of it, and then nothing: the file has been cut short. */
	if (done > 0 && strikes(SHORT_READ))
		return (0);
	return (done);
}

ssize_t
pread64(int fd, void *buf, size_t len, off_t offset)
{
	return (pread(fd, buf, len, offset));
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	if (len >= VMPAGER_PAGE / 2 && offset < (off_t)1 << 40) {
		if (strikes(WRITE_EIO) || strikes(WRITE_ENOSPC)) {
			errno = evil == WRITE_EIO ? EIO : ENOSPC;
			return (-1);
		}
		if (strikes(SHORT_WRITE))
			len = len / 2 + 1;
	}
	return (syscall(SYS_pwrite64, fd, buf, len, offset));
}

ssize_t
pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	return (pwrite(fd, buf, len, offset));
}

/* Sanitizers have a malloc and an mmap of their own, and need them. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define OWN_MALLOC 1

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

static void
refuse(void)
{
	static const char why[] = "memory was allocated during a fault\n";

	if (no_memory) {
		(void)!write(2, why, sizeof(why) - 1);
		_exit(86);
	}
}

void *
malloc(size_t size)
{
	refuse();
	return (__libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
	refuse();
	return (__libc_calloc(n, size));
}

void *
realloc(void *p, size_t size)
{
	refuse();
	return (__libc_realloc(p, size));
}

void
free(void *p)
{
	refuse();
	__libc_free(p);
}

void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	refuse();
	return ((void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset));
}

int
munmap(void *addr, size_t len)
{
	refuse();
	return ((int)syscall(SYS_munmap, addr, len));
}
#endif

/* ---- never allocates ------------------------------------------------------*/

static uint32_t version[PAGES];

static vmem_addr_t
at(uint64_t page)
{
	return (BASE + page * PAGE);
}

static int
write_version(uint64_t page)
{
	unsigned char bytes[VMPAGER_PAGE];
	int error;

	pattern_fill(bytes, PAGE, at(page), version[page] + 1);
	error = vmpager_write(fx.fx_map, at(page), bytes, PAGE);
	if (error == 0)
		version[page]++;
	return (error);
}

/* 0, an errno, or -1: other bytes than were written. */
static int
check_version(uint64_t page)
{
	static const unsigned char zeros[VMPAGER_PAGE];
	unsigned char bytes[VMPAGER_PAGE];
	int error = vmpager_read(fx.fx_map, at(page), bytes, PAGE);

	if (error != 0)
		return (error);
	if (version[page] == 0)
		return (memcmp(bytes, zeros, PAGE) == 0 ? 0 : -1);
	return (pattern_verify(bytes, PAGE, at(page), version[page], NULL) ? 0
									  : -1);
}

static int
by_pointer(void *arg)
{
	(*(volatile unsigned char *)arg)++;
	(*(volatile unsigned char *)arg)--;
	return (0);
}

/* Everything that a fault can be, in the order that makes it so: zero fills,
 * evictions, swap-ins, exchanges when all is full, refusals, advice. */
static int
whole_fault_path(void)
{
	static const char *const policies[] = { "clock", "s3fifo", "random2" };
	struct vmpager_touched pt;
	int error = 0, refused = 0;

	for (int i = 0; i < 6000 && error == 0; i++) {
		uint64_t page = rng_below(&rng, PAGES);

		if (i % 1000 == 0)
			error = vmpager_set_replacement(
			    fx.fx_pager, policies[i / 1000 % 3]);
		(void)vmpager_touch(fx.fx_map, at(page), PAGE, i % 2, &pt);
		(void)vmpager_advise(fx.fx_map, at(rng_below(&rng, PAGES)), 1,
		    (enum vmpager_advice)rng_below(&rng, 4), NULL);
		if (fixture_mode != VMPAGER_SOFTWARE)
			(void)vmpager_guard(
			    by_pointer, (void *)(uintptr_t)at(page));
		if (rng_below(&rng, 3) == 0) {
			vmpager_unregister(fx.fx_map, at(page), PAGE);
			version[page] = 0;
			error = vmpager_register(fx.fx_map, at(page), PAGE);
		} else if (rng_below(&rng, 2) == 0)
			refused += write_version(page) == ENOMEM;
		else if (check_version(page) == -1)
			error = -1;
	}
	return (error != 0 ? error : refused > 0 ? 0 : -2);
}

static void
test_faults_never_allocate(void **state)
{
	int error;

	(void)state;
#ifndef OWN_MALLOC
	skip();
#endif
	memset(version, 0, sizeof(version));
	/* Too little swap, so that running out is part of it. */
	fx = fixture_open(FRAMES, FRAMES, VMPAGER_OVERCOMMIT, NULL, PAGES);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGES * PAGE), 0);
	no_memory = true;
	error = whole_fault_path();
	no_memory = false;
	assert_int_equal(error, 0);
	vmpager_unregister(fx.fx_map, BASE, PAGES * PAGE);
	fixture_close(&fx);
}

#ifdef VMEM_DEBUG
static jmp_buf panicked;

static void
catch_panic(const char *message)
{
	if (strstr(message, "during a page fault") == NULL)
		abort();
	longjmp(panicked, 1);
}
#endif

/* And if something on the way to them were to, it would be found out at the
 * arenas' door, in debug builds. */
static void
test_doors_are_shut_during_faults(void **state)
{
	(void)state;
#ifdef VMEM_DEBUG
	vmem_addr_t addr;
	vmem_t *vm = vmem_create("door", PAGE, 64 * PAGE, PAGE, NULL, NULL,
	    NULL, 4 * PAGE, VM_SLEEP);

	assert_non_null(vm);
	assert_int_equal(vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr), 0);
	vmem_set_panic(catch_panic);
	nofault_enter();
	if (setjmp(panicked) == 0) {
		int error = vmem_alloc(vm, PAGE, VM_NOSLEEP, &addr);

		fail_msg("vmem_alloc() during a fault returned %d", error);
	}
	if (setjmp(panicked) == 0) {
		vmem_free(vm, addr, PAGE);
		fail_msg("vmem_free() during a fault");
	}
	nofault_leave();
	vmem_set_panic(NULL);
	vmem_free(vm, addr, PAGE);
	vmem_destroy(vm);
#else
	skip();
#endif
}

/* ---- what the swap does wrong ---------------------------------------------*/

struct outcome {
	unsigned int oc_eio, oc_enospc;
	unsigned int oc_lost;	/* pages in state 'x' at the end */
	uint64_t oc_read_errors, oc_write_errors;	/* as counted */
};

/* Write and read at random while the swap misbehaves; then it doesn't any more,
 * and everything that isn't lost must be as it was last written. */
static struct outcome
work_with(enum evil what, unsigned int share)
{
	struct outcome oc = { 0, 0, 0, 0, 0 };
	struct vmpager_stat ps;
	int error;

	memset(version, 0, sizeof(version));
	fx = fixture_open(FRAMES, 4 * PAGES, VMPAGER_OVERCOMMIT, NULL, PAGES);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGES * PAGE), 0);
	evil_done = 0;
	evil_share = share;
	evil = what;
	for (int i = 0; i < 3000; i++) {
		uint64_t page = rng_below(&rng, PAGES);

		error = rng_below(&rng, 2) == 0 ? write_version(page)
						: check_version(page);
		oc.oc_eio += error == EIO;
		oc.oc_enospc += error == ENOSPC;
		if (error != 0 && error != EIO && error != ENOSPC)
			fail_msg("page %u: %s", (unsigned int)page,
			    error == -1 ? "other bytes" : strerror(error));
	}
	evil = NONE;
	assert_true(evil_done > 0);
	for (uint64_t page = 0; page < PAGES; page++) {
		error = check_version(page);
		if (error == EIO)
			assert_int_equal(
			    vmpager_page_state(fx.fx_map, at(page)), 'x');
		else
			assert_int_equal(error, 0);
		oc.oc_lost += error == EIO;
	}
	fixture_check(&fx);
	vmpager_stat(fx.fx_pager, &ps);
	oc.oc_read_errors = ps.ps_read_errors;
	oc.oc_write_errors = ps.ps_write_errors;
	/* A page that was lost is one like any other once it is given back. */
	vmpager_unregister(fx.fx_map, BASE, PAGES * PAGE);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGES * PAGE), 0);
	memset(version, 0, sizeof(version));
	assert_int_equal(write_version(5), 0);
	assert_int_equal(check_version(5), 0);
	fixture_close(&fx);
	return (oc);
}

static void
test_flipped_bits(void **state)
{
	struct outcome oc = work_with(FLIP, 50);

	(void)state;
	assert_true(oc.oc_lost > 0 && oc.oc_enospc == 0);
	assert_true(oc.oc_read_errors >= oc.oc_lost);
}

/* A part of the page, and the rest when it is asked for. */
static void
test_reads_in_parts_go_on(void **state)
{
	struct outcome oc = work_with(PART_READ, 2);

	(void)state;
	assert_int_equal(oc.oc_lost, 0);
	assert_int_equal(oc.oc_eio + oc.oc_enospc, 0);
}

/* And nothing more: the file has been cut short. */
static void
test_short_reads(void **state)
{
	struct outcome oc = work_with(SHORT_READ, 50);

	(void)state;
	assert_true(oc.oc_lost > 0 && oc.oc_enospc == 0);
	assert_true(oc.oc_read_errors >= oc.oc_lost);
}

/* Told at once, each of them; but the page is in its slot still.  (Neighbours
 * that weren't asked for are read in vain without a word.) */
static void
test_failed_reads(void **state)
{
	struct outcome oc = work_with(READ_EIO, 20);

	(void)state;
	assert_int_equal(oc.oc_lost, 0);
	assert_true(oc.oc_eio > 0 && oc.oc_enospc == 0);
	assert_true(oc.oc_read_errors >= oc.oc_eio);
	oc = work_with(READ_EIO, 1);
	assert_int_equal(oc.oc_lost, 0);
	assert_true(oc.oc_eio > 100);
}

static void
test_failed_writes(void **state)
{
	struct outcome oc;

	(void)state;
	/* Now and then: some other page goes instead. */
	oc = work_with(WRITE_EIO, 20);
	assert_int_equal(oc.oc_lost, 0);
	assert_int_equal(oc.oc_eio, 0);
	assert_true(oc.oc_write_errors > 0);
	/* Always: what needs a frame is refused, with the errno. */
	oc = work_with(WRITE_EIO, 1);
	assert_int_equal(oc.oc_lost, 0);
	assert_true(oc.oc_eio > 0 && oc.oc_enospc == 0);
	assert_true(oc.oc_write_errors > oc.oc_eio);
}

static void
test_full_disk(void **state)
{
	struct outcome oc = work_with(WRITE_ENOSPC, 1);

	(void)state;
	assert_int_equal(oc.oc_lost, 0);
	assert_true(oc.oc_enospc > 0 && oc.oc_eio == 0);
}

static void
test_short_writes_go_on(void **state)
{
	struct outcome oc = work_with(SHORT_WRITE, 2);

	(void)state;
	assert_int_equal(oc.oc_lost, 0);
	assert_int_equal(oc.oc_eio + oc.oc_enospc, 0);
}

static int
group(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_never_allocate),
		cmocka_unit_test(test_doors_are_shut_during_faults),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_reads_in_parts_go_on),
		cmocka_unit_test(test_short_reads),
		cmocka_unit_test(test_failed_reads),
		cmocka_unit_test(test_failed_writes),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_short_writes_go_on),
	};

	rng_init(&rng, SEED);
	return (cmocka_run_group_tests_name(name, tests, NULL, NULL));
}

int
main(void)
{
	printf("seed %u\n", SEED);
	return (fixture_each_mode(group));
}
