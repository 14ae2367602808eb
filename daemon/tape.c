/*
 * tape.c - see tape.h.
 */
#include "config.h"

#include "daemon/tape.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/lane.h"

#define LINE_MAX_BYTES 80u	/* three numbers of 20 digits, and 8 behind */
#define LIVE_MIN 1024u		/* entries at first; a power of two */

/* ---- writing ------------------------------------------------------------ */

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (n < 0 ? errno : EIO);
		bytes += n;
		len -= (size_t)n;
	}
	return (0);
}

static void
flush(struct tape *tp)
{
	if (tp->tp_error == 0)
		tp->tp_error =
		    write_all(tp->tp_fd, tp->tp_buffer, tp->tp_len);
	tp->tp_len = 0;
}

/*
 * The 8 decimal digits of n < 10^8, the first in the lowest byte: halves, then
 * pairs, then digits, all of a kind at once in one register (quotients by
 * multiplication: 10486/2^20 is 1/100, 103/2^10 is 1/10, for what is that
 * small).
 */
static inline uint64_t
digits_of(uint32_t n)
{
	uint64_t x = n / 10000 | (uint64_t)(n % 10000) << 32, q;

	q = x * 10486 >> 20 & UINT64_C(0x0000007f0000007f);
	x = q + ((x - q * 100) << 16);
	q = x * 103 >> 10 & UINT64_C(0x000f000f000f000f);
	return (q + ((x - q * 10) << 8));
}

#define EIGHT 100000000u
#define ZEROS UINT64_C(0x3030303030303030)

static inline char *
put_eight(char *to, uint64_t n)
{
	uint64_t x = htole64(digits_of((uint32_t)n) | ZEROS);

	memcpy(to, &x, 8);
	return (to + 8);
}

/* Eight bytes are written each time; what is behind the digits is written over
 * next.  LINE_MAX_BYTES has room for it. */
static inline char *
put_short(char *to, uint64_t n)
{
	uint64_t x = digits_of((uint32_t)n);
	/* Zeros at the front; but the last digit stays. */
	unsigned int skip =
	    (unsigned int)__builtin_ctzll(x | UINT64_C(1) << 56) / 8;

	x = htole64((x | ZEROS) >> 8 * skip);
	memcpy(to, &x, 8);
	return (to + 8 - skip);
}

static __attribute__((__noinline__)) char *
put_long(char *to, uint64_t n)
{
	uint64_t high = n / EIGHT;

	to = high < EIGHT ? put_short(to, high) :
	    put_eight(put_short(to, high / EIGHT), high % EIGHT);
	return (put_eight(to, n % EIGHT));
}

static inline char *
put_number(char *to, uint64_t n)
{
	return (__builtin_expect(n < EIGHT, 1) ? put_short(to, n) :
	    put_long(to, n));
}

/* "KIND A B C", of which the last ones that are 0 are left out, but not those
 * of a part. */
static inline void
put_line(struct tape *tp, char kind, uint64_t a, uint64_t b, uint64_t c)
{
	char *to = tp->tp_buffer + tp->tp_len;

	*to++ = kind;
	*to++ = ' ';
	to = put_number(to, a);
	if (kind != 'f') {
		*to++ = ' ';
		to = put_number(to, b);
	}
	if (kind == 'p' || c != 0) {
		*to++ = ' ';
		to = put_number(to, c);
	}
	*to++ = '\n';
	tp->tp_len = (size_t)(to - tp->tp_buffer);
	tp->tp_ops++;
	if (tp->tp_len + LINE_MAX_BYTES > TAPE_BUFFER)
		flush(tp);
}

/* ---- what is live -------------------------------------------------------- */

static inline size_t
home_of(const struct tape *tp, uint64_t key)
{
	return ((size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) &
	    tp->tp_mask);
}

void
tape_expect(const struct tape *tp, uint64_t key)
{
	__builtin_prefetch(&tp->tp_live[home_of(tp, key)], 1);
}

/* Where a key is, or would be. */
static inline struct tape_live *
find(const struct tape *tp, uint64_t key, bool piece)
{
	size_t at = home_of(tp, key);

	while (tp->tp_live[at].tl_id != 0 &&
	    (tp->tp_live[at].tl_key != key ||
		tp->tp_live[at].tl_piece != piece))
		at = (at + 1) & tp->tp_mask;
	return (&tp->tp_live[at]);
}

