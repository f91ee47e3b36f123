/* cli_run.c - `curlew run`: a conversation with a model in the terminal, or one answer in a pipe.
 *
 * The model is loaded into this process, with the same code as a worker's: a message is submitted to a
 * session, which is stepped until the answer has ended. Only where both ends are a terminal is anything
 * printed that is not the answer. Ctrl-C during an answer ends the answer, otherwise the program. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "json/json.h"
#include "os/cpu.h"
#include "prog/cli.h"
#include "prog/models.h"
#include "prog/serve_model.h"

#define COMMAND  "run"
#define DIM      "\033[2m"
#define PLAIN    "\033[0m"
#define PIPE_MAX MIB(4) // a prompt from a pipe
#define LOOK_MS  100    // a Ctrl-C that came just before we slept is seen so much later

struct run {
    struct settings    s;
    struct arena       arena;
    struct serve_model m;
    struct cli_talk    talk;
    struct chat_params params;
    bool               tty;   // decorate: both ends are a terminal
    bool               color;
    struct buf         line;  // of input
    uint32_t           id;    // of the request in flight

    /* the answer that is being printed */
    struct buf         answer, out;
    bool               ended, dim, fresh; // fresh: nothing of it is printed yet
    bool               failed;
    struct chat_usage  usage;
    enum chat_finish   finish;
    struct err         err;
    uint64_t           begin_us, first_us;
};

/* --- Ctrl-C --- */

static volatile sig_atomic_t interrupts; // since the answer began

static pthread_t main_thread;

/* The system gives the signal to any thread; only this one's waiting is to be interrupted. */
static void on_interrupt(int sig)
{
    if (!pthread_equal(pthread_self(), main_thread)) {
        pthread_kill(main_thread, sig);
        return;
    }
    if (++interrupts > 1) _exit(130); // a step of the engine does not end: the user means it
}

/* It is let in only while an answer is made or a line is waited for: none is lost in between. */
static void let_interrupts_in(bool in)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(in ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

static void catch_interrupts(void)
{
    struct sigaction sa = { .sa_handler = on_interrupt };

    main_thread = pthread_self();
    sigemptyset(&sa.sa_mask);
    let_interrupts_in(false);
    sigaction(SIGINT, &sa, NULL);
}

/* One byte of stdin, as read(2); EINTR when Ctrl-C comes while it waits or came just before. */
static ssize_t read_byte(char *c)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    sigset_t      none;

    sigemptyset(&none);
    if (ppoll(&p, 1, NULL, &none) < 0) return -1;
    return read(STDIN_FILENO, c, 1);
}

/* --- output --- */

static void flush(struct run *r)
{
    struct err e;

    if (!r->failed && cli_write(buf_text(&r->out), &e) < 0) {
        cli_failed(COMMAND, &e);
        r->failed = true;
    }
    buf_clear(&r->out);
}

/* What is not the answer; where stdout is no terminal it belongs on stderr. */
static void say_dim(struct run *r, const char *text)
{
    if (!r->tty) {
        fprintf(stderr, "%s\n", text);
        return;
    }
    buf_printf(&r->out, "%s%s%s\n", r->color ? DIM : "", text, r->color ? PLAIN : "");
    flush(r);
}

static void complain(struct run *r, const struct err *e)
{
    if (r->tty) {
        struct buf b;
        buf_init(&b, KIB(4));
        cli_put_clean(&b, str_c(e->msg));
        buf_byte(&b, 0);
        say_dim(r, b.p ? b.p : "");
        buf_release(&b);
    } else {
        cli_failed(COMMAND, e);
    }
}

/* From thinking to answer or back: an empty line between. */
static void set_dim(struct run *r, bool dim)
{
    if (r->dim == dim) return;
    r->dim = dim;
    if (r->color) buf_str(&r->out, dim ? STR(DIM) : STR(PLAIN));
    if (!r->fresh) buf_str(&r->out, STR("\n\n"));
    r->fresh = true;
}

/* Models begin with line ends that nobody wants to see. */
static void put_text(struct run *r, struct str s)
{
    if (r->fresh)
        while (s.n && (s.p[0] == '\n' || s.p[0] == ' ')) s = str_from(s, 1);
    if (!s.n) return;
    r->fresh = false;
    if (r->tty) cli_put_clean(&r->out, s);
    else buf_str(&r->out, s);
}

