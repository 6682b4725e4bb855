/* artefact.h - a trained model as bytes: a head that says what it is, the model, a checksum.
 *
 * All numbers are little-endian, as on every machine the engine is built for. Nothing that was damaged, cut short, made by
 * another version or is not an artefact at all is taken: reading says why. Pure: files are the caller's. */
#ifndef CW_MODEL_ARTEFACT_H
#define CW_MODEL_ARTEFACT_H

#include <stddef.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;

enum cw_artefact_kind { CW_ARTEFACT_NONE = 0, CW_ARTEFACT_IFOREST, CW_ARTEFACT_LOGISTIC, CW_ARTEFACT_GBT, CW_ARTEFACT_KINDS };
const char *cw_artefact_kind_name(enum cw_artefact_kind kind);   /* "iforest", "logistic", "gbt"; "" for others */

#define CW_ARTEFACT_VERSION 1
#define CW_ARTEFACT_MAX (256u << 20)   /* bytes of a model */

/* Appends an artefact to `out`: `body` is what cw_iforest_encode, cw_logistic_encode or cw_gbt_encode wrote. */
void cw_artefact_write(enum cw_artefact_kind kind, const struct cw_buf *body, struct cw_buf *out);
/* The kind and the place of the body within `bytes`; CW_ARTEFACT_NONE with CW_ERR_INVALID and the reason. */
enum cw_artefact_kind cw_artefact_read(const void *bytes, size_t len, const void **body, size_t *body_len,
                                       struct cw_err *err);

/* For the encoders: bytes one after the other, with the end in sight. `left` shrinks; false when there are not enough. */
struct cw_artefact_cursor { const uint8_t *at; size_t left; };
static inline int cw_artefact_take(struct cw_artefact_cursor *c, void *out, size_t len)
{
	if (c->left < len)
		return 0;
	__builtin_memcpy(out, c->at, len);
	c->at += len;
	c->left -= len;
	return 1;
}

#endif