/* Take one out; those after it, whose homes are before, move up. */
static void
drop(struct tape *tp, struct tape_live *tl)
{
	size_t hole = (size_t)(tl - tp->tp_live), at = hole;

	for (;;) {
		at = (at + 1) & tp->tp_mask;
		if (tp->tp_live[at].tl_id == 0)
			break;
		if (((at - home_of(tp, tp->tp_live[at].tl_key)) &
			tp->tp_mask) < ((at - hole) & tp->tp_mask))
			continue;
		tp->tp_live[hole] = tp->tp_live[at];
		hole = at;
	}
	tp->tp_live[hole].tl_id = 0;
	tp->tp_count--;
}

/* At most half full. */
static bool
grow(struct tape *tp)
{
	struct tape_live *old = tp->tp_live;
	size_t count = old == NULL ? 0 : tp->tp_mask + 1;
	struct tape_live *live;

	if (tp->tp_count < count / 2)
		return (true);
	live = calloc(count == 0 ? LIVE_MIN : 2 * count, sizeof(*live));
	if (live == NULL) {
		if (tp->tp_error == 0)
			tp->tp_error = ENOMEM;
		return (false);
	}
	tp->tp_live = live;
	tp->tp_mask = (count == 0 ? LIVE_MIN : 2 * count) - 1;
	for (size_t i = 0; i < count; i++)
		if (old[i].tl_id != 0)
			*find(tp, old[i].tl_key, old[i].tl_piece) = old[i];
	free(old);
	return (true);
}

static void
add(struct tape *tp, uint64_t key, bool piece, uint32_t id)
{
	if (!grow(tp))
		return;
	*find(tp, key, piece) = (struct tape_live) { key, id, piece, 0 };
	tp->tp_count++;
}

/* ---- events ------------------------------------------------------------- */

static void
on_alloc(struct tape *tp, uint64_t addr, uint64_t size, uint64_t align)
{
	struct tape_live *tl = find(tp, addr, false);

	/* The last number is never given: a trace has less than 2^32. */
	if (tp->tp_ids == UINT32_MAX - 1) {
		tp->tp_error = EFBIG;
		return;
	}
	if (tl->tl_id != 0) {
		put_line(tp, 'f', tl->tl_id, 0, 0);
		tl->tl_id = ++tp->tp_ids;
		tl->tl_late++;
	} else
		add(tp, addr, false, ++tp->tp_ids);
	put_line(tp, 'a', tp->tp_ids, size, align);
}

static void
on_free(struct tape *tp, uint64_t key, bool piece)
{
	struct tape_live *tl = find(tp, key, piece);

	if (tl->tl_id == 0)
		return;
	if (tl->tl_late > 0) {
		tl->tl_late--;
		return;
	}
	put_line(tp, 'f', tl->tl_id, 0, 0);
	drop(tp, tl);
}

static void
on_cut(struct tape *tp, uint64_t addr, uint64_t number)
{
	struct tape_live *tl = find(tp, addr, false);
	uint32_t id = tl->tl_id;

	if (id == 0)
		return;
	drop(tp, tl);
	add(tp, number, true, id);
}

void
tape_put(struct tape *tp, const uint64_t *words)
{
	unsigned int align =
	    (unsigned int)(words[0] >> LANE_ALIGN_SHIFT) & 0x7f;

	if (tp->tp_error != 0)
		return;
	switch ((enum lane_event)(words[0] & LANE_EVENT_MASK)) {
	case LANE_ALLOC:
		on_alloc(tp, words[1], words[2],
		    align == 0 ? 0 : UINT64_C(1) << (align - 1));
		break;
	case LANE_FREE:
	case LANE_FREE_PIECE:
		on_free(tp, words[1],
		    (words[0] & LANE_EVENT_MASK) == LANE_FREE_PIECE);
		break;
	case LANE_CUT:
		on_cut(tp, words[1], words[2]);
		break;
	case LANE_PART: {
		const struct tape_live *tl = find(tp, words[1], true);

		if (tl->tl_id != 0)
			put_line(tp, 'p', tl->tl_id, words[2], words[3]);
		break;
	}
	}
}

int
tape_init(struct tape *tp, int fd, const char *header)
{
	size_t len = strlen(header);

	tp->tp_fd = fd;
	tp->tp_error = 0;
	tp->tp_ids = 0;
	tp->tp_ops = 0;
	tp->tp_live = NULL;
	tp->tp_count = 0;
	if (!grow(tp))
		return (ENOMEM);
	memcpy(tp->tp_buffer, header, len);
	tp->tp_len = len;
	return (0);
}

int
tape_fini(struct tape *tp)
{
	flush(tp);
	free(tp->tp_live);
	tp->tp_live = NULL;
	return (tp->tp_error);
}
