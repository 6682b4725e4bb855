#include "app/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define FILES_MAX CW_RULES_MAX
#define SCRIPT_FILE_MAX (4u << 20)

static int read_all(int fd, char *to, size_t size, const char *path, struct cw_err *err)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = read(fd, to + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? cw_err_errno(err, CW_ERR_INVALID, "could not read \"%s\"", path)
			             : cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": it became shorter meanwhile", path);
		at += (size_t)n;
	}
	return 0;
}

const char *cw_file_read(const char *path, size_t max, size_t *len, struct cw_arena *arena, struct cw_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = -1;   /* a pipe must not hold us up */
	struct stat st;
	char *text = NULL;

	if (fd < 0 || fstat(fd, &st) != 0) {
		cw_err_errno(err, CW_ERR_INVALID, "could not open \"%s\"", path);
	} else if (!S_ISREG(st.st_mode)) {
		cw_err_set(err, CW_ERR_INVALID, "could not open \"%s\": not a file", path);
	} else if ((size_t)st.st_size > max) {
		cw_err_set(err, CW_ERR_INVALID, "could not load \"%s\": %zu bytes, the limit is %zu", path,
		           (size_t)st.st_size, max);
	} else {
		*len = (size_t)st.st_size;
		text = cw_arena_alloc(arena, *len + 1);
		text[*len] = '\0';
		rc = read_all(fd, text, *len, path, err);
		if (rc == 0 && memchr(text, '\0', *len) != NULL)
			rc = cw_err_set(err, CW_ERR_INVALID, "could not load \"%s\": not a text file (it has a NUL byte)", path);
	}
	if (fd >= 0)
		close(fd);
	return rc == 0 ? text : NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the folder with this ending, sorted; the count, or -1. */
static int names_of(const char *dir, const char *ending, char **names, struct cw_arena *arena, struct cw_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	if (d == NULL)
		return cw_err_errno(err, errno == ENOENT ? CW_ERR_NOT_FOUND : CW_ERR_INVALID, "could not open folder \"%s\"", dir);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name), end = strlen(ending);

		if (e->d_name[0] == '.' || len <= end || strcmp(e->d_name + len - end, ending) != 0)
			continue;
		if (n == FILES_MAX) {
			closedir(d);
			return cw_err_set(err, CW_ERR_INVALID, "folder \"%s\" has more than %d files", dir, FILES_MAX);
		}
		names[n++] = cw_arena_strndup(arena, e->d_name, len);
	}
	closedir(d);
	qsort(names, (size_t)n, sizeof(*names), by_name);
	return n;
}

/* The files of a folder; names in the bundle are "<dir>/<name>", as an error message should show them. */
static int read_folder(struct cw_bundle_file **files, int *count, const char *dir, const char *ending, size_t max,
                       struct cw_arena *arena, struct cw_err *err)
{
	char **names = cw_arena_alloc(arena, FILES_MAX * sizeof(*names));
	int n = names_of(dir, ending, names, arena, err);

	*count = 0;
	if (n < 0)
		return -1;
	*files = cw_arena_zalloc(arena, (size_t)(n > 0 ? n : 1) * sizeof(**files));
	for (int i = 0; i < n; i++) {
		struct cw_bundle_file *f = &(*files)[i];
		struct cw_buf path = CW_BUF_INIT;

		cw_buf_printf(&path, "%s/%s", dir, names[i]);
		f->name = cw_arena_strndup(arena, path.data, path.len);
		cw_buf_release(&path);
		f->text = cw_file_read(f->name, max, &f->len, arena, err);
		if (f->text == NULL)
			return -1;
	}
	*count = n;
	return 0;
}

int cw_bundle_read(struct cw_bundle *bundle, const char *rules_dir, const char *lists_dir, struct cw_arena *arena,
                   struct cw_err *err)
{
	if (read_folder(&bundle->rules, &bundle->nrules, rules_dir, ".lua", CW_RULE_FILE_MAX, arena, err) != 0)
		return -1;
	if (access(lists_dir, F_OK) != 0) {
		bundle->nlists = 0;
		return 0;
	}
	return read_folder(&bundle->lists, &bundle->nlists, lists_dir, ".csv", CW_LIST_FILE_MAX, arena, err);
}

static int read_one(struct cw_bundle_file *file, const char *path, struct cw_arena *arena, struct cw_err *err)
{
	file->name = cw_arena_strndup(arena, path, strlen(path));
	file->text = cw_file_read(path, CW_RULE_FILE_MAX, &file->len, arena, err);
	return file->text != NULL ? 0 : -1;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct cw_bundle_file *)a)->name, ((const struct cw_bundle_file *)b)->name);
}

int cw_bundle_read_paths(struct cw_bundle *bundle, char *const *paths, int n, struct cw_arena *arena,
                         struct cw_err *err)
{
	struct cw_bundle_file *all = cw_arena_zalloc(arena, FILES_MAX * sizeof(*all));
	int count = 0;

	for (int i = 0; i < n; i++) {
		struct cw_bundle_file *files = NULL;
		struct stat st;
		int more = 1;

		if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			if (read_folder(&files, &more, paths[i], ".lua", CW_RULE_FILE_MAX, arena, err) != 0)
				return -1;
			if (more == 0)
				return cw_err_set(err, CW_ERR_INVALID, "folder \"%s\" has no .lua files", paths[i]);
		}
		if (count + more > (int)FILES_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "more than %d files", FILES_MAX);
		if (files == NULL && read_one(&all[count], paths[i], arena, err) != 0)
			return -1;
		if (files != NULL)
			memcpy(&all[count], files, (size_t)more * sizeof(*files));
		count += more;
	}
	qsort(all, (size_t)count, sizeof(*all), compare_files);
	bundle->rules = all;
	bundle->nrules = 0;
	for (int i = 0; i < count; i++)      /* named twice, counted once */
		if (i == 0 || strcmp(all[i].name, all[i - 1].name) != 0)
			all[bundle->nrules++] = all[i];
	return 0;
}

const char *cw_bundle_options(const struct cw_config *config, struct cw_arena *arena)
{
	struct cw_buf out = CW_BUF_INIT;
	const char *text;

	cw_buf_printf(&out, "{\"ticks\":%lld,\"wall_ms\":%lld,\"memory_bytes\":%lld,\"jit\":%s,\"run_tests\":true}",
	              (long long)config->ticks, (long long)config->wall_ms, (long long)config->rule_memory_mb << 20,
	              config->jit ? "true" : "false");
	text = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return text;
}

bool cw_scripts_digest(const char *scripts_dir, const char *more, unsigned char digest[32], struct cw_arena *arena)
{
	static const char *const below[] = { "api", "policy", "jobs", "lib" };
	crypto_hash_sha256_state sha;
	struct cw_err err;

	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, (const unsigned char *)more, strlen(more) + 1);
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
		struct cw_bundle_file *files;
		struct cw_buf dir = CW_BUF_INIT;
		int n = 0, rc = 0;

		cw_buf_printf(&dir, "%s/%s", scripts_dir, below[i]);
		if (access(dir.data, F_OK) == 0)
			rc = read_folder(&files, &n, dir.data, ".lua", SCRIPT_FILE_MAX, arena, &err);
		cw_buf_release(&dir);
		if (rc != 0)
			return false;
		for (int k = 0; k < n; k++) {
			crypto_hash_sha256_update(&sha, (const unsigned char *)files[k].name, strlen(files[k].name) + 1);
			crypto_hash_sha256_update(&sha, (const unsigned char *)files[k].text, files[k].len + 1);
		}
	}
	crypto_hash_sha256_final(&sha, digest);
	return true;
}
