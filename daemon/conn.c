/*
 * conn.c - see conn.h.
 */
#include "config.h"

#include "daemon/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/request.h"
#include "daemon/soak.h"
#include "daemon/wait.h"
#include "util/assert.h"
#include "util/clock.h"

/* How often a half-closed peer that waits is looked at: a full close is no
 * event of its own once the first half has been seen. */
#define HALF_CLOSED_MS 100

#define RELEASE_BATCH 64

static void conn_settle(struct conn *cn);
static void conn_end(struct conn *cn);

/* ---- output ------------------------------------------------------------- */

struct buf *
conn_out(struct conn *cn)
{
	if (!cn->cn_dead)
		return (&cn->cn_out);
	buf_truncate(&cn->cn_worker->wk_discard, 0);
	return (&cn->cn_worker->wk_discard);
}

/* Nobody will read what is written.  What has been sent to us is still done:
 * the frees of a client that doesn't stay for the answers count. */
static void
conn_mute(struct conn *cn)
{
	cn->cn_dead = true;
	buf_fini(&cn->cn_out);
}

/* The peer has STALL_S to take some of what is left; again with progress. */
static void
conn_stall_timer(struct conn *cn, bool progress)
{
	const struct timeval stall = { STALL_S, 0 };

	if (buf_len(&cn->cn_out) == 0) {
		if (cn->cn_stalling)
			(void)evtimer_del(&cn->cn_timer);
		cn->cn_stalling = false;
	} else if (progress || !cn->cn_stalling) {
		(void)evtimer_add(&cn->cn_timer, &stall);
		cn->cn_stalling = true;
	}
}

static void
conn_flush(struct conn *cn)
{
	struct buf *out = &cn->cn_out;
	bool progress = false;

	if (out->b_failed)
		conn_mute(cn);
	while (buf_len(out) > 0) {
		ssize_t n = send(cn->cn_fd, out->b_data + out->b_start,
		    buf_len(out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				conn_mute(cn);
			break;
		}
		buf_consume(out, (size_t)n);
		progress = true;
	}
	if (buf_len(out) < OUT_LOW)
		cn->cn_full = false;
	conn_stall_timer(cn, progress);
	atomic_store_explicit(&cn->cn_client->cl_backlog, buf_len(out),
	    memory_order_relaxed);
}

/* ---- requests ----------------------------------------------------------- */

void
conn_batch_done(struct conn *cn, struct batch *ba)
{
	struct buf *out;

	if (ba->ba_running > 0 || ba->ba_next < json_array_size(ba->ba_members))
		return;
	out = conn_out(cn);
	/* Notifications only: nothing to say. */
	if (buf_len(&ba->ba_out) > 0 && !ba->ba_out.b_failed) {
		buf_append(out, "[", 1);
		buf_append(out, ba->ba_out.b_data + ba->ba_out.b_start,
		    buf_len(&ba->ba_out));
		buf_append(out, "]\n", 2);
	}
	if (ba->ba_out.b_failed)
		conn_mute(cn);
	buf_fini(&ba->ba_out);
	json_decref(ba->ba_members);
	free(ba);
	cn->cn_requests--;
}

static void
batch_begin(struct conn *cn, json_t *members)
{
	struct batch *ba;

	if (json_array_size(members) == 0) {
		request_refuse(conn_out(cn), NULL, PE_REQUEST,
		    "an empty batch");
		json_decref(members);
		return;
	}
	ba = calloc(1, sizeof(*ba));
	if (ba == NULL) {
		request_refuse(conn_out(cn), NULL, PE_INTERNAL, "no memory");
		json_decref(members);
		return;
	}
	ba->ba_members = members;
	cn->cn_batch = ba;
	cn->cn_requests++;
}

static void
batch_step(struct conn *cn)
{
	struct batch *ba = cn->cn_batch;
	json_t *member = json_array_get(ba->ba_members, ba->ba_next++);

	if (ba->ba_next == json_array_size(ba->ba_members))
		cn->cn_batch = NULL;
	/* Held, so that the batch can't end under the member's feet. */
	ba->ba_running++;
	if (buf_len(&ba->ba_out) > BATCH_OUT_MAX)
		request_refuse(&ba->ba_out, member, PE_REQUEST,
		    "the replies of the batch are too long");
	else
		request_begin(cn, ba, member);
	ba->ba_running--;
	conn_batch_done(cn, ba);
}

static void
line_run(struct conn *cn, const char *line, size_t len)
{
	const char *why = frame_check(line, len);
	json_error_t error;
	json_t *json;

	if (why != NULL) {
		request_refuse(conn_out(cn), NULL, PE_PARSE, why);
		return;
	}
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
	    &error);
	if (json == NULL) {
		request_refuse(conn_out(cn), NULL, PE_PARSE, error.text);
		return;
	}
	if (json_is_array(json)) {
		batch_begin(cn, json);
		return;
	}
	request_begin(cn, NULL, json);
	json_decref(json);
}

