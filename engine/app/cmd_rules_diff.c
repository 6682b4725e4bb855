/* cmd_rules_diff.c - chainwatch rules diff: two versions of a rule on the same stream. */
#include <stddef.h>

#include "app/cmd_rules.h"

enum { OPT_LIVE = 256, OPT_SINCE };

int cw_rules_diff(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "live", required_argument, NULL, OPT_LIVE }, { "since", required_argument, NULL, OPT_SINCE }, { NULL, 0, NULL, 0 },
	};
	struct cw_cli cli = {
		.verb = "rules diff",
		.usage = "rules diff --live ID [options]\n\n"
		         "What the candidate of a rule has said on live traffic and the live version has not, and the other way\n"
		         "round: counts, by entity, one by one; and what a call of each costs.\n\n"
		         "      --live ID            the candidate of this rule in the running engine\n"
		         "      --since TIME         alerts of this time or later; else since the trial is warm\n",
	};
	const char *live = NULL, *since = NULL;
	struct cw_operands operands = { .n = 0 };
	int opt;

	(void)zygote;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		switch (opt) {
		case OPT_LIVE: live = optarg; break;
		case OPT_SINCE: since = optarg; break;
		default: return 2;
		}
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (operands.n > 0)
		return cw_cli_usage_error(&cli, "takes no argument \"%s\"", operands.list[0]);
	if (live == NULL)
		return cw_cli_usage_error(&cli, "say which rule: --live ID");
	return cw_rules_diff_live(&cli, live, since);
}
