/*
 * assert.h - assertions and the panic.
 *
 * ASSERT checks an invariant in debug builds (--enable-debug) only; VERIFY
 * always, where going on would corrupt what others hold.  vmem_panic() ends
 * the process with a message that says what was expected: through the handler
 * of vmem_set_panic(), else on standard error and abort(3).  It allocates
 * nothing and takes no lock.
 */
#ifndef UTIL_ASSERT_H
#define UTIL_ASSERT_H

#include <assert.h>

void vmem_panic(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2), __noreturn__, __cold__));

#define VERIFY(cond)                                                         \
	do {                                                                 \
		if (__builtin_expect(!(cond), 0))                            \
			vmem_panic("%s:%d: %s: expected %s", __FILE__,       \
			    __LINE__, __func__, #cond);                      \
	} while (0)

#ifdef VMEM_DEBUG
#define ASSERT(cond) VERIFY(cond)
#else
#define ASSERT(cond)                                                         \
	do {                                                                 \
		if (0)                                                       \
			(void)(cond);                                        \
	} while (0)
#endif

#endif /* UTIL_ASSERT_H */
