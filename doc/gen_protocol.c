/*
 * gen_protocol.c - the parts of the documentation that come from the table of
 * methods, so that they can't differ from it.
 *
 *	gen_protocol markdown	the methods, for doc/protocol.md
 *	gen_protocol mdoc	the commands, for doc/vmemctl.1
 *	gen_protocol methods	their names, one a line
 *	gen_protocol errors	code, name and errno of every error, one a line
 *
 * doc/generated.sh puts the first two between the markers of those files, and
 * tests/lint/methods.sh finds out when somebody forgot to.
 */
#include "config.h"

#include "proto/errors.h"
#include "proto/methods.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *
type_name(enum proto_type type)
{
	switch (type) {
	case PT_STRING:
		return ("string");
	case PT_BOOL:
		return ("bool");
	case PT_INT:
		return ("integer");
	case PT_SIZE:
		return ("size");
	case PT_ADDR:
		return ("address");
	case PT_ADDRS:
		return ("addresses");
	case PT_REAL:
		return ("number");
	case PT_ENUM:
		return ("one of");
	case PT_DATA:
		return ("base64");
	case PT_ANY:
		return ("any");
	}
	return (NULL);
}

/* ---- Markdown -------------------------------------------------------- */

/* "one of `instant`, `best`": the words of an enumeration. */
static void
markdown_type(const struct proto_param *pp)
{
	const char *word = pp->pp_values;
	size_t len;

	(void)printf("%s", type_name(pp->pp_type));
	if (pp->pp_type != PT_ENUM)
		return;
	for (; *word != '\0'; word += len + (word[len] == ' ')) {
		len = strcspn(word, " ");
		(void)printf(" `%.*s`", (int)len, word);
	}
}

static void
markdown_params(const struct proto_param *pp)
{
	if (pp->pp_name == NULL) {
		(void)printf("No parameters.\n\n");
		return;
	}
	(void)printf("| parameter | type | default | meaning |\n"
		     "| --- | --- | --- | --- |\n");
	for (; pp->pp_name != NULL; pp++) {
		(void)printf("| `%s` | ", pp->pp_name);
		markdown_type(pp);
		if (pp->pp_flags & PP_REQUIRED)
			(void)printf(" | *required*");
		else if (pp->pp_default != NULL)
			(void)printf(" | `%s`", pp->pp_default);
		else
			(void)printf(" | –");
		(void)printf(" | %s |\n", pp->pp_help);
	}
	(void)printf("\n");
}

static void
markdown_flags(unsigned int flags)
{
	static const struct {
		unsigned int flag;
		const char *text;
	} texts[] = {
		{ PM_LATER, "Not in this version: `not_supported`." },
		{ PM_ADMIN, "Root or the daemon's uid only." },
		{ PM_READS, "Changes nothing." },
		{ PM_WAITS, "May wait, and then answers out of order." },
		{ PM_STREAM, "May send `chunk` notifications first." },
		{ PM_SLICED, "Runs in slices." },
		{ PM_DRAINS, "Served while the daemon drains." },
	};
	const char *sep = "";

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (flags & texts[i].flag) {
			(void)printf("%s%s", sep, texts[i].text);
			sep = " ";
		}
	if (*sep != '\0')
		(void)printf("\n\n");
}

static void
markdown(void)
{
	const struct proto_method *pm;

	for (pm = proto_methods; pm->pm_name != NULL; pm++) {
		(void)printf("### `%s`: %s\n\n", pm->pm_name, pm->pm_summary);
		markdown_flags(pm->pm_flags);
		markdown_params(pm->pm_params);
		(void)printf("Result: %s.\n\n", pm->pm_result);
	}
}

/* ---- mdoc -------------------------------------------------------------- */

/* A value's place holder: SIZE for `size`. */
static void
mdoc_arg(const char *name)
{
	(void)printf("Ar ");
	for (; *name != '\0'; name++)
		(void)putchar(toupper((unsigned char)*name));
}

