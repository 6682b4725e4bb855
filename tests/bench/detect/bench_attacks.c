/* Front-running on mainnet: how much of two labelled attacks is flagged when the cut lies at the 99 % quantile of ordinary
 * traffic. The cut is learnt (DDSketch) from five of six ordinary blocks of those years and used on the sixth and on the
 * attacks. What the two scores look at is what the shipped rules look at; the rules themselves are not run here. */
#include <math.h>

#include "base/arena.h"
#include "base/json.h"
#include "data.h"
#include "detect/ddsketch.h"
#include "detect/primitive.h"
#include "detect/twosample.h"

#define FROM_BLOCK 4000000     /* the attacks' years */
#define TO_BLOCK 11500000
#define SKETCH_BINS 2048

struct row { int64_t block; uint64_t key; double gas, excess; bool call, displaces; char kind; double score; };
static struct row *rows;
static size_t nrows, room;

static const char *text_of(const struct cw_json *tx, const char *name)
{
	const struct cw_json *v = cw_json_get(tx, name);

	return v != NULL && v->type == CW_JSON_STRING ? v->text : "";
}

static int64_t number_of(const struct cw_json *tx, const char *name)
{
	const struct cw_json *v = cw_json_get(tx, name);
	int64_t n = 0;

	return v != NULL && cw_json_to_i64(v, &n) ? n : 0;
}

/* `kind`: o ordinary, s suppression, d displacement. */
static void take(const struct cw_json *tx)
{
	const char *label = text_of(tx, "label");
	int64_t block = number_of(tx, "block_number"), calldata = number_of(tx, "input_bytes"), gas = number_of(tx, "gas");
	int64_t price = number_of(tx, "gas_price") % 1000;
	char kind = label[0] == '\0' ? 'o' : strcmp(label, "suppression_attack") == 0 ? 's'
	            : strcmp(label, "displacement_attack") == 0 ? 'd' : 'v', key[160];
	bool no_value = strcmp(text_of(tx, "value"), "0") == 0;
	struct row *r;

	if (kind == 'v' || (kind == 'o' && (block < FROM_BLOCK || block > TO_BLOCK)))
		return;
	if (nrows == room) {
		room = room * 2 + 1024;
		rows = realloc(rows, room * sizeof(*rows));
	}
	r = &rows[nrows++];
	snprintf(key, sizeof(key), "%s %s %lld %c", text_of(tx, "to_address"), text_of(tx, "input"), (long long)calldata,
	         kind == 'o' ? 'o' : 'a');
	*r = (struct row){ .block = block, .key = cw_hash64(key, strlen(key), 1), .gas = (double)gas, .kind = kind };
	/* more gas than its calldata explains (68 gas a byte before Istanbul) */
	r->excess = (double)gas / (21000 + 68 * (double)calldata);
	r->call = no_value && calldata >= 4;
	/* outbids a round price by a few wei */
	r->displaces = no_value && price >= 1 && price <= 10 && calldata >= 100 && gas >= 60000;
}

static bool read_rows(const char *file)
{
	static char line[1 << 16];
	gzFile f = data_open(file);

	if (f == NULL)
		return false;
	while (gzgets(f, line, sizeof(line)) != NULL) {
		struct cw_arena *arena = cw_arena_new();
		struct cw_json_error error;
		const struct cw_json *tx = cw_json_parse(line, strcspn(line, "\n"), 4, arena, &error);

		if (tx != NULL)
			take(tx);
		cw_arena_free(&arena);
	}
	gzclose(f);
	return true;
}

/* Block gas limits of those years, to the nearest step they stood at for long. */
static double block_gas_limit(int64_t block)
{
	return block < 4400000 ? 6.7e6 : block < 9000000 ? 8e6 : block < 10300000 ? 10e6 : 12.5e6;
}

