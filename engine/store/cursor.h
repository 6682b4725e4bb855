/* cursor.h - where a page ended, as text for the client: base64url of a version, the operation, one to three keys and a
 * checksum. A cursor that was cut, mistyped or made by another operation is refused. */
#ifndef CW_STORE_CURSOR_H
#define CW_STORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_CURSOR_KEYS 3
#define CW_CURSOR_TEXT 56

struct cw_cursor {
	int count;
	int64_t keys[CW_CURSOR_KEYS];  /* times in microseconds since 1970 */
	bool is_time[CW_CURSOR_KEYS];
};

/* `owner` names the operation. */
void cw_cursor_format(const struct cw_cursor *cursor, const char *owner, char out[CW_CURSOR_TEXT]);
bool cw_cursor_parse(struct cw_cursor *cursor, const char *owner, const char *text, size_t len);

#endif
