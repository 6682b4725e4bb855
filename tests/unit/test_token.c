/* Tokens: the examples of RFC 7515 and RFC 8037, our own, and every way to tamper with them that we know. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/token.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static struct cw_arena *arena;
static struct cw_err err;

static size_t decode(const char *text, unsigned char *out, size_t size)
{
	size_t len = 0;

	ck_assert_int_eq(sodium_base642bin(out, size, text, strlen(text), NULL, &len, NULL, BASE64), 0);
	return len;
}

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *format, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return cw_arena_strndup(arena, text, strlen(text));
}

static struct cw_keyring *ring_of(const char *kid, enum cw_token_alg alg, const char *key)
{
	unsigned char bytes[512];
	struct cw_keyring *ring = cw_keyring_new();

	ck_assert_int_eq(cw_keyring_add(ring, kid, alg, bytes, decode(key, bytes, sizeof(bytes)), &err), 0);
	return ring;
}

static void setup(void)
{
	ck_assert_int_ge(sodium_init(), 0);
	arena = cw_arena_new();
}

static void teardown(void)
{
	cw_arena_free(&arena);
}

/* RFC 7515 A.1: HS256. */
#define RFC7515_KEY "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define RFC7515_JWS                                                                                                    \
	"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."                                                                        \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."                  \
	"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

START_TEST(rfc7515_a1)
{
	struct cw_keyring *ring = ring_of("k", CW_TOKEN_HS256, RFC7515_KEY);
	const char *wrong, *payload;
	size_t len;

	payload = cw_token_open(ring, RFC7515_JWS, strlen(RFC7515_JWS), NULL, arena, &len, &wrong);
	ck_assert_ptr_nonnull(payload);
	ck_assert_str_eq(payload, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
	cw_keyring_free(&ring);
}
END_TEST

/* RFC 8037 A.4: Ed25519. */
#define RFC8037_SEED "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define RFC8037_JWS                                                                                                    \
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                                        \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

START_TEST(rfc8037_a4)
{
	struct cw_keyring *ring = ring_of("k", CW_TOKEN_EDDSA, RFC8037_SEED);
	const char *wrong, *payload;
	size_t len;

	payload = cw_token_open(ring, RFC8037_JWS, strlen(RFC8037_JWS), NULL, arena, &len, &wrong);
	ck_assert_ptr_nonnull(payload);
	ck_assert_str_eq(payload, "Example of Ed25519 signing");
	cw_keyring_free(&ring);
}
END_TEST

static const struct cw_token_rules rules = { .issuer = "us", .audience = "api", .now_s = 1000000, .leeway_s = 5 };
static const struct cw_claims good = {
	.user_id = 7, .session_id = 9, .issued_s = 1000000, .not_before_s = 1000000, .expires_s = 1000900, .id = "abc"
};

static char *made(const struct cw_keyring *ring, const struct cw_claims *claims)
{
	struct cw_buf out = CW_BUF_INIT;
	char *text;

	cw_token_sign(ring, claims, "us", "api", &out);
	text = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return text;
}

static const char *check_at(const struct cw_keyring *ring, const char *token, int64_t now_s)
{
	struct cw_token_rules r = rules;
	struct cw_claims claims;

	r.now_s = now_s;
	return cw_token_verify(ring, token, strlen(token), &r, &claims);
}

static const char *check(const struct cw_keyring *ring, const char *token)
{
	return check_at(ring, token, rules.now_s);
}

static const struct {
	enum cw_token_alg alg;
	const char *key;
} algs[] = {
	{ CW_TOKEN_HS256, RFC7515_KEY },
	{ CW_TOKEN_EDDSA, RFC8037_SEED },
};

START_TEST(round_trip)
{
	struct cw_keyring *ring = ring_of("key-1", algs[_i].alg, algs[_i].key);
	struct cw_claims claims;
	char *token = made(ring, &good);

	ck_assert_ptr_null(cw_token_verify(ring, token, strlen(token), &rules, &claims));
	ck_assert_int_eq(claims.user_id, 7);
	ck_assert_int_eq(claims.session_id, 9);
	ck_assert_int_eq(claims.expires_s, 1000900);
	ck_assert_str_eq(claims.id, "abc");
	cw_keyring_free(&ring);
}
END_TEST

/* Each single changed character is refused; so is each shorter and each longer text. */
START_TEST(tampered)
{
	struct cw_keyring *ring = ring_of("key-1", algs[_i].alg, algs[_i].key);
	char *token = made(ring, &good);
	size_t len = strlen(token);

	for (size_t i = 0; i < len; i++) {
		char kept = token[i];

		token[i] = kept == 'A' ? 'B' : 'A';
		ck_assert_msg(check(ring, token) != NULL, "changed at %zu", i);
		token[i] = '=';
		ck_assert_ptr_nonnull(check(ring, token));
		token[i] = '\0';
		ck_assert_msg(check(ring, token) != NULL, "cut at %zu", i);
		token[i] = kept;
	}
	ck_assert_ptr_nonnull(check(ring, text_of("%s=", token)));
	ck_assert_ptr_nonnull(check(ring, text_of("%s.", token)));
	ck_assert_ptr_nonnull(check(ring, text_of("%s.x", token)));
	ck_assert_ptr_nonnull(check(ring, text_of(" %s", token)));
	ck_assert_ptr_null(check(ring, token));
	cw_keyring_free(&ring);
}
END_TEST

/* header.payload with a right HS256 signature of the ring's key. */
static char *forged(const char *header, const char *payload)
{
	unsigned char key[128], mac[32];
	char h[1024], p[4096], s[128], *text;
	size_t len = decode(RFC7515_KEY, key, sizeof(key));
	crypto_auth_hmacsha256_state state;

	sodium_bin2base64(h, sizeof(h), (const unsigned char *)header, strlen(header), BASE64);
	sodium_bin2base64(p, sizeof(p), (const unsigned char *)payload, strlen(payload), BASE64);
	text = text_of("%s.%s", h, p);
	crypto_auth_hmacsha256_init(&state, key, len);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, strlen(text));
	crypto_auth_hmacsha256_final(&state, mac);
	sodium_bin2base64(s, sizeof(s), mac, sizeof(mac), BASE64);
	return text_of("%s.%s", text, s);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}"
