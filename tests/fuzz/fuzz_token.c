/* Any bytes as an access token, as the header and payload of a rightly signed one, as a file of token keys, as a signed
 * head of the audit log, and as an API key. Nothing but what was signed may be taken. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "auth/audit_head.h"
#include "auth/keys.h"
#include "auth/password.h"
#include "auth/token.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static const struct cw_token_rules rules = { .issuer = "us", .audience = "api", .now_s = 1000000, .leeway_s = 5 };
static const unsigned char secret[32] = "an HMAC key of thirty-two bytes.";

static void check(bool condition)
{
	if (!condition)
		abort();
}

static struct cw_keyring *keys(void)
{
	static struct cw_keyring *ring;
	struct cw_err err;

	if (ring == NULL) {
		ring = cw_keyring_new();
		check(cw_keyring_add(ring, "h", CW_TOKEN_HS256, secret, sizeof(secret), &err) == 0);
		check(cw_keyring_add(ring, "e", CW_TOKEN_EDDSA, secret, sizeof(secret), &err) == 0);
	}
	return ring;
}

static void put_base64(struct cw_buf *out, const void *bytes, size_t len)
{
	char text[3 * CW_TOKEN_MAX];

	sodium_bin2base64(text, sizeof(text), bytes, len, BASE64);
	cw_buf_puts(out, text);
}

/* Header and payload as they come, parted by a line's end, with a right signature: the parsers see them. */
static void rightly_signed(const uint8_t *data, size_t size)
{
	const uint8_t *split = memchr(data, '\n', size);
	struct cw_buf token = CW_BUF_INIT;
	struct cw_claims claims;
	unsigned char mac[32];

	if (split == NULL || size > CW_TOKEN_MAX / 2)
		return;
	put_base64(&token, data, (size_t)(split - data));
	cw_buf_putc(&token, '.');
	put_base64(&token, split + 1, (size_t)(data + size - split - 1));
	crypto_auth_hmacsha256(mac, (const unsigned char *)token.data, token.len, secret);
	cw_buf_putc(&token, '.');
	put_base64(&token, mac, sizeof(mac));
	if (cw_token_verify(keys(), token.data, token.len, &rules, &claims) == NULL)
		check(claims.user_id > 0 && claims.session_id > 0 && rules.now_s < claims.expires_s + rules.leeway_s);
	cw_buf_release(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *wrong;
	struct cw_arena *arena = cw_arena_new();
	struct cw_audit_key key = { NULL, { 0 } };
	struct cw_audit_head head;
	struct cw_claims claims;
	struct cw_err err;
	size_t len;

	if (sodium_init() < 0)
		abort();
	check(cw_token_verify(keys(), text, size, &rules, &claims) != NULL); /* nobody guesses a signature */
	check(cw_token_open(keys(), text, size, NULL, arena, &len, &wrong) == NULL && wrong != NULL);
	rightly_signed(data, size);
	check(cw_audit_head_parse(&head, text, size, &key, &err) != 0);
	(void)cw_key_well_formed(text, size);
	if (size <= CW_PASSWORD_MAX)
		(void)cw_password_fault(&cw_password_conf_default, text, size, "me@example.com");
	cw_arena_free(&arena);
	return 0;
}
