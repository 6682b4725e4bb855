/* Address lists: CSV in, look-ups out, through the C interface and through list.contains. */
#include "support/detect_env.h"

#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "chain/tx.h"
#include "detect/lists.h"

#define A "0x1111111111111111111111111111111111111111"
#define B "0x2222222222222222222222222222222222222222"
#define C "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

static int64_t add(struct cw_lists *l, const char *name, const char *csv, struct cw_err *err)
{
	return cw_lists_add_csv(l, name, csv, strlen(csv), NULL, err);
}

static struct cw_lists *lists_with(const char *csv)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_err err = { 0 };

	ck_assert_msg(add(l, "labels", csv, &err) >= 0, "%s", err.msg);
	cw_lists_seal(l);
	return l;
}

static struct cw_address address(const char *text)
{
	struct cw_address a;

	ck_assert_int_eq(cw_address_parse(&a, text, strlen(text)), CW_ADDRESS_OK);
	return a;
}

START_TEST(reads_what_is_there)
{
	struct cw_lists *l = lists_with("address,category,name,source,confidence,first_seen,last_seen,expires\r\n"
	                                A ",mixer,\"Tornado, 10 \"\"ETH\"\"\",ofac,0.9,2022-08-08T00:00:00Z,1700000000,\r\n"
	                                "\r\n"
	                                C ",exchange,\"two\nlines\",,,,,1800000000");
	struct cw_address a = address(A), b = address(B), c = address(C);
	struct cw_list_entry e;
	const char *list;
	size_t at = 0;

	ck_assert_uint_eq(cw_lists_count(l), 2);
	ck_assert(cw_lists_next(l, &a, &at, &list, &e));
	ck_assert_str_eq(list, "labels");
	ck_assert_str_eq(e.category, "mixer");
	ck_assert_str_eq(e.label, "Tornado, 10 \"ETH\"");
	ck_assert_str_eq(e.source, "ofac");
	ck_assert_double_eq_tol(e.confidence, 0.9, 1e-6);
	ck_assert_int_eq(e.first_seen, 1659916800);
	ck_assert_int_eq(e.last_seen, 1700000000);
	ck_assert_int_eq(e.expires, 0);
	ck_assert(!cw_lists_next(l, &a, &at, &list, &e));
	at = 0;
	ck_assert(!cw_lists_next(l, &b, &at, &list, &e));
	ck_assert(cw_lists_next(l, &c, &at, &list, &e));
	ck_assert_str_eq(e.label, "two\nlines");
	ck_assert_str_eq(e.source, "");
	ck_assert_double_eq(e.confidence, 1);
	ck_assert_int_eq(e.expires, 1800000000);
	cw_lists_free(&l);
	ck_assert_ptr_null(l);
}
END_TEST

START_TEST(faults_name_list_and_line)
{
	static const struct {
		const char *csv, *message;
	} bad[] = {
		{ "", "list \"labels\", line 1: the first line must name one column \"address\"" },
		{ "addr,category\n" A ",x\n", "list \"labels\", line 1: the first line must name one column \"address\"" },
		{ "address,address\n" A "," B, "list \"labels\", line 1: the first line must name one column \"address\"" },
		{ "address,category\n" A ",x\n0x12,y\n", "list \"labels\", line 3: not an address: \"0x12\"" },
		{ "address\n0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD\n",
		  "list \"labels\", line 2: address with a wrong checksum: \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD\"" },
		{ "address,category\n" A "\n", "list \"labels\", line 2: 1 cells, the first line has 2" },
		{ "address,name\n" A ",\"x\n\n" B ",y\n", "list \"labels\", line 2: a quote that is not closed" },
		{ "address,name\n" A ",\"x\"y\n", "list \"labels\", line 2: text after a closing quote" },
		{ "address,name\n" A ",x\"y\n", "list \"labels\", line 2: a quote inside an unquoted cell" },
		{ "address,name\n" A ",\"a\nb\"\n" B ",x,y\n", "list \"labels\", line 4: 3 cells, the first line has 2" },
		{ "address,confidence\n" A ",1.5\n",
		  "list \"labels\", line 2: confidence must be between 0 and 1, not \"1.5\"" },
		{ "address,expires\n" A ",soon\n",
		  "list \"labels\", line 2: expires is neither seconds nor RFC 3339: \"soon\"" },
	};
	struct cw_lists *l = cw_lists_new();
	struct cw_err err = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(add(l, "labels", bad[i].csv, &err), -1);
		ck_assert_str_eq(err.msg, bad[i].message);
		ck_assert_uint_eq(cw_lists_count(l), 0);
	}
	ck_assert_int_eq(cw_lists_add_csv(l, "labels", "address\n0x\0", 11, NULL, &err), -1);
	cw_lists_free(&l);
}
END_TEST

