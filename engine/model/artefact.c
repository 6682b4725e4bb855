#include "model/artefact.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "detect/primitive.h"

static const char magic[8] = { 'c', 'w', 'm', 'o', 'd', 'e', 'l', '\n' };

struct head {
	char magic[8];
	uint32_t version, kind;
	uint64_t len;                  /* of the body */
	uint64_t check[2];             /* of the head up to here, and the body */
};

const char *cw_artefact_kind_name(enum cw_artefact_kind kind)
{
	static const char *const names[] = { "", "iforest", "logistic", "gbt" };

	return (unsigned)kind < CW_ARTEFACT_KINDS ? names[kind] : "";
}

static void checksum(const struct head *head, const void *body, uint64_t out[2])
{
	uint64_t seed = cw_hash64(head, offsetof(struct head, check), 1);

	out[0] = cw_hash64(body, (size_t)head->len, seed);
	out[1] = cw_hash64(body, (size_t)head->len, ~seed);
}

void cw_artefact_write(enum cw_artefact_kind kind, const struct cw_buf *body, struct cw_buf *out)
{
	struct head head = { .version = CW_ARTEFACT_VERSION, .kind = (uint32_t)kind, .len = body->len };

	memcpy(head.magic, magic, sizeof(magic));
	checksum(&head, body->data, head.check);
	cw_buf_add(out, &head, sizeof(head));
	cw_buf_add(out, body->data, body->len);
}

static int check_head(const struct head *head, size_t len, struct cw_err *err)
{
	if (memcmp(head->magic, magic, sizeof(magic)) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "not a model: it does not begin with \"cwmodel\"");
	if (head->version != CW_ARTEFACT_VERSION)
		return cw_err_set(err, CW_ERR_INVALID, "a model of format %u; this engine reads format %d", head->version,
		                  CW_ARTEFACT_VERSION);
	if (head->kind == CW_ARTEFACT_NONE || head->kind >= CW_ARTEFACT_KINDS)
		return cw_err_set(err, CW_ERR_INVALID, "a model of unknown kind %u", head->kind);
	if (head->len > CW_ARTEFACT_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "a model of %llu bytes; %u are possible", (unsigned long long)head->len,
		                  CW_ARTEFACT_MAX);
	if (head->len != len - sizeof(*head))
		return cw_err_set(err, CW_ERR_INVALID, "the model is %s: %zu bytes where its head says %llu",
		                  len - sizeof(*head) < head->len ? "cut short" : "too long", len - sizeof(*head),
		                  (unsigned long long)head->len);
	return 0;
}

enum cw_artefact_kind cw_artefact_read(const void *bytes, size_t len, const void **body, size_t *body_len,
                                       struct cw_err *err)
{
	struct head head;
	uint64_t check[2];

	if (len < sizeof(head)) {
		cw_err_set(err, CW_ERR_INVALID, "not a model: only %zu bytes", len);
		return CW_ARTEFACT_NONE;
	}
	memcpy(&head, bytes, sizeof(head));
	if (check_head(&head, len, err) != 0)
		return CW_ARTEFACT_NONE;
	*body = (const uint8_t *)bytes + sizeof(head);
	*body_len = (size_t)head.len;
	checksum(&head, *body, check);
	if (memcmp(check, head.check, sizeof(check)) != 0) {
		cw_err_set(err, CW_ERR_INVALID, "the model is damaged: its checksum does not fit");
		return CW_ARTEFACT_NONE;
	}
	return (enum cw_artefact_kind)head.kind;
}
