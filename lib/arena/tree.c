/*
 * tree.c - the tree of arenas, by source.
 *
 * It is for those who wait: space freed in an arena may serve who waits in
 * those that import from it (wait.c); and what the quantum caches of any arena
 * of the tree hold keeps spans of the common source from whoever waits.  So an
 * arena counts the requests that wait in it or below (vm_waiters_here), and
 * knows whether any waits in its tree at all (vm_waiters_below); while they do,
 * its caches are barred.
 *
 * Visits.  Who goes through the arenas holds a pin on the one it is at, so that
 * it isn't destroyed under it.  On the way vr_done may run, which may destroy
 * that very arena: then vmem_destroy() takes this thread's pins off, and its
 * visits hear that it is gone.
 *
 * The list's lock is taken before all others.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "qcache/qcache.h"

static TAILQ_HEAD(, vmem) arenas = TAILQ_HEAD_INITIALIZER(arenas);
static struct lock arenas_lock;
static uint64_t arenas_id;
static pthread_once_t arenas_once = PTHREAD_ONCE_INIT;

/* This thread's visits, the latest first. */
static __thread __attribute__((tls_model("initial-exec"))) struct visit *visits;

/* ---- the list ----------------------------------------------------------- */

static void
arenas_init(void)
{
	lock_init(&arenas_lock, "arena list", LOCK_ARENA_LIST);
}

static void
list_lock(void) ACQUIRE(arenas_lock)
{
	(void)pthread_once(&arenas_once, arenas_init);
	lock_acquire(&arenas_lock);
}

static void
list_unlock(void) RELEASE(arenas_lock)
{
	lock_release(&arenas_lock);
}

static const struct vmem *
root_of(const struct vmem *vm)
{
	while (vm->vm_parent != NULL)
		vm = vm->vm_parent;
	return (vm);
}

/* Does anybody wait in its tree?  With the list's lock held. */
static void
waiters_update(struct vmem *vm)
{
	unsigned int waits = atomic_load(&root_of(vm)->vm_waiters_here) != 0;

	if (atomic_exchange(&vm->vm_waiters_below, waits) != waits)
		qcache_bar(vm, waits != 0);
}

void
arenas_add(struct vmem *vm)
{
	list_lock();
	vm->vm_id = ++arenas_id;
	TAILQ_INSERT_TAIL(&arenas, vm, vm_list);
	waiters_update(vm);
	list_unlock();
}

/* This thread's own visits end: who waited for them would wait for itself. */
static void
visits_leave(struct vmem *vm)
{
	for (struct visit *v = visits; v != NULL; v = v->vs_outer)
		if (v->vs_vm == vm) {
			v->vs_vm = NULL;
			arena_unpin(vm);
		}
}

/* Nobody finds it any more, and nobody who found it is still there. */
void
arenas_remove(struct vmem *vm)
{
	(void)arenas_set_parent(vm, NULL);
	list_lock();
	if (vm->vm_children != 0)
		vmem_panic("vmem_destroy(\"%s\"): %u arenas import from it "
		    "(expected 0)", vm->vm_name, vm->vm_children);
	TAILQ_REMOVE(&arenas, vm, vm_list);
	list_unlock();
	visits_leave(vm);
	while (atomic_load_explicit(&vm->vm_pins, memory_order_acquire) != 0)
		(void)sched_yield();
}

/* ---- who waits ------------------------------------------------------------ */

/* So many more, or fewer, wait in vm or below: with the list's lock held. */
static void
count_up(struct vmem *vm, unsigned int more)
{
	const struct vmem *root = root_of(vm);
	bool before = atomic_load(&root->vm_waiters_here) != 0;
	struct vmem *other;

	for (; vm != NULL; vm = vm->vm_parent)
		atomic_fetch_add(&vm->vm_waiters_here, more);
	if ((atomic_load(&root->vm_waiters_here) != 0) == before)
		return;
	TAILQ_FOREACH(other, &arenas, vm_list)
		if (root_of(other) == root)
			waiters_update(other);
}

/* One request more, or less, waits in vm: it counts there and above. */
void
arenas_count_waiting(struct vmem *vm, int sign)
{
	list_lock();
	count_up(vm, sign < 0 ? 0 - 1u : 1u);
	list_unlock();
}

/* How many levels vm is below root, or 0. */
static unsigned int
levels_to(const struct vmem *vm, const struct vmem *root)
{
	unsigned int levels = 0;

	for (; vm != NULL && vm != root; vm = vm->vm_parent)
		levels++;
	return (vm == NULL ? 0 : levels);
}

