/*
 * Goal: the library never calls malloc, nor what calls it: from the bootstrap
 * to the last arena's end, with every function of vmem.h and vmpager.h, with
 * caches, imports, waits and threads.
 * Method: malloc and all its kin are replaced by ones that end the process
 * while the library is being called.  Threads and their stacks are made before.
 * That the replacement works is tried first.
 */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmem.h>
#include <vmpager.h>

#include "util/clock.h"
#include "util/rng.h"

#define PAGE 4096u
#define MIB (UINT64_C(1) << 20)
#define LIVE 10000u
#define SLEEPERS 4
#define SKIPPED 77 /* Automake's */

#ifdef VMEM_SANITIZED
int
main(void)
{
	printf("skipped: a sanitizer has a malloc of its own\n");
	return (SKIPPED);
}
#else

/* ---- the replacement ---------------------------------------------------- */

static atomic_bool forbidden;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void
called(const char *who)
{
	static const char text[] = ": called inside the library\n";

	if (!atomic_load(&forbidden))
		return;
	(void)!write(STDERR_FILENO, who, strlen(who));
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(3);
}

void *
malloc(size_t size)
{
	called("malloc");
	return (__libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
	called("calloc");
	return (__libc_calloc(n, size));
}

void *
realloc(void *p, size_t size)
{
	called("realloc");
	return (__libc_realloc(p, size));
}

void *
reallocarray(void *p, size_t n, size_t size)
{
	called("reallocarray");
	return (__libc_realloc(p, n * size));
}

void *
memalign(size_t align, size_t size)
{
	called("memalign");
	return (__libc_memalign(align, size));
}

void *
aligned_alloc(size_t align, size_t size)
{
	called("aligned_alloc");
	return (__libc_memalign(align, size));
}

void *
valloc(size_t size)
{
	called("valloc");
	return (__libc_memalign(PAGE, size));
}

void *
pvalloc(size_t size)
{
	called("pvalloc");
	return (__libc_memalign(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1)));
}

int
posix_memalign(void **pp, size_t align, size_t size)
{
	called("posix_memalign");
	*pp = __libc_memalign(align, size);
	return (*pp == NULL ? ENOMEM : 0);
}

void
free(void *p)
{
	called("free");
	__libc_free(p);
}

static void
check_at(bool ok, int line, const char *what)
{
	if (ok)
		return;
	atomic_store(&forbidden, false);
	fprintf(stderr, "line %d: %s\n", line, what);
	_exit(1);
}
#define CHECK(e) check_at((e), __LINE__, #e)

/* Volatile, or the compiler knows malloc and does without. */
static void *(*volatile malloc_fn)(size_t) = malloc;
static int (*volatile memalign_fn)(void **, size_t, size_t) = posix_memalign;

/* Does it bite? */
static bool
bites(bool aligned)
{
	int status;
	pid_t pid = fork();
	void *p;

	if (pid == 0) {
		(void)close(STDERR_FILENO);
		atomic_store(&forbidden, true);
		if (aligned)
			_exit(memalign_fn(&p, 64, 64));
		_exit(malloc_fn(1) == NULL);
	}
	return (pid > 0 && waitpid(pid, &status, 0) == pid &&
	    WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* ---- a machine that has no other memory ---------------------------------- */

static vmem_t *root, *mid, *leaf;
static uint64_t machine_base;

static int
commit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)arg;
	(void)addr;
	(void)size;
	return (0);
}

static void
decommit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)arg;
	(void)madvise((void *)(uintptr_t)addr, size, MADV_DONTNEED);
}

static void
bootstrap(void)
{
	const uint64_t size = 1024 * MIB;
	vmem_t *meta;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(base != MAP_FAILED);
	machine_base = (uintptr_t)base;
	root = vmem_create("root", machine_base, size, PAGE, NULL, NULL, NULL,
	    0, VM_NOSLEEP | VM_BOOTSTRAP);
	CHECK(root != NULL);
	CHECK(vmem_xalloc_addr(root, machine_base, 256 * MIB, VM_NOSLEEP) == 0);
	meta = vmem_create("meta", machine_base, 256 * MIB, PAGE, NULL, NULL,
	    NULL, 0, VM_NOSLEEP | VM_BOOTSTRAP);
	CHECK(meta != NULL);
	CHECK(vmem_set_meta(meta, commit, decommit, NULL) == 0);
	CHECK(vmem_set_meta(meta, commit, decommit, NULL) == EBUSY);
}

