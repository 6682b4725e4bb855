/* mail.h - one message by SMTP, on a worker thread (libcurl): few and slow, so simple. RFC 5321, 5322.
 *
 * smtp:// uses STARTTLS where the server offers it, and must when a user is given; smtps:// is TLS from the start.
 * Certificates are checked. The text goes out as UTF-8. Loop thread only. */
#ifndef CW_HTTP_MAIL_H
#define CW_HTTP_MAIL_H

#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_mail;
struct cw_work_pool;

#define CW_MAIL_TO_MAX 32

struct cw_mail_message {
	const char *url;              /* smtp://host:25, smtps://host:465 */
	const char *user, *password;  /* NULL or "": none */
	const char *from;             /* a bare address */
	const char *const *to;
	int nto;
	const char *subject, *text;   /* UTF-8; lines of any kind */
	int64_t timeout_ms;
};

/* Exactly once, never before cw_mail_send has returned. NULL: the server has taken it. */
typedef void cw_mail_fn(void *arg, const struct cw_err *err);

/* Copies the message. NULL: CW_ERR_INVALID (an address that is none, too many of them, no text), CW_ERR_BUSY (the workers' queue is full). */
struct cw_mail *cw_mail_send(struct cw_work_pool *work, const struct cw_mail_message *message, cw_mail_fn *fn, void *arg,
                             struct cw_err *err);
/* `fn` will not be called; the message may still go out. */
void cw_mail_forget(struct cw_mail **mail);

#endif
