/* cmd_rules_write.c - chainwatch rules new|lint: what an analyst does at the desk before anything runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/cmd_rules.h"
#include "app/config.h"
#include "app/reload.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "lua/lint.h"
#include "pipeline/evaluate.h"

/* --- lint --- */

/* Whatever is wrong with the files themselves is a finding too; -1 only when they cannot be read. */
static int lint(const struct cw_cli *cli, const struct cw_config *config, const struct cw_operands *operands,
                bool strict)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { .params_json = "{}" };
	const char *params = NULL;
	struct cw_buf out = CW_BUF_INIT;
	struct cw_lint result = { .n = 0 };
	struct cw_err err;
	size_t len;
	int rc = 0;

	if (operands->n > 0) {
		rc = cw_bundle_read_paths(&bundle, operands->list, operands->n, arena, &err);
	} else {
		if (access(config->rules_conf, F_OK) == 0)
			params = cw_file_read(config->rules_conf, CW_RULE_FILE_MAX, &len, arena, &err);
		rc = cw_reload_read_bundle(config, &bundle, arena, &err);
	}
	if (rc != 0) {
		cw_arena_free(&arena);
		cw_cli_fail(cli, &err);
		return 2;
	}
	cw_lint_bundle(&bundle, config->rules_conf, params, arena, &result);
	if (cli->json)
		cw_lint_put_json(&result, &out);
	else
		cw_lint_put_text(&result, &out);
	fwrite(out.data, 1, out.len, stdout);
	if (cli->json)
		putchar('\n');
	else
		fprintf(stderr, "%d file%s: %d error%s, %d warning%s\n", bundle.nrules, bundle.nrules == 1 ? "" : "s",
		        result.errors, result.errors == 1 ? "" : "s", result.warnings, result.warnings == 1 ? "" : "s");
	rc = result.errors > 0 || (strict && result.warnings > 0);
	cw_buf_release(&out);
	cw_arena_free(&arena);
	return rc;
}

int cw_rules_lint(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = { { "strict", no_argument, NULL, 256 }, { NULL, 0, NULL, 0 } };
	struct cw_cli cli = {
		.verb = "rules lint",
		.usage = "rules lint [options] [FILE|FOLDER...]\n\n"
		         "Looks rules over without running a transaction: unknown fields of the transaction, unknown\n"
		         "constructors, options and methods (with the nearest name), keys that never repeat, missing tests and\n"
		         "metadata, wrong types in parameters and their overrides, what is declared and never used, and\n"
		         "whatever the loader refuses. Without files: those of the settings (rules.dir, rules.conf).\n"
		         "One finding a line, FILE:LINE:COLUMN: SEVERITY: MESSAGE [CODE]; \"-- lint:allow CODE\" at the end of\n"
		         "a line silences one there. Exit 0: no errors, 1: errors, 2: the files cannot be read.\n\n"
		         "      --strict             exit 1 for warnings too\n",
	};
	struct cw_operands operands = { .n = 0 };
	struct cw_config *config;
	bool strict = false;
	int opt, rc;

	(void)zygote;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		if (opt == '?')
			return 2;
		strict = true;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = lint(&cli, config, &operands, strict);
	cw_config_free(&config);
	return rc;
}

/* --- new --- */

static const char skeleton[] =
	"--- TITLE.\n"
	"---@type cw.Rule\n"
	"return rule {\n"
	"  id = \"ID\",  version = \"0.1.0\",  severity = \"medium\",  status = \"experimental\",\n"
	"  title = \"TITLE\",\n"
	"  description = \"One sender pays out more than a limit within a window of time. Say here what it finds, and why \"\n"
	"    .. \"an analyst should care.\",\n"
	"  references = { \"where the method or the threat is described\" },\n"
	"  false_positives = { \"what ordinary traffic may look like this, and what to do then\" },\n"
	"  tags = { \"example\" },\n"
	"  -- Defaults; conf/rules.lua overrides them by rule id.\n"
	"  params = {\n"
	"    window = \"1h\",           -- in which amounts are added up\n"
	"    ether = 100,             -- from this sum on it is an alert\n"
	"  },\n"
	"  -- What the rule remembers between transactions: docs/DETECTORS.md lists the constructors.\n"
	"  state = function(p)\n"
	"    return { paid = window.sum { key = \"from\", of = \"value\", span = p.window } }\n"
	"  end,\n"
	"  -- Called for every transaction: returns nothing, or an alert.\n"
	"  evaluate = function(tx, s, p)\n"
	"    local ether = (s.paid:add(tx) or 0) / 1e18\n"
	"    if ether < p.ether then return end\n"
	"    return alert {\n"
	"      score = math.min(1, ether / (2 * p.ether)),\n"
	"      dedup = tx.from,\n"
	"      explain = { ether = ether, limit = p.ether, window = p.window },\n"
	"    }\n"
	"  end,\n"
	"  tests = {\n"
	"    { name = \"quiet below the limit\", given = txs { n = 9, from = A, ether = 11, every = \"1m\" }, expect = \"quiet\" },\n"
	"    { name = \"fires at the limit\", given = txs { n = 10, from = A, ether = 10, every = \"1m\" },\n"
	"      expect = { first = 10, dedup = A } },\n"
	"    { name = \"quiet when the window is over\", given = txs { n = 20, from = A, ether = 10, every = \"10m\" },\n"
	"      expect = \"quiet\" },\n"
	"  },\n"
	"}\n";

