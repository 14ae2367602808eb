/*
 * Goal: in the modes of the MMU, pageable memory is memory: pointers work, by
 * any number of threads, with four times as many pages as frames, and no byte
 * is lost; what can't be served is an errno at the recovery point; and the
 * kernel has no more of it resident than there are frames.
 * Method: pages whose every word says which page and which version it is,
 * written and checked by plain loads and stores, beside an oracle outside of
 * pageable memory; the mapping's Rss read from /proc/self/smaps.  Each test runs
 * in each mode that works here; of software, which has no pointers, only the
 * thrashing.
 *
 * VMPAGER_THRASH_S: seconds of thrashing in each mode (make check-long: 60).
 */
#include "config.h"

#include "unit/pager_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "pager/pager_impl.h"
#include "util/clock.h"
#include "util/rng.h"

#define SEED 2027u
#define THREADS 4u
#define WORDS (VMPAGER_PAGE / sizeof(uint64_t))

static struct fixture fx;

static uint64_t *
words(uint64_t page)
{
	return ((uint64_t *)(uintptr_t)(BASE + page * PAGE));
}

static uint64_t
word_of(uint64_t page, uint64_t version, unsigned int i)
{
	return ((page << 32 | version) * 0x9e3779b97f4a7c15 + i);
}

/* A page and what is, or ought to be, in it. */
struct content {
	uint64_t co_page;
	uint64_t co_version;	/* 0 is zeros: never written */
};

static int
content_write(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	const struct content *co = arg;
	volatile uint64_t *w = bytes;

	(void)addr;
	(void)len;
	for (unsigned int i = 0; i < WORDS; i++)
		w[i] = word_of(co->co_page, co->co_version, i);
	return (0);
}

static int
content_check(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	const struct content *co = arg;
	const volatile uint64_t *w = bytes;
	bool same = true;

	(void)addr;
	(void)len;
	for (unsigned int i = 0; i < WORDS; i++)
		same &= w[i] == (co->co_version == 0 ? 0 :
		    word_of(co->co_page, co->co_version, i));
	return (same ? 0 : EILSEQ);
}

/* By pointers; in software mode, which has none, by an access. */
static int
page_do(uint64_t page, uint64_t version, bool write)
{
	struct content co = { page, version };
	vmem_addr_t addr = BASE + page * PAGE;

	if (fixture_mode == VMPAGER_SOFTWARE)
		return (vmpager_access(fx.fx_map, addr, PAGE, write,
		    write ? content_write : content_check, &co));
	return ((write ? content_write : content_check)(
	    &co, addr, words(page), PAGE));
}

static void
page_write(uint64_t page, uint64_t version)
{
	assert_int_equal(page_do(page, version, true), 0);
}

static bool
page_is(uint64_t page, uint64_t version)
{
	return (page_do(page, version, false) == 0);
}

/* Bytes of the mappings in [base, + size) that are resident. */
static uint64_t
rss_in(uint64_t base, uint64_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long long from, to, kib;
	uint64_t sum = 0;
	bool inside = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			inside = from >= base && to <= base + size;
		else if (inside && sscanf(line, "Rss: %llu kB", &kib) == 1)
			sum += kib * 1024;
	}
	(void)fclose(f);
	return (sum);
}

/* All that pageable memory takes: pages where they are used, and the frames'
 * own places, which are all there is in software mode. */
static uint64_t
rss(uint64_t size)
{
	const struct frame_pool *fp = &fx.fx_pager->pg_pool;
	uint64_t sum = rss_in(BASE, size);

	if (fp->fp_bytes != NULL)
		sum += rss_in((uint64_t)(uintptr_t)fp->fp_bytes,
		    frame_total(fp) * PAGE);
	return (sum);
}

/* ---- pointers -------------------------------------------------------------*/

static void
test_pointers_work(void **state)
{
	const uint64_t pages = 256;

	(void)state;
	fx = fixture_open(64, 512, VMPAGER_OVERCOMMIT, NULL, pages);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, pages * PAGE), 0);
	for (uint64_t page = 0; page < pages; page++)
		assert_true(page_is(page, 0));
	for (uint64_t page = 0; page < pages; page++)
		page_write(page, 1);
	for (uint64_t page = pages; page-- > 0;)
		assert_true(page_is(page, 1));
	fixture_check(&fx);
	/* The accessors see the same bytes. */
	for (uint64_t page = 0; page < pages; page += 7) {
		uint64_t w;

		assert_int_equal(vmpager_read(fx.fx_map,
		    BASE + page * PAGE + 80, &w, sizeof(w)), 0);
		assert_int_equal(w, word_of(page, 1, 10));
		w = 42;
		assert_int_equal(vmpager_write(fx.fx_map,
		    BASE + page * PAGE + 80, &w, sizeof(w)), 0);
		assert_int_equal(words(page)[10], 42);
	}
	vmpager_unregister(fx.fx_map, BASE, pages * PAGE);
	fixture_close(&fx);
}

