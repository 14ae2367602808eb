/*
 * worker.c - see worker.h.
 */
#include "config.h"

#include "daemon/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/conn.h"
#include "daemon/log.h"
#include "daemon/thread.h"
#include "proto/methods.h"
#include "util/assert.h"
#include "util/clock.h"

/* A drain waits this long for clients to take their replies. */
#define DRAIN_MAX_S 10

/* ---- inbox -------------------------------------------------------------- */

void
worker_post(struct worker *wk, struct msg *ms)
{
	const uint64_t one = 1;
	bool was_empty;

	lock_acquire(&wk->wk_inbox_lock);
	was_empty = STAILQ_EMPTY(&wk->wk_inbox);
	STAILQ_INSERT_TAIL(&wk->wk_inbox, ms, ms_link);
	lock_release(&wk->wk_inbox_lock);
	if (was_empty)
		(void)!write(wk->wk_event_fd, &one, sizeof(one));
}

static void
inbox_run(evutil_socket_t fd, short what, void *arg)
{
	struct worker *wk = arg;
	STAILQ_HEAD(, msg) all = STAILQ_HEAD_INITIALIZER(all);
	struct msg *ms;
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	lock_acquire(&wk->wk_inbox_lock);
	STAILQ_CONCAT(&all, &wk->wk_inbox);
	lock_release(&wk->wk_inbox_lock);
	while ((ms = STAILQ_FIRST(&all)) != NULL) {
		STAILQ_REMOVE_HEAD(&all, ms_link);
		ms->ms_run(wk, ms);
	}
}

/* ---- the ready list ----------------------------------------------------- */

static void
turn_arm(struct worker *wk)
{
	static const struct timeval now = { 0, 0 };

	if (wk->wk_turn_armed)
		return;
	wk->wk_turn_armed = true;
	(void)evtimer_add(&wk->wk_turn_event, &now);
}

void
worker_ready(struct worker *wk, struct conn *cn)
{
	if (!cn->cn_ready) {
		cn->cn_ready = true;
		TAILQ_INSERT_TAIL(&wk->wk_ready, cn, cn_ready_link);
	}
	turn_arm(wk);
}

/* One pass over the list, but no longer than a turn. */
static void
turn_run(evutil_socket_t fd, short what, void *arg)
{
	struct worker *wk = arg;
	uint64_t until = clock_ns() + TURN_NS;
	struct conn *cn, *last = TAILQ_LAST(&wk->wk_ready, conn_list);
	bool done = false;

	(void)fd;
	(void)what;
	wk->wk_turn_armed = false;
	while (!done && (cn = TAILQ_FIRST(&wk->wk_ready)) != NULL) {
		done = cn == last || clock_ns() >= until;
		TAILQ_REMOVE(&wk->wk_ready, cn, cn_ready_link);
		cn->cn_ready = false;
		conn_turn(cn);
	}
	if (!TAILQ_EMPTY(&wk->wk_ready))
		turn_arm(wk);
}

/* ---- connections -------------------------------------------------------- */

struct adoption {
	struct msg ad_msg;
	struct client *ad_client;
	int ad_fd;
};

static void
adopt_run(struct worker *wk, struct msg *ms)
{
	struct adoption *ad = (struct adoption *)(void *)ms;

	if (conn_create(wk, ad->ad_fd, ad->ad_client) != 0) {
		(void)close(ad->ad_fd);
		reg_client_remove(&wk->wk_daemon->dm_registry, ad->ad_client);
		worker_conn_gone(wk);
	}
	free(ad);
}

int
worker_adopt(struct worker *wk, int fd, uid_t uid, pid_t pid, bool privileged)
{
	struct adoption *ad = calloc(1, sizeof(*ad));

	if (ad != NULL)
		ad->ad_client = reg_client_add(
		    &wk->wk_daemon->dm_registry, uid, pid, privileged);
	if (ad == NULL || ad->ad_client == NULL) {
		free(ad);
		(void)close(fd);
		return (ENOMEM);
	}
	ad->ad_msg.ms_run = adopt_run;
	ad->ad_fd = fd;
	atomic_fetch_add_explicit(
	    &wk->wk_conn_count, 1, memory_order_relaxed);
	worker_post(wk, &ad->ad_msg);
	return (0);
}