/* --- an answer --- */

static void on_event(struct run *r, const struct chat_event *ev)
{
    switch (ev->kind) {
    case CHAT_EV_TEXT:
        set_dim(r, false);
        buf_str(&r->answer, ev->text);
        put_text(r, ev->text);
        break;
    case CHAT_EV_REASONING:
        if (!r->tty) break;
        set_dim(r, true);
        put_text(r, ev->text);
        break;
    case CHAT_EV_FINISH: r->finish = ev->finish; break;
    case CHAT_EV_END:
        r->usage = ev->usage;
        r->ended = true;
        break;
    case CHAT_EV_ERROR:
        r->err   = ev->err;
        r->ended = true;
        break;
    case CHAT_EV_START:
    case CHAT_EV_CALL: // none: no tools are on offer
    case CHAT_EV_ARGS:
    case CHAT_EV_VECTOR: // likewise
    case CHAT_EV_LOGPROB: break;
    }
    if (!r->first_us && (ev->kind == CHAT_EV_TEXT || ev->kind == CHAT_EV_REASONING)) r->first_us = clock_mono_us();
}

static void take_events(struct run *r)
{
    struct unpack       u = unpack_init(buf_text(session_out(r->m.session)));
    struct chat_event   ev;
    struct chat_logprob top[LIM_TOP_LOGPROBS];

    while (u.n) {
        uint32_t id = unpack_u32(&u);
        if (!chat_event_unpack(&u, &ev, top, LIM_TOP_LOGPROBS)) break;
        if (id == r->id) on_event(r, &ev);
    }
    session_sent(r->m.session);
    if (r->out.n) flush(r);
}

static void step_until_ended(struct run *r)
{
    struct session *s = r->m.session;

    while (!r->ended && !interrupts && !r->failed) {
        bool busy = session_step(s);
        take_events(r);
        if (busy || r->ended) continue;
        struct pollfd p = { .fd = session_wake_fd(s), .events = POLLIN };
        int           ms = session_wait_ms(s);
        poll(&p, p.fd >= 0, ms < 0 || ms > LOOK_MS ? LOOK_MS : ms);
    }
    if (!r->ended) session_cancel(s, r->id);
    session_step(s); // what was cancelled leaves
    session_sent(s);
}

static int submit(struct run *r, struct err *e)
{
    struct chat_req q;
    struct buf      b;

    chat_req_init(&q);
    q.kind   = CHAT_KIND_CHAT;
    q.msg    = r->talk.msg;
    q.n_msg  = (int)r->talk.n;
    q.params = r->params;
    if (r->s.think != THINK_WORD_AUTO)
        q.template_kwargs = r->s.think == THINK_WORD_ON ? STR("{\"enable_thinking\":true}") : STR("{\"enable_thinking\":false}");
    q.n_max  = r->s.max_tokens ? (int)r->s.max_tokens : -1;
    buf_init(&b, LIM_FRAME_BYTES);
    chat_req_pack(&b, &q);
    int rc = b.failed ? err_set(e, ERR_TOO_LARGE, "the conversation is larger than %zu bytes; /clear begins a new one",
                                LIM_FRAME_BYTES) : 0;
    if (rc == 0) session_submit(r->m.session, ++r->id, buf_text(&b));
    buf_release(&b);
    return rc;
}

/* The line under an answer. */
static void report(struct run *r)
{
    char        text[160];
    uint64_t    end = clock_mono_us();
    const char *why = r->finish == CHAT_FINISH_LENGTH ? " (the limit ended it)" : "";
    int         n   = r->usage.n_gen;
    double      gen = r->first_us ? (double)(end - r->first_us) * 1e-6 : 0;

    if (!r->ended) snprintf(text, sizeof text, "stopped");
    else if (n > 1 && gen > 0)
        snprintf(text, sizeof text, "%d tokens, %.1f tokens/s, the first after %.0f ms%s", n, (n - 1) / gen,
                 (double)(r->first_us - r->begin_us) * 1e-3, why);
    else snprintf(text, sizeof text, "%d token%s%s", n, n == 1 ? "" : "s", why);
    say_dim(r, text);
}

