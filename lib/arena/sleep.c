/*
 * sleep.c - threads that wait for space: VM_SLEEP and deadlines.
 *
 * A thread that sleeps is a request in its arena's queue (wait.c), whose
 * vr_done wakes this thread and no other: the space is its own by then, so it
 * looks for nothing and competes with nobody.  It sleeps on a word of its own,
 * by futex(2).
 *
 * Sources that aren't arenas tell nobody that they have more: who sleeps above
 * such a one tries again every RETRY_MS.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/futex.h"

#define RETRY_MS 1000

/* On the stack of who sleeps; set by vr_done, pairs with the load there. */
struct sleeper {
	struct vmem_request *request;
	_Atomic(uint32_t) done;
};

static void
sleeper_wake(struct vmem_request *vr, int error)
{
	struct sleeper *sl = vr->vr_arg;

	(void)error;
	/* Who sleeps may be gone after the store: then this wakes nobody, or
	 * somebody spuriously, which futexes allow. */
	atomic_store_explicit(&sl->done, 1, memory_order_release);
	futex_wake(&sl->done, 1);
}

static struct timespec
retry_time(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += RETRY_MS / 1000;
	return (ts);
}

static bool
earlier(const struct timespec *a, const struct timespec *b)
{
	return (a->tv_sec < b->tv_sec ||
	    (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec));
}

/* Does space come, in the end, from what isn't an arena? */
static bool
source_is_foreign(const struct vmem *vm)
{
	while (vm->vm_import_exact == vmem_alloc_import)
		vm = vm->vm_source;
	return (vm->vm_import != NULL || vm->vm_import_exact != NULL);
}

/* Until it is granted (0) or the deadline has passed (ETIMEDOUT). */
static int
sleeper_wait(struct vmem *vm, struct sleeper *sl,
    const struct timespec *deadline)
{
	bool foreign = source_is_foreign(vm);
	struct timespec until;
	long rc;

	while (atomic_load_explicit(&sl->done, memory_order_acquire) == 0) {
		const struct timespec *limit = deadline;

		if (foreign) {
			until = retry_time();
			if (deadline == NULL || earlier(&until, deadline))
				limit = &until;
		}
		rc = syscall(SYS_futex, &sl->done, FUTEX_WAIT_BITSET_PRIVATE,
		    0, limit, NULL, FUTEX_BITSET_MATCH_ANY);
		if (rc != -1 || errno != ETIMEDOUT)
			continue;
		if (limit == deadline) {
			if (vmem_cancel(vm, sl->request) == 0)
				return (ETIMEDOUT);
			/* Granted after all: it will be said at once. */
			deadline = NULL;
		} else
			wait_serve(vm);
	}
	return (0);
}

/* Submit, and sleep if need be.  deadline NULL: for ever. */
int
wait_sleep(struct vmem *vm, struct vmem_request *vr,
    const struct timespec *deadline)
{
	struct sleeper sl = { .request = vr };
	int error;

	vr->vr_done = sleeper_wake;
	vr->vr_arg = &sl;
	error = vmem_submit(vm, vr);
	if (error == EINPROGRESS)
		error = sleeper_wait(vm, &sl, deadline);
	vr->vr_arg = NULL;
	return (error);
}