#define PAYLOAD                                                                                                        \
	"{\"iss\":\"us\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"9\",\"iat\":1000000,\"nbf\":1000000,\"exp\":1000900,"     \
	"\"jti\":\"a\"}"

static const char *const headers[] = {
	"{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"None\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"HS384\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"hs256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":[\"HS256\"],\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"key-1\"}",
	"{\"alg\":\"HS256\",\"kid\":\"key-1\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-2\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"../../etc/passwd\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":1}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\",\"crit\":[\"exp\"]}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\",\"jku\":\"https://evil\"}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
	"{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"key-1\",\"x5u\":\"x\"}",
	"{\"alg\":\"HS256\",\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}",
	"[]",
	"null",
	"",
	"{",
	"\xff",
};

START_TEST(headers_that_are_refused)
{
	struct cw_keyring *ring = ring_of("key-1", CW_TOKEN_HS256, RFC7515_KEY);

	ck_assert_ptr_null(check(ring, forged(HEADER, PAYLOAD)));
	ck_assert_msg(check(ring, forged(headers[_i], PAYLOAD)) != NULL, "%s", headers[_i]);
	cw_keyring_free(&ring);
}
END_TEST

#define CLAIMS(iss, aud, sub, sid, times)                                                                              \
	"{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub ",\"sid\":" sid "," times ",\"jti\":\"a\"}"
#define TIMES "\"iat\":1000000,\"nbf\":1000000,\"exp\":1000900"

static const char *const payloads[] = {
	CLAIMS("\"them\"", "\"api\"", "\"7\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"other\"", "\"7\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "[\"api\"]", "\"7\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "7", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"0\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"-7\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"7 \"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"9999999999999999999\"", "\"9\"", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "null", TIMES),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000,\"exp\":\"1000900\""),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000,\"exp\":1e9"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000,\"exp\":99999999999999999999"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000,\"exp\":-1"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000000,\"exp\":999995"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000000,\"nbf\":1000006,\"exp\":1000900"),
	CLAIMS("\"us\"", "\"api\"", "\"7\"", "\"9\"", "\"iat\":1000006,\"nbf\":1000000,\"exp\":1000900"),
	"{\"iss\":\"us\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"9\"," TIMES "}",
	"{\"sub\":\"8\",\"iss\":\"us\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"9\"," TIMES ",\"jti\":\"a\"}",
	"[]",
	"7",
	"",
	"{\"iss\"",
	"\xff\xfe",
};

