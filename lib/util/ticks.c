/*
 * ticks.c - see ticks.h.
 */
#include "config.h"

#include "util/ticks.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define CALIBRATE_NS 2000000u

struct ticks ticks_unit = { false, UINT64_C(1) << TICKS_SHIFT };

#ifdef __x86_64__

/* Does the kernel trust it?  It stops doing so when it finds CPUs apart. */
static bool
kernel_uses_tsc(void)
{
	char name[8] = "";
	int fd = open("/sys/devices/system/clocksource/clocksource0/"
	    "current_clocksource", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, name, sizeof(name) - 1);
		(void)close(fd);
	}
	return (n == 4 && strcmp(name, "tsc\n") == 0);
}

/* Both at one moment: of some readings that whose counter moved least. */
static void
read_both(uint64_t *ticksp, uint64_t *nsp)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 16; i++) {
		uint64_t before = __builtin_ia32_rdtsc(), ns = clock_ns();
		uint64_t took = __builtin_ia32_rdtsc() - before;

		if (took < best) {
			best = took;
			*ticksp = before + took / 2;
			*nsp = ns;
		}
	}
}

static void
calibrate(void)
{
	uint64_t ticks[2] = { 0, 0 }, ns[2] = { 0, 0 };

	if (!kernel_uses_tsc())
		return;
	read_both(&ticks[0], &ns[0]);
	do
		read_both(&ticks[1], &ns[1]);
	while (ns[1] - ns[0] < CALIBRATE_NS);
	ticks_unit.tk_mult =
	    ((ns[1] - ns[0]) << TICKS_SHIFT) / (ticks[1] - ticks[0]);
	ticks_unit.tk_tsc = ticks_unit.tk_mult > 0;
}

#else

static void
calibrate(void)
{
}

#endif

void
ticks_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, calibrate);
}
