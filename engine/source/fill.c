#include "source/fill.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "chain/tx.h"

#define MAINNET 1
#define LATER_BLOCK_S 12         /* behind the last known block: slots of proof of stake */
#define SENDERS_MAX 2000000      /* whose transactions are counted; further ones all begin at CW_FILL_NONCE */
#define GAS_LEAST 21000

/* Blocks of mainnet whose times are known: straight lines between them are at most six hours off. */
static const struct { uint64_t block; int64_t time; } known[] = {
	{ 46147, 1438918233 }, { 95054, 1439718252 }, { 172510, 1441113081 }, { 190557, 1441495610 }, { 448183, 1445957216 },
	{ 1156168, 1458072977 }, { 3443439, 1490843748 }, { 3649944, 1493916881 }, { 3802762, 1496307734 },
	{ 3923777, 1498323501 }, { 4014263, 1499904337 }, { 4108945, 1501700197 }, { 4207091, 1503781036 },
	{ 4304377, 1506163261 }, { 4371680, 1508166317 }, { 4680500, 1512489944 }, { 4872007, 1515375320 },
	{ 4963110, 1516783124 }, { 5521612, 1524934514 }, { 5840893, 1529769365 }, { 6286872, 1536303418 },
	{ 6926155, 1545388183 }, { 7037542, 1547048007 }, { 7118274, 1548321843 }, { 7208252, 1549919599 },
	{ 7284422, 1551451364 }, { 8815662, 1572096588 }, { 8998207, 1574680739 }, { 9117383, 1576530406 },
	{ 9191528, 1577806881 }, { 12522062, 1622194669 }, { 13404932, 1634058758 }, { 14545870, 1649430414 },
	{ 15049646, 1656580796 }, { 15274915, 1659603001 }, { 15538827, 1663241603 }, { 17034870, 1681338479 },
	{ 17666333, 1689029411 }, { 19934116, 1716485843 },
};
#define KNOWN (sizeof(known) / sizeof(*known))

enum part { TIME, GAS, PRICE, NONCE, CHAIN, BLOCK, FROM, USED, PARTS };

static const struct { const char *name; enum part part; } names[] = {
	{ "timestamp", TIME }, { "block_timestamp", TIME }, { "gas", GAS }, { "gasPrice", PRICE }, { "gas_price", PRICE },
	{ "effectiveGasPrice", PRICE }, { "effective_gas_price", PRICE }, { "receipt_effective_gas_price", PRICE },
	{ "nonce", NONCE }, { "chainId", CHAIN }, { "chain_id", CHAIN }, { "blockNumber", BLOCK }, { "block_number", BLOCK },
	{ "from", FROM }, { "from_address", FROM }, { "gasUsed", USED }, { "gas_used", USED }, { "receipt_gas_used", USED },
};

struct cw_fill {
	uint64_t chain_id;
	struct cw_arena *arena;
	struct cw_map *sent;             /* chain and sender -> transactions seen, as a pointer */
	uint64_t last_chain, last_block; /* of the last record that had a time */
	int64_t last_time;               /* 0: none had */
	struct cw_fill_stats stats;
};

struct cw_fill *cw_fill_new(uint64_t default_chain_id)
{
	struct cw_fill *f = cw_zalloc(sizeof(*f));

	f->chain_id = default_chain_id;
	f->arena = cw_arena_new();
	f->sent = cw_map_new();
	return f;
}

void cw_fill_free(struct cw_fill **fill)
{
	struct cw_fill *f = *fill;

	if (f == NULL)
		return;
	cw_arena_free(&f->arena);
	cw_map_free(&f->sent);
	cw_free(f);
	*fill = NULL;
}

static enum part part_of(const struct cw_json *member)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(member->key, names[i].name) == 0)
			return names[i].part;
	return PARTS;
}

static bool number_of(const struct cw_json *value, uint64_t *out)
{
	struct cw_u256 n;

	if (value == NULL || !cw_json_quantity(value, &n) || !cw_u256_fits_u64(&n) || n.w[0] > INT64_MAX)
		return false;
	*out = n.w[0];
	return true;
}

static int64_t mainnet_time(uint64_t block)
{
	size_t i = 1;

	if (block >= known[KNOWN - 1].block) {
		uint64_t later = block - known[KNOWN - 1].block;

		return known[KNOWN - 1].time + LATER_BLOCK_S * (int64_t)(later < 1u << 30 ? later : 1u << 30);
	}
	while (known[i].block <= block)
		i++;
	/* In front of the first one the line goes on. */
	return known[i - 1].time + (int64_t)((double)(known[i].time - known[i - 1].time) *
	                                     ((double)block - (double)known[i - 1].block) /
	                                     (double)(known[i].block - known[i - 1].block));
}

/* 0: there is no telling. */
static int64_t guess_time(const struct cw_fill *f, uint64_t chain, uint64_t block)
{
	bool same_chain = f->last_time > 0 && f->last_chain == chain;

	if (same_chain && f->last_block == block)
		return f->last_time;
	if (chain == MAINNET)
		return mainnet_time(block);
	return same_chain ? f->last_time : 0;
}