/* Answer the last message of the conversation. An answer that failed or was not begun takes the question
 * with it, so that the conversation stays one. */
static int answer(struct run *r, struct err *e)
{
    buf_clear(&r->answer);
    r->ended = r->dim = false;
    r->fresh = true;
    r->finish   = CHAT_FINISH_STOP;
    r->usage    = (struct chat_usage){ 0 };
    r->err      = (struct err){ 0 };
    r->begin_us = clock_mono_us();
    r->first_us = 0;
    interrupts  = 0;
    int rc = submit(r, e);
    if (rc == 0) {
        let_interrupts_in(true);
        step_until_ended(r);
        let_interrupts_in(false);
        if (r->dim && r->color) buf_str(&r->out, STR(PLAIN));
        if (!r->fresh && (r->tty || !str_ends(buf_text(&r->answer), STR("\n")))) buf_byte(&r->out, '\n');
        if (r->err.code) {
            *e = r->err;
            rc = -(int)e->code;
        } else if (r->tty) {
            report(r);
        }
        flush(r);
    }
    if (rc == 0 && r->answer.n) rc = cli_talk_add(&r->talk, CHAT_ASSISTANT, buf_text(&r->answer), e);
    else if (r->talk.n) r->talk.n--;
    return rc;
}

/* --- input --- */

/* One line of stdin into r->line, without its end; one ending in a backslash goes on in the next. 1: there
 * is one; 0: end of input, or Ctrl-C at the prompt. */
static int read_line(struct run *r, const char *prompt)
{
    buf_clear(&r->line);
    interrupts = 0; // those of the answer are dealt with
    for (;;) {
        char c;
        if (r->tty && prompt) {
            buf_str(&r->out, str_c(prompt));
            flush(r);
            prompt = NULL;
        }
        ssize_t n = read_byte(&c);
        if (n < 0 && errno == EINTR && !interrupts) continue;
        if (n <= 0) {
            if (r->tty) say_dim(r, "");
            return n == 0 && r->line.n;
        }
        if (c != '\n') {
            buf_byte(&r->line, c);
            continue;
        }
        if (!r->line.n || r->line.p[r->line.n - 1] != '\\') return 1;
        r->line.p[r->line.n - 1] = '\n';
        prompt                   = "... ";
    }
}

static int read_pipe(struct run *r, struct err *e)
{
    buf_clear(&r->line);
    for (;;) {
        char   *p = buf_room(&r->line, KIB(16));
        ssize_t n = p ? read(STDIN_FILENO, p, KIB(16)) : -1;
        if (!p) return err_set(e, ERR_TOO_LARGE, "the prompt is larger than %zu bytes", PIPE_MAX);
        r->line.n -= KIB(16) - (n > 0 ? (size_t)n : 0);
        if (n < 0) return err_set(e, ERR_IO, "reading the prompt: %s", err_errno(errno));
        if (n == 0) return 0;
    }
}

/* --- commands --- */

static int save(struct run *r, struct str name, struct err *e)
{
    struct buf b;
    char       path[4096];
    int        rc = 0;

    if (!name.n) return err_set(e, ERR_INVALID_VALUE, "/save needs the name of a file");
    if (name.n >= sizeof path) return err_set(e, ERR_INVALID_VALUE, "the name is longer than %zu bytes", sizeof path - 1);
    str_copy_z(path, sizeof path, name);
    buf_init(&b, MIB(256));
    buf_str(&b, STR("{\"messages\": ["));
    for (size_t i = 0; i < r->talk.n; i++) {
        buf_printf(&b, "%s\n  {\"role\": \"%s\", \"content\": ", i ? "," : "", chat_role_name(r->talk.msg[i].role));
        json_put_str(&b, r->talk.msg[i].content);
        buf_byte(&b, '}');
    }
    buf_str(&b, STR("\n]}\n"));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) rc = err_set(e, ERR_IO, "%s is there already; choose another name", path);
    else if (fd < 0) rc = err_set(e, ERR_IO, "%s: %s", path, err_errno(errno));
    else if (b.failed) rc = err_nomem(e, "saving the conversation");
    for (struct str s = buf_text(&b); rc == 0 && s.n;) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR) rc = err_set(e, ERR_IO, "%s: %s", path, err_errno(errno));
        s = str_from(s, n > 0 ? (size_t)n : 0);
    }
    if (fd >= 0) close(fd);
    buf_release(&b);
    return rc;
}

