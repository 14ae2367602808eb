/*
 * hot.c - the way of an allocation and of a free, in one translation unit.
 *
 * Each idea has its file; but an operation that takes a hundred cycles can't
 * afford twenty calls, so the compiler is shown these whole.
 */
#include "arena/fit.c"
#include "arena/addrtree.c"
#include "arena/hint.c"
#include "arena/row.c"
#include "arena/bin.c"
#include "arena/large.c"
#include "arena/freelist.c"
#include "arena/arena.c"
#include "arena/find.c"
#include "arena/scarce.c"
#include "arena/alloc.c"
#include "arena/free.c"