/* ---- what threads do ------------------------------------------------------ */

static pthread_barrier_t start, end, leave;

static void *
sleeper(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	(void)pthread_barrier_wait(&start);
	CHECK(vmem_alloc(leaf, 8 * PAGE, VM_SLEEP, &a) == 0);
	vmem_free(leaf, a, 8 * PAGE);
	(void)pthread_barrier_wait(&end);
	(void)pthread_barrier_wait(&leave); /* a thread's end frees */
	return (NULL);
}

/* ---- every function ------------------------------------------------------- */

static vmem_addr_t addr[LIVE];
static vmem_size_t size[LIVE];

static void
churn(vmem_t *vm)
{
	struct rng rng;

	rng_init(&rng, 1);
	for (unsigned int i = 0; i < LIVE * 8; i++) {
		unsigned int k = (unsigned int)rng_below(&rng, LIVE);

		if (size[k] != 0)
			vmem_free(vm, addr[k], size[k]);
		size[k] = (1 + rng_below(&rng, 24)) * PAGE;
		CHECK(vmem_alloc(vm, size[k], VM_NOSLEEP |
			      (i % 64 == 0 ? VM_FIRSTFIT : 0), &addr[k]) == 0);
		if (i % 8192 == 0) {
			vmem_tick();
			CHECK(vmem_check(vm) == 0);
		}
	}
	for (unsigned int k = 0; k < LIVE; k++)
		if (size[k] != 0)
			vmem_free(vm, addr[k], size[k]);
}

static void
constrained(vmem_t *vm)
{
	static const vm_flag_t policies[] = { 0, VM_BESTFIT, VM_FIRSTFIT,
		VM_NEXTFIT, VM_LASTFIT };
	vmem_addr_t a;

	for (unsigned int i = 0; i < 1000; i++) {
		CHECK(vmem_xalloc(vm, 8 * PAGE, 16 * PAGE, 4 * PAGE, 64 * PAGE,
		    i % 2 == 0 ? VMEM_ADDR_MIN : machine_base, VMEM_ADDR_MAX,
		    VM_NOSLEEP | policies[i % 5], &a) == 0);
		CHECK(vmem_xfree_part(vm, a + 3 * PAGE, PAGE, VM_NOSLEEP) == 0);
		CHECK(vmem_xalloc_addr(vm, a + 3 * PAGE, PAGE, VM_NOSLEEP) ==
		    0);
		CHECK(vmem_xalloc_addr(vm, a + 3 * PAGE, PAGE, VM_NOSLEEP) ==
		    ENOMEM);
		vmem_xfree(vm, a + 3 * PAGE, PAGE);
		vmem_xfree(vm, a, 3 * PAGE);
		if (i % 4 != 0)
			vmem_xfree(vm, a + 4 * PAGE, 4 * PAGE);
	}
	CHECK(vmem_xalloc(vm, PAGE, 3, 0, 0, 0, VMEM_ADDR_MAX, VM_NOSLEEP,
		  &a) == EINVAL);
	CHECK(vmem_alloc(vm, UINT64_C(1) << 62, VM_NOSLEEP, &a) == ENOMEM);
}

static int
count_seg(void *arg, vmem_addr_t a, vmem_size_t bytes)
{
	(void)a;
	*(uint64_t *)arg += bytes;
	return (0);
}

