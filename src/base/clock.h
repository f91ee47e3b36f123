/* clock.h - the time, in one place so that a test can hold it still. */
#ifndef CURLEW_BASE_CLOCK_H
#define CURLEW_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_us(void); // never goes back; only differences mean something
int64_t  clock_wall_s(void);  // seconds since 1970, UTC
int64_t  clock_wall_us(void);

/* For tests: from now on both clocks stand at these values until changed again; mono_us 0 and
 * wall_s 0 give back the real ones. */
void clock_fake(uint64_t mono_us, int64_t wall_s);

#endif
