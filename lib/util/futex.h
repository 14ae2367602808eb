/*
 * futex.h - sleep until a 32-bit word changes (futex(2), within the process).
 */
#ifndef UTIL_FUTEX_H
#define UTIL_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep if *word is `value`, until woken, interrupted, or for `timeout` (NULL:
 * no limit).  Returns early for no reason at all, too: test again. */
static inline void
futex_wait(const volatile void *word, uint32_t value,
    const struct timespec *timeout)
{
	(void)syscall(
	    SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

/* Wake `count` sleepers.  The word may be gone by now: only its address is
 * used. */
static inline void
futex_wake(const volatile void *word, int count)
{
	(void)syscall(
	    SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* In a loop that waits for another thread to do a few instructions more. */
static inline void
cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif /* UTIL_FUTEX_H */
