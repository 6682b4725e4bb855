#include "app/gate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "app/config.h"
#include "app/denials.h"
#include "auth/auth.h"
#include "auth/keys.h"
#include "auth/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"
#include "lua/scripts.h"

/* --- what a request brings --- */

enum credential { NOTHING = 0, KEY, TOKEN, CONTRADICTION };

/* The only field of this name; `many` is set if there is more than one. */
static struct cw_slice one_header(const struct cw_request *req, const char *name, bool *many)
{
	struct cw_slice found = { NULL, 0 };
	size_t len = strlen(name);

	for (unsigned i = 0; i < req->head->nheaders; i++) {
		const struct cw_header *f = &req->head->headers[i];

		if (f->name.len != len || strncasecmp(f->name.p, name, len) != 0)
			continue;
		*many = *many || found.p != NULL;
		found = f->value;
	}
	return found;
}

static enum credential find_credential(const struct cw_request *req, struct cw_slice *out)
{
	bool many = false;
	struct cw_slice bearer = one_header(req, "Authorization", &many), key = one_header(req, "X-API-Key", &many);

	*out = key;
	if (many)
		return CONTRADICTION;
	if (bearer.p == NULL)
		return key.p == NULL ? NOTHING : KEY;
	if (bearer.len < 8 || strncasecmp(bearer.p, "Bearer ", 7) != 0)
		return CONTRADICTION;
	out->p = bearer.p + 7;
	out->len = bearer.len - 7;
	if (key.p != NULL)
		return key.len == out->len && memcmp(key.p, out->p, key.len) == 0 ? KEY : CONTRADICTION;
	return memchr(out->p, '.', out->len) != NULL ? TOKEN : KEY;
}

/* --- refusals --- */

static bool refuse(struct cw_request *req, int status, const char *code, const char *detail, int64_t retry_s)
{
	struct cw_problem problem = { .status = status, .code = code, .detail = detail, .retry_after_s = (int)retry_s };

	cw_reply_problem(req, &problem);
	return false;
}

static bool refuse_stranger(struct cw_gate *gate, struct cw_request *req, enum credential kind, const char *detail)
{
	struct cw_limit_state state;

	if (kind != NOTHING && gate->failed.per_s > 0 &&
	    !cw_limits_take(gate->auth->limits, 'f', req->remote, strlen(req->remote), &gate->failed, cw_clock_mono_us(),
	                    &state))
		return refuse(req, 429, "rate_limited", "too many requests with a wrong key or token from this address",
		              state.retry_s);
	cw_reply_header(req, "WWW-Authenticate",
	                kind == NOTHING ? "Bearer realm=\"chainwatch\""
	                                : "Bearer realm=\"chainwatch\", error=\"invalid_token\"");
	if (kind != NOTHING || (req->route->roles & (CW_ROLE_ADMIN | CW_ROLE_OPERATOR)))
		cw_denials_note(gate->denials, 401, req);
	return refuse(req, 401, "unauthorized", detail, 0);
}

/* --- limits --- */

/* Names the bucket that is emptiest: draft-ietf-httpapi-ratelimit-headers, and the older three fields. */
static void put_limit(struct cw_request *req, const char *name, const struct cw_rate *rate,
                      const struct cw_limit_state *s)
{
	char text[96];

	snprintf(text, sizeof(text), "\"%s\";q=%" PRId64 ";w=%" PRId64, name, s->limit,
	         (rate->burst + rate->per_s - 1) / rate->per_s);
	cw_reply_header(req, "RateLimit-Policy", text);
	snprintf(text, sizeof(text), "\"%s\";r=%" PRId64 ";t=%" PRId64, name, s->remaining, s->reset_s);
	cw_reply_header(req, "RateLimit", text);
	snprintf(text, sizeof(text), "%" PRId64, s->limit);
	cw_reply_header(req, "RateLimit-Limit", text);
	snprintf(text, sizeof(text), "%" PRId64, s->remaining);
	cw_reply_header(req, "RateLimit-Remaining", text);
	snprintf(text, sizeof(text), "%" PRId64, s->reset_s);
	cw_reply_header(req, "RateLimit-Reset", text);
}

static bool is_ingest(const struct cw_request *req)
{
	return req->route != NULL && req->route->roles == CW_ROLE_SERVICE;
}

