/*
 * htab.c - see htab.h.
 */
#include "config.h"

#include "daemon/htab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HTAB_FIRST 64u	/* buckets */

/* Chains moved with an insertion.  A table doubles when it holds as many nodes
 * as buckets, n; until it does so again n more are inserted, and 2 n chains
 * of the old one have been moved: twice as many as there are. */
#define HTAB_STEP 2u

void
htab_init(struct htab *ht, uint64_t (*hash)(const struct hnode *))
{
	memset(ht, 0, sizeof(*ht));
	ht->ht_hash = hash;
}

void
htab_fini(struct htab *ht)
{
	free(ht->ht_table);
	free(ht->ht_old);
	memset(ht, 0, sizeof(*ht));
}

static void
push(struct hnode **bucket, struct hnode *node)
{
	node->hn_next = *bucket;
	*bucket = node;
}

static void
move_some(struct htab *ht)
{
	for (unsigned int i = 0; i < HTAB_STEP && ht->ht_old != NULL; i++) {
		struct hnode *node, **bucket = &ht->ht_old[ht->ht_moved];

		while ((node = *bucket) != NULL) {
			*bucket = node->hn_next;
			push(&ht->ht_table[ht->ht_hash(node) & ht->ht_mask],
			    node);
		}
		if (ht->ht_moved++ == ht->ht_old_mask) {
			free(ht->ht_old);
			ht->ht_old = NULL;
		}
	}
}

static int
grow(struct htab *ht)
{
	size_t buckets =
	    ht->ht_table == NULL ? HTAB_FIRST : 2 * (ht->ht_mask + 1);
	struct hnode **table = calloc(buckets, sizeof(*table));

	if (table == NULL)
		return (ENOMEM);
	ht->ht_old = ht->ht_table;
	ht->ht_old_mask = ht->ht_mask;
	ht->ht_moved = 0;
	ht->ht_table = table;
	ht->ht_mask = buckets - 1;
	return (0);
}

int
htab_insert(struct htab *ht, struct hnode *node)
{
	if ((ht->ht_table == NULL || ht->ht_count > ht->ht_mask) &&
	    ht->ht_old == NULL && grow(ht) != 0 && ht->ht_table == NULL)
		return (ENOMEM);
	move_some(ht);
	push(&ht->ht_table[ht->ht_hash(node) & ht->ht_mask], node);
	ht->ht_count++;
	return (0);
}

/* The bucket that holds what hashes so, now. */
static struct hnode **
bucket_of(const struct htab *ht, uint64_t hash)
{
	if (ht->ht_old != NULL && (hash & ht->ht_old_mask) >= ht->ht_moved)
		return (&ht->ht_old[hash & ht->ht_old_mask]);
	return (&ht->ht_table[hash & ht->ht_mask]);
}

static int
unlink_from(struct hnode **link, const struct hnode *node)
{
	for (; *link != NULL; link = &(*link)->hn_next)
		if (*link == node) {
			*link = node->hn_next;
			return (1);
		}
	return (0);
}

/* While the table grows, a node inserted since is in the new one, even if its
 * old chain hasn't been moved yet: look in both. */
void
htab_remove(struct htab *ht, struct hnode *node)
{
	uint64_t hash = ht->ht_hash(node);

	if (unlink_from(bucket_of(ht, hash), node) ||
	    unlink_from(&ht->ht_table[hash & ht->ht_mask], node))
		ht->ht_count--;
}

struct hnode *
htab_find(const struct htab *ht, uint64_t hash,
    int (*match)(const struct hnode *, const void *), const void *key)
{
	struct hnode *node, **first, **second;

	if (ht->ht_table == NULL)
		return (NULL);
	first = bucket_of(ht, hash);
	second = &ht->ht_table[hash & ht->ht_mask];
	for (node = *first; node != NULL; node = node->hn_next)
		if (match(node, key))
			return (node);
	if (second == first)
		return (NULL);
	for (node = *second; node != NULL; node = node->hn_next)
		if (match(node, key))
			return (node);
	return (NULL);
}
