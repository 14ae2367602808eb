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
 * so every gain of space counts in vm_freed, of its arena and of those below
 * that have waiters, and an attempt that failed is repeated if the count has
 * moved.  A request is in the queue, and counted in
 * vm_waiters_below of its arena and of all above it, before its last attempt:
 * a gain in any of these arenas after that attempt sees the count.  A request
 * for several ranges that gets only some gives them back, which is a gain of
 * its own making: it doesn't count for its own attempt, but meanwhile others
 * may have missed just these, so the queue is gone through once more if
 * anything else was gained during the pass.
 *
 * Serving doesn't nest.  An attempt may itself free: it empties caches, asks
 * for reclaim, and gives back what it took in vain, to the source too, in whose
 * tree it waits.  Serving right there would attempt all other requests within
 * each attempt of one, and so on: n! attempts for n requests.  So a thread
 * notes what it owes, and serves after the attempt.  What was only taken in
 * vain and returned is no gain, or the next attempt would bring about the one
 * after it for ever; unless somebody else's attempt failed, or space was
 * gained, while it was out (`events' tells).
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

/* ---- what this thread is at --------------------------------------------- */

struct attempt {
	const struct vmem *at_vm;
	uint64_t at_own;	/* gains there that are its own making */
	bool at_surplus;	/* it imported more than it takes */
	struct attempt *at_outer;
};

static __thread __attribute__((tls_model("initial-exec"))) struct {
	struct attempt *attempt; /* the innermost under way, or NULL */
	bool serving;
	bool owing;		 /* to serve, as soon as it doesn't nest */
	bool returning;		 /* what was taken in vain: no gain */
} self;

/* Attempts that failed and gains told: see the theory. */
static _Atomic(uint64_t) events;

uint64_t
wait_mark(void)
{
	return (atomic_load(&events));
}

/* Is what was taken since `mark' and goes back now no gain to anybody? */
static bool
in_vain(uint64_t mark)
{
	return (self.attempt != NULL && atomic_load(&events) == mark);
}

/* Release a span that was imported in vain. */
void
wait_return(struct vmem *vm, uint64_t addr, uint64_t size, uint64_t mark)
{
	bool outer = self.returning;

	self.returning = in_vain(mark);
	vm->vm_release(vm->vm_source, addr, size);
	self.returning = outer;
}

/* Space was gained by what this thread's attempt does, if there is one: with
 * vm_lock held. */
void
wait_gain_own(struct vmem *vm)
{
	vm->vm_freed++;
	if (self.attempt != NULL && self.attempt->at_vm == vm)
		self.attempt->at_own++;
}

/* More was imported than the request takes. */
void
wait_surplus(struct vmem *vm)
{
	if (self.attempt != NULL)
		self.attempt->at_surplus = true;
	else
		wait_serve_tree(vm);
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
    struct vmem_request *vr, unsigned int count, uint64_t mark)
{
	bool outer = self.returning;

	self.returning = in_vain(mark);
	if (!self.returning)
		self.owing = true;
	while (count-- > 0) {
		if (qc != NULL)
			qcache_free_through(qc, vr->vr_addrs[count]);
		else
			arena_put_quietly(vm, vr->vr_addrs[count], ft->ft_size,
			    "vmem_submit");
	}
	self.returning = outer;
}

/* All ranges of a request, or none; *undone: how many were given back. */
static int
request_try(struct vmem *vm, struct vmem_request *vr, uint64_t *undone)
{
	int error;
	struct fit ft = request_fit(vm, vr, &error);
	struct qcache *qc = request_cache(vm, vr, &ft);
	uint64_t mark = wait_mark();
	unsigned int n;

	for (n = 0; error == 0 && n < vr->vr_count; n++) {
		if (qc != NULL)
			error = qcache_alloc(qc, &ft, &vr->vr_addrs[n]);
		else
			error = arena_get(vm, &ft, &vr->vr_addrs[n]);
	}
	*undone = error != 0 && n > 1 ? n - 1 : 0;
	if (*undone != 0)
		request_undo(vm, qc, &ft, vr, n - 1, mark);
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
	struct attempt at = { .at_vm = vm, .at_outer = self.attempt };
	uint64_t freed, undone;
	int error;

	vr->vr_state = VR_SERVING;
	self.attempt = &at;
	do {
		freed = vm->vm_freed;
		at.at_own = 0;
		lock_release(&vm->vm_lock);
		error = request_try(vm, vr, &undone);
		lock_acquire(&vm->vm_lock);
		undone += at.at_own;
		*undonep += undone;
	} while (error != 0 && vm->vm_freed - freed != undone);
	self.attempt = at.at_outer;
	vr->vr_state = VR_QUEUED;
	if (error != 0)
		atomic_fetch_add(&events, 1);
	else if (at.at_surplus)
		self.owing = true;
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
 * Returns how many gains were the attempts' own making. */
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
		arenas_count_waiting(vm, -1);
		lock_assert_none();
		vr->vr_done(vr, 0);
		lock_acquire(&vm->vm_lock);
	}
	return (undone);
}

