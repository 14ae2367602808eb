/*
 * model.c - see model.h: names and toggles, and what all models share.
 */
#include "config.h"

#include "models/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Addresses to hand out: more than the largest trace has live. */
#define VA_SIZE (UINT64_C(256) << 30)

_Thread_local struct model_context model_context;

const char *const model_claim_names[CLAIMS] = { "A-1", "A-2", "A-3", "B", "C" };

const char *const model_defaults[] = { "kernel_map", "kernel_map+nomerge",
	"kernel_map+reserve2", "kernel_map+stash", "kernel_map+self",
	"kernel_map+self+reserve2", "kernel_map+self+stash",
	"kernel_map+self+page", "vacache", "vacache+low", "pools",
	"kmem+kernel_map", "kmem+pools", "kmem+vmem", "vmem",
	"vmem+direct_map", NULL };

/* ---- names --------------------------------------------------------------- */

static const struct {
	const char *name;
	enum model_kind kind;
} kinds[] = {
	{ "kernel_map", MODEL_KMAP }, { "vacache", MODEL_VACACHE },
	{ "pools", MODEL_POOLS }, { "kmem", MODEL_KMEM },
	{ "vmem", MODEL_VMEM }
};

static bool
is(const char *word, size_t len, const char *name)
{
	return (strlen(name) == len && memcmp(word, name, len) == 0);
}

static bool
kind_of(const char *word, size_t len, enum model_kind *kindp)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (is(word, len, kinds[i].name)) {
			*kindp = kinds[i].kind;
			return (true);
		}
	return (false);
}

static bool
has_map(const struct model_spec *sp)
{
	return (sp->sp_kind != MODEL_VMEM &&
	    (sp->sp_kind != MODEL_KMEM || sp->sp_over != MODEL_VMEM));
}

/* NULL, or what the toggle is for. */
static const char *
toggle(struct model_spec *sp, const char *word, size_t len)
{
	static const char map[] = "models over a kernel_map";

	if (is(word, len, "nomerge"))
		sp->sp_nomerge = true;
	else if (is(word, len, "self"))
		sp->sp_self = true;
	else if (is(word, len, "reserve2"))
		sp->sp_reserve = RESERVE_TWO;
	else if (is(word, len, "stash"))
		sp->sp_reserve = RESERVE_STASH;
	else if (is(word, len, "page")) {
		sp->sp_reserve = RESERVE_PAGE;
		sp->sp_self = true;
	} else if (is(word, len, "low")) {
		sp->sp_low = true;
		return (sp->sp_kind == MODEL_VACACHE ? NULL : "vacache");
	} else if (is(word, len, "direct_map")) {
		sp->sp_direct = true;
		return (has_map(sp) ? "vmem, and kmem over it" : NULL);
	} else
		return ("");
	return (has_map(sp) ? NULL : map);
}

static int
complain(char why[MODEL_WHY_MAX], const char *name, const char *what,
    const char *word, size_t len, const char *rest)
{
	(void)snprintf(why, MODEL_WHY_MAX, "%.40s: %s \"%.*s\"%s", name, what,
	    (int)(len < 24 ? len : 24), word, rest);
	return (EINVAL);
}

/* "kmem+vmem": what comes second is what it is over. */
static bool
is_over(struct model_spec *sp, const char *word, size_t len)
{
	return (sp->sp_kind == MODEL_KMEM && kind_of(word, len,
	    &sp->sp_over) && (sp->sp_over == MODEL_KMAP ||
	    sp->sp_over == MODEL_POOLS || sp->sp_over == MODEL_VMEM));
}

