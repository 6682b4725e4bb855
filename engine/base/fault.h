/* fault.h - failure points for tests.
 *
 * `if (CW_FAULT("pg.send")) return fail();` is a constant false unless the build defines CW_FAULTS; there a test
 * arms a point by name with cw_fault_arm(). Learnt from tarantool's errinj.h. */
#ifndef CW_BASE_FAULT_H
#define CW_BASE_FAULT_H

#include <stdbool.h>

#ifdef CW_FAULTS
#define CW_FAULT(name) cw_fault_hit(name)
#else
#define CW_FAULT(name) false
#endif

/* The point fails after `skip` passes, `times` times; times = 0 disarms. At most 16 points are armed at once.
 * In a build with CW_FAULTS the environment variable CW_FAULT="name:skip:times,..." arms points at start. */
void cw_fault_arm(const char *name, unsigned skip, unsigned times);
bool cw_fault_hit(const char *name);

#endif
