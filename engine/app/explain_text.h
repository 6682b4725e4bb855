/* explain_text.h - the explanation of a rule's verdict (cw_rule_explain) for people. */
#ifndef CW_APP_EXPLAIN_TEXT_H
#define CW_APP_EXPLAIN_TEXT_H

struct cw_buf;
struct cw_json;

/* Lines, each behind `indent`: what decided, then the steps. */
void cw_explain_put_text(const struct cw_json *rule, const char *indent, struct cw_buf *out);

#endif
