/* lists_hits.c - what a rule has found on lists, written down for its alert; lists that hide alerts.
 *
 * Called for alerts only, so it may look up the parties of the transaction again. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "detect/lists_match.h"

#define TEXT_MAX 160                 /* bytes of name and source that are kept with an alert */

void cw_lists_forget_hits(void)
{
	cw_list_hits.n = 0;
}

bool cw_lists_any_hits(void)
{
	return cw_list_hits.n > 0;
}

/* --- writing --- */

static void put_text(struct cw_buf *out, const char *key, const char *text)
{
	char cut[TEXT_MAX + 1];

	snprintf(cut, sizeof(cut), "%s", text);
	cw_buf_printf(out, ",\"%s\":", key);
	cw_json_put_cstring(out, cut);
}

static void put_row(const struct cw_lists *l, const struct cw_lists_row *row, const char *use, struct cw_buf *out)
{
	const struct cw_lists_doc *doc = cw_lists_doc(l, row);
	char address[CW_ADDRESS_TEXT];

	cw_buf_puts(out, out->data[out->len - 1] == '[' ? "{\"list\":" : ",{\"list\":");
	cw_json_put_cstring(out, cw_lists_text(l, row->list));
	cw_buf_printf(out, ",\"version\":%lld,\"file\":\"%s\",\"address\":\"%s\",\"chain\":%llu", (long long)doc->version,
	              doc->checksum, cw_address_format(&row->address, address), (unsigned long long)row->chain_id);
	put_text(out, "category", cw_lists_text(l, row->category));
	put_text(out, "name", cw_lists_text(l, row->label));
	put_text(out, "source", cw_lists_text(l, row->source));
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, (double)row->confidence);
	cw_buf_printf(out, ",\"use\":\"%s\"}", use);
}

/* --- hiding --- */

/* '*' stands for anything. */
static bool fits(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool of_rule(const struct cw_lists *l, const struct cw_lists_doc *doc, const struct cw_list_alert *alert)
{
	if (doc->npatterns == 0)
		return true;
	for (int i = 0; i < doc->npatterns; i++) {
		const char *pattern = cw_lists_text(l, doc->patterns[i]);

		if (fits(pattern, alert->rule))
			return true;
		for (int k = 0; k < alert->ntags; k++)
			if (fits(pattern, alert->tags[k]))
				return true;
	}
	return false;
}

static bool is_sanction(const struct cw_lists *l, const struct cw_lists_row *row)
{
	return strncmp(cw_lists_text(l, row->category), CW_LIST_NEVER_HIDDEN, strlen(CW_LIST_NEVER_HIDDEN)) == 0;
}

static bool is_sanctioned(const struct cw_lists *l, const struct cw_tx *tx, const struct cw_address *address)
{
	const struct cw_lists_row *rows;
	size_t n;

	if (address == NULL)
		return false;
	rows = cw_lists_find(l, address, &n);
	for (size_t i = 0; i < n; i++)
		if (is_sanction(l, &rows[i]) && cw_lists_holds(&rows[i], tx))
			return true;
	return false;
}

static const struct cw_lists_row *hider_at(const struct cw_lists *l, const struct cw_tx *tx, const struct cw_address *address,
                                           enum cw_list_side side, const struct cw_list_alert *alert)
{
	const struct cw_lists_row *rows = NULL;
	size_t n = 0;

	if (address != NULL)
		rows = cw_lists_find(l, address, &n);
	for (size_t i = 0; i < n; i++) {
		const struct cw_lists_doc *doc = cw_lists_doc(l, &rows[i]);

		if (doc->hides && (doc->side & side) != 0 && alert->severity <= doc->max_severity &&
		    cw_lists_holds(&rows[i], tx) && of_rule(l, doc, alert))
			return &rows[i];
	}
	return NULL;
}

static bool same(const struct cw_address *a, const struct cw_address *b)
{
	return a != NULL && b != NULL && memcmp(a, b, sizeof(*a)) == 0;
}

static const struct cw_lists_row *hider(const struct cw_lists *l, const struct cw_tx *tx, const struct cw_list_alert *alert)
{
	const struct cw_address *from = &tx->from, *to = (tx->has & CW_TX_HAS_TO) != 0 ? &tx->to : NULL;
	const struct cw_lists_row *row;

	for (uint32_t i = 0; i < cw_list_hits.n; i++)
		if (is_sanction(l, cw_list_hits.rows[i]))
			return NULL;
	if (is_sanctioned(l, tx, from) || is_sanctioned(l, tx, to) || is_sanctioned(l, tx, alert->entity))
		return NULL;
	row = hider_at(l, tx, alert->entity, CW_LIST_ENTITY, alert);
	if (row == NULL && !same(from, alert->entity))
		row = hider_at(l, tx, from, CW_LIST_COUNTERPARTY, alert);
	if (row == NULL && !same(to, alert->entity))
		row = hider_at(l, tx, to, CW_LIST_COUNTERPARTY, alert);
	return row;
}

const char *cw_lists_put_hits(const struct cw_lists *l, const struct cw_tx *tx, const struct cw_list_alert *alert,
                              struct cw_buf *out)
{
	const struct cw_lists_row *row = NULL;

	cw_buf_putc(out, '[');
	for (uint32_t i = 0; l != NULL && i < cw_list_hits.n; i++)
		put_row(l, cw_list_hits.rows[i], "evidence", out);
	if (l != NULL && cw_lists_hide(l)) {
		row = hider(l, tx, alert);
		if (row != NULL)
			put_row(l, row, "suppression", out);
	}
	cw_buf_putc(out, ']');
	return row != NULL ? cw_lists_text(l, row->list) : "";
}
