/* lists_names.c - names of lists and categories in options, turned into numbers of the set in use. */
#include <string.h>

#include "base/err.h"
#include "detect/lists_match.h"

int cw_list_names_read(struct cw_list_names *names, const char *text, const char *primitive, const char *option,
                       struct cw_err *err)
{
	size_t len = strlen(text);
	char *at = names->text;

	names->n = 0;
	if (len >= CW_LIST_NAMES_BYTES)
		return cw_err_set(err, CW_ERR_INVALID, "%s: option \"%s\" must be shorter than %d bytes", primitive, option,
		                  CW_LIST_NAMES_BYTES);
	memcpy(names->text, text, len + 1);
	while (*at != '\0') {
		char *end;

		at += strspn(at, " ,");
		if (*at == '\0')
			break;
		if (names->n == CW_LIST_NAMES_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "%s: option \"%s\" must name %d at most", primitive, option,
			                  CW_LIST_NAMES_MAX);
		names->name[names->n++] = at;
		end = at + strcspn(at, ",");
		at = *end != '\0' ? end + 1 : end;
		while (end > names->name[names->n - 1] && end[-1] == ' ')
			end--;
		*end = '\0';
	}
	return 0;
}

void cw_list_names_number(struct cw_list_names *names, const struct cw_lists *lists)
{
	for (int i = 0; i < names->n; i++)
		names->number[i] = cw_lists_text_number((struct cw_lists *)(uintptr_t)lists, names->name[i], false);
}

bool cw_list_names_have(const struct cw_list_names *names, uint32_t number)
{
	for (int i = 0; i < names->n; i++)
		if (names->number[i] == number)
			return true;
	return names->n == 0;
}
