#include "base/fault.h"

#include <stdlib.h>
#include <string.h>

#define POINTS 16

struct point {
	char name[32];
	unsigned skip, times;
};

static struct point points[POINTS];
static bool environment_read;

static struct point *find(const char *name)
{
	for (int i = 0; i < POINTS; i++)
		if (points[i].times > 0 && strcmp(points[i].name, name) == 0)
			return &points[i];
	return NULL;
}

void cw_fault_arm(const char *name, unsigned skip, unsigned times)
{
	struct point *p = find(name);

	for (int i = 0; p == NULL && i < POINTS; i++)
		if (points[i].times == 0)
			p = &points[i];
	if (p == NULL)
		return;
	strncpy(p->name, name, sizeof(p->name) - 1);
	p->skip = skip;
	p->times = times;
}

static void read_environment(void)
{
	const char *value = getenv("CW_FAULT");
	char text[512], *save = NULL;

	environment_read = true;
	if (value == NULL || strlen(value) >= sizeof(text))
		return;
	strcpy(text, value);
	for (char *item = strtok_r(text, ",", &save); item != NULL; item = strtok_r(NULL, ",", &save)) {
		char *skip = strchr(item, ':');
		char *times = skip != NULL ? strchr(skip + 1, ':') : NULL;

		if (skip != NULL)
			*skip++ = '\0';
		if (times != NULL)
			*times++ = '\0';
		cw_fault_arm(item, skip != NULL ? (unsigned)strtoul(skip, NULL, 10) : 0,
		             times != NULL ? (unsigned)strtoul(times, NULL, 10) : 1);
	}
}

bool cw_fault_hit(const char *name)
{
	struct point *p;

	if (!environment_read)
		read_environment();
	p = find(name);
	if (p == NULL)
		return false;
	if (p->skip > 0) {
		p->skip--;
		return false;
	}
	p->times--;
	return true;
}
