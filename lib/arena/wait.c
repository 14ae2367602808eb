/*
 * wait.c - requests that wait for space.
 *
 * 1. One object, struct vmem_request, is behind VM_SLEEP, deadlines, and hosts
 * that answer later.  Those that can't be met queue in their arena, in the
 * order in which they came (waitq.c).  Who frees space meets them itself, there
 * and then, and tells them the result: so nobody is woken to find nothing (no
 * thundering herd), and what was freed can't be snatched from who was chosen.
 *
 * 2. Order.  Serving goes along the queue, and grants what can be granted.  A
 * request that can't be met yet doesn't hold up those behind it, if they want
 * less; but the first in the queue is overtaken VMEM_OVERTAKE_MAX times at
 * most: then it alone is attempted, and nobody who comes to wait is met at
 * once, until it has its space or leaves.  Each is the first in its turn, so
 * none waits for more than that many grants a place.
 *
 * 3. What serving costs.  Most who wait can't be met by most frees.  So before
 * an attempt, which may import, empty caches and call for reclaim, room_for()
 * asks what takes no changes: is as much free at all, here and in the sources,
 * and a segment of the size?  And a plain request that failed is evidence
 * against all that want no less (as large, and as many): those aren't
 * attempted.  What is left are requests under constraints, and plain ones that
 * want fewer but larger ranges than another.
 *
 * 4. No lost wake-up.  An attempt to meet a request runs without the lock,
 * since it may import.  Space that is freed meanwhile might be just what it
 * missed; so every gain of space counts in vm_freed, of its arena and of those
 * below that have waiters, and an attempt that failed is repeated if the count
 * has moved.  A request is in the queue, and counted in vm_waiters_here of its
 * arena and of all above it, before its last attempt: a gain in any of these
 * arenas after that attempt sees the count.
 *
 * 5. In vain.  An attempt that got only some of its ranges gives them back, as
 * does one that imported for nothing.  That is a gain of its own making: it
 * doesn't count for this attempt, nor for others as a rule, or each attempt
 * would bring about the next for ever.  But others may have missed just these
 * meanwhile: who failed counts in `events', so if that moved between the
 * taking and after the giving back, all queues are gone through once more.
 *
 * 6. Serving doesn't nest.  An attempt may itself free: it empties caches, asks
 * for reclaim, and gives back what it took in vain, to the source too, in whose
 * tree it waits.  Serving right there would attempt all other requests within
 * each attempt of one, and so on: n! attempts for n requests.  So a thread
 * notes what it owes, and serves after the attempt.
 *
 * 7. Sources that aren't arenas tell nobody that they have more: then sleepers
 * try again now and then (sleep.c), and vmem_tick() does for the others.
 *
 * A request's state changes under its arena's lock.  SERVING: an attempt is
 * under way in some thread; it keeps its place in the queue.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <sched.h>

#include "qcache/qcache.h"
#include "util/fault.h"

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
	const struct vmem_request *at_request;
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

/*
 * Around giving back what was taken in vain: no gain to anybody, unless others
 * failed since `mark', before it was taken.  Asked afterwards: who fails later
 * finds what was given back.
 */
static bool
vain_begin(void)
{
	bool outer = self.returning;

	self.returning = self.attempt != NULL;
	return (outer);
}

static void
vain_end(bool outer, uint64_t mark)
{
	self.returning = outer;
	if (self.attempt != NULL && atomic_load(&events) != mark)
		self.owing = true;
}

/* Release a span that was imported in vain. */
void
wait_return(struct vmem *vm, uint64_t addr, uint64_t size, uint64_t mark)
{
	bool outer = vain_begin();

	vm->vm_release(vm->vm_source, addr, size);
	vain_end(outer, mark);
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
	return (vr->vr_cached ? qcache_for(vm, ft->ft_size) : NULL);
}

/* Give back the first `count' ranges: as if they had never been had. */
static void
request_undo(struct vmem *vm, struct qcache *qc, const struct fit *ft,
    const struct vmem_request *vr, unsigned int count, uint64_t mark)
{
	bool outer = vain_begin();

	for (unsigned int i = count; i-- > 0;) {
		if (qc != NULL)
			qcache_free_through(qc, vr->vr_addrs[i]);
		else
			arena_put_quietly(vm, vr->vr_addrs[i], ft->ft_size,
			    "vmem_submit");
	}
	lock_acquire(&vm->vm_lock);
	vm->vm_allocs -= count;
	vm->vm_frees -= count;
	lock_release(&vm->vm_lock);
	vain_end(outer, mark);
	if (self.attempt == NULL)
		self.owing = true; /* put back without serving */
}

