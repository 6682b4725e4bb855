/* process_metrics.h - the standard process_* metrics, read from /proc at each exposition. */
#ifndef CW_APP_PROCESS_METRICS_H
#define CW_APP_PROCESS_METRICS_H

void cw_process_metrics_start(void);

#endif
