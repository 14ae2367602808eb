/*
 * assert.c - the panic: one message, then the end of the process.
 */
#include "config.h"

#include "util/assert.h"
#include "util/nofault.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmem.h>

#ifdef VMEM_DEBUG
__thread __attribute__((tls_model("initial-exec"))) unsigned int nofault_depth;
#endif

static _Atomic(void (*)(const char *)) panic_fn;

void
vmem_set_panic(void (*fn)(const char *))
{
	atomic_store(&panic_fn, fn);
}

void
vmem_panic(const char *fmt, ...)
{
	char message[512];
	void (*fn)(const char *) = atomic_load(&panic_fn);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (fn != NULL)
		fn(message);
	else {
		(void)!write(STDERR_FILENO, "vmem: panic: ", 13);
		(void)!write(STDERR_FILENO, message, strlen(message));
		(void)!write(STDERR_FILENO, "\n", 1);
	}
	abort();
}
