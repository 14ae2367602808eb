/*
 * Goal: the hash table finds what is in it, and nothing else, also in the
 * midst of growing, with equal keys, and with a hash that collides.  Method:
 * random insertions, removals and look-ups against an array (seed printed).
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdbool.h>
#include <time.h>

#include "daemon/htab.h"
#include "util/rng.h"

#define NODES 5000

struct item {
	struct hnode node;	/* first */
	uint64_t key;
	bool in;
};

static struct item items[NODES];
static uint64_t hash_mask = UINT64_MAX;

static uint64_t
hash_key(uint64_t key)
{
	return (htab_mix(key) & hash_mask);
}

static uint64_t
hash_item(const struct hnode *n)
{
	return (hash_key(((const struct item *)(const void *)n)->key));
}

static int
match_key(const struct hnode *n, const void *key)
{
	return (((const struct item *)(const void *)n)->key ==
	    *(const uint64_t *)key);
}

static int
match_self(const struct hnode *n, const void *self)
{
	return (n == self);
}

static void
churn(unsigned int steps)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct htab ht;
	struct rng rng;
	size_t count = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	rng_init(&rng, seed);
	htab_init(&ht, hash_item);
	for (size_t i = 0; i < NODES; i++)
		items[i] = (struct item) { .key = i * 4096 };
	for (unsigned int s = 0; s < steps; s++) {
		/* Mostly insertions at first, so that it grows as it is used. */
		struct item *it = &items[rng_below(&rng,
		    s < steps / 2 ? 1 + s * NODES / (steps / 2) : NODES)];
		struct hnode *found = htab_find(
		    &ht, hash_key(it->key), match_key, &it->key);

		assert_ptr_equal(found, it->in ? &it->node : NULL);
		if (it->in)
			htab_remove(&ht, &it->node);
		else
			assert_int_equal(htab_insert(&ht, &it->node), 0);
		it->in = !it->in;
		count += it->in ? 1 : (size_t)-1;
		assert_int_equal(ht.ht_count, count);
	}
	for (size_t i = 0; i < NODES; i++)
		assert_ptr_equal(htab_find(&ht, hash_key(items[i].key),
		    match_key, &items[i].key),
		    items[i].in ? &items[i].node : NULL);
	htab_fini(&ht);
}

static void
test_model(void **state)
{
	(void)state;
	churn(100000);
}

static void
test_collisions(void **state)
{
	(void)state;
	hash_mask = 0xf;
	churn(10000);
	hash_mask = UINT64_MAX;
}

static void
test_equal_keys(void **state)
{
	struct htab ht;

	(void)state;
	htab_init(&ht, hash_item);
	for (size_t i = 0; i < 200; i++) {
		items[i].key = i % 3;
		assert_int_equal(htab_insert(&ht, &items[i].node), 0);
	}
	for (size_t i = 0; i < 200; i++) {
		assert_ptr_equal(htab_find(&ht, hash_key(items[i].key),
		    match_self, &items[i].node), &items[i].node);
		htab_remove(&ht, &items[i].node);
		assert_null(htab_find(&ht, hash_key(items[i].key), match_self,
		    &items[i].node));
	}
	assert_int_equal(ht.ht_count, 0);
	htab_fini(&ht);
}

static void
test_empty(void **state)
{
	struct htab ht;
	uint64_t key = 7;

	(void)state;
	htab_init(&ht, hash_item);
	assert_null(htab_find(&ht, hash_key(key), match_key, &key));
	htab_fini(&ht);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_equal_keys),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