static bool is_id(const char *id)
{
	int words = 1;

	if (strlen(id) > 64 || *id < 'a' || *id > 'z')
		return false;
	for (const char *p = id; *p != '\0'; p++) {
		if (*p == '.')
			words += p[1] >= 'a' && p[1] <= 'z' ? 1 : -100;
		else if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_'))
			return false;
	}
	return words >= 2;
}

/* "acme.fan_out" -> "Fan out". */
static void title_of(const char *id, char *out, size_t size)
{
	const char *dot = strrchr(id, '.');

	snprintf(out, size, "%s", dot != NULL ? dot + 1 : id);
	for (char *p = out; *p != '\0'; p++)
		*p = *p == '_' ? ' ' : *p;
	if (out[0] >= 'a' && out[0] <= 'z')
		out[0] = (char)(out[0] - 'a' + 'A');
}

static void fill(struct cw_buf *out, const char *id)
{
	char title[72];

	title_of(id, title, sizeof(title));
	for (const char *p = skeleton; *p != '\0';) {
		if (strncmp(p, "TITLE", 5) == 0) {
			cw_buf_puts(out, title);
			p += 5;
		} else if (strncmp(p, "\"ID\"", 4) == 0) {
			cw_buf_printf(out, "\"%s\"", id);
			p += 4;
		} else {
			cw_buf_putc(out, *p++);
		}
	}
}

/* O_EXCL: a file that is there stays as it is. */
static int write_new(const char *path, const struct cw_buf *text, struct cw_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return cw_err_set(err, errno == EEXIST ? CW_ERR_CONFLICT : CW_ERR_INVALID, errno == EEXIST ?
		                  "\"%s\" exists, it is left as it is%s" : "could not write \"%s\": %s", path,
		                  errno == EEXIST ? "" : strerror(errno));
	if (write(fd, text->data, text->len) != (ssize_t)text->len || close(fd) != 0)
		return cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", path);
	return 0;
}

static int new_rule(const struct cw_cli *cli, const char *dir, const char *id)
{
	const char *dot = strchr(id, '.');
	struct cw_buf text = CW_BUF_INIT;
	char path[512];
	struct cw_err err;
	int n = snprintf(path, sizeof(path), "%s/%s.lua", dir, dot + 1), rc = 0;

	for (char *p = path + strlen(dir) + 1; p < path + n - 4; p++)
		*p = *p == '.' ? '_' : *p;
	fill(&text, id);
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		rc = cw_err_errno(&err, CW_ERR_INVALID, "could not make the folder \"%s\"", dir);
	else
		rc = write_new(path, &text, &err);
	cw_buf_release(&text);
	if (rc != 0)
		return cw_cli_fail(cli, &err);
	if (cli->json)
		printf("{\"file\":\"%s\",\"id\":\"%s\"}\n", path, id);
	else
		printf("%s\nchange it, then: chainwatch rules lint %s && chainwatch rules test %s\n", path, path, path);
	return 0;
}

int cw_rules_new(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = { { "dir", required_argument, NULL, 256 }, { NULL, 0, NULL, 0 } };
	struct cw_cli cli = {
		.verb = "rules new",
		.usage = "rules new [options] ID\n\n"
		         "Writes a rule to start from, FOLDER/<last words of ID>.lua, which passes lint and its own tests. ID is words\n"
		         "of a-z, 0-9, _ joined with dots, like acme.fan_out. A file that exists is left as it is (exit 1).\n\n"
		         "      --dir FOLDER         where to write (default: rules.dir of the settings)\n",
	};
	struct cw_operands operands = { .n = 0 };
	struct cw_config *config;
	const char *dir = NULL;
	int opt, rc;

	(void)zygote;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		if (opt == '?')
			return 2;
		dir = optarg;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (operands.n != 1)
		return cw_cli_usage_error(&cli, "say one id, like acme.fan_out");
	if (!is_id(operands.list[0]))
		return cw_cli_usage_error(&cli, "the id must be words of a-z, 0-9, _ joined with dots, like acme.fan_out, not \"%s\"",
		                          operands.list[0]);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = new_rule(&cli, dir != NULL ? dir : config->rules_dir, operands.list[0]);
	cw_config_free(&config);
	return rc;
}
