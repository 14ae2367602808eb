/*
 * counters.c - see counters.h.
 */
#include "config.h"

#include "daemon/counters.h"

#include "daemon/backing.h"
#include "daemon/cache.h"
#include "daemon/jsonw.h"

void
counters_clear(struct counters *co)
{
	memset(co, 0, sizeof(*co));
	for (unsigned int i = 0; i < ARENA_OPS; i++)
		hist_init(&co->co_latency[i]);
}

/* An arena's share of the memory for tags, by their number. */
static uint64_t
tag_bytes(const struct vmem_stat *vs)
{
	struct vmem_meta_stat ms;

	vmem_meta_stat(&ms);
	if (ms.ms_tags_total == 0)
		return (vs->vs_meta_bytes);
	return (vs->vs_meta_bytes + (uint64_t)((double)ms.ms_tag_bytes *
	    (double)(vs->vs_tags + vs->vs_tags_free) /
	    (double)ms.ms_tags_total));
}

/* The frames and the swap are everybody's; the rest is the map's own. */
static void
pager_of(const struct arena *ar, struct vmpager_stat *ps)
{
	struct vmpager_stat all;

	vmpager_stat(ar->ar_backing->bk_pager, &all);
	vmpager_map_stat(ar->ar_map, ps);
	ps->ps_frames_total = all.ps_frames_total;
	ps->ps_frames_free = all.ps_frames_free;
	ps->ps_swap_total_bytes = all.ps_swap_total_bytes;
	ps->ps_swap_used_bytes = all.ps_swap_used_bytes;
}

void
counters_of(struct arena *ar, struct counters *co)
{
	memset(co, 0, offsetof(struct counters, co_latency));
	cache_count(ar, &co->co_vmem);
	co->co_has_direct = ar->ar_kmem != NULL;
	if (co->co_has_direct) {
		direct_stat(ar->ar_backing->bk_direct, &co->co_direct);
		co->co_direct_on = direct_on(ar->ar_backing->bk_direct);
	}
	co->co_tag_bytes = tag_bytes(&co->co_vmem);
	co->co_has_pager = ar->ar_kind == ARENA_PAGEABLE;
	if (co->co_has_pager)
		pager_of(ar, &co->co_pager);
	lock_acquire(&ar->ar_latency_lock);
	memcpy(co->co_latency, ar->ar_latency, sizeof(co->co_latency));
	lock_release(&ar->ar_latency_lock);
}

void
counters_add(struct counters *total, const struct arena *ar,
    const struct counters *co)
{
	struct vmem_stat *t = &total->co_vmem;
	const struct vmem_stat *vs = &co->co_vmem;

	if (ar->ar_source == NULL) {
		t->vs_size += vs->vs_size;
		t->vs_inuse += vs->vs_inuse;
		t->vs_free += vs->vs_free;
		if (vs->vs_largest_free > t->vs_largest_free)
			t->vs_largest_free = vs->vs_largest_free;
	}
	t->vs_segments += vs->vs_segments;
	t->vs_free_segments += vs->vs_free_segments;
	t->vs_allocs += vs->vs_allocs;
	t->vs_frees += vs->vs_frees;
	t->vs_fails += vs->vs_fails;
	t->vs_waits += vs->vs_waits;
	t->vs_waiting += vs->vs_waiting;
	t->vs_imports += vs->vs_imports;
	t->vs_releases += vs->vs_releases;
	t->vs_lookups += vs->vs_lookups;
	t->vs_tags += vs->vs_tags;
	t->vs_tags_free += vs->vs_tags_free;
	t->vs_qc_hits += vs->vs_qc_hits;
	t->vs_qc_misses += vs->vs_qc_misses;
	t->vs_qc_fills += vs->vs_qc_fills;
	t->vs_qc_drains += vs->vs_qc_drains;
	t->vs_qc_held_bytes += vs->vs_qc_held_bytes;
	t->vs_qc_idle_bytes += vs->vs_qc_idle_bytes;
	t->vs_qc_slabs += vs->vs_qc_slabs;
	t->vs_qc_restarts += vs->vs_qc_restarts;
	total->co_tag_bytes += co->co_tag_bytes;
	total->co_has_pager = true;
	for (unsigned int i = 0; i < ARENA_OPS; i++)
		hist_merge(&total->co_latency[i], &co->co_latency[i]);
}