/* Grant what can be granted, in order. */
static void
serve_queue(struct vmem *vm)
{
	uint64_t freed, undone;

	lock_acquire(&vm->vm_lock);
	do {
		freed = vm->vm_freed;
		undone = serve_pass(vm);
	} while (undone != 0 && vm->vm_freed - freed != undone);
	lock_release(&vm->vm_lock);
}

/* Those of an arena and of all below it; NULL: of all arenas. */
static void
serve_below(const struct vmem *root)
{
	struct vmem *vm;
	uint64_t id = 0;

	while ((vm = arenas_next(root, id)) != NULL) {
		id = vm->vm_id;
		if (atomic_load(&vm->vm_waiters_below) != 0)
			serve_queue(vm);
		arena_unpin(vm);
	}
}

/* false: this would nest; it will be done by what it would nest in. */
static bool
serve_begin(void)
{
	if (self.serving || self.attempt != NULL) {
		self.owing = true;
		return (false);
	}
	self.serving = true;
	return (true);
}

static void
serve_end(void)
{
	while (self.owing) {
		self.owing = false;
		serve_below(NULL);
	}
	self.serving = false;
}

void
wait_serve(struct vmem *vm)
{
	if (serve_begin()) {
		serve_queue(vm);
		serve_end();
	}
}

/* Attempts under way below vm may have missed what was gained there.  In vm
 * itself who gained it has counted it. */
static void
gain_tell(struct vmem *vm)
{
	struct vmem *below;
	uint64_t id = 0;

	while ((below = arenas_next(vm, id)) != NULL) {
		id = below->vm_id;
		if (below != vm &&
		    atomic_load(&below->vm_waiters_below) != 0) {
			lock_acquire(&below->vm_lock);
			if (self.returning)
				wait_gain_own(below);
			else
				below->vm_freed++;
			lock_release(&below->vm_lock);
		}
		arena_unpin(below);
	}
}

/* Space was gained in vm: serve who waits there and in what imports from it. */
void
wait_serve_tree(struct vmem *vm)
{
	if (atomic_load(&vm->vm_waiters_below) == 0)
		return;
	if (!self.returning)
		atomic_fetch_add(&events, 1);
	gain_tell(vm);
	if (!self.returning && serve_begin()) {
		serve_below(vm);
		serve_end();
	}
}

/* Attempt a queued request once more, now that it is seen: see the theory.
 * `undone`: ranges taken and given back for it so far.  0: it was met;
 * EINPROGRESS: it waits, or somebody else met it. */
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
		arenas_count_waiting(vm, -1);
	else if (undone != 0)
		wait_serve(vm);
	if (self.owing && serve_begin())
		serve_end();
	return (error);
}

int
vmem_submit(vmem_t *vm, struct vmem_request *vr)
{
	uint64_t undone = 0;
	struct fit ft;
	int error;

	vr->vr_state = VR_IDLE;
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
	arenas_count_waiting(vm, 1);
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
		arenas_count_waiting(vm, -1);
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
