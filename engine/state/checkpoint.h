/* checkpoint.h - the arena as it was at a mark: frozen while another process goes on writing, kept as a file, and back.
 *
 * The one part of this layer that touches files. Freezing copies the arena in any order and then applies the undo log
 * to the copy, newest record first, back to the mark; the writer is never stopped and never knows. Any thread or
 * process that has the arena mapped may do it, for instance a worker thread of the engine. One handle, one thread.
 *
 * File: a header of 4096 bytes (magic, byte order, format, layout, position, digest of the declarations, checksums),
 * then the arena's bytes. It is written aside, flushed and renamed, so a crash leaves the old file or the new one. */
#ifndef CW_STATE_CHECKPOINT_H
#define CW_STATE_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

struct cw_checkpoint;             /* a frozen copy; its memory is kept for the next one */
struct cw_err;
struct cw_state;

#define CW_CHECKPOINT_DIGEST 32   /* bytes; of whatever must be the same for the state to make sense */

struct cw_checkpoint_info {
	uint64_t seq, block;          /* of the mark */
	uint64_t bytes;               /* of state; the file has 4096 more */
	uint8_t digest[CW_CHECKPOINT_DIGEST];
};

struct cw_checkpoint *cw_checkpoint_new(void);
void cw_checkpoint_free(struct cw_checkpoint **cp);

/* Copies the arena as it was at the newest mark with seq <= `seq`, e.g. the last one whose verdicts are committed.
 * CW_ERR_NOT_FOUND: no such mark within reach. CW_ERR_CONFLICT: a rewind or reset came in between, or the writer has
 * run around the log; nothing is wrong, try again. CW_ERR_INTERNAL: the log or the arena makes no sense. */
int cw_checkpoint_freeze(struct cw_checkpoint *cp, const struct cw_state *st, uint64_t seq, struct cw_err *err);
/* What was frozen; the digest is zero. Seq and bytes 0 before the first success. */
struct cw_checkpoint_info cw_checkpoint_info(const struct cw_checkpoint *cp);

/* Writes the frozen copy: `<path>.tmp`, fdatasync, rename, fsync of the folder. On failure an older file of that name
 * is as it was. CW_ERR_INVALID when nothing was frozen. */
int cw_checkpoint_write(const struct cw_checkpoint *cp, const uint8_t digest[CW_CHECKPOINT_DIGEST], const char *path,
                        struct cw_err *err);
/* Freezes and writes. */
int cw_checkpoint_save(struct cw_checkpoint *cp, const struct cw_state *st, uint64_t seq,
                       const uint8_t digest[CW_CHECKPOINT_DIGEST], const char *path, struct cw_err *err);

/* Puts the frozen copy into another arena (shadow, backtest), which must have no writer. */
int cw_checkpoint_restore(const struct cw_checkpoint *cp, struct cw_state *st, struct cw_err *err);

/* Fills an arena that has no writer from a file. Its only mark is the checkpoint's. CW_ERR_NOT_FOUND: no such file;
 * CW_ERR_INVALID: truncated, damaged, of another format, version or byte order, or larger than the arena: the message
 * says which; CW_ERR_CONFLICT: `digest` is given and the file has another. After a failure the arena is empty.
 * `info` may be NULL. */
int cw_checkpoint_load(struct cw_state *st, const char *path, const uint8_t *digest, struct cw_checkpoint_info *info,
                       struct cw_err *err);
int cw_checkpoint_load_fd(struct cw_state *st, int fd, const uint8_t *digest, struct cw_checkpoint_info *info,
                          struct cw_err *err);
/* Reads the header only: errors as above, but damage of the body is not seen. */
int cw_checkpoint_peek(const char *path, struct cw_checkpoint_info *info, struct cw_err *err);

#endif