void
hist_write(struct buf *b, const struct hist *hi)
{
	jw_open(b, '{');
	jw_ku64(b, "count", hi->hi_count);
	jw_ku64(b, "p50_ns", hist_quantile(hi, 0.5));
	jw_ku64(b, "p90_ns", hist_quantile(hi, 0.9));
	jw_ku64(b, "p99_ns", hist_quantile(hi, 0.99));
	jw_ku64(b, "p999_ns", hist_quantile(hi, 0.999));
	jw_ku64(b, "max_ns", hi->hi_max);
	jw_kopen(b, "buckets", '[');
	for (unsigned int i = 0; hi->hi_count > 0 && i < HIST_BUCKETS; i++) {
		if (hi->hi_buckets[i] == 0)
			continue;
		jw_open(b, '[');
		jw_u64(b, i);
		jw_u64(b, hi->hi_buckets[i]);
		jw_close(b, ']');
	}
	jw_close(b, ']');
	jw_close(b, '}');
}

static void
write_vmem(struct buf *b, const struct counters *co)
{
	const struct vmem_stat *vs = &co->co_vmem;

	jw_ku64(b, "size_bytes", vs->vs_size);
	jw_ku64(b, "inuse_bytes", vs->vs_inuse);
	jw_ku64(b, "free_bytes", vs->vs_free);
	jw_ku64(b, "largest_free_bytes", vs->vs_largest_free);
	jw_ku64(b, "segments", vs->vs_segments);
	jw_ku64(b, "free_segments", vs->vs_free_segments);
	jw_kreal(b, "external_fragmentation", vs->vs_free == 0 ? 0 :
	    1 - (double)vs->vs_largest_free / (double)vs->vs_free);
	jw_ku64(b, "allocs", vs->vs_allocs);
	jw_ku64(b, "frees", vs->vs_frees);
	jw_ku64(b, "fails", vs->vs_fails);
	jw_ku64(b, "waits", vs->vs_waits);
	jw_ku64(b, "waiting", vs->vs_waiting);
	jw_ku64(b, "imports", vs->vs_imports);
	jw_ku64(b, "releases", vs->vs_releases);
	jw_ku64(b, "lookups", vs->vs_lookups);
	jw_ku64(b, "tags_total", vs->vs_tags + vs->vs_tags_free);
	jw_ku64(b, "tags_free", vs->vs_tags_free);
	jw_ku64(b, "tag_bytes", co->co_tag_bytes);
	jw_kopen(b, "qcache", '{');
	jw_ku64(b, "hits", vs->vs_qc_hits);
	jw_ku64(b, "misses", vs->vs_qc_misses);
	jw_ku64(b, "fills", vs->vs_qc_fills);
	jw_ku64(b, "drains", vs->vs_qc_drains);
	jw_ku64(b, "held_bytes", vs->vs_qc_held_bytes);
	jw_ku64(b, "idle_bytes", vs->vs_qc_idle_bytes);
	jw_ku64(b, "slabs", vs->vs_qc_slabs);
	jw_ku64(b, "restarts", vs->vs_qc_restarts);
	jw_close(b, '}');
}

/* The buckets are those of util/hist.h, so that this is the same histogram but
 * for where in its bucket a value was. */
static void
add_bucket(void *arg, uint64_t low_ns, uint64_t high_ns, uint64_t count)
{
	struct hist *hi = arg;
	uint64_t middle = low_ns + (high_ns - low_ns) / 2;

	hi->hi_buckets[hist_index(low_ns)] += count;
	hi->hi_count += count;
	hi->hi_sum += count * middle;
	if (low_ns < hi->hi_min)
		hi->hi_min = low_ns;
	if (high_ns > hi->hi_max)
		hi->hi_max = high_ns;
}

