#include "app/audit_verify.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/audit_head.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define SLICE         "5000" /* rows fetched at once */
#define FIELD_SEQ     0
#define FIELD_ID      1
#define FIELD_TIME    2
#define FIELD_TYPE    3
#define FIELD_DETAILS 13

/* The fields of the canonical text in the trigger's order, then the two hashes. Settings that change the text of a value
 * are set, so that it is what the trigger saw. */
static const char rows_sql[] =
    "DECLARE entries NO SCROLL CURSOR FOR SELECT seq::text, id::text,"
    " (extract(epoch FROM timestamp) * 1000000)::bigint::text, event_type, user_id::text, api_key_id::text, resource, "
    "action,"
    " status, ip_address::text, user_agent, request_id, severity, details::text, encode(previous_hash, 'hex'),"
    " encode(hash, 'hex') FROM audit_logs l ORDER BY l.seq, l.id";

struct verify {
	PGconn *conn;
	const struct cw_audit_head *heads; /* by seq */
	size_t nheads, at_head;
	uint8_t previous[32];
	int64_t expected;
	int64_t anchor_noted;      /* by the newest entry that says so */
	struct cw_audit_head head; /* as audit_head has it */
	struct cw_audit_report *report;
};

static int said(PGconn *conn, struct cw_err *err)
{
	const char *text = PQerrorMessage(conn);
	size_t len = strcspn(text, "\n");

	return cw_err_set(err, CW_ERR_DB, "could not read the audit log: %.*s", (int)len, text);
}

static PGresult *ask(PGconn *conn, const char *sql, struct cw_err *err)
{
	PGresult *res = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return res;
	said(conn, err);
	PQclear(res);
	return NULL;
}

static int run(PGconn *conn, const char *sql, struct cw_err *err)
{
	PGresult *res = ask(conn, sql, err);

	if (res == NULL)
		return -1;
	PQclear(res);
	return 0;
}