START_TEST(a_failed_document_adds_nothing)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_err err = { 0 };

	ck_assert_int_eq(add(l, "labels", "address\n" A "\n", &err), 1);
	ck_assert_int_eq(add(l, "labels", "address\n" B "\n0x1\n", &err), -1);
	ck_assert_uint_eq(cw_lists_count(l), 1);
	ck_assert_int_eq(add(l, "more", "\xef\xbb\xbf" "address\n" B "\n", &err), 1);
	cw_lists_seal(l);
	ck_assert_uint_eq(cw_lists_count(l), 2);
	cw_lists_free(&l);
}
END_TEST

START_TEST(many_entries_are_all_found)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_list_entry e;
	const char *list;
	int lost = 0, unsure = 0, strangers = 0;   /* not an assertion each: Check writes a file line for every one */
	uint64_t found = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		e = (struct cw_list_entry){ .address = env_address(i / 2), .category = i % 2 ? "b" : "a",
		                            .confidence = i % 2 ? 0.9 : 0.2 };
		lost += cw_lists_add(l, "big", &e, NULL) != 0;
	}
	cw_lists_seal(l);
	for (uint64_t i = 0; i < 50000; i++) {
		struct cw_address a = env_address(i), b = env_address(i + 1000000);
		size_t at = 0;

		lost += !cw_lists_next(l, &a, &at, &list, &e);
		unsure += strcmp(e.category, "b") != 0;   /* the surer one comes first */
		while (cw_lists_next(l, &a, &at, &list, &e))
			found++;
		at = 0;
		strangers += cw_lists_next(l, &b, &at, &list, &e);
	}
	ck_assert_int_eq(lost, 0);
	ck_assert_int_eq(unsure, 0);
	ck_assert_int_eq(strangers, 0);
	ck_assert_uint_eq(found, 50000);
	ck_assert_uint_le(cw_lists_bytes(l), 100000 * 130);
	cw_lists_free(&l);
}
END_TEST

START_TEST(primitive_filters_by_list_category_and_time)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_state *st = env_state();
	struct cw_err err = { 0 };
	struct env_handle any, mixers, sure, own;
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	tx.to = address(A);
	tx.from = address(B);
	ck_assert_int_gt(add(l, "labels", "address,category,name,confidence,expires\n" A ",mixer,Tornado,0.6,2000\n"
	                     A ",exploiter,Bad,0.5,\n", &err), 0);
	ck_assert_int_gt(add(l, "own", "address,category\n" B ",allowed\n", &err), 0);
	cw_lists_seal(l);
	ck_assert_ptr_null(cw_lists_use(l));
	any = env_open(st, "list.contains", "list=labels, own");
	mixers = env_open(st, "list.contains", "category=mixer , sanctioned");
	sure = env_open(st, "list.contains", "min_confidence=0.7");
	own = env_open(st, "list.contains", "list=own");

	ck_assert_double_eq(env_call(&any, "has", &tx), 1);
	ck_assert_str_eq(any.p->text(any.h, (int)env_call(&any, "category", &tx)), "mixer");
	ck_assert_str_eq(any.p->text(any.h, (int)env_call(&any, "name", &tx)), "Tornado");
	ck_assert_double_eq_tol(env_call(&any, "confidence", &tx), 0.6, 1e-6);
	ck_assert_str_eq(any.p->text(any.h, (int)env_call1(&any, "category", &tx, CW_FIELD_FROM)), "allowed");
	ck_assert_double_eq(env_call1(&any, "has", &tx, CW_FIELD_GAS), 0);
	ck_assert_double_eq(env_call(&mixers, "has", &tx), 1);
	ck_assert_double_eq(env_call(&sure, "has", &tx), 0);
	ck_assert_double_eq(env_call1(&sure, "has", &tx, CW_FIELD_FROM), 1);
	ck_assert_double_eq(env_call(&own, "has", &tx), 0);
	ck_assert(isnan(env_call(&own, "category", &tx)));
	tx.timestamp = 2000;
	ck_assert_double_eq(env_call(&mixers, "has", &tx), 0);   /* expired */
	ck_assert_str_eq(any.p->text(any.h, (int)env_call(&any, "category", &tx)), "exploiter");
	tx.has = 0;
	ck_assert_double_eq(env_call(&any, "has", &tx), 0);

	env_close(&any);
	env_close(&mixers);
	env_close(&sure);
	env_close(&own);
	cw_lists_use(NULL);
	cw_lists_free(&l);
	cw_state_close(&st);
}
END_TEST

