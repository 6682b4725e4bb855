/* identity.h - brings the parts of auth/ up with the engine, gives them new settings, takes them down. */
#ifndef CW_APP_IDENTITY_H
#define CW_APP_IDENTITY_H

#include <stddef.h>

struct cw_auth;
struct cw_config;
struct cw_engine;
struct cw_err;

/* All but the directory's first reading. Makes the file of token keys at the first start. */
int cw_identity_start(struct cw_engine *e, struct cw_err *err);
/* New settings, and the token keys read again: all, or with an error nothing. */
int cw_identity_apply(struct cw_engine *e, const struct cw_config *config, struct cw_err *err);
void cw_identity_stop(struct cw_engine *e);

/* Where a file of secrets is: `setting` if it is set, else `name` in $CREDENTIALS_DIRECTORY if it is there, else in the
 * data directory. */
void cw_identity_path(const char *data_dir, const char *setting, const char *name, char *path, size_t size);

#endif
