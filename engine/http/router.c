#include "http/router.h"

#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/exchange.h"

#define PARAMS_MAX (sizeof(((struct cw_request *)0)->path_params) / sizeof(struct cw_param))
#define SEGMENTS_MAX 24   /* of a pattern; the walk is as deep */

/* A tree by path segments. Every node but the root stands for one segment: literal or, once among the children, a
 * parameter. Routes of one path hang on one node, each with its own parameter names. */
struct node {
	char *literal;          /* NULL: parameter */
	size_t len;
	struct node *children;  /* literals first */
	struct node *next;
	struct cw_routed *routes;
};

struct cw_router {
	int refs, count;
	struct node root;
	void (*on_free)(void *arg);
	void *on_free_arg;
};

struct cw_router *cw_router_new(void)
{
	struct cw_router *router = cw_zalloc(sizeof(*router));

	router->refs = 1;
	return router;
}

struct cw_router *cw_router_ref(struct cw_router *router)
{
	router->refs++;
	return router;
}

static void free_routes(struct cw_routed *r)
{
	while (r != NULL) {
		struct cw_routed *next = r->next;

		cw_free((char *)(uintptr_t)r->route.pattern);
		for (unsigned i = 0; i < r->nparams; i++)
			cw_free(r->params[i]);
		cw_free(r);
		r = next;
	}
}

/* Patterns are few and shallow: the depth is bounded by SEGMENTS_MAX. */
static void free_children(struct node *parent)
{
	struct node *n = parent->children;

	free_routes(parent->routes);
	while (n != NULL) {
		struct node *next = n->next;

		free_children(n);
		cw_free(n->literal);
		cw_free(n);
		n = next;
	}
}

void cw_router_unref(struct cw_router **router)
{
	struct cw_router *r = *router;

	*router = NULL;
	if (r == NULL || --r->refs > 0)
		return;
	free_children(&r->root);
	if (r->on_free != NULL)
		r->on_free(r->on_free_arg);
	cw_free(r);
}

void cw_router_on_free(struct cw_router *router, void (*fn)(void *arg), void *arg)
{
	router->on_free = fn;
	router->on_free_arg = arg;
}

int cw_router_count(const struct cw_router *router)
{
	return router->count;
}

/* ---- adding ---- */

static bool is_name(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || p[i] == '_' || (i > 0 && p[i] >= '0' && p[i] <= '9')))
			return false;
	return len > 0;
}

static bool is_literal(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f || strchr("{}%?#\"<>\\", p[i]) != NULL)
			return false;
	return true;
}

/* The next segment of a path; `from` moves behind its slash, to NULL after the last one. */
static struct cw_slice next_segment(const char **from, const char *end)
{
	const char *slash = memchr(*from, '/', (size_t)(end - *from));
	struct cw_slice s = { *from, (size_t)((slash != NULL ? slash : end) - *from) };

	*from = slash != NULL ? slash + 1 : NULL;
	return s;
}

static int read_param(struct cw_routed *r, struct cw_slice s, struct cw_err *err)
{
	struct cw_slice name = { s.p + 1, s.len - 2 };

	if (s.p[s.len - 1] != '}' || !is_name(name.p, name.len))
		return cw_err_set(err, CW_ERR_INVALID, "route \"%s\": \"%.*s\" is not a parameter like {name}", r->route.pattern,
		                  (int)s.len, s.p);
	if (r->nparams == PARAMS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "route \"%s\" has more than %d parameters", r->route.pattern,
		                  (int)PARAMS_MAX);
	for (unsigned i = 0; i < r->nparams; i++)
		if (strlen(r->params[i]) == name.len && memcmp(r->params[i], name.p, name.len) == 0)
			return cw_err_set(err, CW_ERR_INVALID, "route \"%s\" has two parameters \"%s\"", r->route.pattern,
			                  r->params[i]);
	r->params[r->nparams] = cw_zalloc(name.len + 1);
	memcpy(r->params[r->nparams++], name.p, name.len);
	return 0;
}

/* Checks the pattern and takes its parameter names. */
static int read_pattern(struct cw_routed *r, struct cw_err *err)
{
	const char *pattern = r->route.pattern, *end = pattern + strlen(pattern), *from = pattern + 1;
	unsigned nsegments = 0;

	if (pattern[0] != '/')
		return cw_err_set(err, CW_ERR_INVALID, "route \"%s\" does not begin with a slash", pattern);
	while (from != NULL) {
		struct cw_slice s = next_segment(&from, end);

		if (++nsegments > SEGMENTS_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "route \"%s\" has more than %d segments", pattern, SEGMENTS_MAX);
		if (s.len == 0 && from != NULL)
			return cw_err_set(err, CW_ERR_INVALID, "route \"%s\" has an empty segment", pattern);
		if (s.len > 0 && s.p[0] == '{') {
			if (read_param(r, s, err) != 0)
				return -1;
		} else if (!is_literal(s.p, s.len)) {
			return cw_err_set(err, CW_ERR_INVALID, "route \"%s\": \"%.*s\" cannot be matched", pattern, (int)s.len, s.p);
		}
	}
	return 0;
}

