#include "app/tested.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/config.h"
#include "app/parts.h"
#include "app/reload.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pipeline/trial.h"

#define DIGEST_HEX (2 * crypto_hash_sha256_BYTES)
#define HEAD_BYTES (3 * (DIGEST_HEX + 1))     /* build, bundle, SHA-256 of the rest; a space or the newline behind each */
#define FILE_MAX (64u << 20)

struct cw_tested {
	struct cw_engine *e;
	char path[512];
	char build[DIGEST_HEX + 1];      /* "": not known, so nothing is believed */
	char bundle[DIGEST_HEX + 1];     /* that has passed; "": none is known */
	char *fires;                     /* JSON object by SHA-256 of a rule's text */
	struct cw_trial *trial;          /* tests `trying` aside */
	char trying[DIGEST_HEX + 1];
};

/* --- what was built --- */

struct build {
	crypto_hash_sha256_state sha;
	bool first, known;
};

static bool feed_build_id(struct build *b, const char *at, size_t left)
{
	while (left >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)at;
		size_t name = (note->n_namesz + 3u) & ~3u, all = sizeof(*note) + name + ((note->n_descsz + 3u) & ~3u);

		if (all > left)
			return false;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(note + 1, "GNU", 4) == 0) {
			crypto_hash_sha256_update(&b->sha, (const unsigned char *)(note + 1) + name, note->n_descsz);
			return true;
		}
		at += all;
		left -= all;
	}
	return false;
}

/* The program comes first; a library without a build id counts by its name. */
static int feed_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct build *b = arg;
	bool found = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && !found; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_NOTE)
			found = feed_build_id(b, (const char *)(uintptr_t)(info->dlpi_addr + ph->p_vaddr), ph->p_memsz);
	}
	if (b->first)
		b->known = found;
	b->first = false;
	if (!found)
		crypto_hash_sha256_update(&b->sha, (const unsigned char *)info->dlpi_name, strlen(info->dlpi_name) + 1);
	return 0;
}

static void hex_of(crypto_hash_sha256_state *sha, char out[DIGEST_HEX + 1])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(sha, digest);
	sodium_bin2hex(out, DIGEST_HEX + 1, digest, sizeof(digest));
}

static void read_build(char out[DIGEST_HEX + 1])
{
	struct build b = { .first = true };

	crypto_hash_sha256_init(&b.sha);
	dl_iterate_phdr(feed_object, &b);
	hex_of(&b.sha, out);
	if (!b.known)
		out[0] = '\0';
}

/* --- what passed --- */

static void feed_text(crypto_hash_sha256_state *sha, const char *text, size_t len)
{
	uint64_t n = len;

	crypto_hash_sha256_update(sha, (const unsigned char *)&n, sizeof(n));
	crypto_hash_sha256_update(sha, (const unsigned char *)text, len);
}

/* Texts and budgets: tests have lists of their own and take no parameters from outside. */
static void digest_bundle(const struct cw_bundle *bundle, char out[DIGEST_HEX + 1])
{
	const char *options = bundle->options_json != NULL ? bundle->options_json : "{}";
	crypto_hash_sha256_state sha;

	crypto_hash_sha256_init(&sha);
	feed_text(&sha, options, strlen(options));
	for (int i = 0; i < bundle->nrules; i++) {
		feed_text(&sha, bundle->rules[i].name, strlen(bundle->rules[i].name));
		feed_text(&sha, bundle->rules[i].text, bundle->rules[i].len);
	}
	hex_of(&sha, out);
}

static char *fires_of(const char *report)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf out = CW_BUF_INIT;
	struct cw_json_error fault;
	const struct cw_json *root = cw_json_parse(report, strlen(report), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const struct cw_json *rules = cw_json_get(root, "rules");

	cw_buf_putc(&out, '{');
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next) {
		const struct cw_json *sha256 = cw_json_get(r, "sha256"), *fires = cw_json_get(r, "fires");

		if (sha256 == NULL || fires == NULL)
			continue;
		if (out.len > 1)
			cw_buf_putc(&out, ',');
		cw_json_put_value(&out, sha256);
		cw_buf_putc(&out, ':');
		cw_json_put_value(&out, fires);
	}
	cw_buf_putc(&out, '}');
	cw_arena_free(&arena);
	return cw_buf_take(&out, NULL);
}

static void take(struct cw_tested *t, const char *bundle, char *fires)
{
	cw_free(t->fires);
	t->fires = fires;
	snprintf(t->bundle, sizeof(t->bundle), "%s", bundle);
}

static void digest_fires(const char *fires, char out[DIGEST_HEX + 1])
{
	crypto_hash_sha256_state sha;

	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, (const unsigned char *)fires, strlen(fires));
	hex_of(&sha, out);
}

