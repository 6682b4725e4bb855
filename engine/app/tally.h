/* tally.h - what a backtest counts: alerts over time, by severity, rule and entity, and how good they were. In memory of
 * bounded size, whatever is put in. */
#ifndef CW_APP_TALLY_H
#define CW_APP_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/verdict.h"

struct cw_buf;
struct cw_map;

#define CW_TALLY_BUCKETS 120
#define CW_TALLY_ENTITIES 50000      /* told apart; further ones are counted together */
#define CW_TALLY_TOP 20

struct cw_tally_rule {
	char id[65], version[40];
	uint64_t fires, alerts, faults;
	uint64_t reviewed, false_positives;
};

struct cw_tally {
	uint64_t transactions, warmed, fires, alerts, shadow, faults;
	uint64_t severity[4];                /* of alerts */
	int64_t first_s, last_s;             /* block times of transactions; 0: none */
	/* alerts over time: widths double as the range grows */
	int64_t bucket_s, bucket_at;         /* width; begin of the first */
	uint64_t bucket[CW_TALLY_BUCKETS];
	struct cw_map *entities;             /* "rule\0dedup" -> struct entity */
	uint64_t other_entities;
	struct cw_tally_rule *rules;
	int nrules;
	/* against reviews, labelled addresses, labelled records */
	uint64_t reviewed, false_positives;
	uint64_t labelled_addresses, address_hits;
	uint64_t labelled_records, labelled_fires, record_hits;
	struct cw_map *incidents;            /* "label\0number" -> struct incident */
	uint64_t incidents_lost;
};

void cw_tally_init(struct cw_tally *t);
void cw_tally_release(struct cw_tally *t);
void cw_tally_rules(struct cw_tally *t, const char *report_json);    /* the ruleset's report */
void cw_tally_transaction(struct cw_tally *t, int64_t time_s);

struct cw_tally_fire {
	int rule;
	int64_t time_s;
	bool founds;                         /* an alert of its own, not more of one that lives */
	bool shadow;
	enum cw_severity severity;
	const char *dedup;
	const char *label;                   /* of the record; "" */
	uint64_t incident;
	bool labelled_address;
	int review;                          /* 0: none, 1: confirmed, 2: false positive */
};
void cw_tally_fire(struct cw_tally *t, const struct cw_tally_fire *fire);
/* A record that carries a label came by. */
void cw_tally_label(struct cw_tally *t, const char *label, uint64_t incident);

void cw_tally_put_json(const struct cw_tally *t, struct cw_buf *out);   /* members, no braces */
void cw_tally_put_text(const struct cw_tally *t, struct cw_buf *out);

#endif
