/* http_case.h - what tests of the HTTP server over real sockets begin with: a configuration and a folder for each test,
 * requests in short, an answer that is expected. Included once a program; the fixture is setup and teardown. */
#ifndef CW_TEST_HTTP_CASE_H
#define CW_TEST_HTTP_CASE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "support/httpd.h"
#include "support/wire.h"

#define H "Host: test\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static struct cw_server_conf conf;
static char dir[32];

static void setup(void)
{
	conf = httpd_conf();
	strcpy(dir, "/tmp/cwhttpXXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[64];

	if (httpd.loop != NULL)
		httpd_down();
	cw_metrics_free();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void expect(struct wire *w, int status, const char *body)
{
	struct wire_reply r = wire_read(w, false);

	ck_assert_msg(r.status == status, "status %d instead of %d: %s%s", r.status, status, r.head, r.body);
	ck_assert(!r.cut);
	if (body != NULL)
		ck_assert_str_eq(r.body, body);
}

#endif