/* What is read only stays clean, and a first write is seen. */
static void
test_reading_leaves_pages_clean(void **state)
{
	struct vmpager_stat ps;

	(void)state;
	fx = fixture_open(64, 512, VMPAGER_OVERCOMMIT, NULL, 64);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 16 * PAGE), 0);
	for (uint64_t page = 0; page < 16; page++)
		assert_true(page_is(page, 0));
	fixture_check(&fx);
	vmpager_stat(fx.fx_pager, &ps);
#if defined(__x86_64__)	/* where a read is told from a write */
	assert_int_equal(ps.ps_dirty_pages, 0);
	words(3)[5] = 1;
	fixture_check(&fx);
	vmpager_stat(fx.fx_pager, &ps);
	assert_true(ps.ps_dirty_pages >= 1);
#endif
	fixture_close(&fx);
}

/* One thread alone: evicted pages are moved to their frames, which keep the
 * memory; or, without UFFDIO_MOVE, are protected, written, dropped, and copied
 * in again, and no frame ever has any. */
static void
test_ways_out(void **state)
{
	const struct frame_pool *fp;
	unsigned int staged = 0;
	uint64_t affected;

	(void)state;
	if (fixture_mode != VMPAGER_UFFD)
		skip();
	fx = fixture_open(16, 64, VMPAGER_OVERCOMMIT, NULL, 64);
	fp = &fx.fx_pager->pg_pool;
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 64 * PAGE), 0);
	for (uint32_t version = 1; version <= 8; version++)
		for (uint64_t page = 0; page < 64; page++) {
			assert_true(page_is(page, version - 1));
			page_write(page, version);
		}
	assert_int_equal(vmpager_advise(fx.fx_map, BASE, 64 * PAGE,
			     VMPAGER_DONTNEED, &affected), 0);
	assert_int_equal(affected, 16);
	for (uint32_t frame = 0; frame < frame_total(fp); frame++)
		staged += fp->fp_staged[frame] != 0;
	assert_int_equal(staged != 0, fx.fx_pager->pg_move);
	if (fixture_without != 0)
		assert_false(fx.fx_pager->pg_move);
	for (uint64_t page = 0; page < 64; page++)
		assert_true(page_is(page, 8));
	fixture_close(&fx);
}

/* Threads fault by turns, each alone for some time first: after more of them than
 * there are places to count in, those of two are still told apart.  No page has
 * neighbours. */
#define ALONE_FAULTS 100u
#define CROWD_THREADS (COUNT_SHARDS + 2)

static uint64_t crowd_page;	/* the next */

static void
crowd_touch(void)
{
	vmem_addr_t addr = BASE + crowd_page++ * CLUSTER_PAGES * PAGE;
	struct vmpager_touched pt;

	assert_int_equal(vmpager_register(fx.fx_map, addr, PAGE), 0);
	assert_int_equal(vmpager_touch(fx.fx_map, addr, 1, true, &pt), 0);
}

static void *
crowd_main(void *arg)
{
	pthread_barrier_t *turn = arg;

	for (unsigned int i = 0; i < ALONE_FAULTS; i++)
		crowd_touch();
	assert_true(fault_alone(fx.fx_pager));
	(void)pthread_barrier_wait(turn);
	(void)pthread_barrier_wait(turn);
	crowd_touch();
	return (NULL);
}

static void
test_crowds_are_seen(void **state)
{
	pthread_barrier_t turn[CROWD_THREADS];
	pthread_t thread[CROWD_THREADS];

	(void)state;
	if (fixture_mode != VMPAGER_UFFD)
		skip();
	crowd_page = 0;
	fx = fixture_open(4096, NO_SWAP, VMPAGER_OVERCOMMIT, NULL,
	    CROWD_THREADS * (ALONE_FAULTS + 1) * CLUSTER_PAGES);
	for (unsigned int i = 0; i < CROWD_THREADS; i++) {
		(void)pthread_barrier_init(&turn[i], NULL, 2);
		assert_int_equal(pthread_create(
		    &thread[i], NULL, crowd_main, &turn[i]), 0);
		(void)pthread_barrier_wait(&turn[i]);
	}
	for (unsigned int i = 0; i < CROWD_THREADS; i++) {
		/* The last one has been alone until now. */
		(void)pthread_barrier_wait(&turn[CROWD_THREADS - 1 - i]);
		assert_int_equal(
		    pthread_join(thread[CROWD_THREADS - 1 - i], NULL), 0);
		assert_int_equal(fault_alone(fx.fx_pager), i == 0);
		(void)pthread_barrier_destroy(&turn[CROWD_THREADS - 1 - i]);
	}
	fixture_close(&fx);
}

