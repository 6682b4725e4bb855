/* cmd_rules.h - what the files of `chainwatch rules` share: one function a sub-verb, operands, the files of rules. */
#ifndef CW_APP_CMD_RULES_H
#define CW_APP_CMD_RULES_H

#include <stdint.h>

#include "app/cli.h"

struct cw_arena;
struct cw_bundle;
struct cw_config;
struct cw_err;
struct cw_zygote;

/* argv[0] is the sub-verb; each returns the exit code. */
int cw_rules_list(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_new(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_lint(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_test(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_diff(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_show(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_submit(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_withdraw(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_promote(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_cmd_enable(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_cmd_disable(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_cmd_quarantine(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_cmd_release(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_alarms(int argc, char **argv, struct cw_zygote *zygote);

/* `rules diff --live ID`: the trial on live traffic; `since` a time or NULL. Exit code. */
int cw_rules_diff_live(const struct cw_cli *cli, const char *id, const char *since);

int cw_rules_explain(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_backtest(int argc, char **argv, struct cw_zygote *zygote);
int cw_rules_bench(int argc, char **argv, struct cw_zygote *zygote);

/* --from and --to: RFC 3339, a day, or seconds; false after a message. */
bool cw_rules_time(const struct cw_cli *cli, const char *option, const char *text, int64_t *us);

/* A loop with signals, and a pool on the database where one is wanted: for verbs that run rules over a stream. */
struct cw_rules_bench {
	struct cw_loop *loop;
	struct cw_pool *pool;                /* NULL: files only */
	struct cw_cli_database *database;
	bool interrupted;                    /* SIGINT or SIGTERM came */
};
/* 0, or the exit code after a message. */
int cw_rules_bench_open(struct cw_rules_bench *bench, const struct cw_cli *cli, const struct cw_config *config,
                        bool database);
void cw_rules_bench_close(struct cw_rules_bench *bench);
/* With a database: its address lists join those of the bundle, as they do in the engine. */
struct cw_arena;
int cw_rules_bench_lists(struct cw_rules_bench *bench, struct cw_bundle *bundle, struct cw_arena *arena, struct cw_err *err);

#define CW_OPERANDS_MAX 256

/* Options and operands in any order. The value of the next own option, -1 at the end, '?' after a message. */
struct cw_operands { int n; char *list[CW_OPERANDS_MAX]; };
int cw_rules_next(struct cw_cli *cli, int argc, char **argv, const struct option *own, struct cw_operands *operands);

/* The files named by operands (a folder stands for the .lua files in it), or those of the settings when there are none;
 * lists, overrides and budgets of the settings. Names are as messages shall show them. */
int cw_rules_read(const struct cw_config *config, const struct cw_operands *operands, struct cw_bundle *bundle,
                  struct cw_arena *arena, struct cw_err *err);

#endif
