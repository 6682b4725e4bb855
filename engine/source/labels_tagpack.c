/* labels_tagpack.c - GraphSense TagPacks: YAML with a header, whose fields the tags inherit, and a list of tags.
 *
 * Read as a stream of libyaml's events, so the text is never a tree: depth, number of events and sizes are bounded, an
 * alias may stand for a single value only, and not for more of them than the text could hold itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/arena.h"
#include "source/labels_internal.h"

#define DEPTH_MAX 16
#define ANCHORS_MAX 256
#define VALUE_MAX 4096               /* bytes of a value that is kept */

enum field { F_ADDRESS = 0, F_LABEL, F_SOURCE, F_CATEGORY, F_ABUSE, F_CONCEPT, F_CONFIDENCE, F_CURRENCY, F_NETWORK,
	         F_LASTMOD, F_FIRST, F_EXPIRES, F_COUNT };

static const struct { const char *key; enum field field; } keys[] = {
	{ "address", F_ADDRESS }, { "label", F_LABEL }, { "source", F_SOURCE }, { "category", F_CATEGORY }, { "abuse", F_ABUSE },
	{ "concepts", F_CONCEPT }, { "confidence", F_CONFIDENCE }, { "currency", F_CURRENCY }, { "network", F_NETWORK },
	{ "lastmod", F_LASTMOD }, { "first_seen", F_FIRST }, { "expires", F_EXPIRES },
};

/* The levels of GraphSense's own table, of 100. */
static const struct { const char *name; double share; } levels[] = {
	{ "override", 1 }, { "ownership", 1 }, { "ledger_immanent", 1 }, { "manual_transaction", 0.9 },
	{ "trusted_transaction", 0.9 }, { "service_api", 0.7 }, { "authority_data", 0.6 }, { "trusted_provider", 0.5 },
	{ "service_data", 0.5 }, { "forensic", 0.5 }, { "forensic_investigation", 0.5 }, { "untrusted_transaction", 0.4 },
	{ "web_crawl", 0.2 }, { "heuristic", 0.1 }, { "unknown", 0.05 },
};

/* Networks with addresses of this form; others are counted and left out. */
static const struct { const char *name; uint64_t chain; } networks[] = {
	{ "ETH", 1 }, { "ETHEREUM", 1 }, { "ETC", 61 }, { "BSC", 56 }, { "BNB", 56 }, { "MATIC", 137 }, { "POL", 137 },
	{ "POLYGON", 137 }, { "ARB", 42161 }, { "ARBITRUM", 42161 }, { "OP", 10 }, { "OPTIMISM", 10 }, { "BASE", 8453 },
	{ "AVAX", 43114 }, { "FTM", 250 }, { "XDAI", 100 }, { "GNO", 100 }, { "GNOSIS", 100 }, { "EVM", 0 }, { "ANY", 0 },
};

/* Words of its taxonomies that have another name in our rules. */
static const struct { const char *theirs, *ours; } categories[] = {
	{ "mixing_service", "mixer" }, { "coinjoin", "mixer" }, { "sanction", "sanctioned" }, { "sanctions", "sanctioned" },
	{ "sanctioned_entity", "sanctioned" }, { "defi_bridge", "bridge" }, { "ponzi", "ponzi_scheme" },
	{ "hosted_wallet", "custodian" }, { "hack", "service_hack" },
};

struct value { const char *text; uint32_t line; };
struct tag { struct value v[F_COUNT]; uint32_t line; };

struct pack {
	struct labels_reader *r;
	yaml_parser_t parser;
	struct tag header, tag;
	struct { char *name; struct value value; } anchors[ANCHORS_MAX];
	int nanchors;
	size_t events, events_max;
	bool tags_seen;
};

/* Tags with the header's fields wait for the whole header: it may come behind them. */

static int next_event(struct pack *p, yaml_event_t *e)
{
	if (++p->events > p->events_max)
		return cw_labels_bad_text(p->r, (uint32_t)p->parser.mark.line + 1, "too many YAML elements");
	if (yaml_parser_parse(&p->parser, e) != 0)
		return 0;
	return cw_labels_bad_text(p->r, (uint32_t)p->parser.problem_mark.line + 1, "not YAML: %s%s%s",
	                          p->parser.problem != NULL ? p->parser.problem : "cannot be read",
	                          p->parser.context != NULL ? " " : "", p->parser.context != NULL ? p->parser.context : "");
}

