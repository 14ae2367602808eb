/*
 * machine.h - a system that has no memory but a reservation of its own: root
 * arena, meta arena over a part of it, the switch; commits are counted, bounded,
 * and can be made to fail.  For one process: the switch is made once in its
 * life, so each test runs in a child (in_child()).
 */
#ifndef UNIT_MACHINE_H
#define UNIT_MACHINE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmem.h>

#include "in_child.h"

#define MIB (UINT64_C(1) << 20)
#define PAGE 4096u

struct machine {
	uint64_t base, size;
	uint64_t committed, limit; /* bytes */
	uint64_t commits;	/* calls */
	uint64_t fail_from;	/* the calls from this one on fail, */
	uint64_t fail_count;	/* so many of them */
	vmem_t *root, *meta;
};

static inline int
machine_commit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct machine *mc = arg;

	CHECK(addr >= mc->base && addr + size <= mc->base + mc->size);
	if (++mc->commits - mc->fail_from < mc->fail_count)
		return (ENOMEM);
	if (mc->committed + size > mc->limit)
		return (ENOMEM);
	mc->committed += size;
	return (0);
}

static inline void
machine_decommit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct machine *mc = arg;

	CHECK(mc->committed >= size);
	mc->committed -= size;
	(void)madvise((void *)(uintptr_t)addr, size, MADV_DONTNEED);
}

/* 1 GiB, a quarter of it for meta; its first span is no room for the table to
 * grow into. */
static inline void
machine_start(struct machine *mc, uint64_t limit)
{
	vmem_addr_t at;
	void *base;

	*mc = (struct machine) { .size = 1024 * MIB, .limit = limit };
	base = mmap(NULL, mc->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(base != MAP_FAILED);
	mc->base = (uintptr_t)base;
	mc->root = vmem_create("root", mc->base, mc->size, PAGE, NULL, NULL,
	    NULL, 0, VM_NOSLEEP | VM_BOOTSTRAP);
	CHECK(NULL != mc->root);
	CHECK(vmem_xalloc(mc->root, 256 * MIB, 2 * MIB, 0, 0, 0,
		  VMEM_ADDR_MAX, VM_NOSLEEP, &at) == 0);
	mc->meta = vmem_create("meta", at, 2 * MIB, PAGE, NULL, NULL, NULL, 0,
	    VM_NOSLEEP | VM_BOOTSTRAP);
	CHECK(NULL != mc->meta);
	CHECK(vmem_add(mc->meta, at + 4 * MIB, 252 * MIB, VM_NOSLEEP) == 0);
	CHECK(vmem_set_meta(mc->meta, machine_commit, machine_decommit, mc) ==
	    0);
	CHECK(vmem_set_meta(mc->meta, machine_commit, machine_decommit, mc) ==
	    EBUSY);
}

static inline void
machine_check(const struct machine *mc)
{
	CHECK(vmem_check(mc->root) == 0);
	CHECK(vmem_check(mc->meta) == 0);
}

/* fn(arg) in a process of its own, which ends with 1 if a CHECK fails; its
 * status. */
static inline int
in_child(void (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return (-1);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	return (waitpid(pid, &status, 0) == pid ? status : -1);
}

#endif /* UNIT_MACHINE_H */
