/* What an evaluator wrote, read by the engine: nothing may crash, and what is accepted can be written and read again
 * with the same meaning. Seeds: tests/fuzz/corpus/verdict. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "pipeline/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(struct cw_buf *out, const struct cw_verdict *v)
{
	cw_verdict_begin(out, v->seq);
	for (uint32_t i = 0; i < v->nalerts; i++)
		cw_verdict_alert(out, &v->alerts[i]);
	for (uint32_t i = 0; i < v->nfaults; i++)
		cw_verdict_fault(out, &v->faults[i]);
	cw_verdict_end(out);
	cw_verdict_shrink(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf buf = CW_BUF_INIT;
	struct cw_verdict v, again;
	size_t consumed;

	if (cw_verdict_read(&v, data, size, &consumed, arena, NULL) == 0) {
		cw_assert(consumed <= size);
		rewrite(&buf, &v);
		cw_assert(cw_verdict_read(&again, buf.data, buf.len, &consumed, arena, NULL) == 0);
		cw_assert(consumed == buf.len && again.seq == v.seq && again.score == v.score);
		cw_assert(again.nalerts == v.nalerts && again.nfaults == v.nfaults);
		for (uint32_t i = 0; i < v.nalerts; i++) {
			cw_assert(strcmp(v.alerts[i].dedup, again.alerts[i].dedup) == 0);
			cw_assert(strcmp(v.alerts[i].explanation, again.alerts[i].explanation) == 0);
		}
	}
	cw_buf_release(&buf);
	cw_arena_free(&arena);
	return 0;
}
