/*
 * netbsd_consumer.c - what NetBSD's vmem(9) documents, used as its manual page
 * describes it and as a driver would: an arena of bus addresses, one that grows
 * by importing from it in the size that suits (vmem_xcreate()), constrained
 * allocations for descriptors, a fixed one for firmware, a map of what is
 * taken.
 *
 * What was changed from the kernel's form, and all that was: the include; the
 * ipl argument of vmem_create() and vmem_xcreate() (IPL_NONE, the last one),
 * which is gone; the callbacks' source argument, which is of type void * and
 * is cast where it is used.
 */
#include <vmem.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE 4096u
#define RING (16u * PAGE)
#define KASSERT(e)                                                           \
	do {                                                                 \
		if (!(e)) {                                                  \
			(void)printf("line %d: %s\n", __LINE__, #e);         \
			exit(1);                                             \
		}                                                            \
	} while (0)

static int imports, releases;

/* vmem_import_t */
static int
bus_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	imports++;
	return (vmem_alloc((vmem_t *)src, size, flags, addrp));
}

/* vmem_ximport_t: whole rings, and says so */
static int
ring_ximport(void *src, vmem_size_t size, vmem_size_t *actualp,
    vm_flag_t flags, vmem_addr_t *addrp)
{
	imports++;
	*actualp = (size + RING - 1) & ~(vmem_size_t)(RING - 1);
	return (vmem_alloc((vmem_t *)src, *actualp, flags, addrp));
}

/* vmem_release_t */
static void
bus_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	releases++;
	vmem_free((vmem_t *)src, addr, size);
}

/* vmem_create(), vmem_add(), vmem_alloc(), vmem_free(), vmem_destroy(); every
 * strategy and both ways to wait. */
static vmem_t *
attach(void)
{
	static const vm_flag_t strategies[] = { 0, VM_INSTANTFIT, VM_BESTFIT };
	vmem_t *bus = vmem_create("bus", PAGE, 1024 * (vmem_size_t)PAGE, PAGE,
	    NULL, NULL, NULL, 0, VM_SLEEP);
	vmem_addr_t addr = VMEM_ADDR_MIN;
	size_t i;

	KASSERT(bus != NULL);
	KASSERT(vmem_add(bus, (vmem_addr_t)1 << 32, PAGE, VM_SLEEP) == 0);
	for (i = 0; i < sizeof(strategies) / sizeof(strategies[0]); i++) {
		KASSERT(vmem_alloc(bus, 3 * PAGE - 1,
		    strategies[i] | VM_NOSLEEP, &addr) == 0);
		vmem_free(bus, addr, 3 * PAGE - 1);
		KASSERT(vmem_alloc(
		    bus, PAGE, strategies[i] | VM_SLEEP, &addr) == 0);
		vmem_free(bus, addr, PAGE);
	}
	KASSERT(vmem_alloc(bus, 4096 * (vmem_size_t)PAGE, VM_NOSLEEP, &addr) !=
	    0);
	return (bus);
}

/* vmem_xalloc(), vmem_xalloc_addr(), vmem_xfree() */
static void
constrained(vmem_t *bus, vmem_t *dma)
{
	vmem_addr_t ring, phased, firmware = 1024 * (vmem_addr_t)PAGE;

	/* Below 4 GiB, aligned to itself, not across a 64 KiB boundary. */
	KASSERT(vmem_xalloc(dma, RING, RING, 0, 65536, VMEM_ADDR_MIN,
	    0xffffffffu, VM_BESTFIT | VM_NOSLEEP, &ring) == 0);
	KASSERT(ring % RING == 0);
	/* One page after such a boundary. */
	KASSERT(vmem_xalloc(dma, PAGE, RING, PAGE, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_INSTANTFIT | VM_SLEEP, &phased) == 0);
	KASSERT(phased % RING == PAGE);
	KASSERT(vmem_xalloc_addr(bus, firmware, PAGE, VM_NOSLEEP) == 0);
	KASSERT(vmem_xalloc_addr(bus, firmware, PAGE, VM_NOSLEEP) != 0);
	vmem_xfree(bus, firmware, PAGE);
	vmem_xfree(dma, phased, PAGE);
	vmem_xfree(dma, ring, RING);
}

/* vmem_xfreeall(), vmem_size() */
static void
teardown(vmem_t *bus)
{
	vmem_addr_t addr;
	int i;

	for (i = 0; i < 10; i++)
		KASSERT(vmem_xalloc(bus, PAGE, 0, 0, 0, VMEM_ADDR_MIN,
		    VMEM_ADDR_MAX, VM_SLEEP, &addr) == 0);
	KASSERT(vmem_size(bus, VMEM_ALLOC) == 10 * PAGE);
	KASSERT(vmem_size(bus, VMEM_FREE) == 1015 * PAGE);
	KASSERT(vmem_size(bus, VMEM_ALLOC | VMEM_FREE) == 1025 * PAGE);
	vmem_xfreeall(bus);
	KASSERT(vmem_size(bus, VMEM_ALLOC) == 0);
	vmem_destroy(bus);
}

int
main(void)
{
	vmem_t *bus = attach(), *dma, *rings;
	vmem_addr_t page, ring;

	dma = vmem_create("dma", 0, 0, PAGE, bus_import, bus_release, bus,
	    8 * PAGE, VM_SLEEP | VM_LARGEIMPORT);
	rings = vmem_xcreate("rings", 0, 0, PAGE, ring_ximport, bus_release,
	    bus, 0, VM_SLEEP);
	KASSERT(dma != NULL && rings != NULL);
	constrained(bus, dma);
	KASSERT(vmem_alloc(dma, PAGE, VM_INSTANTFIT | VM_SLEEP, &page) == 0);
	KASSERT(vmem_alloc(rings, PAGE, VM_SLEEP, &ring) == 0);
	KASSERT(vmem_size(rings, VMEM_ALLOC | VMEM_FREE) == RING);
	vmem_free(rings, ring, PAGE);
	vmem_free(dma, page, PAGE);
	vmem_destroy(rings);
	vmem_destroy(dma);
	KASSERT(vmem_size(bus, VMEM_ALLOC) == 0);
	KASSERT(imports > 0 && imports == releases);
	teardown(bus);
	(void)printf("%d imports, %d releases\n", imports, releases);
	return (0);
}