START_TEST(claims_that_are_refused)
{
	struct cw_keyring *ring = ring_of("key-1", CW_TOKEN_HS256, RFC7515_KEY);

	ck_assert_msg(check(ring, forged(HEADER, payloads[_i])) != NULL, "%s", payloads[_i]);
	cw_keyring_free(&ring);
}
END_TEST

START_TEST(times_and_leeway)
{
	struct cw_keyring *ring = ring_of("key-1", CW_TOKEN_HS256, RFC7515_KEY);
	char *token = made(ring, &good);

	ck_assert_ptr_null(check_at(ring, token, 999995));
	ck_assert_ptr_nonnull(check_at(ring, token, 999994));
	ck_assert_ptr_null(check_at(ring, token, 1000904));
	ck_assert_ptr_nonnull(check_at(ring, token, 1000905));
	cw_keyring_free(&ring);
}
END_TEST

/* The public key of an Ed25519 key as an HMAC secret: the old confusion. */
START_TEST(keys_are_not_confused)
{
	struct cw_keyring *ring = ring_of("key-1", CW_TOKEN_EDDSA, RFC8037_SEED);

	ck_assert_ptr_nonnull(check(ring, forged(HEADER, PAYLOAD)));
	ck_assert_ptr_nonnull(check(ring, forged("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"key-1\"}", PAYLOAD)));
	cw_keyring_free(&ring);
}
END_TEST

