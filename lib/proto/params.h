/*
 * params.h - from the `params` of a request to typed arguments, by the row of
 * its method in the table; and the same row as a JSON Schema.
 */
#ifndef PROTO_PARAMS_H
#define PROTO_PARAMS_H

#include <jansson.h>

#include "proto/errors.h"
#include "proto/methods.h"

/* One argument.  Which member of the union holds it follows from the type of
 * the parameter; where it wasn't given, its default does, and without one it
 * is zero. */
struct proto_arg {
	bool pa_given;
	union {
		const char *pa_string;	/* PT_STRING; NUL free */
		bool pa_bool;		/* PT_BOOL */
		int64_t pa_int;		/* PT_INT */
		uint64_t pa_size;	/* PT_SIZE, PT_ADDR */
		double pa_real;		/* PT_REAL */
		unsigned int pa_enum;	/* PT_ENUM: place in pp_values */
		const json_t *pa_json;	/* PT_ADDRS (checked), PT_DATA, PT_ANY */
	};
};

#define PROTO_WHY_MAX 160

struct proto_params_error {
	enum proto_error pe_code;
	char pe_field[32];		/* "": no single parameter */
	char pe_why[PROTO_WHY_MAX];
};

/*
 * Check `params` (NULL: left out) against the row and fill args, one for each
 * parameter, in the row's order.  Strings and JSON point into params.  0, or
 * EINVAL with *pe filled, and args undefined.
 */
int proto_params_parse(const struct proto_method *pm, const json_t *params,
    struct proto_arg args[PROTO_PARAMS_MAX], struct proto_params_error *pe);

/* The address of one element of a PT_ADDRS.  0, EINVAL or ERANGE. */
int proto_addr_of(const json_t *value, uint64_t *addrp);

/* The JSON Schema of the row's params; NULL when out of memory. */
json_t *proto_params_schema(const struct proto_method *pm);

#endif /* PROTO_PARAMS_H */
