#include "app/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/backup.h"
#include "app/client.h"
#include "app/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "pg/cluster.h"

enum { OPT_SET = 1000, OPT_JSON };

static const struct option common[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "set", required_argument, NULL, OPT_SET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void merge(struct option *out, size_t room, const struct option *own)
{
	size_t n = 0;

	for (; own != NULL && own->name != NULL && n < room - 5; own++)
		out[n++] = *own;
	memcpy(out + n, common, sizeof(common));
}

/* "+" stops at the first operand; letters of own options take an argument as their long form does. */
static void letters(char *out, const struct option *options)
{
	*out++ = '+';
	*out++ = ':';
	for (; options->name != NULL; options++) {
		if (options->val >= 256)
			continue;
		*out++ = (char)options->val;
		if (options->has_arg == required_argument)
			*out++ = ':';
	}
	*out = '\0';
}

int cw_cli_next(struct cw_cli *cli, int argc, char **argv, const struct option *own)
{
	struct option all[40];
	char shorts[96];
	int opt;

	merge(all, sizeof(all) / sizeof(*all), own);
	letters(shorts, all);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, shorts, all, NULL)) != -1) {
		switch (opt) {
		case 'c': cli->config_path = optarg; break;
		case OPT_JSON: cli->json = true; break;
		case 'h': cli->help = true; break;
		case OPT_SET:
			if (cli->nsets == (int)(sizeof(cli->sets) / sizeof(*cli->sets)) || strchr(optarg, '=') == NULL) {
				cw_cli_usage_error(cli, "--set takes SECTION.KEY=VALUE, not \"%s\"", optarg);
				return '?';
			}
			cli->sets[cli->nsets++] = optarg;
			break;
		case ':':
			cw_cli_usage_error(cli, "option \"%s\" needs a value", argv[optind - 1]);
			return '?';
		case '?':
			cw_cli_usage_error(cli, "unknown option \"%s\"", argv[optind - 1]);
			return '?';
		default: return opt;
		}
	}
	return -1;
}

int cw_cli_help(const struct cw_cli *cli)
{
	printf("usage: chainwatch %s\n"
	       "\nOptions of every verb:\n"
	       "  -c, --config FILE        settings (default: $CHAINWATCH_CONFIG, conf/chainwatch.lua)\n"
	       "      --set SECTION.KEY=V  one setting\n"
	       "      --json               output for programs\n"
	       "  -h, --help               this text\n",
	       cli->usage);
	return 0;
}

int cw_cli_usage_error(const struct cw_cli *cli, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "chainwatch %s: ", cli->verb);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\ntry \"chainwatch %s --help\"\n", cli->verb);
	return 2;
}

int cw_cli_fail(const struct cw_cli *cli, const struct cw_err *err)
{
	fprintf(stderr, "chainwatch %s: %s%s%s%s\n", cli->verb, err->msg, err->sqlstate[0] != '\0' ? " (SQLSTATE " : "",
	        err->sqlstate, err->sqlstate[0] != '\0' ? ")" : "");
	return cw_code_exit_status(err->code);
}

struct cw_config *cw_cli_config(const struct cw_cli *cli)
{
	struct cw_err err;
	struct cw_config *config = cw_config_load(cli->config_path, &err);

	for (int i = 0; config != NULL && i < cli->nsets; i++) {
		const char *value = strchr(cli->sets[i], '=');
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)(value - cli->sets[i]), cli->sets[i]);
		if (cw_config_set(config, key, value + 1, &err) != 0)
			cw_config_free(&config);
	}
	if (config != NULL && cw_config_apply_log(config, &err) != 0)
		cw_config_free(&config);
	if (config == NULL)
		cw_cli_fail(cli, &err);
	return config;
}

bool cw_cli_number(const struct cw_cli *cli, const char *option, const char *text, long long min, long long max,
                   long long *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (end != text && *end == '\0' && errno == 0 && *out >= min && *out <= max)
		return true;
	cw_cli_usage_error(cli, "%s must be a whole number between %lld and %lld, not \"%s\"", option, min, max, text);
	return false;
}

bool cw_cli_confirm(const struct cw_cli *cli, bool yes, const char *question)
{
	char line[16] = "";

	fflush(stdout);
	if (yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		cw_cli_usage_error(cli, "nothing was done: say --yes to go on without being asked");
		return false;
	}
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y'))
		return true;
	fprintf(stderr, "chainwatch %s: nothing was done\n", cli->verb);
	return false;
}

struct cw_cli_database {
	struct cw_cluster *cluster;   /* started for this process */
	struct cw_backup backup;      /* how that one archives */
	char conninfo[512];
};

/* A running engine notes the connection string of its private cluster in <data_dir>/database.url. */
static bool read_noted(const char *data_dir, char *out, size_t size)
{
	char path[512];
	FILE *f;
	bool found;

	snprintf(path, sizeof(path), "%s/database.url", data_dir);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	found = fgets(out, (int)size, f) != NULL;
	fclose(f);
	out[strcspn(out, "\n")] = '\0';
	return found;
}

struct cw_cli_database *cw_cli_database(const struct cw_cli *cli, const struct cw_config *config)
{
	struct cw_cli_database *db = cw_zalloc(sizeof(*db));
	struct cw_cluster_conf conf = { .shared_buffers = config->shared_buffers };
	struct cw_err err;
	char address[256], dir[512];
	pid_t pid;

	if (config->database_url[0] != '\0') {
		snprintf(db->conninfo, sizeof(db->conninfo), "%s", config->database_url);
		return db;
	}
	if (cw_engine_running(config->data_dir, address, sizeof(address), &pid) &&
	    read_noted(config->data_dir, db->conninfo, sizeof(db->conninfo)))
		return db;
	snprintf(dir, sizeof(dir), "%s/pg", config->data_dir);
	conf.dir = dir;
	if (cw_backup_open(&db->backup, config, &err) == 0) {
		cw_backup_cluster(&db->backup, &conf);
		db->cluster = cw_cluster_start(&conf, &err);
	}
	if (db->cluster == NULL) {
		cw_cli_fail(cli, &err);
		cw_cli_database_done(&db);
		return NULL;
	}
	snprintf(db->conninfo, sizeof(db->conninfo), "%s", cw_cluster_conninfo(db->cluster));
	return db;
}

const char *cw_cli_database_conninfo(const struct cw_cli_database *db)
{
	return db->conninfo;
}

void cw_cli_database_done(struct cw_cli_database **db)
{
	struct cw_cli_database *d = *db;

	*db = NULL;
	if (d == NULL)
		return;
	if (d->cluster != NULL)
		cw_cluster_stop(&d->cluster);
	cw_free(d);
}
