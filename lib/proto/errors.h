/*
 * errors.h - errors of the protocol (SPEC 3): codes, frozen names, errnos.
 */
#ifndef PROTO_ERRORS_H
#define PROTO_ERRORS_H

enum proto_error {
	PE_OK = 0,
	PE_NO_SPACE = 1,
	PE_NO_ARENA,
	PE_NOT_ALLOCATED,
	PE_NOT_OWNER,
	PE_TIMED_OUT,
	PE_QUOTA,
	PE_BUSY,
	PE_EXISTS,
	PE_NO_FRAMES,
	PE_NOT_PAGEABLE,
	PE_NOT_SUPPORTED,
	PE_SHUTTING_DOWN,
	PE_CORRUPT,
	PE_CANCELLED,
	PE_MISMATCH,
	PE_PARSE = -32700,	/* JSON-RPC's own */
	PE_REQUEST = -32600,
	PE_METHOD = -32601,
	PE_PARAMS = -32602,
	PE_INTERNAL = -32603
};

/* "no_space", "invalid_params", ...; and "ENOMEM", "EINVAL", ... */
const char *proto_error_name(enum proto_error error);
const char *proto_error_errno(enum proto_error error);

#endif /* PROTO_ERRORS_H */
