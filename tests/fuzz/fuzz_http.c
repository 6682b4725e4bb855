/* libFuzzer target for http/parser.c. The property: what is found does not depend on how the bytes were cut. The first
 * two bytes of the input choose the cuts, the rest is what a client sends. */
#include "http/parser.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cw_http_limits limits = { .request_line = 200, .headers = 500, .header_count = 12, .body = 300 };

static void put_slice(struct cw_buf *out, struct cw_slice s)
{
	cw_buf_uint(out, s.len);
	cw_buf_putc(out, ':');
	cw_buf_add(out, s.p, s.len);
}

static void put_head(struct cw_buf *out, const struct cw_head *h)
{
	cw_buf_printf(out, "H%d %d %d %d %d %lld ", (int)h->method, h->minor, h->keep_alive, h->chunked, h->expect_continue,
	              (long long)h->content_length);
	put_slice(out, h->target);
	put_slice(out, h->path);
	put_slice(out, h->query);
	for (unsigned i = 0; i < h->nheaders; i++) {
		put_slice(out, h->headers[i].name);
		put_slice(out, h->headers[i].value);
	}
}

/* False at the end. Bodies are written as D and the bytes, so that pieces join. */
static bool feed(struct cw_parser *p, const char *bytes, size_t len, struct cw_buf *out)
{
	char *copy = malloc(len);
	size_t at = 0, used;
	struct cw_slice piece;
	enum cw_parse found;

	memcpy(copy, bytes, len);
	do {
		found = cw_parser_feed(p, copy + at, len - at, &used, &piece);
		at += used;
		if (at > len || (found == CW_PARSE_MORE && at != len))
			abort();
		if (found == CW_PARSE_HEAD) {
			put_head(out, cw_parser_head(p));
			cw_buf_putc(out, 'D');
		} else if (found == CW_PARSE_BODY) {
			if (piece.len == 0 || piece.p < copy || piece.p + piece.len > copy + at)
				abort();
			cw_buf_add(out, piece.p, piece.len);
		} else if (found == CW_PARSE_DONE) {
			cw_buf_puts(out, "\n.");
			cw_parser_next(p);
		}
	} while (found != CW_PARSE_MORE && found != CW_PARSE_ERROR);
	free(copy);
	if (found == CW_PARSE_ERROR)
		cw_buf_printf(out, "E%d %s", cw_parser_status(p), cw_parser_reason(p));
	return found == CW_PARSE_MORE;
}

static void run(struct cw_parser *p, const char *bytes, size_t len, unsigned cut, struct cw_buf *out)
{
	uint32_t x = cut * 2654435761u + 1;

	cw_parser_next(p);
	cw_buf_clear(out);
	for (size_t at = 0, n; at < len; at += n) {
		x = x * 1664525u + 1013904223u;
		n = cut == 0 ? len : cut == 1 ? 1 : 1 + (x >> 16) % (cut % 200 + 1);
		if (n > len - at)
			n = len - at;
		if (!feed(p, bytes + at, n, out))
			return;
	}
	cw_buf_printf(out, "I%d", cw_parser_idle(p));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cw_parser *whole, *other;
	static struct cw_buf expect = CW_BUF_INIT, got = CW_BUF_INIT;
	unsigned cuts[2] = { 1, 0 };
	const char *bytes = (const char *)data + 2;

	if (whole == NULL) {
		whole = cw_parser_new(&limits);
		other = cw_parser_new(&limits);
	}
	if (size < 3)
		return 0;
	cuts[1] = 2u + data[0] + 256u * data[1];
	run(whole, bytes, size - 2, 0, &expect);
	for (int i = 0; i < 2; i++) {
		run(other, bytes, size - 2, cuts[i], &got);
		if (got.len != expect.len || memcmp(got.data, expect.data, got.len) != 0) {
			fprintf(stderr, "whole: %s\ncut %u: %s\n", expect.data, cuts[i], got.data);
			abort();
		}
	}
	return 0;
}