/* True if the file is whole and of this build. */
static bool read_file(struct cw_tested *t)
{
	struct cw_arena *arena = cw_arena_new();
	char build[DIGEST_HEX + 1], bundle[DIGEST_HEX + 1], sum[DIGEST_HEX + 1], own[DIGEST_HEX + 1];
	struct cw_err err;
	size_t len;
	const char *text = cw_file_read(t->path, FILE_MAX, &len, arena, &err);
	bool good = text != NULL && len > HEAD_BYTES && sscanf(text, "%64[0-9a-f] %64[0-9a-f] %64[0-9a-f]\n", build, bundle, sum) == 3;

	if (good) {
		digest_fires(text + HEAD_BYTES, own);
		good = strcmp(sum, own) == 0 && strcmp(build, t->build) == 0;
	}
	if (good)
		take(t, bundle, cw_strdup(text + HEAD_BYTES));
	cw_arena_free(&arena);
	return good;
}

/* --- writing, on a worker --- */

struct note {
	char path[512];
	struct cw_buf text;
	int error;
};

/* Not synced: what a power failure leaves of it does not bear its checksum, and then the tests run. */
static void write_note(void *arg)
{
	struct note *n = arg;
	char temp[520];
	int fd;
	bool good;

	snprintf(temp, sizeof(temp), "%s.tmp", n->path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	good = fd >= 0 && write(fd, n->text.data, n->text.len) == (ssize_t)n->text.len;
	n->error = good ? 0 : errno;
	if (fd >= 0)
		close(fd);
	if (good && rename(temp, n->path) != 0)
		n->error = errno;
}

static void on_written(void *arg, bool ran)
{
	struct note *n = arg;

	if (ran && n->error != 0)
		cw_log(CW_LOG_WARN, "app", "the next start tests the rules again", "file=%s error=\"%s\"", n->path,
		       strerror(n->error));
	cw_buf_release(&n->text);
	cw_free(n);
}

static void keep(const struct cw_tested *t)
{
	struct note *n = cw_zalloc(sizeof(*n));
	char sum[DIGEST_HEX + 1];

	digest_fires(t->fires, sum);
	snprintf(n->path, sizeof(n->path), "%s", t->path);
	cw_buf_init(&n->text);
	cw_buf_printf(&n->text, "%s %s %s\n", t->build, t->bundle, sum);
	cw_buf_puts(&n->text, t->fires);
	if (cw_work_submit(t->e->work, write_note, on_written, n) != 0)
		on_written(n, false);
}

/* --- aside --- */

static void on_passed(void *arg, const char *report)
{
	struct cw_tested *t = arg;

	take(t, t->trying, fires_of(report));
	cw_trial_free(&t->trial);
	keep(t);
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	(void)arg;
	(void)tx;
	(void)v;
	(void)bytes;
	(void)len;
}

/* Told by whoever loads the rules to live by them. */
static void on_failed(void *arg, const struct cw_err *err)
{
	struct cw_tested *t = arg;

	(void)err;
	cw_trial_free(&t->trial);
}

static void try_aside(struct cw_tested *t)
{
	static const struct cw_trial_fns fns = { .ready = on_passed, .verdict = on_verdict, .failed = on_failed };
	struct cw_trial_conf conf = { .state_bytes = 64u << 20, .supervisor = cw_supervisor_conf_default };
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { 0 };
	struct cw_err err;

	conf.supervisor.load_ms = t->e->config->load_ms;
	if (cw_reload_read_bundle(t->e->config, &bundle, arena, &err) == 0)
		t->trial = cw_trial_new(t->e->loop, t->e->zygote, &conf, &fns, t, &err);
	if (t->trial != NULL && cw_trial_load(t->trial, &bundle, &err) != 0)
		cw_trial_free(&t->trial);
	digest_bundle(&bundle, t->trying);
	cw_arena_free(&arena);
}

/* --- */

struct cw_tested *cw_tested_open(struct cw_engine *e)
{
	struct cw_tested *t = cw_zalloc(sizeof(*t));

	t->e = e;
	snprintf(t->path, sizeof(t->path), "%s/rules.tested", e->config->data_dir);
	read_build(t->build);
	if (t->build[0] != '\0' && !read_file(t))
		try_aside(t);
	return t;
}

void cw_tested_recall(struct cw_tested *t, struct cw_bundle *bundle, struct cw_arena *arena)
{
	char digest[DIGEST_HEX + 1];

	digest_bundle(bundle, digest);
	while (t->trial != NULL && strcmp(digest, t->trying) == 0 && !t->e->stopping)
		cw_loop_run_once(t->e->loop);
	cw_trial_free(&t->trial);
	bundle->tested = t->bundle[0] != '\0' && strcmp(digest, t->bundle) == 0;
	if (bundle->tested)
		cw_log(CW_LOG_INFO, "rules", "passed their tests before", "rules=%d", bundle->nrules);
	bundle->fires_json = bundle->tested ? cw_arena_strndup(arena, t->fires, strlen(t->fires)) : NULL;
}

void cw_tested_note(struct cw_tested *t, const struct cw_bundle *bundle, const char *report)
{
	char digest[DIGEST_HEX + 1];

	if (bundle->tested || report == NULL || t->build[0] == '\0')
		return;
	digest_bundle(bundle, digest);
	take(t, digest, fires_of(report));
	keep(t);
}

void cw_tested_close(struct cw_tested **tested)
{
	struct cw_tested *t = *tested;

	*tested = NULL;
	if (t == NULL)
		return;
	cw_trial_free(&t->trial);
	cw_free(t->fires);
	cw_free(t);
}
