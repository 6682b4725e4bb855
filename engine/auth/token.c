#include "auth/token.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/keyring.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define DEPTH  4

static void put_base64(struct cw_buf *out, const void *bytes, size_t len)
{
	char text[2 * CW_TOKEN_MAX];

	sodium_bin2base64(text, sizeof(text), bytes, len, BASE64);
	cw_buf_puts(out, text);
}

/* The one spelling: what decodes must encode to the same text again (unused bits of the last letter are zero). */
static uint8_t *read_base64(struct cw_arena *arena, const char *text, size_t len, size_t *out_len)
{
	uint8_t *bytes = cw_arena_alloc(arena, len + 1);
	const char *end = NULL;
	char *again;

	if (sodium_base642bin(bytes, len, text, len, NULL, out_len, &end, BASE64) != 0 || end != text + len)
		return NULL;
	again = cw_arena_alloc(arena, len + 8);
	sodium_bin2base64(again, len + 8, bytes, *out_len, BASE64);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return NULL;
	bytes[*out_len] = '\0';
	return bytes;
}

static const char *alg_name(enum cw_token_alg alg)
{
	return alg == CW_TOKEN_HS256 ? "HS256" : "EdDSA";
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->type == CW_JSON_STRING ? value->text : NULL;
}

/* --- signing --- */

static void sign(const struct cw_token_key *key, const char *text, size_t len, struct cw_buf *out)
{
	unsigned char mac[crypto_auth_hmacsha256_BYTES], signature[crypto_sign_BYTES];
	crypto_auth_hmacsha256_state state;

	if (key->alg == CW_TOKEN_HS256) {
		crypto_auth_hmacsha256_init(&state, key->bytes, key->len);
		crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, len);
		crypto_auth_hmacsha256_final(&state, mac);
		sodium_memzero(&state, sizeof(state));
		put_base64(out, mac, sizeof(mac));
	} else {
		crypto_sign_detached(signature, NULL, (const unsigned char *)text, len, key->bytes);
		put_base64(out, signature, sizeof(signature));
	}
}

static bool is_signed(const struct cw_token_key *key, const char *text, size_t len, const uint8_t *signature,
                      size_t size)
{
	unsigned char mac[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state state;

	if (key->alg == CW_TOKEN_EDDSA)
		return size == crypto_sign_BYTES && crypto_sign_verify_detached(signature, (const unsigned char *)text, len,
		                                                                key->bytes + crypto_sign_SEEDBYTES) == 0;
	if (size != sizeof(mac))
		return false;
	crypto_auth_hmacsha256_init(&state, key->bytes, key->len);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, len);
	crypto_auth_hmacsha256_final(&state, mac);
	sodium_memzero(&state, sizeof(state));
	return sodium_memcmp(mac, signature, sizeof(mac)) == 0;
}

void cw_token_sign(const struct cw_keyring *ring, const struct cw_claims *claims, const char *issuer,
                   const char *audience, struct cw_buf *out)
{
	const struct cw_token_key *key = cw_keyring_signer(ring);
	struct cw_buf text = CW_BUF_INIT;
	size_t from = out->len;

	cw_buf_printf(&text, "{\"alg\":\"%s\",\"typ\":\"" CW_TOKEN_TYP "\",\"kid\":\"%s\"}", alg_name(key->alg), key->kid);
	put_base64(out, text.data, text.len);
	cw_buf_clear(&text);
	cw_buf_puts(&text, "{\"iss\":");
	cw_json_put_cstring(&text, issuer);
	cw_buf_puts(&text, ",\"aud\":");
	cw_json_put_cstring(&text, audience);
	cw_buf_printf(&text,
	              ",\"sub\":\"%" PRId64 "\",\"sid\":\"%" PRId64 "\",\"epoch\":%" PRId64 ",\"iat\":%" PRId64 ",\"nbf\":%" PRId64
	              ",\"exp\":%" PRId64 ",\"jti\":\"%s\"}",
	              claims->user_id, claims->session_id, claims->epoch, claims->issued_s, claims->not_before_s, claims->expires_s,
	              claims->id);
	cw_buf_putc(out, '.');
	put_base64(out, text.data, text.len);
	cw_buf_release(&text);
	text = (struct cw_buf)CW_BUF_INIT;
	sign(key, out->data + from, out->len - from, &text);
	cw_buf_putc(out, '.');
	cw_buf_puts(out, text.data);
	cw_buf_release(&text);
}

/* --- verifying --- */

static const struct cw_json *read_object(const uint8_t *bytes, size_t len, struct cw_arena *arena)
{
	struct cw_json_error error;
	const struct cw_json *v = cw_json_parse((const char *)bytes, len, DEPTH, arena, &error);

	return v != NULL && v->type == CW_JSON_OBJECT ? v : NULL;
}

/* The key that a header names; NULL and what is wrong. Members that could lead to another key or meaning are refused,
 * unknown ones are not needed here. */
