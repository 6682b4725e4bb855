/* cmd_rules_test.c - chainwatch rules test. */
#include <stdio.h>

#include "app/cmd_rules.h"
#include "app/config.h"
#include "app/try_rules.h"
#include "base/buf.h"
#include "base/err.h"

int cw_rules_test(int argc, char **argv, struct cw_zygote *zygote)
{
	struct cw_cli cli = {
		.verb = "rules test",
		.usage = "rules test [options]\n\nLoads the rules and runs their tests, as a reload would; exit 1 if one fails.\n",
	};
	struct cw_operands operands = { .n = 0 };
	struct cw_buf report = CW_BUF_INIT;
	struct cw_config *config;
	struct cw_err err;
	int rc = 0;

	if (cw_rules_next(&cli, argc, argv, NULL, &operands) == '?')
		return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	if (cw_try_rules(config, zygote, &report, &err) != 0) {
		fprintf(stderr, "%s\n", err.msg);
		rc = 1;
	} else if (cli.json) {
		printf("%s\n", report.data);
	} else {
		printf("all tests passed\n");
	}
	cw_buf_release(&report);
	cw_config_free(&config);
	return rc;
}
