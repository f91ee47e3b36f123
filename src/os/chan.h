/* chan.h - the channel between two of our processes: frames over a socketpair.
 *
 * One place sends, receives, traces and polices. A frame is
 *
 *     u32 payload bytes | u16 type | u16 descriptors (0 or 1) | u32 id | u32 sequence number | payload
 *
 * little-endian. msg.def says who may send which type to whom, in which state of the channel, how
 * many bytes at most and whether a descriptor travels with it. A frame that breaks its row, or comes
 * out of sequence, ends the channel: the other process is broken or hostile.
 *
 * Non-blocking; the owner's loop watches chan_fd for reading always and for writing while
 * chan_want_write. Not thread-safe: one thread owns a channel.
 */
#ifndef CURLEW_OS_CHAN_H
#define CURLEW_OS_CHAN_H

#include "base/buf.h"
#include "base/err.h"

enum chan_role { CHAN_SUPERVISOR = 1 << 0, CHAN_FRONT = 1 << 1, CHAN_WORKER = 1 << 2 };
enum chan_state { CHAN_START = 1 << 0, CHAN_UP = 1 << 1, CHAN_DRAIN = 1 << 2 };

enum msg_type {
    MSG_NONE,
#define MSG_ROW(name, from, to, when, bytes, fds) MSG_##name,
#include "os/msg.def"
#undef MSG_ROW
    MSG_TYPES
};

struct chan;

/* A received frame. Payload is valid until the handler returns; the descriptor (-1 when none) is the
 * handler's to keep or close. */
struct chan_msg {
    enum msg_type type;
    uint32_t      id;
    struct str    body;
    int           fd;
};

/* Two connected sockets, close-on-exec and non-blocking. */
NODISCARD int chan_pair(int ret_fd[2], struct err *e);

/* Take over fd. `me` and `peer` are the two ends' roles. */
NODISCARD int chan_open(int fd, enum chan_role me, enum chan_role peer, struct chan **ret, struct err *e);
void          chan_close(struct chan *c); // closes the fd and undelivered descriptors; NULL is fine
int           chan_fd(const struct chan *c);

/* Append a frame; it leaves at the next chan_flush. fd (or -1) is duplicated: the caller keeps its own.
 * Breaking msg.def is our own bug (assert). Error: NO_MEMORY, or OVERLOADED when LIM_CHAN_OUT bytes
 * wait already (the other side is stuck): nothing was appended. */
NODISCARD int chan_send(struct chan *c, enum msg_type type, uint32_t id, struct str body, int fd,
                        struct err *e);

/* Write what is waiting as far as the socket takes it. 0, or a negative code when the channel is dead. */
NODISCARD int chan_flush(struct chan *c, struct err *e);
bool          chan_want_write(const struct chan *c);
size_t        chan_pending(const struct chan *c); // bytes that wait to be written

/* Read what is there and call `fn` for each whole frame, in order. fn may send on c but not close it;
 * it returns a negative code to stop (given back). Returns 0 when all that was there is handled, and
 * an error when the channel is dead: ENGINE_GONE when the peer closed it, PROTOCOL when it broke the
 * rules. */
typedef int chan_fn(void *ctx, struct chan *c, const struct chan_msg *m, struct err *e);
NODISCARD int chan_recv(struct chan *c, chan_fn *fn, void *ctx, struct err *e);

/* Blocking variants for start-up: until the peer's next frames came or timeout_ms passed (TIMEOUT);
 * until all is written. */
NODISCARD int chan_recv_wait(struct chan *c, int timeout_ms, chan_fn *fn, void *ctx, struct err *e);
NODISCARD int chan_flush_wait(struct chan *c, int timeout_ms, struct err *e);

enum chan_state chan_state(const struct chan *c);
const char     *msg_name(enum msg_type t);

#endif
