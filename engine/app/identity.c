#include "app/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/audit_export.h"
#include "app/config.h"
#include "app/parts.h"
#include "auth/audit.h"
#include "auth/auth.h"
#include "base/err.h"
#include "base/log.h"

#define KEYS_KEPT 2 /* the key that signs, and the one before it */

void cw_identity_path(const char *data_dir, const char *setting, const char *name, char *path, size_t size)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");

	if (setting[0] != '\0') {
		snprintf(path, size, "%s", setting);
		return;
	}
	if (credentials != NULL && credentials[0] != '\0') {
		snprintf(path, size, "%s/%s", credentials, name);
		if (access(path, R_OK) == 0)
			return;
	}
	snprintf(path, size, "%s/%s", data_dir, name);
}

static void read_conf(const struct cw_config *c, struct cw_auth_conf *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->issuer, sizeof(out->issuer), "%s", c->issuer);
	snprintf(out->audience, sizeof(out->audience), "%s", c->audience);
	snprintf(out->registration, sizeof(out->registration), "%s", c->registration);
	out->access_s = c->access_s;
	out->session_s = c->session_s;
	out->leeway_s = c->leeway_s;
	out->password.memory_kib = c->argon2_memory_kib;
	out->password.passes = c->argon2_passes;
	out->password.queue = c->password_queue;
	out->password.min_length = c->password_min;
	out->attempts.free = c->lockout_after;
	out->attempts.max_wait_s = c->lockout_max_s;
	out->attempts.forget_s = 4 * c->lockout_max_s > 3600 ? 4 * c->lockout_max_s : 3600;
	out->login = (struct cw_rate){ c->login_rate, c->login_burst };
}

/* The data directory is that of the start, whatever a reload reads. */
static struct cw_keyring *read_keys(const struct cw_config *c, const char *data_dir, struct cw_err *err)
{
	char path[512], kid[CW_TOKEN_KID];
	struct cw_keyring *ring;

	cw_identity_path(data_dir, c->token_keys, "token.keys", path, sizeof(path));
	ring = cw_keyring_load(path, err);
	if (ring == NULL && err->code == CW_ERR_NOT_FOUND && c->token_keys[0] == '\0') {
		if (cw_keyring_rotate(path, CW_TOKEN_HS256, KEYS_KEPT, kid, err) != 0)
			return NULL;
		cw_log(CW_LOG_INFO, "auth", "made a key for tokens", "file=%s kid=%s", path, kid);
		ring = cw_keyring_load(path, err);
	}
	return ring;
}

int cw_identity_apply(struct cw_engine *e, const struct cw_config *config, struct cw_err *err)
{
	struct cw_auth *auth = &e->auth;
	struct cw_err unused;
	struct cw_keyring *ring;

	if (err == NULL)
		err = &unused;
	if (strcmp(config->registration, "closed") != 0 && strcmp(config->registration, "invitation") != 0 &&
	    strcmp(config->registration, "open") != 0)
		return cw_err_set(err, CW_ERR_INVALID, "auth.registration must be closed, invitation or open, not \"%s\"",
		                  config->registration);
	ring = read_keys(config, e->config->data_dir, err);
	if (ring == NULL)
		return cw_err_wrap(err, "could not read the keys for tokens");
	cw_keyring_free(&auth->keyring);
	auth->keyring = ring;
	read_conf(config, &auth->conf);
	if (auth->passwords != NULL)
		cw_passwords_configure(auth->passwords, &auth->conf.password);
	if (auth->attempts != NULL)
		cw_attempts_configure(auth->attempts, &auth->conf.attempts);
	cw_gate_configure(&e->gate, config);
	cw_audit_export_apply(e->audit_export, config);
	return 0;
}

int cw_identity_start(struct cw_engine *e, struct cw_err *err)
{
	if (cw_identity_apply(e, e->config, err) != 0)
		return -1;
	e->auth.directory = cw_directory_new(e->loop, e->pool);
	e->auth.passwords = cw_passwords_new(e->work, &e->auth.conf.password);
	e->auth.attempts = cw_attempts_new(&e->auth.conf.attempts);
	e->auth.limits = cw_limits_new();
	cw_gate_open(&e->gate, e->loop, e->pool, &e->auth);
	e->audit = cw_audit_writer_new(e->pool);
	e->audit_export = cw_audit_export_new(e, err);
	return e->audit_export != NULL ? 0 : -1;
}

void cw_identity_stop(struct cw_engine *e)
{
	cw_gate_close(&e->gate);
	cw_audit_export_free(&e->audit_export);
	cw_audit_writer_free(&e->audit);
	cw_directory_free(&e->auth.directory);
	cw_passwords_free(&e->auth.passwords);
	cw_attempts_free(&e->auth.attempts);
	cw_limits_free(&e->auth.limits);
	cw_keyring_free(&e->auth.keyring);
}
