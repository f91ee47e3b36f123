/* banned.h - functions that have no safe use here are compile errors.
 *
 * The build includes this file before every other one (meson.build), so no room can forget it.
 * What to use: snprintf or buf_printf for sprintf, str and buf for strcpy and strcat, str_cut for
 * strtok, str_to_i64 for atoi and friends, rng_* for rand, fd_read_file for gets.
 */
#ifndef CURLEW_BASE_BANNED_H
#define CURLEW_BASE_BANNED_H

/* The headers that declare these must come first: poisoning a name also bans its declaration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca // macros in some headers
#undef strcpy
#undef sprintf
#undef strncat
#undef vsprintf
#undef gets

#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets
#pragma GCC poison strtok strtok_r atoi atol atoll atof rand srand random srandom drand48
#pragma GCC poison tmpnam mktemp tempnam alloca asctime ctime gmtime localtime

#endif
