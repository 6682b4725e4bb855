/* heads.h - a node's announcements of new blocks: eth_subscribe newHeads over a WebSocket.
 *
 * An accelerator and nothing more: each announcement says "ask now", what it says about the block is not looked at, and
 * without it polling goes on. Connects again by itself, with a pause that doubles up to 30 s. Loop thread only. */
#ifndef CW_SOURCE_HEADS_H
#define CW_SOURCE_HEADS_H

#include <stdbool.h>
#include <stdint.h>

struct cw_err;
struct cw_heads;
struct cw_loop;

typedef void cw_heads_fn(void *arg);

/* "ws://host:port/path" or "wss://...", whose certificate is checked. NULL and CW_ERR_INVALID if it is none. `fn` may
 * not free it. */
struct cw_heads *cw_heads_new(struct cw_loop *loop, const char *source, const char *url, cw_heads_fn *fn, void *arg,
                              struct cw_err *err);
void cw_heads_free(struct cw_heads **heads);
int cw_heads_check_url(const char *url, struct cw_err *err);
bool cw_heads_up(const struct cw_heads *heads);          /* subscribed */
uint64_t cw_heads_seen(const struct cw_heads *heads);    /* announcements */

#endif
