/* alerts.h - the statement of the commit stream that stores what rules found: living alerts and their evidence.
 *
 * One row of anomalies for each living alert, found again by (founder, rule, shadow); one row of anomaly_evidence for
 * each fire. Suppressions are looked up here, so that one takes effect with the commit that makes it. */
#ifndef CW_STORE_ALERTS_H
#define CW_STORE_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_arena;
struct cw_result;

/* A living alert that fires in this group: founded here, or in a commit before. */
struct cw_alert_row {
	int64_t founder;              /* identity of the transaction that founded it */
	int64_t model_version_id;
	const char *rule_id, *rule_version, *title, *ruleset;
	const char *dedup;
	bool shadow;                  /* of a rule on trial: kept, never shown as an anomaly */
	bool provisional;             /* its chain may still drop the block of the founder */
};

struct cw_alert_fire {
	uint32_t row;                 /* index of the alert */
	int64_t transaction_id;       /* of this group, rising */
	double score, confidence;
	const char *severity;         /* low, medium, high, critical */
	const char *features;         /* JSON object */
	const char *explanation;
	const char *labels;           /* JSON array of what it rests on, see detect/lists.h */
	const char *role;             /* of: */
	const uint8_t *entity;        /* 20 bytes; NULL: none */
	const char *list;             /* that hides it, "" if none does */
};

/* The answer has one row for each fire, in order: read it with cw_alerts_read. `events`: rows of outbox for alerts that are
 * new, or have risen in severity, and are neither shadow nor suppressed. */
void cw_alerts_store(struct cw_conn *conn, const struct cw_alert_row *rows, size_t nrows,
                     const struct cw_alert_fire *fires, size_t nfires, bool events, struct cw_arena *arena,
                     cw_query_fn *fn, void *arg);

struct cw_alert_stored {
	int64_t id;                   /* anomalies.id */
	bool founded;                 /* this fire has made the row */
	bool suppressed;              /* and is not to be told */
	bool told;                    /* the first that is to be told of this alert */
	int64_t reborn_of;            /* a retracted alert that this one is again; 0: none */
};
/* false: no such row. */
bool cw_alerts_read(const struct cw_result *res, int row, struct cw_alert_stored *out);

#endif
