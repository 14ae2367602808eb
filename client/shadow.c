/*
 * shadow.c - see shadow.h.
 *
 * A skip list by start address (W. Pugh, 1990): a search leaves, for each
 * level, the last node that begins before the key, which is all that inserting
 * and removing need.  Ranges are disjoint, so that only the neighbours of a
 * place can overlap what is put there.  One lock: an operation costs some
 * 0.5 us, its request to the daemon ten times that.
 */
#include "config.h"

#include "client/shadow.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/rng.h"

/* One node in four is a level higher: 4^12 ranges before searches lengthen. */
#define LEVELS 12

struct node {
	struct shadow_range no_range;
	struct node *no_next[];		/* a level each */
};

struct shadow {
	pthread_mutex_t sh_lock;	/* everything below */
	struct node *sh_head[LEVELS];
	size_t sh_count;
	struct rng sh_rng;
};

int
shadow_create(struct shadow **shp)
{
	struct shadow *sh = calloc(1, sizeof(*sh));

	if (sh == NULL)
		return (ENOMEM);
	if (pthread_mutex_init(&sh->sh_lock, NULL) != 0) {
		free(sh);
		return (ENOMEM);
	}
	rng_init(&sh->sh_rng, 1);
	*shp = sh;
	return (0);
}

void
shadow_destroy(struct shadow *sh)
{
	struct node *no;

	if (sh == NULL)
		return;
	while ((no = sh->sh_head[0]) != NULL) {
		sh->sh_head[0] = no->no_next[0];
		free(no);
	}
	(void)pthread_mutex_destroy(&sh->sh_lock);
	free(sh);
}

/*
 * links[level]: the pointer that leads to the first node of that level which
 * begins at `start` or behind it.  Returns the node before that, or NULL.
 */
static struct node *
search(struct shadow *sh, uint64_t start, struct node **links[LEVELS])
{
	struct node *before = NULL, **next = sh->sh_head;

	for (int level = LEVELS - 1; level >= 0; level--) {
		while (next[level] != NULL &&
		    next[level]->no_range.sr_start < start) {
			before = next[level];
			next = before->no_next;
		}
		links[level] = &next[level];
	}
	return (before);
}

static int
random_levels(struct shadow *sh)
{
	uint64_t bits = rng_next(&sh->sh_rng);
	int levels = 1;

	while (levels < LEVELS && (bits & 3) == 0) {
		levels++;
		bits >>= 2;
	}
	return (levels);
}

static int
link_node(struct shadow *sh, const struct shadow_range *range,
    struct node **links[LEVELS])
{
	int levels = random_levels(sh);
	struct node *no = malloc(
	    sizeof(*no) + (size_t)levels * sizeof(no->no_next[0]));

	if (no == NULL)
		return (ENOMEM);
	no->no_range = *range;
	for (int level = 0; level < levels; level++) {
		no->no_next[level] = *links[level];
		*links[level] = no;
	}
	sh->sh_count++;
	return (0);
}

static void
unlink_node(struct shadow *sh, struct node *no, struct node **links[LEVELS])
{
	for (int level = 0; level < LEVELS && *links[level] == no; level++)
		*links[level] = no->no_next[level];
	sh->sh_count--;
	free(no);
}

int
shadow_insert(struct shadow *sh, const struct shadow_range *range,
    struct shadow_range *conflict)
{
	struct node **links[LEVELS], *before, *after;
	int error = EEXIST;

	(void)pthread_mutex_lock(&sh->sh_lock);
	before = search(sh, range->sr_start, links);
	after = *links[0];
	if (before != NULL && before->no_range.sr_last >= range->sr_start)
		*conflict = before->no_range;
	else if (after != NULL && after->no_range.sr_start <= range->sr_last)
		*conflict = after->no_range;
	else
		error = link_node(sh, range, links);
	(void)pthread_mutex_unlock(&sh->sh_lock);
	return (error);
}

/* The node that holds `start`: it begins there, or is the one before. */
static struct node *
holder(struct node *before, struct node *after, uint64_t start)
{
	if (after != NULL && after->no_range.sr_start == start)
		return (after);
	return (before != NULL && before->no_range.sr_last >= start ? before :
								      NULL);
}

static int
remove_locked(struct shadow *sh, uint64_t start, uint64_t last)
{
	struct node **links[LEVELS], *before, *no;
	struct shadow_range rest;

	before = search(sh, start, links);
	no = holder(before, *links[0], start);
	if (no == NULL || last < start || last > no->no_range.sr_last)
		return (ENOENT);
	rest = no->no_range;
	if (no->no_range.sr_start == start) {
		if (no->no_range.sr_last == last)
			unlink_node(sh, no, links);
		else
			no->no_range.sr_start = last + 1;	/* same place */
		return (0);
	}
	if (rest.sr_last > last) {
		/* links[] lead to where the piece behind the hole belongs. */
		rest.sr_start = last + 1;
		if (link_node(sh, &rest, links) != 0)
			return (ENOMEM);
	}
	no->no_range.sr_last = start - 1;
	return (0);
}

int
shadow_remove(struct shadow *sh, uint64_t start, uint64_t last)
{
	int error;

	(void)pthread_mutex_lock(&sh->sh_lock);
	error = remove_locked(sh, start, last);
	(void)pthread_mutex_unlock(&sh->sh_lock);
	return (error);
}

size_t
shadow_count(struct shadow *sh)
{
	size_t count;

	(void)pthread_mutex_lock(&sh->sh_lock);
	count = sh->sh_count;
	(void)pthread_mutex_unlock(&sh->sh_lock);
	return (count);
}