/* All ranges of a request, or none; *undone: how many were given back. */
static int
request_try(struct vmem *vm, struct vmem_request *vr, const struct fit *ft,
    uint64_t *undone)
{
	struct qcache *qc = request_cache(vm, vr, ft);
	uint64_t mark = wait_mark();
	unsigned int n;
	int error = 0;

	for (n = 0; error == 0 && n < vr->vr_count; n++) {
		if (qc != NULL)
			error = qcache_alloc(qc, ft, &vr->vr_addrs[n]);
		else
			error = arena_get(vm, ft, &vr->vr_addrs[n]);
	}
	*undone = error != 0 && n > 1 ? n - 1 : 0;
	if (*undone != 0)
		request_undo(vm, qc, ft, vr, n - 1, mark);
	return (error);
}

/* ---- is there a chance -------------------------------------------------- */

/*
 * false: an attempt is sure to fail, for there isn't as much free, here and in
 * the sources, or no segment as large.  Caches don't enter: they are emptied
 * when somebody begins to wait, and passed by as long as somebody does.
 */
static bool
room_for(struct vmem *vm, const struct fit *ft, unsigned int count)
{
	uint64_t need = ft->ft_size * count, free = 0, more;
	bool large = false, reclaim, foreign;
	struct vmem *up = vm;

	for (;;) {
		lock_acquire(&up->vm_lock);
		more = up->vm_size - up->vm_inuse;
		reclaim = up->vm_reclaim != NULL;
		lock_release(&up->vm_lock);
		if (__builtin_add_overflow(free, more, &free))
			free = UINT64_MAX;
		large = large || vmem_size(up, VMEM_MAXFREE) >= ft->ft_size;
		foreign = up->vm_import != NULL ||
		    (up->vm_import_exact != NULL &&
			up->vm_import_exact != vmem_alloc_import);
		if (reclaim || foreign || (large && free >= need))
			return (true);
		if (up->vm_import_exact == NULL)
			return (false);
		up = up->vm_source;
	}
}

static bool
wants_plain_ranges(const struct vmem_request *vr)
{
	return (vr->vr_align == 0 && vr->vr_nocross == 0 &&
	    vr->vr_min == VMEM_ADDR_MIN && vr->vr_max == VMEM_ADDR_MAX);
}

/* Plain requests that failed in this pass. */
#define EVIDENCE_MAX 16u

struct evidence {
	uint64_t ev_size;	/* the least of which not one was to be had */
	unsigned int ev_count;
	struct {
		uint64_t size;
		unsigned int count;
	} ev_several[EVIDENCE_MAX]; /* so many of a size weren't */
};

static void
evidence_add(struct evidence *ev, const struct vmem_request *vr)
{
	if (!wants_plain_ranges(vr))
		return;
	if (vr->vr_count == 1)
		ev->ev_size = vr->vr_size;
	else if (ev->ev_count < EVIDENCE_MAX) {
		ev->ev_several[ev->ev_count].size = vr->vr_size;
		ev->ev_several[ev->ev_count++].count = vr->vr_count;
	}
}

static bool
evidence_against(const struct evidence *ev, const struct vmem_request *vr)
{
	for (unsigned int i = 0; i < ev->ev_count; i++)
		if (vr->vr_size >= ev->ev_several[i].size &&
		    vr->vr_count >= ev->ev_several[i].count)
			return (true);
	return (false);
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
	return (need > vm->vm_size || ft->ft_size > span_largest(vm));
}

/* Is it the first one's turn, and nobody else's?  With vm_lock held. */
static bool
first_only(const struct vmem *vm)
{
	return (vm->vm_waiting != 0 && vm->vm_overtaken >= VMEM_OVERTAKE_MAX);
}

/* The next to be attempted after `ticket', or NULL. */
static struct vmem_request *
queue_next(const struct vmem *vm, uint64_t ticket, const struct evidence *ev)
{
	struct vmem_request *vr;

	if (first_only(vm)) {
		vr = waitq_first(vm);
		return (vr->vr_ticket > ticket && vr->vr_state == VR_QUEUED ?
			vr :
			NULL);
	}
	do {
		vr = waitq_next(vm, ticket, ev->ev_size);
		if (vr != NULL)
			ticket = vr->vr_ticket;
	} while (vr != NULL && evidence_against(ev, vr));
	return (vr);
}

