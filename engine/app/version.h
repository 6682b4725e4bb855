/* version.h - what was built. */
#ifndef CW_APP_VERSION_H
#define CW_APP_VERSION_H

extern const char cw_version[];   /* "0.1.0" */
extern const char cw_commit[];    /* of the source tree, or "unknown" */

#endif
