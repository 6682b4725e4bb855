#include <check.h>
#include <string.h>

#include "auth/keys.h"
#include "auth/role.h"
#include "base/suggest.h"

START_TEST(made_keys_are_well_formed_and_differ)
{
	char a[CW_KEY_TEXT], b[CW_KEY_TEXT];

	cw_key_make(a);
	cw_key_make(b);
	ck_assert_uint_eq(strlen(a), 44);
	ck_assert(strncmp(a, "cw_live_", 8) == 0);
	ck_assert(cw_key_well_formed(a, 44));
	ck_assert_str_ne(a, b);
}
END_TEST

/* Each single changed character is found: CRC-32 sees every burst of 32 bits. */
START_TEST(mistyped_keys_are_found)
{
	char key[CW_KEY_TEXT];

	cw_key_make(key);
	for (size_t i = 0; i < 44; i++) {
		char kept = key[i];

		key[i] = kept == 'x' ? 'y' : 'x';
		ck_assert_msg(!cw_key_well_formed(key, 44), "changed at %zu", i);
		key[i] = kept;
	}
	ck_assert(!cw_key_well_formed(key, 43));
	ck_assert(!cw_key_well_formed("", 0));
	key[20] = '\0';
	ck_assert(!cw_key_well_formed(key, 44));
	key[20] = '-';
	ck_assert(!cw_key_well_formed(key, 44));
}
END_TEST

START_TEST(stronger_roles_include_weaker)
{
	uint32_t admin = cw_roles_expand(CW_ROLE_ADMIN), service = cw_roles_expand(CW_ROLE_SERVICE);

	ck_assert_uint_eq(admin, CW_ROLE_ADMIN | CW_ROLE_OPERATOR | CW_ROLE_ANALYST | CW_ROLE_VIEWER | CW_ROLE_SERVICE);
	ck_assert_uint_eq(service, CW_ROLE_SERVICE);
	ck_assert_uint_eq(cw_roles_expand(CW_ROLE_ANALYST), CW_ROLE_ANALYST | CW_ROLE_VIEWER);
}
END_TEST

START_TEST(role_lists_are_read_strictly)
{
	uint32_t roles;

	ck_assert(cw_roles_parse_list("admin,service", &roles));
	ck_assert_uint_eq(roles, CW_ROLE_ADMIN | CW_ROLE_SERVICE);
	ck_assert(cw_roles_parse_list("", &roles));
	ck_assert_uint_eq(roles, 0);
	ck_assert(!cw_roles_parse_list("admin,root", &roles));
	ck_assert(!cw_roles_parse_list("Admin", &roles));
	ck_assert(!cw_roles_parse_list("admin,,service", &roles));
	ck_assert_str_eq(cw_role_name(CW_ROLE_OPERATOR), "operator");
	ck_assert_str_eq(cw_role_name(CW_ROLE_OPERATOR | CW_ROLE_ADMIN), "");   /* that is no single role */
	ck_assert_str_eq(cw_role_name(0), "");
}
END_TEST

START_TEST(nearest_name_is_suggested)
{
	static const char *const names[] = { "value", "gas_price", "gas_used", "nonce", NULL };

	ck_assert_str_eq(cw_suggest("vlaue", names), "value");
	ck_assert_str_eq(cw_suggest("gasprice", names), "gas_price");
	ck_assert_ptr_null(cw_suggest("timestamp", names));
	ck_assert_int_eq(cw_edit_distance("abcd", "abdc"), 1);
	ck_assert_int_eq(cw_edit_distance("", "abc"), 3);
	ck_assert_int_eq(cw_edit_distance("kitten", "sitting"), 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keys");
	TCase *tc = tcase_create("keys");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, made_keys_are_well_formed_and_differ);
	tcase_add_test(tc, mistyped_keys_are_found);
	tcase_add_test(tc, stronger_roles_include_weaker);
	tcase_add_test(tc, role_lists_are_read_strictly);
	tcase_add_test(tc, nearest_name_is_suggested);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
