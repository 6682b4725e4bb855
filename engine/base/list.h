/* list.h - intrusive doubly linked list. A link is in one list at a time; an unlinked link points to itself. */
#ifndef CW_BASE_LIST_H
#define CW_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct cw_list {
	struct cw_list *prev, *next;
};

#define CW_LIST_INIT(name) { &(name), &(name) }
#define cw_list_entry(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))
/* `link` may be removed inside the loop. */
#define cw_list_each(link, tmp, list) \
	for ((link) = (list)->next, (tmp) = (link)->next; (link) != (list); (link) = (tmp), (tmp) = (link)->next)

static inline void cw_list_init(struct cw_list *list)
{
	list->prev = list->next = list;
}

static inline bool cw_list_empty(const struct cw_list *list)
{
	return list->next == list;
}

static inline void cw_list_append(struct cw_list *list, struct cw_list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

static inline void cw_list_prepend(struct cw_list *list, struct cw_list *link)
{
	cw_list_append(list->next, link);
}

static inline void cw_list_remove(struct cw_list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	cw_list_init(link);
}

/* The first link, unlinked; NULL if there is none. */
static inline struct cw_list *cw_list_take(struct cw_list *list)
{
	struct cw_list *first = list->next;

	if (first == list)
		return NULL;
	cw_list_remove(first);
	return first;
}

#endif
