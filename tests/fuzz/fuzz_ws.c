/* WebSocket frames from a server: what is taken lies within the bytes, and a frame does not depend on how they are cut. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "source/ws.h"

static void check(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_ws_frame frame, again;
	struct cw_err err;
	size_t consumed, same;

	for (size_t at = 0; at < size; at += consumed) {
		int rc = cw_ws_read(data + at, size - at, &frame, &consumed, &err);

		if (rc <= 0) {
			check(rc == 0 || err.code == CW_ERR_INVALID);
			break;
		}
		check(consumed >= 2 && consumed <= size - at);
		check(frame.payload >= data + at + 2 && frame.payload + frame.len == data + at + consumed);
		check(frame.len <= CW_WS_FRAME_MAX);
		check(cw_ws_read(data + at, consumed, &again, &same, &err) == 1 && same == consumed && again.len == frame.len);
		check(cw_ws_read(data + at, consumed - 1, &again, &same, &err) == 0);
	}
	return 0;
}
