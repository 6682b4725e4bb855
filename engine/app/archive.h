/* archive.h - puts what retention takes out of the database into a folder or an S3 bucket, compressed. */
#ifndef CW_APP_ARCHIVE_H
#define CW_APP_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

struct cw_engine;
struct cw_err;

/* `json` is {"key","bytes"} when the object is there to stay: synced to disk, or accepted by the bucket. */
typedef void cw_archive_fn(void *arg, const char *json, const struct cw_err *err);

/* `to`: a folder (a relative one is below data_dir) or s3://bucket/prefix, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
 * AWS_REGION and AWS_ENDPOINT_URL of the environment. Compresses and writes on a worker thread. Answers once, never
 * before this call has returned. */
void cw_archive_put(struct cw_engine *e, const char *to, const char *key, const char *text, cw_archive_fn *fn,
                    void *arg);

/* The headers of a signed PUT (AWS Signature Version 4), for tests of their own: "Name: value" lines. */
struct cw_s3_request {
	const char *host, *path, *region, *key_id, *secret;
	const uint8_t *body;
	size_t len;
	int64_t wall_us;
};
void cw_s3_sign(const struct cw_s3_request *r, char sha256[100], char date[40], char authorization[400]);

#endif