int
arenas_set_parent(struct vmem *vm, struct vmem *parent)
{
	unsigned int depth = 0, waiting;
	struct vmem *below;
	int error = 0;

	list_lock();
	if (parent != NULL)
		TAILQ_FOREACH(below, &arenas, vm_list)
			if (levels_to(below, vm) > depth)
				depth = levels_to(below, vm);
	for (struct vmem *up = parent; up != NULL; up = up->vm_parent)
		if (up == vm || ++depth >= VMEM_DEPTH_MAX)
			error = EINVAL;
	if (error == 0) {
		waiting = atomic_load(&vm->vm_waiters_here);
		if (vm->vm_parent != NULL) {
			vm->vm_parent->vm_children--;
			count_up(vm->vm_parent, 0 - waiting);
		}
		vm->vm_parent = parent;
		if (parent != NULL) {
			parent->vm_children++;
			count_up(parent, waiting);
		}
		TAILQ_FOREACH(below, &arenas, vm_list)
			waiters_update(below);
	}
	list_unlock();
	return (error);
}

int
vmem_set_upstream(vmem_t *vm, vmem_t *source)
{
	return (arenas_set_parent(vm, source));
}

static bool
is_below(const struct vmem *vm, const struct vmem *root)
{
	while (vm != NULL && vm != root)
		vm = vm->vm_parent;
	return (vm == root);
}

/* ---- fork(2): fork.c ----------------------------------------------------- */

/* When the library is loaded. */
static void __attribute__((__constructor__))
tree_loaded(void)
{
	fork_register();
}

void
tree_fork(bool hold)
{
	(void)pthread_once(&arenas_once, arenas_init);
	if (hold)
		lock_hold(&arenas_lock);
	else
		lock_let_go(&arenas_lock);
}

/* The arena after vm (NULL: the first): with the list's lock held. */
struct vmem *
tree_after(const struct vmem *vm)
{
	return (vm == NULL ? TAILQ_FIRST(&arenas) : TAILQ_NEXT(vm, vm_list));
}

/* In the child nobody waits, and no visits are under way but its own. */
void
tree_fork_child(void)
{
	struct vmem *vm;

	TAILQ_FOREACH(vm, &arenas, vm_list) {
		atomic_store(&vm->vm_waiters_here, 0);
		atomic_store(&vm->vm_waiters_below, 0);
		atomic_store(&vm->vm_pins, 0);
	}
	for (struct visit *v = visits; v != NULL; v = v->vs_outer)
		if (v->vs_vm != NULL)
			atomic_fetch_add(&v->vs_vm->vm_pins, 1);
}

/* ---- visits ---------------------------------------------------------------- */

void
arena_unpin(struct vmem *vm)
{
	atomic_fetch_sub_explicit(&vm->vm_pins, 1, memory_order_release);
}

/* Be at vm, which the caller knows to be there. */
void
visit_begin(struct visit *v, struct vmem *vm)
{
	atomic_fetch_add_explicit(&vm->vm_pins, 1, memory_order_relaxed);
	*v = (struct visit) { .vs_vm = vm, .vs_outer = visits };
	visits = v;
}

void
visit_end(struct visit *v)
{
	if (v->vs_vm != NULL)
		arena_unpin(v->vs_vm);
	visits = v->vs_outer;
}

/* Go to each arena in or below root (NULL: any) in turn. */
void
visit_start(struct visit *v, const struct vmem *root)
{
	*v = (struct visit) { .vs_root = root, .vs_outer = visits };
	visits = v;
}

/* On to the next, in order of creation: v->vs_vm.  false: there is none, and
 * the visit is over. */
bool
visit_next(struct visit *v)
{
	struct vmem *vm;

	if (v->vs_vm != NULL)
		arena_unpin(v->vs_vm);
	list_lock();
	TAILQ_FOREACH(vm, &arenas, vm_list)
		if (vm->vm_id > v->vs_id &&
		    (v->vs_root == NULL || is_below(vm, v->vs_root)))
			break;
	v->vs_vm = vm;
	if (vm != NULL) {
		v->vs_id = vm->vm_id;
		atomic_fetch_add_explicit(
		    &vm->vm_pins, 1, memory_order_relaxed);
	}
	list_unlock();
	if (vm == NULL)
		visits = v->vs_outer;
	return (vm != NULL);
}

/* Empty the quantum caches of the others in vm's tree: what they hold is kept
 * from the source that vm imports from. */
void
tree_reap(struct vmem *vm)
{
	const struct vmem *root;
	struct visit v;

	list_lock();
	root = root_of(vm);
	list_unlock();
	visit_start(&v, root);
	while (visit_next(&v))
		if (v.vs_vm != vm && qcache_reap(v.vs_vm) > 0)
			wait_serve_tree(v.vs_vm);
}
