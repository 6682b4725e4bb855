/* wire.h - a raw HTTP client for tests: sends the bytes it is given, reads replies as they come, with time-outs.
 *
 * A server in the same process is kept running by a pump: a function that is called while the client waits. Failures of
 * the client itself (no connection, a malformed reply) fail the Check test. */
#ifndef CW_TEST_WIRE_H
#define CW_TEST_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#define WIRE_MS 5000   /* to wait for something that should come */

struct wire;

/* Called again and again, some thousand times a second, while any client waits; NULL: just wait. */
void wire_set_pump(void (*pump)(void *arg), void *arg);

/* "127.0.0.1:8080", "[::1]:8080" or "unix:/path". */
struct wire *wire_open(const char *address);
/* The same with TLS; the certificate is not checked. */
struct wire *wire_open_tls(const char *address);
void wire_close(struct wire **wire);
/* Closes so that the other side gets a reset. */
void wire_reset(struct wire **wire);
/* Sends no more, but still reads. */
void wire_half_close(struct wire *wire);

/* Returns the bytes sent: fewer than len if the other side stops reading, -1 if it has closed. */
long wire_send(struct wire *wire, const void *bytes, size_t len);
/* Sends what can be sent without waiting. */
long wire_send_some(struct wire *wire, const void *bytes, size_t len);
/* Serial number of the other side's certificate. */
long wire_tls_serial(struct wire *wire);
void wire_puts(struct wire *wire, const char *text);

/* Valid until the next call for this wire. */
struct wire_reply {
	int status;                /* 0: the connection ended before one byte; -1: nothing came in time */
	const char *head;          /* status line and headers, NUL-terminated */
	const char *body;          /* decoded, NUL-terminated */
	size_t len;
	bool cut;                  /* the connection ended within the reply */
};
/* The next reply, also 100 Continue. `to_head`: it answers a HEAD, no body follows. */
struct wire_reply wire_read(struct wire *wire, bool to_head);
/* Of the last reply, without case; NULL if absent. Valid until the next call. */
const char *wire_header(struct wire *wire, const char *name);
/* Up to `size` bytes as they come, at least one; 0 at the end, -1 if nothing comes within `ms`. */
long wire_raw(struct wire *wire, void *bytes, size_t size, int ms);
/* True if the other side closes within `ms` and sends nothing before. */
bool wire_ends(struct wire *wire, int ms);
/* Runs the pump for this long. */
void wire_wait(int ms);

#endif
