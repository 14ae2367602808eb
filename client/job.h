/*
 * job.h - a job by its name: a file, standard input (-), or one built in.
 */
#ifndef CLIENT_JOB_H
#define CLIENT_JOB_H

#include "client/ctl.h"
#include "job/job.h"

/*
 * Read and parse it, and put the sizes of traces into it.  A name with a slash
 * or a dot is a file's; any other is looked for among the built-in jobs first.
 * CTL_DONE, or CTL_USAGE, told; `command` is for messages.
 */
enum ctl_exit job_open(const struct ctl *ct, const char *command,
    const char *name, struct job **jobp);

#endif /* CLIENT_JOB_H */
