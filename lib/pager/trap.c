/*
 * trap.c - from a signal of the CPU to the fault path, and back.
 *
 * 1. The handler.  SIGBUS (uffd) or SIGSEGV (sigsegv) says at which address the
 * thread faulted; a table says whose that is.  The fault is served right here,
 * on the thread's stack or on its alternate one, and the instruction repeated
 * on return.  Only what is async-signal-safe is called: that there may be
 * anything at all, locks and waiting included, is because the signal comes
 * from an instruction of the interrupted thread that reached for pageable
 * memory, which nobody does who holds a lock of the pager's or changes
 * anything of its.
 *
 * An address that isn't a map's, and a signal that was sent, go to the handler
 * that was there before; if there was none, the signal gets its default back,
 * and kills.
 *
 * 2. Recovery points.  A fault that can't be served ends the function that was
 * given to vmpager_guard() in this thread, with its errno.  Without one it is
 * as fatal as the kernel's own SIGBUS for a page that it can't read.
 *
 * 3. The table.  An entry is written under a lock, rarely, and read by handlers
 * at any time: a sequence number, odd while it changes, tells those that read a
 * mixture.  The map of the last fault in this thread is tried first.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

/* ---- the table ------------------------------------------------------------*/

struct trap_entry {
	_Atomic uint32_t te_seq;	/* odd: it changes */
	_Atomic(struct vmpager_map *) te_map;	/* NULL: none */
	_Atomic uint64_t te_base, te_size;
};

static struct trap_entry trap_table[MAPS_MAX];
static _Atomic uint32_t trap_high;	/* entries that were ever used */
static pthread_mutex_t trap_lock = PTHREAD_MUTEX_INITIALIZER;

static void
trap_set(struct trap_entry *te, struct vmpager_map *mp)
{
	/* Release fences on both sides: who sees an even number that hasn't
	 * changed has read what belongs to it. */
	(void)atomic_fetch_add(&te->te_seq, 1);
	atomic_store(&te->te_map, mp);
	atomic_store(&te->te_base, mp != NULL ? mp->mp_base : 0);
	atomic_store(
	    &te->te_size, mp != NULL ? mp->mp_pages << PAGE_SHIFT : 0);
	(void)atomic_fetch_add(&te->te_seq, 1);
}

int
trap_add(struct vmpager_map *mp)
{
	uint32_t i = 0;

	(void)pthread_mutex_lock(&trap_lock);
	while (i < MAPS_MAX && atomic_load(&trap_table[i].te_map) != NULL)
		i++;
	if (i < MAPS_MAX) {
		mp->mp_trap = i;
		trap_set(&trap_table[i], mp);
		if (i >= atomic_load(&trap_high))
			atomic_store(&trap_high, i + 1);
	}
	(void)pthread_mutex_unlock(&trap_lock);
	return (i < MAPS_MAX ? 0 : ENOMEM);
}

void
trap_remove(struct vmpager_map *mp)
{
	(void)pthread_mutex_lock(&trap_lock);
	if (atomic_load(&trap_table[mp->mp_trap].te_map) == mp)
		trap_set(&trap_table[mp->mp_trap], NULL);
	(void)pthread_mutex_unlock(&trap_lock);
}

/* The map that entry i says has the address, or NULL. */
static struct vmpager_map *
trap_try(uint32_t i, uint64_t addr)
{
	struct trap_entry *te = &trap_table[i];
	struct vmpager_map *mp;
	uint32_t seq;
	bool inside;

	do {
		seq = atomic_load(&te->te_seq);
		mp = atomic_load(&te->te_map);
		inside = addr - atomic_load(&te->te_base) <
		    atomic_load(&te->te_size);
	} while ((seq & 1) != 0 || seq != atomic_load(&te->te_seq));
	return (inside ? mp : NULL);
}

static __thread __attribute__((tls_model("initial-exec"))) uint32_t trap_last;

struct vmpager_map *
trap_find(uint64_t addr)
{
	struct vmpager_map *mp = trap_try(trap_last, addr);
	uint32_t high = atomic_load(&trap_high);

	for (uint32_t i = 0; mp == NULL && i < high; i++) {
		mp = trap_try(i, addr);
		if (mp != NULL)
			trap_last = i;
	}
	return (mp);
}

/* ---- recovery points ------------------------------------------------------*/

struct guard {
	sigjmp_buf gu_jump;
	struct guard *gu_outer;
	volatile int gu_error;
};

static __thread __attribute__((tls_model("initial-exec"))) struct guard *
    trap_guard;

