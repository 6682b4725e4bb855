/* Model files from anywhere: nothing may crash; what is accepted can be used and written again as it was. The body is
 * tried as each kind of model by itself too, for no fuzzer finds a checksum. Seeds: tests/fuzz/corpus/artefact. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "detect/iforest.h"
#include "model/artefact.h"
#include "model/gbt.h"
#include "model/logistic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const double row[CW_TABLE_COLS_MAX] = { 1, -2, 3 };
static double part[CW_TABLE_COLS_MAX];

static void same(const struct cw_buf *buf, const void *body, size_t len)
{
	cw_assert(buf->len == len && memcmp(buf->data, body, len) == 0);
}

static void use(enum cw_artefact_kind kind, const void *body, size_t len)
{
	struct cw_iforest *f = kind == CW_ARTEFACT_IFOREST ? cw_iforest_decode(body, len, NULL) : NULL;
	struct cw_logistic *l = kind == CW_ARTEFACT_LOGISTIC ? cw_logistic_decode(body, len, NULL) : NULL;
	struct cw_gbt *g = kind == CW_ARTEFACT_GBT ? cw_gbt_decode(body, len, NULL) : NULL;
	struct cw_buf buf = CW_BUF_INIT;

	if (f != NULL) {
		cw_iforest_score(f, row);
		cw_iforest_explain(f, row, part);
		cw_iforest_encode(f, &buf);
		same(&buf, body, len);
	} else if (l != NULL) {
		cw_logistic_score(l, row);
		cw_logistic_explain(l, row, part);
		cw_logistic_encode(l, &buf);
		same(&buf, body, len);
	} else if (g != NULL) {
		cw_gbt_score(g, row);
		cw_gbt_explain(g, row, part);
		cw_gbt_encode(g, &buf);
		same(&buf, body, len);
	}
	cw_buf_release(&buf);
	cw_iforest_free(&f);
	cw_logistic_free(&l);
	cw_gbt_free(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const void *body;
	size_t len;
	enum cw_artefact_kind kind = cw_artefact_read(data, size, &body, &len, NULL);

	if (kind != CW_ARTEFACT_NONE)
		use(kind, body, len);
	if (size > 1)
		use((enum cw_artefact_kind)(data[0] % CW_ARTEFACT_KINDS), data + 1, size - 1);
	return 0;
}