/* Counts every transaction of a sender, whether its nonce is given or not. */
static uint64_t next_nonce(struct cw_fill *f, uint64_t chain, const struct cw_address *from)
{
	uint8_t key[sizeof(chain) + sizeof(from->b)];
	uintptr_t n;

	memcpy(key, &chain, sizeof(chain));
	memcpy(key + sizeof(chain), from->b, sizeof(from->b));
	n = (uintptr_t)cw_map_get(f->sent, key, sizeof(key));
	if (n > 0 || cw_map_count(f->sent) < SENDERS_MAX)
		cw_map_put(f->sent, key, sizeof(key), (void *)(n + 1));   /* NOLINT(performance-no-int-to-ptr): a count */
	return CW_FILL_NONCE + n;
}

static void keep_time(struct cw_fill *f, uint64_t chain, uint64_t block, const struct cw_json *value)
{
	uint64_t time;

	if (!number_of(value, &time) || time == 0)
		return;
	f->last_chain = chain;
	f->last_block = block;
	f->last_time = (int64_t)time;
}

/* The object again, without the nulls that are filled in, and behind them what was missing. */
static void write_record(struct cw_fill *f, struct cw_buf *record, const struct cw_json *object,
                         const struct cw_json *const parts[PARTS], uint64_t chain, uint64_t block, const struct cw_address *from)
{
	int64_t time = parts[TIME] == NULL ? guess_time(f, chain, block) : 0;
	uint64_t used = 0;

	cw_buf_clear(record);
	cw_buf_putc(record, '{');
	for (const struct cw_json *m = object->first; m != NULL; m = m->next) {
		if (m->type == CW_JSON_NULL && part_of(m) != PARTS)
			continue;
		cw_json_put_cstring(record, m->key);
		cw_buf_putc(record, ':');
		cw_json_put_value(record, m);
		cw_buf_putc(record, ',');
	}
	if (time > 0) {
		cw_buf_printf(record, "\"timestamp\":%" PRId64 ",", time);
		f->stats.times++;
	}
	if (parts[GAS] == NULL) {
		(void)number_of(parts[USED], &used);
		cw_buf_printf(record, "\"gas\":\"%" PRIu64 "\",", used > GAS_LEAST ? used : GAS_LEAST);
		f->stats.gas++;
	}
	if (parts[PRICE] == NULL) {
		cw_buf_puts(record, "\"gasPrice\":\"0\",");
		f->stats.prices++;
	}
	if (parts[NONCE] == NULL) {
		cw_buf_printf(record, "\"nonce\":%" PRIu64 ",", next_nonce(f, chain, from));
		f->stats.nonces++;
	}
	record->data[record->len - 1] = '}';
	f->stats.records += time > 0 || parts[GAS] == NULL || parts[PRICE] == NULL || parts[NONCE] == NULL;
}

void cw_fill_record(struct cw_fill *f, struct cw_buf *record)
{
	const struct cw_json *parts[PARTS + 1] = { NULL }, *object;
	struct cw_json_error error;
	struct cw_address from;
	uint64_t chain = f->chain_id, block;

	cw_arena_clear(f->arena);
	object = cw_json_parse(record->data, record->len, CW_JSON_DEPTH_DEFAULT, f->arena, &error);
	if (object == NULL || object->type != CW_JSON_OBJECT)
		return;
	for (const struct cw_json *m = object->first; m != NULL; m = m->next)
		if (m->type != CW_JSON_NULL)
			parts[part_of(m)] = m;
	if (!number_of(parts[BLOCK], &block) || parts[FROM] == NULL || parts[FROM]->type != CW_JSON_STRING ||
	    cw_address_parse(&from, parts[FROM]->text, parts[FROM]->len) != CW_ADDRESS_OK)
		return;
	(void)number_of(parts[CHAIN], &chain);
	if (parts[TIME] == NULL || parts[GAS] == NULL || parts[PRICE] == NULL || parts[NONCE] == NULL)
		write_record(f, record, object, parts, chain, block, &from);
	if (parts[TIME] != NULL)
		keep_time(f, chain, block, parts[TIME]);
}

struct cw_fill_stats cw_fill_stats(const struct cw_fill *f)
{
	return f->stats;
}

static void tell_one(struct cw_buf *out, uint64_t n, const char *what)
{
	if (n > 0)
		cw_buf_printf(out, "%s%" PRIu64 " %s", out->len > 0 ? ", " : "", n, what);
}

void cw_fill_tell(const struct cw_fill *f, struct cw_buf *out)
{
	const struct cw_fill_stats *s = &f->stats;
	struct cw_buf list = CW_BUF_INIT;

	tell_one(&list, s->times, "times (by block number)");
	tell_one(&list, s->gas, "gas limits (the gas used, or 21000)");
	tell_one(&list, s->prices, "gas prices (0)");
	tell_one(&list, s->nonces, "nonces (counted by sender)");
	if (s->records > 0)
		cw_buf_printf(out, "%" PRIu64 " records were partial; filled in: %s", s->records, list.data);
	cw_buf_release(&list);
}
