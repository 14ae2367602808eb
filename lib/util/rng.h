/*
 * rng.h - seeded random numbers: xoshiro256** 1.0 (D. Blackman, S. Vigna),
 * seeded through splitmix64.  The same seed gives the same numbers everywhere.
 */
#ifndef UTIL_RNG_H
#define UTIL_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

static inline uint64_t
rng_splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31));
}

static inline void
rng_init(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = rng_splitmix(&seed);
}

static inline uint64_t
rng_next(struct rng *r)
{
	uint64_t *s = r->s;
	uint64_t x = s[1] * 5, result = ((x << 7) | (x >> 57)) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return (result);
}

/* Uniform in [0, n), n > 0; the bias is below n / 2^64. */
static inline uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return ((uint64_t)(((unsigned __int128)rng_next(r) * n) >> 64));
}

/* Uniform in [0, 1). */
static inline double
rng_unit(struct rng *r)
{
	return ((double)(rng_next(r) >> 11) * 0x1p-53);
}

#endif /* UTIL_RNG_H */
