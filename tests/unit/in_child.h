/*
 * in_child.h - tests in processes of their own: where libvmem must be as no
 * other test has left it, or is to panic.
 */
#ifndef UNIT_IN_CHILD_H
#define UNIT_IN_CHILD_H

#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child, where cmocka's assertions would go on with the next test. */
#define CHECK(cond)                                                          \
	do {                                                                 \
		if (!(cond)) {                                               \
			(void)fprintf(stderr, "%s:%d: expected %s\n",        \
			    __FILE__, __LINE__, #cond);                      \
			_exit(1);                                            \
		}                                                            \
	} while (0)

/* In the parent, after <cmocka.h>: the child has ended, with exit 0. */
#define child_passes(pid)                                                    \
	do {                                                                 \
		int status_;                                                 \
									     \
		assert_int_equal(waitpid((pid), &status_, 0), (pid));        \
		assert_true(WIFEXITED(status_) && WEXITSTATUS(status_) == 0); \
	} while (0)

#endif /* UNIT_IN_CHILD_H */
