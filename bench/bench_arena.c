/*
 * bench_arena.c - question: what does a range cost, in time, memory and space,
 * as there are more of them, without any cache in front?
 *
 * Workload: see the head of each part.  Warm-up and spread: bench.h §2, and
 * each part's head for what it does before.
 *
 *	arena_churn.c	random churn: time a pair, bytes a live range
 */
#include "config.h"

#include "bench/arena.h"

int
main(int argc, char **argv)
{
	const struct bench be = {
		.be_name = "bench_arena",
		.be_question = "what does a range cost, in time, memory and"
		    " space, as there are more of them, without any cache in"
		    " front?",
		.be_workload = "churn: N ranges live; a pair frees a random"
		    " one and allocates one of a random size in its place",
		.be_warmup = "churn: filled, then aged by 2 N pairs (N at"
		    " 1e7); a tenth of each phase's pairs untimed",
		.be_cases = churn_cases,
		.be_ncases = churn_ncases,
	};

	return (bench_main(&be, argc, argv));
}
