/*
 * frame.c - the bounded pool of frames: taking one, giving it back.
 *
 * Free frames form a stack: the last one freed is the one still in the caches.
 *
 * Taking frames is two steps, each a compare-and-swap and no lock: first their
 * number is taken from the count fp_free, if that leaves what the caller must
 * leave; then they are popped, one or many at once.  Giving back goes the other
 * way round, so that the stack is never shorter than the count says, and a pop
 * that has its units always finds its frames.  The stack's head carries a tag
 * that grows with every change: a pop that read the head's successors, and
 * slept while the head was popped and pushed again, must not succeed.
 *
 * In front of the stack each CPU has a magazine, in pools that are large enough
 * to spare what lies in there.  Magazines are filled while there is plenty on
 * the stack, by halves; once there isn't, what is freed goes to the stack, and
 * who finds that empty has all magazines emptied first.  So they change who gets
 * a frame, but not whether there is one.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <sched.h>

#include "util/clock.h"
#include "util/fault.h"
#include "util/futex.h"

/*
 * How long an access waits for a frame when all of them are in use for the
 * moment.  Pins last for a callback's run, claims for one page's I/O: what
 * takes this long isn't going to end, even if the claimant has twenty threads
 * before it on its CPU.
 */
#define FRAME_WAIT_NS UINT64_C(2000000000)

/* But it has tried this many times, even if the machine is so busy that the
 * time is gone before. */
#define FRAME_NAPS_MIN 1000u

/* And how long it sleeps at a time: an unpinned frame wakes nobody, so that
 * a hit costs no more than its two atomic operations. */
#define FRAME_NAP_NS 100000

static uint64_t
head_make(uint32_t frame, uint64_t old)
{
	return (((old >> 32) + 1) << 32 | frame);
}

/* Pop n frames, whose units the caller has; one by one or all at once, it is a
 * single change of the head. */
static void
frame_pop(struct frame_pool *fp, uint32_t *frames, uint32_t n)
{
	uint64_t head;
	uint32_t next, i;

	head = atomic_load_explicit(&fp->fp_head, memory_order_acquire);
	for (;;) {
		next = (uint32_t)head;
		for (i = 0; i < n && next != NO_FRAME; i++) {
			frames[i] = next;
			next = atomic_load_explicit(
			    &fp->fp_frames[next].fr_next, memory_order_relaxed);
		}
		if (i < n) {
			/* Links of frames that have been popped meanwhile. */
			head = atomic_load_explicit(
			    &fp->fp_head, memory_order_acquire);
			continue;
		}
		/* The tag vouches for all links that were followed. */
		if (atomic_compare_exchange_weak_explicit(&fp->fp_head, &head,
			head_make(next, head), memory_order_acquire,
			memory_order_acquire))
			return;
	}
}

/* Up to `want` frames off the stack, leaving at least `keep`; how many. */
static uint32_t
frame_take_list(
    struct frame_pool *fp, uint32_t keep, uint32_t *frames, uint32_t want)
{
	uint32_t count =
	    atomic_load_explicit(&fp->fp_free, memory_order_relaxed);
	uint32_t n;

	if (FAULT(FAULT_FRAME))
		return (0);
	do {
		if (count <= keep)
			return (0);
		n = count - keep < want ? count - keep : want;
		/* Acquire: the pushes that were counted, see frame_push(). */
	} while (!atomic_compare_exchange_weak_explicit(&fp->fp_free, &count,
	    count - n, memory_order_acquire, memory_order_relaxed));
	frame_pop(fp, frames, n);
	return (n);
}

static void
frame_set_owner(struct frame_pool *fp, uint32_t frame, uint64_t owner)
{
	ASSERT(owner == OWNER_FREE ||
	    atomic_load_explicit(&fp->fp_frames[frame].fr_owner,
		memory_order_relaxed) == OWNER_FREE);
	atomic_store_explicit(
	    &fp->fp_frames[frame].fr_owner, owner, memory_order_relaxed);
}

