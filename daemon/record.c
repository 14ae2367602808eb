/*
 * record.c - see record.h.
 *
 * An arena's recorder stays with it until the arena ends, stopped or not:
 * whoever has just read the pointer may use it without a reference.  Another
 * record_start() puts it to work again.  Its lanes stay with it as well, and go
 * from threads that have ended to such as come.
 */
#include "config.h"

#include "daemon/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/arena.h"
#include "daemon/tape.h"
#include "daemon/thread.h"
#include "util/futex.h"

/* Between rounds: as long as little comes, longer each time. */
#define PAUSE_MIN_NS 50000
#define PAUSE_MAX_NS 20000000
#define LITTLE (LANE_WORDS / 8)
#define GIVE_BACK 1024u		/* words taken, before the thread is told */
#define EXPECT (4 * (3 + 2) + 1u)	/* words: 4 pairs of events */
/* Times are counted from before anybody can read one. */
#define BASE_TICKS (UINT64_C(1) << 32)

enum state { STOPPED, RUNNING, STOPPING };

/* [R] rc_lock */
struct recorder {
	struct lock rc_lock;
	enum state rc_state;		/* [R] */
	_Atomic unsigned int rc_running;	/* threads may tell */
	_Atomic(struct lane *) rc_lanes;
	uint64_t rc_serial;		/* [I] no other has had it */
	uint64_t rc_base;		/* [I] of times */
	_Atomic int rc_error;		/* a lane couldn't be had */
	_Atomic uint32_t rc_bell;	/* futex: changes when one is half full */
	pthread_t rc_thread;
	struct tape rc_tape;		/* the thread's, while it runs */
};

/* The lane that this thread used last, and whose it is: by the serial, since
 * another recorder may come to be where one was. */
static __thread struct {
	const struct recorder *me_recorder;
	uint64_t me_serial;
	struct lane *me_lane;
} mine;

/* ---- threads that tell --------------------------------------------------- */

static struct lane *
lane_new(struct recorder *rc)
{
	struct lane *ln = aligned_alloc(_Alignof(struct lane), sizeof(*ln));

	if (ln == NULL)
		return (NULL);
	memset(ln, 0, offsetof(struct lane, ln_words));
	ln->ln_recorder = rc;
	ln->ln_base = rc->rc_base;
	return (ln);
}

/* The thread's own, one that has none, or a new one; NULL: no memory. */
static struct lane *
take_lane(struct recorder *rc)
{
	struct lane *lanes, *ln;

	lock_acquire(&rc->rc_lock);
	lanes = atomic_load_explicit(&rc->rc_lanes, memory_order_relaxed);
	for (ln = lanes; ln != NULL && ln->ln_owner != &mine;)
		ln = ln->ln_next;
	if (ln == NULL)
		for (ln = lanes; ln != NULL && ln->ln_owner != NULL;)
			ln = ln->ln_next;
	if (ln == NULL && (ln = lane_new(rc)) != NULL) {
		ln->ln_next = lanes;
		/* Release: partner lane_horizon(). */
		atomic_store_explicit(
		    &rc->rc_lanes, ln, memory_order_release);
	}
	if (ln != NULL)
		ln->ln_owner = &mine;
	lock_release(&rc->rc_lock);
	return (ln);
}

static struct lane *
lane_of(struct recorder *rc)
{
	struct lane *ln = mine.me_lane;

	if (mine.me_recorder == rc && mine.me_serial == rc->rc_serial)
		return (ln);
	ln = take_lane(rc);
	if (ln == NULL) {
		atomic_store_explicit(
		    &rc->rc_error, ENOMEM, memory_order_relaxed);
		return (NULL);
	}
	mine.me_recorder = rc;
	mine.me_serial = rc->rc_serial;
	mine.me_lane = ln;
	return (ln);
}

struct lane *
record_enter(struct arena *ar)
{
	/* Acquire: its members are there, see record_start(). */
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire);
	struct lane *ln;

	if (rc == NULL ||
	    !atomic_load_explicit(&rc->rc_running, memory_order_relaxed) ||
	    (ln = lane_of(rc)) == NULL)
		return (NULL);
	lane_open(ln);
	/* Again, now that it would be waited for: partner record_stop(). */
	if (atomic_load_explicit(&rc->rc_running, memory_order_acquire))
		return (ln);
	lane_close(ln);
	return (NULL);
}

void
record_leave(struct lane *ln)
{
	lane_close(ln);
}

void
record_retire(struct arena *ar)
{
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire);

	if (rc == NULL)
		return;
	lock_acquire(&rc->rc_lock);
	for (struct lane *ln = atomic_load_explicit(
		 &rc->rc_lanes, memory_order_relaxed); ln != NULL;
	     ln = ln->ln_next)
		if (ln->ln_owner == &mine)
			ln->ln_owner = NULL;
	lock_release(&rc->rc_lock);
	mine.me_recorder = NULL;
}

