/*
 * htab.h - an intrusive hash table of chains that grows without a pause.
 *
 * Growing a table of a million nodes at once would hold its lock for tens of
 * milliseconds.  So both tables are kept while it grows, and every insertion
 * moves a few chains of the old one over; the old one is gone before the new
 * one is full.  Failing to get memory for a larger table is no error: the
 * chains get longer, and the next insertion tries again.
 *
 * The caller locks, compares, and says how a node is hashed; keys may occur
 * more than once.
 */
#ifndef DAEMON_HTAB_H
#define DAEMON_HTAB_H

#include <stddef.h>
#include <stdint.h>

struct hnode {
	struct hnode *hn_next;
};

struct htab {
	struct hnode **ht_table;
	size_t ht_mask;		/* buckets - 1; 0 while there is no table */
	struct hnode **ht_old;	/* being emptied, or NULL */
	size_t ht_old_mask;
	size_t ht_moved;	/* buckets of ht_old done */
	size_t ht_count;
	uint64_t (*ht_hash)(const struct hnode *node);
};

void htab_init(struct htab *ht, uint64_t (*hash)(const struct hnode *));
void htab_fini(struct htab *ht);	/* the nodes are the caller's */
int htab_insert(struct htab *ht, struct hnode *node);	/* ENOMEM: the first */
void htab_remove(struct htab *ht, struct hnode *node);	/* must be in it */

/* The first node that match(node, key) accepts, among those whose hash may be
 * `hash`, or NULL. */
struct hnode *htab_find(const struct htab *ht, uint64_t hash,
    int (*match)(const struct hnode *node, const void *key), const void *key);

/* Mix a word so that all of its bits count. */
static inline uint64_t
htab_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return (x ^ x >> 32);
}

#endif /* DAEMON_HTAB_H */
