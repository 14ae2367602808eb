/*
 * args.c - see args.h.
 */
#include "config.h"

#include "client/args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/closest.h"
#include "proto/quantity.h"

#define OPTIONS_MAX 48

struct parser {
	const struct command *pa_command;
	struct args *pa_args;
	struct args_error *pa_error;
};

static int
wrong(struct args_error *err, const char *field, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));

static int
wrong(struct args_error *err, const char *field, const char *fmt, ...)
{
	va_list ap;

	(void)snprintf(err->ae_field, sizeof(err->ae_field), "%s",
	    field != NULL ? field : "");
	va_start(ap, fmt);
	(void)vsnprintf(err->ae_text, sizeof(err->ae_text), fmt, ap);
	va_end(ap);
	return (EINVAL);
}

char *
args_option_name(const struct proto_param *pp, char *buf, size_t size)
{
	char *p;

	(void)snprintf(buf, size, "%s", pp->pp_name);
	for (p = buf; *p != '\0'; p++)
		if (*p == '_')
			*p = '-';
	return (buf);
}

const char *
args_placeholder(const struct proto_param *pp)
{
	static const struct {
		const char *name, *placeholder;
	} strings[] = {
		{ "arena", "NAME" }, { "source", "NAME" }, { "name", "NAME" },
		{ "svg", "FILE" }, { "png", "FILE" }, { "file", "FILE" },
	};

	switch (pp->pp_type) {
	case PT_STRING:
		for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]);
		     i++)
			if (strcmp(strings[i].name, pp->pp_name) == 0)
				return (strings[i].placeholder);
		return ("TEXT");
	case PT_BOOL:
		return ("");
	case PT_INT:
		return ("N");
	case PT_SIZE:
		return ("BYTES");
	case PT_ADDR:
		return ("ADDR");
	case PT_ADDRS:
		return ("ADDR...");
	case PT_REAL:
		return ("X");
	case PT_ENUM:
		return ("WORD");
	case PT_DATA:
		return ("DATA");
	case PT_ANY:
		return ("VALUE");
	}
	return ("VALUE");
}

/* ---- values ------------------------------------------------------------- */

static json_t *
number_json(uint64_t value)
{
	char text[32];

	if (value <= INT64_MAX)
		return (json_integer((json_int_t)value));
	(void)snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return (json_string(text));
}

static int
size_value(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	uint64_t value;
	int error = quantity_size(text, &value);

	if (error == ERANGE)
		return (wrong(err, pp->pp_name,
		    "\"%s\" is more than 2^64-1 bytes", text));
	if (error != 0)
		return (wrong(err, pp->pp_name, "\"%s\" is not a size: write"
		    " bytes (4096, 0x1000) or with K, M, G, T (64K)", text));
	*jp = number_json(value);
	return (0);
}

static int
addr_value(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	char hex[32];
	uint64_t value;
	int error = quantity_addr(text, &value);

	if (error == ERANGE)
		return (wrong(
		    err, pp->pp_name, "\"%s\" is above 2^64-1", text));
	if (error != 0)
		return (wrong(err, pp->pp_name, "\"%s\" is not an address:"
		    " write it as 0x1000 or 4096", text));
	(void)snprintf(hex, sizeof(hex), "0x%" PRIx64, value);
	*jp = json_string(hex);
	return (0);
}

static int
int_value(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (*text == '\0' || *end != '\0' || isspace((unsigned char)*text))
		return (wrong(err, pp->pp_name,
		    "\"%s\" is not a whole number", text));
	if (errno == ERANGE || value < pp->pp_min || value > pp->pp_max)
		return (wrong(err, pp->pp_name, "%s is not within %" PRId64
		    " to %" PRId64, text, pp->pp_min, pp->pp_max));
	*jp = json_integer(value);
	return (0);
}

