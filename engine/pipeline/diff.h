/* diff.h - two versions of a rule on the same stream: what one says and the other does not.
 *
 * One comparison for the trial on live traffic and for the one offline. Pure. Alerts are the same when they are of the
 * same transaction. */
#ifndef CW_PIPELINE_DIFF_H
#define CW_PIPELINE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_buf;

struct cw_diff_alert {
	uint64_t seq;                 /* of the transaction */
	bool candidate;               /* else of the version it is compared with */
	const char *hash;             /* of the transaction */
	const char *entity;           /* what the alert is about: its dedup key, else the sender */
	const char *severity, *explanation;
	double score;
};

struct cw_diff_counts { size_t live, candidate, common, added, removed, severity_changed; };

/* Appends members, without braces: "live","candidate","common","added","removed","severity_changed" (counts),
 * "entities":[{"entity","live","candidate","added","removed"}] (those that differ first, at most `listed`), "alerts":
 * {"added":[{"hash","entity","severity","score","explanation"}],"removed":[...]} (at most `listed` of each, by seq).
 * Reorders `alerts`. */
struct cw_diff_counts cw_diff_alerts(struct cw_diff_alert *alerts, size_t n, size_t listed, struct cw_buf *out);

#endif