static int
store(void *arg)
{
	*(volatile char *)arg = 1;
	return (7);
}

static void *
pointer(uint64_t page)
{
	return (words(page));
}

/* ---- what a map leaves behind ---------------------------------------------*/

/* Memory is the caller's again when its map is gone, also where a fault was
 * refused. */
static void
test_memory_comes_back(void **state)
{
	(void)state;
	fx = fixture_open(4, 16, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 8 * PAGE), 0);
	for (uint64_t page = 0; page < 8; page++)
		page_write(page, 1);
	for (uint64_t page = 8; page < 16; page++)
		assert_int_equal(vmpager_guard(store, pointer(page)), EFAULT);
	vmpager_map_destroy(fx.fx_map);
	for (uint64_t page = 0; page < 16; page++) {
		assert_int_equal(words(page)[1], 0);
		assert_int_equal(store(pointer(page)), 7);
	}
	assert_int_equal(
	    vmpager_map_create(fx.fx_pager, BASE, 16 * PAGE, &fx.fx_map), 0);
	fixture_close(&fx);
}

/* Nor has a map that couldn't be made: there are more than faults can find. */
static void
test_too_many_maps(void **state)
{
	static struct vmpager_map *maps[MAPS_MAX];
	const struct vmpager_config config = { .pc_frames_bytes = 4 * PAGE,
		.pc_swap = "none", .pc_mode = fixture_mode,
		.pc_without = fixture_without };
	struct vmpager *other;
	size_t n = 0;

	(void)state;
	fixture_room = MAPS_MAX + 1;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 1);
	fixture_room = 0;
	assert_int_equal(vmpager_create(&config, &other), 0);
	while (n < MAPS_MAX && vmpager_map_create(other,
			     BASE + (n + 1) * PAGE, PAGE, &maps[n]) == 0)
		n++;
	assert_int_equal(n, MAPS_MAX - 1);	/* and the fixture's own */
	assert_int_equal(store(pointer(n + 1)), 7);
	vmpager_destroy(other);
	fixture_close(&fx);
}

/* ---- recovery points ------------------------------------------------------*/

static int
guard_in_guard(void *arg)
{
	assert_int_equal(vmpager_guard(store, pointer(9)), EFAULT);
	return (store(arg));
}

static void
test_guard_returns_the_errno(void **state)
{
	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 8 * PAGE), 0);
	for (uint64_t page = 0; page < 4; page++)
		assert_int_equal(vmpager_guard(store, pointer(page)), 7);
	for (uint64_t page = 4; page < 8; page++)
		assert_int_equal(vmpager_guard(store, pointer(page)), ENOMEM);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vmpager_guard(store, pointer(8)), EFAULT);
	assert_int_equal(vmpager_guard(guard_in_guard, pointer(2)), 7);
	assert_int_equal(vmpager_guard(guard_in_guard, pointer(8)), EFAULT);
	/* One page less, and the next fits. */
	vmpager_unregister(fx.fx_map, BASE, PAGE);
	assert_int_equal(vmpager_guard(store, pointer(0)), EFAULT);
	assert_int_equal(vmpager_guard(store, pointer(5)), 7);
	fixture_close(&fx);
}

static void
test_touch_returns_the_errno(void **state)
{
	struct vmpager_touched pt;

	(void)state;
	fx = fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 8 * PAGE), 0);
	assert_int_equal(
	    vmpager_touch(fx.fx_map, BASE, 4 * PAGE, true, &pt), 0);
	assert_int_equal(pt.pt_pages, 4);
	assert_int_equal(pt.pt_minor, 4);
	assert_int_equal(
	    vmpager_touch(fx.fx_map, BASE + 4 * PAGE, 1, true, &pt), ENOMEM);
	assert_int_equal(
	    vmpager_touch(fx.fx_map, BASE + 8 * PAGE, 1, true, &pt), EFAULT);
	fixture_close(&fx);
}

