/*
 * cmd_info.c - ping, info, methods, clients.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "daemon/request.h"
#include "daemon/wait.h"
#include "kmem/direct.h"
#include "util/clock.h"

enum step
cmd_ping(struct request *rq)
{
	(void)rq;
	return (STEP_DONE);
}

/* What a client may count on; names that are false are of later versions. */
static void
write_features(struct buf *b, const struct daemon *dm)
{
	static const char *const later[] = { "map", "subscribe",
		"journal", "sync", "http", "read_only_socket", "idem" };
	static const char *const modes[VMPAGER_MODES] = {
		[VMPAGER_SOFTWARE] = "software",
		[VMPAGER_UFFD] = "uffd",
		[VMPAGER_UFFD_THREAD] = "uffd_thread",
		[VMPAGER_SIGSEGV] = "sigsegv",
	};
	struct vmpager_support su;

	jw_kopen(b, "features", '{');
	vmpager_support(&su);
	for (unsigned int i = 0; i < VMPAGER_MODES; i++)
		jw_kbool(b, modes[i], su.su_error[i] == 0);
	jw_kbool(b, "uffd_move", (su.su_kernel & VMPAGER_HAS_MOVE) != 0);
	jw_kbool(b, "uffd_poison", (su.su_kernel & VMPAGER_HAS_POISON) != 0);
	jw_kbool(
	    b, "uffd_wp_async", (su.su_kernel & VMPAGER_HAS_WP_ASYNC) != 0);
	jw_kbool(b, "swap", dm->dm_settings.se_swap == NULL ||
	    strcmp(dm->dm_settings.se_swap, "none") != 0);
	jw_kbool(b, "advise", true);
	jw_kbool(b, "shared", true);
	jw_kbool(b, "quotas", true);
	jw_kbool(b, "soak", true);
	jw_kbool(b, "direct_map", true);
	jw_kbool(b, "rseq", strncmp(vmem_qcache_mechanism(), "rseq", 4) == 0);
	jw_kbool(b, "record", true);
#ifdef VMEM_FAULT_INJECTION
	jw_kbool(b, "fault_injection", true);
#else
	jw_kbool(b, "fault_injection", false);
#endif
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		jw_kbool(b, later[i], false);
	jw_close(b, '}');
}

static void
write_limits(struct buf *b, struct daemon *dm)
{
	const struct settings *se = &dm->dm_settings;
	const struct registry *rg = &dm->dm_registry;

	jw_kopen(b, "limits", '{');
	jw_ku64(b, "line_bytes", PROTO_LINE_MAX);
	jw_ku64(b, "batch_bytes", PROTO_BATCH_MAX);
	jw_ku64(b, "depth", PROTO_DEPTH_MAX);
	jw_ku64(b, "count", PROTO_COUNT_MAX);
	jw_ku64(b, "read_bytes", PROTO_READ_MAX);
	jw_ku64(b, "tag_bytes", PROTO_TAG_MAX);
	jw_ku64(b, "arenas", ARENAS_MAX);
	jw_ku64(b, "waiting", WAITS_MAX);
	jw_ku64(b, "threads", dm->dm_worker_count);
	jw_ku64(b, "va_bytes", se->se_va_size);
	jw_ku64(b, "frames_bytes", se->se_frames);
	jw_ku64(b, "swap_bytes", se->se_swap_size);
	jw_ku64(b, "wired_bytes", se->se_wired);
	jw_ku64(b, "quota_bytes", atomic_load(&rg->rg_quota_bytes));
	jw_ku64(b, "quota_segments", atomic_load(&rg->rg_quota_segments));
	jw_close(b, '}');
}

