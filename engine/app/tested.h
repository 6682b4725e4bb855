/* tested.h - rules that have passed their tests are not tested again by every start: <data_dir>/rules.tested.
 *
 * The file says which rules, as texts under which budgets, have passed under which build of the program and its libraries,
 * and what their tests fired on. Anything else - other text, another build, a file that is damaged or gone - and the tests
 * run. A reload always runs them. Where the file knows nothing of this build (a first start), the files of rules/ are
 * tested aside while the database comes up. */
#ifndef CW_APP_TESTED_H
#define CW_APP_TESTED_H

struct cw_arena;
struct cw_bundle;
struct cw_engine;
struct cw_tested;

/* Before the database is there. */
struct cw_tested *cw_tested_open(struct cw_engine *e);
/* Sets `tested` and `fires_json` of a bundle that has passed. Turns the loop while that is still being found out; may not be
 * called from it. */
void cw_tested_recall(struct cw_tested *t, struct cw_bundle *bundle, struct cw_arena *arena);
/* It has passed, by this report; NULL where it was not tested. A worker writes it down. */
void cw_tested_note(struct cw_tested *t, const struct cw_bundle *bundle, const char *report);
void cw_tested_close(struct cw_tested **tested);

#endif