static const char help_text[] =
    "/system TEXT  what the model shall be (alone: nothing in particular)\n"
    "/think WHEN   on, off or auto: thinking before the answer, where the model has a switch\n"
    "/clear        begin a new conversation\n"
    "/save FILE    write the conversation as JSON, as the API takes it\n"
    "/exit         leave (Ctrl-D, or Ctrl-C at the prompt)\n"
    "Ctrl-C stops an answer. A line that ends in \\ goes on in the next.";

static void set_think(struct run *r, struct str when)
{
    static const char *const words[] = { "auto", "on", "off" }; // order of THINK_WORD_*

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!str_eq(when, str_c(words[i]))) continue;
        r->s.think = (int)i;
        say_dim(r, i == THINK_WORD_ON ? "the model thinks first" : i == THINK_WORD_OFF ? "no thinking" : "thinking as the model has it");
        return;
    }
    say_dim(r, "/think wants on, off or auto");
}

/* True: go on. */
static bool command(struct run *r, struct str line)
{
    struct str rest = line, word;
    struct err e;
    int        rc = 0;

    str_cut(&rest, ' ', &word);
    rest = str_trim(rest);
    if (str_eq(word, STR("/exit")) || str_eq(word, STR("/quit")) || str_eq(word, STR("/bye"))) return false;
    if (str_eq(word, STR("/help")) || str_eq(word, STR("/?"))) {
        say_dim(r, help_text);
    } else if (str_eq(word, STR("/clear"))) {
        struct str system = str_c(r->s.system);
        cli_talk_clear(&r->talk);
        rc = cli_talk_system(&r->talk, system, &e);
        say_dim(r, "a new conversation");
    } else if (str_eq(word, STR("/system"))) {
        r->s.system = arena_str(&r->arena, rest).p; // /clear keeps it
        rc = r->s.system ? cli_talk_system(&r->talk, rest, &e) : err_nomem(&e, "taking the system message");
        if (rc == 0) say_dim(r, rest.n ? "the system message is set" : "no system message");
    } else if (str_eq(word, STR("/think"))) {
        set_think(r, rest);
    } else if (str_eq(word, STR("/save"))) {
        rc = save(r, rest, &e);
        if (rc == 0) say_dim(r, "saved");
    } else {
        say_dim(r, "no such command; /help lists them");
    }
    if (rc < 0) complain(r, &e);
    return true;
}

/* --- the two ways to run --- */

static void talk(struct run *r)
{
    struct err e;

    catch_interrupts();
    while (!r->failed) {
        interrupts = 0;
        if (!read_line(r, "> ")) return;
        if (r->line.failed) {
            say_dim(r, "that was too long");
            continue;
        }
        struct str line = str_trim(buf_text(&r->line));
        if (!line.n) continue;
        if (line.p[0] == '/') {
            if (!command(r, line)) return;
            continue;
        }
        int rc = cli_talk_add(&r->talk, CHAT_USER, line, &e);
        if (rc == 0) rc = answer(r, &e);
        if (rc < 0) complain(r, &e);
        if (rc == -ERR_CONTEXT_LENGTH) say_dim(r, "/clear begins a new conversation");
    }
}

static int once(struct run *r, struct err *e)
{
    int rc = 0;

    if (r->s.arg.n) buf_str(&r->line, str_c(r->s.arg.v[0]));
    else rc = read_pipe(r, e);
    struct str text = str_trim(buf_text(&r->line));
    if (rc == 0 && !text.n) rc = err_set(e, ERR_INVALID_VALUE, "the prompt is empty");
    if (rc == 0) rc = cli_talk_add(&r->talk, CHAT_USER, text, e);
    if (rc == 0) rc = answer(r, e);
    return rc;
}

/* --- start --- */

static int set_params(struct run *r, struct err *e)
{
    double t;

    if (!str_to_f64(str_c(r->s.temperature), &t) || t < 0 || t > 2)
        return err_set(e, ERR_BAD_CONFIG, "--temperature: \"%.40s\" is not a number from 0 to 2", r->s.temperature);
    chat_params_init(&r->params);
    r->params.temperature = (float)t;
    r->params.has_seed    = r->s.seed >= 0;
    r->params.seed        = r->s.seed >= 0 ? (uint64_t)r->s.seed : 0;
    return 0;
}

