#include "app/migrate_cli.h"
int cw_migrate_cli_adopt(struct cw_migrate_cli *w)
{
	(void)w;
	return 2;
}
