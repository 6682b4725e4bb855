/* client.h - a CLI verb's connection to the engine, over HTTP. Synchronous.
 *
 * A running engine notes its address in <data_dir>/engine.pid and keeps that file locked; the key is
 * CHAINWATCH_API_KEY or <data_dir>/admin.key. */
#ifndef CW_APP_CLIENT_H
#define CW_APP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cw_buf;
struct cw_client;
struct cw_config;
struct cw_err;

/* The engine that runs on this data directory, else the one that answers at http.listen. With `spawn` and none of
 * both, starts `chainwatch serve` on a private socket for as long as the client lives. CW_ERR_DB (exit 69) if there is
 * none. */
struct cw_client *cw_client_open(const struct cw_config *config, bool spawn, struct cw_err *err);
void cw_client_close(struct cw_client **client);
const char *cw_client_address(const struct cw_client *client);

/* One request; the whole answer is appended to `reply`. Returns the HTTP status, or -1 if there was no answer. */
int cw_client_call(struct cw_client *client, const char *method, const char *path, const char *content_type,
                   const void *body, size_t len, struct cw_buf *reply, struct cw_err *err);

/* Several in flight: start returns a slot number, or -1 when all `CW_CLIENT_SLOTS` are busy. The body must stay until
 * the answer is in. wait returns a slot whose answer is complete (status and reply valid until its next start), or -1. */
#define CW_CLIENT_SLOTS 3
int cw_client_start(struct cw_client *client, const char *method, const char *path, const char *content_type,
                    const void *body, size_t len);
int cw_client_wait(struct cw_client *client, int *status, const struct cw_buf **reply, struct cw_err *err);
int cw_client_busy(const struct cw_client *client);
/* What can be sent and received now, without waiting: for a caller that has other work meanwhile. */
void cw_client_drive(struct cw_client *client);

/* Is an engine running on this data directory? Fills address and pid; "" and 0 while it has not noted them yet. */
bool cw_engine_running(const char *data_dir, char *address, size_t size, pid_t *pid);

#endif
