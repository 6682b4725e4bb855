#include "app/sources.h"

#include <string.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/client.h"
#include "source/bus.h"
#include "source/follow.h"

struct one {
	char *text;                      /* the settings it was made from */
	struct cw_follow *follow;        /* or: */
	struct cw_bus *bus;
};

struct cw_sources {
	struct cw_engine *engine;
	struct cw_httpc *http;
	struct one list[CW_SOURCES_MAX];
	int n;
};

struct cw_sources *cw_sources_new(struct cw_engine *engine)
{
	struct cw_sources *s = cw_zalloc(sizeof(*s));

	s->engine = engine;
	s->http = cw_httpc_new(engine->loop, NULL);
	return s;
}

static void stop(struct cw_sources *s, int i)
{
	struct one *one = &s->list[i];

	cw_log(CW_LOG_INFO, "source", "stopped", "source=%s", one->bus != NULL ? cw_bus_name(one->bus)
	       : cw_follow_name(one->follow));
	cw_follow_free(&one->follow);
	cw_bus_free(&one->bus);
	cw_free(s->list[i].text);
	s->list[i] = s->list[--s->n];
}

static bool wanted(const struct cw_config *config, const char *text)
{
	for (int i = 0; i < config->sources.n; i++)
		if (strcmp(config->sources.list[i].text, text) == 0)
			return true;
	return false;
}

static bool running(const struct cw_sources *s, const char *text)
{
	for (int i = 0; i < s->n; i++)
		if (strcmp(s->list[i].text, text) == 0)
			return true;
	return false;
}

int cw_sources_apply(struct cw_sources *s, const struct cw_config *config, struct cw_err *err)
{
	for (int i = s->n; i-- > 0;)
		if (!wanted(config, s->list[i].text))
			stop(s, i);
	for (int i = 0; i < config->sources.n; i++) {
		const struct cw_source_conf *conf = &config->sources.list[i];
		struct one one = { .follow = NULL };

		if (running(s, conf->text))
			continue;
		if (conf->kind == CW_SOURCE_KAFKA)
			one.bus = cw_bus_new(s->engine->loop, s->engine->pipeline, &conf->bus, err);
		else
			one.follow = cw_follow_new(s->engine->loop, s->http, s->engine->pool, s->engine->pipeline, &conf->follow, err);
		if (one.bus == NULL && one.follow == NULL)
			return -1;
		one.text = cw_strdup(conf->text);
		s->list[s->n++] = one;
		cw_log(CW_LOG_INFO, "source", "started", "source=%s kind=%s", conf->name,
		       conf->kind == CW_SOURCE_KAFKA ? "kafka" : "chain");
	}
	return 0;
}

void cw_sources_free(struct cw_sources **sources)
{
	struct cw_sources *s = *sources;

	*sources = NULL;
	if (s == NULL)
		return;
	while (s->n > 0)
		stop(s, s->n - 1);
	cw_httpc_free(&s->http);
	cw_free(s);
}

void cw_sources_status(const struct cw_sources *s, struct cw_buf *out)
{
	cw_buf_puts(out, "{\"sources\":[");
	for (int i = 0; s != NULL && i < s->n; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		if (s->list[i].bus != NULL)
			cw_bus_status(s->list[i].bus, out);
		else
			cw_follow_status(s->list[i].follow, out);
	}
	cw_buf_puts(out, "]}");
}
