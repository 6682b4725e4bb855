/* tls.h - TLS for the server's connections, on OpenSSL. Knows descriptors, not requests. */
#ifndef CW_HTTP_TLS_H
#define CW_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cw_err;
struct ssl_ctx_st;
struct ssl_st;

/* Makes OpenSSL take its memory from base/mem.h, whoever calls it. Works before the first use of OpenSSL only. */
void cw_tls_lend_memory(void);

/* TLS 1.2 and 1.3, HTTP/1.1 by ALPN. Both are PEM files; the certificate may bring its chain. */
struct ssl_ctx_st *cw_tls_new(const char *cert, const char *key, struct cw_err *err);
/* Connections that use it keep it alive. */
void cw_tls_free(struct ssl_ctx_st **tls);

/* fd stays the caller's. NULL: out of memory. */
struct ssl_st *cw_tls_accept(struct ssl_ctx_st *tls, int fd);
void cw_tls_close(struct ssl_st **ssl);

enum { CW_IO_EOF = 0, CW_IO_AGAIN = -1, CW_IO_FAIL = -2 };
/* Bytes moved, or one of these. `wants_write`: goes on when the descriptor is writable, whichever way it was. */
ssize_t cw_tls_read(struct ssl_st *ssl, void *data, size_t len, bool *wants_write);
ssize_t cw_tls_write(struct ssl_st *ssl, const void *data, size_t len, bool *wants_write);
/* Says that nothing more will be sent. */
void cw_tls_shutdown(struct ssl_st *ssl);

#endif
