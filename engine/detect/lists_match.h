/* lists_match.h - what the primitive list.contains sees of struct cw_lists. Of the layer detect only. */
#ifndef CW_DETECT_LISTS_MATCH_H
#define CW_DETECT_LISTS_MATCH_H

#include <stdbool.h>

#include "detect/lists.h"

struct cw_lists_row {
	struct cw_address address;
	uint32_t list, category, label, source;   /* numbers of texts */
	uint32_t order;                           /* of arrival */
	float confidence;
	int64_t first_seen, last_seen, expires;
};

/* Tells sets apart also when one stands where another was freed; 0 of NULL. */
uint64_t cw_lists_serial(const struct cw_lists *lists);
/* The rows of an address, surest first; NULL and *n = 0 if there are none. */
const struct cw_lists_row *cw_lists_find(const struct cw_lists *lists, const struct cw_address *address, size_t *n);
/* The number of a text, UINT32_MAX if it is not known (and not to be made). 0 is "". */
uint32_t cw_lists_text_number(struct cw_lists *lists, const char *text, bool make);
const char *cw_lists_text(const struct cw_lists *lists, uint32_t number);

#endif
