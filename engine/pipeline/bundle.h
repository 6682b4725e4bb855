/* bundle.h - a bundle as one sealed memory file, so that it can be handed to an evaluator, and again to its successors. */
#ifndef CW_PIPELINE_BUNDLE_H
#define CW_PIPELINE_BUNDLE_H

#include <stddef.h>

struct cw_bundle;
struct cw_err;

#define CW_BUNDLE_MAX (1u << 30)

/* Returns a descriptor that belongs to the caller, or -1: CW_ERR_INVALID when it is too large or has more than
 * CW_RULES_MAX rules. `tested` and `fires_json` are not part of it. */
int cw_bundle_pack(const struct cw_bundle *bundle, size_t *size, struct cw_err *err);
/* The names and texts point into `bytes`, which came from cw_bundle_pack; the two arrays are the bundle's. -1 when the
 * bytes are something else. */
int cw_bundle_unpack(struct cw_bundle *bundle, const void *bytes, size_t size);
void cw_bundle_release(struct cw_bundle *bundle);

#endif
