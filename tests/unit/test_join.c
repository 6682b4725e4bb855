/* Transactions, receipts and logs in three files. */
#include "source/join.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "source/file.h"

#define TXS "hash,block_number,transaction_index\n0xA1,5,0\n0xa2,5,1\n0xa3,6,0\n"
#define RECEIPTS "transaction_hash,transaction_index,block_number,gas_used,status,contract_address\n"
#define LOGS "log_index,transaction_hash,transaction_index,block_number,address,data,topics\n"

static char dir[64], paths[3][96];
static struct cw_records *records;
static struct cw_join *join;
static struct cw_buf out;
static struct cw_err err;

static const char *file(int i, const char *text)
{
	FILE *f;

	if (text == NULL)
		return NULL;
	snprintf(paths[i], sizeof(paths[i]), "%s/%d", dir, i);
	f = fopen(paths[i], "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	return paths[i];
}

static void up(void)
{
	strcpy(dir, "/tmp/cw-join-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	cw_buf_init(&out);
}

static void down(void)
{
	cw_join_free(&join);
	cw_records_close(&records);
	cw_buf_release(&out);
	for (int i = 0; i < 3; i++)
		if (paths[i][0] != '\0')
			unlink(paths[i]);
	rmdir(dir);
}

static void open_all(const char *txs, const char *receipts, const char *logs)
{
	const char *path = file(0, txs);

	records = cw_records_open(path, &err);
	ck_assert_msg(records != NULL, "%s", err.msg);
	join = cw_join_new(records, "txs", file(1, receipts), file(2, logs), &err);
	ck_assert_msg(join != NULL, "%s", err.msg);
}

static void expect(const char *want, uint64_t line)
{
	int rc = cw_join_next(join, &out, &err);

	ck_assert_msg(rc == 1, "%s", rc < 0 ? err.msg : "the end");
	ck_assert_str_eq(out.data, want);
	ck_assert_uint_eq(cw_join_line(join), line);
}

START_TEST(each_transaction_gets_what_is_its_own)
{
	struct cw_join_stats stats;

	open_all(TXS,
	         RECEIPTS "0x99,0,4,1,1,\n0xa1,0,5,21000,1,\n0xa3,0,6,50000,0,0xcc\n0x98,0,7,1,1,\n",
	         LOGS "0,0x99,0,4,0xad,0x,\n3,0xa1,0,5,0xad,0x05,\"0x11,0x22\"\n4,0xa1,0,5,0xae,0x,\n0,0xa3,0,6,0xad,0x06,0x33\n");
	expect("{\"hash\":\"0xA1\",\"block_number\":\"5\",\"transaction_index\":\"0\",\"receipt_status\":\"1\","
	       "\"receipt_gas_used\":\"21000\",\"logs\":[{\"logIndex\":\"3\",\"address\":\"0xad\",\"data\":\"0x05\","
	       "\"topics\":[\"0x11\",\"0x22\"]},{\"logIndex\":\"4\",\"address\":\"0xae\",\"data\":\"0x\",\"topics\":[]}]}", 2);
	expect("{\"hash\":\"0xa2\",\"block_number\":\"5\",\"transaction_index\":\"1\",\"logs\":[]}", 3);
	expect("{\"hash\":\"0xa3\",\"block_number\":\"6\",\"transaction_index\":\"0\",\"receipt_status\":\"0\","
	       "\"receipt_gas_used\":\"50000\",\"receipt_contract_address\":\"0xcc\",\"logs\":[{\"logIndex\":\"0\","
	       "\"address\":\"0xad\",\"data\":\"0x06\",\"topics\":[\"0x33\"]}]}", 4);
	ck_assert_int_eq(cw_join_next(join, &out, &err), 0);
	stats = cw_join_stats(join);
	ck_assert_uint_eq(stats.bare, 1);
	ck_assert_uint_eq(stats.lost_receipts, 2);
	ck_assert_uint_eq(stats.lost_logs, 1);
}
END_TEST

START_TEST(json_lines_in_the_names_of_nodes)
{
	open_all("{\"hash\":\"0xa1\",\"blockNumber\":\"0x5\",\"transactionIndex\":0 } \n",
	         "{\"transactionHash\":\"0xa1\",\"blockNumber\":\"0x5\",\"transactionIndex\":\"0x0\",\"gasUsed\":\"0x7\",\"status\":null}\n",
	         "{\"transactionHash\":\"0xa1\",\"blockNumber\":5,\"transactionIndex\":0,\"logIndex\":2,\"address\":\"0xad\",\"topics\":[\"0x1\"]}\n");
	expect("{\"hash\":\"0xa1\",\"blockNumber\":\"0x5\",\"transactionIndex\":0 ,\"receipt_gas_used\":\"0x7\","
	       "\"logs\":[{\"logIndex\":\"2\",\"address\":\"0xad\",\"topics\":[\"0x1\"]}]}", 1);
}
END_TEST

START_TEST(one_file_beside_is_enough)
{
	open_all(TXS, NULL, LOGS);
	expect("{\"hash\":\"0xA1\",\"block_number\":\"5\",\"transaction_index\":\"0\",\"logs\":[]}", 2);
	cw_join_free(&join);
	cw_records_close(&records);
	open_all(TXS, RECEIPTS, NULL);
	expect("{\"hash\":\"0xA1\",\"block_number\":\"5\",\"transaction_index\":\"0\"}", 2);
}
END_TEST

static const struct { const char *txs, *receipts, *logs, *what; } faults[] = {
	{ "hash,block_number\n0xa1,5\n", RECEIPTS, NULL, "txs:2: column \"transaction_index\" is missing or empty" },
	{ "hash,block_number,transaction_index\n0xa1,5,x\n", RECEIPTS, NULL, "txs:2: column \"transaction_index\" must be a whole" },
	{ "hash,block_number,transaction_index\n0xa1,-5,1\n", RECEIPTS, NULL, "txs:2: column \"block_number\" must be a whole" },
	{ "hash,block_number,transaction_index\n0xa1,5,1\n0xa2,5,0\n", RECEIPTS "0xa1,1,5,1,1,\n", NULL,
	  "txs:3: block 5, transaction 0 stands behind block 5, transaction 1; sort" },
	{ TXS, RECEIPTS "0xa1,0,5,1,1,\n0xa3,0,4,1,1,\n", NULL, "/1:3: block 4, transaction 0 stands behind block 5" },
	{ TXS, RECEIPTS "0xa1,0,5,1,1,\n0xa1,0,5,1,1,\n", NULL, "/1:3: block 5, transaction 0 stands behind block 5" },
	{ TXS, RECEIPTS "0xff,0,5,1,1,\n", NULL, "/1:2: column \"transaction_hash\" is not that of the transaction at this place (txs:2)" },
	{ TXS, RECEIPTS "0xa1,0,5,1,1,\n0xa2\n", NULL, "/1:3: fewer cells than the header has (6)" },
	{ TXS, NULL, LOGS "1,0xa1,0,5,0xad,0x,\n0,0xa1,0,5,0xad,0x,\n", "/2:3: block 5, transaction 0 stands behind" },
	{ TXS, NULL, LOGS "1,0xa1,0,5,0xad,0x,\n,0xa1,0,5,0xad,0x,\n", "/2:3: column \"log_index\" is missing or empty" },
};

START_TEST(what_cannot_be_joined_names_file_line_and_column)
{
	open_all(faults[_i].txs, faults[_i].receipts, faults[_i].logs);
	for (int i = 0; i < 2 && cw_join_next(join, &out, &err) == 1; i++)
		;
	ck_assert_msg(strstr(err.msg, faults[_i].what) != NULL, "%s", err.msg);
	ck_assert(cw_join_failed(join));
}
END_TEST

START_TEST(a_file_beside_that_cannot_be_read_is_told_at_once)
{
	records = cw_records_open(file(0, TXS), &err);
	ck_assert_ptr_null(cw_join_new(records, "txs", "/nowhere/r.csv", NULL, &err));
	ck_assert_msg(strstr(err.msg, "/nowhere/r.csv") != NULL, "%s", err.msg);
	ck_assert_ptr_null(cw_join_new(records, "txs", NULL, file(2, "{\"a\":1}\n"), &err));
	ck_assert_msg(strstr(err.msg, "/2:1: column \"block_number\" is missing") != NULL, "%s", err.msg);
	records = (cw_records_close(&records), cw_records_open(file(0, TXS), &err));
	join = cw_join_new(records, "txs", file(1, RECEIPTS "0xa1,0,5,1,1,\n"), NULL, &err);
	expect("{\"hash\":\"0xA1\",\"block_number\":\"5\",\"transaction_index\":\"0\",\"receipt_status\":\"1\",\"receipt_gas_used\":\"1\"}", 2);
	unlink(paths[0]);
	cw_join_free(&join);
	cw_records_close(&records);
	open_all("{\"hash\":\"0xa1\",\"block_number\":1,\"transaction_index\":0}\n7\n", NULL, LOGS);
	expect("{\"hash\":\"0xa1\",\"block_number\":1,\"transaction_index\":0,\"logs\":[]}", 1);
	ck_assert_int_eq(cw_join_next(join, &out, &err), -1);
	ck_assert_str_eq(err.msg, "txs:2: is no JSON object");
	ck_assert(!cw_join_failed(join));        /* one record is wrong, no more */
	ck_assert_int_eq(cw_join_next(join, &out, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("join");
	TCase *tc = tcase_create("join");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, each_transaction_gets_what_is_its_own);
	tcase_add_test(tc, json_lines_in_the_names_of_nodes);
	tcase_add_test(tc, one_file_beside_is_enough);
	tcase_add_loop_test(tc, what_cannot_be_joined_names_file_line_and_column, 0, (int)(sizeof(faults) / sizeof(*faults)));
	tcase_add_test(tc, a_file_beside_that_cannot_be_read_is_told_at_once);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
