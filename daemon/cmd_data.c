/*
 * cmd_data.c - touch, write, read, fill, verify: what reaches the bytes of an
 * allocation.
 *
 * All go over the range in pieces, a slice at a time.  Each piece is looked up
 * and pinned anew, so that between slices the allocation may be freed (the
 * request then fails) but during one it can't become someone else's.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/plant.h"
#include "daemon/request.h"
#include "proto/base64.h"
#include "util/clock.h"
#include "util/pattern.h"

/* Bytes between looks at the clock: 16 faults, each at worst one eviction and
 * one read of the swap file, stay well below a millisecond. */
#define PIECE_MAX 65536u

struct data_state {
	struct arena *ds_arena;		/* referenced */
	struct caller ds_caller;
	vmem_addr_t ds_addr;
	vmem_size_t ds_len;
	vmem_size_t ds_done;
	int (*ds_piece)(struct data_state *ds, vmem_addr_t addr, size_t len);
	enum step (*ds_answer)(struct request *rq);
	uint64_t ds_seed;
	enum vmpager_advice ds_advice;
	uint64_t ds_affected;		/* pages: of advise */
	uint64_t ds_bad;		/* EILSEQ: the first other byte */
	bool ds_write;
	bool ds_fault;			/* touch: goes through the fault path */
	struct vmpager_touched ds_touched;
	char *ds_bytes;			/* of read and write */
};

static void
data_fini(struct request *rq)
{
	struct data_state *ds = rq->rq_state;

	free(ds->ds_bytes);
	reg_arena_put(&rq->rq_daemon->dm_registry, ds->ds_arena);
	free(ds);
}

static void *
wired_bytes(vmem_addr_t addr)
{
	return ((void *)(uintptr_t)addr);
}

/* ---- pieces: 0, an errno of vmpager.h, or EILSEQ ------------------------- */

static int
piece_touch(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	struct vmpager_touched pt;
	int error = vmpager_touch(
	    ds->ds_arena->ar_map, addr, len, ds->ds_write, &pt);

	if (error != 0)
		return (error);
	ds->ds_touched.pt_pages += pt.pt_pages;
	ds->ds_touched.pt_minor += pt.pt_minor;
	ds->ds_touched.pt_major += pt.pt_major;
	return (0);
}

static int
piece_advise(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	uint64_t affected = 0;
	int error = vmpager_advise(
	    ds->ds_arena->ar_map, addr, len, ds->ds_advice, &affected);

	ds->ds_affected += affected;
	return (error);
}

static int
piece_write(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	const char *from = ds->ds_bytes + ds->ds_done;

	if (ds->ds_arena->ar_kind == ARENA_PAGEABLE)
		return (vmpager_write(ds->ds_arena->ar_map, addr, from, len));
	memcpy(wired_bytes(addr), from, len);
	return (0);
}

static int
piece_read(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	char *to = ds->ds_bytes + ds->ds_done;

	if (ds->ds_arena->ar_kind == ARENA_PAGEABLE)
		return (vmpager_read(ds->ds_arena->ar_map, addr, to, len));
	memcpy(to, wired_bytes(addr), len);
	return (0);
}

static int
page_fill(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	const struct data_state *ds = arg;

	pattern_fill(bytes, len, addr, ds->ds_seed);
	plant_flip(bytes, len);
	return (0);
}

static int
page_verify(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	struct data_state *ds = arg;

	return (pattern_verify(bytes, len, addr, ds->ds_seed, &ds->ds_bad) ?
		0 : EILSEQ);
}

static int
piece_fill(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	if (ds->ds_arena->ar_kind == ARENA_PAGEABLE)
		return (vmpager_access(
		    ds->ds_arena->ar_map, addr, len, true, page_fill, ds));
	return (page_fill(ds, addr, wired_bytes(addr), len));
}

static int
piece_verify(struct data_state *ds, vmem_addr_t addr, size_t len)
{
	if (ds->ds_arena->ar_kind == ARENA_PAGEABLE)
		return (vmpager_access(
		    ds->ds_arena->ar_map, addr, len, false, page_verify, ds));
	return (page_verify(ds, addr, wired_bytes(addr), len));
}

