/* data.h - what the benches of detectors share: the data folder, CSV of numbers, a clock, a line for a figure. */
#ifndef CW_TESTS_BENCH_DETECT_DATA_H
#define CW_TESTS_BENCH_DETECT_DATA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <time.h>
#include <zlib.h>

#include "detect/table.h"

static inline const char *data_path(const char *file, char path[512])
{
	const char *folder = getenv("CHAINWATCH_TEST_DATA");

	snprintf(path, 512, "%s/%s", folder != NULL ? folder : "../shared/data", file);
	return path;
}

/* Lines of a file, plain or gzip; NULL where it is missing, after a message. */
static inline gzFile data_open(const char *file)
{
	char path[512];
	gzFile f = gzopen(data_path(file, path), "rb");

	if (f == NULL)
		printf("skipped: no %s (CHAINWATCH_TEST_DATA names the folder)\n", path);
	return f;
}

/* Numbers of a CSV with a header; the column "label" goes to `label`, a column "address" to a hash of its text, empty
 * cells are NaN. Exits on nonsense: these are our own files. */
struct data { struct cw_table t; uint8_t *label; uint64_t *group; };

static inline void data_cell(struct data *d, const char *name, const char *cell, size_t row, size_t *col)
{
	if (strcmp(name, "label") == 0) {
		d->label[row] = cell[0] == '1';
	} else if (strcmp(name, "address") == 0) {
		for (d->group[row] = 14695981039346656037ull; *cell != '\0'; cell++)
			d->group[row] = (d->group[row] ^ (uint8_t)*cell) * 1099511628211ull;
	} else {
		d->t.x[row * d->t.cols + (*col)++] = cell[0] != '\0' ? strtod(cell, NULL) : (double)NAN;
	}
}

static inline bool data_read(struct data *d, const char *file)
{
	static char line[65536];
	char *names[256], *rest, *name;
	gzFile f = data_open(file);
	size_t n = 0, room = 0;

	memset(d, 0, sizeof(*d));
	if (f == NULL || gzgets(f, line, sizeof(line)) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	rest = strdup(line);
	while ((name = strsep(&rest, ",")) != NULL) {
		names[n++] = name;
		d->t.cols += strcmp(name, "label") != 0 && strcmp(name, "address") != 0;
	}
	while (gzgets(f, line, sizeof(line)) != NULL) {
		char *cells = line, *cell;
		size_t at = 0, col = 0;

		line[strcspn(line, "\r\n")] = '\0';
		if (d->t.rows == room) {
			room = room * 2 + 1024;
			d->t.x = realloc(d->t.x, room * d->t.cols * sizeof(double));
			d->label = realloc(d->label, room);
			d->group = realloc(d->group, room * sizeof(uint64_t));
		}
		while ((cell = strsep(&cells, ",")) != NULL && at < n)
			data_cell(d, names[at++], cell, d->t.rows, &col);
		if (at != n || d->t.x == NULL) {
			fprintf(stderr, "%s: row %zu has %zu cells, not %zu\n", file, d->t.rows + 2, at, n);
			exit(1);
		}
		d->t.rows++;
	}
	gzclose(f);
	return true;
}

/* Of this thread's work: the machine may be busy with other things. */
static inline double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void data_free(struct data *d)
{
	free(d->t.x);
	free(d->label);
	free(d->group);
}

/* "figure  value  (goal)" with a mark where it is missed. `at_least`: larger is better. */
static inline void figure(const char *what, double value, const char *unit, double goal, bool at_least)
{
	bool met = at_least ? value >= goal : value <= goal;

	printf("  %-52s %9.4g %-4s goal %s %-6.4g %s\n", what, value, unit, at_least ? ">=" : "<=", goal, met ? "met" : "MISSED");
}

#endif
