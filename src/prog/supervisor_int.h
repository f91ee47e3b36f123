/* supervisor_int.h - what the supervisor's parts share: its children, its models, where it listens. */
#ifndef CURLEW_PROG_SUPERVISOR_INT_H
#define CURLEW_PROG_SUPERVISOR_INT_H

#include <sys/types.h>

#include "base/limits.h"
#include "base/pack.h"
#include "conf/place.h"
#include "gateway/state.h"
#include "os/chan.h"
#include "prog/admin_key.h"
#include "prog/lookup.h"
#include "prog/models.h"
#include "prog/repack.h"

#define PLACES_MAX 16 // as many listeners as the front takes

struct child {
    pid_t        pid;      // 0: not running
    struct chan *chan;     // NULL: not running
    bool         up;       // said READY or LOADED
    bool         linked;   // worker: the front answers for it
    bool         load_failed;
    uint64_t     started_us;
    uint64_t     again_us; // when to start it again; 0: not waiting
    uint64_t     kill_us;  // when patience with one that shall end is over; 0: it need not end
    int          fails;    // ends in a row, each soon after its start
    int          restarts; // in all, for reports
    int          ctx;      // > 0: the context that its library said it has, after a load that asked for more
    char         load_error[ERR_MSG_MAX]; // why load_failed, for a front that starts later
};

/* A model beside its model_spec: the index is the same in both, and in the front. */
struct served {
    struct arena arena;   // of the spec's texts
    struct str   conf;    // its settings for a worker, as opt_pack writes them
    struct str   same;    // those that differ only when a new worker is needed
    int          reasoning_field;
    uint32_t     place;   // in the list of models
    int64_t      created;
    int          npu_nth;    // which of the NPU models it is, from 0; -1: none
    int64_t      npu_domain;
    bool         leaving; // not served any more: the front lets its last requests end
    int          replaces; // index, and one, of the model that serves in its place until it is there; 0: none
    bool         told;     // the front knows it
};

struct supervisor {
    const struct settings *first;         // those of the start: where it listens
    struct settings        s;             // those of now
    struct settings        child_settings; // as `s`, numbers worked out
    struct arena           arena;
    struct arena           conf_arena;    // of settings that a reload read
    struct model_spec      model[LIM_MODELS];  // [n_model]; id.p is NULL where there is none
    struct served          served[LIM_MODELS];
    struct child           worker[LIM_MODELS];
    struct repack          repack[LIM_MODELS]; // of workers that load
    int                    n_model;       // index of the last one, and one
    struct child           front;
    int                    listen_fd[PLACES_MAX];
    struct place           place[PLACES_MAX]; // with the ports that are bound
    int                    n_listen;
    char                   admin_key[ADMIN_KEY_MAX + 1]; // or empty
    int                    signal_fd;
    bool                   stopping;
    bool                   announced;
    bool                   client;   // the front may talk to other servers: some model had upstreams at the start
    struct str             ca;       // certificates for that
    struct lookup         *lookup;   // of their hosts, or NULL
    bool                   reloaded;
    uint64_t               kill_us; // when patience with stopping children ends
    int                    status;
};

/* --- supervisor.c --- */

NODISCARD int supervisor_send(struct child *c, enum msg_type t, uint32_t id, struct str body, struct err *e);
NODISCARD int supervisor_start_worker(struct supervisor *sv, int i, struct err *e);
/* Numbers that the machine decides, and the rights to as many descriptors as that takes. */
void supervisor_work_out(struct supervisor *sv);
/* Frames to the front, which may be starting: queued. */
NODISCARD int supervisor_tell_conf(struct supervisor *sv, struct err *e);
NODISCARD int supervisor_tell_model(struct supervisor *sv, int i, struct err *e);
/* No worker is needed for this model any more, and its index is free once that has ended. */
void supervisor_end_worker(struct supervisor *sv, int i);

/* --- listen.c: sockets, and what a person is told of them --- */

NODISCARD int listen_open(struct supervisor *sv, struct err *e);
void          listen_close(struct supervisor *sv);
void          listen_banner(const struct supervisor *sv, const struct model_spec *m);

/* --- reload.c --- */

/* The list's model i into a free index, its worker not yet started; takes over the descriptors. */
NODISCARD int reload_take(struct supervisor *sv, struct model_spec *m, uint32_t place, int *ret_i, struct err *e);
/* The models of a list whose files are open, all of them new. */
NODISCARD int reload_take_all(struct supervisor *sv, struct model_list *l, struct err *e);
/* Read the configuration again and do what it says. *json gets what was done. On error all is as it was. */
NODISCARD int reload_run(struct supervisor *sv, struct buf *json, struct err *e);
void          reload_notes(const struct settings *s, const struct model_list *l); // to the log

#endif
