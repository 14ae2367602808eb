/*
 * wait.c - requests that wait for space.
 *
 * One object, struct vmem_request, is behind VM_SLEEP, deadlines, and hosts
 * that answer later.  Those that can't be met queue in their arena, in the
 * order in which they came.  Who frees space meets them itself, there and then,
 * and tells them the result: so nobody is woken to find nothing (no thundering
 * herd), and what was freed can't be snatched from who was chosen.
 *
 * Serving goes along the queue, and grants what can be granted; a request that
 * can't be met yet doesn't hold up those behind it, if they want less.
 *
 * No lost wake-up.  An attempt to meet a request runs without the lock, since
 * it may import.  Space that is freed meanwhile might be just what it missed;
 * so every gain of space counts in vm_freed, and an attempt that failed is
 * repeated if the count has moved.  A request is in the queue, and counted in
 * vm_waiters_below of its arena and of all above it, before its last attempt:
 * a gain in any of these arenas after that attempt sees the count.  A request
 * for several ranges that gets only some gives them back, which is a gain of
 * its own making: it doesn't count for its own attempt, but meanwhile others
 * may have missed just these, so the queue is gone through once more if
 * anything else was gained during the pass.
 *
 * Sources that aren't arenas tell nobody that they have more: then sleepers
 * try again every RETRY_MS, and vmem_tick() does for the others.
 *
 * A request's state changes under its arena's lock.  SERVING: an attempt is
 * under way in some thread; it keeps its place in the queue.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "qcache/qcache.h"

#define RETRY_MS 1000

enum request_state { VR_IDLE, VR_QUEUED, VR_SERVING, VR_DONE };

static struct fit
request_fit(const struct vmem *vm, const struct vmem_request *vr, int *errorp)
{
	struct fit ft = { 0 };

	*errorp = fit_init(vm, &ft, vr->vr_size, vr->vr_align, vr->vr_phase,
	    vr->vr_nocross, vr->vr_min, vr->vr_max, vr->vr_flags);
	return (ft);
}

/* ---- one attempt -------------------------------------------------------- */

/* A quantum cache that serves it, or NULL. */
static struct qcache *
request_cache(struct vmem *vm, const struct vmem_request *vr,
    const struct fit *ft)
{
	return (vr->vr_cached && (vr->vr_flags & VM_FITMASK) == 0 ?
		qcache_for(vm, ft->ft_size) :
		NULL);
}

static void
request_undo(struct vmem *vm, struct qcache *qc, const struct fit *ft,
    struct vmem_request *vr, unsigned int count)
{
	while (count-- > 0) {
		if (qc != NULL)
			qcache_free_through(qc, vr->vr_addrs[count]);
		else
			arena_put_quietly(vm, vr->vr_addrs[count], ft->ft_size,
			    "vmem_submit");
	}
}

/* All ranges of a request, or none; *undone: how many were given back. */
static int
request_try(struct vmem *vm, struct vmem_request *vr, uint64_t *undone)
{
	int error;
	struct fit ft = request_fit(vm, vr, &error);
	struct qcache *qc = request_cache(vm, vr, &ft);
	unsigned int n;

	for (n = 0; error == 0 && n < vr->vr_count; n++) {
		if (qc != NULL)
			error = qcache_alloc(qc, &ft, &vr->vr_addrs[n]);
		else
			error = arena_get(vm, &ft, &vr->vr_addrs[n]);
	}
	*undone = error != 0 && n > 1 ? n - 1 : 0;
	if (*undone != 0)
		request_undo(vm, qc, &ft, vr, n - 1);
	return (error);
}

/* ---- the queue ---------------------------------------------------------- */

/* Can it never be met?  With vm_lock held. */
static bool
hopeless(const struct vmem *vm, const struct fit *ft, unsigned int count)
{
	uint64_t need;

	if (__builtin_mul_overflow(ft->ft_size, (uint64_t)count, &need))
		return (true);
	if (vm->vm_import != NULL || vm->vm_import_exact != NULL)
		return (vm->vm_limit != 0 && need > vm->vm_limit);
	return (need > vm->vm_size ||
	    addrtree_first(&vm->vm_spantree, 0, ft->ft_size) == TAG_NIL);
}

static void
waiters_count(struct vmem *vm, int by)
{
	for (; vm != NULL; vm = vm->vm_parent) {
		if (by > 0)
			atomic_fetch_add(&vm->vm_waiters_below, 1);
		else
			atomic_fetch_sub(&vm->vm_waiters_below, 1);
	}
}

static void
queue_append(struct vmem *vm, struct vmem_request *vr)
{
	vr->vr_state = VR_QUEUED;
	vr->vr_ticket = ++vm->vm_ticket;
	vr->vr_next = NULL;
	vr->vr_prev = vm->vm_wait_last;
	if (vm->vm_wait_last != NULL)
		vm->vm_wait_last->vr_next = vr;
	else
		vm->vm_wait_first = vr;
	vm->vm_wait_last = vr;
	vm->vm_waiting++;
	vm->vm_waits++;
}

static void
queue_remove(struct vmem *vm, struct vmem_request *vr)
{
	if (vr->vr_prev != NULL)
		vr->vr_prev->vr_next = vr->vr_next;
	else
		vm->vm_wait_first = vr->vr_next;
	if (vr->vr_next != NULL)
		vr->vr_next->vr_prev = vr->vr_prev;
	else
		vm->vm_wait_last = vr->vr_prev;
	vm->vm_waiting--;
}

/* The first one queued after `ticket` that wants less than `size`. */
static struct vmem_request *
queue_next(const struct vmem *vm, uint64_t ticket, uint64_t size)
{
	struct vmem_request *vr = vm->vm_wait_first;

	while (vr != NULL &&
	    (vr->vr_state != VR_QUEUED || vr->vr_ticket <= ticket ||
		vr->vr_size >= size))
		vr = vr->vr_next;
	return (vr);
}

