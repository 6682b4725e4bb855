/* config_source.h - the setting `source`: a list of what transactions are read from. Private to app/. */
#ifndef CW_APP_CONFIG_SOURCE_H
#define CW_APP_CONFIG_SOURCE_H

#include "source/bus.h"
#include "source/follow.h"

struct cw_arena;
struct cw_buf;
struct cw_err;
struct lua_State;

#define CW_SOURCES_MAX 64

enum cw_source_kind { CW_SOURCE_CHAIN = 0, CW_SOURCE_KAFKA };

struct cw_source_conf {
	enum cw_source_kind kind;
	const char *name;
	const char *text;                /* all of it, secrets included: two that are the same have the same */
	struct cw_follow_conf follow;    /* CW_SOURCE_CHAIN */
	struct cw_bus_conf bus;          /* CW_SOURCE_KAFKA */
};

struct cw_source_list {
	struct cw_source_conf *list;
	int n;
};

/* Reads the list on top of the stack; texts live in the arena. The message names source and key, not the file. */
int cw_config_read_sources(struct cw_source_list *out, struct lua_State *L, struct cw_arena *arena, struct cw_err *err);
/* The commented example of the default file. */
void cw_config_write_source(struct cw_buf *out);

#endif