/* Takes one from each bucket that holds for this request; false: it was answered 429. */
static bool take_limits(struct cw_gate *gate, struct cw_request *req)
{
	struct {
		char kind;
		const char *name;
		int64_t id;
		const struct cw_rate *rate;
	} buckets[] = {
		{ is_ingest(req) ? 'i' : 'k', is_ingest(req) ? "ingest" : "key", req->key_id,
		  is_ingest(req) ? &gate->ingest : &gate->key },
		{ 'u', "user", is_ingest(req) ? 0 : req->user_id, &gate->user },
	};
	struct cw_limit_state state, least = { .remaining = INT64_MAX };
	int named = -1;

	for (int i = 0; i < 2; i++) {
		if (buckets[i].id == 0 || buckets[i].rate->per_s == 0)
			continue;
		if (!cw_limits_take(gate->auth->limits, buckets[i].kind, &buckets[i].id, sizeof(buckets[i].id), buckets[i].rate,
		                    cw_clock_mono_us(), &state)) {
			put_limit(req, buckets[i].name, buckets[i].rate, &state);
			return refuse(req, 429, "rate_limited", "too many requests; wait", state.retry_s);
		}
		if (state.remaining < least.remaining) {
			least = state;
			named = i;
		}
	}
	if (named >= 0)
		put_limit(req, buckets[named].name, buckets[named].rate, &least);
	return true;
}

static bool take_address(struct cw_gate *gate, struct cw_request *req)
{
	struct cw_limit_state state;

	if (gate->address.per_s == 0 || cw_limits_take(gate->auth->limits, 'a', req->remote, strlen(req->remote),
	                                               &gate->address, cw_clock_mono_us(), &state))
		return true;
	put_limit(req, "address", &gate->address, &state);
	return refuse(req, 429, "rate_limited", "too many requests from this address; wait", state.retry_s);
}

/* What settings say of this one route: by user, or by address where nobody is known. */
static bool take_route(struct cw_gate *gate, struct cw_request *req)
{
	struct cw_limit_state state;
	struct cw_rate rate;
	char name[256];

	if (gate->nroutes == 0 || req->route == NULL)
		return true;
	snprintf(name, sizeof(name), "%s %s", cw_method_name(req->route->method), req->route->pattern);
	for (int i = 0; i < gate->nroutes; i++) {
		if (gate->routes[i].rate == 0 || strcmp(gate->routes[i].route, name) != 0)
			continue;
		rate = (struct cw_rate){ gate->routes[i].rate,
			                     gate->routes[i].burst > 0 ? gate->routes[i].burst : gate->routes[i].rate };
		if (req->user_id != 0)
			snprintf(name, sizeof(name), "%d u%" PRId64, i, req->user_id);
		else
			snprintf(name, sizeof(name), "%d a%s", i, req->remote);
		if (cw_limits_take(gate->auth->limits, 'r', name, strlen(name), &rate, cw_clock_mono_us(), &state))
			return true;
		put_limit(req, "route", &rate, &state);
		return refuse(req, 429, "rate_limited", "too many requests for this route; wait", state.retry_s);
	}
	return true;
}

struct running {
	int64_t count;
};

struct place {
	struct cw_gate *gate;
	int64_t user_id;
};

static void leave(void *arg)
{
	struct place *place = arg;
	struct running *r;

	if (place->gate->running == NULL)
		return;
	r = cw_map_get(place->gate->running, &place->user_id, sizeof(place->user_id));
	if (r != NULL && --r->count == 0)
		cw_free(cw_map_take(place->gate->running, &place->user_id, sizeof(place->user_id)));
}

/* One of the user's places for requests under way; it is left when the request's memory goes. */
static bool take_place(struct cw_gate *gate, struct cw_request *req)
{
	struct running *r;
	struct place *place;

	if (gate->concurrency == 0 || req->user_id == 0 || is_ingest(req))
		return true;
	r = cw_map_get(gate->running, &req->user_id, sizeof(req->user_id));
	if (r != NULL && r->count >= gate->concurrency)
		return refuse(req, 429, "too_many_requests_at_once", "too many requests of this user are under way", 1);
	if (r == NULL) {
		r = cw_zalloc(sizeof(*r));
		cw_map_put(gate->running, &req->user_id, sizeof(req->user_id), r);
	}
	r->count++;
	place = cw_arena_alloc(req->arena, sizeof(*place));
	*place = (struct place){ gate, req->user_id };
	cw_arena_cleanup(req->arena, leave, place);
	return true;
}

/* --- who is it --- */

static const char *identify(struct cw_gate *gate, enum credential kind, struct cw_slice text, struct cw_identity *who)
{
	if (kind == TOKEN)
		return cw_auth_token(gate->auth, text.p, text.len, who);
	return cw_directory_key(gate->auth->directory, text.p, text.len, who) ? NULL : "this API key is not known";
}

