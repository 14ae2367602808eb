/*
 * gate.h - keeping the clients of a replay together.
 *
 * Each client replays the operations of its ids in the trace's order, and says
 * at which it is.  None may be more than `drift` operations ahead of the
 * slowest, so that what is live stays what it was when the trace was taken,
 * within so many operations.
 */
#ifndef CLIENT_GATE_H
#define CLIENT_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define GATE_CLIENTS_MAX 256

struct gate;

int gate_create(unsigned int clients, uint32_t drift, struct gate **gtp);
void gate_destroy(struct gate *gt);	/* NULL is ignored */

/* Client `who` has come to `position`; true: it may go on at once. */
bool gate_try(struct gate *gt, unsigned int who, uint32_t position);

/* The same, waiting until it may, or for a tenth of a second: false then. */
bool gate_wait(struct gate *gt, unsigned int who, uint32_t position);

/* It has no more operations: nobody waits for it any longer. */
void gate_leave(struct gate *gt, unsigned int who);

#endif /* CLIENT_GATE_H */
