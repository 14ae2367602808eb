/*
 * server.h - the listening socket.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include <event2/event.h>

#include "daemon/daemon.h"

struct server;

/* The path by the rule of SPEC 4 (--socket, $VMEMD_SOCKET, ...); malloc'd. */
char *server_path(const struct settings *se);

/*
 * Bind and listen; connections are accepted once `base` runs.  EADDRINUSE: a
 * daemon answers there; others of the system's; `why` is filled.
 */
int server_start(struct daemon *dm, struct event_base *base, const char *path,
    struct server **svp, char why[SETTINGS_WHY_MAX]);

/* Accept no more, and take the socket away; NULL is ignored. */
void server_stop(struct server *sv);

#endif /* DAEMON_SERVER_H */