/* Run one request, or one member of a batch; false: there is none yet. */
static bool
conn_next(struct conn *cn)
{
	char *line;
	size_t len;

	if (cn->cn_batch != NULL) {
		batch_step(cn);
		return (true);
	}
	switch (frame_next(&cn->cn_frame, &line, &len)) {
	case FRAME_LINE:
		line_run(cn, line, len);
		return (true);
	case FRAME_TOO_LONG:
		request_refuse(conn_out(cn), NULL, PE_PARSE,
		    "the line is too long: at most 64 KiB, a batch 1 MiB");
		return (true);
	case FRAME_MORE:
		break;
	}
	return (false);
}

static void
conn_run(struct conn *cn)
{
	unsigned int budget = TURN_REQUESTS;

	if (cn->cn_job != NULL && !cn->cn_parked && !cn->cn_blocked)
		request_step(cn->cn_job);
	cn->cn_more = true;
	while (cn->cn_job == NULL && !cn->cn_full && budget-- > 0) {
		if (!conn_next(cn)) {
			cn->cn_more = false;
			break;
		}
		if (!cn->cn_dead && buf_len(&cn->cn_out) >= OUT_HIGH)
			cn->cn_full = true;
	}
}

void
conn_turn(struct conn *cn)
{
	if (cn->cn_closing) {
		conn_end(cn);
		return;
	}
	conn_run(cn);
	conn_flush(cn);
	conn_settle(cn);
}

/* ---- events ------------------------------------------------------------- */

static void
set_event(struct event *ev, bool *added, bool want)
{
	if (*added == want)
		return;
	*added = want;
	if (want)
		(void)event_add(ev, NULL);
	else
		(void)event_del(ev);
}

/* Has the peer closed both directions?  Then nobody waits for answers. */
static bool
peer_gone(const struct conn *cn)
{
	struct pollfd pfd = { .fd = cn->cn_fd };

	return (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR)));
}

/* Is there anything more to come, while the daemon drains? */
static bool
drained(const struct conn *cn)
{
	char c;

	return (recv(cn->cn_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) <= 0);
}

/* Nothing to run and nothing to write: close it, if that is where it is. */
static bool
conn_finished(struct conn *cn)
{
	if (!cn->cn_eof)
		return (cn->cn_worker->wk_draining && cn->cn_requests == 0 &&
		    drained(cn));
	if (cn->cn_requests == 0 || cn->cn_dead || peer_gone(cn))
		return (true);
	if (!evtimer_pending(&cn->cn_timer, NULL)) {
		const struct timeval soon = { 0, HALF_CLOSED_MS * 1000 };

		(void)evtimer_add(&cn->cn_timer, &soon);
	}
	return (false);
}

/* What it waits for from here: a turn, its peer, or nothing any more. */
static void
conn_settle(struct conn *cn)
{
	bool job = cn->cn_job != NULL;
	bool backlog = buf_len(&cn->cn_out) > 0;
	bool stepping;

	if (job && cn->cn_blocked && conn_writable(cn) && !cn->cn_full)
		cn->cn_blocked = false;
	stepping = job && !cn->cn_parked && !cn->cn_blocked;
	if (stepping || (!job && cn->cn_more && !cn->cn_full)) {
		worker_ready(cn->cn_worker, cn);
	} else if (!job && !cn->cn_more && !backlog && conn_finished(cn)) {
		conn_close(cn);
		return;
	}
	set_event(&cn->cn_read_event, &cn->cn_reading,
	    !cn->cn_eof && !job && !cn->cn_more && !cn->cn_full);
	set_event(&cn->cn_write_event, &cn->cn_writing, backlog);
}

/* Keep the descriptors that came, as far as there is room; close the rest. */
static void
keep_fds(struct conn *cn, struct msghdr *mh)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		const unsigned char *data = CMSG_DATA(cm);
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET ||
		    cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, data + i * sizeof(int), sizeof(int));
			if (cn->cn_fd_count < CONN_FDS_MAX)
				cn->cn_fds[cn->cn_fd_count++] = fd;
			else
				(void)close(fd);
		}
	}
}

int
conn_take_fd(struct conn *cn)
{
	int fd;

	if (cn->cn_fd_count == 0)
		return (-1);
	fd = cn->cn_fds[0];
	cn->cn_fd_count--;
	memmove(cn->cn_fds, cn->cn_fds + 1, cn->cn_fd_count * sizeof(int));
	return (fd);
}

static ssize_t
receive(struct conn *cn, int fd, char *room)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(CONN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { room, TURN_READ };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0 && mh.msg_controllen > 0)
		keep_fds(cn, &mh);
	return (n);
}

