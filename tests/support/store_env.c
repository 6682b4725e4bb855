#include "support/store_env.h"

#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "pg/migrate.h"
#include "support/pgtest.h"

static char conninfo[512];

static void quiet(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

struct pgtest *store_env_start(void)
{
	struct pgtest *pg = pgtest_start();
	struct cw_migrations m;
	struct cw_migrate_run run = { .conninfo = pgtest_create_database(pg, "original"), .lock_timeout_ms = 5000 };
	struct cw_err err = { 0 };

	if (cw_migrations_load(&m, "migrations", &err) != 0 || cw_migrate_up(&m, &run, NULL, &err) < 0) {
		fprintf(stderr, "cannot migrate: %s\n", err.msg);
		exit(99);
	}
	cw_migrations_release(&m);
	return pg;
}

/* Truncating takes less time than a copy of the database does on a busy disk. */
const char *store_env_database(struct pgtest *pg)
{
	snprintf(conninfo, sizeof(conninfo), "%s dbname=original", pgtest_conninfo(pg));
	store_env_exec(pg, "TRUNCATE transactions, models, system_metrics, rule_states, cursors, reorgs, source_blocks,"
	               " suppressions RESTART IDENTITY CASCADE;"
	               " DROP FUNCTION IF EXISTS strike, refuse CASCADE; DROP SEQUENCE IF EXISTS arm");
	return conninfo;
}

const char *store_env_value(struct pgtest *pg, const char *sql)
{
	static char value[4096];
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *res;

	(void)pg;
	PQsetNoticeReceiver(conn, quiet, NULL);
	res = PQexec(conn, sql);
	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK, "%s: %s", sql,
	              PQerrorMessage(conn));
	snprintf(value, sizeof(value), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	return value;
}

long store_env_number(struct pgtest *pg, const char *sql)
{
	return atol(store_env_value(pg, sql));
}

void store_env_exec(struct pgtest *pg, const char *sql)
{
	store_env_value(pg, sql);
}

static PGconn *holder;

void store_env_lock(struct pgtest *pg, const char *table)
{
	char sql[128];
	PGresult *res;

	(void)pg;
	snprintf(sql, sizeof(sql), "BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
	holder = PQconnectdb(conninfo);
	res = PQexec(holder, sql);
	ck_assert_msg(PQresultStatus(res) == PGRES_COMMAND_OK, "%s: %s", sql, PQerrorMessage(holder));
	PQclear(res);
}

void store_env_release(void)
{
	PQfinish(holder);
	holder = NULL;
}

struct cw_tx_in store_env_tx(uint64_t n)
{
	struct cw_tx_in in = { 0 };
	struct cw_tx *tx = &in.tx;

	tx->chain_id = 1;
	tx->block_number = 18000000 + n / 100;
	tx->timestamp = 1767225600 + (int64_t)(n / 100) * 12;
	tx->gas = 21000;
	tx->gas_used = 21000;
	tx->nonce = n / 50;
	tx->value = cw_u256_from_u64(n * 1000000007);
	tx->gas_price = cw_u256_from_u64(30000000000 + n);
	memcpy(tx->hash.b, "\xca\xfe", 2);
	for (int i = 0; i < 8; i++)
		tx->hash.b[31 - i] = (uint8_t)(n >> (8 * i));
	/* Hashes look random: an index must not see them in order. */
	for (int i = 0; i < 8; i++)
		tx->hash.b[2 + i] = (uint8_t)((n * 0x9e3779b97f4a7c15u) >> (8 * i));
	tx->from.b[0] = 0xa0;
	tx->from.b[18] = (uint8_t)(n * 31 >> 4);
	tx->from.b[19] = (uint8_t)(n * 31);
	tx->to.b[0] = 0xb0;
	tx->to.b[19] = (uint8_t)(n * 17);
	tx->has = CW_TX_HAS_TO | CW_TX_HAS_GAS_USED | CW_TX_HAS_STATUS;
	tx->status = 1;
	return in;
}

const char *store_env_hash(uint64_t n)
{
	static char text[CW_HASH_TEXT];
	struct cw_tx_in in = store_env_tx(n);

	return cw_hash_format(&in.tx.hash, text);
}
