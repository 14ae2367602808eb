/*
 * Goal: the library never calls malloc, nor what calls it: from the first
 * arena to the last one's end, with caches, imports, waits and threads.
 * Method: malloc and its kin are replaced by ones that abort while the library
 * is being called.  Threads and their stacks are made before.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmem.h>

#include "util/rng.h"

#define PAGE 4096u
#define LIVE 20000u
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
static atomic_bool forbidden;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void
called(const char *who)
{
	static const char text[] = ": called inside the library\n";

	if (!atomic_load(&forbidden))
		return;
	(void)!write(STDERR_FILENO, who, 6);
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
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

void
free(void *p)
{
	called("free()");
	__libc_free(p);
}

static void
check(bool ok, const char *what)
{
	if (ok)
		return;
	atomic_store(&forbidden, false);
	fprintf(stderr, "failed: %s\n", what);
	_exit(1);
}

static vmem_t *leaf;
static pthread_barrier_t start, end, leave;

static void *
sleeper(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	(void)pthread_barrier_wait(&start);
	check(vmem_alloc(leaf, 8 * PAGE, VM_SLEEP, &a) == 0, "VM_SLEEP");
	vmem_free(leaf, a, 8 * PAGE);
	(void)pthread_barrier_wait(&end);
	(void)pthread_barrier_wait(&leave); /* a thread's end frees */
	return (NULL);
}

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
		check(vmem_alloc(vm, size[k], VM_NOSLEEP |
			      (i % 64 == 0 ? VM_FIRSTFIT : 0), &addr[k]) == 0,
		    "churn");
		if (i % 8192 == 0) {
			vmem_tick();
			check(vmem_check(vm) == 0, "vmem_check");
		}
	}
	for (unsigned int k = 0; k < LIVE; k++)
		if (size[k] != 0)
			vmem_free(vm, addr[k], size[k]);
}

int
main(void)
{
	pthread_t threads[SLEEPERS];
	vmem_t *root, *mid;
	vmem_addr_t all;

	(void)pthread_barrier_init(&start, NULL, SLEEPERS + 1);
	(void)pthread_barrier_init(&end, NULL, SLEEPERS + 1);
	(void)pthread_barrier_init(&leave, NULL, SLEEPERS + 1);
	for (int i = 0; i < SLEEPERS; i++)
		if (pthread_create(&threads[i], NULL, sleeper, NULL) != 0)
			return (1);
	printf("malloc is forbidden from here on\n");
	(void)fflush(stdout);
	atomic_store(&forbidden, true);
	root = vmem_create("root", 0, (uint64_t)LIVE * 32 * PAGE, PAGE, NULL,
	    NULL, NULL, 0, VM_SLEEP);
	mid = vmem_create("mid", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, root, 0, VM_SLEEP | VM_LARGEIMPORT);
	leaf = vmem_create("leaf", 0, 0, PAGE, vmem_alloc_import,
	    vmem_free_release, mid, 16 * PAGE, VM_SLEEP | VM_CHECK);
	check(root != NULL && mid != NULL && leaf != NULL, "vmem_create");
	churn(leaf);
	check(vmem_alloc(root, vmem_size(root, VMEM_MAXFREE), VM_NOSLEEP,
		  &all) == 0, "all of the root");
	(void)pthread_barrier_wait(&start);
	vmem_free(root, all, vmem_size(root, VMEM_ALLOC) -
		(vmem_size(mid, VMEM_ALLOC | VMEM_FREE)));
	(void)pthread_barrier_wait(&end);
	vmem_reap(leaf);
	vmem_destroy(leaf);
	vmem_destroy(mid);
	check(vmem_size(root, VMEM_ALLOC) == 0, "all came back");
	vmem_destroy(root);
	atomic_store(&forbidden, false);
	(void)pthread_barrier_wait(&leave);
	for (int i = 0; i < SLEEPERS; i++)
		(void)pthread_join(threads[i], NULL);
	return (0);
}
#endif
