/*
 * Goal: what can go wrong with the swap file is an error of the right moment:
 * of the creation if its space can't be had, of the one page that was damaged
 * later; damaged bytes are never returned as data.
 * Method: a named swap file below a temporary directory, changed from outside
 * while pages are in it; limits on file size; a file system of one megabyte in
 * a namespace of its own.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/pager_fixture.h"
#include "util/pattern.h"

#define SEED 99
#define SKIPPED 77	/* exit status of a child that couldn't try */

static char dir[256], path[300];
static unsigned char bytes[VMPAGER_PAGE];

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/test_pager_swap.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return (1);
	(void)snprintf(path, sizeof(path), "%s/swap", dir);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return (rmdir(dir));
}

static vmem_addr_t
at(uint64_t page)
{
	return (BASE + page * PAGE);
}

static void
put(const struct fixture *fx, uint64_t page)
{
	pattern_fill(bytes, PAGE, at(page), SEED);
	assert_int_equal(vmpager_write(fx->fx_map, at(page), bytes, PAGE), 0);
}

static void
expect(const struct fixture *fx, uint64_t page)
{
	assert_int_equal(vmpager_read(fx->fx_map, at(page), bytes, PAGE), 0);
	assert_true(pattern_verify(bytes, PAGE, at(page), SEED, NULL));
}

/* Two frames, and pages 0 .. 7 of which most are in the file. */
static struct fixture
fixture_swapped(void)
{
	struct fixture fx =
	    fixture_open(2, 16, VMPAGER_OVERCOMMIT, path, 32);

	assert_int_equal(vmpager_register(fx.fx_map, BASE, 8 * PAGE), 0);
	for (uint64_t page = 0; page < 8; page++)
		put(&fx, page);
	assert_string_equal(fixture_states(&fx, 0, 8), "ssssssdd");
	return (fx);
}

static int
create(uint64_t swap_pages, const char *swap)
{
	const struct vmpager_config config = {
		.pc_frames_bytes = 4 * PAGE,
		.pc_swap_bytes = swap_pages * PAGE,
		.pc_swap = swap,
	};
	struct vmpager *pager;
	int error = vmpager_create(&config, &pager);

	if (error == 0)
		vmpager_destroy(pager);
	return (error);
}

/* Find a page's bytes in the file: where they are is the pager's business. */
static off_t
find_page(int fd, uint64_t page)
{
	unsigned char slot[VMPAGER_PAGE];

	for (off_t off = 0; pread(fd, slot, PAGE, off) == (ssize_t)PAGE;
	     off += (off_t)PAGE)
		if (pattern_verify(slot, PAGE, at(page), SEED, NULL))
			return (off);
	fail_msg("page %llu isn't in the file", (unsigned long long)page);
	return (-1);
}

/* ---- damage ---------------------------------------------------------------*/

static void
test_flipped_bit_is_eio(void **state)
{
	struct fixture fx = fixture_swapped();
	unsigned char byte, before[VMPAGER_PAGE];
	int fd = open(path, O_RDWR);
	off_t off;

	(void)state;
	assert_true(fd >= 0);
	off = find_page(fd, 3) + 1234;
	assert_int_equal(pread(fd, &byte, 1, off), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, off), 1);
	memset(bytes, 0x77, PAGE);
	memset(before, 0x77, PAGE);
	assert_int_equal(vmpager_read(fx.fx_map, at(3), bytes, PAGE), EIO);
	assert_memory_equal(bytes, before, PAGE);
	/* It stays refused, also to a write of a part or the whole of it. */
	assert_int_equal(vmpager_read(fx.fx_map, at(3), bytes, 1), EIO);
	assert_int_equal(vmpager_write(fx.fx_map, at(3), bytes, PAGE), EIO);
	assert_int_equal(vmpager_page_state(fx.fx_map, at(3)), 'x');
	fixture_check(&fx);
	/* The others are unharmed; a new range there is a new page. */
	for (uint64_t page = 0; page < 8; page++)
		if (page != 3)
			expect(&fx, page);
	vmpager_unregister(fx.fx_map, at(3), PAGE);
	assert_int_equal(vmpager_register(fx.fx_map, at(3), PAGE), 0);
	put(&fx, 3);
	expect(&fx, 3);
	(void)close(fd);
	fixture_close(&fx);
}

/* Each page's bytes are sound, but another's. */
static void
test_swapped_slots_are_eio(void **state)
{
	struct fixture fx = fixture_swapped();
	unsigned char one[VMPAGER_PAGE], two[VMPAGER_PAGE];
	int fd = open(path, O_RDWR);
	off_t off1, off2;

	(void)state;
	assert_true(fd >= 0);
	off1 = find_page(fd, 1);
	off2 = find_page(fd, 2);
	assert_int_equal(pread(fd, one, PAGE, off1), PAGE);
	assert_int_equal(pread(fd, two, PAGE, off2), PAGE);
	assert_int_equal(pwrite(fd, one, PAGE, off2), PAGE);
	assert_int_equal(pwrite(fd, two, PAGE, off1), PAGE);
	assert_int_equal(vmpager_read(fx.fx_map, at(1), bytes, 1), EIO);
	assert_int_equal(vmpager_read(fx.fx_map, at(2), bytes, 1), EIO);
	expect(&fx, 0);
	(void)close(fd);
	fixture_close(&fx);
}