/* ---- pitfalls -------------------------------------------------------------*/

/* Run in a child; its exit status, or 256 + the signal that ended it. */
static int
in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		/* cmocka's handlers aren't ours to test. */
		(void)signal(SIGBUS, SIG_DFL);
		(void)signal(SIGSEGV, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (WIFSIGNALED(status) ? 256 + WTERMSIG(status)
				    : WEXITSTATUS(status));
}

static struct vmpager *
child_pager(struct vmpager_map **mapp)
{
	const struct vmpager_config config = { .pc_frames_bytes = 64 * PAGE,
		.pc_swap = "none", .pc_mode = fixture_mode,
		.pc_without = fixture_without };
	struct vmpager *pager;

	fixture_memory(&fx, 64);
	if (vmpager_create(&config, &pager) != 0 ||
	    vmpager_map_create(pager, BASE, 64 * PAGE, mapp) != 0)
		_exit(99);
	return (pager);
}

static void
stray_in_map(void)
{
	struct vmpager_map *map;

	(void)child_pager(&map);
	words(3)[0] = 1;
}

static void
stray_elsewhere(void)
{
	struct vmpager_map *map;

	(void)child_pager(&map);
	*(volatile char *)mmap(NULL, PAGE, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void
exit_42(int signal, siginfo_t *si, void *context)
{
	(void)signal;
	(void)si;
	(void)context;
	_exit(42);
}

static void
stray_with_handler(void)
{
	struct sigaction sa = { .sa_sigaction = exit_42,
		.sa_flags = SA_SIGINFO };

	(void)sigaction(SIGBUS, &sa, NULL);
	(void)sigaction(SIGSEGV, &sa, NULL);
	stray_in_map();
}

static void
sent_from_outside(void)
{
	struct vmpager_map *map;

	(void)child_pager(&map);
	(void)raise(fixture_mode == VMPAGER_SIGSEGV ? SIGSEGV : SIGBUS);
}

/* 2.8: what isn't a map's goes where it would have gone without us. */
static void
test_pitfall_8_strays_are_passed_on(void **state)
{
	int own = fixture_mode == VMPAGER_SIGSEGV ? SIGSEGV : SIGBUS;

	(void)state;
	assert_int_equal(in_child(stray_elsewhere), 256 + SIGSEGV);
	assert_int_equal(in_child(sent_from_outside), 256 + own);
	if (fixture_mode == VMPAGER_UFFD_THREAD)
		return;		/* nobody serves in the children */
	assert_int_equal(in_child(stray_in_map), 256 + own);
	assert_int_equal(in_child(stray_with_handler), 42);
}

static sigjmp_buf away;

static void
jump_away(int signal)
{
	(void)signal;
	siglongjmp(away, 1);
}

/* A handler that isn't of the kind with a siginfo_t, and never returns. */
static void
stray_that_jumps(void)
{
	struct sigaction sa = { .sa_handler = jump_away };
	volatile int jumps = 0;

	(void)sigaction(SIGBUS, &sa, NULL);
	(void)sigaction(SIGSEGV, &sa, NULL);
	if (sigsetjmp(away, 1) == 0)
		(void)fixture_open(4, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 16);
	else
		jumps++;
	if (jumps < 5)
		words(3)[0] = 1;
	_exit(40 + jumps);
}

/* 2.8: one stray after another, in the same place of the stack, each is passed
 * on; that the handler hasn't returned from the last doesn't matter. */
static void
test_pitfall_8_handlers_jump_away(void **state)
{
	(void)state;
	if (fixture_mode == VMPAGER_UFFD_THREAD)
		skip();		/* nobody serves in the children */
	assert_int_equal(in_child(stray_that_jumps), 45);
}

static struct sigaction ours;	/* the pager's */
static volatile int rounds;

static void
pass_back(int signal, siginfo_t *si, void *context)
{
	if (++rounds > 3)
		_exit(43);
	ours.sa_sigaction(signal, si, context);
}

/* 2.8: two that each found the other before: it ends, by the signal. */
static void
stray_in_a_ring(void)
{
	struct sigaction sa = { .sa_sigaction = pass_back,
		.sa_flags = SA_SIGINFO };
	int own = fixture_mode == VMPAGER_SIGSEGV ? SIGSEGV : SIGBUS;
	struct vmpager_map *map;

	(void)sigaction(own, &sa, NULL);
	(void)child_pager(&map);
	(void)sigaction(own, NULL, &ours);
	words(3)[0] = 1;
}

static void
test_pitfall_8_rings_end(void **state)
{
	(void)state;
	if (fixture_mode == VMPAGER_UFFD_THREAD)
		skip();
	assert_int_equal(in_child(stray_in_a_ring),
	    256 + (fixture_mode == VMPAGER_SIGSEGV ? SIGSEGV : SIGBUS));
}

static void
read_first_page(void)
{
	_exit(words(0)[10] == 0 ? 44 : 45);
}

/* 2.4: a child doesn't read zeros where its parent has a page, in a frame or in
 * the swap. */
static void
test_pitfall_4_fork(void **state)
{
	(void)state;
	fx = fixture_open(16, 64, VMPAGER_OVERCOMMIT, NULL, 32);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 32 * PAGE), 0);
	page_write(0, 1);
	assert_int_equal(in_child(read_first_page), 256 + SIGSEGV);
	for (uint64_t page = 1; page < 32; page++)
		page_write(page, 1);
	assert_int_equal(in_child(read_first_page), 256 + SIGSEGV);
	assert_true(page_is(0, 1));
	fixture_close(&fx);
}

