/* fuzz_detect.c - chainwatch detect over a file: first byte: series, or a table by one of the methods; then the file. What is
 * read is scored, line for line and with finite scores; what is not gives exit code 1 or 2. */
#include <fcntl.h>
#include <math.h>
#include <sanitizer/common_interface_defs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char in_path[256], out_path[256];
static int out_fd, null_fd, stdout_fd, stderr_fd;

static void check(bool condition)
{
	if (!condition)
		abort();
}

/* Messages of the command are not wanted, those of the sanitizers are. */
static void begin(void)
{
	const char *dir = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

	snprintf(in_path, sizeof(in_path), "%s/cw-fuzz-detect-%ld.in", dir, (long)getpid());
	snprintf(out_path, sizeof(out_path), "%s/cw-fuzz-detect-%ld.out", dir, (long)getpid());
	stdout_fd = dup(1);
	stderr_fd = dup(2);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	out_fd = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(stdout_fd >= 0 && stderr_fd >= 0 && null_fd >= 0 && out_fd >= 0);
	__sanitizer_set_report_fd((void *)(uintptr_t)stderr_fd);
}

static int run(char **argv)
{
	int argc = 0, code;

	while (argv[argc] != NULL)
		argc++;
	check(ftruncate(out_fd, 0) == 0 && lseek(out_fd, 0, SEEK_SET) == 0);
	check(dup2(out_fd, 1) == 1 && dup2(null_fd, 2) == 2);
	code = cw_cmd_detect(argc, argv);
	fflush(stdout);
	check(dup2(stdout_fd, 1) == 1 && dup2(stderr_fd, 2) == 2);
	return code;
}

/* Every line below the header ends in a score. */
static void check_scores(bool series)
{
	FILE *f = fopen(out_path, "re");
	char *line = NULL, *end;
	size_t room = 0;
	long lines = 0;

	check(f != NULL);
	while (getline(&line, &room, f) > 0) {
		const char *cell = series ? strrchr(line, ',') : line - 1;

		check(cell != NULL);
		if (lines++ > 0)
			check(isfinite(strtod(cell + 1, &end)) && end > cell + 1);
	}
	check(lines > 1);
	free(line);
	fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = { "hbos", "ecod", "mahalanobis", "knn", "iforest", "hstree" };
	char *series[] = { (char[]){ "detect" }, (char[]){ "series" }, in_path, NULL };
	char method[32], *table[] = { (char[]){ "detect" }, (char[]){ "table" }, method, in_path, NULL };
	FILE *f;
	int code;
	bool is_series;

	if (size == 0 || size > 65536)
		return 0;
	if (in_path[0] == '\0')
		begin();
	is_series = data[0] % 4 == 0;
	snprintf(method, sizeof(method), "--method=%s", methods[data[0] / 4 % 6]);
	f = fopen(in_path, "we");
	check(f != NULL && fwrite(data + 1, 1, size - 1, f) == size - 1 && fclose(f) == 0);
	code = run(is_series ? series : table);
	check(code >= 0 && code <= 2);
	if (code == 0)
		check_scores(is_series);
	return 0;
}
