#include "base/wake.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#define TRIES 3

void cw_wake(int fd)
{
	const uint64_t one = 1;

	for (int i = 0; i < TRIES; i++)
		if (write(fd, &one, sizeof(one)) >= 0 || errno == EAGAIN)
			return;
}