static __attribute__((noinline)) bool
use_much_stack(void)
{
	volatile char room[16 * VMPAGER_PAGE];

	errno = 4242;
	for (size_t i = sizeof(room); i-- > 0;)
		room[i] = (char)i;
	return (errno == 4242 && room[5000] == (char)5000);
}

static void *
on_pageable_stack(void *arg)
{
	stack_t ss = { .ss_sp = arg, .ss_size = 16 * VMPAGER_PAGE };

	/* Until here the stack's first pages were resident. */
	if (sigaltstack(&ss, NULL) != 0)
		return (arg);
	return (use_much_stack() ? NULL : arg);
}

/* 2.8: a stack that is pageable works, with an alternate one that is wired; and
 * a fault leaves errno alone. */
static void
test_pitfall_8_alternate_stack(void **state)
{
	static char wired[16 * VMPAGER_PAGE];
	struct vmpager_touched pt;
	pthread_attr_t attr;
	pthread_t thread;
	void *result;

	(void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	skip();		/* they have their own idea of a thread's stack */
#endif
	fx = fixture_open(128, NO_SWAP, VMPAGER_OVERCOMMIT, NULL, 64);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 64 * PAGE), 0);
	/* What pthread_create() itself puts there, and the kernel at the start
	 * of a thread, must be resident. */
	assert_int_equal(vmpager_touch(
	    fx.fx_map, BASE + 56 * PAGE, 8 * PAGE, true, &pt), 0);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(
	    pthread_attr_setstack(&attr, pointer(0), 64 * PAGE), 0);
	assert_int_equal(
	    pthread_create(&thread, &attr, on_pageable_stack, wired), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	(void)pthread_attr_destroy(&attr);
	vmpager_unregister(fx.fx_map, BASE, 64 * PAGE);
	fixture_close(&fx);
}

/* 2.2: a system call on a page that isn't resident is EFAULT, or works, but
 * never gets other bytes; copied out by vmpager_read() it always works. */
static void
test_pitfall_2_system_calls(void **state)
{
	char bytes[64];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fx = fixture_open(1, 16, VMPAGER_OVERCOMMIT, NULL, 16);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, 2 * PAGE), 0);
	memset(pointer(0), 'a', PAGE);
	memset(pointer(1), 'b', PAGE);	/* 0 is in the swap now */
	n = write(fds[1], pointer(0), sizeof(bytes));
	assert_true(n == -1 && errno == EFAULT);
	assert_int_equal(vmpager_read(fx.fx_map, BASE, bytes, 64), 0);
	assert_int_equal(write(fds[1], bytes, 64), 64);
	assert_int_equal(bytes[63], 'a');
	(void)close(fds[0]);
	(void)close(fds[1]);
	fixture_close(&fx);
}

static unsigned int
count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int lines = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	(void)fclose(f);
	return (lines);
}

/* 2.3: pages registered, touched, evicted here and there: userfaultfd needs no
 * mapping for each, and sigsegv no more than two for each frame. */
static void
test_pitfall_3_scattered_pages(void **state)
{
	unsigned int before, after;

	(void)state;
	fx = fixture_open(64, 1024, VMPAGER_OVERCOMMIT, NULL, 2048);
	before = count_mappings();
	for (uint64_t page = 0; page < 2048; page += 2) {
		assert_int_equal(
		    vmpager_register(fx.fx_map, BASE + page * PAGE, PAGE), 0);
		page_write(page, 1);
	}
	after = count_mappings();
	assert_true(after <= before +
	    (fixture_mode == VMPAGER_SIGSEGV ? 2 * 64 + 1 : 0));
	for (uint64_t page = 0; page < 2048; page += 2)
		assert_true(page_is(page, 1));
	fixture_close(&fx);
}

