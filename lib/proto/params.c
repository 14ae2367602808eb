/*
 * params.c - see params.h.
 *
 * Nothing of what a client sends is believed before it has passed here: every
 * member known, of the right type, within its bounds, every required one
 * present.  What depends on more than one parameter, or on the arena, is left
 * to the handlers.
 */
#include "config.h"

#include "proto/params.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/quantity.h"

static int refuse(struct proto_params_error *pe, const char *field,
    const char *fmt, ...) __attribute__((__format__(__printf__, 3, 4)));

static int
refuse(struct proto_params_error *pe, const char *field, const char *fmt, ...)
{
	va_list ap;

	pe->pe_code = PE_PARAMS;
	(void)snprintf(pe->pe_field, sizeof(pe->pe_field), "%s",
	    field != NULL ? field : "");
	va_start(ap, fmt);
	(void)vsnprintf(pe->pe_why, sizeof(pe->pe_why), fmt, ap);
	va_end(ap);
	return (EINVAL);
}

/* An unsigned quantity: an integer that isn't negative, or a string. */
static int
quantity_of(const json_t *value, int (*parse)(const char *, uint64_t *),
    uint64_t *out)
{
	if (json_is_integer(value)) {
		json_int_t i = json_integer_value(value);

		if (i < 0)
			return (ERANGE);
		*out = (uint64_t)i;
		return (0);
	}
	if (json_is_string(value))
		return (parse(json_string_value(value), out));
	return (EINVAL);
}

int
proto_addr_of(const json_t *value, uint64_t *addrp)
{
	return (quantity_of(value, quantity_addr, addrp));
}

static int
parse_quantity(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	bool is_size = pp->pp_type == PT_SIZE;
	int error;

	error = quantity_of(
	    value, is_size ? quantity_size : quantity_addr, &arg->pa_size);
	if (error == ERANGE)
		return (refuse(pe, pp->pp_name,
		    "%s: out of range: 0 to 2^64-1", pp->pp_name));
	if (error != 0)
		return (refuse(pe, pp->pp_name, "%s: expected %s", pp->pp_name,
		    is_size ? "an integer, \"0x...\", or \"64K\"" :
			      "an integer or \"0x...\""));
	return (0);
}

static int
parse_enum(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	const char *text = json_string_value(value), *word = pp->pp_values;
	size_t len = text != NULL ? strlen(text) : 0;

	for (unsigned int i = 0; len > 0; i++) {
		size_t n = strcspn(word, " ");

		if (n == len && memcmp(word, text, n) == 0) {
			arg->pa_enum = i;
			return (0);
		}
		if (word[n] == '\0')
			break;
		word += n + 1;
	}
	return (refuse(
	    pe, pp->pp_name, "%s: expected one of: %s", pp->pp_name,
	    pp->pp_values));
}

static int
parse_int(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	arg->pa_int = json_integer_value(value);
	if (!json_is_integer(value) || arg->pa_int < pp->pp_min ||
	    arg->pa_int > pp->pp_max)
		return (refuse(pe, pp->pp_name,
		    "%s: expected an integer from %" PRId64 " to %" PRId64,
		    pp->pp_name, pp->pp_min, pp->pp_max));
	return (0);
}

static int
parse_real(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	arg->pa_real = json_number_value(value);
	if (!json_is_number(value) || arg->pa_real < (double)pp->pp_min ||
	    arg->pa_real > (double)pp->pp_max)
		return (refuse(pe, pp->pp_name,
		    "%s: expected a number from %" PRId64 " to %" PRId64,
		    pp->pp_name, pp->pp_min, pp->pp_max));
	return (0);
}

static int
parse_addrs(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	uint64_t addr;
	size_t i, n = json_array_size(value);

	if (n == 0)
		return (refuse(pe, pp->pp_name,
		    "%s: expected an array of addresses", pp->pp_name));
	for (i = 0; i < n; i++)
		if (proto_addr_of(json_array_get(value, i), &addr) != 0)
			return (refuse(pe, pp->pp_name,
			    "%s[%zu]: expected an integer or \"0x...\"",
			    pp->pp_name, i));
	arg->pa_json = value;
	return (0);
}

