/*
 * thread.h - threads of the daemon.
 */
#ifndef DAEMON_THREAD_H
#define DAEMON_THREAD_H

#include <pthread.h>

/*
 * As pthread_create(), with default attributes and all signals blocked: they
 * are main's.  But those that an instruction of the thread itself raises can't
 * be, or they would kill the process where the pager serves them.
 */
int thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);

#endif /* DAEMON_THREAD_H */