/* And sigsegv refuses a number of frames for which there couldn't be mappings
 * if each were alone. */
static void
test_pitfall_3_sigsegv_bounds_frames(void **state)
{
	const struct vmpager_config config = { .pc_swap = "none",
		.pc_frames_bytes = UINT64_C(1) << 40,
		.pc_mode = VMPAGER_SIGSEGV };
	struct vmpager *pager;

	(void)state;
	if (fixture_mode == VMPAGER_SIGSEGV)
		assert_int_equal(vmpager_create(&config, &pager), E2BIG);
}

/* Registering, and unregistering what was never touched, is stores: any system
 * call but an exit would end the child here. */
static void
register_strictly(void)
{
	struct vmpager_map *map;
	int error = 0;

	(void)child_pager(&map);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		_exit(77);
	for (int i = 0; i < 1000 && error == 0; i++) {
		error = vmpager_register(map, BASE, 16 * PAGE);
		if (error == 0)
			vmpager_unregister(map, BASE, 16 * PAGE);
	}
	(void)syscall(SYS_exit, error != 0);
}

static void
test_registering_makes_no_system_call(void **state)
{
	int status;

	(void)state;
	/* They make some of their own, at any time. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	skip();
#endif
	status = in_child(register_strictly);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* 2.6: memory that the host has locked (mlockall(2)), in the span, in the frames'
 * places, or in one of them only, is paged like any other. */
static void
test_pitfall_6_locked_memory(void **state)
{
	(void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	skip();		/* in their munlock(2) nothing is unlocked */
#endif
	for (int future = 0; future < 2; future++) {
		fx = fixture_open(16, 128, VMPAGER_OVERCOMMIT, NULL, 64);
		assert_int_equal(
		    vmpager_register(fx.fx_map, BASE, 64 * PAGE), 0);
		page_write(0, 1);
		/* Locked before it is populated, so that it stays empty. */
		if (mlock2((char *)pointer(0), 64 * PAGE, MLOCK_ONFAULT) != 0) {
			fixture_close(&fx);
			skip();		/* RLIMIT_MEMLOCK */
		}
		if (future == 1)	/* one half only */
			(void)munlock(pointer(32), 32 * PAGE);
		for (uint64_t page = 0; page < 64; page++)
			page_write(page, 1);
		for (uint64_t page = 0; page < 64; page++)
			assert_true(page_is(page, 1));
		vmpager_unregister(fx.fx_map, BASE, 64 * PAGE);
		fixture_close(&fx);
	}
}

/* ---- thrashing ------------------------------------------------------------*/

#define FRAMES 1024u
#define PAGES (4 * FRAMES)
#define OWN (PAGES / THREADS)	/* of each thread */
#define RANGE 16u		/* pages freed and taken again at a time */

struct thrasher {
	unsigned int th_number;
	uint64_t th_until_ns;
	uint64_t th_done;
	uint32_t th_version[OWN];	/* the oracle */
	const char *th_wrong;
};

static struct thrasher thrasher[THREADS];
static pthread_rwlock_t step_lock;	/* for writing: nobody thrashes */

/* A range goes, and comes again as zeros: alloc and free of what is being
 * touched by others all around. */
static void
thrash_range(struct thrasher *th, uint64_t first, uint64_t mine)
{
	mine -= mine % RANGE;
	vmpager_unregister(fx.fx_map, BASE + (first + mine) * PAGE,
	    RANGE * PAGE);
	if (fixture_mode != VMPAGER_SOFTWARE &&
	    vmpager_guard(store, pointer(first + mine)) != EFAULT)
		th->th_wrong = "what is unregistered can be written to";
	if (vmpager_register(fx.fx_map, BASE + (first + mine) * PAGE,
		RANGE * PAGE) != 0)
		th->th_wrong = "register";
	memset(th->th_version + mine, 0, RANGE * sizeof(uint32_t));
}

static void
thrash_step(struct thrasher *th, struct rng *rng)
{
	uint64_t first = (uint64_t)th->th_number * OWN;
	uint64_t mine = rng_below(rng, OWN), what = rng_below(rng, 1000);

	if (what < 2) {
		thrash_range(th, first, mine);
		return;
	}
	if (what < 400) {
		page_write(first + mine, ++th->th_version[mine]);
		return;
	}
	if (what >= 990)	/* a run, as a scan does */
		mine -= mine % RANGE;
	for (uint64_t i = 0; i < (what >= 990 ? RANGE : 1); i++)
		if (!page_is(first + mine + i, th->th_version[mine + i]))
			th->th_wrong = "bytes are lost";
}

static int
thrash_loop(void *arg)
{
	struct thrasher *th = arg;
	struct rng rng;

	rng_init(&rng, SEED + th->th_number);
	while (th->th_wrong == NULL && clock_ns() < th->th_until_ns) {
		(void)pthread_rwlock_rdlock(&step_lock);
		thrash_step(th, &rng);
		(void)pthread_rwlock_unlock(&step_lock);
		th->th_done++;
	}
	for (uint64_t i = 0; i < OWN && th->th_wrong == NULL; i++) {
		(void)pthread_rwlock_rdlock(&step_lock);
		if (!page_is((uint64_t)th->th_number * OWN + i,
			th->th_version[i]))
			th->th_wrong = "bytes are lost at the end";
		(void)pthread_rwlock_unlock(&step_lock);
	}
	return (0);
}

static void *
thrash(void *arg)
{
	struct thrasher *th = arg;
	int error = vmpager_guard(thrash_loop, th);

	if (error != 0)
		th->th_wrong = strerror(error);
	return (NULL);
}

/* Now and then, between the steps of all, the kernel's count of what is
 * resident.  (As they go on it is no count: pages that come while it goes
 * through the table are added, those that went are not taken off.) */
static uint64_t
rss_peak(uint64_t until_ns)
{
	uint64_t peak = 0, now;

	do {
		(void)usleep(20000);
		(void)pthread_rwlock_wrlock(&step_lock);
		now = rss(PAGES * PAGE);
		(void)pthread_rwlock_unlock(&step_lock);
		if (now > peak)
			peak = now;
	} while (clock_ns() < until_ns);
	return (peak);
}

static double
thrash_seconds(void)
{
	const char *text = getenv("VMPAGER_THRASH_S");

	/* Several threads go the other way anyway, most of the time. */
	if (fixture_without != 0)
		return (text != NULL ? strtod(text, NULL) / 5 : 2);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	return (text != NULL ? strtod(text, NULL) : 2);
#else
	return (text != NULL ? strtod(text, NULL) : 10);
#endif
}

static void
thrash_begin(uint64_t until_ns, pthread_t thread[THREADS])
{
	pthread_rwlockattr_t attr;

	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(
	    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&step_lock, &attr);
	memset(thrasher, 0, sizeof(thrasher));
	for (unsigned int i = 0; i < THREADS; i++) {
		thrasher[i].th_number = i;
		thrasher[i].th_until_ns = until_ns;
		(void)pthread_create(&thread[i], NULL, thrash, &thrasher[i]);
	}
}

/* What went wrong, or NULL. */
static const char *
thrash_end(const pthread_t thread[THREADS], uint64_t peak)
{
	const char *wrong = NULL;
	struct vmpager_stat ps;
	uint64_t done = 0;

	for (unsigned int i = 0; i < THREADS; i++) {
		(void)pthread_join(thread[i], NULL);
		done += thrasher[i].th_done;
		if (thrasher[i].th_wrong != NULL)
			wrong = thrasher[i].th_wrong;
	}
	vmpager_stat(fx.fx_pager, &ps);
	printf("%llu steps, %llu major and %llu minor faults, %llu evictions; "
	       "Rss at most %.3f of the frames\n",
	    (unsigned long long)done, (unsigned long long)ps.ps_faults_major,
	    (unsigned long long)ps.ps_faults_minor,
	    (unsigned long long)ps.ps_evictions,
	    (double)peak / (double)(FRAMES * PAGE));
	(void)fflush(stdout);
	if (wrong == NULL && ps.ps_evictions == 0)
		wrong = "nothing was evicted";
	if (wrong == NULL && peak > FRAMES * PAGE + FRAMES * PAGE / 20)
		wrong = "more is resident than there are frames";
	return (wrong);
}

static const char *
thrash_all(void)
{
	uint64_t until = clock_ns() + (uint64_t)(thrash_seconds() * 1e9);
	pthread_t thread[THREADS];
	const char *wrong;

	fx = fixture_open(FRAMES, 8 * FRAMES, VMPAGER_OVERCOMMIT, NULL, PAGES);
	assert_int_equal(vmpager_register(fx.fx_map, BASE, PAGES * PAGE), 0);
	thrash_begin(until, thread);
	wrong = thrash_end(thread, rss_peak(until));
	if (wrong == NULL)
		fixture_close(&fx);
	return (wrong);
}

static void
test_thrashing_four_times_the_frames(void **state)
{
	const char *wrong = thrash_all();

	(void)state;
	if (wrong != NULL)
		fail_msg("%s", wrong);
}

/* The same for somebody without any privilege. */
static void
thrash_as_nobody(void)
{
	const char *wrong;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(77);
	/* As after an exec: /proc/self is ours again. */
	(void)prctl(PR_SET_DUMPABLE, 1);
	wrong = thrash_all();
	if (wrong != NULL) {
		printf("as nobody: %s\n", wrong);
		(void)fflush(stdout);
		_exit(1);
	}
}

static void
test_thrashing_unprivileged(void **state)
{
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();		/* then the test before was it */
	(void)fflush(stdout);
	status = in_child(thrash_as_nobody);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static int
group(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pointers_work),
		cmocka_unit_test(test_reading_leaves_pages_clean),
		cmocka_unit_test(test_ways_out),
		cmocka_unit_test(test_crowds_are_seen),
		cmocka_unit_test(test_memory_comes_back),
		cmocka_unit_test(test_too_many_maps),
		cmocka_unit_test(test_guard_returns_the_errno),
		cmocka_unit_test(test_touch_returns_the_errno),
		cmocka_unit_test(test_registering_makes_no_system_call),
		cmocka_unit_test(test_pitfall_2_system_calls),
		cmocka_unit_test(test_pitfall_3_scattered_pages),
		cmocka_unit_test(test_pitfall_3_sigsegv_bounds_frames),
		cmocka_unit_test(test_pitfall_6_locked_memory),
		cmocka_unit_test(test_pitfall_4_fork),
		cmocka_unit_test(test_pitfall_8_strays_are_passed_on),
		cmocka_unit_test(test_pitfall_8_handlers_jump_away),
		cmocka_unit_test(test_pitfall_8_rings_end),
		cmocka_unit_test(test_pitfall_8_alternate_stack),
		cmocka_unit_test(test_thrashing_four_times_the_frames),
		cmocka_unit_test(test_thrashing_unprivileged),
	};
	const struct CMUnitTest software[] = {
		cmocka_unit_test(test_registering_makes_no_system_call),
		cmocka_unit_test(test_thrashing_four_times_the_frames),
		cmocka_unit_test(test_thrashing_unprivileged),
	};

	if (fixture_mode == VMPAGER_SOFTWARE)
		return (cmocka_run_group_tests_name(name, software,
		    NULL, NULL));
	return (cmocka_run_group_tests_name(name, tests, NULL, NULL));
}

/* ---- what the kernel lacks ------------------------------------------------*/

/* In a process of its own, whose kernel refuses userfaultfd(2), since support
 * is looked at once: 0, 77 or what is wrong. */
static int
refused_main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .filter = code,
		.len = sizeof(code) / sizeof(code[0]) };
	struct vmpager_config config = { .pc_frames_bytes = 16 * PAGE,
		.pc_swap = "none" };
	struct vmpager_support su;
	struct vmpager *pager;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return (77);
	vmpager_support(&su);
	if (su.su_kernel != 0 || su.su_error[VMPAGER_SOFTWARE] != 0)
		return (1);
	for (config.pc_mode = VMPAGER_UFFD;
	     config.pc_mode <= VMPAGER_UFFD_THREAD; config.pc_mode++)
		if (su.su_error[config.pc_mode] != ENOTSUP ||
		    su.su_why[config.pc_mode] == NULL ||
		    vmpager_create(&config, &pager) != ENOTSUP)
			return (2);
	config.pc_mode = VMPAGER_SOFTWARE;
	if (vmpager_create(&config, &pager) != 0)
		return (3);
	vmpager_destroy(pager);
	return (0);
}

static void
run_refused(void)
{
	(void)execl("/proc/self/exe", "test_pager_modes", "refused", NULL);
	_exit(126);
}

static void
test_what_the_kernel_lacks(void **state)
{
	int status = in_child(run_refused);

	(void)state;
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest support[] = {
		cmocka_unit_test(test_what_the_kernel_lacks),
	};

	if (argc > 1 && strcmp(argv[1], "refused") == 0)
		return (refused_main());
	printf("seed %u\n", SEED);
	return (cmocka_run_group_tests_name("support", support, NULL, NULL) +
	    fixture_each_mode(group));
}