/* Attempt until it is met, or nothing was gained by others during the attempt.
 * With vm_lock held, which is dropped meanwhile. */
static int
attempt_locked(struct vmem *vm, struct vmem_request *vr, uint64_t *undonep)
    REQUIRES(vm->vm_lock)
{
	uint64_t freed, undone;
	int error;

	vr->vr_state = VR_SERVING;
	do {
		freed = vm->vm_freed;
		lock_release(&vm->vm_lock);
		error = request_try(vm, vr, &undone);
		lock_acquire(&vm->vm_lock);
		*undonep += undone;
	} while (error != 0 && vm->vm_freed - freed != undone);
	vr->vr_state = VR_QUEUED;
	return (error);
}

static bool
wants_one_plain_range(const struct vmem_request *vr)
{
	return (vr->vr_align == 0 && vr->vr_nocross == 0 &&
	    vr->vr_min == VMEM_ADDR_MIN && vr->vr_max == VMEM_ADDR_MAX &&
	    vr->vr_count == 1);
}

/* Once along the queue; with vm_lock held, which is dropped meanwhile.
 * Returns how many ranges were taken and given back. */
static uint64_t
serve_pass(struct vmem *vm) REQUIRES(vm->vm_lock)
{
	uint64_t ticket = 0, size = UINT64_MAX, undone = 0;
	struct vmem_request *vr;

	while ((vr = queue_next(vm, ticket, size)) != NULL) {
		ticket = vr->vr_ticket;
		if (attempt_locked(vm, vr, &undone) != 0) {
			/* Nor will one do that wants as much. */
			if (wants_one_plain_range(vr))
				size = vr->vr_size;
			continue;
		}
		queue_remove(vm, vr);
		vr->vr_state = VR_DONE;
		lock_release(&vm->vm_lock);
		waiters_count(vm, -1);
		lock_assert_none();
		vr->vr_done(vr, 0);
		lock_acquire(&vm->vm_lock);
	}
	return (undone);
}

/* Grant what can be granted, in order. */
void
wait_serve(struct vmem *vm)
{
	uint64_t freed, undone;

	lock_acquire(&vm->vm_lock);
	do {
		freed = vm->vm_freed;
		undone = serve_pass(vm);
	} while (undone != 0 && vm->vm_freed - freed != undone);
	lock_release(&vm->vm_lock);
}

/* Space was gained in vm: serve who waits there and in what imports from it. */
void
wait_serve_tree(struct vmem *vm)
{
	struct vmem *below;
	uint64_t id = 0;

	if (atomic_load(&vm->vm_waiters_below) == 0)
		return;
	while ((below = arenas_next(vm, id)) != NULL) {
		id = below->vm_id;
		if (atomic_load(&below->vm_waiters_below) != 0)
			wait_serve(below);
		arena_unpin(below);
	}
}

/* Attempt a queued request once more, now that it is seen: see the theory.
 * `undone`: ranges taken and given back for it so far.  0: it was met; EINPROGRESS: it waits, or somebody else met it. */
static int
attempt_queued(struct vmem *vm, struct vmem_request *vr, uint64_t undone)
{
	int error = EINPROGRESS;

	lock_acquire(&vm->vm_lock);
	if (vr->vr_state == VR_QUEUED &&
	    attempt_locked(vm, vr, &undone) == 0) {
		queue_remove(vm, vr);
		vr->vr_state = VR_DONE;
		error = 0;
	}
	lock_release(&vm->vm_lock);
	if (error == 0)
		waiters_count(vm, -1);
	else if (undone != 0)
		wait_serve(vm);
	return (error);
}

int
vmem_submit(vmem_t *vm, struct vmem_request *vr)
{
	uint64_t undone = 0;
	struct fit ft;
	int error;

	if (vr->vr_count == 0)
		return (EINVAL);
	ft = request_fit(vm, vr, &error);
	if (error == 0)
		error = request_try(vm, vr, &undone);
	if (error != ENOMEM)
		return (error);
	lock_acquire(&vm->vm_lock);
	if (hopeless(vm, &ft, vr->vr_count)) {
		vm->vm_fails++;
		lock_release(&vm->vm_lock);
		if (undone != 0)
			wait_serve(vm);
		return (ENOMEM);
	}
	queue_append(vm, vr);
	lock_release(&vm->vm_lock);
	waiters_count(vm, 1);
	return (attempt_queued(vm, vr, undone));
}

int
vmem_cancel(vmem_t *vm, struct vmem_request *vr)
{
	int error = EBUSY;

	while (error == EBUSY) {
		lock_acquire(&vm->vm_lock);
		if (vr->vr_state == VR_QUEUED) {
			queue_remove(vm, vr);
			vr->vr_state = VR_IDLE;
			error = 0;
		} else if (vr->vr_state != VR_SERVING)
			error = ENOENT;
		lock_release(&vm->vm_lock);
		if (error == EBUSY)
			(void)sched_yield(); /* an attempt is under way */
	}
	if (error == 0)
		waiters_count(vm, -1);
	return (error);
}

/* ---- sleeping threads --------------------------------------------------- */

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
	(void)syscall(SYS_futex, &sl->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL,
	    0);
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

/* Until it is granted (0) or the deadline has passed (ETIMEDOUT). */
static int
sleeper_wait(struct vmem *vm, struct sleeper *sl,
    const struct timespec *deadline)
{
	bool foreign = (vm->vm_import != NULL || vm->vm_import_exact != NULL) &&
	    vm->vm_import_exact != vmem_alloc_import;
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
