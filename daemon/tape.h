/*
 * tape.h - events of lanes become lines of a trace (lib/trace/trace.h).
 *
 * Threads name ranges by their addresses, a trace by numbers from 1 on in the
 * order of allocation: so the one thread that writes keeps a table of what is
 * live.  What isn't in it was allocated before recording began, and is left
 * out.
 *
 * Should a range be allocated again while it is live here, the two clocks were
 * apart by more than a free takes: then it is freed at that moment, and the
 * free that comes late is left out, so that the trace is sound in any case.
 *
 * One thread.
 */
#ifndef DAEMON_TAPE_H
#define DAEMON_TAPE_H

#include <stddef.h>
#include <stdint.h>

#define TAPE_BUFFER (256u * 1024)

struct tape_live {
	uint64_t tl_key;
	uint32_t tl_id;		/* 0: free */
	uint32_t tl_piece : 1;	/* the key is a number, not an address */
	uint32_t tl_late : 31;	/* frees to be left out */
};

struct tape {
	int tp_fd;
	int tp_error;		/* the first; nothing is written after it */
	uint32_t tp_ids;	/* given */
	uint64_t tp_ops;
	struct tape_live *tp_live;	/* hashed by key, open addressing */
	size_t tp_mask, tp_count;
	size_t tp_len;
	char tp_buffer[TAPE_BUFFER];
};

/* 0; ENOMEM.  tape_fini: what is buffered is written; returns tp_error. */
int tape_init(struct tape *tp, int fd, const char *header);
int tape_fini(struct tape *tp);

/* One event: its words, as lane_put() has them. */
void tape_put(struct tape *tp, const uint64_t *words);
/* It will come soon. */
void tape_expect(const struct tape *tp, uint64_t key);

#endif /* DAEMON_TAPE_H */