int
model_parse(
    const char *name, struct model_spec *sp, char why[MODEL_WHY_MAX])
{
	const char *word = name;
	size_t len = strcspn(word, "+");

	memset(sp, 0, sizeof(*sp));
	sp->sp_va_size = VA_SIZE;
	sp->sp_over = MODEL_VMEM;
	if (strlen(name) >= MODEL_NAME_MAX)
		return (complain(why, name, "too long", "", 0, ""));
	(void)snprintf(sp->sp_name, sizeof(sp->sp_name), "%s", name);
	if (!kind_of(word, len, &sp->sp_kind))
		return (complain(why, name, "no model", word, len,
		    "; there are kernel_map, vacache, pools, kmem, vmem"));
	for (word += len; *word == '+'; word += len) {
		const char *wrong;

		len = strcspn(++word, "+");
		if (is_over(sp, word, len))
			continue;
		wrong = toggle(sp, word, len);
		if (wrong == NULL)
			continue;
		if (*wrong != '\0')
			return (complain(why, name, "only for", wrong,
			    strlen(wrong), ""));
		return (complain(why, name, "no toggle", word, len,
		    "; there are nomerge, self, reserve2, stash, page, low,"
		    " direct_map"));
	}
	return (0);
}

const char *
model_about(const struct model_spec *sp)
{
	static const char *const schemes[] = { "", "two entries before locking",
		"a stash of merged entries", "pages that hold themselves" };

	switch (sp->sp_kind) {
	case MODEL_KMAP:
		if (sp->sp_reserve != RESERVE_NONE)
			return (schemes[sp->sp_reserve]);
		return (sp->sp_self ? "entries live in the map itself" :
		    sp->sp_nomerge ? "every range keeps its entry" :
		    "entries merge; from an ordinary allocator");
	case MODEL_VACACHE:
		return (sp->sp_low ? "caches for 1 to 8 pages before the map" :
		    "caches of page addresses before the map");
	case MODEL_POOLS:
		return ("pools of 4 KiB to 16 MiB pages before the map");
	case MODEL_KMEM:
		return (sp->sp_over == MODEL_VMEM ? "the size table over vmem" :
		    sp->sp_over == MODEL_POOLS ? "the size table over pools" :
		    "the size table over the map");
	case MODEL_VMEM:
		return (sp->sp_direct ? "single wired pages cost no VA" :
		    "arenas; a fault map beside them");
	}
	return ("");
}

/* ---- life ---------------------------------------------------------------- */

void
model_init(struct model *m, const struct model_ops *ops,
    const struct model_spec *spec)
{
	m->m_ops = ops;
	m->m_spec = *spec;
	m->m_counts = &m->m_own;
}

int
model_create(const struct model_spec *spec, struct model **mp)
{
	int error = EINVAL;

	model_context = (struct model_context) { 0, PHASE_CREATE, 0 };
	switch (spec->sp_kind) {
	case MODEL_KMAP:
		error = kmap_model_create(spec, mp);
		break;
	case MODEL_VACACHE:
	case MODEL_POOLS:
	case MODEL_KMEM:
		error = cached_model_create(spec, mp);
		break;
	case MODEL_VMEM:
		error = vmem_model_create(spec, mp);
		break;
	}
	return (error);
}

void
model_destroy(struct model *m)
{
	if (m != NULL)
		m->m_ops->mo_destroy(m);
}

/* ---- counting ------------------------------------------------------------ */

void
model_shows(struct model *m, enum model_claim claim)
{
	uint64_t none = 0;

	if (model_context.cx_op != 0)
		(void)atomic_compare_exchange_strong_explicit(
		    &m->m_counts->ct_first[claim], &none, model_context.cx_op,
		    memory_order_relaxed, memory_order_relaxed);
}

void
model_asked(struct model *m, bool failed)
{
	enum model_phase phase = model_context.cx_phase;

	model_count(&m->m_counts->ct_asked[phase]);
	if (failed)
		model_count(&m->m_counts->ct_failed[phase]);
}

void
model_enter_va(struct model *m)
{
	uint64_t depth = ++model_context.cx_depth;
	uint64_t seen = model_read(&m->m_counts->ct_depth);

	while (depth > seen && !atomic_compare_exchange_weak_explicit(
	    &m->m_counts->ct_depth, &seen, depth, memory_order_relaxed,
	    memory_order_relaxed))
		continue;
}

void
model_leave_va(void)
{
	model_context.cx_depth--;
}
