#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config.h"
#include "app/data_file.h"
#include "base/buf.h"
#include "base/err.h"

static char path[64];

static void write_text(const char *text)
{
	int fd;

	strcpy(path, "/tmp/cw-conf-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static struct cw_config *load(const char *text, struct cw_err *err)
{
	struct cw_config *config;

	write_text(text);
	config = cw_config_load(path, err);
	unlink(path);
	return config;
}

static void clean_environment(void)
{
	unsetenv("DATABASE_URL");
	unsetenv("CHAINWATCH_LISTEN");
	unsetenv("CHAINWATCH_DATA_DIR");
	unsetenv("CHAINWATCH_CONFIG");
	unsetenv("CHAINWATCH_LOG");
}

START_TEST(file_then_environment_then_command_line)
{
	struct cw_err err;
	struct cw_config *c;

	setenv("CHAINWATCH_LISTEN", "127.0.0.1:9", 1);
	c = load("return { http = { listen = '127.0.0.1:8', idle_ms = 5000 }, database = { pool_size = 7 } }", &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	ck_assert_str_eq(c->listen, "127.0.0.1:9");
	ck_assert_int_eq(c->idle_ms, 5000);
	ck_assert_int_eq(c->pool_size, 7);
	ck_assert_int_eq(c->pool_overflow, 10);
	ck_assert_int_eq(cw_config_set(c, "http.listen", "127.0.0.1:10", &err), 0);
	ck_assert_str_eq(c->listen, "127.0.0.1:10");
	cw_config_free(&c);
}
END_TEST

static const struct { const char *text, *message; } refused[] = {
	{ "return {\n http = {\n  listn = 'x' } }", ":3: http.listn: unknown key, did you mean \"listen\"?" },
	{ "return {\n htp = {} }", ":2: htp: unknown key, did you mean \"http\"?" },
	{ "return { http = { idle_ms = 'soon' } }", ":1: http.idle_ms: must be a whole number" },
	{ "return { http = { idle_ms = 1.5 } }", ":1: http.idle_ms: must be a whole number" },
	{ "return { http = { idle_ms = 1 } }", ":1: http.idle_ms: must be between 100 and 3600000" },
	{ "return { http = { access_log = 1 } }", ":1: http.access_log: must be true or false" },
	{ "return { http = { listen = 8080 } }", ":1: http.listen: must be a string" },
	{ "return { http = 1 }", ":1: http: must be a table" },
	{ "return { log = { groups = { pg = 'loud' } } }", ":1: log.groups: must be a table of group = level" },
	{ "return { 1 }", ":1: a value without a name" },
	{ "return 1", ":1: the file must return a table" },
	{ "return {", ":1: " },
	{ "while true do end", "" },
	{ "return { database = { url = env 'CW_TEST_NOT_SET' } }", "environment variable \"CW_TEST_NOT_SET\" is not set" },
	{ "os.exit(1)", "" },
};

START_TEST(wrong_files_are_refused_with_file_and_line)
{
	struct cw_err err;
	struct cw_config *c = load(refused[_i].text, &err);

	ck_assert_msg(c == NULL, "was taken: %s", refused[_i].text);
	ck_assert_msg(strstr(err.msg, refused[_i].message) != NULL, "%s", err.msg);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}
END_TEST

START_TEST(secrets_come_from_files_and_are_masked)
{
	char secret[] = "/tmp/cw-secret-XXXXXX", text[200];
	struct cw_buf json = CW_BUF_INIT;
	struct cw_err err;
	struct cw_config *c;
	int fd = mkstemp(secret);

	dprintf(fd, "postgresql://u:hunter2@h/db\n");
	close(fd);
	snprintf(text, sizeof(text), "return { database = { url = file '%s' } }", secret);
	c = load(text, &err);
	unlink(secret);
	ck_assert_msg(c != NULL, "%s", err.msg);
	ck_assert_str_eq(c->database_url, "postgresql://u:hunter2@h/db");
	cw_config_to_json(c, &json);
	ck_assert(strstr(json.data, "hunter2") == NULL);
	ck_assert(strstr(json.data, "\"url\":\"***\"") != NULL);
	cw_buf_release(&json);
	cw_config_free(&c);
}
END_TEST

START_TEST(default_file_is_taken_as_it_is)
{
	struct cw_buf text = CW_BUF_INIT;
	struct cw_err err;
	struct cw_config *c;

	cw_config_write_default(&text);
	c = load(text.data, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	cw_config_free(&c);
	cw_buf_release(&text);
}
END_TEST

START_TEST(changes_that_need_a_restart_are_named)
{
	struct cw_buf names = CW_BUF_INIT;
	struct cw_err err;
	struct cw_config *a = load("return {}", &err), *b = load("return { rules = { state_mb = 64, ticks = 5000 } }", &err);

	cw_config_restart_needed(a, b, &names);
	ck_assert_str_eq(names.data, "rules.state_mb");
	cw_buf_release(&names);
	cw_config_free(&a);
	cw_config_free(&b);
}
END_TEST

START_TEST(parameters_become_json)
{
	struct cw_buf json = CW_BUF_INIT;
	struct cw_err err;

	write_text("return { ['eth.fan_out'] = { receivers = 40, window = '5m', deep = { 1, 2.5, true } } }");
	ck_assert_int_eq(cw_data_file_to_json(path, &json, &err), 0);
	ck_assert(strstr(json.data, "\"receivers\":40") != NULL);
	ck_assert(strstr(json.data, "\"deep\":[1,2.5,true]") != NULL);
	unlink(path);
	cw_buf_clear(&json);
	write_text("return { x = function() end }");
	ck_assert_int_eq(cw_data_file_to_json(path, &json, &err), -1);
	ck_assert(strstr(err.msg, "a function is not data") != NULL);
	unlink(path);
	cw_buf_release(&json);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, clean_environment, NULL);
	tcase_add_test(tc, file_then_environment_then_command_line);
	tcase_add_loop_test(tc, wrong_files_are_refused_with_file_and_line, 0, (int)(sizeof(refused) / sizeof(*refused)));
	tcase_add_test(tc, secrets_come_from_files_and_are_masked);
	tcase_add_test(tc, default_file_is_taken_as_it_is);
	tcase_add_test(tc, changes_that_need_a_restart_are_named);
	tcase_add_test(tc, parameters_become_json);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
