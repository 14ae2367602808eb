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
 * 3. What the sequences see.  A table of one area for each index; in it, at an
 * offset, a slot:
 *
 *	 0  sl_word	bits 0-7: rounds in the loaded magazine; 8-63: pops
 *	 8  sl_rounds	the loaded magazine's addresses
 *	16  sl_low	pop only above so many rounds:  0 if open, 255 if closed
 *	17  sl_high	push only below so many rounds: its size if open, else 0
 *
 *	pop:	load gate, word, rounds, rounds[n - 1]; commit word + 256 - 1
 *	push:	load gate, word, rounds; store rounds[n]; commit word + 1
 *
 * The store of a push before its commit is into a place that isn't counted, of
 * a magazine that is this CPU's: harmless if the sequence is aborted.  The
 * count of pops rides in the same word, so that counting costs nothing, and
 * nothing is counted twice by a restart; pushes follow from it (slot.c).
 *
 * 4. Closing a slot.  To do more than one store can commit, a slot is closed
 * by its gate: nobody pops above 255 or pushes below 0.  Who runs on the slot's
 * index closes it by a sequence: no other thread can be inside one there at
 * that moment, and later ones see the gate.  Anybody else stores into the gate
 * and then has the kernel restart what runs on other CPUs, and see the gate, by
 * membarrier(PRIVATE_EXPEDITED_RSEQ).  The gate is loaded *first*: a sequence
 * that found it open has either loaded everything before the slot was closed,
 * and is aborted by the membarrier or preemption before it can commit, or after
 * it was opened again, and sees all that was changed meanwhile (x86 keeps loads
 * in order, and stores).
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
	RSEQ_REFUSED,	/* the gate is closed, or nothing (no room) is loaded */
	RSEQ_ABORTED	/* interrupted: again */
};

/* Offsets in a slot. */
#define RSEQ_WORD 0
#define RSEQ_ROUNDS 8
#define RSEQ_LOW 16
#define RSEQ_HIGH 17
#define RSEQ_GATE_CLOSED 0x00ff

/* A pop, in sl_word. */
#define RSEQ_POP (256 - 1)

/* Where this thread's struct rseq is, and what in it is the index: offsets from
 * the thread pointer. */