static void fault(struct verify *v, int64_t seq, int64_t id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void fault(struct verify *v, int64_t seq, int64_t id, const char *format, ...)
{
	va_list ap;

	if (!v->report->good)
		return;
	v->report->good = false;
	v->report->bad_seq = seq;
	v->report->bad_id = id;
	va_start(ap, format);
	vsnprintf(v->report->why, sizeof(v->report->why), format, ap);
	va_end(ap);
}

/* Of the entries themselves; then there is no point in reading on. */
#define chain_fault(v, ...) ((v)->report->chain_good = false, fault(v, __VA_ARGS__))

static bool read_hex(const char *text, uint8_t out[32])
{
	size_t len = 0;

	return text != NULL && sodium_hex2bin(out, 32, text, strlen(text), NULL, &len, NULL) == 0 && len == 32;
}

/* --- one entry --- */

/* {"seq" : N, ...} of an audit.anchor entry, written by audit_anchor(). */
static void note_anchor(struct verify *v, const char *details)
{
	const char *at = details != NULL ? strstr(details, "\"seq\" : ") : NULL;

	if (at != NULL)
		v->anchor_noted = strtoll(at + 8, NULL, 10);
}

static void check_heads(struct verify *v, int64_t seq, int64_t id, const uint8_t hash[32])
{
	for (; v->at_head < v->nheads && v->heads[v->at_head].seq <= seq; v->at_head++) {
		const struct cw_audit_head *h = &v->heads[v->at_head];

		if (h->seq < seq)
			continue;
		v->report->heads_checked++;
		if (memcmp(h->hash, hash, 32) == 0)
			v->report->agreed_seq = v->report->good ? seq : v->report->agreed_seq;
		else
			fault(v, seq, id,
			      "the chain up to entry %" PRId64 " is not the one whose head was signed (line %" PRId64
			      " of the heads): it was written anew, or restored from a backup",
			      seq, h->n);
	}
}

static void check_entry(struct verify *v, const PGresult *res, int row)
{
	const char *fields[CW_AUDIT_FIELDS];
	uint8_t previous[32], hash[32], made[32];
	int64_t seq, id;

	for (int i = 0; i < CW_AUDIT_FIELDS; i++)
		fields[i] = PQgetisnull(res, row, i) ? NULL : PQgetvalue(res, row, i);
	seq = strtoll(fields[FIELD_SEQ], NULL, 10);
	id = strtoll(fields[FIELD_ID], NULL, 10);
	v->report->entries++;
	if (v->report->first_seq == 0)
		v->report->first_seq = seq;
	v->report->last_seq = seq;
	if (!read_hex(PQgetvalue(res, row, CW_AUDIT_FIELDS), previous) ||
	    !read_hex(PQgetvalue(res, row, CW_AUDIT_FIELDS + 1), hash)) {
		chain_fault(v, seq, id, "entry %" PRId64 " has no hash", seq);
		return;
	}
	cw_audit_hash(previous, fields, made);
	if (seq > v->expected)
		chain_fault(v, v->expected, 0, "entries %" PRId64 " to %" PRId64 " are missing", v->expected, seq - 1);
	else if (seq > v->head.anchor_seq && seq < v->expected)
		chain_fault(v, seq, id, "entry %" PRId64 " is there twice: one was put in", seq);
	else if (memcmp(made, hash, 32) != 0)
		chain_fault(v, seq, id, "the content of entry %" PRId64 " is not what its hash was made of: it was changed", seq);
	else if (seq > v->head.anchor_seq && memcmp(previous, v->previous, 32) != 0)
		chain_fault(v, seq, id,
		      "entry %" PRId64 " does not continue the one before it: one of them was put in or written anew", seq);
	if (strcmp(fields[FIELD_TYPE], "audit.anchor") == 0)
		note_anchor(v, fields[FIELD_DETAILS]);
	if (strcmp(fields[FIELD_TYPE], "database.restore") == 0) {
		v->report->restored_seq = seq;
		cw_time_format(strtoll(fields[FIELD_TIME], NULL, 10), v->report->restored_at);
	}
	if (seq <= v->head.anchor_seq)
		return; /* left over by retention, which goes by time */
	memcpy(v->previous, hash, 32);
	v->expected = seq + 1;
	if (v->report->chain_good)
		check_heads(v, seq, id, hash);
}

/* --- the whole --- */

static int read_head(PGconn *conn, struct cw_audit_head *head, struct cw_err *err)
{
	PGresult *res =
	    ask(conn, "SELECT seq, encode(hash, 'hex'), anchor_seq, encode(anchor_hash, 'hex') FROM audit_head", err);
	int rc;

	if (res == NULL)
		return -1;
	memset(head, 0, sizeof(*head));
	rc = PQntuples(res) == 1 && read_hex(PQgetvalue(res, 0, 1), head->hash) &&
	             read_hex(PQgetvalue(res, 0, 3), head->anchor_hash)
	         ? 0
	         : cw_err_set(err, CW_ERR_DB, "the audit log has no head: table audit_head must have one row");
	if (rc == 0) {
		head->seq = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
		head->anchor_seq = strtoll(PQgetvalue(res, 0, 2), NULL, 10);
	}
	PQclear(res);
	return rc;
}

static int read_entries(struct verify *v, struct cw_err *err)
{
	int rows;

	if (run(v->conn, rows_sql, err) != 0)
		return -1;
	do {
		PGresult *res = ask(v->conn, "FETCH " SLICE " FROM entries", err);

		if (res == NULL)
			return -1;
		rows = PQntuples(res);
		for (int i = 0; i < rows; i++)
			check_entry(v, res, i);
		PQclear(res);
	} while (rows > 0 && v->report->chain_good);
	return 0;
}

static void check_end(struct verify *v)
{
	const struct cw_audit_head *head = &v->head;

	if (v->expected <= head->seq)
		chain_fault(v, v->expected, 0, "entries %" PRId64 " to %" PRId64 " are missing at the end", v->expected, head->seq);
	else if (v->expected > head->seq + 1)
		chain_fault(v, head->seq + 1, 0, "the head is at entry %" PRId64 ", but there are entries behind it", head->seq);
	else if (memcmp(v->previous, head->hash, 32) != 0)
		chain_fault(v, head->seq, 0, "the head is not that of the last entry, %" PRId64, head->seq);
	if (head->anchor_seq > 0 && v->anchor_noted != head->anchor_seq)
		chain_fault(v, 0, 0, "entries up to %" PRId64 " are gone, and no entry says that retention deleted them",
		      head->anchor_seq);
	for (size_t i = 0; i < v->nheads; i++) {
		const struct cw_audit_head *h = &v->heads[i];

		if (h->seq > head->seq)
			fault(v, head->seq + 1, 0,
			      "a head at entry %" PRId64 " was signed (line %" PRId64 "), but the log ends at %" PRId64
			      ": it was cut off, written anew, or restored from a backup",
			      h->seq, h->n, head->seq);
		if (h->seq != head->anchor_seq || h->seq == 0)
			continue;
		v->report->heads_checked++;
		if (memcmp(h->hash, head->anchor_hash, 32) != 0)
			fault(v, h->seq, 0,
			      "the place where the log begins, entry %" PRId64 ", is not the one whose head was signed", h->seq);
	}
}

static int by_seq(const void *a, const void *b)
{
	const struct cw_audit_head *x = a, *y = b;

	return x->seq != y->seq ? (x->seq > y->seq) - (x->seq < y->seq) : (x->n > y->n) - (x->n < y->n);
}

static PGconn *open_snapshot(const char *conninfo, struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) == CONNECTION_OK &&
	    run(conn,
	        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL client_encoding = 'UTF8';"
	        " SET LOCAL statement_timeout = 0; SET LOCAL search_path = public, pg_temp",
	        err) == 0)
		return conn;
	if (PQstatus(conn) != CONNECTION_OK)
		said(conn, err);
	PQfinish(conn);
	return NULL;
}

int cw_audit_read_head(const char *conninfo, struct cw_audit_head *head, struct cw_err *err)
{
	PGconn *conn = open_snapshot(conninfo, err);
	int rc;

	if (conn == NULL)
		return -1;
	rc = read_head(conn, head, err);
	PQfinish(conn);
	return rc;
}

int cw_audit_verify(const char *conninfo, const struct cw_audit_head *heads, size_t nheads,
                    struct cw_audit_report *report, struct cw_err *err)
{
	struct verify v = { .report = report, .nheads = nheads };
	struct cw_audit_head *sorted = cw_zalloc((nheads + 1) * sizeof(*sorted));
	int rc = -1;

	if (nheads > 0)
		memcpy(sorted, heads, nheads * sizeof(*sorted));
	qsort(sorted, nheads, sizeof(*sorted), by_seq);
	v.heads = sorted;
	memset(report, 0, sizeof(*report));
	report->good = report->chain_good = true;
	report->heads = (int64_t)nheads;
	v.conn = open_snapshot(conninfo, err);
	if (v.conn != NULL && read_head(v.conn, &v.head, err) == 0) {
		report->head_seq = v.head.seq;
		report->anchor_seq = v.head.anchor_seq;
		sodium_bin2hex(report->head_hash, sizeof(report->head_hash), v.head.hash, 32);
		memcpy(v.previous, v.head.anchor_hash, 32);
		v.expected = v.head.anchor_seq + 1;
		rc = read_entries(&v, err);
		if (rc == 0)
			check_end(&v);
	}
	if (v.conn != NULL)
		PQfinish(v.conn);
	cw_free(sorted);
	return rc;
}