/*
 * Attempt until it is met, or nothing was gained by others during the attempt.
 * With vm_lock held, which is dropped meanwhile.  A search may look at too few
 * to find what there is: who waits would wait for ever, so this looks at all.
 */
static int
attempt_locked(struct vmem *vm, struct vmem_request *vr, uint64_t *undonep)
    REQUIRES(vm->vm_lock)
{
	struct attempt at = { .at_vm = vm, .at_request = vr,
		.at_outer = self.attempt };
	uint64_t freed, undone;
	int error;
	struct fit ft = request_fit(vm, vr, &error);

	ft.ft_all = true;
	if (!ft.ft_plain && ft.ft_policy == VM_INSTANTFIT)
		ft.ft_policy = VM_BESTFIT;
	vr->vr_state = VR_SERVING;
	waitq_serving(vr, true);
	self.attempt = &at;
	do {
		freed = vm->vm_freed;
		at.at_own = undone = 0;
		lock_release(&vm->vm_lock);
		error = room_for(vm, &ft, vr->vr_count) ?
		    request_try(vm, vr, &ft, &undone) :
		    ENOMEM;
		lock_acquire(&vm->vm_lock);
		undone += at.at_own;
		*undonep += undone;
	} while (error != 0 && vm->vm_freed - freed != undone);
	self.attempt = at.at_outer;
	vr->vr_state = VR_QUEUED;
	waitq_serving(vr, false);
	if (error != 0)
		atomic_fetch_add(&events, 1);
	else if (at.at_surplus)
		self.owing = true;
	return (error);
}

/* It has been met: it leaves the queue.  With vm_lock held. */
static void
grant_locked(struct vmem *vm, struct vmem_request *vr)
{
	if (vr != waitq_first(vm))
		vm->vm_overtaken++;
	waitq_remove(vm, vr);
	vr->vr_state = VR_DONE;
}

/*
 * Once along the queue of the arena that is visited; with vm_lock held, which
 * is dropped meanwhile.  *undone: how many gains were the attempts' own making.
 * false: vr_done has destroyed the arena, and so its lock.
 */
static bool
serve_pass(struct vmem *vm, const struct visit *v, uint64_t *undone)
    NO_THREAD_SAFETY_ANALYSIS
{
	struct evidence ev = { .ev_size = UINT64_MAX };
	uint64_t ticket = 0;
	struct vmem_request *vr;

	*undone = 0;

	while ((vr = queue_next(vm, ticket, &ev)) != NULL) {
		ticket = vr->vr_ticket;
		if (attempt_locked(vm, vr, undone) != 0) {
			evidence_add(&ev, vr);
			continue;
		}
		grant_locked(vm, vr);
		lock_release(&vm->vm_lock);
		arenas_count_waiting(vm, -1);
		lock_assert_none();
		FAULT_DELAY(FAULT_WAKE);
		vr->vr_done(vr, 0);
		if (v->vs_vm == NULL)
			return (false);
		lock_acquire(&vm->vm_lock);
	}
	return (true);
}

/* Grant what can be granted, in order, where v is. */
static void
serve_queue(const struct visit *v) NO_THREAD_SAFETY_ANALYSIS
{
	struct vmem *vm = v->vs_vm;
	uint64_t freed, undone;

	lock_acquire(&vm->vm_lock);
	do {
		freed = vm->vm_freed;
		if (!serve_pass(vm, v, &undone))
			return;
	} while (undone != 0 && vm->vm_freed - freed != undone);
	lock_release(&vm->vm_lock);
}

/* Those of an arena and of all below it; NULL: of all arenas. */
static void
serve_below(const struct vmem *root)
{
	struct visit v;

	visit_start(&v, root);
	while (visit_next(&v))
		if (atomic_load(&v.vs_vm->vm_waiters_here) != 0)
			serve_queue(&v);
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
	struct visit v;

	if (serve_begin()) {
		visit_begin(&v, vm);
		serve_queue(&v);
		visit_end(&v);
		serve_end();
	}
}