static void
tell(struct arena *ar, enum lane_event event, vmem_size_t align,
    const uint64_t *words, unsigned int count)
{
	struct lane *ln = record_enter(ar);

	if (ln == NULL)
		return;
	/* A range may have come from another thread, which has told of it. */
	lane_put(ln, event, ticks_after(), align, words, count);
	lane_close(ln);
}

void
record_alloc(
    struct arena *ar, vmem_addr_t addr, vmem_size_t size, vmem_size_t align)
{
	const uint64_t words[] = { addr, size };

	tell(ar, LANE_ALLOC, align, words, 2);
}

void
record_free(struct arena *ar, vmem_addr_t addr)
{
	tell(ar, LANE_FREE, 0, &addr, 1);
}

uint64_t
record_cut(struct arena *ar, vmem_addr_t addr)
{
	static _Atomic uint64_t numbers;
	const uint64_t words[] = { addr, atomic_fetch_add_explicit(&numbers, 1,
	    memory_order_relaxed) + 1 };

	if (!record_wanted(ar))
		return (0);
	tell(ar, LANE_CUT, 0, words, 2);
	return (words[1]);
}

void
record_part(struct arena *ar, uint64_t number, vmem_size_t offset,
    vmem_size_t size)
{
	const uint64_t words[] = { number, offset, size };

	tell(ar, LANE_PART, 0, words, 3);
}

void
record_last(struct arena *ar, uint64_t number)
{
	tell(ar, LANE_FREE_PIECE, 0, &number, 1);
}

void
record_ring(struct recorder *rc)
{
	(void)atomic_fetch_add_explicit(
	    &rc->rc_bell, 1, memory_order_relaxed);
	futex_wake(&rc->rc_bell, 1);
}

/* ---- the thread that writes ---------------------------------------------- */

static inline uint64_t
word_at(const struct lane *ln, uint64_t at)
{
	return (ln->ln_words[at % LANE_WORDS]);
}

/* Time of its next event; UINT64_MAX: none in this round. */
static inline uint64_t
next_time(const struct lane *ln, uint64_t head, uint64_t horizon)
{
	uint64_t time;

	if (head == ln->ln_seen)
		return (UINT64_MAX);
	time = word_at(ln, head) >> LANE_TICKS_SHIFT;
	return (time <= horizon ? time : UINT64_MAX);
}

static const unsigned char event_words[] = { [LANE_ALLOC] = 3,
	[LANE_FREE] = 2, [LANE_CUT] = 3, [LANE_PART] = 4,
	[LANE_FREE_PIECE] = 2 };

/* The event at `head`; returns where the next is. */
static inline uint64_t
take_event(struct tape *tp, const struct lane *ln, uint64_t head)
{
	uint64_t words[LANE_EVENT_WORDS];
	unsigned int n =
	    event_words[word_at(ln, head) & LANE_EVENT_MASK];

	for (unsigned int i = 0; i < n; i++)
		words[i] = word_at(ln, head + i);
	tape_put(tp, words);
	/* What comes some events later is looked up then: most likely that
	 * word is its key, and if not, to fetch it does no harm. */
	if (head + EXPECT < ln->ln_seen)
		tape_expect(tp, word_at(ln, head + EXPECT));
	return (head + n);
}

/* All of its events up to `until`; how many words. */
static uint64_t
take_run(struct tape *tp, struct lane *ln, uint64_t until)
{
	uint64_t from =
	    atomic_load_explicit(&ln->ln_head, memory_order_relaxed);
	uint64_t head = from, told = from;

	while (next_time(ln, head, until) != UINT64_MAX) {
		head = take_event(tp, ln, head);
		if (head - told < GIVE_BACK)
			continue;
		/* Release: partner lane_wait(). */
		atomic_store_explicit(
		    &ln->ln_head, head, memory_order_release);
		told = head;
	}
	atomic_store_explicit(&ln->ln_head, head, memory_order_release);
	return (head - from);
}

/*
 * Merge: of the lane whose next event is the earliest, all that come before
 * any other's.
 */
static uint64_t
merge(struct recorder *rc, uint64_t horizon)
{
	uint64_t taken = 0;

	for (;;) {
		uint64_t first = UINT64_MAX, second = horizon;
		struct lane *from = NULL;

		/* Acquire: as in lane_horizon().  One that has come since
		 * then has nothing of this round. */
		for (struct lane *ln = atomic_load_explicit(
			 &rc->rc_lanes, memory_order_acquire); ln != NULL;
		     ln = ln->ln_next) {
			uint64_t time = next_time(ln, atomic_load_explicit(
			    &ln->ln_head, memory_order_relaxed), horizon);

			if (time < first) {
				second = first < second ? first : second;
				first = time;
				from = ln;
			} else if (time < second)
				second = time;
		}
		if (from == NULL)
			return (taken);
		taken += take_run(&rc->rc_tape, from, second);
	}
}