static int
real_value(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !isfinite(value))
		return (
		    wrong(err, pp->pp_name, "\"%s\" is not a number", text));
	if (value < (double)pp->pp_min || value > (double)pp->pp_max)
		return (wrong(err, pp->pp_name, "%s is not within %" PRId64
		    " to %" PRId64, text, pp->pp_min, pp->pp_max));
	*jp = json_real(value);
	return (0);
}

static int
enum_value(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	const char *words[OPTIONS_MAX], *like;
	char copy[256], *save = NULL;
	size_t n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", pp->pp_values);
	for (char *w = strtok_r(copy, " ", &save);
	     w != NULL && n < OPTIONS_MAX; w = strtok_r(NULL, " ", &save)) {
		if (strcmp(w, text) == 0) {
			*jp = json_string(text);
			return (0);
		}
		words[n++] = w;
	}
	like = closest(text, words, n);
	return (wrong(err, pp->pp_name, "\"%s\" is none of: %s%s%s%s", text,
	    pp->pp_values, like != NULL ? "; did you mean \"" : "",
	    like != NULL ? like : "", like != NULL ? "\"?" : ""));
}

/* Any JSON; what isn't JSON is a string, so that nobody has to quote twice. */
static int
any_value(const char *text, json_t **jp)
{
	*jp = json_loads(text, JSON_DECODE_ANY, NULL);
	if (*jp == NULL)
		*jp = json_string(text);
	return (0);
}

static int
value_of(const struct proto_param *pp, const char *text,
    struct args_error *err, json_t **jp)
{
	int error = 0;

	*jp = NULL;
	switch (pp->pp_type) {
	case PT_SIZE:
		error = size_value(pp, text, err, jp);
		break;
	case PT_ADDR:
	case PT_ADDRS:
		error = addr_value(pp, text, err, jp);
		break;
	case PT_INT:
		error = int_value(pp, text, err, jp);
		break;
	case PT_REAL:
		error = real_value(pp, text, err, jp);
		break;
	case PT_ENUM:
		error = enum_value(pp, text, err, jp);
		break;
	case PT_ANY:
		error = any_value(text, jp);
		break;
	case PT_STRING:
	case PT_DATA:
	case PT_BOOL:
		*jp = json_string(text);
		break;
	}
	if (error == 0 && *jp == NULL)
		return (wrong(err, pp->pp_name, "\"%s\" is not UTF-8", text));
	return (error);
}

/* ---- placing them ------------------------------------------------------- */

/* The object that a row's value goes to: the method's, or our own. */
static json_t *
home_of(const struct parser *pa, const struct proto_param *pp)
{
	const struct proto_param *own = pa->pa_command->cm_own;

	for (; own->pp_name != NULL; own++)
		if (own == pp)
			return (pa->pa_args->ar_own);
	return (pa->pa_args->ar_params);
}

static int
place(struct parser *pa, const struct proto_param *pp, json_t *value)
{
	json_t *home = home_of(pa, pp);

	if (pp->pp_type == PT_ADDRS) {
		json_t *list = json_object_get(home, pp->pp_name);

		if (list == NULL) {
			list = json_array();
			(void)json_object_set_new(home, pp->pp_name, list);
		}
		return (json_array_append_new(list, value) == 0 ? 0 : ENOMEM);
	}
	if (json_object_get(home, pp->pp_name) != NULL) {
		json_decref(value);
		return (wrong(pa->pa_error, pp->pp_name, "given twice"));
	}
	return (json_object_set_new(home, pp->pp_name, value) == 0 ?
	    0 : ENOMEM);
}

static int
place_text(struct parser *pa, const struct proto_param *pp, const char *text)
{
	json_t *value;
	int error = value_of(pp, text, pa->pa_error, &value);

	return (error != 0 ? error : place(pa, pp, value));
}

/* All rows of a command, one after the other; NULL at the end. */
static const struct proto_param *
row(const struct command *cm, unsigned int index)
{
	const struct proto_param *pp;

	for (pp = cm->cm_params; pp->pp_name != NULL; pp++)
		if (index-- == 0)
			return (pp);
	for (pp = cm->cm_own; pp->pp_name != NULL; pp++)
		if (index-- == 0)
			return (pp);
	return (NULL);
}

