/* What is known of accounts: who funded them, whom they are mistaken for; arguments of calls as fields. */
#include "chain/abi.h"
#include "support/detect_env.h"

static struct cw_state *st;

static void up(void)
{
	st = env_state();
}

static void down(void)
{
	cw_state_close(&st);
}

/* An address whose first and last bytes are those of `like`, with something else between. */
static struct cw_address similar(struct cw_address like)
{
	for (int i = 4; i < 16; i++)
		like.b[i] ^= 0x5a;
	return like;
}

START_TEST(the_first_payer_is_kept)
{
	struct env_handle e = env_open(st, "key.funder", "min_value=10");
	struct cw_tx dust = env_tx(9, 2, 900, 9), first = env_tx(1, 2, 1000, 50), second = env_tx(3, 2, 1100, 70);
	struct cw_tx spends = env_tx(2, 4, 1300, 5), failed = env_tx(1, 7, 1000, 50), creation = env_tx(1, 2, 1000, 50);
	char expected[CW_ADDRESS_TEXT];

	failed.has |= CW_TX_HAS_STATUS;
	creation.has &= ~(uint32_t)CW_TX_HAS_TO;
	ck_assert(isnan(env_call(&e, "add", &dust)));
	ck_assert(isnan(env_call(&e, "add", &failed)));
	ck_assert(isnan(env_call(&e, "add", &creation)));
	ck_assert(isnan(env_call(&e, "age", &spends)));
	ck_assert_double_eq(env_call(&e, "add", &first), 1);
	ck_assert_double_eq(env_call(&e, "add", &second), 0);
	ck_assert_double_eq(env_call(&e, "age", &spends), 300);
	ck_assert_double_eq(env_call(&e, "value", &spends), 50);
	ck_assert_double_eq(env_call1(&e, "age", &second, CW_FIELD_TO), 100);
	ck_assert_double_eq(env_call(&e, "payer", &spends), 0);
	ck_assert_str_eq(e.p->text(e.h, 0), cw_address_format(&first.from, expected));
	env_close(&e);
}
END_TEST

START_TEST(accounts_of_one_root)
{
	struct env_handle e = env_open(st, "key.funder", "");
	struct cw_tx a = env_tx(1, 2, 1000, 5), b = env_tx(1, 3, 1000, 5), c = env_tx(8, 4, 1000, 5);
	struct cw_tx pair = env_tx(2, 3, 2000, 5), strangers = env_tx(2, 4, 2000, 5), unknown = env_tx(2, 6, 2000, 5);

	env_call(&e, "add", &a);
	env_call(&e, "add", &b);
	env_call(&e, "add", &c);
	ck_assert_double_eq(env_call(&e, "same", &pair), 1);
	ck_assert_double_eq(env_call(&e, "same", &strangers), 0);
	ck_assert_double_eq(env_call(&e, "same", &unknown), 0);
	ck_assert_double_eq(env_call(&e, "id", &pair), env_call1(&e, "id", &pair, CW_FIELD_TO));
	ck_assert_double_ne(env_call(&e, "id", &strangers), env_call1(&e, "id", &strangers, CW_FIELD_TO));
	ck_assert(env_call(&e, "id", &pair) == floor(env_call(&e, "id", &pair)));
	env_close(&e);
}
END_TEST

START_TEST(an_address_is_mistaken_for_another)
{
	struct env_handle e = env_open(st, "key.lookalike", "");
	struct cw_tx honest = env_tx(1, 2, 1000, 5), poison = env_tx(1, 1, 1500, 0), error = honest;

	poison.to = honest.from;                    /* the thief writes to the victim ... */
	poison.from = similar(honest.to);
	error.to = poison.from;                     /* ... which pays him later */
	error.timestamp = 2000;
	ck_assert(isnan(env_call(&e, "like", &honest)));
	ck_assert(isnan(env_call(&e, "add", &honest)));
	ck_assert(isnan(env_call(&e, "like", &honest)));          /* itself is no lookalike */
	ck_assert_double_eq(env_call2(&e, "like", &poison, CW_FIELD_TO, CW_FIELD_FROM), 500);
	ck_assert(isnan(env_call(&e, "like", &poison)));
	ck_assert_double_eq(env_call(&e, "like", &error), 1000);
	error.to.b[1] ^= 1;                         /* the fourth digit differs */
	ck_assert(isnan(env_call(&e, "like", &error)));
	error.to.b[1] ^= 1;
	error.chain_id = 2;
	ck_assert(isnan(env_call(&e, "like", &error)));
	env_close(&e);
}
END_TEST

START_TEST(how_many_digits_look_alike)
{
	struct env_handle e = env_open(st, "key.lookalike", "digits=5");
	struct cw_tx honest = env_tx(1, 2, 1000, 5), other = honest;

	env_call(&e, "add", &honest);
	other.to = similar(honest.to);
	ck_assert_double_eq(env_call(&e, "like", &other), 0);
	other.to.b[2] ^= 0x01;                      /* the sixth digit */
	ck_assert_double_eq(env_call(&e, "like", &other), 0);
	other.to.b[2] ^= 0x10;                      /* the fifth */
	ck_assert(isnan(env_call(&e, "like", &other)));
	env_close(&e);
}
END_TEST

START_TEST(arguments_of_calls_are_fields)
{
	struct cw_tx tx = env_tx(1, 2, 1000, 0);
	struct cw_address owner = env_address(3), thief = env_address(4);
	struct cw_u256 amount = cw_u256_from_u64(77);
	struct cw_dict_key as_arg, as_from;

	ck_assert_ptr_null(cw_field_address(&tx, CW_FIELD_ARG1));
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_ARG3)));
	ck_assert(!cw_fieldset_key(&tx, CW_FIELD_ARG1, &as_arg));
	tx.input_size = tx.input_head_size = (uint32_t)cw_call_encode_transfer_from(tx.input_head, &owner, &thief, &amount);
	ck_assert_mem_eq(cw_field_address(&tx, CW_FIELD_ARG1), &owner, 20);
	ck_assert_mem_eq(cw_field_address(&tx, CW_FIELD_ARG2), &thief, 20);
	ck_assert_double_eq(cw_field_number(&tx, CW_FIELD_ARG3), 77);
	/* one account, whatever its role */
	ck_assert(cw_fieldset_key(&tx, CW_FIELD_ARG1, &as_arg));
	tx.from = owner;
	ck_assert(cw_fieldset_key(&tx, CW_FIELD_FROM, &as_from));
	ck_assert_mem_eq(&as_arg, &as_from, sizeof(as_arg));
	/* a number is no address, and what was cut off is not there */
	tx.input_head[4] = 1;
	ck_assert_ptr_null(cw_field_address(&tx, CW_FIELD_ARG1));
	tx.input_head_size = 99;
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_ARG3)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("accounts");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, the_first_payer_is_kept);
	tcase_add_test(tc, accounts_of_one_root);
	tcase_add_test(tc, an_address_is_mistaken_for_another);
	tcase_add_test(tc, how_many_digits_look_alike);
	tcase_add_test(tc, arguments_of_calls_are_fields);
	return env_run(suite);
}