static uint32_t line_of(const yaml_event_t *e)
{
	return (uint32_t)e->start_mark.line + 1;
}

static int keep_anchor(struct pack *p, const yaml_event_t *e, const struct value *value)
{
	const char *name = (const char *)e->data.scalar.anchor;

	if (name == NULL)
		return 0;
	if (p->nanchors == ANCHORS_MAX)
		return cw_labels_bad_text(p->r, value->line, "more than %d anchors", ANCHORS_MAX);
	p->anchors[p->nanchors].name = cw_arena_strndup(p->r->arena, name, strlen(name));
	p->anchors[p->nanchors++].value = *value;
	return 0;
}

/* A scalar as text. */
static int scalar(struct pack *p, const yaml_event_t *e, struct value *out)
{
	size_t len = e->data.scalar.length;
	const char *text = (const char *)e->data.scalar.value;

	*out = (struct value){ .text = "", .line = line_of(e) };
	if (memchr(text, '\0', len) != NULL)
		return cw_labels_bad_text(p->r, out->line, "a NUL character in a value");
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (strcasecmp(text, "null") == 0 || strcmp(text, "~") == 0))
		len = 0;
	out->text = cw_arena_strndup(p->r->arena, text, len < VALUE_MAX ? len : VALUE_MAX);
	return keep_anchor(p, e, out);
}

static int alias(struct pack *p, const yaml_event_t *e, struct value *out)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (int i = p->nanchors; i-- > 0;)
		if (strcmp(p->anchors[i].name, name) == 0) {
			*out = p->anchors[i].value;
			out->line = line_of(e);
			return 0;
		}
	return cw_labels_bad_text(p->r, line_of(e), "alias \"%.60s\" names no single value in front of it", name);
}

/* The rest of what this event opened; *first (may be NULL) gets the first value in it. */
static int pass_over(struct pack *p, yaml_event_t *e, struct value *first)
{
	int depth = e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;
	yaml_event_t inner;

	while (depth > 0) {
		int rc = next_event(p, &inner);

		if (rc != 0)
			return -1;
		if (inner.type == YAML_SEQUENCE_START_EVENT || inner.type == YAML_MAPPING_START_EVENT) {
			if (++depth > DEPTH_MAX)
				rc = cw_labels_bad_text(p->r, line_of(&inner), "nested deeper than %d", DEPTH_MAX);
		} else if (inner.type == YAML_SEQUENCE_END_EVENT || inner.type == YAML_MAPPING_END_EVENT) {
			depth--;
		} else if (inner.type == YAML_SCALAR_EVENT && first != NULL && first->text == NULL) {
			rc = scalar(p, &inner, first);
		} else if (inner.type == YAML_SCALAR_EVENT && inner.data.scalar.anchor != NULL) {
			struct value unused;

			rc = scalar(p, &inner, &unused);
		}
		yaml_event_delete(&inner);
		if (rc != 0)
			return -1;
	}
	return 0;
}

/* The value of a key: single ones as they are, of lists the first, of the rest none. */
static int value_of(struct pack *p, struct value *out)
{
	yaml_event_t e;
	int rc = next_event(p, &e);

	*out = (struct value){ 0 };
	if (rc != 0)
		return -1;
	if (e.type == YAML_SCALAR_EVENT)
		rc = scalar(p, &e, out);
	else if (e.type == YAML_ALIAS_EVENT)
		rc = alias(p, &e, out);
	else
		rc = pass_over(p, &e, e.type == YAML_SEQUENCE_START_EVENT ? out : NULL);
	yaml_event_delete(&e);
	return rc;
}

static void keep(struct tag *tag, const char *key, const struct value *value)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (strcmp(key, keys[i].key) == 0)
			tag->v[keys[i].field] = *value;
}

/* --- one tag --- */

static const char *text(const struct pack *p, enum field field)
{
	const char *own = p->tag.v[field].text, *inherited = p->header.v[field].text;

	if (own != NULL && own[0] != '\0')
		return own;
	return inherited != NULL ? inherited : "";
}

