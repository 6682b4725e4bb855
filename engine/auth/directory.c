#include "auth/directory.h"

#include <sodium.h>
#include <string.h>

#include "auth/keys.h"
#include "auth/role.h"
#include "auth/token.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/identity.h"

#define POLL_MS       1000 /* a revoked key works this long at most */
#define AGAIN_MS      100  /* between two readings for strangers */
#define STRANGERS_MAX 256
#define WHOLE_S       300 /* everything is read this often even if nothing seems to have changed */
#define TOUCH_S       15  /* last_used is written this often */
#define TOUCH_MAX     1000
#define PURGE_S       3600 /* sessions that have long expired are deleted */

struct key_entry {
	int64_t user_id, key_id, expires_us; /* 0: never */
	uint32_t roles;
	int64_t used_us; /* 0: not since it was written */
};

struct user_entry {
	uint32_t roles;
	int64_t epoch;
};

struct waiter {
	struct cw_list link;
	cw_directory_fn *fn;
	void *arg;
};

struct cw_directory {
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_timer *timer;
	struct cw_map *keys;                     /* SHA-256 -> struct key_entry */
	struct cw_map *users;                    /* id -> struct user_entry */
	struct cw_map *ended;                    /* session id -> its number, any pointer */
	struct cw_map *revoked;                  /* id of a token -> any pointer */
	struct cw_map *fresh_keys, *fresh_users, *fresh_ended; /* being read */
	struct cw_list waiting, serving;         /* for the next reading, for this one */
	int nwaiting;
	uint64_t query, touch_query, purge_query;
	int64_t version, fresh_version; /* 0: nothing read yet */
	int64_t begun_us, whole_us, touched_us, purged_us;
	struct {
		int64_t id, us;
	} touched[TOUCH_MAX];
	int ntouched;
	bool failing;
};

static void drop(struct cw_map **map)
{
	void *value;
	size_t at = 0;

	if (*map == NULL)
		return;
	while ((value = cw_map_next(*map, &at, NULL, NULL)) != NULL)
		cw_free(value);
	cw_map_free(map);
}

/* One without things in it. */
static void drop_set(struct cw_map **set)
{
	if (*set != NULL)
		cw_map_free(set);
}

/* --- when keys were used --- */

static void note_touched(struct cw_directory *d)
{
	struct key_entry *e;
	size_t at = 0;

	while (d->ntouched < TOUCH_MAX && (e = cw_map_next(d->keys, &at, NULL, NULL)) != NULL) {
		if (e->used_us == 0)
			continue;
		d->touched[d->ntouched].id = e->key_id;
		d->touched[d->ntouched++].us = e->used_us;
		e->used_us = 0;
	}
}

static void on_touched(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	(void)res;
	(void)err; /* the next use is written again */
	d->touch_query = 0;
}

static void write_touched(struct cw_directory *d, int64_t now_us)
{
	struct cw_arena *arena;
	struct cw_array *ids, *times;

	if (d->touch_query != 0 || now_us - d->touched_us < INT64_C(1000000) * TOUCH_S)
		return;
	d->touched_us = now_us;
	note_touched(d);
	if (d->ntouched == 0)
		return;
	arena = cw_arena_new();
	ids = cw_array_begin(arena, CW_ELEM_I64, (size_t)d->ntouched);
	times = cw_array_begin(arena, CW_ELEM_TIME, (size_t)d->ntouched);
	for (int i = 0; i < d->ntouched; i++) {
		cw_array_i64(ids, d->touched[i].id);
		cw_array_time(times, d->touched[i].us);
	}
	d->ntouched = 0;
	d->touch_query = cw_identity_touch(d->pool, ids, times, arena, on_touched, d);
	cw_arena_free(&arena);
}

static void on_purged(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	(void)res;
	(void)err; /* comes again in an hour */
	d->purge_query = 0;
}

static void purge(struct cw_directory *d, int64_t now_us)
{
	if (d->purge_query != 0 || now_us - d->purged_us < INT64_C(1000000) * PURGE_S)
		return;
	d->purged_us = now_us;
	d->purge_query = cw_identity_purge(d->pool, on_purged, d);
}

/* --- reading --- */

static void answer(struct cw_directory *d, const struct cw_err *err)
{
	struct cw_list *link;

	while ((link = cw_list_take(&d->serving)) != NULL) {
		struct waiter *w = cw_list_entry(link, struct waiter, link);

		w->fn(w->arg, err);
		cw_free(w);
	}
}

static void rest(struct cw_directory *d)
{
	cw_timer_set(d->timer, cw_list_empty(&d->waiting) ? POLL_MS : 0);
}

static void read_failed(struct cw_directory *d, const struct cw_err *err)
{
	if (!d->failing)
		cw_log_err(CW_LOG_WARN, "auth", "could not read users and API keys, the known ones stay good", err);
	d->failing = true;
	drop(&d->fresh_keys);
	drop(&d->fresh_users);
	drop_set(&d->fresh_ended);
	answer(d, err);
	rest(d);
}

