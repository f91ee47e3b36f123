/* clock.c - the time. */
#include "base/clock.h"

#include <time.h>

static uint64_t fake_mono_us;
static int64_t  fake_wall_s;

static struct timespec now(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return t;
}

uint64_t clock_mono_us(void)
{
    if (fake_mono_us) return fake_mono_us;
    struct timespec t = now(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

int64_t clock_wall_us(void)
{
    if (fake_wall_s) return fake_wall_s * 1000000;
    struct timespec t = now(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_s(void)
{
    return clock_wall_us() / 1000000;
}

void clock_fake(uint64_t mono_us, int64_t wall_s)
{
    fake_mono_us = mono_us;
    fake_wall_s  = wall_s;
}
