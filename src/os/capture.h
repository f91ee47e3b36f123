/* capture.h - what a library prints on stdout and stderr, as lines of our own.
 *
 * For a process that runs a vendor's library: descriptors 1 and 2 become a pipe, and a thread reads it. The
 * log goes on to where stderr went. A process has one capture, for its whole life. A fatal signal or exit()
 * waits until the lines before it were read, so that the last words are heard.
 */
#ifndef CURLEW_OS_CAPTURE_H
#define CURLEW_OS_CAPTURE_H

#include "base/err.h"
#include "base/str.h"

#define CAPTURE_LINE_BYTES 1024 // longer lines are cut into several

/* One line without its end and without terminal colours; on the capture's thread. The text is borrowed. */
typedef void capture_fn(void *ctx, struct str line);

NODISCARD int capture_start(capture_fn *fn, void *ctx, struct err *e);
/* Wait until what was printed so far has come out, at most so long. Fine without a capture. */
void capture_flush(int ms);

#endif
