#include "app/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static bool is_name(const char *text)
{
	return strspn(text, "0123456789abcdef") == CW_INSTANCE_TEXT - 1;
}

static bool keep(const char *path, const char *name)
{
	char temp[520];
	int fd;
	bool ok;

	snprintf(temp, sizeof(temp), "%s.tmp", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	ok = dprintf(fd, "%s\n", name) == CW_INSTANCE_TEXT && fsync(fd) == 0;
	return close(fd) == 0 && ok && rename(temp, path) == 0;
}

void cw_instance_read(const char *data_dir, char out[CW_INSTANCE_TEXT])
{
	unsigned char bytes[(CW_INSTANCE_TEXT - 1) / 2];
	char path[512], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/instance", data_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	if (is_name(text)) {
		snprintf(out, CW_INSTANCE_TEXT, "%.*s", CW_INSTANCE_TEXT - 1, text);
		return;
	}
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(out, CW_INSTANCE_TEXT, bytes, sizeof(bytes));
	if (!keep(path, out))
		cw_log(CW_LOG_WARN, "app", "the name of this engine is not kept", "file=%s error=\"%s\"", path,
		       strerror(errno));
}