/* ---- options ------------------------------------------------------------ */

static int
unknown_option(struct parser *pa, const char *given)
{
	char names[OPTIONS_MAX][64];
	const char *words[OPTIONS_MAX], *like;
	const struct proto_param *pp;
	size_t n = 0;

	for (unsigned int i = 0;
	     (pp = row(pa->pa_command, i)) != NULL && n < OPTIONS_MAX; i++) {
		(void)snprintf(names[n], sizeof(names[n]), "--");
		(void)args_option_name(pp, names[n] + 2, sizeof(names[n]) - 2);
		words[n] = names[n];
		n++;
	}
	like = closest(given, words, n);
	return (wrong(pa->pa_error, NULL, "unknown option %s%s%s; see vmemctl"
	    " help %s", given, like != NULL ? "; did you mean " : "",
	    like != NULL ? like : "", pa->pa_command->cm_name));
}

/* The row that --NAME means; *offp: it was --no-NAME. */
static const struct proto_param *
option_row(const struct command *cm, const char *name, size_t len, bool *offp)
{
	const struct proto_param *pp;
	char option[64];

	*offp = false;
	for (unsigned int i = 0; (pp = row(cm, i)) != NULL; i++) {
		(void)args_option_name(pp, option, sizeof(option));
		if (strlen(option) == len && memcmp(option, name, len) == 0)
			return (pp);
		if (pp->pp_type == PT_BOOL && len == strlen(option) + 3 &&
		    memcmp(name, "no-", 3) == 0 &&
		    memcmp(name + 3, option, len - 3) == 0) {
			*offp = true;
			return (pp);
		}
	}
	return (NULL);
}

/* -k of "k=keep-going" */
static const struct proto_param *
short_row(const struct command *cm, char letter)
{
	const char *name = cm->cm_shorts;
	bool off;

	if (name == NULL || letter == '\0' || name[0] != letter)
		return (NULL);
	return (option_row(cm, name + 2, strlen(name + 2), &off));
}

/* argv[*ip] is an option; its value may be the next argument. */
static int
option(struct parser *pa, int argc, char *const argv[], int *ip)
{
	const struct proto_param *pp;
	const char *arg = argv[*ip], *equals = strchr(arg, '=');
	bool off = false;
	size_t len;

	if (arg[1] == '-') {
		len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
		pp = option_row(pa->pa_command, arg + 2, len - 2, &off);
	} else {
		pp = arg[2] == '\0' ? short_row(pa->pa_command, arg[1]) : NULL;
	}
	if (pp == NULL)
		return (unknown_option(pa, arg));
	if (pp->pp_type == PT_BOOL) {
		if (equals != NULL)
			return (wrong(pa->pa_error, pp->pp_name, "takes no"
			    " value: --%s or --no-%s", pp->pp_name,
			    pp->pp_name));
		return (place(pa, pp, json_boolean(!off)));
	}
	if (equals != NULL)
		return (place_text(pa, pp, equals + 1));
	if (*ip + 1 >= argc)
		return (wrong(pa->pa_error, pp->pp_name,
		    "%s needs a value: %s", arg, args_placeholder(pp)));
	return (place_text(pa, pp, argv[++*ip]));
}

/* ---- positional arguments ----------------------------------------------- */

/* Is it there, under its own name or (of addr and addrs) the other's? */
static bool
given(const struct parser *pa, const struct proto_param *pp)
{
	return (json_object_get(home_of(pa, pp), pp->pp_name) != NULL);
}

