/* axera_int.h - the engine's parts: its thread that listens to the child, the console, the tokens, HTTP.
 *
 *   I/O thread     waits for the keeper, the child's output, the child's questions about tokens, and time;
 *                  never blocks, because a child gives its tokenizer one second
 *   run's thread   in open and generate: waits on `cond` for what the I/O thread has found out
 *
 * All fields but the few at the top are under `lock`. */
#ifndef CURLEW_ENGINES_AXERA_AXERA_INT_H
#define CURLEW_ENGINES_AXERA_AXERA_INT_H

#include <pthread.h>

#include "engine.h"
#include "engines/axera/axera_http.h"
#include "engines/axera/axera_log.h"
#include "engines/axera/axera_opt.h"
#include "os/keeper.h"
#include "token/tok.h"

#define AXERA_CONNS 8 // of the child to its tokenizer; it uses one at a time

/* A connection on which the child asks about tokens. */
struct axera_conn {
    int               fd; // -1: free
    struct axera_http in;
};

enum axera_con_state {
    AXERA_CON_BOOT,  // the first prompt marker has not come
    AXERA_CON_IDLE,  // the child waits for a line
    AXERA_CON_RESET, // "reset" was sent; the ticket follows at the marker
    AXERA_CON_RUN,   // the ticket was sent; the marker ends the run
};

/* A run of a console child: a ticket goes in on its terminal, ids come out as questions to its tokenizer. */
struct axera_con {
    enum axera_con_state state;
    int                  ticket;   // number of the run
    const int32_t       *prompt;   // [n_prompt] borrowed from the run
    int                  n_prompt;
    bool                 encoded;  // the child has asked for the prompt's ids
    bool                 stop;     // wanted; SIGINT until the marker comes
    bool                 ended;
    struct ids           out;      // generated, certain
    size_t               n_chunk;  // lists counted as chunks
    bool                 last_short; // the last chunk had one or two ids: what follows is the total
    int32_t              held[3];  // a list that may be a chunk or the total
    bool                 has_held;
    struct ids           total;
    struct tok_stream    stream; // of chunks to text, for children that hand text on
    bool                 has_total;
    uint64_t             sign_us;  // last sign of life
    uint64_t             int_us;   // last SIGINT
    uint64_t             stop_us;  // when stop was wanted first
    uint64_t             marker_us; // since when the marker stands alone; 0: it does not
    struct ids           kv;       // what a context-keeping child holds; valid with kv_known
    bool                 kv_known;
    int                  precompute; // tokens it said it holds after a turn, -1: nothing said
};

/* A program that speaks JSON lines on a socket. */
struct axera_nw1 {
    int             fd;   // -1: not there
    struct buf      line; // of its, not ended yet
    struct buf      out;  // of ours, not written yet
    struct buf      ahead; // text that came and is not given on yet: strings
    bool            hello, loaded;
    bool            tokens_in, messages_in, cancel, sampling; // its caps
    bool            busy, failed;
    char            id[16]; // of the run
    int             n_run, n_token, n_prompt, n_gen;
    enum engine_end end;
    struct err      err;
    uint64_t        ping_us; // a ping waits for its answer since; 0: none
    uint64_t        lost_us; // its socket ended
};

struct engine {
    struct axera_opts o;
    int               kind;    // enum axera_kind
    int               start_s;
    int               keeper;  // borrowed
    int               wake;    // eventfd: the I/O thread has something to do
    struct tok       *tok;     // NULL: the child's own
    struct str        tmpl;    // chat template beside the tokenizer, or STR_NULL
    struct arena      arena;
    pthread_t         thread;
    bool              has_thread;

    pthread_mutex_t lock;
    pthread_cond_t  cond;
    bool            opened, quit, dead;
    bool            running; // inside generate
    struct err      why;     // dead: of what
    int             out;     // the child's terminal or output
    struct axera_log  log;
    struct axera_conn conn[AXERA_CONNS];
    int             n_ctx, n_prompt_max; // tokens, 0: not known
    uint32_t        knobs; // enum engine_knob
    char            uid[24];
    int             n_uid;
    struct axera_con con;

    struct axera_nw1 nw1;

    /* HTTP children */
    pthread_mutex_t call_lock; // one CONNECT at a time
    pthread_t       health;
    bool            has_health;
    bool            linked; // an answer to CONNECT has come
    int             link;   // the connection, or -1
    char            link_why[64];
    int             drain;  // the connection of a cancelled run that is still being answered, or -1
    uint64_t        drain_us;
    int             abort_fd; // eventfd: readable while the run is to end
    bool            openai;   // AXERA_API: which form it has
    char            model[128]; // what the child calls it
};

/* engine_axera.c; the caller holds the lock */
void axera_die(struct engine *en, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void axera_signal(struct engine *en, int sig);
void axera_wake(struct engine *en);
/* Wait on cond, at most until the clock says so. False: it is late. */
bool axera_wait(struct engine *en, uint64_t until_us);

/* axera_con.c: console children. The caller holds the lock, but for generate. */
void axera_con_line(struct engine *en, struct str line);
void axera_con_output(struct engine *en); // bytes came
int  axera_con_tick(struct engine *en);   // time passed; milliseconds until the next call, -1: any
int  axera_con_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                        struct engine_gen_result *ret, struct err *e);
/* A new run of this prompt: its ticket, nothing generated yet. */
void axera_con_prepare(struct engine *en, const struct engine_gen *gen);
/* The child decoded these: generated ids. */
void axera_con_ids(struct engine *en, const struct ids *ids);

/* axera_tok.c: the child's questions about tokens. The caller holds the lock. */
void axera_tok_caller(struct engine *en, int fd); // takes fd
void axera_tok_read(struct engine *en, struct axera_conn *c);
void axera_tok_close(struct axera_conn *c);

/* axera_api.c: HTTP children. The caller does not hold the lock. */
/* A thread that asks an idle child now and then whether it is there. */
NODISCARD int axera_api_watch(struct engine *en, struct err *e);
NODISCARD int axera_api_open(struct engine *en, struct err *e); // wait until it answers, and ask what it is
int axera_api_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                       struct engine_gen_result *ret, struct err *e);

/* axera_nw1.c. The caller holds the lock, but for generate. */
void axera_nw1_init(struct axera_nw1 *n);
void axera_nw1_release(struct axera_nw1 *n);
void axera_nw1_up(struct engine *en, int fd); // takes fd
void axera_nw1_read(struct engine *en);
void axera_nw1_write(struct engine *en);
bool axera_nw1_may_read(const struct engine *en);
int  axera_nw1_tick(struct engine *en);
int  axera_nw1_generate(struct engine *en, const struct engine_gen *gen, engine_piece_fn *fn, void *ctx,
                        struct engine_gen_result *ret, struct err *e);

#endif