static int
parse_one(const struct proto_param *pp, const json_t *value,
    struct proto_arg *arg, struct proto_params_error *pe)
{
	switch (pp->pp_type) {
	case PT_STRING:
		if (!json_is_string(value))
			break;
		arg->pa_string = json_string_value(value);
		return (0);
	case PT_BOOL:
		if (!json_is_boolean(value))
			break;
		arg->pa_bool = json_is_true(value);
		return (0);
	case PT_DATA:
		if (!json_is_string(value))
			break;
		arg->pa_json = value;
		return (0);
	case PT_INT:
		return (parse_int(pp, value, arg, pe));
	case PT_SIZE:
	case PT_ADDR:
		return (parse_quantity(pp, value, arg, pe));
	case PT_ADDRS:
		return (parse_addrs(pp, value, arg, pe));
	case PT_REAL:
		return (parse_real(pp, value, arg, pe));
	case PT_ENUM:
		return (parse_enum(pp, value, arg, pe));
	case PT_ANY:
		arg->pa_json = value;
		return (0);
	}
	return (refuse(pe, pp->pp_name, "%s: expected %s", pp->pp_name,
	    pp->pp_type == PT_BOOL ? "true or false" :
	    pp->pp_type == PT_DATA ? "a string in base64" : "a string"));
}

/* The default of a parameter, as the table writes it. */
static void
default_of(const struct proto_param *pp, struct proto_arg *arg)
{
	const char *text = pp->pp_default;

	memset(arg, 0, sizeof(*arg));
	if (text == NULL)
		return;
	switch (pp->pp_type) {
	case PT_STRING:
		arg->pa_string = text;
		break;
	case PT_BOOL:
		arg->pa_bool = strcmp(text, "true") == 0;
		break;
	case PT_INT:
		arg->pa_int = strtoll(text, NULL, 10);
		break;
	case PT_SIZE:
	case PT_ADDR:
		(void)quantity_size(text, &arg->pa_size);
		break;
	case PT_REAL:
		arg->pa_real = strtod(text, NULL);
		break;
	case PT_ENUM: {
		json_t *word = json_string(text);
		struct proto_params_error pe;

		(void)parse_enum(pp, word, arg, &pe);
		json_decref(word);
		break;
	}
	case PT_ADDRS:
	case PT_DATA:
	case PT_ANY:
		break;
	}
}

/* `idem` may come with any request one day; until then it is known, and said
 * to be unsupported rather than unknown. */
static int
unknown_member(const struct proto_method *pm, const char *name,
    struct proto_params_error *pe)
{
	if (strcmp(name, "idem") == 0) {
		(void)refuse(pe, name, "idem isn't supported in this version");
		pe->pe_code = PE_NOT_SUPPORTED;
		return (EINVAL);
	}
	return (refuse(
	    pe, name, "%s has no parameter %.64s", pm->pm_name, name));
}

int
proto_params_parse(const struct proto_method *pm, const json_t *params,
    struct proto_arg args[PROTO_PARAMS_MAX], struct proto_params_error *pe)
{
	unsigned int i, n = proto_param_count(pm);
	const char *name;
	json_t *value, *object;
	int error;

	if (params != NULL && !json_is_object(params))
		return (refuse(
		    pe, NULL, "params are by name: expected an object"));
	for (i = 0; i < n; i++)
		default_of(&pm->pm_params[i], &args[i]);
	/* jansson iterates over const objects only through this cast. */
	object = (json_t *)(uintptr_t)params;
	json_object_foreach(object, name, value) {
		const struct proto_param *pp = proto_param_find(pm, name, &i);

		if (pp == NULL)
			return (unknown_member(pm, name, pe));
		error = parse_one(pp, value, &args[i], pe);
		if (error != 0)
			return (error);
		args[i].pa_given = true;
	}
	for (i = 0; i < n; i++)
		if (pm->pm_params[i].pp_flags & PP_REQUIRED &&
		    !args[i].pa_given)
			return (refuse(pe, pm->pm_params[i].pp_name,
			    "%s is missing", pm->pm_params[i].pp_name));
	return (0);
}