static void
mdoc_option(const struct proto_param *pp)
{
	const char *p;

	(void)printf(" Oo Fl -");
	for (p = pp->pp_name; *p != '\0'; p++)
		(void)putchar(*p == '_' ? '-' : *p);
	if (pp->pp_type != PT_BOOL) {
		(void)putchar(' ');
		mdoc_arg(pp->pp_name);
	}
	(void)printf(" Oc");
}

static void
mdoc_synopsis(const struct proto_method *pm)
{
	const struct proto_param *pp;
	const char *p;

	(void)printf(".It Cm ");
	for (p = pm->pm_name; *p != '\0'; p++)
		if (*p == '.')
			(void)printf(" Cm ");
		else
			(void)putchar(*p);
	for (pp = pm->pm_params; pp->pp_name != NULL; pp++) {
		if (pp->pp_flags & PP_STDIN)
			continue;
		if (pp->pp_flags & PP_REQUIRED) {
			(void)putchar(' ');
			mdoc_arg(pp->pp_name);
		} else if (pp->pp_type == PT_ADDRS)
			(void)printf(" ...");
		else if (pp->pp_flags & PP_POSITIONAL) {
			(void)printf(" Oo ");
			mdoc_arg(pp->pp_name);
			(void)printf(" Oc");
		}
	}
	for (pp = pm->pm_params; pp->pp_name != NULL; pp++)
		if ((pp->pp_flags & (PP_REQUIRED | PP_POSITIONAL)) == 0)
			mdoc_option(pp);
	(void)printf("\n");
}

static void
mdoc(void)
{
	const struct proto_method *pm;
	const struct proto_param *pp;

	for (pm = proto_methods; pm->pm_name != NULL; pm++) {
		mdoc_synopsis(pm);
		(void)printf("%c%s%s.\n", toupper((unsigned char)*pm->pm_summary),
		    pm->pm_summary + 1,
		    (pm->pm_flags & PM_LATER) ? " (not in this version)" : "");
		if (pm->pm_params->pp_name == NULL)
			continue;
		(void)printf(".Bl -tag -width \"phase\" -compact\n");
		for (pp = pm->pm_params; pp->pp_name != NULL; pp++) {
			(void)printf(".It Ar %s\n%s", pp->pp_name, pp->pp_help);
			if (pp->pp_default != NULL)
				(void)printf(" (default: %s)", pp->pp_default);
			if (pp->pp_values != NULL)
				(void)printf(": one of %s", pp->pp_values);
			(void)printf("\n");
		}
		(void)printf(".El\n");
	}
}

/* ---- lists ------------------------------------------------------------- */

static void
methods(void)
{
	const struct proto_method *pm;

	for (pm = proto_methods; pm->pm_name != NULL; pm++)
		(void)printf("%s\n", pm->pm_name);
}

static void
errors(void)
{
	static const enum proto_error rpc[] = { PE_PARSE, PE_REQUEST,
		PE_METHOD, PE_PARAMS, PE_INTERNAL };
	int i;

	for (i = PE_NO_SPACE; i <= PE_MISMATCH; i++)
		(void)printf("%d %s %s\n", i,
		    proto_error_name((enum proto_error)i),
		    proto_error_errno((enum proto_error)i));
	for (i = 0; i < (int)(sizeof(rpc) / sizeof(rpc[0])); i++)
		(void)printf("%d %s %s\n", rpc[i], proto_error_name(rpc[i]),
		    proto_error_errno(rpc[i]));
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} modes[] = {
		{ "markdown", markdown },
		{ "mdoc", mdoc },
		{ "methods", methods },
		{ "errors", errors },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == 2 && strcmp(argv[1], modes[i].name) == 0) {
			modes[i].fn();
			return (fflush(stdout) == 0 ? 0 : 1);
		}
	(void)fprintf(stderr,
	    "usage: gen_protocol markdown | mdoc | methods | errors\n");
	return (1);
}
