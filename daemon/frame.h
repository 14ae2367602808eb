/*
 * frame.h - the stream of a connection, cut into lines.
 *
 * A line is a request, or (its first byte but spaces is '[') a batch, and has
 * a length limit that depends on which.  A line that is too long is reported
 * once, as soon as that is known, and skipped up to its LF: the connection
 * goes on with the next line.
 */
#ifndef DAEMON_FRAME_H
#define DAEMON_FRAME_H

#include <stdbool.h>
#include <stddef.h>

struct frame {
	char *fr_data;
	size_t fr_start;	/* first byte not handed out */
	size_t fr_end;
	size_t fr_cap;
	size_t fr_scanned;	/* [fr_start, fr_scanned) has no LF */
	bool fr_skipping;	/* inside a line that was too long */
};

enum frame_result {
	FRAME_LINE,		/* a line */
	FRAME_MORE,		/* no whole line: read on */
	FRAME_TOO_LONG		/* a line over its limit, to be refused */
};

void frame_fini(struct frame *fr);

/* Room for at least `want` bytes, to be filled from the socket; NULL when there
 * is no memory.  frame_filled() says how many have come. */
char *frame_room(struct frame *fr, size_t want);
void frame_filled(struct frame *fr, size_t len);

/* The next line, without its LF; valid until the next frame_room(). */
enum frame_result frame_next(struct frame *fr, char **linep, size_t *lenp);

/*
 * What jansson would let through, or die of: NUL bytes and nesting deeper than
 * PROTO_DEPTH_MAX.  NULL if the line is fine, else why it is refused.
 */
const char *frame_check(const char *line, size_t len);

#endif /* DAEMON_FRAME_H */