static void read_done(struct cw_directory *d)
{
	if (d->failing)
		cw_log(CW_LOG_INFO, "auth", "users and API keys are read again", NULL);
	d->failing = false;
	answer(d, NULL);
	write_touched(d, cw_clock_wall_us());
	purge(d, cw_clock_wall_us());
	rest(d);
}

/* Scopes narrow what the user may do; a key without scopes may do all of it. */
static uint32_t roles_of_key(const struct cw_result *res, int row)
{
	uint32_t roles, scopes;

	if (!cw_roles_parse_list(cw_result_text(res, row, CW_KEY_ROLES, NULL), &roles))
		return 0;
	roles = cw_roles_expand(roles);
	if (!cw_roles_parse_list(cw_result_text(res, row, CW_KEY_SCOPES, NULL), &scopes))
		return 0;
	return scopes != 0 ? roles & cw_roles_expand(scopes) : roles;
}

static struct cw_map *keys_of(const struct cw_result *res)
{
	struct cw_map *keys = cw_map_new();

	for (int row = 0; row < cw_result_rows(res); row++) {
		struct key_entry *e = cw_zalloc(sizeof(*e));
		const uint8_t *hash;
		size_t len;

		e->key_id = cw_result_i64(res, row, CW_KEY_ID);
		e->user_id = cw_result_i64(res, row, CW_KEY_USER);
		e->roles = roles_of_key(res, row);
		if (!cw_result_is_null(res, row, CW_KEY_EXPIRES))
			e->expires_us = cw_result_time(res, row, CW_KEY_EXPIRES);
		hash = cw_result_bytea(res, row, CW_KEY_HASH, &len);
		cw_free(cw_map_put(keys, hash, len, e));
	}
	return keys;
}

static struct cw_map *users_of(const struct cw_result *res)
{
	struct cw_map *users = cw_map_new();

	for (int row = 0; row < cw_result_rows(res); row++) {
		struct user_entry *e = cw_zalloc(sizeof(*e));
		int64_t id = cw_result_i64(res, row, CW_USER_ID);
		uint32_t roles;

		if (cw_roles_parse_list(cw_result_text(res, row, CW_USER_ROLES, NULL), &roles))
			e->roles = cw_roles_expand(roles);
		e->epoch = cw_result_i64(res, row, CW_USER_EPOCH);
		cw_free(cw_map_put(users, &id, sizeof(id), e));
	}
	return users;
}

/* The last of what is read: from here on everything is as it was read, together. */
static void on_revoked(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	d->query = 0;
	if (err != NULL) {
		read_failed(d, err);
		return;
	}
	note_touched(d);
	drop(&d->keys);
	drop(&d->users);
	cw_map_free(&d->ended);
	cw_map_free(&d->revoked);
	d->keys = d->fresh_keys;
	d->users = d->fresh_users;
	d->ended = d->fresh_ended;
	d->fresh_keys = d->fresh_users = d->fresh_ended = NULL;
	d->revoked = cw_map_new();
	for (int row = 0; row < cw_result_rows(res); row++) {
		size_t len;
		const char *id = cw_result_text(res, row, 0, &len);

		cw_map_put(d->revoked, id, len, d);
	}
	d->version = d->fresh_version;
	d->whole_us = cw_clock_mono_us();
	read_done(d);
}

static void on_ended(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	d->query = 0;
	if (err != NULL) {
		read_failed(d, err);
		return;
	}
	d->fresh_ended = cw_map_new();
	for (int row = 0; row < cw_result_rows(res); row++) {
		int64_t id = cw_result_i64(res, row, 0);

		cw_map_put(d->fresh_ended, &id, sizeof(id), d);
	}
	d->query = cw_identity_revoked_tokens(d->pool, on_revoked, d);
}

static void on_users(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	d->query = 0;
	if (err != NULL) {
		read_failed(d, err);
		return;
	}
	d->fresh_users = users_of(res);
	d->query = cw_identity_ended_sessions(d->pool, on_ended, d);
}

static void on_keys(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	d->query = 0;
	if (err != NULL) {
		read_failed(d, err);
		return;
	}
	d->fresh_keys = keys_of(res);
	d->query = cw_identity_users(d->pool, on_users, d);
}

static void on_version(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_directory *d = arg;

	d->query = 0;
	if (err != NULL) {
		read_failed(d, err);
		return;
	}
	d->fresh_version = cw_result_rows(res) > 0 ? cw_result_i64(res, 0, 0) : 0;
	if (d->version != 0 && d->fresh_version == d->version &&
	    cw_clock_mono_us() - d->whole_us < INT64_C(1000000) * WHOLE_S) {
		read_done(d);
		return;
	}
	d->query = cw_identity_keys(d->pool, on_keys, d);
}

