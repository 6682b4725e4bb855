/* file.h - records out of a file: NDJSON or CSV with a header, plain or gzip, or standard input.
 *
 * Reads synchronously: for CLI verbs, not for the loop. Each record comes out as the text of one JSON object; CSV
 * (RFC 4180) becomes an object of strings by the names of its header, empty cells left out, with ethereum-etl's
 * `block_timestamp` called `timestamp`. What the object says is not looked at here. */
#ifndef CW_SOURCE_FILE_H
#define CW_SOURCE_FILE_H

#include <stdint.h>

struct cw_buf;
struct cw_err;
struct cw_records;

#define CW_RECORD_MAX (4u << 20)   /* bytes of one record; longer ones are an error */

/* `path` "-" is standard input. The kind is found by looking at the first bytes. */
struct cw_records *cw_records_open(const char *path, struct cw_err *err);
void cw_records_close(struct cw_records **records);
/* Replaces `out` by the next record: 1; 0 at the end; -1 with file and line. After an error about one record (too
 * long, wrong number of cells) the next call goes on behind it; after a read error it fails again. */
int cw_records_next(struct cw_records *records, struct cw_buf *out, struct cw_err *err);
uint64_t cw_records_line(const struct cw_records *records);       /* on which the last record began, from 1 */
/* Share of the file that has been read, 0 to 1; negative where the size is unknown. */
double cw_records_progress(const struct cw_records *records);

#endif