int
vmpager_guard(int (*fn)(void *arg), void *arg)
{
	struct guard gu;
	int error;

	gu.gu_outer = trap_guard;
	gu.gu_error = 0;
	/* The mask isn't saved, which would be a system call each time: the
	 * handler puts it right before it jumps. */
	if (sigsetjmp(gu.gu_jump, 0) == 0) {
		trap_guard = &gu;
		error = fn(arg);
	} else
		error = gu.gu_error;
	trap_guard = gu.gu_outer;
	return (error);
}

/* ---- the handler ----------------------------------------------------------*/

static struct sigaction trap_before[2];	/* SIGBUS's, SIGSEGV's */

static struct sigaction *
before(int signal)
{
	return (&trap_before[signal == SIGSEGV]);
}

/* The instruction faults again, or the signal is sent again, and finds no
 * handler. */
static void
trap_default(int signal, const siginfo_t *si)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = SIG_DFL;
	(void)sigaction(signal, &sa, NULL);
	if (si->si_code <= 0)
		(void)raise(signal);
}

/* Which signal this thread has passed on: the kernel's frame and ours.  A
 * handler may never return from it, and jump away instead, so what is here may
 * be outdated: the same signal comes back only from deeper in the stack, while
 * another one that happens to lie in the same place finds us just as deep. */
struct passed {
	const void *pa_context;
	const char *pa_frame;
};
static __thread __attribute__((tls_model("initial-exec"))) struct passed passed;

/* Not ours: as if we weren't there.  A handler that passes it back to us, since
 * each was installed after the other once, has no answer either. */
static __attribute__((noinline)) void
trap_pass(int signal, siginfo_t *si, void *context)
{
	const struct sigaction *sa = before(signal);
	const char *frame = __builtin_frame_address(0);
	bool back = context == passed.pa_context && frame < passed.pa_frame;

	if (back || ((sa->sa_flags & SA_SIGINFO) == 0 &&
	    (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN))) {
		trap_default(signal, si);
		return;
	}
	passed = (struct passed){ context, frame };
	if ((sa->sa_flags & SA_SIGINFO) != 0)
		sa->sa_sigaction(signal, si, context);
	else
		sa->sa_handler(signal);
	passed = (struct passed){ NULL, NULL };
}

/* Did the instruction write?  Where it can't be told, it is taken for a read
 * first, and for a write if the page is there already. */
static bool
trap_writes(const void *context, const struct vmpager_map *mp, uint64_t addr)
{
#if defined(__x86_64__)
	const ucontext_t *uc = context;

	(void)mp;
	(void)addr;
	return ((uc->uc_mcontext.gregs[REG_ERR] & 2) != 0);
#else
	uint64_t page = (addr - mp->mp_base) >> PAGE_SHIFT;

	(void)context;
	return (pte_state(atomic_load(&mp->mp_ptes[page])) == PTE_RESIDENT);
#endif
}

/* Is it the machine that can't read the page, rather than us? */
static bool
trap_is_hardware(int signal, const siginfo_t *si, const struct vmpager_map *mp)
{
	return (signal == SIGBUS && si->si_code == BUS_MCEERR_AR &&
	    mp->mp_pager->pg_mode != &mode_uffd_thread);
}

static void
trap_handler(int signal, siginfo_t *si, void *context)
{
	int saved = errno, error;
	uint64_t addr = (uint64_t)(uintptr_t)si->si_addr;
	struct vmpager_map *mp = si->si_code > 0 ? trap_find(addr) : NULL;
	sigset_t mask;

	if (mp == NULL || trap_is_hardware(signal, si, mp)) {
		trap_pass(signal, si, context);
		errno = saved;
		return;
	}
	error = fault_trap(mp, addr, trap_writes(context, mp, addr));
	errno = saved;
	if (error == 0)
		return;
	if (trap_guard == NULL) {
		trap_pass(signal, si, context);
		return;
	}
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, signal);
	(void)pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	trap_guard->gu_error = error;
	siglongjmp(trap_guard->gu_jump, 1);
}

int
trap_install(int signal)
{
	struct sigaction sa, now;
	int error = 0;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = trap_handler;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	(void)sigemptyset(&sa.sa_mask);
	(void)pthread_mutex_lock(&trap_lock);
	if (sigaction(signal, NULL, &now) != 0)
		error = errno;
	else if ((now.sa_flags & SA_SIGINFO) == 0 ||
	    now.sa_sigaction != trap_handler) {
		/* Before, for a signal that comes at once. */
		*before(signal) = now;
		if (sigaction(signal, &sa, NULL) != 0)
			error = errno;
	}
	(void)pthread_mutex_unlock(&trap_lock);
	return (error);
}