struct rseq_place {
	intptr_t rp_cs;		/* rseq_cs; cpu_id is 4 below it */
	intptr_t rp_index;	/* cpu_id or mm_cid */
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

/* Begin a sequence from label 1 to label 2; 4 is where it is aborted to. */
#define RSEQ_BEGIN(scratch)						\
	".pushsection __rseq_cs, \"aw\"\n\t"				\
	".balign 32\n"							\
	"3:\n\t"							\
	".long 0, 0\n\t"						\
	".quad 1f, 2f - 1f, 4f\n\t"					\
	".popsection\n\t"						\
	"leaq 3b(%%rip), " scratch "\n\t"				\
	"movq " scratch ", %%fs:(%[cs])\n"				\
	"1:\n\t"

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
	"cmpl $0, %%fs:-4(%[cs])\n\t" /* cpu_id: registered? */		\
	"js %l[refused]\n\t"						\
	"movl %%fs:(%[index]), %k[slot]\n\t"				\
	"movq (%[areas],%[slot],8), %[slot]\n\t"

/* areas: a pointer for each index; off: the slot's offset there. */
static inline enum rseq_result
rseq_pop(const struct rseq_place *rp, void *const *areas, size_t off,
    uint64_t *addrp)
{
	uint64_t addr, word, n, rounds;
	char *slot;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[word]")
	    RSEQ_SLOT
	    "movzbl %c[low](%[slot],%[off]), %k[rounds]\n\t"
	    "movq (%[slot],%[off]), %[word]\n\t"
	    "movzbl %b[word], %k[n]\n\t"
	    "cmpl %k[rounds], %k[n]\n\t"
	    "jbe %l[refused]\n\t"
	    "movq %c[at](%[slot],%[off]), %[rounds]\n\t"
	    "movq -8(%[rounds],%[n],8), %[addr]\n\t"
	    "addq %[pop], %[word]\n\t"
	    "movq %[word], (%[slot],%[off])\n"
	    RSEQ_END
	    : [addr] "=&r"(addr), [word] "=&r"(word), [n] "=&r"(n),
	    [rounds] "=&r"(rounds), [slot] "=&r"(slot)
	    : [cs] "r"(rp->rp_cs), [index] "r"(rp->rp_index),
	    [areas] "r"(areas), [off] "r"(off), [low] "i"(RSEQ_LOW),
	    [at] "i"(RSEQ_ROUNDS), [pop] "i"(RSEQ_POP)
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
rseq_push(const struct rseq_place *rp, void *const *areas, size_t off,
    uint64_t addr)
{
	uint64_t word, n, rounds;
	char *slot;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[word]")
	    RSEQ_SLOT
	    "movzbl %c[high](%[slot],%[off]), %k[rounds]\n\t"
	    "movq (%[slot],%[off]), %[word]\n\t"
	    "movzbl %b[word], %k[n]\n\t"
	    "cmpl %k[rounds], %k[n]\n\t"
	    "jae %l[refused]\n\t"
	    "movq %c[at](%[slot],%[off]), %[rounds]\n\t"
	    "movq %[addr], (%[rounds],%[n],8)\n\t"
	    "addq $1, %[word]\n\t"
	    "movq %[word], (%[slot],%[off])\n"
	    RSEQ_END
	    : [word] "=&r"(word), [n] "=&r"(n), [rounds] "=&r"(rounds),
	    [slot] "=&r"(slot)
	    : [cs] "r"(rp->rp_cs), [index] "r"(rp->rp_index),
	    [areas] "r"(areas), [off] "r"(off), [addr] "r"(addr),
	    [high] "i"(RSEQ_HIGH), [at] "i"(RSEQ_ROUNDS)
	    : "memory", "cc"
	    : refused, aborted);
	return (RSEQ_DONE);
refused:
	return (RSEQ_REFUSED);
aborted:
	return (RSEQ_ABORTED);
}

/* Close the slot of `index` by its gate.  RSEQ_REFUSED: this thread doesn't run
 * there. */
static inline enum rseq_result
rseq_close(const struct rseq_place *rp, uint32_t index, uint16_t *gate)
{
	uint64_t scratch;

	__asm__ __volatile__ goto(
	    RSEQ_BEGIN("%[scratch]")
	    "cmpl $0, %%fs:-4(%[cs])\n\t"
	    "js %l[refused]\n\t"
	    "cmpl %[want], %%fs:(%[index])\n\t"
	    "jne %l[refused]\n\t"
	    "movw %[closed], (%[gate])\n"
	    RSEQ_END
	    : [scratch] "=&r"(scratch)
	    : [cs] "r"(rp->rp_cs), [index] "r"(rp->rp_index),
	    [want] "r"(index), [gate] "r"(gate), [closed] "i"(RSEQ_GATE_CLOSED)
	    : "memory", "cc"
	    : refused, aborted);
	return (RSEQ_DONE);
refused:
	return (RSEQ_REFUSED);
aborted:
	return (RSEQ_ABORTED);
}

#else /* the fallback is all there is */

static inline enum rseq_result
rseq_pop(const struct rseq_place *rp, void *const *areas, size_t off,
    uint64_t *addrp)
{
	(void)rp, (void)areas, (void)off, (void)addrp;
	return (RSEQ_REFUSED);
}

static inline enum rseq_result
rseq_push(const struct rseq_place *rp, void *const *areas, size_t off,
    uint64_t addr)
{
	(void)rp, (void)areas, (void)off, (void)addr;
	return (RSEQ_REFUSED);
}

static inline enum rseq_result
rseq_close(const struct rseq_place *rp, uint32_t index, uint16_t *gate)
{
	(void)rp, (void)index, (void)gate;
	return (RSEQ_REFUSED);
}

#endif /* HAVE_RSEQ */

#endif /* QCACHE_RSEQ_H */
