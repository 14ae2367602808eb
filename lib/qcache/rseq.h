/*
 * rseq.h - restartable sequences: a pop, a push, and closing a slot.
 *
 * 1. The contract.  A thread tells the kernel, by a pointer in its registered
 * struct rseq, which stretch of code it is about to run: [start, post-commit).
 * If it is preempted, migrated or gets a signal inside, the kernel makes it go
 * on at the abort address instead (which must follow RSEQ_SIG, so that it can't
 * be anywhere).  So the stretch as a whole runs alone on its CPU, or its last
 * instruction, the commit, doesn't run: an atomic operation on data of this CPU
 * for the price of plain loads and stores.  glibc registers the area of each
 * thread, at __rseq_offset from the thread pointer (2.35 and later).
 *
 * 2. The index.  cpu_id says which CPU; mm_cid (Linux 6.3) is dense: two
 * threads of this process that run at the same time differ in it, and it is
 * below the number of threads and of CPUs.  Either is loaded inside the
 * sequence, so it is right until the commit.  A thread whose registration was
 * refused has a negative cpu_id; its mm_cid means nothing.
 *
 * 3. What the sequences see.  A table of one area for each index; in an area,
 * at an offset, a slot:
 *
 *	0  sl_word	bits 0-7: rounds in the loaded magazine; 8-15: room for
 *			more in it; 16-63: pops
 *	8  sl_rounds	the loaded magazine's addresses
 *
 *	pop:	load word; any rounds?  load rounds[n - 1]; commit: a round less,
 *		room for one more, a pop more
 *	push:	load word; any room?  store rounds[n]; commit: a round more,
 *		room for one less
 *
 * Either is one addition to the word.  The store of a push before its commit is
 * into a place that isn't counted, of a magazine that is this CPU's: harmless if
 * the sequence is aborted.  The count of pops rides in the same word, so that
 * counting costs nothing, and nothing is counted twice by a restart; pushes
 * follow from it (slot.c).
 *
 * 4. Closing a slot.  To do more than one store can commit, a slot is closed:
 * neither rounds nor room in its word, so everybody is refused.  Who runs on the
 * slot's index closes it by a sequence: no other thread can be inside one there
 * at that moment, and later ones see it.
 *
 * Anybody else bars all slots of an arena at once: stores the address of a table
 * of closed ones in place of the table of areas, which each sequence loads
 * anew, and has the kernel restart what runs on other CPUs, by
 * membarrier(PRIVATE_EXPEDITED_RSEQ).  A sequence that found the right table has
 * either committed before that, or is aborted by it, or began after the bar was
 * lifted, and sees all that was changed meanwhile (x86 keeps loads in order, and
 * stores).  So barring, whatever for, costs the sequences nothing.
 *
 * 5. Restarts are bounded by the caller: under a debugger that single-steps,
 * every sequence is aborted, for ever.
 *
 * 6. The pointer to the descriptor isn't cleared behind a sequence: the kernel
 * does so when it finds it outdated.  Therefore the library, which contains the
 * descriptors, must not be unloaded (-z nodelete).
 */
#ifndef QCACHE_RSEQ_H
#define QCACHE_RSEQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define RSEQ_UNSEEN 1 /* what assembly does, the thread sanitizer doesn't see */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RSEQ_UNSEEN 1
#endif
#endif

#if defined(__x86_64__) && defined(__LP64__) && defined(HAVE_SYS_RSEQ_H) && \
    !defined(RSEQ_UNSEEN)
#define HAVE_RSEQ 1
#include <sys/rseq.h>
#endif

enum rseq_result {
	RSEQ_DONE,
	RSEQ_REFUSED,	/* barred, closed, or nothing (no room) is loaded */
	RSEQ_ABORTED	/* interrupted: again */
};

/* Offsets in a slot. */
#define RSEQ_WORD 0
#define RSEQ_ROUNDS 8

/* sl_word: see 3. */
#define RSEQ_N(word) ((unsigned int)((word) & 255))
#define RSEQ_OPEN(word) (((word) & 0xffff) != 0)
#define RSEQ_POPS(word) ((word) >> 16)
#define RSEQ_MAKE(pops, n, room)                                             \
	((uint64_t)(pops) << 16 | (uint64_t)(room) << 8 | (uint64_t)(n))
#define RSEQ_POP (65536 + 256 - 1)
#define RSEQ_PUSH (1 - 256)

/* Where this thread's struct rseq is, and what in it is the index: offsets from
 * the thread pointer. */
struct rseq_place {
	intptr_t rp_cs;		/* rseq_cs; cpu_id is 4 below it */
	intptr_t rp_index;	/* cpu_id or mm_cid */
};

/* What a sequence begins with. */
struct rseq_front {
	void *const *rf_areas;	/* for each index; or of those that are barred */
	struct rseq_place rf_place;
};

#ifdef HAVE_RSEQ

/* The thread pointer, which those offsets are from. */
static inline const volatile char *
rseq_base(void)
{
	const volatile char *base;

	__asm__("movq %%fs:0, %0" : "=r"(base));
	return (base);
}

#define RSEQ_STR_(x) #x
#define RSEQ_STR(x) RSEQ_STR_(x)

/* Begin a sequence from label 1 to label 2; 4 is where it is aborted to.
 * `cs', which is where rseq_cs is, stays there. */
#define RSEQ_BEGIN(scratch, cs)						\
	".pushsection __rseq_cs, \"aw\"\n\t"				\
	".balign 32\n"							\
	"3:\n\t"							\
	".long 0, 0\n\t"						\
	".quad 1f, 2f - 1f, 4f\n\t"					\
	".popsection\n\t"						\
	"movq %[place], " cs "\n\t"					\
	"leaq 3b(%%rip), " scratch "\n\t"				\
	"movq " scratch ", %%fs:(" cs ")\n"				\
	"1:\n\t"							\
	"cmpl $0, %%fs:-4(" cs ")\n\t" /* cpu_id: registered? */	\
	"js %l[refused]\n\t"

