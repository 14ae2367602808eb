/*
 * percpu.c - which mechanism makes the caches per CPU.
 *
 * Chosen once, when the first arena with caches is made, from what is there:
 *
 *	mm_cid	kernel fills it (AT_RSEQ_FEATURE_SIZE: glibc's __rseq_size may
 *		be smaller than what the kernel fills, for glibc reports what
 *		it knows itself)
 *	cpu_id	any kernel and libc with restartable sequences
 *	lock	else: other processors; libcs before 2.35 and processes that
 *		were started with glibc.pthread.rseq=0; valgrind, whose
 *		processor knows no sequences; the thread sanitizer, which can't
 *		see into assembly; kernels before 5.10, whose membarrier()
 *		can't restart sequences
 *
 * VMEM_RSEQ in the environment lowers the choice: "off" is the lock, "cpu" the
 * index by cpu_id.
 *
 * How many areas there can be.  A sequence uses its index unchecked: so there is
 * a place for each CPU that the kernel could ever have, plugged in or not
 * (`possible': an index, of either kind, is below the last of those).  Where that
 * can't be read, sequences aren't used.  What is in a place costs memory only
 * once a thread ran there.  A CPU that is unplugged, or that affinity keeps all
 * threads from, leaves an area that others may empty (drain.c, 1), and finds it
 * as it was if it comes back.
 */
#include "config.h"

#include "qcache/percpu.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vmem.h>

#include "util/assert.h"

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

/* In struct rseq, which <linux/rseq.h> may know in part only. */
#define RSEQ_OFF_CPU_ID 4
#define RSEQ_OFF_CS 8
#define RSEQ_OFF_MM_CID 24

static struct percpu the;
static pthread_once_t the_once = PTHREAD_ONCE_INIT;

static long
membarrier(int command)
{
	return (syscall(SYS_membarrier, command, 0, 0));
}

#ifdef HAVE_RSEQ
static bool
rseq_there(void)
{
	return (__rseq_size != 0 &&
	    membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0);
}

static enum percpu_mode
best_mode(void)
{
	if (the.pc_count > PERCPU_MAX || !rseq_there())
		return (PERCPU_LOCK);
	the.pc_place.rp_cs = __rseq_offset + RSEQ_OFF_CS;
	if (getauxval(AT_RSEQ_FEATURE_SIZE) >=
	    RSEQ_OFF_MM_CID + sizeof(uint32_t))
		return (PERCPU_CID);
	return (PERCPU_CPU);
}
#else
static enum percpu_mode
best_mode(void)
{
	return (PERCPU_LOCK);
}
#endif

/* What the environment asks for, as far as it can be had. */
static enum percpu_mode
wanted_mode(enum percpu_mode best)
{
	const char *ask = secure_getenv("VMEM_RSEQ");

	if (ask != NULL && strcmp(ask, "off") == 0)
		return (PERCPU_LOCK);
	if (ask != NULL && strcmp(ask, "cpu") == 0 && best == PERCPU_CID)
		return (PERCPU_CPU);
	return (best);
}

/* The number after the last one in a list as "0-3,8-15\n"; 0: it isn't one. */
unsigned int
percpu_parse(const char *text)
{
	unsigned int last = 0, digits = 0;

	for (; *text != '\0' && *text != '\n'; text++)
		if (*text >= '0' && *text <= '9') {
			last = (digits++ == 0 ? 0 : last * 10) +
			    (unsigned int)(*text - '0');
			if (digits > 6)
				return (0);
		} else if ((*text == '-' || *text == ',') && digits > 0)
			digits = 0;
		else
			return (0);
	return (digits > 0 ? last + 1 : 0);
}

/* CPUs that there could ever be, or 0: the kernel doesn't say. */
static unsigned int
possible_cpus(void)
{
	char text[256];
	ssize_t n;
	int fd = open("/sys/devices/system/cpu/possible",
	    O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return (0);
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return (percpu_parse(text));
}

static void
choose(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	the.pc_cpus = n < 1 ? 1 : (unsigned int)n;
	the.pc_count = possible_cpus();
	the.pc_mode = the.pc_count == 0 ? PERCPU_LOCK :
					  wanted_mode(best_mode());
	if (the.pc_count == 0)
		the.pc_count = the.pc_cpus;
	if (the.pc_count > PERCPU_MAX)
		the.pc_count = PERCPU_MAX;
	the.pc_place.rp_index = the.pc_place.rp_cs - RSEQ_OFF_CS +
	    (the.pc_mode == PERCPU_CID ? RSEQ_OFF_MM_CID : RSEQ_OFF_CPU_ID);
}

const struct percpu *
percpu_get(void)
{
	(void)pthread_once(&the_once, choose);
	return (&the);
}

unsigned int
percpu_index(const struct percpu *pc)
{
	int cpu;

#ifdef HAVE_RSEQ
	if (pc->pc_mode != PERCPU_LOCK) {
		const volatile char *base = rseq_base();
		int32_t id = *(const volatile int32_t *)(base +
		    pc->pc_place.rp_cs - RSEQ_OFF_CS + RSEQ_OFF_CPU_ID);
		uint32_t index = *(const volatile uint32_t *)(base +
		    pc->pc_place.rp_index);

		if (id >= 0 && index < pc->pc_count)
			return (index);
	}
#endif
	cpu = sched_getcpu();
	return ((cpu < 0 ? 0 : (unsigned int)cpu) % pc->pc_count);
}

void
percpu_fence(void)
{
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0)
		return;
	/* The registration isn't this process' any more: it was forked. */
	(void)membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ);
	VERIFY(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0);
}

const char *
vmem_qcache_mechanism(void)
{
	static const char *const name[] = { "lock", "rseq-cpu", "rseq-mm_cid" };

	return (name[percpu_get()->pc_mode]);
}
