/* Any log into the event decoder: the first byte says how many topics, then 32 bytes each, the rest is data. */
#include <stdlib.h>
#include <string.h>

#include "chain/abi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_hash topics[7];
	struct cw_u256 id, amount;
	struct cw_event event;
	size_t ntopics = size > 0 ? data[0] % 8 : 0;

	if (size < 1 + 32 * ntopics)
		return 0;
	if (ntopics > 0)
		memcpy(topics, data + 1, 32 * ntopics);
	data += 1 + 32 * ntopics;
	size -= 1 + 32 * ntopics;
	if (!cw_event_decode(&event, topics, ntopics, data, size))
		return 0;
	for (uint32_t i = 0; i < event.count; i++)
		if (!cw_event_pair(&event, data, size, i, &id, &amount))
			abort();
	if (cw_event_pair(&event, data, size, event.count, &id, &amount))
		abort();
	return 0;
}