static void
conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *cn = arg;
	char *room = frame_room(&cn->cn_frame, TURN_READ);
	ssize_t n;

	(void)what;
	if (room == NULL) {
		conn_close(cn);
		return;
	}
	n = receive(cn, fd, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		cn->cn_eof = true;
	else
		frame_filled(&cn->cn_frame, (size_t)n);
	conn_turn(cn);
}

static void
conn_drainable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *cn = arg;

	(void)fd;
	(void)what;
	conn_flush(cn);
	conn_settle(cn);
}

static void
conn_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *cn = arg;

	(void)fd;
	(void)what;
	if (cn->cn_stalling) {
		log_info("client %llu: took none of %zu bytes for %d s: closed",
		    (unsigned long long)cn->cn_client->cl_id,
		    buf_len(&cn->cn_out), STALL_S);
		conn_close(cn);
		return;
	}
	conn_settle(cn);
}

void
conn_resume(struct conn *cn)
{
	cn->cn_parked = false;
	worker_ready(cn->cn_worker, cn);
}

void
conn_wake(struct conn *cn)
{
	worker_ready(cn->cn_worker, cn);
}

/* ---- life --------------------------------------------------------------- */

int
conn_create(struct worker *wk, int fd, struct client *cl)
{
	struct conn *cn = calloc(1, sizeof(*cn));

	if (cn == NULL)
		return (ENOMEM);
	cn->cn_worker = wk;
	cn->cn_client = cl;
	cn->cn_fd = fd;
	(void)event_assign(&cn->cn_read_event, wk->wk_base, fd,
	    EV_READ | EV_PERSIST, conn_readable, cn);
	(void)event_assign(&cn->cn_write_event, wk->wk_base, fd,
	    EV_WRITE | EV_PERSIST, conn_drainable, cn);
	(void)evtimer_assign(&cn->cn_timer, wk->wk_base, conn_timer, cn);
	TAILQ_INSERT_TAIL(&wk->wk_conns, cn, cn_link);
	conn_settle(cn);
	return (0);
}

void
conn_drain(struct conn *cn)
{
	if (cn->cn_closing)
		return;
	wait_cancel_client(cn, PE_SHUTTING_DOWN);
	conn_wake(cn);
}

void
conn_close(struct conn *cn)
{
	if (cn->cn_closing)
		return;
	cn->cn_closing = true;
	set_event(&cn->cn_read_event, &cn->cn_reading, false);
	set_event(&cn->cn_write_event, &cn->cn_writing, false);
	(void)evtimer_del(&cn->cn_timer);
	(void)close(cn->cn_fd);
	cn->cn_fd = -1;
	while (cn->cn_fd_count > 0)
		(void)close(conn_take_fd(cn));
	conn_mute(cn);
	soak_conn_gone(cn);
	wait_cancel_client(cn, PE_CANCELLED);
	worker_ready(cn->cn_worker, cn);
}

/* Give back what the connection owned; false: there is more to do. */
static bool
release_owned(struct conn *cn)
{
	struct registry *rg = &cn->cn_worker->wk_daemon->dm_registry;
	struct alloc *some[RELEASE_BATCH];
	uint64_t until = clock_ns() + TURN_NS;
	size_t n;

	do {
		n = reg_claim_client(rg, cn->cn_client, some, RELEASE_BATCH);
		for (size_t i = 0; i < n; i++)
			reg_release(rg, some[i]);
	} while (n > 0 && clock_ns() < until);
	return (reg_client_idle(rg, cn->cn_client));
}

/*
 * One step towards the end, in turns of the ready list.  A job runs on if it
 * must, else is dropped; batches whose members haven't begun are forgotten;
 * then what it owned goes.
 */
static void
conn_end(struct conn *cn)
{
	struct worker *wk = cn->cn_worker;

	if (cn->cn_parked)
		return;		/* the helper's message comes first */
	if (cn->cn_job != NULL) {
		cn->cn_blocked = false;
		if (!request_abort(cn->cn_job))
			request_step(cn->cn_job);
	} else if (cn->cn_batch != NULL) {
		struct batch *ba = cn->cn_batch;

		cn->cn_batch = NULL;
		ba->ba_next = json_array_size(ba->ba_members);
		conn_batch_done(cn, ba);
	} else if (cn->cn_requests == 0 && release_owned(cn)) {
		if (cn->cn_ready)
			TAILQ_REMOVE(&wk->wk_ready, cn, cn_ready_link);
		TAILQ_REMOVE(&wk->wk_conns, cn, cn_link);
		frame_fini(&cn->cn_frame);
		buf_fini(&cn->cn_out);
		reg_client_remove(&wk->wk_daemon->dm_registry, cn->cn_client);
		free(cn);
		worker_conn_gone(wk);
		return;
	} else if (cn->cn_requests > 0) {
		return;		/* a waiter's message wakes it */
	}
	worker_ready(wk, cn);
}