void
worker_conn_gone(struct worker *wk)
{
	atomic_fetch_sub_explicit(
	    &wk->wk_conn_count, 1, memory_order_relaxed);
	/* Count, not list: one may still be on its way here. */
	if (wk->wk_draining && atomic_load_explicit(&wk->wk_conn_count,
	    memory_order_relaxed) == 0)
		(void)event_base_loopbreak(wk->wk_base);
}

void
worker_record(struct worker *wk, unsigned int method, uint64_t ns)
{
	struct hist *hi = atomic_load_explicit(
	    &wk->wk_latency[method], memory_order_relaxed);

	if (hi == NULL) {
		hi = malloc(sizeof(*hi));
		if (hi == NULL)
			return;
		hist_init(hi);
		/* Release: a reader that sees it sees it initialised. */
		atomic_store_explicit(
		    &wk->wk_latency[method], hi, memory_order_release);
	}
	hist_record(hi, ns);
}

/* ---- draining ----------------------------------------------------------- */

static void
drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct worker *wk = arg;
	struct conn *cn, *next;

	(void)fd;
	(void)what;
	for (cn = TAILQ_FIRST(&wk->wk_conns); cn != NULL; cn = next) {
		next = TAILQ_NEXT(cn, cn_link);
		log_warn("client %llu: still not drained: closed",
		    (unsigned long long)cn->cn_client->cl_id);
		conn_close(cn);
	}
}

static void
drain_run(struct worker *wk, struct msg *ms)
{
	const struct timeval patience = { DRAIN_MAX_S, 0 };
	struct conn *cn, *next;

	(void)ms;
	wk->wk_draining = true;
	(void)evtimer_add(&wk->wk_drain_event, &patience);
	for (cn = TAILQ_FIRST(&wk->wk_conns); cn != NULL; cn = next) {
		next = TAILQ_NEXT(cn, cn_link);
		conn_drain(cn);
	}
	if (atomic_load_explicit(&wk->wk_conn_count, memory_order_relaxed) == 0)
		(void)event_base_loopbreak(wk->wk_base);
}

void
worker_drain(struct worker *wk)
{
	wk->wk_drain_msg.ms_run = drain_run;
	worker_post(wk, &wk->wk_drain_msg);
}

/* ---- life --------------------------------------------------------------- */

static void *
worker_main(void *arg)
{
	struct worker *wk = arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "vmemd-w%u", wk->wk_index);
	(void)pthread_setname_np(pthread_self(), name);
	(void)event_base_loop(wk->wk_base, EVLOOP_NO_EXIT_ON_EMPTY);
	return (NULL);
}

void
worker_free(struct worker *wk)
{
	if (wk->wk_base != NULL)
		event_base_free(wk->wk_base);
	if (wk->wk_event_fd >= 0)
		(void)close(wk->wk_event_fd);
	for (size_t i = 0; i < proto_method_count; i++)
		free(atomic_load(&wk->wk_latency[i]));
	buf_fini(&wk->wk_discard);
	lock_fini(&wk->wk_inbox_lock);
	free(wk);
}

static struct event_base *
base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	/* One thread to a base: no locks. */
	if (config != NULL &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	return (base);
}