/* Of all arenas together: the pager's own, by kind of fault. */
static void
write_fault_latency(struct buf *b, struct vmpager *pager)
{
	static const char *const kinds[VMPAGER_FAULTS] = {
		[VMPAGER_FAULT_ZERO] = "zero",
		[VMPAGER_FAULT_MAJOR] = "major",
		[VMPAGER_FAULT_UPGRADE] = "upgrade",
		[VMPAGER_FAULT_WAIT] = "wait",
	};
	struct hist hi;

	jw_kopen(b, "fault_latency", '{');
	for (unsigned int i = 0; i < VMPAGER_FAULTS; i++) {
		hist_init(&hi);
		vmpager_latency(
		    pager, (enum vmpager_fault)i, add_bucket, &hi);
		jw_key(b, kinds[i]);
		hist_write(b, &hi);
	}
	jw_close(b, '}');
}

static void
write_pager(struct buf *b, const struct vmpager_stat *ps)
{
	uint64_t faults = ps->ps_faults_minor + ps->ps_faults_major;

	jw_kopen(b, "pager", '{');
	jw_ku64(b, "faults_minor", ps->ps_faults_minor);
	jw_ku64(b, "faults_major", ps->ps_faults_major);
	jw_ku64(b, "faults_zero", ps->ps_faults_zero);
	jw_ku64(b, "evictions", ps->ps_evictions);
	jw_ku64(b, "writebacks", ps->ps_writebacks);
	jw_ku64(b, "frames_total", ps->ps_frames_total);
	jw_ku64(b, "frames_free", ps->ps_frames_free);
	jw_ku64(b, "swap_total_bytes", ps->ps_swap_total_bytes);
	jw_ku64(b, "swap_used_bytes", ps->ps_swap_used_bytes);
	jw_ku64(b, "map_entries", ps->ps_map_entries);
	jw_ku64(b, "registered_pages", ps->ps_registered_pages);
	jw_ku64(b, "resident_pages", ps->ps_resident_pages);
	jw_ku64(b, "dirty_pages", ps->ps_dirty_pages);
	jw_ku64(b, "no_frames", ps->ps_no_frames);
	jw_ku64(b, "accesses", ps->ps_accesses);
	jw_kreal(b, "miss_ratio", ps->ps_accesses == 0 ? 0 :
	    (double)faults / (double)ps->ps_accesses);
	jw_ku64(b, "pageins", ps->ps_swapins);
	jw_ku64(b, "pageouts", ps->ps_writebacks);
	jw_ku64(b, "scans", ps->ps_scanned);
	jw_ku64(b, "reactivations", ps->ps_reactivated);
	jw_ku64(b, "refaults", ps->ps_refaults);
	jw_ku64(b, "traps", ps->ps_traps);
	jw_ku64(b, "upgrades", ps->ps_upgrades);
	jw_ku64(b, "prefetched", ps->ps_prefetched);
	jw_ku64(b, "prefetch_hits", ps->ps_prefetch_hits);
	jw_ku64(b, "prefetch_waste", ps->ps_prefetch_waste);
	jw_ku64(b, "waits", ps->ps_waits);
	jw_ku64(b, "read_errors", ps->ps_read_errors);
	jw_ku64(b, "write_errors", ps->ps_write_errors);
	jw_ku64(b, "pinned_pages", ps->ps_pinned_pages);
	jw_close(b, '}');
}

static void
write_direct(struct buf *b, const struct counters *co)
{
	jw_kopen(b, "direct_map", '{');
	jw_kbool(b, "on", co->co_direct_on);
	jw_ku64(b, "pages", co->co_direct.ds_used);
	jw_ku64(b, "pages_free", co->co_direct.ds_warm);
	jw_ku64(b, "allocs", co->co_direct.ds_gets);
	jw_ku64(b, "frees", co->co_direct.ds_puts);
	jw_ku64(b, "fails", co->co_direct.ds_fails);
	jw_close(b, '}');
}

void
counters_write(struct buf *b, const struct counters *co)
{
	static const char *const ops[ARENA_OPS] = { "alloc", "free", "fault" };

	write_vmem(b, co);
	if (co->co_has_pager)
		write_pager(b, &co->co_pager);
	if (co->co_has_direct)
		write_direct(b, co);
	if (co->co_vmpager != NULL)
		write_fault_latency(b, co->co_vmpager);
	jw_kopen(b, "latency", '{');
	for (unsigned int i = 0; i < ARENA_OPS; i++) {
		jw_key(b, ops[i]);
		hist_write(b, &co->co_latency[i]);
	}
	jw_close(b, '}');
}
