/* load.h - from the text of a script to a guarded main function in its own sandboxed environment. */
#ifndef CW_LUA_LOAD_H
#define CW_LUA_LOAD_H

#include <stddef.h>

struct cw_err;
struct cw_vm;

#define CW_LOAD_MAX ((size_t)256 << 10)       /* bytes of one file; larger ones are refused */

/* Compiles the text as it is (so that errors are reported in the author's own terms), writes the guards in, compiles
 * again and pushes the main function on the VM's main state; its environment is new (lua/sandbox.h). Text only: byte
 * code is refused. `name` is the file as messages shall show it. -1 and CW_ERR_SCRIPT "name:line: reason": nothing is
 * pushed. */
int cw_load(struct cw_vm *vm, const char *name, const char *text, size_t len, struct cw_err *err);

#endif
