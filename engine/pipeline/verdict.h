/* verdict.h - what an evaluator says about one transaction, and how it travels through the ring.
 *
 * The evaluator appends to a byte buffer with the put functions; the engine reads with cw_verdict_read, which trusts
 * nothing (the writer ran scripts). What is read can be stored: text is UTF-8 without NUL, features are a JSON object,
 * numbers are finite and in range. Byte order and layout are the machine's: verdicts never leave it in this form. */
#ifndef CW_PIPELINE_VERDICT_H
#define CW_PIPELINE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"

struct cw_arena;
struct cw_buf;
struct cw_err;

#define CW_RULES_MAX 1024              /* rules in one generation; equals CW_STATE_OWNERS */

/* Bytes, without the NUL. The writer cuts text at these, between characters; features that are longer become
 * {"truncated":true}. */
#define CW_VERDICT_DEDUP_MAX 256
#define CW_VERDICT_FEATURES_MAX 16384
#define CW_VERDICT_EXPLANATION_MAX 2048
#define CW_VERDICT_MESSAGE_MAX 1024
#define CW_VERDICT_LABELS_MAX (64u << 10)   /* longer: none are told */
#define CW_VERDICT_LIST_MAX 128
#define CW_VERDICT_NOTE_MAX (512u << 10)
#define CW_VERDICT_MAX (1u << 20)      /* of one verdict as a whole, see cw_verdict_shrink */

enum cw_severity { CW_SEVERITY_LOW = 0, CW_SEVERITY_MEDIUM, CW_SEVERITY_HIGH, CW_SEVERITY_CRITICAL };
const char *cw_severity_name(enum cw_severity severity);             /* "low" ... "critical", as in SQL */
bool cw_severity_parse(const char *text, enum cw_severity *out);

/* What the address that an alert is about has done, or had done to it. */
enum cw_alert_role { CW_ALERT_UNKNOWN = 0, CW_ALERT_ACTOR, CW_ALERT_VICTIM, CW_ALERT_COUNTERPARTY };
const char *cw_alert_role_name(enum cw_alert_role role);             /* "unknown", "actor", ..., as in SQL */
bool cw_alert_role_parse(const char *text, enum cw_alert_role *out);

enum cw_alert_flags {
	CW_ALERT_SHADOW = 1,          /* stored, never published */
	CW_ALERT_ROSE = 2,            /* continues an alert, with a higher severity than it had */
	CW_ALERT_HAS_ENTITY = 4,
};

struct cw_alert {
	uint32_t rule;                /* index in the ruleset, below CW_RULES_MAX */
	uint32_t flags;
	enum cw_severity severity;
	double score;                 /* 0 to 1, clipped */
	double confidence;            /* 0 to 1 */
	const char *dedup;            /* "" if the rule gave none */
	const char *features;         /* JSON object: values, limits, baselines */
	const char *explanation;      /* one sentence */
	enum cw_alert_role role;      /* of: */
	struct cw_address entity;     /* the address that it is about; zero without CW_ALERT_HAS_ENTITY */
	const char *labels;           /* JSON array: entries of lists that it rests on (detect/lists.h); NULL or "[]": none */
	const char *hidden_by;        /* list that hides it; NULL or "": none */
	uint64_t founder;             /* seq of the transaction that founded the living alert (pipeline/living.h). Written as
	                               * 0: this one did. Read it is never 0 and never above the verdict's seq */
	uint32_t occurrences;         /* fires of that alert so far, this one included; at least 1 when read */
};

enum cw_rule_fault_kind { CW_FAULT_ERROR = 1, CW_FAULT_TICKS, CW_FAULT_TIME, CW_FAULT_MEMORY, CW_FAULT_STACK };
const char *cw_rule_fault_name(enum cw_rule_fault_kind kind);        /* "error", "ticks", ... */
struct cw_rule_fault { uint32_t rule; enum cw_rule_fault_kind kind; const char *message; };

struct cw_verdict {
	uint64_t seq;                 /* of the transaction */
	double score;                 /* highest of the alerts that are not shadow; 0 when quiet */
	double confidence;            /* of that alert (the highest, if several have this score); 0 when quiet */
	uint32_t nalerts, nfaults;
	struct cw_alert *alerts;
	struct cw_rule_fault *faults; /* rules that failed on this transaction */
	const char *note;             /* JSON object; NULL: none */
};

/* Writer: one transaction at a time. Text may be NULL; bytes that are not UTF-8 become U+FFFD. A score that is not a
 * number becomes 0. `features` must be a JSON object. */
void cw_verdict_begin(struct cw_buf *out, uint64_t seq);
void cw_verdict_alert(struct cw_buf *out, const struct cw_alert *alert);
void cw_verdict_fault(struct cw_buf *out, const struct cw_rule_fault *fault);
/* What the evaluator of a trial tells beside the verdict: how it came about. `json` is an object; longer than
 * CW_VERDICT_NOTE_MAX it is left out. Never in live verdicts. */
void cw_verdict_note(struct cw_buf *out, const char *json);
void cw_verdict_end(struct cw_buf *out);
/* Makes the one verdict in `out` fit into CW_VERDICT_MAX: notes and features go first (these become {"truncated":true}), then the
 * last alerts and faults. */
void cw_verdict_shrink(struct cw_buf *out);

/* Reader: copies into the arena. `consumed` bytes were one verdict. -1 and CW_ERR_INTERNAL on nonsense. */
int cw_verdict_read(struct cw_verdict *v, const void *bytes, size_t len, size_t *consumed, struct cw_arena *arena,
                    struct cw_err *err);

#endif