/* ---- the walk over the range -------------------------------------------- */

static enum step
answer_error(struct request *rq, int error, vmem_addr_t addr)
{
	struct data_state *ds = rq->rq_state;

	switch (error) {
	case ENOENT:
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "0x%llx isn't allocated", (unsigned long long)addr));
	case ERANGE:
		return (reply_fail_addr(rq, PE_NOT_ALLOCATED, addr,
		    "the range reaches beyond its allocation"));
	case EPERM:
		return (reply_fail_addr(rq, PE_NOT_OWNER, addr,
		    "0x%llx is another user's", (unsigned long long)addr));
	case EFAULT:
		return (reply_fail_addr(rq, PE_NOT_PAGEABLE, addr,
		    "0x%llx isn't in kernel_map: %s is %s",
		    (unsigned long long)addr, ds->ds_arena->ar_name,
		    arena_kind_name(ds->ds_arena->ar_kind)));
	case ENOMEM:
		return (reply_fail_addr(rq, PE_NO_FRAMES, addr,
		    "out of frames and swap at 0x%llx",
		    (unsigned long long)addr));
	case EILSEQ:
		return (reply_fail_addr(rq, PE_MISMATCH, ds->ds_bad,
		    "0x%llx holds another byte than the pattern's",
		    (unsigned long long)ds->ds_bad));
	case ENOSPC:
		return (reply_fail_addr(rq, PE_NO_FRAMES, addr,
		    "no frame for 0x%llx: the swap can't be written: %s",
		    (unsigned long long)addr, strerror(error)));
	default:
		if (!arena_lost(ds->ds_arena, addr,
			ds->ds_len - ds->ds_done < PIECE_MAX ?
			    ds->ds_len - ds->ds_done : PIECE_MAX, &addr))
			return (reply_fail_addr(rq, PE_NO_FRAMES, addr,
			    "no frame at 0x%llx: the swap can't be read or "
			    "written: %s; nothing is lost",
			    (unsigned long long)addr, strerror(error)));
		daemon_set_corrupt(rq->rq_daemon, ds->ds_arena->ar_name,
		    "a page's stamp or checksum, or the swap file");
		return (reply_fail_addr(rq, PE_CORRUPT, addr,
		    "the page at 0x%llx is lost", (unsigned long long)addr));
	}
}

/* Is the rest of the range inside the allocation? */
static bool
inside(const struct data_state *ds, const struct alloc *al, vmem_addr_t addr)
{
	return (ds->ds_len - ds->ds_done <=
	    al->al_size - (addr - al->al_addr));
}

/* Have bytes, and those that the method may reach? */
static int
reachable(const struct data_state *ds)
{
	enum arena_kind kind = ds->ds_arena->ar_kind;

	if (kind == ARENA_PAGEABLE || (kind == ARENA_WIRED && !ds->ds_fault))
		return (0);
	return (EFAULT);
}

static enum step
data_step(struct request *rq)
{
	struct data_state *ds = rq->rq_state;
	struct registry *rg = &rq->rq_daemon->dm_registry;
	vmem_addr_t addr = ds->ds_addr + ds->ds_done;
	struct alloc *al;
	int error = reg_pin(rg, ds->ds_arena, &ds->ds_caller, addr, &al);

	if (error != 0)
		return (answer_error(rq, error, addr));
	if (!inside(ds, al, addr))
		error = ERANGE;
	else
		error = reachable(ds);
	while (error == 0 && ds->ds_done < ds->ds_len) {
		vmem_size_t left = ds->ds_len - ds->ds_done;
		size_t len = left < PIECE_MAX ? (size_t)left : PIECE_MAX;

		addr = ds->ds_addr + ds->ds_done;
		error = ds->ds_piece(ds, addr, len);
		if (error == 0)
			ds->ds_done += len;
		if (request_slice_over(rq))
			break;
	}
	reg_unpin(rg, al);
	if (error != 0)
		return (answer_error(rq, error, addr));
	if (ds->ds_done < ds->ds_len)
		return (STEP_AGAIN);
	return (ds->ds_answer(rq));
}