START_TEST(two_keys_while_they_are_exchanged)
{
	char path[] = "/tmp/cw-token-XXXXXX", kid1[CW_TOKEN_KID], kid2[CW_TOKEN_KID];
	struct cw_keyring *old, *both, *fresh;
	enum cw_token_alg alg;
	char *token;
	struct stat st;
	int fd = mkstemp(path);

	close(fd);
	unlink(path);
	ck_assert_ptr_null(cw_keyring_load(path, &err));
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(cw_keyring_rotate(path, CW_TOKEN_HS256, 2, kid1, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	old = cw_keyring_load(path, &err);
	token = made(old, &good);
	ck_assert_int_eq(cw_keyring_rotate(path, CW_TOKEN_EDDSA, 2, kid2, &err), 0);
	both = cw_keyring_load(path, &err);
	ck_assert_int_eq(cw_keyring_count(both), 2);
	ck_assert_str_eq(cw_keyring_kid(both, 0, &alg), kid2);
	ck_assert_int_eq(alg, CW_TOKEN_EDDSA);
	ck_assert_ptr_null(check(both, token));
	ck_assert_ptr_null(check(both, made(both, &good)));
	ck_assert_ptr_nonnull(check(old, made(both, &good)));
	ck_assert_int_eq(cw_keyring_rotate(path, CW_TOKEN_HS256, 1, kid2, &err), 0);
	fresh = cw_keyring_load(path, &err);
	ck_assert_int_eq(cw_keyring_count(fresh), 1);
	ck_assert_ptr_nonnull(check(fresh, token));
	chmod(path, 0644);
	ck_assert_ptr_null(cw_keyring_load(path, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "nobody but its owner"));
	unlink(path);
	cw_keyring_free(&old);
	cw_keyring_free(&both);
	cw_keyring_free(&fresh);
}
END_TEST

static const struct {
	const char *text, *what;
} files[] = {
	{ "", "has no token key" },
	{ "# a comment\n", "has no token key" },
	{ "k HS256\n", ":1: a line is" },
	{ "k RS256 AAAA\n", ":1: a line is" },
	{ "k HS256 AAAA\n", "32 to 512 bytes" },
	{ "k EdDSA AAAA\n", "seed of 32 bytes" },
	{ "k! EdDSA nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\n", "name of a token key" },
	{ "k EdDSA nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n", "without padding" },
	{ "k EdDSA nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\nk EdDSA nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\n",
	  ":2: " },
};

START_TEST(files_that_are_refused)
{
	char path[] = "/tmp/cw-token-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq((int)write(fd, files[_i].text, strlen(files[_i].text)), (int)strlen(files[_i].text));
	close(fd);
	ck_assert_ptr_null(cw_keyring_load(path, &err));
	ck_assert_msg(strstr(err.msg, files[_i].what) != NULL, "%s", err.msg);
	ck_assert_ptr_null(strstr(err.msg, "nWGxne")); /* no key in a message */
	unlink(path);
}
END_TEST

START_TEST(a_ring_has_its_limits)
{
	static const char *const names[] = { "", "a b", "k\xc3\xa4se", "a.b", "123456789012345678901234567890123" };
	unsigned char bytes[513] = { 1 };
	struct cw_keyring *r = cw_keyring_new();
	char kid[8];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		ck_assert_int_ne(cw_keyring_add(r, names[i], CW_TOKEN_HS256, bytes, 32, &err), 0);
	static const struct { enum cw_token_alg alg; size_t len; } lengths[] = {
		{ CW_TOKEN_HS256, 31 }, { CW_TOKEN_HS256, 513 }, { CW_TOKEN_EDDSA, 31 }, { CW_TOKEN_EDDSA, 33 },
	};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		ck_assert_int_ne(cw_keyring_add(r, "k", lengths[i].alg, bytes, lengths[i].len, &err), 0);
	for (int i = 0; i < 16; i++) {
		snprintf(kid, sizeof(kid), "k%d", i);
		ck_assert_int_eq(cw_keyring_add(r, kid, CW_TOKEN_HS256, bytes, i == 0 ? 512 : 32, &err), 0);
	}
	ck_assert_int_ne(cw_keyring_add(r, "k16", CW_TOKEN_HS256, bytes, 32, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "more than 16"));
	ck_assert_int_eq(cw_keyring_count(r), 16);
	cw_keyring_free(&r);
	cw_keyring_free(&r);
}
END_TEST

static char *read_all(const char *path)
{
	static char text[4096];
	FILE *f = fopen(path, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	fclose(f);
	text[n] = '\0';
	return text;
}

START_TEST(rotation_keeps_comments_and_survives_a_full_disk)
{
	char path[] = "/tmp/cw-token-XXXXXX", aside[64], kid1[CW_TOKEN_KID], kid2[CW_TOKEN_KID], before[4096];
	struct rlimit limit = { 0, RLIM_INFINITY };
	int fd = mkstemp(path);

	close(fd);
	snprintf(aside, sizeof(aside), "%s.new", path);
	ck_assert_int_eq(cw_keyring_rotate(path, CW_TOKEN_EDDSA, 3, kid1, &err), 0);
	fd = open(path, O_WRONLY | O_APPEND);
	ck_assert_int_eq((int)write(fd, "# a note\n\n", 10), 10);
	close(fd);
	ck_assert_int_eq(cw_keyring_rotate(path, CW_TOKEN_EDDSA, 1, kid2, &err), 0);
	ck_assert_ptr_nonnull(strstr(read_all(path), "# a note\n\n"));
	ck_assert_ptr_nonnull(strstr(read_all(path), kid2));
	ck_assert_ptr_null(strstr(read_all(path), kid1));
	snprintf(before, sizeof(before), "%s", read_all(path));
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_ne(cw_keyring_rotate(path, CW_TOKEN_EDDSA, 3, kid1, &err), 0);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_str_eq(read_all(path), before);
	ck_assert_int_ne(access(aside, F_OK), 0);      /* no half of it, with a key inside, is left */
	unlink(path);
	ck_assert_int_ne(cw_keyring_rotate("/nowhere/at/all", CW_TOKEN_EDDSA, 3, kid1, &err), 0);
	ck_assert_int_ne(cw_keyring_rotate("/tmp", CW_TOKEN_EDDSA, 3, kid1, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "must be a file"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *tc = tcase_create("token");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rfc7515_a1);
	tcase_add_test(tc, rfc8037_a4);
	tcase_add_loop_test(tc, round_trip, 0, 2);
	tcase_add_loop_test(tc, tampered, 0, 2);
	tcase_add_loop_test(tc, headers_that_are_refused, 0, (int)(sizeof(headers) / sizeof(*headers)));
	tcase_add_loop_test(tc, claims_that_are_refused, 0, (int)(sizeof(payloads) / sizeof(*payloads)));
	tcase_add_test(tc, times_and_leeway);
	tcase_add_test(tc, keys_are_not_confused);
	tcase_add_test(tc, two_keys_while_they_are_exchanged);
	tcase_add_loop_test(tc, files_that_are_refused, 0, (int)(sizeof(files) / sizeof(*files)));
	tcase_add_test(tc, a_ring_has_its_limits);
	tcase_add_test(tc, rotation_keeps_comments_and_survives_a_full_disk);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