static const char *confidence(struct pack *p, const char *given, double *out)
{
	double number;
	char rest;

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcasecmp(given, levels[i].name) == 0) {
			*out = levels[i].share;
			return NULL;
		}
	if (given[0] == '\0')
		return NULL;
	if (sscanf(given, "%lf%c", &number, &rest) == 1 && number >= 0 && number <= 100) {
		*out = number > 1 ? number / 100 : number;
		return NULL;
	}
	return cw_labels_text(p->r, "\"%.40s\" is none of GraphSense's levels and no number from 0 to 100", given);
}

static const char *category_of(const struct pack *p)
{
	static const enum field order[] = { F_ABUSE, F_CATEGORY, F_CONCEPT };
	const char *given = "";

	for (size_t i = 0; i < 3 && given[0] == '\0'; i++)
		given = text(p, order[i]);
	for (size_t i = 0; i < sizeof(categories) / sizeof(*categories); i++)
		if (strcasecmp(given, categories[i].theirs) == 0)
			return categories[i].ours;
	return given;
}

/* False: a network whose addresses are of another form. */
static bool chain_of(const struct pack *p, uint64_t *chain)
{
	const char *network = text(p, F_NETWORK);

	if (network[0] == '\0')
		network = text(p, F_CURRENCY);
	*chain = 0;
	if (network[0] == '\0')
		return true;
	for (size_t i = 0; i < sizeof(networks) / sizeof(*networks); i++)
		if (strcasecmp(network, networks[i].name) == 0) {
			*chain = networks[i].chain;
			return true;
		}
	/* a token: the address tells on what kind of chain it is */
	return text(p, F_NETWORK)[0] == '\0' && strncmp(text(p, F_ADDRESS), "0x", 2) == 0 && strlen(text(p, F_ADDRESS)) == 42;
}

static int take_tag(struct pack *p)
{
	struct labels_reader *r = p->r;
	struct cw_label l = { .confidence = NAN, .line = p->tag.line, .name = text(p, F_LABEL), .source = text(p, F_SOURCE),
		                  .category = category_of(p) };
	const char *field = "address", *what = NULL;
	uint32_t line = p->tag.line;

	if (!chain_of(p, &l.chain_id)) {
		r->out->foreign++;
		return 0;
	}
	what = cw_labels_address(r, text(p, F_ADDRESS), &l.address);
	if (p->tag.v[F_ADDRESS].line != 0)
		line = p->tag.v[F_ADDRESS].line;
	if (what == NULL && l.name[0] == '\0') {
		field = "label";
		what = "is missing";
	}
	if (what == NULL) {
		field = "confidence";
		line = p->tag.v[F_CONFIDENCE].line != 0 ? p->tag.v[F_CONFIDENCE].line : p->tag.line;
		what = confidence(p, text(p, F_CONFIDENCE), &l.confidence);
	}
	if (what == NULL) {
		field = "lastmod";
		line = p->tag.v[F_LASTMOD].line != 0 ? p->tag.v[F_LASTMOD].line : p->tag.line;
		what = cw_labels_time(r, text(p, F_LASTMOD), &l.last_seen);
	}
	if (what == NULL)
		what = cw_labels_time(r, text(p, F_FIRST), &l.first_seen), field = "first_seen";
	if (what == NULL)
		what = cw_labels_time(r, text(p, F_EXPIRES), &l.expires), field = "expires";
	return what != NULL ? cw_labels_bad_row(r, line, field, "%s", what) : cw_labels_take(r, &l);
}

/* The mapping whose start was read. */
static int read_mapping(struct pack *p, struct tag *into)
{
	yaml_event_t e;

	for (;;) {
		struct value key = { .text = "" }, value = { .text = "" };
		int rc = next_event(p, &e);

		if (rc != 0)
			return -1;
		if (e.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&e);
			return 0;
		}
		if (e.type == YAML_SCALAR_EVENT)
			rc = scalar(p, &e, &key);
		else
			rc = cw_labels_bad_text(p->r, line_of(&e), "a key that is no single value");
		yaml_event_delete(&e);
		if (rc != 0 || value_of(p, &value) != 0)
			return -1;
		keep(into, key.text, &value);
	}
}

