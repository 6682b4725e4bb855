/* config_deliver.h - the setting `deliver`: a list of receivers of alerts. Private to app/. */
#ifndef CW_APP_CONFIG_DELIVER_H
#define CW_APP_CONFIG_DELIVER_H

struct cw_arena;
struct cw_buf;
struct cw_err;
struct lua_State;

#define CW_TARGETS_MAX 64

struct cw_deliver_list {
	const char *json;                /* the targets with their secrets, for the delivery script; NULL: none */
	int n;
};

/* Reads the list on top of the stack; texts live in the arena. The message names target and key, not the file. */
int cw_config_read_deliver(struct cw_deliver_list *out, struct lua_State *L, struct cw_arena *arena, struct cw_err *err);
/* The commented example of the default file. */
void cw_config_write_deliver(struct cw_buf *out);

#endif
