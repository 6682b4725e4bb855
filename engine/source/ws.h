/* ws.h - WebSocket frames as a client reads and writes them (RFC 6455, sections 4.1 and 5). Pure.
 *
 * What a server sends is trusted with nothing: masked frames, reserved bits, unknown opcodes, long or split control frames
 * and lengths that are not the shortest are refused. */
#ifndef CW_SOURCE_WS_H
#define CW_SOURCE_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;

#define CW_WS_FRAME_MAX (1u << 20)     /* payload; a head is a thousandth of it */

enum cw_ws_opcode { CW_WS_CONTINUATION = 0, CW_WS_TEXT = 1, CW_WS_BINARY = 2, CW_WS_CLOSE = 8, CW_WS_PING = 9,
	                CW_WS_PONG = 10 };

struct cw_ws_frame {
	enum cw_ws_opcode opcode;
	bool fin;
	const uint8_t *payload;
	size_t len;
};

/* The frame at the front: 1 and its size in `consumed`; 0: more bytes are needed; -1 and CW_ERR_INVALID. */
int cw_ws_read(const uint8_t *bytes, size_t len, struct cw_ws_frame *frame, size_t *consumed, struct cw_err *err);
/* Appends one whole frame, masked. */
void cw_ws_write(struct cw_buf *out, enum cw_ws_opcode opcode, const void *payload, size_t len, const uint8_t mask[4]);
/* The Sec-WebSocket-Accept that belongs to this Sec-WebSocket-Key (28 characters and a NUL). */
void cw_ws_accept(const char *key, char out[29]);

#endif
