/*
 * frame.c - the bounded pool of frames: taking one, giving it back.
 *
 * Free frames form a stack: the last one freed is the one still in the caches.
 *
 * Taking a frame is two steps, each a compare-and-swap and no lock: first a
 * unit is taken from the count fp_free, if that leaves what the caller must
 * leave; then a frame is popped.  Giving one back goes the other way round,
 * so that the stack is never shorter than the count says, and a pop that has
 * its unit always finds a frame.  The stack's head carries a tag that grows
 * with every change: a pop that read the head's successor, and slept while
 * the head was popped and pushed again, must not succeed.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include "util/clock.h"
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

static uint32_t
frame_pop(struct frame_pool *fp)
{
	uint64_t head;
	uint32_t frame, next;

	head = atomic_load_explicit(&fp->fp_head, memory_order_acquire);
	do {
		frame = (uint32_t)head;
		ASSERT(frame != NO_FRAME);
		next = atomic_load_explicit(
		    &fp->fp_frames[frame].fr_next, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&fp->fp_head, &head,
	    head_make(next, head), memory_order_acquire, memory_order_acquire));
	return (frame);
}

uint32_t
frame_get(struct frame_pool *fp, uint32_t keep)
{
	uint32_t count =
	    atomic_load_explicit(&fp->fp_free, memory_order_relaxed);
	uint32_t frame;

	do {
		if (count <= keep)
			return (NO_FRAME);
		/* Acquire: the pushes that were counted, see frame_put(). */
	} while (!atomic_compare_exchange_weak_explicit(&fp->fp_free, &count,
	    count - 1, memory_order_acquire, memory_order_relaxed));
	frame = frame_pop(fp);
	ASSERT(atomic_load_explicit(&fp->fp_frames[frame].fr_owner,
		   memory_order_relaxed) == OWNER_FREE);
	atomic_store_explicit(&fp->fp_frames[frame].fr_owner, OWNER_HAND,
	    memory_order_relaxed);
	return (frame);
}

void
frame_put(struct frame_pool *fp, uint32_t frame)
{
	struct frame *fr = &fp->fp_frames[frame];
	uint64_t head;

	atomic_store_explicit(&fr->fr_slot, NO_SLOT, memory_order_relaxed);
	atomic_store_explicit(&fr->fr_owner, OWNER_FREE, memory_order_relaxed);
	head = atomic_load_explicit(&fp->fp_head, memory_order_relaxed);
	do {
		atomic_store_explicit(
		    &fr->fr_next, (uint32_t)head, memory_order_relaxed);
		/* Release: the link, and what was done to the frame. */
	} while (!atomic_compare_exchange_weak_explicit(&fp->fp_head, &head,
	    head_make(frame, head), memory_order_release,
	    memory_order_relaxed));
	/* Sequentially consistent with frame_wait(): either the sleeper sees
	 * the frame, or we see the sleeper. */
	(void)atomic_fetch_add(&fp->fp_free, 1);
	if (atomic_load(&fp->fp_sleepers) != 0) {
		(void)atomic_fetch_add(&fp->fp_event, 1);
		futex_wake(&fp->fp_event, 1);
	}
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
