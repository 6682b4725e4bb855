#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/password.h"
#include "base/err.h"
#include "loop/loop.h"
#include "loop/work.h"

/* Cheap: what is tested is not the hash function. */
static const struct cw_password_conf cheap = { .memory_kib = 64, .passes = 1, .queue = 2, .min_length = 8 };

static struct cw_loop *loop;
static struct cw_work_pool *work;
static struct cw_passwords *passwords;
static struct cw_password_result last;
static int answers;

static void on_result(void *arg, const struct cw_password_result *result)
{
	(void)arg;
	last = *result;
	answers++;
}

static void setup(void)
{
	loop = cw_loop_new();
	work = cw_work_pool_new(loop, 1, 8);
	passwords = cw_passwords_new(work, &cheap);
	answers = 0;
}

static void teardown(void)
{
	cw_passwords_free(&passwords);
	cw_work_pool_free(&work);
	cw_loop_free(&loop);
}

static void wait_for(int n)
{
	while (answers < n)
		cw_loop_run_once(loop);
}

START_TEST(hash_and_verify)
{
	struct cw_err err;

	ck_assert_ptr_nonnull(cw_password_hash(passwords, "a phrase", 8, on_result, NULL, &err));
	ck_assert_int_eq(answers, 0);
	wait_for(1);
	ck_assert(last.good);
	ck_assert(strncmp(last.hash, "$argon2id$v=19$m=64,t=1,p=1$", 28) == 0);
	ck_assert(cw_password_verify_now("a phrase", 8, last.hash));
	ck_assert(!cw_password_verify_now("a phrasf", 8, last.hash));
	ck_assert(!cw_password_verify_now("", 0, last.hash));
}
END_TEST

START_TEST(outdated_hashes_are_made_anew_when_the_password_is_there)
{
	struct cw_password_conf more = cheap;
	char hash[CW_PASSWORD_HASH];
	struct cw_err err;

	ck_assert(cw_password_hash_now(&cheap, "a phrase", 8, hash));
	more.passes = 2;
	cw_passwords_configure(passwords, &more);
	ck_assert(cw_password_outdated(&more, hash));
	ck_assert_ptr_nonnull(cw_password_verify(passwords, "a phrase", 8, hash, on_result, NULL, &err));
	wait_for(1);
	ck_assert(last.good);
	ck_assert_ptr_nonnull(strstr(last.hash, "t=2"));
	ck_assert_ptr_nonnull(cw_password_verify(passwords, "a phrass", 8, hash, on_result, NULL, &err));
	wait_for(2);
	ck_assert(!last.good);
	ck_assert_str_eq(last.hash, "");
}
END_TEST

/* crypt_blowfish's own test vectors. */
static const struct {
	const char *hash, *text;
} bcrypt[] = {
	{ "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U" },
	{ "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*" },
	{ "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U" },
	{ "$2y$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq", "\xa3" },
};

START_TEST(bcrypt_of_the_reference_system)
{
	ck_assert(cw_password_verify_now(bcrypt[_i].text, strlen(bcrypt[_i].text), bcrypt[_i].hash));
	ck_assert(!cw_password_verify_now("else", 4, bcrypt[_i].hash));
	ck_assert(cw_password_outdated(&cheap, bcrypt[_i].hash));
}
END_TEST

