/* suggest.h - "did you mean": the nearest of some names. Pure. */
#ifndef CW_BASE_SUGGEST_H
#define CW_BASE_SUGGEST_H

/* Damerau-Levenshtein distance (restricted), at most 63 characters of each are looked at. */
int cw_edit_distance(const char *a, const char *b);
/* The name nearest to `word` if it is near enough to be meant (a third of its letters may differ), else NULL. `names`
 * ends with NULL. */
const char *cw_suggest(const char *word, const char *const *names);

#endif