/* ---- the row as a JSON Schema ------------------------------------------- */

static json_t *
schema_enum(const char *values)
{
	json_t *words = json_array();

	for (const char *w = values; *w != '\0';) {
		size_t n = strcspn(w, " ");

		(void)json_array_append_new(words, json_stringn(w, n));
		w += n + (w[n] == ' ');
	}
	return (json_pack("{s:s, s:o}", "type", "string", "enum", words));
}

static json_t *
schema_quantity(const char *pattern)
{
	return (json_pack("{s:[{s:s, s:i}, {s:s, s:s}]}", "oneOf", "type",
	    "integer", "minimum", 0, "type", "string", "pattern", pattern));
}

static json_t *
schema_bounded(const struct proto_param *pp, const char *type)
{
	return (json_pack("{s:s, s:I, s:I}", "type", type, "minimum",
	    (json_int_t)pp->pp_min, "maximum", (json_int_t)pp->pp_max));
}

#define PATTERN_ADDR "^(0[xX][0-9a-fA-F]+|[0-9]+)$"
#define PATTERN_SIZE "^(0[xX][0-9a-fA-F]+|[0-9]+[KMGTPEkmgtpe]?)$"

static json_t *
schema_of(const struct proto_param *pp)
{
	switch (pp->pp_type) {
	case PT_STRING:
		return (json_pack("{s:s}", "type", "string"));
	case PT_BOOL:
		return (json_pack("{s:s}", "type", "boolean"));
	case PT_INT:
		return (schema_bounded(pp, "integer"));
	case PT_REAL:
		return (schema_bounded(pp, "number"));
	case PT_SIZE:
		return (schema_quantity(PATTERN_SIZE));
	case PT_ADDR:
		return (schema_quantity(PATTERN_ADDR));
	case PT_ADDRS:
		return (json_pack("{s:s, s:i, s:o}", "type", "array",
		    "minItems", 1, "items", schema_quantity(PATTERN_ADDR)));
	case PT_ENUM:
		return (schema_enum(pp->pp_values));
	case PT_DATA:
		return (json_pack("{s:s, s:s}", "type", "string",
		    "contentEncoding", "base64"));
	case PT_ANY:
		return (json_object());
	}
	return (NULL);
}

/* The default, of the type that a request would give. */
static json_t *
schema_default(const struct proto_param *pp)
{
	struct proto_arg arg;

	default_of(pp, &arg);
	if (pp->pp_type == PT_BOOL)
		return (json_boolean(arg.pa_bool));
	if (pp->pp_type == PT_INT)
		return (json_integer(arg.pa_int));
	if (pp->pp_type == PT_REAL)
		return (json_real(arg.pa_real));
	if (pp->pp_type == PT_SIZE)
		return (json_integer((json_int_t)arg.pa_size));
	return (json_string(pp->pp_default));
}

json_t *
proto_params_schema(const struct proto_method *pm)
{
	json_t *properties = json_object(), *required = json_array();
	const struct proto_param *pp;

	for (pp = pm->pm_params; pp->pp_name != NULL; pp++) {
		json_t *one = schema_of(pp);

		(void)json_object_set_new(
		    one, "description", json_string(pp->pp_help));
		if (pp->pp_default != NULL)
			(void)json_object_set_new(
			    one, "default", schema_default(pp));
		(void)json_object_set_new(properties, pp->pp_name, one);
		if (pp->pp_flags & PP_REQUIRED)
			(void)json_array_append_new(
			    required, json_string(pp->pp_name));
	}
	return (json_pack("{s:s, s:o, s:o, s:b}", "type", "object",
	    "properties", properties, "required", required,
	    "additionalProperties", 0));
}
