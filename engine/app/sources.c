#include "app/sources.h"

#include <string.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/client.h"
#include "source/follow.h"

struct one {
	char *text;                      /* the settings it was made from */
	struct cw_follow *follow;
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
	cw_log(CW_LOG_INFO, "source", "stopped", "source=%s", cw_follow_name(s->list[i].follow));
	cw_follow_free(&s->list[i].follow);
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
		struct cw_follow *follow;

		if (running(s, conf->text))
			continue;
		follow = cw_follow_new(s->engine->loop, s->http, s->engine->pool, s->engine->pipeline, &conf->follow, err);
		if (follow == NULL)
			return -1;
		s->list[s->n++] = (struct one){ .text = cw_strdup(conf->text), .follow = follow };
		cw_log(CW_LOG_INFO, "source", "started", "source=%s chain_id=%llu endpoints=%d", conf->name,
		       (unsigned long long)conf->follow.chain_id, conf->follow.nendpoints);
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
		cw_follow_status(s->list[i].follow, out);
	}
	cw_buf_puts(out, "]}");
}
