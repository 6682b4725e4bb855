/* embed.h - Lua files as part of the program: see base/embed.h. */
#ifndef CW_LUA_EMBED_H
#define CW_LUA_EMBED_H

#include "base/embed.h"

#endif