/* In a checkout the model that comes with it. */
static int find_model(struct run *r, struct err *e)
{
    glob_t g = { 0 };

    if (r->s.model.n || str_starts(str_c(r->s.engine), STR("script:"))) return 0;
    glob("models/*/*.gguf", 0, NULL, &g);
    glob("models/*.gguf", GLOB_APPEND, NULL, &g);
    const char **v = arena_array(&r->arena, 1, sizeof *v);
    if (v && g.gl_pathc) v[0] = arena_str(&r->arena, str_c(g.gl_pathv[0])).p;
    if (v && v[0]) r->s.model = (struct opt_list){ v, 1 };
    globfree(&g);
    return r->s.model.n ? 0 : err_set(e, ERR_BAD_CONFIG, "no model: name a GGUF file with --model FILE (there is "
                                                         "none in models/ here)");
}

static int load(struct run *r, struct err *e)
{
    struct model_list list;
    int               rc = models_list(&r->s, &r->arena, &list, e);

    if (rc == 0) rc = models_open(&list, e);
    if (rc < 0) return rc;
    const struct model_spec *spec = list.v;
    if (spec[0].npu) { // a vendor's library prints where we do, and may take us with it
        err_set(e, ERR_UNSUPP_MODEL, "%s: NPU models have a process of their own: curlew serve --model %s", spec[0].path,
                spec[0].path);
        models_close(&list);
        return -ERR_UNSUPP_MODEL;
    }
    const struct engine_file file = { .name = spec[0].base, .fd = spec[0].fd, .size = spec[0].size };
    const struct serve_files files = { .file = &file, .n_file = 1, .template_fd = spec[0].template_fd };
    r->s.parallel = 1;
    if (!r->s.threads) r->s.threads = cpu_count().n_core;
    cpu_confine((int)r->s.threads);
    rc = serve_model_open(&r->s, spec[0].id.p, &files, &r->m, e);
    if (rc == 0 && r->tty) {
        struct chat_info *i = &r->m.info;
        buf_str(&r->out, r->color ? STR(DIM) : STR(""));
        cli_put_clean(&r->out, spec[0].id);
        buf_printf(&r->out, ", context %d tokens. /help lists commands, Ctrl-D ends.%s\n", i->n_ctx,
                   r->color ? PLAIN : "");
        flush(r);
    }
    models_close(&list);
    return rc;
}

static bool is_usage(const struct err *e)
{
    return e->code == ERR_BAD_CONFIG;
}

int cli_run(const struct settings *s)
{
    struct run r = { .s = *s };
    struct err e;

    log_init(LOG_LVL_ERROR, COMMAND); // what matters here is said in words
    bool one = s->arg.n || !isatty(STDIN_FILENO);
    r.tty    = !one && isatty(STDOUT_FILENO);
    r.color  = r.tty && !getenv("NO_COLOR");
    arena_init(&r.arena, MIB(16));
    cli_talk_init(&r.talk);
    buf_init(&r.line, PIPE_MAX + KIB(16));
    buf_init(&r.answer, MIB(16));
    buf_init(&r.out, MIB(16));
    int rc = s->model.n > 1 ? err_set(&e, ERR_BAD_CONFIG, "--model: one model is wanted, %d were named", s->model.n)
                            : set_params(&r, &e);
    if (rc == 0) rc = find_model(&r, &e);
    if (rc == 0) rc = load(&r, &e);
    if (rc == 0) rc = cli_talk_system(&r.talk, str_c(s->system), &e);
    if (rc == 0 && one) rc = once(&r, &e);
    else if (rc == 0) talk(&r);
    int status = rc < 0 ? cli_failed(COMMAND, &e), is_usage(&e) ? PROG_USAGE : PROG_FAILED : PROG_OK;
    if (r.failed) status = PROG_FAILED;

    if (r.m.session) serve_model_close(&r.m);
    cli_talk_release(&r.talk);
    buf_release(&r.line);
    buf_release(&r.answer);
    buf_release(&r.out);
    arena_release(&r.arena);
    return status;
}
