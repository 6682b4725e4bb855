#include "http/mail.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/work.h"

struct cw_mail {
	cw_mail_fn *fn;               /* NULL: nobody waits */
	void *arg;
	char *url, *user, *password, *from;
	char *to[CW_MAIL_TO_MAX];
	int nto;
	int64_t timeout_ms;
	struct cw_buf message;
	size_t sent;
	struct cw_err err;
	bool failed;
};

static void mail_free(struct cw_mail *m)
{
	cw_free(m->url);
	cw_free(m->user);
	if (m->password != NULL)
		explicit_bzero(m->password, strlen(m->password));
	cw_free(m->password);
	cw_free(m->from);
	for (int i = 0; i < m->nto; i++)
		cw_free(m->to[i]);
	cw_buf_release(&m->message);
	cw_free(m);
}

/* --- the message --- */

/* No spaces, brackets or control characters: nothing that could end a command or a header. */
static bool is_address(const char *text)
{
	const char *at = text != NULL ? strchr(text, '@') : NULL;

	if (at == NULL || at == text || at[1] == '\0' || strlen(text) > 254)
		return false;
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p <= 32 || *p == '<' || *p == '>' || *p == '\\' || *p == ',' || (unsigned char)*p == 127)
			return false;
	return true;
}

/* RFC 2047: words of at most 75 characters, in base64; what is plain stays plain. */
static void put_subject(struct cw_buf *out, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);
	bool plain = len < 200;

	for (const char *p = text; *p != '\0'; p++)
		plain = plain && *p >= 32 && *p < 127;
	cw_buf_puts(out, "Subject: ");
	if (plain) {
		cw_buf_puts(out, text);
		cw_buf_puts(out, "\r\n");
		return;
	}
	for (size_t at = 0; at < len;) {
		size_t n = len - at < 42 ? len - at : 42;

		while (n > 1 && at + n < len && ((unsigned char)text[at + n] & 0xc0) == 0x80)
			n--;                  /* not within a character */
		cw_buf_puts(out, at > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
		for (size_t i = 0; i < n; i += 3) {
			unsigned char b[3] = { 0 };

			memcpy(b, text + at + i, n - i < 3 ? n - i : 3);
			cw_buf_putc(out, digits[b[0] >> 2]);
			cw_buf_putc(out, digits[(b[0] & 3) << 4 | b[1] >> 4]);
			cw_buf_putc(out, n - i > 1 ? digits[(b[1] & 15) << 2 | b[2] >> 6] : '=');
			cw_buf_putc(out, n - i > 2 ? digits[b[2] & 63] : '=');
		}
		cw_buf_puts(out, "?=");
		at += n;
	}
	cw_buf_puts(out, "\r\n");
}

/* Lines end in CR LF; NUL and a bare CR do not pass. */
static void put_text(struct cw_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			cw_buf_puts(out, "\r\n");
		else if (*text != '\r')
			cw_buf_putc(out, *text);
	}
	cw_buf_puts(out, "\r\n");
}

static void write_message(struct cw_mail *m, const char *subject, const char *text)
{
	struct tm tm;
	time_t now = time(NULL);
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	cw_buf_printf(&m->message, "Date: %s\r\nFrom: <%s>\r\nTo: ", date, m->from);
	for (int i = 0; i < m->nto; i++)
		cw_buf_printf(&m->message, "%s<%s>", i > 0 ? ",\r\n " : "", m->to[i]);
	cw_buf_puts(&m->message, "\r\n");
	put_subject(&m->message, subject);
	cw_buf_puts(&m->message, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	                         "Content-Transfer-Encoding: 8bit\r\n\r\n");
	put_text(&m->message, text);
}

/* --- sending: on a worker --- */

static size_t give(char *to, size_t size, size_t n, void *arg)
{
	struct cw_mail *m = arg;
	size_t left = m->message.len - m->sent, most = size * n;

	if (left > most)
		left = most;
	memcpy(to, m->message.data + m->sent, left);
	m->sent += left;
	return left;
}

