#include "http/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* "cert.pem": no such file or the like, from OpenSSL's queue. */
static int tls_error(struct cw_err *err, const char *what, const char *file)
{
	unsigned long code = ERR_peek_last_error();
	unsigned long first = ERR_peek_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	/* The last one says no more than that the system refused. */
	errno = ERR_GET_REASON(first);
	if (ERR_SYSTEM_ERROR(first))
		cw_err_errno(err, CW_ERR_INVALID, "cannot use %s \"%s\"", what, file);
	else
		cw_err_set(err, CW_ERR_INVALID, "cannot use %s \"%s\": %s", what, file, reason != NULL ? reason : "unknown reason");
	ERR_clear_error();
	return -1;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                       unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *found;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&found, outlen, ours, sizeof(ours) - 1, in, inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;   /* a client that insists on another protocol hears it from its own library */
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

static void *lend(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return cw_alloc(size);
}

static void *lend_more(void *ptr, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size > 0)
		return cw_realloc(ptr, size);
	cw_free(ptr);
	return NULL;
}

static void take_back(void *ptr, const char *file, int line)
{
	(void)file;
	(void)line;
	cw_free(ptr);
}

void cw_tls_lend_memory(void)
{
	CRYPTO_set_mem_functions(lend, lend_more, take_back);   /* refused when it has its own already: then it stays so */
}

struct ssl_ctx_st *cw_tls_new(const char *cert, const char *key, struct cw_err *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	static const unsigned char session_context[] = "chainwatch";

	if (tls == NULL) {
		tls_error(err, "TLS with certificate", cert);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(tls, session_context, sizeof(session_context) - 1);
	SSL_CTX_set_alpn_select_cb(tls, choose_alpn, NULL);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1) {
		tls_error(err, "certificate", cert);
	} else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
		tls_error(err, "private key", key);
	} else if (SSL_CTX_check_private_key(tls) != 1) {
		tls_error(err, "certificate and key", cert);
	} else {
		return tls;
	}
	SSL_CTX_free(tls);
	return NULL;
}

void cw_tls_free(struct ssl_ctx_st **tls)
{
	SSL_CTX_free(*tls);
	*tls = NULL;
}

struct ssl_st *cw_tls_accept(struct ssl_ctx_st *tls, int fd)
{
	SSL *ssl = SSL_new(tls);

	if (ssl == NULL)
		return NULL;
	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	return ssl;
}

void cw_tls_close(struct ssl_st **ssl)
{
	SSL_free(*ssl);
	*ssl = NULL;
}

static ssize_t outcome(SSL *ssl, int result, bool *wants_write)
{
	int why = SSL_get_error(ssl, result);

	*wants_write = false;
	switch (why) {
	case SSL_ERROR_WANT_READ: return CW_IO_AGAIN;
	case SSL_ERROR_WANT_WRITE: *wants_write = true; return CW_IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN: return CW_IO_EOF;
	default: ERR_clear_error(); return CW_IO_FAIL;
	}
}

static int clip(size_t len)
{
	return len < INT_MAX ? (int)len : INT_MAX;
}

ssize_t cw_tls_read(struct ssl_st *ssl, void *data, size_t len, bool *wants_write)
{
	int n;

	ERR_clear_error();
	n = SSL_read(ssl, data, clip(len));
	return n > 0 ? n : outcome(ssl, n, wants_write);
}

ssize_t cw_tls_write(struct ssl_st *ssl, const void *data, size_t len, bool *wants_write)
{
	int n;

	ERR_clear_error();
	n = SSL_write(ssl, data, clip(len));
	if (n > 0)
		return n;
	n = (int)outcome(ssl, n, wants_write);
	return n == CW_IO_EOF ? CW_IO_FAIL : n;
}

void cw_tls_shutdown(struct ssl_st *ssl)
{
	ERR_clear_error();
	if (SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	ERR_clear_error();
}
