/*
 * backing.c - see backing.h.
 *
 * One mapping of --va-size, made once, is all the address space there is; and
 * after it, in the same mapping, the direct map's window, of --wired:
 * readable and writable, private, not reserved, so that it costs nothing until
 * touched and a range is populated or emptied by madvise(2) alone, never by a
 * mapping of its own (those are bounded by vm.max_map_count).
 */
#include "config.h"

#include "daemon/backing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/thread.h"
#include "kmem/direct.h"

static int
reserve(struct backing *bk, const struct settings *se, char *why)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t window = se->se_wired - se->se_wired % VMPAGER_PAGE;
	void *hint = NULL, *base = MAP_FAILED;
	uint64_t size;

	if (se->se_va_base != 0) {
		hint = (void *)(uintptr_t)se->se_va_base;
		flags |= MAP_FIXED_NOREPLACE;
	}
	/* More frames than addresses would be of no use; nor can they be had. */
	if (window > se->se_va_size)
		window = se->se_va_size;
	size = se->se_va_size + window;
	base = mmap(hint, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (base != MAP_FAILED && hint != NULL && base != hint) {
		/* A kernel before 4.17 takes the flag for a mere hint. */
		(void)munmap(base, size);
		base = MAP_FAILED;
		errno = EEXIST;
	}
	if (base == MAP_FAILED) {
		int error = errno;

		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "can't reserve --va-size of %llu bytes%s: %s",
		    (unsigned long long)se->se_va_size,
		    hint != NULL ? " at --va-base" : "", strerror(error));
		return (error);
	}
	/* A child of a fork must not see it, nor a core file hold it. */
	(void)madvise(base, size, MADV_DONTFORK);
	(void)madvise(base, size, MADV_DONTDUMP);
	bk->bk_base = (vmem_addr_t)(uintptr_t)base;
	bk->bk_size = se->se_va_size;
	bk->bk_window = window;
	return (0);
}

static void
say_why(const struct settings *se, enum vmpager_mode mode, int error, char *why)
{
	struct vmpager_support su;

	vmpager_support(&su);
	if (error == ENOTSUP)
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "--fault-mode %s: not supported here: %s",
		    vmpager_mode_name(mode), su.su_why[mode]);
	else if (error == E2BIG)
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "--frames of %llu bytes: with --fault-mode sigsegv more "
		    "than vm.max_map_count allows; raise that, or have fewer",
		    (unsigned long long)se->se_frames);
	else
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "can't have --frames of %llu bytes and --swap %s with "
		    "--swap-size of %llu bytes: %s",
		    (unsigned long long)se->se_frames,
		    se->se_swap != NULL ? se->se_swap : "(a temporary file)",
		    (unsigned long long)se->se_swap_size, strerror(error));
}

static void *
server_main(void *arg)
{
	(void)vmpager_serve(arg);
	return (NULL);
}

static int
start_server(struct backing *bk, enum vmpager_mode mode, char *why)
{
	int error;

	if (mode != VMPAGER_UFFD_THREAD)
		return (0);
	error = thread_start(&bk->bk_server, server_main, bk->bk_pager);
	bk->bk_serving = error == 0;
	if (error != 0)
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "--fault-mode uffd-thread: can't start its thread: %s",
		    strerror(error));
	return (error);
}

static int
make_pager(struct backing *bk, const struct settings *se, char *why)
{
	const struct vmpager_config config = {
		.pc_frames_bytes = se->se_frames,
		.pc_swap_bytes = se->se_swap_size,
		.pc_swap = se->se_swap,
		.pc_mode = (enum vmpager_mode)se->se_fault_mode,
		.pc_commit = (enum vmpager_commit)se->se_commit,
	};
	int error = vmpager_create(&config, &bk->bk_pager);

	if (error == 0)
		return (start_server(bk, config.pc_mode, why));
	say_why(se, config.pc_mode, error, why);
	return (error);
}

/* ---- the direct map ----------------------------------------------------- */

static int
window_wire(void *arg, uint64_t addr, uint64_t size)
{
	const struct backing *bk = arg;

	return (vmpager_wire(bk->bk_wired, addr, size) == 0 ? 0 : ENOMEM);
}

static void
window_unwire(void *arg, uint64_t addr, uint64_t size)
{
	const struct backing *bk = arg;

	vmpager_unwire(bk->bk_wired, addr, size);
}

static int
make_window(struct backing *bk, const struct settings *se)
{
	const struct direct_backing db = { window_wire, window_unwire, bk };
	int error = direct_create(bk->bk_base + bk->bk_size, bk->bk_window,
	    &db, &bk->bk_direct);

	if (error == 0)
		direct_switch(bk->bk_direct, se->se_direct_map);
	return (error);
}

int
backing_init(struct backing *bk, const struct settings *se,
    char why[SETTINGS_WHY_MAX])
{
	int error;

	memset(bk, 0, sizeof(*bk));
	error = reserve(bk, se, why);
	if (error == 0)
		error = make_pager(bk, se, why);
	if (error != 0)
		return (error);
	error = vmpager_wired_create(se->se_wired, &bk->bk_wired);
	if (error == 0)
		error = vmpager_wired_create(se->se_wired, &bk->bk_meta);
	if (error == 0)
		error = make_window(bk, se);
	if (error != 0)
		(void)snprintf(why, SETTINGS_WHY_MAX,
		    "can't have --wired of %llu bytes: %s",
		    (unsigned long long)se->se_wired, strerror(error));
	return (error);
}

/* libvmem's tags live in the reservation, and outlive the arenas: it stays
 * mapped until the process ends. */
void
backing_fini(struct backing *bk)
{
	if (bk->bk_serving) {
		vmpager_serve_stop(bk->bk_pager);
		(void)pthread_join(bk->bk_server, NULL);
		bk->bk_serving = false;
	}
	vmpager_destroy(bk->bk_pager);
	bk->bk_pager = NULL;
	direct_destroy(bk->bk_direct);
	bk->bk_direct = NULL;
	vmpager_wired_destroy(bk->bk_wired);
	bk->bk_wired = NULL;
}
