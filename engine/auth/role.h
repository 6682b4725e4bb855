/* role.h - who may do what: five roles as bits.
 *
 * A route names the least role; the stronger ones are included: viewer < analyst < operator < admin. `service` stands
 * aside: a program that may post transactions and read what it posted. */
#ifndef CW_AUTH_ROLE_H
#define CW_AUTH_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cw_role {
	CW_ROLE_VIEWER = 1u << 0,
	CW_ROLE_ANALYST = 1u << 1,
	CW_ROLE_OPERATOR = 1u << 2,
	CW_ROLE_ADMIN = 1u << 3,
	CW_ROLE_SERVICE = 1u << 4,
};
#define CW_ROLES_ALL 0x1fu /* a route for everybody who is somebody: "user" */

/* "viewer" ... "service"; 0 if it is none of them. */
uint32_t cw_role_parse(const char *name, size_t len);
const char *cw_role_name(uint32_t role);
/* The bits that a holder of these roles has: admin holds all of the ladder, operator and admin may ingest. */
uint32_t cw_roles_expand(uint32_t roles);
/* A list with commas, as scopes and roles are stored: "admin,service". Unknown names are an error: false. */
bool cw_roles_parse_list(const char *text, uint32_t *roles);

#endif
