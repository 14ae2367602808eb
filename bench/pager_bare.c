/*
 * pager_bare.c - what a fault can't do without, and nothing else.
 *
 * A handler of these is installed for the turn only, and the pager's put back:
 * so neither has the other's in its way.
 */
#include "config.h"

#include "bench/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pager/uapi.h"
#include "util/clock.h"

#define PAGE ((size_t)VMPAGER_PAGE)
#define CLUSTER (16 * PAGE)

struct bare {
	enum bare_kind ba_kind;
	uint64_t ba_pages, ba_frames;
	char *ba_span;			/* where faults are */
	size_t ba_len;
	char *ba_from;			/* a cluster of zeros */
	int ba_uffd, ba_file;
	struct sigaction ba_theirs;	/* the pager's, meanwhile */
	/* ZERO: a stack of frames.  STORES: the entries. */
	uint32_t *ba_stack;
	uint32_t ba_top;
	_Atomic uint64_t *ba_entries;
	/* IO, MOVE, PROTECT: the loop, and who is resident, first in first
	 * out. */
	const uint32_t *ba_order;
	uint64_t ba_at;
	uint32_t *ba_resident;
	uint64_t ba_first, ba_count;
	char *ba_staging;
};

static struct bare *faulting;		/* whose handler is installed */

/* ---- making them ----------------------------------------------------------*/

static void
open_uffd(struct bare *ba)
{
	struct uffdio_api api = { .api = UFFD_API };

	if (ba->ba_kind != BARE_THREAD)
		api.features |= UFFD_FEATURE_SIGBUS;
	if (ba->ba_kind == BARE_MOVE)
		api.features |= UFFD_FEATURE_MOVE;
	ba->ba_uffd = (int)syscall(
	    SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (ba->ba_uffd < 0 || ioctl(ba->ba_uffd, UFFDIO_API, &api) != 0)
		bench_skip("userfaultfd: %s", strerror(errno));
}

static void
cover(const struct bare *ba, char *at, size_t len)
{
	struct uffdio_register rg = {
		.range = { .start = (uintptr_t)at, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ba->ba_kind == BARE_PROTECT)
		rg.mode |= UFFDIO_REGISTER_MODE_WP;

	if (ioctl(ba->ba_uffd, UFFDIO_REGISTER, &rg) != 0)
		bench_die("UFFDIO_REGISTER: %s", strerror(errno));
}

static char *
reserve(size_t len, int prot)
{
	char *mem = mmap(NULL, len, prot,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		bench_die("no memory");
	(void)madvise(mem, len, MADV_NOHUGEPAGE);
	return (mem);
}

/* A file as the pager's own: unlinked, allocated in full, in the same place. */
static void
open_file(struct bare *ba)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/bench_pager.XXXXXX",
	    dir != NULL ? dir : "/var/tmp");
	ba->ba_file = mkstemp(path);
	if (ba->ba_file < 0 || unlink(path) != 0 ||
	    posix_fallocate(ba->ba_file, 0,
		(off_t)(2 * ba->ba_pages * PAGE)) != 0)
		bench_die("no file in %s", path);
}

static void
make_move(struct bare *ba)
{
	open_uffd(ba);
	open_file(ba);
	ba->ba_staging = reserve(PAGE, PROT_READ | PROT_WRITE);
	cover(ba, ba->ba_span, ba->ba_len);
	cover(ba, ba->ba_staging, PAGE);
	ba->ba_resident = bench_alloc(ba->ba_frames * sizeof(uint32_t));
}

static void copy_in(const struct bare *ba, char *at, size_t len);

/* THREAD: faults are messages to this one. */
static void *
server_main(void *arg)
{
	const struct bare *ba = arg;
	struct pollfd fd = { .fd = ba->ba_uffd, .events = POLLIN };
	struct uffd_msg msg;

	for (;;)
		if (poll(&fd, 1, -1) == 1 &&
		    read(ba->ba_uffd, &msg, sizeof(msg)) == sizeof(msg))
			copy_in(ba, (char *)(uintptr_t)(
			    msg.arg.pagefault.address & ~(PAGE - 1)), PAGE);
	return (NULL);
}

static void
make_thread(struct bare *ba)
{
	pthread_t thread;

	open_uffd(ba);
	cover(ba, ba->ba_span, ba->ba_len);
	if (pthread_create(&thread, NULL, server_main, ba) != 0)
		bench_die("no thread");
	(void)pthread_detach(thread);	/* as long as the process */
}

/*
 * One page has been touched before there are parts, as sigsegv_map_init() does
 * and whoever wants this for long must: else each part gets an anon_vma of its
 * own at its first touch, and the kernel never joins them again.  Then every
 * later turn would meet a span that is cut at each page already, and half of
 * what mprotect(2) does, the splitting, were done once and for all: 5.3 us a
 * fault instead of 6.6, with a mapping a page left behind.
 */
static void
make_segv(struct bare *ba)
{
	*(volatile char *)ba->ba_span = 0;
	bare_empty(ba);
}

struct bare *
bare_make(enum bare_kind kind, uint64_t pages, uint64_t frames)
{
	struct bare *ba = bench_alloc(sizeof(*ba));
	bool alone = kind == BARE_UFFD || kind == BARE_THREAD ||
	    kind == BARE_SEGV;

	ba->ba_kind = kind;
	ba->ba_pages = pages;
	ba->ba_frames = frames;
	ba->ba_len = pages * (alone ? ALONE : 1) * PAGE;
	ba->ba_from = bench_alloc(CLUSTER);
	memset(ba->ba_from, 0, CLUSTER);
	ba->ba_span = reserve(ba->ba_len, PROT_READ | PROT_WRITE);
	switch (kind) {
	case BARE_ZERO:
		ba->ba_stack = bench_alloc(pages * sizeof(uint32_t));
		memset(ba->ba_span, 1, ba->ba_len);
		break;
	case BARE_HIT:
		memset(ba->ba_span, 1, ba->ba_len);
		break;
	case BARE_IO:
		open_file(ba);
		break;
	case BARE_UFFD:
	case BARE_CLUSTER:
		open_uffd(ba);
		cover(ba, ba->ba_span, ba->ba_len);
		break;
	case BARE_THREAD:
		make_thread(ba);
		break;
	case BARE_MOVE:
	case BARE_PROTECT:
		make_move(ba);
		break;
	case BARE_SEGV:
		make_segv(ba);
		break;
	case BARE_STORES:
		ba->ba_entries = bench_alloc(pages * 16 * sizeof(uint64_t));
		break;
	}
	return (ba);
}

void
bare_order(struct bare *ba, const uint32_t *order)
{
	ba->ba_order = order;
}

/* ---- handlers -------------------------------------------------------------*/

static void
copy_in(const struct bare *ba, char *at, size_t len)
{
	struct uffdio_copy copy = { .dst = (uintptr_t)at, .len = len,
		.src = (uintptr_t)ba->ba_from };

	if (ioctl(ba->ba_uffd, UFFDIO_COPY, &copy) != 0)
		_exit(90);
}

static void
move_page(const struct bare *ba, char *to, char *from)
{
	struct uffdio_move move = { .dst = (uintptr_t)to,
		.src = (uintptr_t)from, .len = PAGE };

	if (ioctl(ba->ba_uffd, UFFDIO_MOVE, &move) != 0)
		_exit(91);
}

static void
protect_page(const struct bare *ba, char *at)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)at, .len = PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(ba->ba_uffd, UFFDIO_WRITEPROTECT, &wp) != 0)
		_exit(93);
}

