/* main.c - which program this is: the commands, and the roles that the supervisor starts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/openapi.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/conf.h"
#include "os/fd.h"
#include "prog/bench.h"
#include "prog/cli.h"

struct command {
    const char *name, *args, *help;
    unsigned    roles; // of its options
    int         n_arg; // most arguments that are no flags
    int (*run)(const struct settings *s);
};

static int run_bench(const struct settings *s)
{
    if (s->serve) {
        const struct bench_serve_conf c = { .url = s->serve, .model = s->model.n ? s->model.v[0] : NULL, .clients = s->clients,
                                            .words = s->words, .rounds = (int)s->repeat, .generate = (int)s->generate,
                                            .pid = (int)s->pid, .json = s->json };
        return bench_serve(&c);
    }
    if (s->model.n != 1) {
        fprintf(stderr, "curlew bench: name one GGUF file with --model FILE\n");
        return PROG_USAGE;
    }
    const struct bench_conf c = { .model = s->model.v[0], .n_thread = (int)s->threads, .prompt = (int)s->prompt,
                                  .generate = (int)s->generate, .n_seq = (int)s->together, .kv_type = s->kv_type,
                                  .repeat = (int)s->repeat, .json = s->json, .peer = s->peer };
    return bench_main(&c);
}

static const struct command commands[] = {
    { "serve", "--model FILE [options]", "Serve models over the OpenAI API.", OPT_SERVE, 0, supervisor_main },
    { "check-config", "FILE [options]", "What a configuration would serve, or what is wrong with it.", OPT_SERVE, 1,
      cli_check_config },
    { "run", "--model FILE [PROMPT]", "Chat with a model in the terminal.", OPT_RUN, 1, cli_run },
    { "show", "--model FILE", "What a model file holds.", OPT_SHOW, 0, cli_show },
    { "bench", "--model FILE | --serve URL", "Measure a model's or a server's speed.", OPT_BENCH, 0, run_bench },
    { "tokenize", "--model FILE [TEXT]", "Text to token ids, --decode: and back.", OPT_TOKENIZE, 1, cli_tokenize },
    { "template", "--model FILE | --file T", "Conversations through a chat template.", OPT_TEMPLATE, 0, cli_template },
    { "split", "--template T | --format NAME", "Answers into text, reasoning and tool calls.", OPT_SPLIT, 0, cli_split },
    { "tokenizer-server", "--model FILE [--port N]", "Tokenizer over HTTP, for NPU programs.", OPT_TOK_SERVER, 0,
      cli_tok_server },
    { "doctor", "rkllm --library FILE", "What an NPU's library and model are, and whether they run.", OPT_DOCTOR, 1,
      cli_doctor },
};

static void print_help(void)
{
    printf("curlew " CURLEW_VERSION " - a server of language models\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  curlew %-16s %-29s %s\n", commands[i].name, commands[i].args, commands[i].help);
    printf("  curlew %-16s %-29s %s\n", "help", "[COMMAND]", "This page, or a command's options.");
    printf("  curlew %-16s %-29s %s\n", "version", "", "The version.");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!strcmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

static int print_command_help(const struct command *c)
{
    struct buf b;

    buf_init(&b, MIB(1));
    buf_printf(&b, "curlew %s %s\n%s\n\n", c->name, c->args, c->help);
    opt_help(&b, c->roles);
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
    return PROG_OK;
}

static int print_api(void)
{
    struct buf b;
    struct err e;

    buf_init(&b, MIB(4));
    int rc = openapi_markdown(&b, &e);
    if (rc < 0) fprintf(stderr, "curlew help: %s\n", e.msg);
    else fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
    return rc < 0 ? PROG_FAILED : PROG_OK;
}

static int help(int argc, char **argv)
{
    if (argc > 0 && !strcmp(argv[0], "--markdown")) {
        struct buf b;
        buf_init(&b, MIB(1));
        opt_markdown(&b);
        fwrite(b.p, 1, b.n, stdout);
        buf_release(&b);
        return PROG_OK;
    }
    if (argc > 0 && !strcmp(argv[0], "--api")) return print_api();
    if (argc == 0) {
        print_help();
        return PROG_OK;
    }
    const struct command *c = find(argv[0]);
    if (c) return print_command_help(c);
    fprintf(stderr, "curlew: unknown command \"%.40s\"; curlew help lists them\n", argv[0]);
    return PROG_USAGE;
}

static int run_command(const struct command *c, int argc, char **argv)
{
    struct settings s;
    struct arena    a;
    struct err      e;
    const char     *rest[1];
    int             n_rest = c->n_arg, status;

    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return print_command_help(c);
    arena_init(&a, MIB(16));
    bool                     check = c->run == cli_check_config;
    struct buf               errors;
    const struct conf_source src = { .roles = c->roles, .argc = argc, .argv = argv, .rest = check,
                                     .errors = check ? &errors : NULL };
    buf_init(&errors, MIB(4));
    if (conf_load(&src, &s, &a, rest, &n_rest, &e) < 0) {
        struct str more = buf_text(&errors), line;
        if (more.n == 0) fprintf(stderr, "curlew %s: %s\n", c->name, e.msg);
        while (more.n && str_cut(&more, '\n', &line)) fprintf(stderr, "curlew %s: " STR_FMT "\n", c->name, STR_ARG(line));
        status = PROG_USAGE;
    } else {
        s.arg    = (struct opt_list){ rest, n_rest };
        s.source = &src;
        status   = c->run(&s);
    }
    buf_release(&errors);
    arena_release(&a);
    return status;
}

/* `curlew --role NAME LABEL`, from our own supervisor only: descriptor 3 is its channel. */
static int run_role(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[0], "front")) return front_main();
    if (argc == 2 && !strcmp(argv[0], "worker")) return worker_main(argv[1]);
    if (argc == 2 && !strcmp(argv[0], "keeper")) return keep_main(argv[1]);
    return PROG_USAGE;
}

int main(int argc, char **argv)
{
    const char *bad;

    fd_fill_std();
    if (!trace_init(getenv("TRACE"), &bad)) {
        fprintf(stderr, "curlew: TRACE: unknown name at \"%.40s\"\n", bad);
        return PROG_USAGE;
    }
    if (argc < 2) {
        print_help();
        return PROG_USAGE;
    }
    if (!strcmp(argv[1], "--role")) return run_role(argc - 2, argv + 2);
    if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(argc - 2, argv + 2);
    if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version")) {
        puts("curlew " CURLEW_VERSION);
        return PROG_OK;
    }
    const struct command *c = find(argv[1]);
    if (c) return run_command(c, argc - 2, argv + 2);
    fprintf(stderr, "curlew: unknown command \"%.40s\"; curlew help lists them\n", argv[1]);
    return PROG_USAGE;
}
