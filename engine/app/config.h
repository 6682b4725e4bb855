/* config.h - settings: built-in < file < environment < command line.
 *
 * The file (conf/chainwatch.lua) is a Lua table, run in a closed environment under a budget. One table in config.c
 * says for each key its type, range, default and whether a reload takes it; the commented default file is written from
 * it. An unknown key or a wrong value is an error with file and line. */
#ifndef CW_APP_CONFIG_H
#define CW_APP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "app/config_deliver.h"
#include "app/config_source.h"

struct cw_arena;
struct cw_buf;
struct cw_err;
struct cw_route_limit;

struct cw_log_group { const char *name, *level; };

struct cw_config {
	struct cw_arena *arena;          /* owns every text here */
	const char *path;                /* the file that was read; NULL: none */
	/* general */
	const char *data_dir;
	int64_t chain_id;
	bool dev;
	/* http */
	const char *listen;
	int64_t max_connections, header_bytes, body_bytes, head_ms, body_ms, idle_ms, write_ms, reply_ms;
	const char *tls_cert, *tls_key;
	bool access_log, auth;
	/* auth */
	const char *registration, *issuer, *audience, *token_keys;
	int64_t access_s, session_s, leeway_s, password_min, password_queue, argon2_memory_kib, argon2_passes, lockout_after,
		lockout_max_s;
	/* limits */
	int64_t key_rate, key_burst, user_rate, user_burst, address_rate, address_burst, ingest_rate, ingest_burst, login_rate,
		login_burst, failed_rate, failed_burst, concurrency, address_connections;
	struct cw_route_limit *routes;   /* by route, in the order of the file */
	int nroutes;
	/* audit */
	const char *audit_heads, *audit_key;
	int64_t audit_export_s, audit_export_rows;
	/* database */
	const char *database_url;        /* "" : a private cluster under data_dir */
	const char *shared_buffers;
	const char *migrations_dir;
	bool migrate;
	int64_t pool_size, pool_overflow, pool_wait_ms, pool_recycle_s, pool_queue, statement_ms, connect_ms, start_wait_s, db_stats_s;
	/* pipeline */
	int64_t queue_limit, group_max, commit_lanes, commit_linger_us, recent_hashes, wait_ms, ring_slots, replay_max;
	/* rules */
	const char *rules_dir, *rules_conf, *lists_dir;
	bool jit;
	int64_t ticks, wall_ms, rule_memory_mb, quarantine_after, hang_ms, load_ms, state_mb, journal_mb, checkpoint_s;
	int64_t warm_max, warm_hours, rate_check_s;
	/* scripts */
	const char *scripts_dir;
	int64_t script_memory_mb, turn_ms;
	/* log */
	/* backup */
	bool backup_enabled, s3_verify_tls;
	const char *backup_repo, *backup_schedule, *dump_dir, *pgbackrest_conf, *stanza, *cipher_pass;
	const char *s3_endpoint, *s3_region, *s3_key, *s3_key_secret, *s3_uri_style;
	int64_t backup_keep_days, backup_full_day, archive_timeout_s, dumps_kept;
	bool allow_eval;
	const char *log_level, *log_format;
	struct cw_log_group log_groups[16];
	int nlog_groups;
	struct cw_source_list sources;   /* chains to follow; from the file only */
	struct cw_deliver_list deliver;  /* receivers of alerts; from the file only */
};

/* `path` NULL: $CHAINWATCH_CONFIG, else conf/chainwatch.lua where it exists, else none. NULL on error, with file, line
 * and key in the message. The result is free-standing; release with cw_config_free. */
struct cw_config *cw_config_load(const char *path, struct cw_err *err);
void cw_config_free(struct cw_config **config);
/* One `section.key`, `value` of the command line. */
int cw_config_set(struct cw_config *config, const char *key, const char *value, struct cw_err *err);
/* Levels, groups and format of the log. */
int cw_config_apply_log(const struct cw_config *config, struct cw_err *err);
/* Appends the names of settings that differ and that only a restart takes, joined by ", ". */
/* Appends the names of all settings that differ, as elements of a JSON array: "rules.ticks","log.level". */
void cw_config_changes(const struct cw_config *old, const struct cw_config *fresh, struct cw_buf *out);
void cw_config_restart_needed(const struct cw_config *old, const struct cw_config *fresh, struct cw_buf *out);
/* Effective values as a JSON object, secrets masked. */
void cw_config_to_json(const struct cw_config *config, struct cw_buf *out);
/* The commented file with all defaults. */
void cw_config_write_default(struct cw_buf *out);

#endif