static void
file_exchange(const struct bare *ba, const char *from, uint32_t out, char *to,
    uint32_t in)
{
	if (pwrite(ba->ba_file, from, PAGE, (off_t)(out * PAGE)) !=
		(ssize_t)PAGE ||
	    pread(ba->ba_file, to, PAGE, (off_t)(in * PAGE)) != (ssize_t)PAGE)
		_exit(92);
}

/* The first in goes out, by way of the file; the one that is wanted comes. */
static void
exchange(struct bare *ba, char *at)
{
	uint32_t page = (uint32_t)((size_t)(at - ba->ba_span) / PAGE), out;

	if (ba->ba_count < ba->ba_frames) {
		copy_in(ba, at, PAGE);
		ba->ba_resident[ba->ba_count++] = page;
		return;
	}
	out = ba->ba_resident[ba->ba_first];
	if (ba->ba_kind == BARE_MOVE) {
		move_page(ba, ba->ba_staging, ba->ba_span + out * PAGE);
		file_exchange(ba, ba->ba_staging, out, ba->ba_staging, page);
		move_page(ba, at, ba->ba_staging);
	} else {
		protect_page(ba, ba->ba_span + out * PAGE);
		file_exchange(ba, ba->ba_span + out * PAGE, out, ba->ba_from,
		    page);
		(void)madvise(ba->ba_span + out * PAGE, PAGE, MADV_DONTNEED);
		copy_in(ba, at, PAGE);
	}
	ba->ba_resident[ba->ba_first] = page;
	ba->ba_first = (ba->ba_first + 1) % ba->ba_frames;
}

static void
handler(int signal, siginfo_t *si, void *context)
{
	struct bare *ba = faulting;
	size_t size = ba->ba_kind == BARE_CLUSTER ? CLUSTER : PAGE;
	char *at = (char *)((uintptr_t)si->si_addr & ~(uintptr_t)(PAGE - 1));

	(void)signal;
	(void)context;
	at = ba->ba_span + (size_t)(at - ba->ba_span) / size * size;
	if (ba->ba_kind == BARE_MOVE || ba->ba_kind == BARE_PROTECT)
		exchange(ba, at);
	else if (ba->ba_kind == BARE_SEGV)
		(void)mprotect(at, PAGE, PROT_READ | PROT_WRITE);
	else
		copy_in(ba, at, size);
}