static bool admit(struct cw_gate *gate, struct cw_request *req, const struct cw_identity *who)
{
	req->user_id = who->user_id;
	req->key_id = who->key_id;
	req->session_id = who->session_id;
	req->roles = who->roles;
	if ((who->roles & req->route->roles) == 0) {
		cw_denials_note(gate->denials, 403, req);
		return refuse(req, 403, "forbidden", "your roles do not include this route", 0);
	}
	return take_route(gate, req) && take_limits(gate, req) && take_place(gate, req);
}

/* A key or user that is not known may be new: the directory looks again, once. */
struct stranger {
	struct cw_gate *gate;
	struct cw_request *req;
	enum credential kind;
	struct cw_slice text;
};

static void on_looked(void *arg, const struct cw_err *err)
{
	struct stranger *s = arg;
	struct cw_identity who = { 0 };
	const char *wrong = identify(s->gate, s->kind, s->text, &who);

	/* What was known stays good; who is not known may be good, too, while nobody can look. */
	cw_request_on_abort(s->req, NULL, NULL);
	if (wrong != NULL && err != NULL && err->code != CW_ERR_NOT_FOUND)
		refuse(s->req, 503, "database", "the database is away, and this key or token is not known yet", 1);
	else if (wrong != NULL)
		refuse_stranger(s->gate, s->req, s->kind, wrong);
	else if (admit(s->gate, s->req, &who))
		cw_request_proceed(s->req);
}

static void on_gone(void *arg, struct cw_request *req)
{
	struct stranger *s = arg;
	struct cw_problem problem = { .status = 503, .code = "cancelled", .detail = "the request was given up" };

	cw_directory_forget(s->gate->auth->directory, s);
	cw_reply_problem(req, &problem);
}

static bool look_again(struct cw_gate *gate, struct cw_request *req, enum credential kind, struct cw_slice text)
{
	struct stranger *s = cw_arena_zalloc(req->arena, sizeof(*s));

	*s = (struct stranger){ gate, req, kind, text };
	if (!cw_directory_look_again(gate->auth->directory, on_looked, s))
		return false;
	cw_request_on_abort(req, on_gone, s);
	return true;
}

bool cw_gate_pass(void *arg, struct cw_request *req)
{
	struct cw_gate *gate = arg;
	struct cw_identity who = { 0 };
	enum credential kind;
	struct cw_slice text;
	const char *wrong;

	if (!take_address(gate, req))
		return false;
	if (req->route == NULL || req->route->roles == 0)
		return take_route(gate, req);
	if (!gate->required) {
		req->roles = cw_roles_expand(CW_ROLE_ADMIN);
		return true;
	}
	kind = find_credential(req, &text);
	if (kind == CONTRADICTION)
		return refuse_stranger(gate, req, kind,
		                       "one credential is needed: \"Authorization: Bearer\" with an API key or an "
		                       "access token, or X-API-Key; both must be the same key");
	if (kind == NOTHING)
		return refuse_stranger(gate, req, kind,
		                       "an API key or an access token is needed: Authorization: Bearer KEY, or "
		                       "X-API-Key: KEY");
	wrong = identify(gate, kind, text, &who);
	if (wrong == NULL)
		return admit(gate, req, &who);
	if (who.user_id == 0 &&
	    (kind == TOKEN ? strcmp(wrong, CW_AUTH_UNKNOWN) == 0 : cw_key_well_formed(text.p, text.len)) &&
	    look_again(gate, req, kind, text))
		return false;
	return refuse_stranger(gate, req, kind, wrong);
}

/* --- life --- */

void cw_gate_configure(struct cw_gate *gate, const struct cw_config *config)
{
	gate->required = config->auth;
	gate->key = (struct cw_rate){ config->key_rate, config->key_burst };
	gate->user = (struct cw_rate){ config->user_rate, config->user_burst };
	gate->address = (struct cw_rate){ config->address_rate, config->address_burst };
	gate->ingest = (struct cw_rate){ config->ingest_rate, config->ingest_burst };
	gate->failed = (struct cw_rate){ config->failed_rate, config->failed_burst };
	gate->concurrency = config->concurrency;
	gate->routes = config->routes;
	gate->nroutes = config->nroutes;
}

void cw_gate_open(struct cw_gate *gate, struct cw_loop *loop, struct cw_pool *pool, struct cw_auth *auth)
{
	gate->auth = auth;
	gate->running = cw_map_new();
	gate->denials = cw_denials_new(loop, pool);
}

void cw_gate_close(struct cw_gate *gate)
{
	void *value;
	size_t at = 0;

	cw_denials_free(&gate->denials);
	while (gate->running != NULL && (value = cw_map_next(gate->running, &at, NULL, NULL)) != NULL)
		cw_free(value);
	if (gate->running != NULL)
		cw_map_free(&gate->running);
}