#define RSEQ_END							\
	"2:\n\t"							\
	".pushsection __rseq_failure, \"ax\"\n\t"			\
	".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1: never run */		\
	".long " RSEQ_STR(RSEQ_SIG) "\n"				\
	"4:\n\t"							\
	"jmp %l[aborted]\n\t"						\
	".popsection\n\t"

/* This index' slot at an offset into its area: into `slot`. */
#define RSEQ_SLOT							\
	"movq %[index], %[n]\n\t"					\
	"movl %%fs:(%[n]), %k[n]\n\t"					\
	"movq %[areas], %[slot]\n\t"					\
	"movq (%[slot],%[n],8), %[slot]\n\t"				\
	"addq %[off], %[slot]\n\t"

#define RSEQ_FRONT(rf)							\
	[place] "m"((rf)->rf_place.rp_cs),				\
	[index] "m"((rf)->rf_place.rp_index), [areas] "m"((rf)->rf_areas)

static inline enum rseq_result
rseq_pop(const struct rseq_front *rf, size_t off, uint64_t *addrp)
{
	uint64_t addr, word, n;
	char *slot;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[word]", "%[slot]")
	    RSEQ_SLOT
	    "movq (%[slot]), %[word]\n\t"
	    "testb %b[word], %b[word]\n\t"
	    "jz %l[refused]\n\t"
	    "movzbl %b[word], %k[n]\n\t"
	    "movq %c[at](%[slot]), %[addr]\n\t"
	    "movq -8(%[addr],%[n],8), %[addr]\n\t"
	    "addq %[pop], %[word]\n\t"
	    "movq %[word], (%[slot])\n"
	    RSEQ_END
	    : [addr] "=&r"(addr), [word] "=&r"(word), [n] "=&r"(n),
	    [slot] "=&r"(slot)
	    : RSEQ_FRONT(rf), [off] "r"(off), [at] "i"(RSEQ_ROUNDS),
	    [pop] "i"(RSEQ_POP)
	    : "memory", "cc"
	    : refused, aborted);
	*addrp = addr;
	return (RSEQ_DONE);
refused:
	return (RSEQ_REFUSED);
aborted:
	return (RSEQ_ABORTED);
}

static inline enum rseq_result
rseq_push(const struct rseq_front *rf, size_t off, uint64_t addr)
{
	uint64_t word, n, rounds;
	char *slot;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[word]", "%[slot]")
	    RSEQ_SLOT
	    "movq (%[slot]), %[word]\n\t"
	    "testl $0xff00, %k[word]\n\t"
	    "jz %l[refused]\n\t"
	    "movzbl %b[word], %k[n]\n\t"
	    "movq %c[at](%[slot]), %[rounds]\n\t"
	    "movq %[addr], (%[rounds],%[n],8)\n\t"
	    "addq %[push], %[word]\n\t"
	    "movq %[word], (%[slot])\n"
	    RSEQ_END
	    : [word] "=&r"(word), [n] "=&r"(n), [rounds] "=&r"(rounds),
	    [slot] "=&r"(slot)
	    : RSEQ_FRONT(rf), [off] "r"(off), [addr] "r"(addr),
	    [at] "i"(RSEQ_ROUNDS), [push] "i"(RSEQ_PUSH)
	    : "memory", "cc"
	    : refused, aborted);
	return (RSEQ_DONE);
refused:
	return (RSEQ_REFUSED);
aborted:
	return (RSEQ_ABORTED);
}

/* Close the slot of `index`; what its word was.  RSEQ_REFUSED: this thread
 * doesn't run there. */
static inline enum rseq_result
rseq_close(const struct rseq_place *rp, uint32_t index, void *slot,
    uint64_t *wordp)
{
	uint64_t word, closed;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[closed]", "%[word]")
	    "cmpl %[want], %%fs:(%[index])\n\t"
	    "jne %l[refused]\n\t"
	    "movq (%[slot]), %[word]\n\t"
	    "movq %[word], %[closed]\n\t"
	    "xorw %w[closed], %w[closed]\n\t"
	    "movq %[closed], (%[slot])\n"
	    RSEQ_END
	    : [word] "=&r"(word), [closed] "=&r"(closed)
	    : [place] "m"(rp->rp_cs), [index] "r"(rp->rp_index),
	    [want] "r"(index), [slot] "r"(slot)
	    : "memory", "cc"
	    : refused, aborted);
	*wordp = word;
	return (RSEQ_DONE);
refused:
	return (RSEQ_REFUSED);
aborted:
	return (RSEQ_ABORTED);
}

#else /* the fallback is all there is */

static inline enum rseq_result
rseq_pop(const struct rseq_front *rf, size_t off, uint64_t *addrp)
{
	(void)rf, (void)off, (void)addrp;
	return (RSEQ_REFUSED);
}

static inline enum rseq_result
rseq_push(const struct rseq_front *rf, size_t off, uint64_t addr)
{
	(void)rf, (void)off, (void)addr;
	return (RSEQ_REFUSED);
}

static inline enum rseq_result
rseq_close(const struct rseq_place *rp, uint32_t index, void *slot,
    uint64_t *wordp)
{
	(void)rp, (void)index, (void)slot, (void)wordp;
	return (RSEQ_REFUSED);
}

#endif /* HAVE_RSEQ */

#endif /* QCACHE_RSEQ_H */
