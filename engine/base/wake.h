/* wake.h - telling another thread or process through an eventfd. */
#ifndef CW_BASE_WAKE_H
#define CW_BASE_WAKE_H

/* Adds one to the eventfd. A full counter is as good; any other refusal is tried again, because a wake-up that gets lost
 * is a hang on the other side. */
void cw_wake(int fd);

#endif
