/*
 * support.c - which fault modes work here: looked at once.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <pthread.h>

#include "pager/uffd.h"

static const struct mode *const modes[VMPAGER_MODES] = {
	[VMPAGER_SOFTWARE] = &mode_software,
	[VMPAGER_UFFD] = &mode_uffd,
	[VMPAGER_UFFD_THREAD] = &mode_uffd_thread,
	[VMPAGER_SIGSEGV] = &mode_sigsegv,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct vmpager_support support;	/* [I] once looked at */

static void
look(void)
{
	support.su_kernel = uffd_kernel_has();
	for (unsigned int i = 0; i < VMPAGER_MODES; i++)
		support.su_error[i] = modes[i]->md_probe(&support.su_why[i]);
}

void
vmpager_support(struct vmpager_support *su)
{
	(void)pthread_once(&once, look);
	*su = support;
}

const char *
vmpager_mode_name(enum vmpager_mode mode)
{
	return ((unsigned int)mode < VMPAGER_MODES ? modes[mode]->md_name
						   : NULL);
}

int
mode_find(enum vmpager_mode mode, const struct mode **modep)
{
	if ((unsigned int)mode >= VMPAGER_MODES)
		return (EINVAL);
	(void)pthread_once(&once, look);
	if (support.su_error[mode] == 0)
		*modep = modes[mode];
	return (support.su_error[mode]);
}
