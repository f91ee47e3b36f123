/* capture.h - what a library prints on stdout and stderr, as lines of our own.
 *
 * For a process that runs a vendor's library: descriptors 1 and 2 become a pipe, and a small process reads it,
 * so that the last words before a crash or an exit are heard, too. The log goes on to where stderr went. A
 * process has one capture, for its whole life; start it while there is one thread and fork is still allowed.
 */
#ifndef CURLEW_OS_CAPTURE_H
#define CURLEW_OS_CAPTURE_H

#include "base/err.h"
#include "base/str.h"

#define CAPTURE_LINE_BYTES 1024 // longer lines are cut into several

/* One line without its end and without terminal colours, in the reading process: what it wants to tell the
 * other one must lie in memory that both share. The text is borrowed. */
typedef void capture_fn(void *ctx, struct str line);

NODISCARD int capture_start(capture_fn *fn, void *ctx, struct err *e);
/* Wait until what was printed so far has been given to the function, at most so long. Fine without a capture. */
void capture_flush(int ms);

#endif
