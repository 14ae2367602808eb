/*
 * bench_arena.c - question: what does a range cost, in time, memory and space,
 * as there are more of them, without any cache in front?
 *
 *	arena_churn.c	random churn: time a pair, growth, alignment
 *	arena_holes.c	single operations among holes: failing, best fit,
 *			windows, addresses, statistics
 *	arena_space.c	bytes a range; requests that fail though there is room
 *	arena_traces.c	extent on recorded traces
 *	arena_tail.c	wall clock of single operations beside an empty loop
 *
 * Workload: the head of each part has it in full, and what is done before
 * anything is timed.  Warm-up and spread: bench.h §2.
 */
#include "config.h"

#include "bench/arena.h"

#include <string.h>

#define CASES_MAX 128u

int
main(int argc, char **argv)
{
	static struct bench_case cases[CASES_MAX];
	struct bench be = {
		.be_name = "bench_arena",
		.be_question = "what does a range cost, in time, memory and"
		    " space, as there are more of them, without any cache in"
		    " front?",
		.be_workload = "churn, aligned, tail: N ranges live; a pair"
		    " frees a random one and allocates one of a random size in"
		    " its place. fail, best, window, at, stat: every other one"
		    " of 2 H ranges was freed. memory, room, traces: counted."
		    " Sizes: small is 1..16 pages, uniform; log is 1..1024"
		    " pages, log-uniform; nothing touches what is handed out",
		.be_warmup = "filled, then aged by 2 N pairs (N at 1e7)"
		    " before the first phase; the first tenth of a phase isn't"
		    " timed",
		.be_cases = cases,
	};
	const struct {
		const struct bench_case *list;
		size_t count;
	} parts[] = { { churn_cases, churn_ncases },
		{ holes_cases, holes_ncases }, { space_cases, space_ncases },
		{ tail_cases, tail_ncases } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		memcpy(&cases[be.be_ncases], parts[i].list,
		    parts[i].count * sizeof(cases[0]));
		be.be_ncases += parts[i].count;
	}
	be.be_ncases += traces_cases(
	    &cases[be.be_ncases], CASES_MAX - be.be_ncases);
	return (bench_main(&be, argc, argv));
}
