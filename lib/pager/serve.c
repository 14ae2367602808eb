/*
 * serve.c - the handler thread of uffd-thread.
 *
 * The classical way of userfaultfd(2), for comparison: a fault is a message to
 * another thread, which runs the fault path and so wakes the one that waits.
 * The library makes no threads, so the host's thread calls vmpager_serve().
 *
 * A fault that can't be served leaves a marker in the page's place
 * (UFFDIO_POISON), which is a SIGBUS for who waits.  That thread then runs the
 * fault path by itself (trap.c): it may be luckier, and if it isn't it knows
 * the errno.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pager/uapi.h"

static void
serve_wake(struct vmpager *pg, uint64_t page_addr)
{
	struct uffdio_range range = { .start = page_addr, .len = VMPAGER_PAGE };

	(void)ioctl(pg->pg_fd, UFFDIO_WAKE, &range);
}

static void
serve_poison(struct vmpager *pg, uint64_t page_addr)
{
	struct uffdio_poison poison = {
		.range = { .start = page_addr, .len = VMPAGER_PAGE },
	};

	/* EEXIST: someone else has brought it in meanwhile. */
	if (ioctl(pg->pg_fd, UFFDIO_POISON, &poison) != 0)
		serve_wake(pg, page_addr);
}

static void
serve_fault(struct vmpager *pg, uint64_t addr, bool write)
{
	uint64_t page_addr = addr & ~(uint64_t)(VMPAGER_PAGE - 1);
	struct vmpager_map *mp = trap_find(addr);

	if (mp != NULL && mp->mp_pager == pg &&
	    fault_trap(mp, addr, write) == 0)
		/* It may have been there already, and then nothing has woken
		 * the thread. */
		serve_wake(pg, page_addr);
	else
		serve_poison(pg, page_addr);
}

int
vmpager_serve(struct vmpager *pg)
{
	struct pollfd fds[2] = {
		{ .fd = pg->pg_fd, .events = POLLIN },
		{ .fd = pg->pg_stop_fd, .events = POLLIN },
	};
	struct uffd_msg msg;
	int error = 0;

	if (pg->pg_mode != &mode_uffd_thread)
		return (ENOTSUP);
	(void)atomic_fetch_add(&pg->pg_servers, 1);
	while (error == 0 && (fds[1].revents & POLLIN) == 0) {
		if (poll(fds, 2, -1) < 0) {
			error = errno == EINTR ? 0 : errno;
			continue;
		}
		if ((fds[0].revents & POLLIN) == 0 ||
		    read(pg->pg_fd, &msg, sizeof(msg)) != sizeof(msg) ||
		    msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		serve_fault(pg, msg.arg.pagefault.address,
		    (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0);
	}
	(void)atomic_fetch_sub(&pg->pg_servers, 1);
	return (error);
}

void
vmpager_serve_stop(struct vmpager *pg)
{
	static const uint64_t one = 1;

	/* Left to be read: it ends all threads that serve. */
	if (pg->pg_stop_fd >= 0)
		while (write(pg->pg_stop_fd, &one, sizeof(one)) < 0 &&
		    errno == EINTR)
			continue;
}