static void set_options(CURL *curl, struct cw_mail *m, struct curl_slist *to)
{
	curl_easy_setopt(curl, CURLOPT_URL, m->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)m->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(m->user != NULL ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, m->from);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(curl, CURLOPT_READDATA, m);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	if (m->user != NULL) {
		curl_easy_setopt(curl, CURLOPT_USERNAME, m->user);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, m->password != NULL ? m->password : "");
	}
}

static void run(void *arg)
{
	struct cw_mail *m = arg;
	CURL *curl = curl_easy_init();
	struct curl_slist *to = NULL;
	long said = 0;
	CURLcode rc;

	for (int i = 0; i < m->nto; i++)
		to = curl_slist_append(to, m->to[i]);
	set_options(curl, m, to);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &said);
	if (rc != CURLE_OK) {
		m->failed = true;
		/* 5xx: the server will say the same again (RFC 5321, 4.2.1). */
		cw_err_set(&m->err, said >= 500 ? CW_ERR_INVALID : CW_ERR_BUSY, "could not send mail: %s%s%.0ld",
		           curl_easy_strerror(rc), said > 0 ? ", the server said " : "", said);
	}
	curl_slist_free_all(to);
	curl_easy_cleanup(curl);
}

static void done(void *arg, bool ran)
{
	struct cw_mail *m = arg;

	if (!ran) {
		m->failed = true;
		cw_err_set(&m->err, CW_ERR_CANCELLED, "could not send mail: the engine is stopping");
	}
	if (m->fn != NULL)
		m->fn(m->arg, m->failed ? &m->err : NULL);
	mail_free(m);
}

static char *copy(const char *text)
{
	return text != NULL && text[0] != '\0' ? cw_strdup(text) : NULL;
}

static int check(const struct cw_mail_message *message, struct cw_err *err)
{
	if (message->url == NULL || (strncmp(message->url, "smtp://", 7) != 0 && strncmp(message->url, "smtps://", 8) != 0))
		return cw_err_set(err, CW_ERR_INVALID, "mail: the url must begin with smtp:// or smtps://");
	if (!is_address(message->from))
		return cw_err_set(err, CW_ERR_INVALID, "mail: \"from\" is no address");
	if (message->nto < 1)
		return cw_err_set(err, CW_ERR_INVALID, "mail: nobody to send it to");
	if (message->nto > CW_MAIL_TO_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "mail: at most %d receivers, these are %d", CW_MAIL_TO_MAX, message->nto);
	for (int i = 0; i < message->nto; i++)
		if (!is_address(message->to[i]))
			return cw_err_set(err, CW_ERR_INVALID, "mail: \"%.100s\" is no address", message->to[i]);
	if (message->subject == NULL || message->text == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "mail: subject and text are needed");
	return 0;
}

struct cw_mail *cw_mail_send(struct cw_work_pool *work, const struct cw_mail_message *message, cw_mail_fn *fn, void *arg,
                             struct cw_err *err)
{
	struct cw_mail *m;

	if (check(message, err) != 0)
		return NULL;
	m = cw_zalloc(sizeof(*m));
	*m = (struct cw_mail){ .fn = fn, .arg = arg, .timeout_ms = message->timeout_ms, .message = CW_BUF_INIT };
	m->url = cw_strdup(message->url);
	m->user = copy(message->user);
	m->password = copy(message->password);
	m->from = cw_strdup(message->from);
	for (m->nto = 0; m->nto < message->nto; m->nto++)
		m->to[m->nto] = cw_strdup(message->to[m->nto]);
	write_message(m, message->subject, message->text);
	if (cw_work_submit(work, run, done, m) != 0) {
		mail_free(m);
		cw_err_set(err, CW_ERR_BUSY, "mail: too much work is waiting");
		return NULL;
	}
	return m;
}

void cw_mail_forget(struct cw_mail **mail)
{
	if (*mail != NULL)
		(*mail)->fn = NULL;
	*mail = NULL;
}