enum step
cmd_info(struct request *rq)
{
	struct daemon *dm = rq->rq_daemon;
	const struct client *cl = rq->rq_conn->cn_client;
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_kstr(b, "version", PACKAGE_VERSION);
	jw_ku64(b, "pid", (uint64_t)getpid());
	jw_ku64(b, "uptime_s",
	    (clock_ns() - dm->dm_started_ns) / UINT64_C(1000000000));
	jw_ku64(b, "uid", cl->cl_uid);
	jw_ku64(b, "client", cl->cl_id);
	jw_kbool(b, "privileged", cl->cl_privileged);
	jw_ku64(b, "daemon_uid", dm->dm_uid);
	jw_kstr(b, "commit", atomic_load(&dm->dm_commit) == VMPAGER_STRICT ?
	    "strict" : "overcommit");
	jw_kstr(b, "fault_mode",
	    vmpager_mode_name(
		(enum vmpager_mode)dm->dm_settings.se_fault_mode));
	jw_kbool(b, "direct_map", direct_on(dm->dm_backing.bk_direct));
	jw_kstr(b, "qcache_mechanism", vmem_qcache_mechanism());
	jw_kstr(b, "replacement",
	    vmpager_replacement(dm->dm_backing.bk_pager));
	jw_kbool(b, "draining", daemon_draining(dm));
	jw_kbool(b, "corrupt", daemon_corrupt(dm));
	write_limits(b, dm);
	write_features(b, dm);
	jw_close(b, '}');
	return (STEP_DONE);
}

/* The table of methods, as JSON. */
static void
write_method(struct buf *b, const struct proto_method *pm)
{
	json_t *schema = proto_params_schema(pm);
	char *text = json_dumps(schema, JSON_COMPACT);

	jw_open(b, '{');
	jw_kstr(b, "name", pm->pm_name);
	jw_kstr(b, "summary", pm->pm_summary);
	jw_kstr(b, "result", pm->pm_result);
	jw_key(b, "params");
	if (text != NULL)
		jw_raw(b, text, strlen(text));
	else
		jw_raw(b, "{}", 2);
	jw_kbool(b, "reads", pm->pm_flags & PM_READS);
	jw_kbool(b, "admin", pm->pm_flags & PM_ADMIN);
	jw_kbool(b, "waits", pm->pm_flags & PM_WAITS);
	jw_kbool(b, "streams", pm->pm_flags & PM_STREAM);
	jw_kbool(b, "supported", !(pm->pm_flags & PM_LATER));
	jw_close(b, '}');
	free(text);
	json_decref(schema);
}

enum step
cmd_methods(struct request *rq)
{
	struct buf *b = reply_begin(rq);

	jw_open(b, '[');
	for (size_t i = 0; i < proto_method_count; i++)
		write_method(b, &proto_methods[i]);
	jw_close(b, ']');
	return (STEP_DONE);
}

/* Under the registry's lock: nothing but stores into a buffer. */
static void
write_client(struct buf *b, const struct client *cl)
{
	const struct waiter *wt;

	jw_open(b, '{');
	jw_ku64(b, "client", cl->cl_id);
	jw_ku64(b, "uid", cl->cl_uid);
	jw_ku64(b, "pid", (uint64_t)cl->cl_pid);
	jw_ku64(b, "requests",
	    atomic_load_explicit(&cl->cl_requests, memory_order_relaxed));
	jw_ku64(b, "bytes", cl->cl_bytes);
	jw_ku64(b, "segments", cl->cl_segments);
	jw_ku64(b, "backlog_bytes",
	    atomic_load_explicit(&cl->cl_backlog, memory_order_relaxed));
	jw_kopen(b, "waiting", '[');
	TAILQ_FOREACH(wt, &cl->cl_waiters, wt_client_link)
		if (wt->wt_id != NULL)
			jw_raw(b, wt->wt_id, strlen(wt->wt_id));
	jw_close(b, ']');
	jw_close(b, '}');
}

enum step
cmd_clients(struct request *rq)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct buf *b = reply_begin(rq);
	const struct client *cl;

	jw_open(b, '[');
	lock_acquire(&rg->rg_lock);
	TAILQ_FOREACH(cl, &rg->rg_clients, cl_link)
		write_client(b, cl);
	lock_release(&rg->rg_lock);
	jw_close(b, ']');
	return (STEP_DONE);
}
