/*
 * errors.c - names of the protocol's errors.  No default in the switches, so
 * that the compiler finds the missing one.
 */
#include "config.h"

#include "proto/errors.h"

#include <stddef.h>

const char *
proto_error_name(enum proto_error error)
{
	switch (error) {
	case PE_OK:
		return ("ok");
	case PE_NO_SPACE:
		return ("no_space");
	case PE_NO_ARENA:
		return ("no_arena");
	case PE_NOT_ALLOCATED:
		return ("not_allocated");
	case PE_NOT_OWNER:
		return ("not_owner");
	case PE_TIMED_OUT:
		return ("timed_out");
	case PE_QUOTA:
		return ("quota");
	case PE_BUSY:
		return ("busy");
	case PE_EXISTS:
		return ("exists");
	case PE_NO_FRAMES:
		return ("no_frames");
	case PE_NOT_PAGEABLE:
		return ("not_pageable");
	case PE_NOT_SUPPORTED:
		return ("not_supported");
	case PE_SHUTTING_DOWN:
		return ("shutting_down");
	case PE_CORRUPT:
		return ("corrupt");
	case PE_CANCELLED:
		return ("cancelled");
	case PE_MISMATCH:
		return ("mismatch");
	case PE_PARSE:
		return ("parse_error");
	case PE_REQUEST:
		return ("invalid_request");
	case PE_METHOD:
		return ("method_not_found");
	case PE_PARAMS:
		return ("invalid_params");
	case PE_INTERNAL:
		return ("internal_error");
	}
	return (NULL);
}

const char *
proto_error_errno(enum proto_error error)
{
	switch (error) {
	case PE_OK:
		return ("0");
	case PE_NO_SPACE:
	case PE_NO_FRAMES:
	case PE_INTERNAL:
		return ("ENOMEM");
	case PE_NO_ARENA:
		return ("ENOENT");
	case PE_NOT_ALLOCATED:
	case PE_PARSE:
	case PE_REQUEST:
	case PE_PARAMS:
		return ("EINVAL");
	case PE_NOT_OWNER:
		return ("EPERM");
	case PE_TIMED_OUT:
		return ("ETIMEDOUT");
	case PE_QUOTA:
		return ("EDQUOT");
	case PE_BUSY:
		return ("EBUSY");
	case PE_EXISTS:
		return ("EEXIST");
	case PE_NOT_PAGEABLE:
		return ("EFAULT");
	case PE_NOT_SUPPORTED:
		return ("ENOTSUP");
	case PE_METHOD:
		return ("ENOSYS");
	case PE_SHUTTING_DOWN:
		return ("ESHUTDOWN");
	case PE_CORRUPT:
		return ("EIO");
	case PE_CANCELLED:
		return ("ECANCELED");
	case PE_MISMATCH:
		return ("EILSEQ");
	}
	return (NULL);
}