/* A write that never reached the disk leaves an older version. */
static void
test_stale_slot_is_eio(void **state)
{
	struct fixture fx = fixture_swapped();
	unsigned char old[VMPAGER_PAGE];
	int fd = open(path, O_RDWR);
	off_t off;

	(void)state;
	assert_true(fd >= 0);
	off = find_page(fd, 0);
	assert_int_equal(pread(fd, old, PAGE, off), PAGE);
	/* Page 0 keeps its slot, and is written to it a second time. */
	assert_int_equal(vmpager_write(fx.fx_map, at(0), "new", 3), 0);
	for (uint64_t page = 1; page < 8; page++)
		expect(&fx, page);
	assert_int_equal(vmpager_page_state(fx.fx_map, at(0)), 's');
	assert_int_equal(pread(fd, bytes, 3, off), 3);
	assert_memory_equal(bytes, "new", 3);
	assert_int_equal(pwrite(fd, old, PAGE, off), PAGE);
	assert_int_equal(vmpager_read(fx.fx_map, at(0), bytes, 1), EIO);
	(void)close(fd);
	fixture_close(&fx);
}

static void
test_truncated_file_is_eio(void **state)
{
	struct fixture fx = fixture_swapped();

	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	for (uint64_t page = 0; page < 6; page++)
		assert_int_equal(
		    vmpager_read(fx.fx_map, at(page), bytes, 1), EIO);
	expect(&fx, 6);
	expect(&fx, 7);
	fixture_close(&fx);
}

/* A page that can't be written out stays where it is, unharmed. */
static void
test_failed_writeback_loses_nothing(void **state)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit limit;
	struct fixture fx = fixture_swapped();

	(void)state;
	assert_int_equal(vmpager_register(fx.fx_map, at(8), PAGE), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(vmpager_write(fx.fx_map, at(8), "x", 1), ENOSPC);
	assert_int_equal(vmpager_read(fx.fx_map, at(0), bytes, 1), ENOSPC);
	expect(&fx, 6);
	expect(&fx, 7);
	fixture_check(&fx);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put(&fx, 8);
	for (uint64_t page = 0; page < 9; page++)
		expect(&fx, page);
	fixture_close(&fx);
}

/* ---- creation -------------------------------------------------------------*/

static void
test_file_is_whole_and_private(void **state)
{
	struct fixture fx;
	struct stat st;

	(void)state;
	fx = fixture_open(2, 64, VMPAGER_OVERCOMMIT, path, 32);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 64 * PAGE);
	/* PITFALLS 2.9: not sparse: no later write finds the disk full. */
	assert_true((uint64_t)st.st_blocks * 512 >= 64 * PAGE);
	fixture_close(&fx);
}

static void
test_named_file_refusals(void **state)
{
	struct fixture fx;
	char other[320];

	(void)state;
	fx = fixture_open(2, 16, VMPAGER_OVERCOMMIT, path, 32);
	assert_int_equal(create(16, path), EBUSY);	/* in use */
	fixture_close(&fx);
	assert_int_equal(create(16, path), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(create(16, path), 0);	/* made private */
	assert_int_equal(create(16, dir), EISDIR);
	assert_int_equal(create(16, "/dev/null"), EINVAL);
	(void)snprintf(other, sizeof(other), "%s/no/such", dir);
	assert_int_equal(create(16, other), ENOENT);
	assert_int_equal(create(UINT64_MAX / PAGE, path), EFBIG);
}

/* Without a name there is a file below $TMPDIR, which nobody can see. */
static void
test_temporary_file_is_unlinked(void **state)
{
	char *old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	struct fixture fx;
	struct dirent *entry;
	DIR *d;

	(void)state;
	assert_int_equal(setenv("TMPDIR", dir, 1), 0);
	fx = fixture_open(2, 16, VMPAGER_OVERCOMMIT, NULL, 32);
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		assert_int_equal(entry->d_name[0], '.');
	(void)closedir(d);
	fixture_close(&fx);
	assert_int_equal(setenv("TMPDIR", "/no/such/directory", 1), 0);
	assert_int_equal(create(16, NULL), ENOENT);
	if (old != NULL)
		(void)setenv("TMPDIR", old, 1);
	else
		(void)unsetenv("TMPDIR");
	free(old);
}

static void
test_file_size_limit_is_an_error_of_creation(void **state)
{
	const struct rlimit small = { 64 * 1024, RLIM_INFINITY };
	struct rlimit limit;
	int error;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	error = create(1024, path);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(error, EFBIG);
	assert_int_equal(create(1024, path), 0);
}

/* In the child: a file system of 1 MiB, and a swap file of 2. */
static int
create_on_full_disk(void)
{
	if (unshare(CLONE_NEWNS) != 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return (SKIPPED);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", dir, "tmpfs", 0, "size=1m") != 0)
		return (SKIPPED);
	if (create(512, path) != ENOSPC)
		return (1);
	return (create(64, path) == 0 ? 0 : 2);
}

/* PITFALLS 2.9. */
static void
test_full_disk_is_an_error_of_creation(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(create_on_full_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED) {
		print_message("skipped: no mount namespace here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The library takes no memory from malloc. */
static void
test_no_malloc(void **state)
{
	struct mallinfo2 before = mallinfo2(), after;
	struct fixture fx;

	(void)state;
	fx = fixture_swapped();
	for (uint64_t page = 0; page < 8; page++)
		expect(&fx, page);
	after = mallinfo2();
	assert_int_equal(after.uordblks, before.uordblks);
	assert_int_equal(after.hblkhd, before.hblkhd);
	fixture_close(&fx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flipped_bit_is_eio),
		TEST(test_swapped_slots_are_eio),
		TEST(test_stale_slot_is_eio),
		TEST(test_truncated_file_is_eio),
		TEST(test_failed_writeback_loses_nothing),
		TEST(test_file_is_whole_and_private),
		TEST(test_named_file_refusals),
		TEST(test_temporary_file_is_unlinked),
		TEST(test_file_size_limit_is_an_error_of_creation),
		TEST(test_full_disk_is_an_error_of_creation),
		TEST(test_no_malloc),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
