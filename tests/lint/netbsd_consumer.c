/*
 * netbsd_consumer.c - a device driver's use of vmem(9), as NetBSD's drivers
 * write it: an arena of bus addresses that grows by importing from another,
 * constrained allocations for descriptors, a fixed one for firmware.
 *
 * What was changed from the kernel's form, and all that was: the include, the
 * ipl argument of vmem_create() and vmem_add() (IPL_NONE), which is gone, and
 * the cast of the import functions' source argument.
 */
#include <vmem.h>

#include <stdio.h>

#define PAGE 4096u
#define RING (16u * PAGE)

static int imports, releases;

static int
bus_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	imports++;
	return (vmem_alloc((vmem_t *)src, size, flags, addrp));
}

static void
bus_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	releases++;
	vmem_free((vmem_t *)src, addr, size);
}

static int
ring_alloc(vmem_t *vm, vmem_addr_t *ringp)
{
	/* Below 4 GiB, aligned to itself, not across a 64 KiB boundary. */
	return (vmem_xalloc(vm, RING, RING, 0, 65536, VMEM_ADDR_MIN,
	    0xffffffffu, VM_BESTFIT | VM_NOSLEEP, ringp));
}

int
main(void)
{
	vmem_t *bus, *dma;
	vmem_addr_t ring, page, end;

	bus = vmem_create("bus", PAGE, 1024 * (vmem_size_t)PAGE, PAGE, NULL,
	    NULL, NULL, 0, VM_SLEEP);
	dma = vmem_create("dma", 0, 0, PAGE, bus_import, bus_release, bus,
	    8 * PAGE, VM_SLEEP);
	if (bus == NULL || dma == NULL)
		return (1);
	if (ring_alloc(dma, &ring) != 0 || ring % RING != 0)
		return (2);
	if (vmem_alloc(dma, PAGE, VM_INSTANTFIT | VM_SLEEP, &page) != 0)
		return (3);
	end = PAGE + 1023 * (vmem_addr_t)PAGE;
	if (vmem_xalloc_addr(bus, end, PAGE, VM_NOSLEEP) != 0)
		return (4);
	if (vmem_add(bus, (vmem_addr_t)1 << 32, PAGE, VM_SLEEP) != 0)
		return (5);
	if (vmem_size(bus, VMEM_ALLOC | VMEM_FREE) != 1025 * PAGE)
		return (6);
	vmem_xfree(bus, end, PAGE);
	vmem_free(dma, page, PAGE);
	vmem_xfree(dma, ring, RING);
	vmem_destroy(dma);
	if (vmem_size(bus, VMEM_ALLOC) != 0)
		return (7);
	vmem_destroy(bus);
	(void)printf("%d imports, %d releases\n", imports, releases);
	return (imports == releases ? 0 : 8);
}