static void
look(vmem_t *vm)
{
	struct vmem_qcache_stat qs;
	struct vmem_meta_stat ms;
	struct vmem_stat vs;
	struct vmem_seg seg[4];
	vmem_addr_t cursor = VMEM_ADDR_MIN;
	const char *why;
	uint64_t bytes = 0;
	bool more;

	vmem_stat(vm, &vs);
	vmem_meta_stat(&ms);
	CHECK(ms.ms_tags_total > 0);
	if (vs.vs_qc_count > 0)
		CHECK(vmem_qcache_stat(vm, 0, &qs) == 0);
	vmem_walk(vm, VMEM_ALLOC | VMEM_FREE, count_seg, &bytes);
	CHECK(bytes == vmem_size(vm, VMEM_ALLOC | VMEM_FREE));
	CHECK(vmem_walk_from(vm, VMEM_FREE, &cursor, seg, 4, &more) > 0);
	CHECK(vmem_contains(vm, seg[0].seg_addr, seg[0].seg_size));
	CHECK(vmem_size(vm, VMEM_MAXFREE) > 0);
	CHECK(vmem_check_why(vm, &why) == 0);
}

static unsigned int reclaims, done;

static void
reclaim(void *arg, vmem_t *vm, vmem_size_t wanted, vmem_size_t align,
    vmem_addr_t minaddr, vmem_addr_t maxaddr)
{
	(void)arg;
	(void)vm;
	(void)wanted;
	(void)align;
	(void)minaddr;
	(void)maxaddr;
	reclaims++;
}

static void
is_done(struct vmem_request *vr, int error)
{
	(void)vr;
	CHECK(error == 0);
	done++;
}

static int
ximport(void *src, vmem_size_t bytes, vmem_size_t *actual, vm_flag_t flags,
    vmem_addr_t *addrp)
{
	*actual = bytes * 2;
	return (vmem_alloc_import(src, *actual, flags, addrp));
}

/* Waiting without a thread, giving up, limits, reclaim, spans by hand. */
static void
waits(void)
{
	struct timespec past = { 0, 0 };
	vmem_addr_t a, b, out[4];
	struct vmem_request vr = { .vr_size = 2 * PAGE,
		.vr_max = VMEM_ADDR_MAX, .vr_count = 2, .vr_addrs = out,
		.vr_done = is_done };
	vmem_t *vm = vmem_xcreate("x", 0, 0, PAGE, ximport, vmem_free_release,
	    root, 2 * PAGE, VM_SLEEP);

	CHECK(vm != NULL);
	CHECK(vmem_set_upstream(vm, root) == 0);
	CHECK(vmem_add(vm, 0, 8 * PAGE, VM_NOSLEEP) == 0);
	vmem_set_limit(vm, 8 * PAGE);
	vmem_set_reclaim(vm, reclaim, NULL);
	CHECK(vmem_xalloc(vm, 6 * PAGE, 0, 0, 0, 0, VMEM_ADDR_MAX, VM_NOSLEEP,
		  &a) == 0);
	CHECK(vmem_alloc_until(vm, 4 * PAGE, VM_SLEEP, &past, &b) ==
	    ETIMEDOUT);
	CHECK(reclaims > 0);
	CHECK(vmem_submit(vm, &vr) == EINPROGRESS);
	CHECK(vmem_cancel(vm, &vr) == 0);
	CHECK(vmem_submit(vm, &vr) == EINPROGRESS);
	vmem_xfree(vm, a, 6 * PAGE);
	CHECK(done == 1);
	vmem_set_limit(vm, 0);
	CHECK(vmem_alloc(vm, 64 * PAGE, VM_SLEEP, &b) == 0);
	vmem_xfreeall(vm);
	vmem_destroy(vm);
}

static int
touch_page(void *arg, vmem_addr_t a, void *bytes, size_t len)
{
	(void)arg;
	(void)a;
	memset(bytes, 7, len);
	return (0);
}

