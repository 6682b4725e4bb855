#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "source/labels.h"

#define A1 "0x00000000000000000000000000000000000000a1"
#define A2 "0x00000000000000000000000000000000000000a2"

static struct cw_arena *arena;
static struct cw_labels labels;
static struct cw_err err;
static struct cw_labels_conf conf;

static void setup(void)
{
	arena = cw_arena_new();
	conf = (struct cw_labels_conf){ .file = "f", .confidence = NAN, .chain_id = -1 };
}

static void teardown(void)
{
	cw_arena_free(&arena);
}

static void take(const char *text, size_t n)
{
	memset(&err, 0, sizeof(err));
	ck_assert_msg(cw_labels_read(&labels, text, strlen(text), &conf, arena, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(labels.n, n);
}

static void refuse(const char *text, const char *message)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(cw_labels_read(&labels, text, strlen(text), &conf, arena, &err), -1);
	ck_assert_str_eq(err.msg, message);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}

START_TEST(csv_takes_columns_in_any_order_quotes_bom_and_crlf)
{
	take("\xef\xbb\xbfname,Address,extra,expires,confidence,category,first_seen,last_seen,source,chain_id\r\n"
	     "\"Torn, \"\"ado\"\"\"," A1 ",x,1700000000,0.5,mixer,2020-01-01,2021-01-01T00:00:00Z,me,1\r\n"
	     "\r\n\"two\nlines\"," A2 ",,,,,,,,\r\n", 2);
	ck_assert_int_eq(labels.format, CW_LABELS_CSV);
	ck_assert_str_eq(labels.rows[0].name, "Torn, \"ado\"");
	ck_assert_str_eq(labels.rows[0].category, "mixer");
	ck_assert_str_eq(labels.rows[0].source, "me");
	ck_assert_double_eq(labels.rows[0].confidence, 0.5);
	ck_assert_int_eq(labels.rows[0].first_seen, 1577836800);
	ck_assert_int_eq(labels.rows[0].last_seen, 1609459200);
	ck_assert_int_eq(labels.rows[0].expires, 1700000000);
	ck_assert_uint_eq(labels.rows[0].chain_id, 1);
	ck_assert_str_eq(labels.rows[1].name, "two lines");
	ck_assert(isnan(labels.rows[1].confidence));
	ck_assert_uint_eq(labels.rows[1].line, 4);
}
END_TEST

START_TEST(csv_says_line_and_field)
{
	refuse("address,category\n" A1 ",a\n0x12,b\n", "f:3: address: \"0x12\" is no address (0x and 40 hex digits)");
	refuse("address,confidence\n" A1 ",2\n", "f:2: confidence: \"2\" is no number from 0 to 1");
	refuse("address,expires\n" A1 ",soon\n", "f:2: expires: \"soon\" is neither seconds since 1970 nor RFC 3339 nor a date");
	refuse("address,last_seen,first_seen\n" A1 ",5,6\n", "f:2: last_seen: is before first_seen");
	refuse("address,chain\n" A1 ",x\n", "f:2: chain_id: \"x\" is no chain id");
	refuse("address,category\n" A1 "\n", "f:2: the row has 1 cells, the first line has 2");
	refuse("address,category\n" A1 ",\"x\n", "f:2: the row has a quote that is not closed");
	refuse("address,category\n" A1 ",\"a,b\"\n",
	       "f:2: category: \"a,b\" has a comma, which separates categories in rules");
	refuse("address,catgory\n" A1 ",x\n", "f:1: column \"catgory\" is not known (did you mean \"category\"?)");
	refuse("address,name,label\n" A1 ",x,y\n", "f:1: column \"label\" is there twice");
	refuse("address,category\n", "f: no label in it");
	refuse("address\n0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96046\n",
	       "f:2: address: \"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96046\" has a wrong checksum");
	conf.format = CW_LABELS_CSV;
	refuse("", "f:1: is empty: the first line names the columns");
	refuse("category,name\nx,y\n", "f:1: the first line must name the columns, \"address\" among them");
	refuse("address\n\xff\n", "f:2: a byte that is not UTF-8");
}
END_TEST

START_TEST(bad_rows_can_be_skipped_and_are_listed)
{
	conf.skip_bad = true;
	take("address,confidence\n" A1 ",7\nx,1\n" A2 ",1\n" A1 ",\"\n" A1 ",.5\n", 1);
	ck_assert_uint_eq(labels.skipped, 3);
	ck_assert_int_eq(labels.nfaults, 3);
	ck_assert_uint_eq(labels.faults[1].line, 3);
	ck_assert_str_eq(labels.faults[1].field, "address");
	refuse("address\nx\n", "f: no row is good");
}
END_TEST

START_TEST(the_surest_of_repeated_rows_stays)
{
	take("address,category,confidence,name\n" A1 ",x,0.5,a\n" A1 ",x,0.9,b\n" A1 ",x,0.1,c\n" A1 ",y,0.1,d\n", 2);
	ck_assert_uint_eq(labels.repeated, 2);
	ck_assert_str_eq(labels.rows[0].name, "b");
}
END_TEST

START_TEST(defaults_fill_what_is_not_said)
{
	conf.category = "exchange";
	conf.source = "desk";
	conf.confidence = 0.7;
	conf.chain_id = 5;
	take(A1 "\n# comment\n\n  " A2 "  # two\r\n", 2);
	ck_assert_int_eq(labels.format, CW_LABELS_PLAIN);
	ck_assert_str_eq(labels.rows[1].category, "exchange");
	ck_assert_str_eq(labels.rows[1].source, "desk");
	ck_assert_double_eq(labels.rows[1].confidence, 0.7);
	ck_assert_uint_eq(labels.rows[1].chain_id, 5);
	take("[\"" A1 "\",{\"address\":\"" A2 "\",\"category\":\"mixer\",\"confidence\":0.25}]", 2);
	ck_assert_str_eq(labels.rows[1].category, "mixer");
	ck_assert_double_eq(labels.rows[1].confidence, 0.25);
	refuse("[5]", "f:1: element 1 is neither text nor an object");
	refuse("hello", "f:1: cannot tell what this is: say the format (csv, tagpack, ofac or plain)");
}
END_TEST

START_TEST(tagpack_tags_inherit_the_header)
{
	take("title: T\ncreator: me\nsource: https://a\nnetwork: ETH\nconfidence: web_crawl\nlastmod: 2021-04-21\n"
	     "category: exchange\ntags:\n- address: \"" A1 "\"\n  label: One\n"
	     "- {address: '" A2 "', label: Two, abuse: [ransomware, x], confidence: ownership, source: b, network: BSC}\n"
	     "- address: bc1q\n  label: other\n  network: BTC\nis_public: true\n", 2);
	ck_assert_int_eq(labels.format, CW_LABELS_TAGPACK);
	ck_assert_uint_eq(labels.foreign, 1);
	ck_assert_str_eq(labels.rows[0].name, "One");
	ck_assert_str_eq(labels.rows[0].source, "https://a");
	ck_assert_str_eq(labels.rows[0].category, "exchange");
	ck_assert_double_eq(labels.rows[0].confidence, 0.2);
	ck_assert_int_eq(labels.rows[0].last_seen, 1618963200);
	ck_assert_uint_eq(labels.rows[0].chain_id, 1);
	ck_assert_str_eq(labels.rows[1].category, "ransomware");
	ck_assert_str_eq(labels.rows[1].source, "b");
	ck_assert_double_eq(labels.rows[1].confidence, 1);
	ck_assert_uint_eq(labels.rows[1].chain_id, 56);
}
END_TEST

START_TEST(tagpack_header_may_follow_the_tags_and_anchors_stand_for_values)
{
	take("tags:\n- address: " A1 "\n  label: &l Name\n- address: " A2 "\n  label: *l\nsource: late\ncurrency: ETH\n"
	     "abuse: mixing_service\n", 2);
	ck_assert_str_eq(labels.rows[0].source, "late");
	ck_assert_str_eq(labels.rows[1].name, "Name");
	ck_assert_str_eq(labels.rows[1].category, "mixer");
}
END_TEST

START_TEST(tagpack_says_line_and_field)
{
	char deep[400] = "x: ";

	conf.format = CW_LABELS_TAGPACK;
	refuse("tags:\n- address: 0x1\n  label: a\n", "f:2: address: \"0x1\" is no address (0x and 40 hex digits)");
	refuse("tags:\n- address: " A1 "\n", "f:2: label: is missing");
	refuse("tags:\n- address: " A1 "\n  label: a\n  confidence: maybe\n",
	       "f:4: confidence: \"maybe\" is none of GraphSense's levels and no number from 0 to 100");
	refuse("tags:\n- address: " A1 "\n  label: a\n  lastmod: soon\n",
	       "f:4: lastmod: \"soon\" is neither seconds since 1970 nor RFC 3339 nor a date");
	refuse("tags: 5\n", "f:1: \"tags\" must be a list");
	refuse("title: x\n", "f:1: a TagPack is a mapping with a list \"tags\"");
	refuse("- a\n", "f:1: a TagPack is a mapping with a list \"tags\"");
	refuse("tags:\n- x\n", "f:2: a tag must be a mapping with an address and a label");
	refuse("a: &x [1]\nb: *x\ntags: []\n", "f:2: alias \"x\" names no single value in front of it");
	ck_assert_int_eq(cw_labels_read(&labels, "a: [\n", 5, &conf, arena, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "not YAML: "));
	for (int i = 0; i < 40; i++)
		strcat(deep, "[");
	refuse(deep, "f:1: nested deeper than 16");
}
END_TEST

START_TEST(ofac_csv_remarks)
{
	take("36,\"LAZARUS GROUP, THE\",-0- ,\"DPRK3\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,\"Digital Currency Address - XBT 1abc;"
	     " Digital Currency Address - ETH " A1 "; alt. Digital Currency Address - USDT " A2 "; Secondary.\"\n"
	     "37,\"OTHER\",-0- ,\"X\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,\"DOB 1970.\"\n", 2);
	ck_assert_int_eq(labels.format, CW_LABELS_OFAC);
	ck_assert_uint_eq(labels.foreign, 1);
	ck_assert_str_eq(labels.rows[0].category, "sanctioned");
	ck_assert_str_eq(labels.rows[0].source, "OFAC SDN");
	ck_assert_str_eq(labels.rows[0].name, "LAZARUS GROUP, THE (uid 36)");
	take("CHEN, X (a.k.a. Y); DOB 1970; Digital Currency Address\n- ETH " A1 ";\nnationality Z.\n\n", 1);
	ck_assert_str_eq(labels.rows[0].name, "CHEN, X");
}
END_TEST

START_TEST(ofac_xml_and_advanced_xml)
{
	take("<?xml version=\"1.0\"?><!-- c --><sdnList xmlns=\"x\"><sdnEntry><uid>7</uid><firstName>F</firstName>"
	     "<lastName>A &amp; B</lastName><idList><id><uid>1</uid><idType>Digital Currency Address - ETH</idType>\n<idNumber>"
	     A1 "</idNumber></id><id><idType>Passport</idType><idNumber>" A2 "</idNumber></id></idList></sdnEntry></sdnList>", 1);
	ck_assert_str_eq(labels.rows[0].name, "A & B, F (uid 7)");
	ck_assert_uint_eq(labels.rows[0].line, 2);
	take("<Sanctions><FeatureType ID=\"1\">Height</FeatureType><FeatureType ID=\"345\">Digital Currency Address - ETH"
	     "</FeatureType><FeatureType ID=\"344\">Digital Currency Address - XBT</FeatureType><DistinctParty FixedRef=\"9\">"
	     "<DocumentedName><NamePartValue>SEMENOV</NamePartValue><NamePartValue>R</NamePartValue></DocumentedName>"
	     "<DocumentedName><NamePartValue>ALIAS</NamePartValue></DocumentedName>"
	     "<Feature ID=\"1\" FeatureTypeID=\"1\"><VersionDetail>" A2 "</VersionDetail></Feature>"
	     "<Feature ID=\"2\" FeatureTypeID=\"345\"><VersionDetail DetailTypeID=\"1432\">" A1 "</VersionDetail></Feature>"
	     "<Feature ID=\"3\" FeatureTypeID=\"344\"><VersionDetail>1abc</VersionDetail></Feature></DistinctParty></Sanctions>", 1);
	ck_assert_str_eq(labels.rows[0].name, "SEMENOV R (uid 9)");
	ck_assert_uint_eq(labels.foreign, 1);
	refuse("<a><b></b>", "f:1: element \"a\" does not end: the file is cut short");
	refuse("<a></a>", "f:1: no \"Digital Currency Address\" in it");
	refuse("</a>", "f:1: an element ends that has not begun: no XML");
	refuse("<a <b", "f:1: a tag without an end");
	refuse("<sdnEntry><id><idType>Digital Currency Address - ETH</idType>\n<idNumber>0x5</idNumber></id></sdnEntry>",
	       "f:2: address: \"0x5\" is no address (0x and 40 hex digits)");
}
END_TEST

START_TEST(a_derived_list_is_sanctioned)
{
	conf.format = CW_LABELS_OFAC;
	take(A1 "\n" A2 "\n", 2);
	ck_assert_str_eq(labels.rows[1].category, "sanctioned");
}
END_TEST

START_TEST(rows_as_the_store_takes_them)
{
	struct cw_buf out = CW_BUF_INIT;

	take("address,category,confidence,expires\n" A1 ",a,0.5,7\n", 1);
	cw_labels_put_rows(&labels, 0, SIZE_MAX, &out);
	ck_assert_str_eq(out.data, "[{\"address\":\"" A1 "\",\"category\":\"a\",\"confidence\":0.5,\"expires_at\":7}]");
	cw_buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("labels");
	TCase *tc = tcase_create("labels");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, csv_takes_columns_in_any_order_quotes_bom_and_crlf);
	tcase_add_test(tc, csv_says_line_and_field);
	tcase_add_test(tc, bad_rows_can_be_skipped_and_are_listed);
	tcase_add_test(tc, the_surest_of_repeated_rows_stays);
	tcase_add_test(tc, defaults_fill_what_is_not_said);
	tcase_add_test(tc, tagpack_tags_inherit_the_header);
	tcase_add_test(tc, tagpack_header_may_follow_the_tags_and_anchors_stand_for_values);
	tcase_add_test(tc, tagpack_says_line_and_field);
	tcase_add_test(tc, ofac_csv_remarks);
	tcase_add_test(tc, ofac_xml_and_advanced_xml);
	tcase_add_test(tc, a_derived_list_is_sanctioned);
	tcase_add_test(tc, rows_as_the_store_takes_them);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
