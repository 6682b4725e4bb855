/* bind_labels.c - table `labels`: lists of labelled addresses read in scripts.
 *
 *   labels.read(text, { file=, format=, category=, source=, confidence=, chain_id=, skip_bad= })
 *       -> function(i) that gives the i-th part of the rows as JSON text for db.labels:stage, and nil after the last;
 *          report as JSON text | nil, what is wrong and where (an error
 *          where it has nothing to do with the text)
 *
 * Waits: 64 MiB are seconds of work, which a worker thread does on a copy of the text. A job that ends meanwhile leaves the
 * reading to itself. */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/work.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "source/labels.h"

#define TEXT_MAX ((size_t)64 << 20)
#define PART_BYTES ((size_t)256 << 10)   /* libpq moves what it could not send yet with each write: not for long */

static const char *text_of(lua_State *L, const char *key, const char *otherwise)
{
	const char *text;

	lua_getfield(L, 2, key);
	text = lua_isnil(L, -1) ? otherwise : luaL_checkstring(L, -1);
	lua_pop(L, 1);               /* the table keeps it */
	return text;
}

static double number_of(lua_State *L, const char *key, double otherwise)
{
	double number;

	lua_getfield(L, 2, key);
	number = lua_isnil(L, -1) ? otherwise : luaL_checknumber(L, -1);
	lua_pop(L, 1);
	return number;
}

struct reading {
	struct cw_job *job;          /* NULL: it has ended */
	uint64_t ticket;
	bool ran;
	struct cw_arena *arena;      /* of all but the rows and the report */
	const char *text;
	size_t len;
	struct cw_labels_conf conf;
	struct cw_labels labels;
	struct cw_err err;
	struct cw_buf rows, report;
	struct cw_buf ends;          /* size_t: of each part of the rows */
	bool given;                  /* to Lua, which frees it */
};

static void reading_free(struct reading *r)
{
	cw_arena_free(&r->arena);
	cw_buf_release(&r->rows);
	cw_buf_release(&r->ends);
	cw_buf_release(&r->report);
	cw_free(r);
}

/* The job's memory goes. */
static void let_go(void *arg)
{
	struct reading *r = arg;

	r->job = NULL;
	if (r->ran && !r->given)
		reading_free(r);
}

static void read_text(void *arg)
{
	struct reading *r = arg;

	if (cw_labels_read(&r->labels, r->text, r->len, &r->conf, r->arena, &r->err) == 0) {
		for (size_t at = 0; at < r->labels.n; cw_buf_add(&r->ends, &r->rows.len, sizeof(r->rows.len)))
			at = cw_labels_put_rows(&r->labels, at, PART_BYTES, &r->rows);
		cw_buf_putc(&r->report, '{');
		cw_labels_put_report(&r->labels, &r->report);
		cw_buf_putc(&r->report, '}');
	}
	cw_arena_free(&r->arena);    /* millions of pieces: here */
}

static void on_read(void *arg, bool ran)
{
	struct reading *r = arg;

	r->ran = true;
	if (!ran)
		cw_err_set(&r->err, CW_ERR_BUSY, "the engine is stopping");
	if (r->job == NULL)
		reading_free(r);
	else
		cw_job_resume(r->job, r->ticket);
}

static struct reading *new_reading(const char *text, size_t len, const struct cw_labels_conf *conf)
{
	struct reading *r = cw_zalloc(sizeof(*r));

	r->arena = cw_arena_new();
	r->text = cw_arena_strndup(r->arena, text, len);
	r->len = len;
	r->conf = *conf;
	r->conf.file = cw_arena_strndup(r->arena, conf->file, strlen(conf->file));
	if (conf->category != NULL)
		r->conf.category = cw_arena_strndup(r->arena, conf->category, strlen(conf->category));
	if (conf->source != NULL)
		r->conf.source = cw_arena_strndup(r->arena, conf->source, strlen(conf->source));
	cw_buf_init(&r->rows);
	cw_buf_init(&r->ends);
	cw_buf_init(&r->report);
	return r;
}

static int l_read(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_labels_conf conf = { .chain_id = -1 };
	struct cw_err busy;
	struct reading *r;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	luaL_checktype(L, 2, LUA_TTABLE);
	conf.file = text_of(L, "file", "the body");
	if (!cw_labels_format_parse(text_of(L, "format", "auto"), &conf.format))
		return luaL_error(L, "labels.read: format is auto, csv, tagpack, ofac or plain");
	conf.category = text_of(L, "category", NULL);
	conf.source = text_of(L, "source", NULL);
	conf.confidence = number_of(L, "confidence", NAN);
	conf.chain_id = (int64_t)number_of(L, "chain_id", -1);
	lua_getfield(L, 2, "skip_bad");
	conf.skip_bad = lua_toboolean(L, -1) != 0;
	lua_pop(L, 1);
	if (len > TEXT_MAX)
		return luaL_error(L, "labels.read takes at most 64 MiB");
	r = new_reading(text, len, &conf);
	r->ticket = cw_job_ticket(job);
	if (cw_work_submit(cw_bind_generation(L)->env->work, read_text, on_read, r) != 0) {
		reading_free(r);
		cw_err_set(&busy, CW_ERR_BUSY, "too much work is waiting");
		lua_pushboolean(L, 1);   /* without a wait */
		lua_pushnil(L);
		cw_bind_push_error(L, &busy, NULL);
		return 3;
	}
	r->job = job;
	cw_arena_cleanup(cw_job_arena(job), let_go, r);
	return cw_job_wait(job, NULL, r);
}

static int l_gc(lua_State *L)
{
	reading_free(*(struct reading **)lua_touserdata(L, 1));
	return 0;
}

static int l_part(lua_State *L)
{
	const struct reading *r = *(struct reading **)lua_touserdata(L, lua_upvalueindex(1));
	lua_Integer i = luaL_checkinteger(L, 1);
	size_t ends[2] = { 0, 0 };

	if (i < 1 || (size_t)i > r->ends.len / sizeof(*ends))
		return 0;
	if (i > 1)
		memcpy(&ends[0], r->ends.data + (size_t)(i - 2) * sizeof(*ends), sizeof(*ends));
	memcpy(&ends[1], r->ends.data + (size_t)(i - 1) * sizeof(*ends), sizeof(*ends));
	lua_pushlstring(L, r->rows.data + ends[0], ends[1] - ends[0]);
	return 1;
}

static int l_collect(lua_State *L)
{
	struct reading *r = cw_job_answer(L);

	if (r->err.code != CW_OK) {
		lua_pushnil(L);
		if (r->err.code == CW_ERR_INVALID)
			lua_pushstring(L, r->err.msg);
		else
			cw_bind_push_error(L, &r->err, NULL);
		return 2;
	}
	r->given = true;
	*(struct reading **)lua_newuserdata(L, sizeof(r)) = r;
	lua_newtable(L);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_pushcclosure(L, l_part, 1);
	lua_pushlstring(L, r->report.data, r->report.len);
	return 2;
}

void cw_bind_labels(lua_State *L)
{
	static const luaL_Reg functions[] = { { "read", l_read }, { "collect", l_collect }, { NULL, NULL } };

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