/* The pager: faults of both kinds, eviction to swap and back, wired memory. */
static void
pages(void)
{
	const struct vmpager_config config = { .pc_frames_bytes = 16 * PAGE,
		.pc_swap_bytes = 64 * PAGE };
	struct vmpager_touched touched;
	struct vmpager_wired *wired;
	struct vmpager_stat ps;
	struct vmpager *pager;
	struct vmpager_map *map;
	unsigned char byte;
	vmem_addr_t at;

	CHECK(vmpager_create(&config, &pager) == 0);
	CHECK(vmpager_map_create(pager, MIB, 64 * PAGE, &map) == 0);
	CHECK(vmpager_register(map, MIB, 64 * PAGE) == 0);
	CHECK(vmpager_registered(map, MIB, 64 * PAGE));
	CHECK(vmpager_access(map, MIB, 48 * PAGE, true, touch_page, NULL) == 0);
	CHECK(vmpager_touch(map, MIB, 48 * PAGE, false, &touched) == 0);
	CHECK(touched.pt_major > 0);
	CHECK(vmpager_read(map, MIB + 5, &byte, 1) == 0 && byte == 7);
	CHECK(vmpager_write(map, MIB + 50 * PAGE, &byte, 1) == 0);
	CHECK(vmpager_page_state(map, MIB + 63 * PAGE) == 'z');
	CHECK(vmpager_set_commit(pager, VMPAGER_STRICT) == 0);
	CHECK(vmpager_check(pager, NULL) == 0);
	vmpager_stat(pager, &ps);
	vmpager_map_stat(map, &ps);
	CHECK(ps.ps_evictions > 0);
	vmpager_unregister(map, MIB, 64 * PAGE);
	vmpager_map_destroy(map);
	vmpager_destroy(pager);
	CHECK(vmpager_wired_create(MIB, &wired) == 0);
	CHECK(vmem_alloc(root, 4 * PAGE, VM_NOSLEEP, &at) == 0);
	CHECK(vmpager_wire(wired, at, 4 * PAGE) == 0);
	CHECK(vmpager_wired_bytes(wired) == 4 * PAGE);
	vmpager_unwire(wired, at, 4 * PAGE);
	vmpager_wired_destroy(wired);
	vmem_free(root, at, 4 * PAGE);
}

static void
everything(void)
{
	vmem_addr_t all;
	vmem_size_t bytes;

	bootstrap();
	mid = vmem_create("mid", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 0, VM_SLEEP | VM_LARGEIMPORT);
	leaf = vmem_create("leaf", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, mid, 16 * PAGE, VM_SLEEP | VM_CHECK);
	CHECK(mid != NULL && leaf != NULL);
	churn(leaf);
	constrained(leaf);
	look(leaf);
	look(root);
	vmem_xfreeall(leaf);
	waits();
	vmem_reap(leaf);
	bytes = vmem_size(root, VMEM_MAXFREE);
	CHECK(vmem_alloc(root, bytes, VM_NOSLEEP, &all) == 0);
	(void)pthread_barrier_wait(&start);
	vmem_free(root, all, bytes);
	(void)pthread_barrier_wait(&end);
	vmem_reap(leaf);
	vmem_destroy(leaf);
	vmem_destroy(mid);
	vmem_tick();
	CHECK(vmem_check(root) == 0);
	CHECK(vmem_size(root, VMEM_ALLOC) == 256 * MIB);
}

int
main(void)
{
	pthread_t threads[SLEEPERS];

	if (!bites(false) || !bites(true)) {
		printf("malloc can't be replaced here\n");
		return (1);
	}
	(void)pthread_barrier_init(&start, NULL, SLEEPERS + 1);
	(void)pthread_barrier_init(&end, NULL, SLEEPERS + 1);
	(void)pthread_barrier_init(&leave, NULL, SLEEPERS + 1);
	for (int i = 0; i < SLEEPERS; i++)
		if (pthread_create(&threads[i], NULL, sleeper, NULL) != 0)
			return (1);
	printf("malloc is forbidden from here on\n");
	(void)fflush(stdout);
	atomic_store(&forbidden, true);
	everything();
	pages();
	atomic_store(&forbidden, false);
	(void)pthread_barrier_wait(&leave);
	for (int i = 0; i < SLEEPERS; i++)
		(void)pthread_join(threads[i], NULL);
	return (0);
}
#endif
