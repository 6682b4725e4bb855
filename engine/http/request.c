#include "http/request.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/utf8.h"
#include "http/exchange.h"

#define QUERY_MAX 128   /* parameters; the request line is bounded, but "&&&&" makes 8,000 of it */

struct cw_slice cw_request_header(const struct cw_request *req, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; req->head != NULL && i < req->head->nheaders; i++) {
		const struct cw_header *h = &req->head->headers[i];

		if (h->name.len == len && strncasecmp(h->name.p, name, len) == 0)
			return h->value;
	}
	return (struct cw_slice){ NULL, 0 };
}

const char *cw_request_path_param(const struct cw_request *req, const char *name)
{
	for (unsigned i = 0; i < req->npath_params; i++)
		if (strcmp(req->path_params[i].name, name) == 0)
			return req->path_params[i].value;
	return NULL;
}

/* ---- percent encoding (RFC 3986 2.1) ---- */

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t cw_uri_decode(char *out, struct cw_slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] == '%' && i + 2 < text.len && digit(text.p[i + 1]) >= 0 && digit(text.p[i + 2]) >= 0) {
			out[n++] = (char)(digit(text.p[i + 1]) << 4 | digit(text.p[i + 2]));
			i += 2;
		} else {
			out[n++] = text.p[i];
		}
	return n;
}

static bool escapes_are_whole(struct cw_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '%') {
			if (i + 2 >= s.len || digit(s.p[i + 1]) < 0 || digit(s.p[i + 2]) < 0)
				return false;
			i += 2;
		}
	return true;
}

static char *decode_form(struct cw_request *req, struct cw_slice s, size_t *len, struct cw_err *err)
{
	char *text = cw_arena_alloc(req->arena, s.len + 1);

	if (!escapes_are_whole(s)) {
		cw_err_set(err, CW_ERR_INVALID, "malformed percent escape in the query at \"%.*s\"",
		           (int)(s.len < 64 ? s.len : 64), s.p);
		return NULL;
	}
	memcpy(text, s.p, s.len);
	for (size_t i = 0; i < s.len; i++)
		if (text[i] == '+')
			text[i] = ' ';
	*len = cw_uri_decode(text, (struct cw_slice){ text, s.len });
	text[*len] = '\0';
	if (memchr(text, '\0', *len) != NULL || cw_utf8_check(text, *len) != *len) {
		cw_err_set(err, CW_ERR_INVALID, "the query contains an escaped NUL or bytes that are not UTF-8");
		return NULL;
	}
	return text;
}

/* ---- media types (RFC 9110 8.3.1) ---- */

static struct cw_slice trimmed(const char *from, const char *end)
{
	while (from < end && (*from == ' ' || *from == '\t'))
		from++;
	while (from < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct cw_slice){ from, (size_t)(end - from) };
}

/* The part before the next ';', which is cut off `rest`; false at the end. */
static bool next_part(struct cw_slice *rest, struct cw_slice *part)
{
	const char *end, *mark;

	if (rest->p == NULL)
		return false;
	end = rest->p + rest->len;
	mark = memchr(rest->p, ';', rest->len);
	*part = trimmed(rest->p, mark != NULL ? mark : end);
	*rest = mark != NULL ? (struct cw_slice){ mark + 1, (size_t)(end - mark - 1) } : (struct cw_slice){ NULL, 0 };
	return true;
}

bool cw_media_is(struct cw_slice field, const char *type)
{
	struct cw_slice part;

	return next_part(&field, &part) && cw_slice_is(part, type);
}

static bool is_json_type(struct cw_slice type)
{
	static const char suffix[] = "+json", prefix[] = "application/";
	size_t n = sizeof(suffix) - 1;

	if (cw_slice_is(type, "application/json"))
		return true;
	return type.len > sizeof(prefix) + n && strncasecmp(type.p, prefix, sizeof(prefix) - 1) == 0 &&
	       strncasecmp(type.p + type.len - n, suffix, n) == 0 && memchr(type.p, ',', type.len) == NULL;
}

static bool is_utf8(struct cw_slice charset)
{
	if (charset.len > 1 && charset.p[0] == '"' && charset.p[charset.len - 1] == '"')
		charset = (struct cw_slice){ charset.p + 1, charset.len - 2 };
	return cw_slice_is(charset, "utf-8") || cw_slice_is(charset, "utf8") || cw_slice_is(charset, "us-ascii");
}

bool cw_media_json(struct cw_slice field)
{
	static const char charset[] = "charset=";
	struct cw_slice part;

	if (field.len == 0 || cw_media_is(field, "application/x-www-form-urlencoded"))
		return true;
	if (!next_part(&field, &part) || !is_json_type(part))
		return false;
	while (next_part(&field, &part)) {
		size_t n = sizeof(charset) - 1;

		if (part.len >= n && strncasecmp(part.p, charset, n) == 0 &&
		    !is_utf8((struct cw_slice){ part.p + n, part.len - n }))
			return false;
	}
	return true;
}

/* ---- queries ---- */

int cw_request_query(struct cw_request *req, const struct cw_param **params, struct cw_err *err)
{
	const char *at = req->head->query.p, *end = at + req->head->query.len;
	struct cw_param *list = NULL;
	int count = 0;

	*params = NULL;
	while (at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		struct cw_slice pair = { at, (size_t)((stop != NULL ? stop : end) - at) }, name = pair, value = { at, 0 };
		const char *equals = memchr(pair.p, '=', pair.len);
		size_t name_len;

		at = stop != NULL ? stop + 1 : end;
		if (pair.len == 0)
			continue;
		if (equals != NULL) {
			name.len = (size_t)(equals - pair.p);
			value = (struct cw_slice){ equals + 1, pair.len - name.len - 1 };
		}
		if (count == QUERY_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "more than %d query parameters", QUERY_MAX);
		if (list == NULL)
			list = cw_arena_alloc(req->arena, QUERY_MAX * sizeof(*list));
		list[count].name = decode_form(req, name, &name_len, err);
		list[count].value = list[count].name != NULL ? decode_form(req, value, &list[count].len, err) : NULL;
		if (list[count].value == NULL)
			return -1;
		count++;
	}
	*params = list;
	return count;
}
