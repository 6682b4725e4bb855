/* cmd_version.c - chainwatch version: the engine and the libraries it runs on. */
#include <curl/curl.h>
#include <event2/event.h>
#include <libpq-fe.h>
#include <lua.h>
#include <luajit.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <zlib.h>

#include "app/cli.h"
#include "app/version.h"

#ifndef CW_VERSION
#define CW_VERSION "0.1.0"
#endif
#ifndef CW_COMMIT
#define CW_COMMIT "unknown"
#endif

const char cw_version[] = CW_VERSION;
const char cw_commit[] = CW_COMMIT;

int cw_cmd_version(int argc, char **argv)
{
	struct cw_cli cli = { .verb = "version", .usage = "version [--json]\n" };
	int pq = PQlibVersion(), opt;

	while ((opt = cw_cli_next(&cli, argc, argv, NULL)) != -1)
		if (opt == '?')
			return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	if (cli.json)
		printf("{\"chainwatch\":\"%s\",\"commit\":\"%s\",\"luajit\":\"%s\",\"libevent\":\"%s\",\"libpq\":\"%d.%d\","
		       "\"openssl\":\"%s\",\"libsodium\":\"%s\",\"libcurl\":\"%s\",\"zlib\":\"%s\"}\n",
		       cw_version, cw_commit, LUAJIT_VERSION, event_get_version(), pq / 10000, pq % 10000,
		       OpenSSL_version(OPENSSL_VERSION_STRING), sodium_version_string(),
		       curl_version_info(CURLVERSION_NOW)->version, zlibVersion());
	else
		printf("chainwatch %s (%s)\n%s\nlibevent %s\nlibpq %d.%d\nOpenSSL %s\nlibsodium %s\nlibcurl %s\nzlib %s\n",
		       cw_version, cw_commit, LUAJIT_VERSION, event_get_version(), pq / 10000, pq % 10000,
		       OpenSSL_version(OPENSSL_VERSION_STRING), sodium_version_string(),
		       curl_version_info(CURLVERSION_NOW)->version, zlibVersion());
	return 0;
}
