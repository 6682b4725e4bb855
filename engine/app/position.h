/* position.h - how far an interrupted backtest has come: a small file that names the state it belongs to. */
#ifndef CW_APP_POSITION_H
#define CW_APP_POSITION_H

#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_buf;
struct cw_err;

#define CW_POSITION_MAX 65536        /* bytes; it has some 200 */

struct cw_position {
	int64_t seq, alerts_bytes, transactions, warmed, faults;
	int64_t first_s, last_s;         /* block times; 0: none */
	int64_t cpu_us, wall_us;
};

void cw_position_put(const struct cw_position *position, struct cw_buf *out);
/* Takes what cw_position_put writes: every member, whole numbers of up to 2^53; CW_ERR_INVALID otherwise. */
int cw_position_read(struct cw_position *position, const char *text, size_t len, struct cw_arena *arena,
                     struct cw_err *err);

#endif