static int by_block_and_key(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

/* Calls of one kind in one block that fill it: share of the block times median excess. */
static void score_group(struct row *from, size_t n)
{
	double *excess = malloc(n * sizeof(double)), gas = 0;
	size_t calls = 0;

	for (size_t i = 0; i < n; i++)
		if (from[i].call) {
			excess[calls++] = from[i].excess;
			gas += from[i].gas;
		}
	cw_sort_doubles(excess, calls);
	for (size_t i = 0; calls >= 2 && i < n; i++)
		if (from[i].call)
			from[i].score = gas / block_gas_limit(from[i].block) * cw_quantile_sorted(excess, calls, 0.5);
	free(excess);
}

static double share(char kind, bool (*fires)(const struct row *, double), double cut)
{
	double all = 0, fired = 0;

	for (size_t i = 0; i < nrows; i++)
		if (rows[i].kind == kind) {
			all++;
			fired += fires(&rows[i], cut);
		}
	return all > 0 ? 100 * fired / all : 0;
}

static bool suppresses(const struct row *r, double cut) { return r->score > cut; }
static bool displaces(const struct row *r, double cut) { (void)cut; return r->displaces; }

/* Cut from all ordinary blocks but one; flagged rows of that one are counted in `flagged`. */
static double cut_without(int64_t block, size_t *flagged)
{
	struct cw_ddsketch *sketch = calloc(1, cw_ddsketch_size(SKETCH_BINS));
	double cut;

	cw_ddsketch_init(NULL, sketch, SKETCH_BINS, 0.01);
	for (size_t i = 0; i < nrows; i++)
		if (rows[i].kind == 'o' && rows[i].block != block)
			cw_ddsketch_add(NULL, sketch, rows[i].score);
	cut = cw_ddsketch_quantile(sketch, 0.99);
	for (size_t i = 0; i < nrows; i++)
		*flagged += rows[i].kind == 'o' && rows[i].block == block && rows[i].score > cut;
	free(sketch);
	return cut;
}

int main(void)
{
	size_t flagged = 0, ordinary = 0, blocks = 0, ignored = 0;
	double recall = 0, least = 100, lowest = INFINITY, highest = 0;
	int64_t last = -1;

	if (!read_rows("eth_tx.ndjson.gz") || !read_rows("eth_attack_tx.ndjson.gz"))
		return 0;
	qsort(rows, nrows, sizeof(*rows), by_block_and_key);
	for (size_t i = 0, n; i < nrows; i += n) {
		for (n = 1; i + n < nrows && by_block_and_key(&rows[i], &rows[i + n]) == 0; n++)
			;
		score_group(&rows[i], n);
	}
	for (size_t i = 0; i < nrows; i++)
		ordinary += rows[i].kind == 'o';
	for (size_t i = 0; i < nrows; i++) {
		double cut, part;

		if (rows[i].kind != 'o' || rows[i].block == last)
			continue;
		last = rows[i].block;
		cut = cut_without(last, &flagged);
		part = share('s', suppresses, cut);
		recall += part;
		least = fmin(least, part);
		lowest = fmin(lowest, cut);
		highest = fmax(highest, cut);
		blocks++;
	}
	printf("attacks: %zu ordinary rows in %zu blocks, cut at their 99 %% quantile, each block left out once\n", ordinary, blocks);
	figure("suppression, recall (mean of the cuts)", recall / (double)blocks, "%", 90, true);
	figure("suppression, ordinary rows of the block left out", 100 * (double)flagged / (double)ordinary, "%", 1, false);
	printf("  (cuts %.2f to %.2f, least recall %.1f %%, with one cut from all blocks %.1f %% and %.2f %% of ordinary rows)\n",
	       lowest, highest, least, share('s', suppresses, cut_without(-1, &ignored)),
	       share('o', suppresses, cut_without(-1, &ignored)));
	figure("displacement, recall", share('d', displaces, 0), "%", 70, true);
	figure("displacement, ordinary rows flagged", share('o', displaces, 0), "%", 1, false);
	free(rows);
	return 0;
}
