/* fuzz_config.c - any text as a settings file: it ends within its budget, and is taken or refused with file and reason;
 * what was taken writes itself as JSON. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	struct cw_err err = { 0 };
	struct cw_config *config;
	struct cw_buf json = CW_BUF_INIT;
	int fd;

	if (path[0] == '\0')
		snprintf(path, sizeof(path), "/dev/shm/cw-fuzz-config-%d.lua", (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
	cw_log_set_level(NULL, CW_LOG_OFF);
	config = cw_config_load(path, &err);
	unlink(path);
	check((config != NULL) == (err.code == CW_OK));
	if (config == NULL) {
		check(err.msg[0] != '\0');
		return 0;
	}
	cw_config_to_json(config, &json);
	check(json.len > 2 && json.data[0] == '{' && json.data[json.len - 1] == '}');
	cw_buf_release(&json);
	cw_config_free(&config);
	return 0;
}