/* Attempts under way below vm may have missed what was gained there.  In vm
 * itself who gained it has counted it. */
static void
gain_tell(struct vmem *vm)
{
	struct vmem *below;
	struct visit v;

	visit_start(&v, vm);
	while (visit_next(&v)) {
		below = v.vs_vm;
		if (below == vm || atomic_load(&below->vm_waiters_here) == 0)
			continue;
		lock_acquire(&below->vm_lock);
		if (self.returning)
			wait_gain_own(below);
		else
			below->vm_freed++;
		lock_release(&below->vm_lock);
	}
}

/* Space was gained in vm: serve who waits there and in what imports from it. */
void
wait_serve_tree(struct vmem *vm)
{
	if (atomic_load(&vm->vm_waiters_here) == 0)
		return;
	if (!self.returning)
		atomic_fetch_add(&events, 1);
	gain_tell(vm);
	if (!self.returning && serve_begin()) {
		serve_below(vm);
		serve_end();
	}
}

/* ---- the interface ------------------------------------------------------ */

/*
 * The attempt on arrival, before it queues: unless others wait and it is the
 * first one's turn.  Who is met here overtakes all who wait.
 */
static int
attempt_on_arrival(struct vmem *vm, struct vmem_request *vr,
    const struct fit *ft, uint64_t *undonep)
{
	bool others = atomic_load(&vm->vm_waiters_here) != 0, barred;
	int error;

	if (others) {
		lock_acquire(&vm->vm_lock);
		barred = first_only(vm);
		lock_release(&vm->vm_lock);
		if (barred)
			return (ENOMEM);
	}
	error = request_try(vm, vr, ft, undonep);
	if (others && error == 0) {
		lock_acquire(&vm->vm_lock);
		if (vm->vm_waiting != 0)
			vm->vm_overtaken++;
		lock_release(&vm->vm_lock);
	}
	return (error);
}

/* Attempt a queued request once more, now that it is seen: see the theory, 4.
 * `undone`: ranges taken and given back for it so far.  0: it was met;
 * EINPROGRESS: it waits, or somebody else met it. */
static int
attempt_queued(struct vmem *vm, struct vmem_request *vr, uint64_t undone)
{
	int error = EINPROGRESS;
	bool barred = false;

	lock_acquire(&vm->vm_lock);
	if (vr->vr_state == VR_QUEUED &&
	    (!first_only(vm) || vr == waitq_first(vm)) &&
	    attempt_locked(vm, vr, &undone) == 0) {
		barred = first_only(vm);
		grant_locked(vm, vr);
		error = 0;
	}
	lock_release(&vm->vm_lock);
	if (error == 0)
		arenas_count_waiting(vm, -1);
	if (barred || (error != 0 && undone != 0))
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

	NOFAULT_ASSERT();
	vr->vr_state = VR_IDLE;
	if (vr->vr_count == 0)
		return (EINVAL);
	ft = request_fit(vm, vr, &error);
	if (error == 0)
		error = attempt_on_arrival(vm, vr, &ft, &undone);
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
	vr->vr_state = VR_QUEUED;
	waitq_append(vm, vr);
	vm->vm_waits++;
	lock_release(&vm->vm_lock);
	arenas_count_waiting(vm, 1);
	tree_reap(vm);
	return (attempt_queued(vm, vr, undone));
}

/* In the child of a fork: those who waited aren't there any more.  fork.c */
void
wait_forget(struct vmem *vm)
{
	struct vmem_request *vr;

	while ((vr = waitq_first(vm)) != NULL) {
		waitq_remove(vm, vr);
		vr->vr_state = VR_IDLE;
	}
}

/* Is this thread in a callback that an attempt of this request called? */
static bool
attempting(const struct vmem_request *vr)
{
	const struct attempt *at = self.attempt;

	while (at != NULL && at->at_request != vr)
		at = at->at_outer;
	return (at != NULL);
}

int
vmem_cancel(vmem_t *vm, struct vmem_request *vr)
{
	bool barred = false;
	int error = EBUSY;

	if (attempting(vr))
		return (EDEADLK);
	while (error == EBUSY) {
		lock_acquire(&vm->vm_lock);
		if (vr->vr_state == VR_QUEUED) {
			barred = first_only(vm);
			waitq_remove(vm, vr);
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
	if (barred)
		wait_serve(vm); /* those that it held up */
	return (error);
}