/* Several addresses are for `addrs`, one is for `addr`. */
static int
addresses(struct parser *pa, int argc, char *const argv[])
{
	const struct proto_param *one, *many;
	int error = 0;

	one = proto_param_find(pa->pa_command->cm_method, "addr", NULL);
	many = proto_param_find(pa->pa_command->cm_method, "addrs", NULL);
	if (argc == 1)
		return (place_text(pa, one, argv[0]));
	for (int i = 0; i < argc && error == 0; i++)
		error = place_text(pa, many, argv[i]);
	return (error);
}

static bool
takes_addresses(const struct command *cm)
{
	const struct proto_param *pp;

	for (unsigned int i = 0; (pp = row(cm, i)) != NULL; i++)
		if (pp->pp_type == PT_ADDRS &&
		    (pp->pp_flags & PP_POSITIONAL) != 0)
			return (true);
	return (false);
}

static int
positionals(struct parser *pa, int argc, char *const argv[])
{
	const struct command *cm = pa->pa_command;
	const struct proto_param *pp;
	int error, used = 0;

	if (takes_addresses(cm))
		return (addresses(pa, argc, argv));
	for (unsigned int i = 0; used < argc && (pp = row(cm, i)) != NULL;
	     i++) {
		if ((pp->pp_flags & (PP_REQUIRED | PP_POSITIONAL)) == 0 ||
		    (pp->pp_flags & PP_STDIN) != 0 || given(pa, pp))
			continue;
		error = place_text(pa, pp, argv[used++]);
		if (error != 0)
			return (error);
	}
	if (used < argc)
		return (wrong(pa->pa_error, NULL, "\"%s\" is one argument too"
		    " many; see vmemctl help %s", argv[used], cm->cm_name));
	return (0);
}

static int
check_missing(struct parser *pa)
{
	const struct proto_param *pp;

	for (unsigned int i = 0; (pp = row(pa->pa_command, i)) != NULL; i++)
		if ((pp->pp_flags & PP_REQUIRED) != 0 &&
		    (pp->pp_flags & PP_STDIN) == 0 && !given(pa, pp))
			return (wrong(pa->pa_error, pp->pp_name, "missing (%s);"
			    " see vmemctl help %s", pp->pp_help,
			    pa->pa_command->cm_name));
	return (0);
}

/* -5 is a bad number, not an option; a lone - is a file. */
static bool
is_option(const char *arg)
{
	return (arg[0] == '-' && arg[1] != '\0' &&
	    !isdigit((unsigned char)arg[1]));
}

int
args_parse(const struct command *cm, int argc, char *const argv[],
    struct args *ar, struct args_error *err)
{
	struct parser pa = { cm, ar, err };
	char **rest;
	bool options = true;
	int error = ENOMEM, count = 0;

	memset(ar, 0, sizeof(*ar));
	memset(err, 0, sizeof(*err));
	ar->ar_params = json_object();
	ar->ar_own = json_object();
	/* What comes later takes what it will take. */
	if (cm->cm_run == NULL) {
		for (int i = 0; i < argc; i++)
			ar->ar_help |= strcmp(argv[i], "--help") == 0;
		argc = 0;
	}
	rest = calloc((size_t)argc + 1, sizeof(*rest));
	if (ar->ar_params == NULL || ar->ar_own == NULL || rest == NULL)
		goto out;
	error = 0;
	for (int i = 0; i < argc && error == 0 && !ar->ar_help; i++) {
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strcmp(argv[i], "--help") == 0)
			ar->ar_help = true;
		else if (options && is_option(argv[i]))
			error = option(&pa, argc, argv, &i);
		else
			rest[count++] = argv[i];
	}
	if (error == 0 && !ar->ar_help && count > 0)
		error = positionals(&pa, count, rest);
	if (error == 0 && !ar->ar_help)
		error = check_missing(&pa);
out:
	free(rest);
	if (error == ENOMEM)
		(void)wrong(err, NULL, "out of memory");
	return (error);
}

void
args_fini(struct args *ar)
{
	json_decref(ar->ar_params);
	json_decref(ar->ar_own);
	ar->ar_params = ar->ar_own = NULL;
}