START_TEST(other_hashes_are_nobodys)
{
	static const char *const hashes[] = {
		"", "x", "$1$abc$x", "$2b$", "$2b$05$short", "$argon2id$", "$argon2id$v=19$m=64", "plain text"
	};

	for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++)
		ck_assert_msg(!cw_password_verify_now(hashes[i], strlen(hashes[i]), hashes[i]), "%s", hashes[i]);
	/* bcrypt looks at 72 bytes: what it would ignore must not be ignored. */
	ck_assert(!cw_password_verify_now("0123456789012345678901234567890123456789012345678901234567890123456789012", 73,
	                                  "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
}
END_TEST

START_TEST(no_account_takes_the_same_work)
{
	struct cw_err err;

	ck_assert_ptr_nonnull(cw_password_verify(passwords, "a phrase", 8, NULL, on_result, NULL, &err));
	wait_for(1);
	ck_assert(!last.good);
	ck_assert_str_eq(last.hash, "");
}
END_TEST

START_TEST(queue_is_bounded)
{
	struct cw_err err;

	ck_assert_ptr_nonnull(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	ck_assert_ptr_nonnull(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	ck_assert_ptr_null(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	wait_for(2);
	ck_assert_ptr_nonnull(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	wait_for(3);
	char *long_one = calloc(1, CW_PASSWORD_MAX + 1);

	memset(long_one, 'x', CW_PASSWORD_MAX + 1);
	ck_assert_ptr_null(cw_password_hash(passwords, long_one, CW_PASSWORD_MAX + 1, on_result, NULL, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "at most 1024 bytes"));
	ck_assert_ptr_nonnull(cw_password_hash(passwords, long_one, CW_PASSWORD_MAX, on_result, NULL, &err));
	wait_for(4);
	free(long_one);
}
END_TEST

/* The workers' own queue is full of other work. */
static atomic_bool asleep, awake;

static void nap(void *arg)
{
	(void)arg;
	asleep = true;
	while (!awake)
		usleep(1000);
}

static void napped(void *arg, bool ran)
{
	(void)arg;
	(void)ran;
}

START_TEST(workers_may_be_busy_with_other_things)
{
	struct cw_err err;

	ck_assert_int_eq(cw_work_submit(work, nap, napped, NULL), 0);
	while (!asleep)   /* the only thread has taken it */
		usleep(1000);
	while (cw_work_submit(work, nap, napped, NULL) == 0)
		continue;
	ck_assert_ptr_null(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_int_eq(answers, 0);
	awake = true;
}
END_TEST

START_TEST(cancelled_ones_are_not_answered)
{
	struct cw_err err;
	struct cw_password_job *job = cw_password_hash(passwords, "a", 1, on_result, NULL, &err);

	cw_password_cancel(job);
	ck_assert_ptr_nonnull(cw_password_hash(passwords, "b", 1, on_result, NULL, &err));
	wait_for(1);
	ck_assert_int_eq(answers, 1);
}
END_TEST

START_TEST(freed_while_under_way)
{
	struct cw_err err;

	ck_assert_ptr_nonnull(cw_password_hash(passwords, "a", 1, on_result, NULL, &err));
	cw_passwords_free(&passwords); /* nothing leaks, nothing is touched, nobody is answered */
	ck_assert_ptr_null(passwords);
	for (int i = 0; i < 100; i++) {
		cw_loop_poll(loop);
		usleep(1000);
	}
	ck_assert_int_eq(answers, 0);
	cw_passwords_free(&passwords);
}
END_TEST

START_TEST(policy)
{
	static const char *const bad[] = {
		"",         "1234567",          "password",   "PASSWORD",       "Password123",
		"p4ssw0rd", "12345678",         "87654321",   "qwertyui",       "11111111",
		"abcdabcd", "iloveyou!",        "2024winter", "letmein2024",    "admin123",
		"1q2w3e4r", "passwordpassword", "trustno1",   "me@example.com", "qwertzuiop", "!!password!!", "12qwertyui34", "\xff\xff\xff\xff\xff\xff\xff\xff"
	};
	static const char *const good[] = {
		"correct horse",       "lower case only words",
		"9f2kd81mzq",          "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f",
		"dragons eat monkeys", "me@example.com and more"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(cw_password_fault(&cheap, bad[i], strlen(bad[i]), "me@example.com") != NULL, "%s", bad[i]);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(cw_password_fault(&cheap, good[i], strlen(good[i]), "me@example.com") == NULL, "%s: %s", good[i],
		              cw_password_fault(&cheap, good[i], strlen(good[i]), "me@example.com"));
	ck_assert_ptr_nonnull(cw_password_fault(&cheap, "nul\0inside", 10, NULL));
	ck_assert_ptr_nonnull(strstr(cw_password_fault(&cheap, "marietta", 8, "Marietta@example.com"), "e-mail address"));
	ck_assert_ptr_null(cw_password_fault(&cheap, "mariette", 8, "Marietta@example.com"));
	ck_assert_ptr_null(cw_password_fault(&cheap, "me@example.com and more", 23, ""));
	char *long_one = malloc(CW_PASSWORD_MAX + 1);

	for (int i = 0; i <= CW_PASSWORD_MAX; i++)
		long_one[i] = (char)('!' + (i * i + i / 7) % 90);
	ck_assert_ptr_null(cw_password_fault(&cheap, long_one, CW_PASSWORD_MAX, NULL));
	ck_assert_ptr_nonnull(strstr(cw_password_fault(&cheap, long_one, CW_PASSWORD_MAX + 1, NULL), "too long"));
	free(long_one);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("password");
	TCase *tc = tcase_create("password");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, hash_and_verify);
	tcase_add_test(tc, outdated_hashes_are_made_anew_when_the_password_is_there);
	tcase_add_loop_test(tc, bcrypt_of_the_reference_system, 0, (int)(sizeof(bcrypt) / sizeof(*bcrypt)));
	tcase_add_test(tc, other_hashes_are_nobodys);
	tcase_add_test(tc, no_account_takes_the_same_work);
	tcase_add_test(tc, queue_is_bounded);
	tcase_add_test(tc, workers_may_be_busy_with_other_things);
	tcase_add_test(tc, cancelled_ones_are_not_answered);
	tcase_add_test(tc, freed_while_under_way);
	tcase_add_test(tc, policy);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
