/* label_files.h - address lists that are files: what the database is to know of them.
 *
 * Those that hide alerts get their rows of suppressions, others lose theirs; and alerts that rested on an entry that is in the
 * files no more are opened again, as when a label of the database is taken away. */
#ifndef CW_APP_LABEL_FILES_H
#define CW_APP_LABEL_FILES_H

struct cw_bundle;
struct cw_engine;
struct cw_label_files;

struct cw_label_files *cw_label_files_new(struct cw_engine *e);
void cw_label_files_free(struct cw_label_files **files);

/* These files are live from now on; lists of the database among them are passed over. All engines of a database are to have
 * the same files. Alerts are looked for a little later, when what was judged by the files before is committed. */
void cw_label_files_take(struct cw_label_files *files, const struct cw_bundle *bundle);

#endif