/* ---- answers ------------------------------------------------------------ */

static enum step
answer_bytes(struct request *rq)
{
	const struct data_state *ds = rq->rq_state;
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_ku64(b, "bytes", ds->ds_done);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
answer_touched(struct request *rq)
{
	const struct data_state *ds = rq->rq_state;
	const struct vmpager_touched *pt = &ds->ds_touched;
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_ku64(b, "pages", pt->pt_pages);
	jw_ku64(b, "faults", pt->pt_minor + pt->pt_major);
	jw_ku64(b, "minor", pt->pt_minor);
	jw_ku64(b, "major", pt->pt_major);
	jw_close(b, '}');
	arena_latency(
	    ds->ds_arena, ARENA_OP_FAULT, clock_ns() - rq->rq_start_ns);
	return (STEP_DONE);
}

static enum step
answer_advised(struct request *rq)
{
	const struct data_state *ds = rq->rq_state;
	struct buf *b = reply_begin(rq);

	jw_open(b, '{');
	jw_ku64(b, "pages", ds->ds_affected);
	jw_close(b, '}');
	return (STEP_DONE);
}

static enum step
answer_data(struct request *rq)
{
	const struct data_state *ds = rq->rq_state;
	size_t len = (size_t)ds->ds_len;
	struct buf *b = reply_begin(rq);
	char *room;

	jw_open(b, '{');
	jw_key(b, "data");
	buf_append(b, "\"", 1);
	room = buf_reserve(b, BASE64_ENCODED(len) + 1);
	if (room != NULL) {
		base64_encode(ds->ds_bytes, len, room);
		buf_commit(b, BASE64_ENCODED(len));
	}
	buf_append(b, "\"", 1);
	jw_ku64(b, "bytes", ds->ds_len);
	jw_close(b, '}');
	return (STEP_DONE);
}

/* ---- begin -------------------------------------------------------------- */

/* The state of a request whose arguments begin with arena and addr; NULL: it
 * has failed. */
static_assert((int)ARG_TOUCH_ARENA == (int)ARG_WRITE_ARENA &&
    (int)ARG_TOUCH_ARENA == (int)ARG_READ_ARENA &&
    (int)ARG_TOUCH_ARENA == (int)ARG_FILL_ARENA, "one place for the arena");
static_assert((int)ARG_TOUCH_ARENA == (int)ARG_ADVISE_ARENA &&
    (int)ARG_TOUCH_ADDR == (int)ARG_ADVISE_ADDR, "and for advise");
static_assert((int)ARG_TOUCH_ADDR == (int)ARG_WRITE_ADDR &&
    (int)ARG_TOUCH_ADDR == (int)ARG_READ_ADDR &&
    (int)ARG_TOUCH_ADDR == (int)ARG_FILL_ADDR, "one place for the address");

static struct data_state *
data_new(struct request *rq)
{
	struct arena *ar = request_arena(rq, ARG_TOUCH_ARENA);
	struct data_state *ds;

	if (ar == NULL)
		return (NULL);
	ds = calloc(1, sizeof(*ds));
	if (ds == NULL) {
		reg_arena_put(&rq->rq_daemon->dm_registry, ar);
		(void)reply_fail(rq, PE_INTERNAL, NULL, "no memory");
		return (NULL);
	}
	ds->ds_arena = ar;
	ds->ds_caller = request_caller(rq);
	ds->ds_addr = rq->rq_args[ARG_TOUCH_ADDR].pa_size;
	ds->ds_answer = answer_bytes;
	rq->rq_state = ds;
	rq->rq_fini = data_fini;
	rq->rq_step = data_step;
	return (ds);
}

/* `len`, or to the end of the allocation; STEP_AGAIN: known. */
static enum step
data_len(struct request *rq, struct data_state *ds, unsigned int index)
{
	struct registry *rg = &rq->rq_daemon->dm_registry;
	struct alloc *al;
	int error;

	ds->ds_len = rq->rq_args[index].pa_size;
	if (rq->rq_args[index].pa_given) {
		if (ds->ds_len == 0)
			return (reply_fail(rq, PE_PARAMS, "len",
			    "len: at least 1"));
		return (STEP_AGAIN);
	}
	error = reg_pin(rg, ds->ds_arena, &ds->ds_caller, ds->ds_addr, &al);
	if (error != 0)
		return (answer_error(rq, error, ds->ds_addr));
	ds->ds_len = al->al_size - (ds->ds_addr - al->al_addr);
	reg_unpin(rg, al);
	return (STEP_AGAIN);
}

enum step
cmd_touch(struct request *rq)
{
	struct data_state *ds = data_new(rq);
	enum step step;

	if (ds == NULL)
		return (STEP_DONE);
	ds->ds_write = rq->rq_args[ARG_TOUCH_WRITE].pa_bool;
	ds->ds_fault = true;
	ds->ds_piece = piece_touch;
	ds->ds_answer = answer_touched;
	step = data_len(rq, ds, ARG_TOUCH_LEN);
	return (step == STEP_AGAIN ? data_step(rq) : step);
}

enum step
cmd_advise(struct request *rq)
{
	struct data_state *ds = data_new(rq);
	enum step step;

	if (ds == NULL)
		return (STEP_DONE);
	ds->ds_advice =
	    (enum vmpager_advice)rq->rq_args[ARG_ADVISE_ADVICE].pa_enum;
	ds->ds_fault = true;
	ds->ds_piece = piece_advise;
	ds->ds_answer = answer_advised;
	step = data_len(rq, ds, ARG_ADVISE_LEN);
	return (step == STEP_AGAIN ? data_step(rq) : step);
}

static enum step
patterned(struct request *rq,
    int (*piece)(struct data_state *, vmem_addr_t, size_t))
{
	struct data_state *ds = data_new(rq);
	enum step step;

	if (ds == NULL)
		return (STEP_DONE);
	ds->ds_seed = (uint64_t)rq->rq_args[ARG_FILL_SEED].pa_int;
	ds->ds_piece = piece;
	step = data_len(rq, ds, ARG_FILL_LEN);
	return (step == STEP_AGAIN ? data_step(rq) : step);
}

enum step
cmd_fill(struct request *rq)
{
	return (patterned(rq, piece_fill));
}

enum step
cmd_verify(struct request *rq)
{
	return (patterned(rq, piece_verify));
}

enum step
cmd_read(struct request *rq)
{
	struct data_state *ds = data_new(rq);

	if (ds == NULL)
		return (STEP_DONE);
	ds->ds_len = rq->rq_args[ARG_READ_LEN].pa_size;
	if (ds->ds_len == 0 || ds->ds_len > PROTO_READ_MAX)
		return (reply_fail(rq, PE_PARAMS, "len",
		    "len: 1 to %u bytes", PROTO_READ_MAX));
	ds->ds_bytes = malloc((size_t)ds->ds_len);
	if (ds->ds_bytes == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	ds->ds_piece = piece_read;
	ds->ds_answer = answer_data;
	return (data_step(rq));
}

enum step
cmd_write(struct request *rq)
{
	const json_t *data = rq->rq_args[ARG_WRITE_DATA].pa_json;
	struct data_state *ds = data_new(rq);
	size_t len = json_string_length(data), decoded;

	if (ds == NULL)
		return (STEP_DONE);
	ds->ds_bytes = malloc(len / 4 * 3 + 1);
	if (ds->ds_bytes == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	if (base64_decode(
		json_string_value(data), len, ds->ds_bytes, &decoded) != 0)
		return (reply_fail(rq, PE_PARAMS, "data",
		    "data: not base64 (RFC 4648, padded)"));
	ds->ds_len = decoded;
	ds->ds_piece = piece_write;
	return (data_step(rq));
}
