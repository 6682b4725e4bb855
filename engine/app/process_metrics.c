#include "app/process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"

static double start_seconds;

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	char line[128] = "", *rest;
	unsigned long resident = 0;

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL) {
		strtoul(line, &rest, 10);
		resident = strtoul(rest, NULL, 10);
	}
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3;   /* ".", ".." and the folder itself */

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void collect(void *arg)
{
	struct rusage usage;
	struct rlimit files;

	(void)arg;
	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_NOFILE, &files);
	cw_metric_set(cw_counter("process_cpu_seconds_total", "User and system CPU time of the engine.", NULL),
	              (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
	                  ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6);
	cw_metric_set(cw_gauge("process_resident_memory_bytes", "Resident memory of the engine.", NULL), resident_bytes());
	cw_metric_set(cw_counter("chainwatch_memory_refused_total", "Allocations that were refused at the first try.", NULL),
	              (double)cw_mem_refused());
	cw_metric_set(cw_gauge("chainwatch_memory_short", "1 while the reserve of memory is gone: requests are turned away.", NULL),
	              cw_mem_short());
	cw_metric_set(cw_gauge("process_open_fds", "Open descriptors of the engine.", NULL), open_files());
	cw_metric_set(cw_gauge("process_max_fds", "Limit of open descriptors.", NULL), (double)files.rlim_cur);
	cw_metric_set(cw_gauge("process_start_time_seconds", "Start of the engine, seconds since 1970.", NULL), start_seconds);
}

void cw_process_metrics_start(void)
{
	char labels[128];

	start_seconds = (double)cw_clock_wall_us() / 1e6;
	snprintf(labels, sizeof(labels), "version=\"%s\",commit=\"%s\"", cw_version, cw_commit);
	cw_metric_set(cw_gauge("chainwatch_build_info", "1, labelled with what was built.", labels), 1);
	cw_metrics_on_collect(collect, NULL);
}