static const struct cw_token_key *key_of(const struct cw_keyring *ring, const struct cw_json *header, const char *typ,
                                         const char **wrong)
{
	const char *alg = text_of(header, "alg"), *kid = text_of(header, "kid"), *type = text_of(header, "typ");
	const struct cw_token_key *key;

	for (const struct cw_json *m = header->first; m != NULL; m = m->next) {
		if (strcmp(m->key, "alg") != 0 && strcmp(m->key, "kid") != 0 && strcmp(m->key, "typ") != 0) {
			*wrong = "the token's header has members that are not accepted";
			return NULL;
		}
	}
	*wrong = "the token's type is not accepted";
	if (typ != NULL && (type == NULL || strcasecmp(type, typ) != 0))
		return NULL;
	*wrong = "the token's key is not known";
	key = kid != NULL ? cw_keyring_find(ring, kid) : typ == NULL ? cw_keyring_signer(ring) : NULL;
	if (key == NULL)
		return NULL;
	*wrong = "the token's algorithm is not that of its key";
	return alg != NULL && strcmp(alg, alg_name(key->alg)) == 0 ? key : NULL;
}

const char *cw_token_open(const struct cw_keyring *ring, const char *token, size_t len, const char *typ,
                          struct cw_arena *arena, size_t *payload_len, const char **wrong)
{
	const char *dot = len <= CW_TOKEN_MAX ? memchr(token, '.', len) : NULL, *last;
	const struct cw_token_key *key;
	const struct cw_json *header;
	const uint8_t *bytes, *payload;
	size_t header_len, size;

	*wrong = "the token is malformed";
	last = dot != NULL ? memchr(dot + 1, '.', (size_t)(token + len - dot - 1)) : NULL;
	if (last == NULL || memchr(last + 1, '.', (size_t)(token + len - last - 1)) != NULL)
		return NULL;
	bytes = read_base64(arena, token, (size_t)(dot - token), &header_len);
	header = bytes != NULL ? read_object(bytes, header_len, arena) : NULL;
	payload = read_base64(arena, dot + 1, (size_t)(last - dot - 1), payload_len);
	bytes = read_base64(arena, last + 1, (size_t)(token + len - last - 1), &size);
	if (header == NULL || payload == NULL || bytes == NULL)
		return NULL;
	key = key_of(ring, header, typ, wrong);
	if (key == NULL)
		return NULL;
	*wrong = "the token's signature is wrong";
	return is_signed(key, token, (size_t)(last - token), bytes, size) ? (const char *)payload : NULL;
}

static bool read_id(const struct cw_json *payload, const char *name, int64_t *out)
{
	const char *text = text_of(payload, name);
	size_t len = text != NULL ? strlen(text) : 0;

	*out = 0;
	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*out = *out * 10 + (text[i] - '0');
	}
	return *out > 0;
}

/* A moment, or another number that is not negative. */
static bool read_time(const struct cw_json *payload, const char *name, int64_t *out)
{
	const struct cw_json *value = cw_json_get(payload, name);

	return value != NULL && cw_json_is_integer(value) && cw_json_to_i64(value, out) && *out >= 0 &&
	       *out < INT64_C(1) << 40;
}

static const char *check_claims(const struct cw_json *payload, const struct cw_token_rules *rules,
                                struct cw_claims *out)
{
	const char *issuer = text_of(payload, "iss"), *audience = text_of(payload, "aud"), *id = text_of(payload, "jti");

	if (issuer == NULL || strcmp(issuer, rules->issuer) != 0)
		return "the token is of another issuer";
	if (audience == NULL || strcmp(audience, rules->audience) != 0)
		return "the token is for another audience";
	if (!read_id(payload, "sub", &out->user_id) || !read_id(payload, "sid", &out->session_id) || id == NULL ||
	    strlen(id) >= sizeof(out->id))
		return "the token lacks claims";
	memcpy(out->id, id, strlen(id) + 1);
	if (!read_time(payload, "exp", &out->expires_s) || !read_time(payload, "iat", &out->issued_s) ||
	    !read_time(payload, "nbf", &out->not_before_s))
		return "the token lacks its times";
	if (cw_json_get(payload, "epoch") != NULL && !read_time(payload, "epoch", &out->epoch))
		return "the token's claims are malformed";
	if (rules->now_s >= out->expires_s + rules->leeway_s)
		return "the token has expired";
	if (rules->now_s + rules->leeway_s < out->not_before_s || rules->now_s + rules->leeway_s < out->issued_s)
		return "the token is not valid yet";
	return NULL;
}

const char *cw_token_verify(const struct cw_keyring *ring, const char *token, size_t len,
                            const struct cw_token_rules *rules, struct cw_claims *claims)
{
	struct cw_arena *arena = cw_arena_new();
	const struct cw_json *payload = NULL;
	const char *text, *wrong;
	size_t size = 0;

	memset(claims, 0, sizeof(*claims));
	text = cw_token_open(ring, token, len, CW_TOKEN_TYP, arena, &size, &wrong);
	if (text != NULL) {
		payload = read_object((const uint8_t *)text, size, arena);
		wrong = payload != NULL ? check_claims(payload, rules, claims) : "the token's claims are malformed";
	}
	cw_arena_free(&arena);
	return wrong;
}
