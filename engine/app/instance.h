/* instance.h - the name of this engine: random, made at the first start, the same as long as its data directory is. */
#ifndef CW_APP_INSTANCE_H
#define CW_APP_INSTANCE_H

#define CW_INSTANCE_TEXT 17

/* From the file "instance" of the data directory. Where it cannot be kept, the name is good for this run. */
void cw_instance_read(const char *data_dir, char out[CW_INSTANCE_TEXT]);

#endif