static void *
writer_main(void *arg)
{
	struct recorder *rc = arg;
	struct timespec pause = { 0, PAUSE_MIN_NS };
	uint64_t taken = 0;
	bool closed = false, last = false;

	(void)pthread_setname_np(pthread_self(), "vmemd-record");
	while (!last) {
		uint32_t bell = atomic_load_explicit(
		    &rc->rc_bell, memory_order_relaxed);
		/* Partner: record_stop().  Nobody opens a lane any more, and
		 * what is on those that are closed is all. */
		bool ending = !atomic_load_explicit(
		    &rc->rc_running, memory_order_acquire);
		uint64_t horizon =
		    lane_horizon(&rc->rc_lanes, rc->rc_base, &closed);

		taken = merge(rc, horizon);
		last = ending && closed;
		if (taken >= LITTLE)
			pause.tv_nsec = PAUSE_MIN_NS;
		else if (pause.tv_nsec < PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
		if (!last && !ending)
			futex_wait(&rc->rc_bell, bell, &pause);
	}
	return (NULL);
}

/* ---- start and stop ----------------------------------------------------- */

static struct recorder *
recorder_new(void)
{
	static _Atomic uint64_t serials;
	struct recorder *rc = calloc(1, sizeof(*rc));

	if (rc == NULL)
		return (NULL);
	lane_setup();
	rc->rc_base = ticks_now() - BASE_TICKS;
	rc->rc_serial = atomic_fetch_add_explicit(
	    &serials, 1, memory_order_relaxed) + 1;
	lock_init(&rc->rc_lock, "recorder", LOCK_LEAF);
	return (rc);
}

void
record_delete(struct recorder *rc)
{
	struct lane *ln, *next;

	if (rc == NULL)
		return;
	for (ln = atomic_load(&rc->rc_lanes); ln != NULL; ln = next) {
		next = ln->ln_next;
		free(ln);
	}
	lock_fini(&rc->rc_lock);
	free(rc);
}

static int
check_file(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* A pipe or a terminal could hold us up for ever. */
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return (EINVAL);
	return (0);
}

/* From STOPPED; the state is STOPPING meanwhile. */
static int
begin(struct recorder *rc, const struct arena *ar, int fd)
{
	char header[512];
	int error;

	(void)snprintf(header, sizeof(header), "# vmem-trace 1\n# name: %s\n"
	    "# program: vmemd, arena %s\n# kind: range\n# unit: bytes\n"
	    "# quantum: %llu\n", ar->ar_name, ar->ar_name,
	    (unsigned long long)ar->ar_quantum);
	error = tape_init(&rc->rc_tape, fd, header);
	if (error != 0)
		return (error);
	atomic_store_explicit(&rc->rc_error, 0, memory_order_relaxed);
	/* Release: before the thread looks at it. */
	atomic_store_explicit(&rc->rc_running, 1, memory_order_release);
	error = thread_start(&rc->rc_thread, writer_main, rc);
	if (error != 0)
		atomic_store_explicit(
		    &rc->rc_running, 0, memory_order_release);
	return (error);
}

/* From one state to another by way of STOPPING, which nobody disturbs. */
static bool
change_state(struct recorder *rc, enum state from, enum state to)
{
	bool changed;

	lock_acquire(&rc->rc_lock);
	changed = rc->rc_state == from;
	if (changed)
		rc->rc_state = to;
	lock_release(&rc->rc_lock);
	return (changed);
}

int
record_start(struct arena *ar, int fd)
{
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire), *none = NULL;
	int error = check_file(fd);

	if (error != 0)
		return (error);
	if (rc == NULL) {
		rc = recorder_new();
		if (rc == NULL)
			return (ENOMEM);
		/* Release: with the pointer come its members. */
		if (!atomic_compare_exchange_strong_explicit(&ar->ar_recorder,
			&none, rc, memory_order_acq_rel,
			memory_order_acquire)) {
			record_delete(rc);
			rc = none;
		}
	}
	if (!change_state(rc, STOPPED, STOPPING))
		return (EBUSY);
	error = begin(rc, ar, fd);
	(void)change_state(rc, STOPPING, error == 0 ? RUNNING : STOPPED);
	return (error);
}

int
record_stop(struct arena *ar, uint64_t *opsp)
{
	struct recorder *rc = atomic_load_explicit(
	    &ar->ar_recorder, memory_order_acquire);
	int error, lost, closed;

	if (rc == NULL || !change_state(rc, RUNNING, STOPPING))
		return (ENOENT);
	/* Who doesn't see this has opened its lane, and is waited for. */
	atomic_store_explicit(&rc->rc_running, 0, memory_order_release);
	record_ring(rc);
	(void)pthread_join(rc->rc_thread, NULL);
	*opsp = rc->rc_tape.tp_ops;
	error = tape_fini(&rc->rc_tape);
	lost = atomic_load_explicit(&rc->rc_error, memory_order_relaxed);
	closed = close(rc->rc_tape.tp_fd) != 0 ? errno : 0;
	(void)change_state(rc, STOPPING, STOPPED);
	return (error != 0 ? error : lost != 0 ? lost : closed);
}