uint32_t
frame_get_many(
    struct frame_pool *fp, uint32_t keep, uint32_t *frames, uint32_t want)
{
	uint32_t n = frame_take_list(fp, keep, frames, want);

	for (uint32_t i = 0; i < n; i++)
		frame_set_owner(fp, frames[i], OWNER_HAND);
	return (n);
}

__attribute__((noinline)) uint32_t
frame_get(struct frame_pool *fp, uint32_t keep)
{
	uint32_t frame;

	return (frame_get_many(fp, keep, &frame, 1) == 1 ? frame : NO_FRAME);
}

/* On the stack, all at once: the last of them is the next to be popped. */
static void
frame_push(struct frame_pool *fp, const uint32_t *frames, uint32_t n)
{
	struct frame *fr;
	uint64_t head;

	for (uint32_t i = 1; i < n; i++)
		atomic_store_explicit(&fp->fp_frames[frames[i]].fr_next,
		    frames[i - 1], memory_order_relaxed);
	fr = &fp->fp_frames[frames[0]];
	head = atomic_load_explicit(&fp->fp_head, memory_order_relaxed);
	do {
		atomic_store_explicit(
		    &fr->fr_next, (uint32_t)head, memory_order_relaxed);
		/* Release: the links, and what was done to the frames. */
	} while (!atomic_compare_exchange_weak_explicit(&fp->fp_head, &head,
	    head_make(frames[n - 1], head), memory_order_release,
	    memory_order_relaxed));
	/* Sequentially consistent with frame_wait(): either the sleeper sees
	 * the frames, or we see the sleeper. */
	(void)atomic_fetch_add(&fp->fp_free, n);
	if (atomic_load(&fp->fp_sleepers) != 0) {
		(void)atomic_fetch_add(&fp->fp_event, 1);
		futex_wake(&fp->fp_event, (int)n);
	}
}

/* ---- magazines ------------------------------------------------------------*/

static struct magazine *
magazine_take(struct frame_pool *fp)
{
	struct magazine *mg;
	unsigned int cpu;

	if (fp->fp_magazines == 0)
		return (NULL);
	cpu = (unsigned int)sched_getcpu();
	if (__builtin_expect(cpu >= fp->fp_magazines, 0))
		cpu %= fp->fp_magazines;	/* dearer than all the rest */
	mg = &fp->fp_magazine[cpu];
	/* Acquire: what the last one did, from magazine_release(). */
	return (atomic_exchange_explicit(
		    &mg->mg_taken, true, memory_order_acquire) ? NULL : mg);
}

static void
magazine_release(struct magazine *mg, uint32_t count)
{
	atomic_store_explicit(&mg->mg_count, count, memory_order_relaxed);
	atomic_store_explicit(&mg->mg_changes,
	    atomic_load_explicit(&mg->mg_changes, memory_order_relaxed) + 1,
	    memory_order_relaxed);
	atomic_store_explicit(&mg->mg_taken, false, memory_order_release);
}

/* Is there enough on the stack for magazines to be filled, whatever is to be
 * kept there? */
static bool
frame_plenty(const struct frame_pool *fp)
{
	return (atomic_load_explicit(&fp->fp_free, memory_order_relaxed) >
	    fp->fp_reserve + 2 * fp->fp_target + MAGAZINE_FRAMES);
}

/* The magazine, which the caller has taken, is empty: a frame, and some more
 * into it if there is plenty. */
static __attribute__((noinline)) uint32_t
magazine_fill(struct frame_pool *fp, struct magazine *mg, uint32_t keep)
{
	uint32_t count = 0, frame = NO_FRAME;

	if (frame_plenty(fp))
		count = frame_take_list(
		    fp, keep, mg->mg_frame, MAGAZINE_FRAMES / 2);
	if (count != 0) {
		frame = mg->mg_frame[--count];
		frame_set_owner(fp, frame, OWNER_HAND);
	}
	magazine_release(mg, count);
	return (frame != NO_FRAME ? frame : frame_get(fp, keep));
}

