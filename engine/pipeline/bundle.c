#include "pipeline/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/evaluate.h"

#define BUNDLE_MAGIC 0x646e7562u

struct head {
	uint32_t magic;
	uint32_t nrules, nlists;
};

/* Each text: its length, the bytes, a NUL. */
static void put(struct cw_buf *out, const char *text, size_t len)
{
	uint64_t n = len;

	cw_buf_add(out, &n, sizeof(n));
	cw_buf_add(out, text, len);
	cw_buf_putc(out, '\0');
}

static void put_files(struct cw_buf *out, const struct cw_bundle_file *files, int n)
{
	for (int i = 0; i < n; i++) {
		put(out, files[i].name, strlen(files[i].name));
		put(out, files[i].text, files[i].len);
	}
}

static uint64_t weight(const struct cw_bundle_file *files, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += files[i].len + strlen(files[i].name) + 32;
	return sum;
}

static int to_memory_file(const struct cw_buf *buf, struct cw_err *err)
{
	int fd = memfd_create("cw-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	for (size_t done = 0; fd >= 0 && done < buf->len;) {
		ssize_t n = write(fd, buf->data + done, buf->len - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (errno != EINTR) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not keep the rules' sources: %s", strerror(errno));
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

int cw_bundle_pack(const struct cw_bundle *bundle, size_t *size, struct cw_err *err)
{
	struct head head = { BUNDLE_MAGIC, (uint32_t)bundle->nrules, (uint32_t)bundle->nlists };
	const char *params = bundle->params_json != NULL ? bundle->params_json : "{}";
	const char *options = bundle->options_json != NULL ? bundle->options_json : "{}";
	struct cw_buf buf = CW_BUF_INIT;
	int fd;

	if (bundle->nrules > CW_RULES_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "%d rules are too many, the limit is %d", bundle->nrules, CW_RULES_MAX);
	if (weight(bundle->rules, bundle->nrules) + weight(bundle->lists, bundle->nlists) > CW_BUNDLE_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "rules and lists are larger than %u bytes", CW_BUNDLE_MAX);
	cw_buf_add(&buf, &head, sizeof(head));
	put(&buf, params, strlen(params));
	put(&buf, options, strlen(options));
	put_files(&buf, bundle->rules, bundle->nrules);
	put_files(&buf, bundle->lists, bundle->nlists);
	*size = buf.len;
	fd = to_memory_file(&buf, err);
	cw_buf_release(&buf);
	return fd;
}

struct reader {
	const char *at;
	size_t left;
};

static const char *take(struct reader *r, size_t *len)
{
	const char *text;
	uint64_t n;

	if (r->left < sizeof(n))
		return NULL;
	memcpy(&n, r->at, sizeof(n));
	if (n >= r->left - sizeof(n))
		return NULL;
	text = r->at + sizeof(n);
	if (text[n] != '\0')
		return NULL;
	r->at += sizeof(n) + n + 1;
	r->left -= sizeof(n) + n + 1;
	if (len != NULL)
		*len = n;
	return text;
}

static struct cw_bundle_file *take_files(struct reader *r, uint32_t n)
{
	struct cw_bundle_file *files;

	if (n > r->left)
		return NULL;
	files = cw_zalloc(n * sizeof(*files));
	for (uint32_t i = 0; i < n; i++) {
		files[i].name = take(r, NULL);
		files[i].text = take(r, &files[i].len);
		if (files[i].text == NULL) {
			cw_free(files);
			return NULL;
		}
	}
	return files;
}

int cw_bundle_unpack(struct cw_bundle *bundle, const void *bytes, size_t size)
{
	struct reader r = { .at = bytes, .left = size };
	struct head head;

	*bundle = (struct cw_bundle){ 0 };
	if (size < sizeof(head))
		return -1;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != BUNDLE_MAGIC)
		return -1;
	r.at += sizeof(head);
	r.left -= sizeof(head);
	bundle->params_json = take(&r, NULL);
	bundle->options_json = take(&r, NULL);
	if (bundle->options_json == NULL)
		return -1;
	bundle->rules = take_files(&r, head.nrules);
	bundle->lists = take_files(&r, head.nlists);
	bundle->nrules = (int)head.nrules;
	bundle->nlists = (int)head.nlists;
	if (bundle->rules != NULL && bundle->lists != NULL && r.left == 0)
		return 0;
	cw_bundle_release(bundle);
	return -1;
}

void cw_bundle_release(struct cw_bundle *bundle)
{
	cw_free(bundle->rules);
	cw_free(bundle->lists);
	*bundle = (struct cw_bundle){ 0 };
}