static struct node *child_of(struct node *parent, struct cw_slice s)
{
	bool param = s.len > 0 && s.p[0] == '{';
	struct node **at = &parent->children, *n;

	for (; (n = *at) != NULL; at = &n->next) {
		if (n->literal == NULL) {
			if (param)
				return n;
			break;   /* literals go before the parameter */
		}
		if (!param && n->len == s.len && memcmp(n->literal, s.p, s.len) == 0)
			return n;
	}
	n = cw_zalloc(sizeof(*n));
	if (!param) {
		n->literal = cw_zalloc(s.len + 1);
		memcpy(n->literal, s.p, s.len);
		n->len = s.len;
	}
	n->next = *at;
	*at = n;
	return n;
}

int cw_router_add(struct cw_router *router, const struct cw_route *route, struct cw_err *err)
{
	const char *end = route->pattern + strlen(route->pattern), *from;
	struct cw_routed *r = cw_zalloc(sizeof(*r));
	struct node *n = &router->root;

	cw_assert(route->fn != NULL && __builtin_popcount(route->method) == 1);
	r->route = *route;
	r->route.pattern = cw_strdup(route->pattern);
	if (read_pattern(r, err) != 0) {
		free_routes(r);
		return -1;
	}
	for (from = route->pattern + 1; from != NULL;)
		n = child_of(n, next_segment(&from, end));
	for (struct cw_routed *old = n->routes; old != NULL; old = old->next)
		if (old->route.method == route->method) {
			cw_err_set(err, CW_ERR_CONFLICT, "route %s \"%s\" is there already as \"%s\"",
			           cw_method_name(route->method), route->pattern, old->route.pattern);
			free_routes(r);
			return -1;
		}
	r->next = n->routes;
	n->routes = r;
	router->count++;
	return 0;
}

/* ---- matching ---- */

struct walk {
	struct cw_request *req;
	const char *end;
	unsigned methods;        /* of all routes with this path */
	enum cw_method method;
	unsigned nvalues;
	struct cw_slice values[PARAMS_MAX];
};

/* Escapes in a literal segment count as what they stand for (RFC 3986 6.2.2.2); an escaped slash does not separate. */
static bool segment_is(const struct node *n, struct cw_slice s)
{
	char decoded[256];

	if (n->len == s.len)
		return memcmp(n->literal, s.p, s.len) == 0;
	if (s.len < n->len || s.len >= sizeof(decoded) || memchr(s.p, '%', s.len) == NULL)
		return false;
	return cw_uri_decode(decoded, s) == n->len && memcmp(n->literal, decoded, n->len) == 0;
}

static const struct cw_routed *leaf(const struct node *n, struct walk *w)
{
	const struct cw_routed *head = NULL;

	for (const struct cw_routed *r = n->routes; r != NULL; r = r->next) {
		w->methods |= r->route.method;
		if (r->route.method == w->method)
			return r;
		if (r->route.method == CW_METHOD_GET && w->method == CW_METHOD_HEAD)
			head = r;
	}
	return head;
}

/* Literals come first among children, so the most literal path that has the method is found first; a literal path
 * without the method does not hide a parameter's that has it. */
static const struct cw_routed *descend(const struct node *parent, const char *from, struct walk *w)
{
	struct cw_slice s = next_segment(&from, w->end);

	for (const struct node *n = parent->children; n != NULL; n = n->next) {
		const struct cw_routed *found;

		if (n->literal != NULL) {
			if (!segment_is(n, s))
				continue;
			found = from == NULL ? leaf(n, w) : descend(n, from, w);
		} else {
			if (s.len == 0)
				continue;
			w->values[w->nvalues++] = s;
			found = from == NULL ? leaf(n, w) : descend(n, from, w);
			if (found == NULL)
				w->nvalues--;
		}
		if (found != NULL)
			return found;
	}
	return NULL;
}

static const char *decode(struct cw_arena *arena, struct cw_slice s, size_t *len)
{
	char *text;

	if (memchr(s.p, '%', s.len) == NULL) {
		*len = s.len;
		return cw_arena_strndup(arena, s.p, s.len);
	}
	text = cw_arena_alloc(arena, s.len + 1);
	*len = cw_uri_decode(text, s);
	text[*len] = '\0';
	return text;
}

const struct cw_route *cw_router_match(const struct cw_router *router, struct cw_request *req, unsigned *allowed)
{
	struct cw_slice path = req->head->path;
	struct walk w = { .req = req, .end = path.p + path.len, .method = req->head->method };
	const struct cw_routed *found = NULL;
	size_t len;

	req->path = decode(req->arena, path, &len);
	req->npath_params = 0;
	if (path.len > 0 && path.p[0] == '/')
		found = descend(&router->root, path.p + 1, &w);
	*allowed = found != NULL ? 0 : w.methods;
	req->route = found != NULL ? &found->route : NULL;
	if (found == NULL)
		return NULL;
	for (unsigned i = 0; i < w.nvalues; i++) {
		struct cw_param *p = &req->path_params[i];

		p->name = found->params[i];
		p->value = decode(req->arena, w.values[i], &p->len);
	}
	req->npath_params = w.nvalues;
	return &found->route;
}