START_TEST(primitive_follows_a_swap)
{
	struct cw_lists *old = lists_with("address,category\n" A ",mixer\n");
	struct cw_lists *fresh = lists_with("address,category\n" B ",other\n" B ",mixer\n");
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "list.contains", "list=labels;category=mixer");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	tx.to = address(A);
	tx.from = address(B);
	ck_assert_double_eq(env_call(&e, "has", &tx), 0);   /* no lists yet */
	cw_lists_use(old);
	ck_assert_double_eq(env_call(&e, "has", &tx), 1);
	ck_assert_double_eq(env_call1(&e, "has", &tx, CW_FIELD_FROM), 0);
	ck_assert_ptr_eq(cw_lists_use(fresh), old);
	cw_lists_free(&old);
	ck_assert_double_eq(env_call(&e, "has", &tx), 0);
	ck_assert_double_eq(env_call1(&e, "has", &tx, CW_FIELD_FROM), 1);
	env_close(&e);
	cw_lists_use(NULL);
	cw_lists_free(&fresh);
	cw_state_close(&st);
}
END_TEST

START_TEST(primitive_refuses_unknown_lists)
{
	struct cw_lists *l = lists_with("address\n" A "\n");
	const struct cw_primitive *p = cw_primitive_find("list", "contains");
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_state_root root = { .name = "r/s" };
	struct cw_state *st = env_state();
	struct cw_err err = { 0 };
	char options[] = "list=labels,lables";

	cw_lists_use(l);
	ck_assert_int_eq(env_read(p, options, vals, &err), 0);
	ck_assert_ptr_null(p->open(st, &root, vals, &err));
	ck_assert_str_eq(err.msg, "list.contains: there is no list \"lables\"");
	cw_lists_use(NULL);
	cw_lists_free(&l);
	cw_state_close(&st);
}
END_TEST

/* The labels that the project is tuned with: all read, each found again. */
START_TEST(real_labels_are_read)
{
	const char *folder = getenv("CHAINWATCH_TEST_DATA");
	struct cw_lists *l = cw_lists_new();
	struct cw_err err = { 0 };
	char path[512], *text = malloc(4 << 20);
	struct cw_address a = address("0x722122dF12D4e14e13Ac3b6895a86e84145b6967");
	struct cw_list_entry e;
	const char *list;
	size_t at = 0;
	int len, mixers = 0;
	gzFile f;

	snprintf(path, sizeof(path), "%s/eth_address_labels.csv.gz", folder != NULL ? folder : "../shared/data");
	f = gzopen(path, "r");
	if (f == NULL) {
		fprintf(stderr, "skipped: no %s (CHAINWATCH_TEST_DATA names the folder)\n", path);
	} else {
		len = gzread(f, text, 4 << 20);
		ck_assert_int_gt(len, 0);
		gzclose(f);
		ck_assert_msg(cw_lists_add_csv(l, "labels", text, (size_t)len, NULL, &err) == 9994, "%s", err.msg);
		cw_lists_seal(l);
		while (cw_lists_next(l, &a, &at, &list, &e))
			mixers += strcmp(e.category, "mixer") == 0 || strcmp(e.category, "sanctioned") == 0;
		ck_assert_int_ge(mixers, 1);
	}
	free(text);
	cw_lists_free(&l);
}
END_TEST

static int64_t add_text(struct cw_lists *l, const char *name, const char *csv, struct cw_err *err)
{
	return cw_lists_add_csv(l, name, csv, strlen(csv), "0123456789abcdef", err);
}

START_TEST(a_list_says_its_name_version_and_chains)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_list_entry entry;
	struct cw_address address = { { 0xa1 } };
	const char *list;
	struct cw_err err;
	size_t at = 0;

	ck_assert_int_eq(add_text(l, "file", "# a comment\r\n# list real name\n# version 7\naddress,chain_id,category\n"
	                          "0xa100000000000000000000000000000000000000,5,x\n"
	                          "0xa100000000000000000000000000000000000000,0,y\n", &err), 2);
	cw_lists_seal(l);
	ck_assert_int_eq(cw_lists_next(l, &address, &at, &list, &entry), 1);
	ck_assert_str_eq(list, "real name");
	ck_assert_uint_eq(entry.chain_id, 5);
	cw_lists_free(&l);
	l = cw_lists_new();
	ck_assert_int_eq(add_text(l, "f", "# version x\naddress\n", &err), -1);
	ck_assert_str_eq(err.msg, "list \"f\", line 1: version is no number from 1 on");
	ck_assert_int_eq(add_text(l, "f", "# suppress side=up\naddress\n", &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "line 1: \"side\" in a suppress line"));
	ck_assert_int_eq(add_text(l, "f", "address,chain_id\n0xa100000000000000000000000000000000000000,x\n", &err), -1);
	ck_assert_str_eq(err.msg, "list \"f\", line 2: chain_id is no number");
	cw_lists_free(&l);
}
END_TEST