/* As frame_get(), from the magazine of this CPU if there is plenty. */
static inline uint32_t
frame_take(struct frame_pool *fp, uint32_t keep)
{
	struct magazine *mg = magazine_take(fp);
	uint32_t count, frame;

	if (mg == NULL)
		return (frame_get(fp, keep));
	count = atomic_load_explicit(&mg->mg_count, memory_order_relaxed);
	if (count == 0)
		return (magazine_fill(fp, mg, keep));
	frame = mg->mg_frame[--count];
	frame_set_owner(fp, frame, OWNER_HAND);
	magazine_release(mg, count);
	return (frame);
}

void
frame_put(struct frame_pool *fp, uint32_t frame)
{
	struct magazine *mg = NULL;
	uint32_t count;

	atomic_store_explicit(
	    &fp->fp_frames[frame].fr_slot, NO_SLOT, memory_order_relaxed);
	frame_set_owner(fp, frame, OWNER_FREE);
	if (frame_plenty(fp) &&
	    atomic_load_explicit(&fp->fp_sleepers, memory_order_relaxed) == 0)
		mg = magazine_take(fp);
	if (mg == NULL) {
		frame_push(fp, &frame, 1);
		return;
	}
	count = atomic_load_explicit(&mg->mg_count, memory_order_relaxed);
	if (count == MAGAZINE_FRAMES) {
		count = MAGAZINE_FRAMES / 2;
		frame_push(fp, mg->mg_frame + count, MAGAZINE_FRAMES - count);
	}
	mg->mg_frame[count++] = frame;
	magazine_release(mg, count);
}

uint32_t
frame_cached(const struct frame_pool *fp, uint64_t *changesp)
{
	uint64_t changes = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < fp->fp_magazines; i++) {
		count += atomic_load(&fp->fp_magazine[i].mg_count);
		changes += atomic_load(&fp->fp_magazine[i].mg_changes);
	}
	if (changesp != NULL)
		*changesp = changes;
	return (count);
}

bool
frame_drain(struct frame_pool *fp)
{
	struct magazine *mg;
	bool any = false;
	uint32_t count;

	for (uint32_t i = 0; i < fp->fp_magazines; i++) {
		mg = &fp->fp_magazine[i];
		if (atomic_load_explicit(
			&mg->mg_count, memory_order_relaxed) == 0)
			continue;
		while (atomic_exchange_explicit(
		    &mg->mg_taken, true, memory_order_acquire))
			(void)sched_yield();
		count = atomic_load_explicit(
		    &mg->mg_count, memory_order_relaxed);
		if (count != 0)
			frame_push(fp, mg->mg_frame, count);
		any |= count != 0;
		magazine_release(mg, 0);
	}
	return (any);
}

uint32_t
frame_free_count(const struct frame_pool *fp)
{
	uint32_t count =
	    atomic_load_explicit(&fp->fp_free, memory_order_relaxed);

	return (count > fp->fp_reserve ? count - fp->fp_reserve : 0);
}

bool
frame_wait(struct frame_pool *fp, struct frame_wait *fw)
{
	const struct timespec nap = { .tv_sec = 0, .tv_nsec = FRAME_NAP_NS };
	uint64_t now = clock_ns();
	uint32_t event = atomic_load(&fp->fp_event);

	if (fw->fw_naps == 0)
		fw->fw_deadline = now + FRAME_WAIT_NS;
	else if (now >= fw->fw_deadline && fw->fw_naps >= FRAME_NAPS_MIN)
		return (false);
	fw->fw_naps++;
	(void)atomic_fetch_add(&fp->fp_sleepers, 1);
	if (atomic_load(&fp->fp_free) <= fp->fp_reserve)
		futex_wait(&fp->fp_event, event, &nap);
	(void)atomic_fetch_sub(&fp->fp_sleepers, 1);
	return (true);
}
