/* systemd.h - what a service manager gives and wants, without its library: notification, watchdog, sockets, credentials.
 *
 * All of it does nothing where the environment does not ask for it. */
#ifndef CW_APP_SYSTEMD_H
#define CW_APP_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_loop;
struct cw_watchdog;

/* "READY=1", "STOPPING=1", "STATUS=..." (sd_notify(3)). */
void cw_systemd_notify(const char *text);
/* The listening socket that was passed on (sd_listen_fds(3)); -1: none. */
int cw_systemd_socket(void);
/* Tells at half the interval of $WATCHDOG_USEC that the loop turns (sd_watchdog_enabled(3)); NULL where nobody asks. */
struct cw_watchdog *cw_systemd_watchdog(struct cw_loop *loop);
void cw_systemd_watchdog_stop(struct cw_watchdog **watchdog);
/* Path of a secret of LoadCredential=. */
int cw_systemd_credential(const char *name, char *path, size_t size, struct cw_err *err);

#endif