/* Which list hides an alert of `rule` about a1 or its counterparty b2; "" if none. */
static const char *hidden(const char *head, const char *rule, int severity, const char *more)
{
	static const char *const tags[] = { "aml.layering" };
	const struct cw_address a1 = { { 0xa1 } };
	struct cw_list_alert alert = { .rule = rule, .tags = tags, .ntags = 1, .severity = severity, .entity = &a1 };
	struct cw_tx tx = { .chain_id = 1, .timestamp = 100, .from = a1, .to = { { 0xb2 } }, .has = CW_TX_HAS_TO };
	struct cw_lists *l = cw_lists_new();
	struct cw_buf out = CW_BUF_INIT;
	static char list[64];
	struct cw_err err;
	char text[500];

	snprintf(text, sizeof(text), "%s\naddress,chain_id,expires\n%s", head, more);
	ck_assert_msg(add_text(l, "allow", text, &err) >= 0, "%s", err.msg);
	ck_assert_int_ge(add_text(l, "ofac", "address,category\n0xc300000000000000000000000000000000000000,sanctioned\n", &err), 0);
	cw_lists_seal(l);
	cw_lists_use(l);
	cw_lists_forget_hits();
	if (severity == 9) {                      /* its receiver is under sanctions */
		tx.to.b[0] = 0xc3;
		alert.severity = 0;
	}
	snprintf(list, sizeof(list), "%s", cw_lists_put_hits(l, &tx, &alert, &out));
	ck_assert_str_eq(out.len > 2 ? strstr(out.data, "\"use\":\"suppression\"") != NULL ? "s" : "e" : "", list[0] != '\0' ? "s" : "");
	cw_buf_release(&out);
	cw_lists_use(NULL);
	cw_lists_free(&l);
	return list;
}

#define A1 "0xa100000000000000000000000000000000000000"
#define B2 "0xb200000000000000000000000000000000000000"

START_TEST(lists_hide_by_side_severity_rule_chain_and_time)
{
	ck_assert_str_eq(hidden("# suppress", "eth.x", 2, A1 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 2, B2 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("#", "eth.x", 2, A1 ",0,\n"), "");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 3, A1 ",0,\n"), "");
	ck_assert_str_eq(hidden("# suppress max_severity=critical", "eth.x", 3, A1 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("# suppress side=entity", "eth.x", 0, B2 ",0,\n"), "");
	ck_assert_str_eq(hidden("# suppress side=counterparty", "eth.x", 0, A1 ",0,\n"), "");
	ck_assert_str_eq(hidden("# suppress side=counterparty", "eth.x", 0, B2 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("# suppress rules=eth.y,eth.f*", "eth.x", 0, A1 ",0,\n"), "");
	ck_assert_str_eq(hidden("# suppress rules=eth.y,eth.f*", "eth.fan_out", 0, A1 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("# suppress rules=aml.*", "eth.x", 0, A1 ",0,\n"), "allow");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 0, A1 ",5,\n"), "");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 0, A1 ",0,100\n"), "");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 0, A1 ",0,101\n"), "allow");
	ck_assert_str_eq(hidden("# suppress", "eth.x", 9, A1 ",0,\n"), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lists");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, reads_what_is_there);
	tcase_add_test(tc, faults_name_list_and_line);
	tcase_add_test(tc, a_failed_document_adds_nothing);
	tcase_add_test(tc, many_entries_are_all_found);
	tcase_add_test(tc, primitive_filters_by_list_category_and_time);
	tcase_add_test(tc, primitive_follows_a_swap);
	tcase_add_test(tc, primitive_refuses_unknown_lists);
	tcase_add_test(tc, real_labels_are_read);
	tcase_add_test(tc, a_list_says_its_name_version_and_chains);
	tcase_add_test(tc, lists_hide_by_side_severity_rule_chain_and_time);
	return env_run(suite);
}