static void begin(void *arg)
{
	struct cw_directory *d = arg;
	struct cw_list *link;

	if (d->query != 0)
		return; /* its end looks at who waits */
	while ((link = cw_list_take(&d->waiting)) != NULL)
		cw_list_append(&d->serving, link);
	d->nwaiting = 0;
	d->begun_us = cw_clock_mono_us();
	d->query = cw_identity_version(d->pool, on_version, d);
}

/* --- public --- */

struct cw_directory *cw_directory_new(struct cw_loop *loop, struct cw_pool *pool)
{
	struct cw_directory *d = cw_zalloc(sizeof(*d));

	d->loop = loop;
	d->pool = pool;
	d->timer = cw_timer_new(loop, begin, d);
	d->keys = cw_map_new();
	d->users = cw_map_new();
	d->ended = cw_map_new();
	d->revoked = cw_map_new();
	d->purged_us = cw_clock_wall_us();
	cw_list_init(&d->waiting);
	cw_list_init(&d->serving);
	return d;
}

/* Returns how many. */
static int drop_waiters(struct cw_list *list, const void *arg, bool all)
{
	struct cw_list *at, *next;
	int n = 0;

	cw_list_each(at, next, list)
	{
		struct waiter *w = cw_list_entry(at, struct waiter, link);

		if (!all && w->arg != arg)
			continue;
		cw_list_remove(&w->link);
		cw_free(w);
		n++;
	}
	return n;
}

void cw_directory_free(struct cw_directory **directory)
{
	struct cw_directory *d = *directory;

	*directory = NULL;
	if (d == NULL)
		return;
	if (d->query != 0)
		cw_pool_cancel(d->pool, d->query);
	if (d->touch_query != 0)
		cw_pool_cancel(d->pool, d->touch_query);
	if (d->purge_query != 0)
		cw_pool_cancel(d->pool, d->purge_query);
	drop_waiters(&d->waiting, NULL, true);
	drop_waiters(&d->serving, NULL, true);
	cw_timer_free(&d->timer);
	drop(&d->keys);
	drop(&d->users);
	drop(&d->fresh_keys);
	drop(&d->fresh_users);
	drop_set(&d->fresh_ended);
	cw_map_free(&d->ended);
	cw_map_free(&d->revoked);
	cw_free(d);
}

static void wait_for_reading(struct cw_directory *d, cw_directory_fn *fn, void *arg)
{
	struct waiter *w = cw_zalloc(sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	cw_list_append(&d->waiting, &w->link);
	d->nwaiting++;
}

void cw_directory_start(struct cw_directory *directory, cw_directory_fn *done, void *arg)
{
	wait_for_reading(directory, done, arg);
	begin(directory);
}

void cw_directory_refresh(struct cw_directory *directory, cw_directory_fn *fn, void *arg)
{
	wait_for_reading(directory, fn, arg);
	if (directory->query == 0)
		cw_timer_set(directory->timer, 0);
}

bool cw_directory_look_again(struct cw_directory *directory, cw_directory_fn *fn, void *arg)
{
	int64_t since_ms = (cw_clock_mono_us() - directory->begun_us) / 1000;

	if (directory->nwaiting >= STRANGERS_MAX)
		return false;
	wait_for_reading(directory, fn, arg);
	if (directory->query == 0 && directory->nwaiting == 1)
		cw_timer_set(directory->timer, since_ms < AGAIN_MS ? AGAIN_MS - since_ms : 0);
	return true;
}

void cw_directory_forget(struct cw_directory *directory, const void *arg)
{
	directory->nwaiting -= drop_waiters(&directory->waiting, arg, false);
	drop_waiters(&directory->serving, arg, false);
}

bool cw_directory_key(struct cw_directory *directory, const char *token, size_t len, struct cw_identity *out)
{
	unsigned char hash[32];
	struct key_entry *e;
	int64_t now_us;

	if (!cw_key_well_formed(token, len))
		return false;
	crypto_hash_sha256(hash, (const unsigned char *)token, len);
	e = cw_map_get(directory->keys, hash, sizeof(hash));
	now_us = cw_clock_wall_us();
	if (e == NULL || (e->expires_us != 0 && e->expires_us <= now_us))
		return false;
	e->used_us = now_us;
	*out = (struct cw_identity){ .user_id = e->user_id, .key_id = e->key_id, .roles = e->roles };
	return true;
}

bool cw_directory_session(const struct cw_directory *directory, const struct cw_claims *claims, struct cw_identity *out)
{
	const struct user_entry *user = cw_map_get(directory->users, &claims->user_id, sizeof(claims->user_id));

	if (user == NULL || user->epoch != claims->epoch ||
	    cw_map_get(directory->ended, &claims->session_id, sizeof(claims->session_id)) != NULL ||
	    cw_map_get(directory->revoked, claims->id, strlen(claims->id)) != NULL)
		return false;
	*out = (struct cw_identity){
		.user_id = claims->user_id, .session_id = claims->session_id, .roles = user->roles
	};
	return true;
}