static struct worker *
worker_new(struct daemon *dm, unsigned int index)
{
	struct worker *wk = calloc(1, sizeof(*wk));

	if (wk == NULL)
		return (NULL);
	static_assert(sizeof(wk->wk_latency) / sizeof(wk->wk_latency[0]) >= 40,
	    "room for every method");
	VERIFY(proto_method_count <=
	    sizeof(wk->wk_latency) / sizeof(wk->wk_latency[0]));
	wk->wk_daemon = dm;
	wk->wk_index = index;
	TAILQ_INIT(&wk->wk_conns);
	TAILQ_INIT(&wk->wk_ready);
	STAILQ_INIT(&wk->wk_inbox);
	lock_init(&wk->wk_inbox_lock, "worker inbox", LOCK_INBOX);
	wk->wk_event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wk->wk_base = base_new();
	if (wk->wk_event_fd < 0 || wk->wk_base == NULL) {
		worker_free(wk);
		return (NULL);
	}
	(void)event_assign(&wk->wk_inbox_event, wk->wk_base, wk->wk_event_fd,
	    EV_READ | EV_PERSIST, inbox_run, wk);
	(void)evtimer_assign(&wk->wk_turn_event, wk->wk_base, turn_run, wk);
	(void)evtimer_assign(&wk->wk_drain_event, wk->wk_base, drain_over, wk);
	(void)event_add(&wk->wk_inbox_event, NULL);
	return (wk);
}

int
worker_start(struct daemon *dm, unsigned int index, struct worker **wkp)
{
	struct worker *wk = worker_new(dm, index);
	int error = wk == NULL ? ENOMEM :
	    thread_start(&wk->wk_thread, worker_main, wk);

	if (error == 0)
		*wkp = wk;
	else if (wk != NULL)
		worker_free(wk);
	return (error);
}

void
worker_join(struct worker *wk)
{
	(void)pthread_join(wk->wk_thread, NULL);
	ASSERT(TAILQ_EMPTY(&wk->wk_conns));
}

/* ---- the helper --------------------------------------------------------- */

struct helper {
	pthread_t hp_thread;
	pthread_mutex_t hp_mutex;	/* a leaf; with a condition */
	pthread_cond_t hp_work;
	STAILQ_HEAD(, task) hp_tasks;
	bool hp_stop;
};

static void *
helper_main(void *arg)
{
	struct helper *hp = arg;
	struct task *tk;

	(void)pthread_setname_np(pthread_self(), "vmemd-helper");
	(void)pthread_mutex_lock(&hp->hp_mutex);
	for (;;) {
		while ((tk = STAILQ_FIRST(&hp->hp_tasks)) == NULL &&
		    !hp->hp_stop)
			(void)pthread_cond_wait(&hp->hp_work, &hp->hp_mutex);
		if (tk == NULL)
			break;
		STAILQ_REMOVE_HEAD(&hp->hp_tasks, tk_link);
		(void)pthread_mutex_unlock(&hp->hp_mutex);
		tk->tk_run(tk);
		worker_post(tk->tk_worker, &tk->tk_done);
		(void)pthread_mutex_lock(&hp->hp_mutex);
	}
	(void)pthread_mutex_unlock(&hp->hp_mutex);
	return (NULL);
}

int
helper_start(struct helper **hpp)
{
	struct helper *hp = calloc(1, sizeof(*hp));
	int error;

	if (hp == NULL)
		return (ENOMEM);
	(void)pthread_mutex_init(&hp->hp_mutex, NULL);
	(void)pthread_cond_init(&hp->hp_work, NULL);
	STAILQ_INIT(&hp->hp_tasks);
	error = thread_start(&hp->hp_thread, helper_main, hp);
	if (error != 0)
		free(hp);
	else
		*hpp = hp;
	return (error);
}

void
helper_stop(struct helper *hp)
{
	if (hp == NULL)
		return;
	(void)pthread_mutex_lock(&hp->hp_mutex);
	hp->hp_stop = true;
	(void)pthread_cond_signal(&hp->hp_work);
	(void)pthread_mutex_unlock(&hp->hp_mutex);
	(void)pthread_join(hp->hp_thread, NULL);
	(void)pthread_cond_destroy(&hp->hp_work);
	(void)pthread_mutex_destroy(&hp->hp_mutex);
	free(hp);
}

void
helper_post(struct helper *hp, struct task *tk)
{
	(void)pthread_mutex_lock(&hp->hp_mutex);
	STAILQ_INSERT_TAIL(&hp->hp_tasks, tk, tk_link);
	(void)pthread_cond_signal(&hp->hp_work);
	(void)pthread_mutex_unlock(&hp->hp_mutex);
}
