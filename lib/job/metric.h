/*
 * metric.h - what a threshold is about.
 */
#ifndef JOB_METRIC_H
#define JOB_METRIC_H

#include "job/job.h"

/* Fill in what jt_metric means.  EINVAL: there is no such metric; *likep: the
 * one that may have been meant, or NULL. */
int job_metric_parse(const struct job *job, struct job_threshold *jt,
    const char **likep);

/* "<=", ">=", "=" */
const char *job_compare_text(enum job_compare compare);
bool job_compare_holds(enum job_compare compare, double value, double limit);

#endif /* JOB_METRIC_H */
