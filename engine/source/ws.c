#include "source/ws.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static bool is_control(unsigned opcode)
{
	return opcode >= CW_WS_CLOSE;
}

static bool is_known(unsigned opcode)
{
	return opcode <= CW_WS_BINARY || (opcode >= CW_WS_CLOSE && opcode <= CW_WS_PONG);
}

/* Length and where the payload begins; 0: more bytes are needed. */
static int read_length(const uint8_t *b, size_t have, uint64_t *len, size_t *at, struct cw_err *err)
{
	unsigned size = b[1] == 126 ? 2 : b[1] == 127 ? 8 : 0;

	*at = 2 + size;
	*len = size == 0 ? b[1] : 0;
	if (have < *at)
		return 0;
	for (unsigned i = 0; i < size; i++)
		*len = *len << 8 | b[2 + i];
	if ((size == 2 && *len < 126) || (size == 8 && *len <= UINT16_MAX))
		return cw_err_set(err, CW_ERR_INVALID, "a frame's length is not the shortest form");
	if (*len > CW_WS_FRAME_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "a frame is longer than %u bytes", CW_WS_FRAME_MAX);
	return 1;
}

int cw_ws_read(const uint8_t *bytes, size_t len, struct cw_ws_frame *frame, size_t *consumed, struct cw_err *err)
{
	unsigned opcode;
	uint64_t size;
	size_t at;
	int rc;

	if (len < 2)
		return 0;
	opcode = bytes[0] & 0x0f;
	if ((bytes[0] & 0x70) != 0 || !is_known(opcode))
		return cw_err_set(err, CW_ERR_INVALID, "a frame has reserved bits or an unknown opcode");
	if ((bytes[1] & 0x80) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "a server's frame is masked");
	if (is_control(opcode) && ((bytes[0] & 0x80) == 0 || bytes[1] > 125))
		return cw_err_set(err, CW_ERR_INVALID, "a control frame is split or too long");
	rc = read_length(bytes, len, &size, &at, err);
	if (rc <= 0)
		return rc;
	if (len - at < size)
		return 0;
	*frame = (struct cw_ws_frame){ .opcode = (enum cw_ws_opcode)opcode, .fin = (bytes[0] & 0x80) != 0,
		                           .payload = bytes + at, .len = (size_t)size };
	*consumed = at + (size_t)size;
	return 1;
}

void cw_ws_write(struct cw_buf *out, enum cw_ws_opcode opcode, const void *payload, size_t len, const uint8_t mask[4])
{
	const uint8_t *bytes = payload;
	unsigned size = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;

	cw_buf_putc(out, (char)(0x80 | (unsigned)opcode));
	cw_buf_putc(out, (char)(0x80 | (size == 0 ? len : size == 2 ? 126u : 127u)));
	for (unsigned i = size; i-- > 0;)
		cw_buf_putc(out, (char)(uint8_t)((uint64_t)len >> (8 * i)));
	cw_buf_add(out, mask, 4);
	for (size_t i = 0; i < len; i++)
		cw_buf_putc(out, (char)(bytes[i] ^ mask[i % 4]));
}

void cw_ws_accept(const char *key, char out[29])
{
	static const char salt[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";    /* RFC 6455, section 1.3 */
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct cw_buf text = CW_BUF_INIT;

	cw_buf_puts(&text, key);
	cw_buf_puts(&text, salt);
	EVP_Digest(text.data, text.len, digest, NULL, EVP_sha1(), NULL);
	EVP_EncodeBlock((unsigned char *)out, digest, 20);
	cw_buf_release(&text);
}
