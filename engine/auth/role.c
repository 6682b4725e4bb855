#include "auth/role.h"

#include <string.h>

static const char *const names[] = { "viewer", "analyst", "operator", "admin", "service" };
#define ROLES (sizeof(names) / sizeof(*names))

uint32_t cw_role_parse(const char *name, size_t len)
{
	for (size_t i = 0; i < ROLES; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return 1u << i;
	return 0;
}

const char *cw_role_name(uint32_t role)
{
	for (size_t i = 0; i < ROLES; i++)
		if (role == 1u << i)
			return names[i];
	return "";
}

uint32_t cw_roles_expand(uint32_t roles)
{
	for (uint32_t r = CW_ROLE_ADMIN; r > CW_ROLE_VIEWER; r >>= 1)
		if (roles & r)
			roles |= r >> 1;
	if (roles & CW_ROLE_OPERATOR)
		roles |= CW_ROLE_SERVICE;
	return roles;
}

bool cw_roles_parse_list(const char *text, uint32_t *roles)
{
	*roles = 0;
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		uint32_t role = cw_role_parse(text, len);

		if (role == 0)
			return false;
		*roles |= role;
		text += len;
		if (*text == ',')
			text++;
	}
	return true;
}
