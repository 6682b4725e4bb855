/* audit_verify.h - checks the whole audit chain in the database, entry by entry, against its head and the signed heads.
 *
 * Synchronous, for the command line, in one read-only snapshot. Nothing in the database is trusted: hashes are made here,
 * not by its functions. */
#ifndef CW_APP_AUDIT_VERIFY_H
#define CW_APP_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_audit_head;
struct cw_err;

struct cw_audit_report {
	int64_t entries; /* that were read */
	int64_t first_seq, last_seq, head_seq, anchor_seq;
	char head_hash[65];
	int64_t heads, heads_checked; /* exported ones; those whose entry is there (or is the anchor) */
	bool good;
	int64_t bad_seq, bad_id; /* 0: not of one entry */
	char why[300];
	bool chain_good;         /* the entries themselves are; then only the signed heads say something else */
	int64_t agreed_seq;      /* the last entry whose head was signed and is the same; 0: none */
	int64_t restored_seq;    /* the newest entry database.restore; 0: none */
	char restored_at[40];
};

/* `heads` in the order of the file. 0: the report is filled, good or not; -1: it could not be read. */
int cw_audit_verify(const char *conninfo, const struct cw_audit_head *heads, size_t nheads,
                    struct cw_audit_report *report, struct cw_err *err);
/* The head as the database has it now; n and time are 0. */
int cw_audit_read_head(const char *conninfo, struct cw_audit_head *head, struct cw_err *err);

#endif
