/* main.c - the command line: one verb, one function. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/engine.h"
#include "base/err.h"
#include "http/tls.h"
#include "lua/evaluator.h"
#include "lua/vm.h"
#include "pipeline/supervise.h"

typedef int verb_fn(int argc, char **argv);
typedef int zygote_verb_fn(int argc, char **argv, struct cw_zygote **zygote);

static const struct verb {
	const char *name;
	verb_fn *fn;
	zygote_verb_fn *zygote_fn;   /* for verbs that run rules */
	const char *what;
} verbs[] = {
	{ "serve", NULL, cw_cmd_serve, "run the engine" },
	{ "check", NULL, cw_cmd_check, "look over settings, rules, scripts, migrations" },
	{ "reload", cw_cmd_reload, NULL, "make the running engine take new rules, scripts, settings" },
	{ "ingest", cw_cmd_ingest, NULL, "send transactions from files to the engine" },
	{ "simulate", cw_cmd_simulate, NULL, "write a deterministic stream of transactions with attacks in it" },
	{ "rules", NULL, cw_cmd_rules, "list and test rules" },
	{ "migrate", cw_cmd_migrate, NULL, "bring the database schema up or down" },
	{ "backup", cw_cmd_backup, NULL, "back the database up, list and verify backups" },
	{ "restore", cw_cmd_restore, NULL, "put a backup in the place of the database" },
	{ "detect", cw_cmd_detect, NULL, "score a series or a table of one's own" },
	{ "lua", cw_cmd_lua, NULL, "run a file in the sandbox of rules or scripts" },
	{ "labels", cw_cmd_labels, NULL, "import, list, remove address labels; lists that hide alerts" },
	{ "user", cw_cmd_user, NULL, "make and change users" },
	{ "key", cw_cmd_key, NULL, "make and revoke API keys" },
	{ "token", cw_cmd_token, NULL, "exchange the keys that sign access tokens" },
	{ "audit", cw_cmd_audit, NULL, "check and read the audit log" },
	{ "retention", cw_cmd_retention, NULL, "what the retention policy would delete; delete it" },
	{ "version", cw_cmd_version, NULL, "versions of the engine and its libraries" },
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

static int usage(FILE *out)
{
	fprintf(out, "usage: chainwatch VERB [options]\n\n");
	for (size_t i = 0; i < VERBS; i++)
		fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].what);
	fprintf(out, "\n\"chainwatch VERB --help\" tells more.\n");
	return out == stdout ? 0 : 2;
}

/* The zygote must be forked before settings and secrets are read, so it is the first thing that happens here. */
static int run_with_zygote(const struct verb *verb, int argc, char **argv, char **all)
{
	struct cw_err err;
	struct cw_zygote *zygote = cw_zygote_start(&cw_lua_evaluator, &err);
	int rc;

	if (zygote == NULL) {
		fprintf(stderr, "chainwatch %s: %s\n", verb->name, err.msg);
		return 1;
	}
	cw_zygote_keep_program(zygote);
	rc = verb->zygote_fn(argc, argv, &zygote);
	cw_zygote_stop(&zygote);
	if (rc == CW_ENGINE_RESTART) {
		execv("/proc/self/exe", all);
		fprintf(stderr, "chainwatch %s: could not start again: %s\n", verb->name, strerror(errno));
		return 1;
	}
	return rc;
}

int main(int argc, char **argv)
{
	cw_vm_prepare_process();
	cw_tls_lend_memory();
	if (argc == 3 && strcmp(argv[1], CW_ZYGOTE_OPTION) == 0)
		cw_zygote_main((int)strtol(argv[2], NULL, 10), &cw_lua_evaluator);
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
		return cw_cmd_version(1, argv);
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		if (verbs[i].zygote_fn != NULL)
			return run_with_zygote(&verbs[i], argc - 1, argv + 1, argv);
		return verbs[i].fn(argc - 1, argv + 1);
	}
	fprintf(stderr, "chainwatch: unknown verb \"%s\"\n", argv[1]);
	return usage(stderr);
}