static int read_tags(struct pack *p)
{
	yaml_event_t e = { 0 };
	int rc = next_event(p, &e);

	if (rc != 0)
		return -1;
	if (e.type != YAML_SEQUENCE_START_EVENT)
		rc = cw_labels_bad_text(p->r, line_of(&e), "\"tags\" must be a list");
	yaml_event_delete(&e);
	p->tags_seen = true;
	while (rc == 0) {
		enum yaml_event_type_e type;

		if (next_event(p, &e) != 0)
			return -1;
		type = e.type;
		p->tag = (struct tag){ .line = line_of(&e) };
		if (type == YAML_MAPPING_START_EVENT) {
			rc = read_mapping(p, &p->tag);
			if (rc == 0)
				rc = take_tag(p);
		} else if (type != YAML_SEQUENCE_END_EVENT) {
			rc = cw_labels_bad_row(p->r, p->tag.line, "", "a tag must be a mapping with an address and a label");
			if (rc == 0)
				rc = pass_over(p, &e, NULL);
		}
		yaml_event_delete(&e);
		if (type == YAML_SEQUENCE_END_EVENT)
			return rc;
	}
	return -1;
}

/* The top mapping. With `want_tags` false only the header is read: it may stand behind the tags. */
static int read_top(struct pack *p, bool want_tags)
{
	yaml_event_t e = { 0 };
	int rc = 0;

	while (rc == 0) {
		enum yaml_event_type_e type;
		struct value key = { .text = "" }, value;

		if (next_event(p, &e) != 0)
			return -1;
		type = e.type;
		if (type == YAML_SCALAR_EVENT)
			rc = scalar(p, &e, &key);
		else if (type != YAML_MAPPING_END_EVENT)
			rc = cw_labels_bad_text(p->r, line_of(&e), "a key that is no single value");
		yaml_event_delete(&e);
		if (rc != 0 || type == YAML_MAPPING_END_EVENT)
			return rc;
		if (strcmp(key.text, "tags") == 0 && want_tags) {
			rc = read_tags(p);
		} else {
			rc = value_of(p, &value);
			if (rc == 0 && !want_tags && strcmp(key.text, "tags") == 0)
				p->tags_seen = true;
			else if (rc == 0 && !want_tags)
				keep(&p->header, key.text, &value);
		}
	}
	return rc;
}

static int read_document(struct pack *p, bool want_tags)
{
	for (;;) {
		yaml_event_t e = { 0 };
		enum yaml_event_type_e type;
		uint32_t line;

		if (next_event(p, &e) != 0)
			return -1;
		type = e.type;
		line = line_of(&e);
		yaml_event_delete(&e);
		if (type == YAML_MAPPING_START_EVENT)
			return read_top(p, want_tags);
		if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT)
			return cw_labels_bad_text(p->r, line, "a TagPack is a mapping with a list \"tags\"");
	}
}

static int read_once(struct pack *p, const char *from, size_t len, bool want_tags)
{
	int rc;

	if (yaml_parser_initialize(&p->parser) == 0)
		return cw_labels_bad_text(p->r, 1, "no memory for the YAML parser");
	yaml_parser_set_input_string(&p->parser, (const unsigned char *)from, len);
	yaml_parser_set_encoding(&p->parser, YAML_UTF8_ENCODING);
	p->events = 0;
	p->nanchors = 0;
	rc = read_document(p, want_tags);
	yaml_parser_delete(&p->parser);
	return rc;
}

int cw_labels_read_tagpack(struct labels_reader *r, const char *from, size_t len)
{
	struct pack *p = cw_arena_zalloc(r->arena, sizeof(*p));
	int rc;

	p->r = r;
	p->events_max = len + 64;         /* each takes a byte at least */
	rc = read_once(p, from, len, false);
	if (rc == 0 && !p->tags_seen)
		return cw_labels_bad_text(r, 1, "a TagPack is a mapping with a list \"tags\"");
	/* what the whole document inherits is not an address */
	p->header.v[F_ADDRESS] = (struct value){ 0 };
	return rc == 0 ? read_once(p, from, len, true) : -1;
}