void
bare_begin(struct bare *ba)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = handler;
	sa.sa_flags = SA_SIGINFO;
	faulting = ba;
	(void)sigaction(ba->ba_kind == BARE_SEGV ? SIGSEGV : SIGBUS, &sa,
	    &ba->ba_theirs);
}

void
bare_end(struct bare *ba)
{
	(void)sigaction(ba->ba_kind == BARE_SEGV ? SIGSEGV : SIGBUS,
	    &ba->ba_theirs, NULL);
}

void
bare_empty(struct bare *ba)
{
	if (ba->ba_kind == BARE_SEGV)
		(void)mprotect(ba->ba_span, ba->ba_len, PROT_NONE);
	(void)madvise(ba->ba_span, ba->ba_len, MADV_DONTNEED);
}

/* ---- turns ----------------------------------------------------------------*/

uint64_t
bare_zero(struct bare *ba)
{
	uint64_t start;

	for (ba->ba_top = 0; ba->ba_top < ba->ba_pages; ba->ba_top++)
		ba->ba_stack[ba->ba_top] = ba->ba_top;
	start = clock_ns();
	for (uint64_t i = 0; i < ba->ba_pages; i++) {
		char *page = ba->ba_span + ba->ba_stack[--ba->ba_top] * PAGE;

		memset(page, 0, PAGE);
		bench_use((uintptr_t)page);
	}
	return (clock_ns() - start);
}

void
bare_zero_half(struct bare *ba, unsigned int half)
{
	uint64_t top = ba->ba_pages / 2;

	/* As many frames, popped from a stack of its own. */
	for (uint64_t i = 0; i < ba->ba_pages / 2; i++) {
		char *page = ba->ba_span +
		    (half * (ba->ba_pages / 2) + ba->ba_stack[--top]) * PAGE;

		memset(page, 0, PAGE);
		bench_use((uintptr_t)page);
	}
}

uint64_t
bare_hit(struct bare *ba)
{
	uint64_t start = clock_ns();

	for (uint64_t i = 0; i < ba->ba_pages; i++)
		bench_use(((volatile uint64_t *)ba->ba_span)
			[i * PAGE / sizeof(uint64_t)]);
	return (clock_ns() - start);
}

uint64_t
bare_io(struct bare *ba)
{
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < EVICT_TURN; i++) {
		uint32_t page = ba->ba_order[ba->ba_at];
		uint64_t half = (ba->ba_at + ba->ba_pages / 2) % ba->ba_pages;
		uint32_t out = ba->ba_order[half];
		char *at = ba->ba_span + page % ba->ba_frames * PAGE;

		ba->ba_at = (ba->ba_at + 1) % ba->ba_pages;
		if (pwrite(ba->ba_file, at, PAGE, (off_t)(out * PAGE)) !=
			(ssize_t)PAGE ||
		    pread(ba->ba_file, at, PAGE, (off_t)(page * PAGE)) !=
			(ssize_t)PAGE)
			bench_die("I/O: %s", strerror(errno));
	}
	return (clock_ns() - start);
}

void
bare_store(struct bare *ba, uint64_t pages, uint64_t first, uint64_t step)
{
	for (uint64_t i = first; i < pages; i += step)
		((volatile char *)ba->ba_span)[i * ALONE * PAGE] = 1;
}

uint64_t
bare_alone(struct bare *ba)
{
	uint64_t start;

	bare_begin(ba);
	start = clock_ns();
	bare_store(ba, ba->ba_pages, 0, 1);
	start = clock_ns() - start;
	bare_end(ba);
	bare_empty(ba);
	return (start);
}

uint64_t
bare_cluster(struct bare *ba)
{
	uint64_t start;

	bare_begin(ba);
	start = clock_ns();
	for (uint64_t i = 0; i < ba->ba_pages; i++)
		((volatile char *)ba->ba_span)[i * PAGE] = 1;
	start = clock_ns() - start;
	bare_end(ba);
	bare_empty(ba);
	return (start);
}

uint64_t
bare_move(struct bare *ba)
{
	uint64_t start;

	bare_begin(ba);
	start = clock_ns();
	for (unsigned int i = 0; i < EVICT_TURN; i++) {
		((volatile char *)ba->ba_span)
		    [ba->ba_order[ba->ba_at] * PAGE] = 1;
		ba->ba_at = (ba->ba_at + 1) % ba->ba_pages;
	}
	start = clock_ns() - start;
	bare_end(ba);
	return (start);
}

uint64_t
bare_stores(struct bare *ba)
{
	uint64_t start = clock_ns();

	for (uint64_t i = 0; i < ba->ba_pages * 16; i++)
		atomic_store_explicit(
		    &ba->ba_entries[i], i + 1, memory_order_relaxed);
	return (clock_ns() - start);
}
