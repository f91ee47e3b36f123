/* options.c - every option there is. */
#include "conf/options.h"

#include <stddef.h>

#include "base/limits.h"

#define AT(field) offsetof(struct settings, field)
#define NUM(n)    NUM_(n)
#define NUM_(n)   #n

const struct opt opt_table[] = {
    { .name = "model", .letter = 'm', .arg = "FILE", .type = OPT_LIST,
      .roles = OPT_SERVE | OPT_BENCH | OPT_RUN | OPT_SHOW | OPT_TOKENIZE | OPT_TEMPLATE | OPT_TOK_SERVER | OPT_DOCTOR,
      .offset = AT(model), .help = "Model file (GGUF; for Rockchip's NPUs .rkllm, docs/npu.md); what needs the vocabulary only takes a tokenizer.json "
      "or its folder, too. Again for more models (serve)." },
    { .name = "alias", .arg = "NAME", .type = OPT_LIST, .roles = OPT_SERVE, .offset = AT(alias),
      .help = "Name of the model in the API; again for the second model and so on. Default: the "
              "file's name without its ending." },
    { .name = "engine", .arg = "NAME", .type = OPT_STR, .def = "auto",
      .roles = OPT_SERVE | OPT_WORKER | OPT_RUN, .offset = AT(engine),
      .help = "What runs the model: auto (by its file: rkllm for FILE.rkllm, script for FILE.script, else cpu), "
              "cpu, rkllm, script:FILE (a scripted engine for tests, needs no model), axera:PATH (the vendor's program "
              "for Axera's NPUs: a run script, or a folder for axllm), or child:PROGRAM (a program of yours, "
              "docs/npu-children.md)." },
    { .name = "child", .arg = "KEY=VALUE", .type = OPT_LIST, .roles = OPT_SERVE | OPT_WORKER, .offset = AT(child),
      .help = "A fact about the program that --engine axera or child starts; again for more. docs/npu-axera.md lists the keys." },

    { .name = "config", .letter = 'f', .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE, .offset = AT(config),
      .help = "Configuration file (YAML): models, and every option here by its name; docs/config.md." },
    { .name = "models-dir", .arg = "DIR", .type = OPT_STR, .roles = OPT_SERVE, .offset = AT(models_dir),
      .help = "Folder whose model files are all served, those in its folders too." },
    { .name = "upstream", .arg = "NAME=URL", .type = OPT_LIST, .roles = OPT_SERVE, .offset = AT(upstream),
      .help = "Server with OpenAI's API (http://host:8000) that answers for the model NAME, by that name there; again "
      "for more models, or more servers of one. Without NAME= the model has the name that --alias gives after those of "
      "--model, or default. docs/gateway.md." },
    { .name = "upstream-key-file", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE, .offset = AT(upstream_key_file),
      .help = "File with the API key that the servers of --upstream get. The clients' own keys go to none." },
    { .name = "upstream-ca-file", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE | OPT_RESTART,
      .offset = AT(upstream_ca_file), .help = "Certificates (PEM) that upstreams with https:// are checked against. "
      "Default: the system's." },
    { .name = "upstream-connect-ms", .arg = "MS", .type = OPT_INT, .def = "5000", .min = 10, .max = 600000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(upstream_connect_ms), .help = "Longest wait for a connection to an upstream." },
    { .name = "upstream-idle-ms", .arg = "MS", .type = OPT_INT, .def = "120000", .min = 10, .max = 86400000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(upstream_idle_ms),
      .help = "Longest silence of an upstream, before its answer and inside it." },
    { .name = "upstream-health-ms", .arg = "MS", .type = OPT_INT, .def = "10000", .min = 10, .max = 86400000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(upstream_health_ms), .help = "Time between two questions about an "
      "upstream's health." },
    { .name = "chat-template", .arg = "FILE", .type = OPT_STR,
      .roles = OPT_SERVE | OPT_WORKER | OPT_RUN, .offset = AT(chat_template), .help = "Chat template (Jinja) in place of the model's own: a file (with a / in its "
      "name, or .jinja at its end), or the name of a built-in one." },
    { .name = "answer-format", .arg = "NAME", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER | OPT_RUN,
      .offset = AT(answer_format), .help = "How the model marks thinking and tool calls, instead of what its template "
      "tells. curlew split --format list prints the names." },
    { .name = "reasoning-field", .arg = "NAME", .type = OPT_ENUM, .def = "reasoning_content",
      .words = "reasoning_content|reasoning|both|none", .roles = OPT_SERVE | OPT_MODEL, .offset = AT(reasoning_field),
      .help = "Member of replies that holds the model's thinking." },

    { .name = "listen", .arg = "PLACE", .type = OPT_LIST, .roles = OPT_SERVE | OPT_FRONT | OPT_RESTART,
      .offset = AT(listen), .help = "Where to listen, in place of --host and --port: HOST:PORT, [IPV6]:PORT or "
      "unix:PATH. Again for more places." },
    { .name = "admin-key-file", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE, .offset = AT(admin_key_file),
      .help = "File with the key that /admin/reload and /admin/shutdown ask for over TCP; without it they are "
      "answered over Unix sockets only." },
    { .name = "compat", .arg = "NAME", .type = OPT_ENUM, .def = "none",
      .words = "none|rkllm-openai|qwen-axcl|fast-inference|gemma-gateway|simple-rkllm",
      .roles = OPT_SERVE | OPT_FRONT | OPT_RESTART, .offset = AT(compat),
      .help = "Stand in for that server: its port, flags, environment and /health; docs/switching.md." },
    { .name = "strict", .type = OPT_FLAG, .roles = OPT_SERVE | OPT_FRONT, .offset = AT(strict),
      .help = "A request field that would have no effect gets 400; otherwise x-curlew-ignored lists it." },
    { .name = "busy", .arg = "WAY", .type = OPT_ENUM, .def = "queue", .words = "queue|reject",
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(busy),
      .help = "Requests for a model that already answers one: queue them, or reject them with 503." },

    { .name = "host", .arg = "ADDRESS", .type = OPT_STR, .def = "127.0.0.1",
      .roles = OPT_SERVE | OPT_RESTART | OPT_TOK_SERVER,
      .offset = AT(host), .help = "Address to listen on; a path (/run/...) for a Unix socket. Other "
      "machines can connect only when this is not a loopback address." },
    { .name = "port", .letter = 'p', .arg = "PORT", .type = OPT_INT, .def = "8080", .min = 0, .max = 65535,
      .roles = OPT_SERVE | OPT_RESTART, .offset = AT(port), .help = "Port to listen on; 0 takes any free one." },
    { .name = "port", .letter = 'p', .arg = "PORT", .type = OPT_INT, .def = "12345", .min = 0, .max = 65535,
      .roles = OPT_TOK_SERVER, .offset = AT(tok_port), .help = "Port to listen on; 0 takes any free one." },
    { .name = "allow-host", .arg = "NAME", .type = OPT_LIST,
      .roles = OPT_SERVE | OPT_FRONT | OPT_TOK_SERVER, .offset = AT(allow_host), .help = "Host name that requests may ask for, besides this machine's "
      "loopback names and the address listened on; * for any. A guard against DNS rebinding." },
    { .name = "allow-origin", .arg = "ORIGIN", .type = OPT_LIST, .roles = OPT_SERVE | OPT_FRONT,
      .offset = AT(allow_origin), .help = "Web page origin (https://example.org) whose scripts may use "
      "the API, besides pages of this machine; * for any." },

    { .name = "ctx", .letter = 'c', .arg = "TOKENS", .type = OPT_INT, .def = "0", .min = 0, .max = LIM_CTX,
      .roles = OPT_SERVE | OPT_WORKER | OPT_RUN | OPT_DOCTOR, .offset = AT(ctx),
      .help = "Context length of a sequence; 0: the model's own, at most 8192. KV memory grows with it.",
      .also = "context" },
    { .name = "parallel", .letter = 'n', .arg = "COUNT", .type = OPT_INT, .def = "8", .min = 1, .max = 1024,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(parallel),
      .help = "Sequences that run at once; more requests wait in the queue." },
    { .name = "batch", .arg = "TOKENS", .type = OPT_INT, .def = "512", .min = 16, .max = 65536,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(batch),
      .help = "Most tokens of one pass through the model." },
    { .name = "kv-bytes", .arg = "BYTES", .type = OPT_SIZE, .def = "0", .min = 0, .max = INT64_MAX,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(kv_bytes),
      .help = "Memory for the KV cache, e.g. 2G; 0: enough for --parallel sequences of --ctx tokens, but "
      "no more than a quarter of the machine's memory." },
    { .name = "kv-type", .arg = "TYPE", .type = OPT_ENUM, .def = "f16", .words = "f16|q8_0",
      .roles = OPT_SERVE | OPT_BENCH | OPT_WORKER | OPT_RUN, .offset = AT(kv_type),
      .help = "What keys and values are kept as: f16 (f32 for files in F32), or q8_0 for about half the memory and a "
              "small loss of precision; models whose heads are no multiple of 32 values keep f16." },
    { .name = "context-shift", .type = OPT_FLAG, .roles = OPT_SERVE | OPT_WORKER, .offset = AT(context_shift),
      .help = "An answer that reaches the context's end goes on, where max_tokens asks for more: half of the text "
              "behind the first n_keep tokens is dropped and the rest computed again. Requests may say context_shift "
              "themselves; otherwise such an answer ends with finish_reason length." },
    { .name = "threads", .letter = 't', .arg = "COUNT", .type = OPT_INT, .def = "0", .min = 0, .max = 1024,
      .roles = OPT_SERVE | OPT_BENCH | OPT_WORKER | OPT_RUN, .offset = AT(threads),
      .help = "Compute threads; 0: one for each core that this process may use." },
    { .name = "repack-cache", .arg = "DIR", .type = OPT_STR, .def = "off", .roles = OPT_SERVE, .offset = AT(repack_cache),
      .help = "Directory where packed weights are kept, about the model's size again, so that the next start maps them; "
      "off: packed at each start." },
    { .name = "spec", .arg = "HOW", .type = OPT_ENUM, .def = "off", .words = "off|ngram",
      .roles = OPT_SERVE | OPT_WORKER | OPT_RUN, .offset = AT(spec),
      .help = "Speculation: ngram guesses next tokens from earlier ones that were alike and checks them in one pass, while few "
      "sequences run; faster where answers copy, the answers are the same." },
    { .name = "queue", .arg = "COUNT", .type = OPT_INT, .def = "256", .min = 0, .max = LIM_REQS,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(queue),
      .help = "Requests that may wait for a model; one more gets 429." },

    { .name = "think", .arg = "WHEN", .type = OPT_ENUM, .def = "auto", .words = "auto|on|off", .roles = OPT_RUN,
      .offset = AT(think), .help = "Thinking before the answer, where the model's template has a switch; auto: as "
      "the template has it." },

    { .name = "connections", .arg = "COUNT", .type = OPT_INT, .def = "1024", .min = 1, .max = 60000,
      .roles = OPT_SERVE | OPT_FRONT | OPT_RESTART, .offset = AT(conns), .help = "Client connections at once." },
    { .name = "body-bytes", .arg = "BYTES", .type = OPT_SIZE, .def = "16M", .min = 1024, .max = GIB(1),
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(body_bytes), .help = "Largest request body; more gets 413." },
    { .name = "queue-ms", .arg = "MS", .type = OPT_INT, .def = "30000", .min = 1, .max = 86400000,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(queue_ms),
      .help = "Longest wait in the queue before 503." },
    { .name = "head-ms", .arg = "MS", .type = OPT_INT, .def = "10000", .min = 10, .max = 3600000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(head_ms), .help = "Time a client has to send a request's head." },
    { .name = "body-ms", .arg = "MS", .type = OPT_INT, .def = "120000", .min = 10, .max = 86400000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(body_ms), .help = "Time a client has to send a request's body." },
    { .name = "keepalive-ms", .arg = "MS", .type = OPT_INT, .def = "75000", .min = 10, .max = 86400000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(keepalive_ms), .help = "Idle time after which a connection is closed." },
    { .name = "ping-ms", .arg = "MS", .type = OPT_INT, .def = "15000", .min = 10, .max = 86400000,
      .roles = OPT_SERVE | OPT_FRONT, .offset = AT(ping_ms), .help = "Silence on a stream after which a keep-alive comment is sent." },

    { .name = "npu-platform", .arg = "NAME", .type = OPT_STR, .def = "auto", .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR,
      .offset = AT(npu_platform), .help = "The machine's chip: rk3588, rk3576, rk3562, rv1126b; auto: the device "
      "tree's word. A model whose name says another one is refused before it is loaded." },
    { .name = "npu-cores", .arg = "COUNT", .type = OPT_INT, .def = "0", .min = 0, .max = 3,
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(npu_cores),
      .help = "NPU cores that models were made for, where their names do not say it: at least so many CPUs must "
      "be given to the library." },
    { .name = "npu-cpus", .arg = "MASK", .type = OPT_STR, .def = "auto", .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR,
      .offset = AT(npu_cpus), .help = "CPUs that an NPU's library may use, bit n for CPU n, e.g. 0xf0; auto: the "
      "platform's fast ones." },
    { .name = "npu-domain", .arg = "LIST", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR, .offset = AT(npu_domain),
      .help = "Address space of each NPU model (about 4 GB each), e.g. 0,1; one number is for all; "
      "default: 0 for the first, 1 for the second and so on." },
    { .name = "npu-allow", .arg = "PATH", .type = OPT_LIST, .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR, .offset = AT(npu_allow),
      .help = "One more device, file or folder that an NPU's library may open, also for writing; again for more." },
    { .name = "npu-stall-ms", .arg = "MS", .type = OPT_INT, .def = "30000", .min = 100, .max = 86400000,
      .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR, .offset = AT(npu_stall_ms), .help = "Silence of an NPU's library after which "
      "its worker is ended and started again; reading a prompt and loading get more, by their size." },
    { .name = "npu-lock", .arg = "FILE", .type = OPT_STR, .def = "/run/lock/curlew-npu.lock", .roles = OPT_SERVE,
      .offset = AT(npu_lock), .help = "File whose lock lets only one NPU model of the machine load at a time; empty: "
      "none." },
    { .name = "rkllm-library", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER,
      .offset = AT(rkllm_library), .help = "Rockchip's librkllmrt.so; default: RKLLM_LIB_PATH in the environment, else "
      "where the system's loader looks." },
    { .name = "library", .arg = "FILE", .type = OPT_STR, .roles = OPT_DOCTOR, .offset = AT(rkllm_library),
      .help = "The library to look at, e.g. librkllmrt.so; default: RKLLM_LIB_PATH in the environment, else where the "
      "system's loader looks." },
    { .name = "rkllm-layout", .arg = "NAME", .type = OPT_STR, .def = "auto", .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR,
      .offset = AT(rkllm_layout), .help = "Version of the library's structs: 1.1, 1.2.0, 1.2 or 1.3; auto finds out "
      "and refuses what it does not know." },
    { .name = "rkllm-sampling", .arg = "LIST", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR,
      .offset = AT(rkllm_sampling), .help = "The library's sampling values, e.g. top_k=20,temperature=0.6; before "
      "version 1.3 requests cannot change them." },
    { .name = "rkllm-reuse", .type = OPT_FLAG, .roles = OPT_SERVE | OPT_WORKER, .offset = AT(rkllm_reuse),
      .help = "Keep the library's cache between requests, so that a conversation that goes on is not read again; from "
      "1.2.1 on, with a tokenizer." },
    { .name = "rkllm-lora", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER, .offset = AT(rkllm_lora),
      .help = "LoRA adapter (a converted .rkllm file) that all answers are made with." },
    { .name = "rkllm-prompt-cache", .arg = "FILE", .type = OPT_STR, .roles = OPT_SERVE | OPT_WORKER,
      .offset = AT(rkllm_prompt_cache), .help = "Prompt cache file that the library loads: prompts that begin with its "
      "text are read faster." },
    { .name = "rkllm-input", .arg = "KIND", .type = OPT_ENUM, .def = "auto", .words = "auto|text",
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(rkllm_input), .help = "What the library gets: auto gives token ids "
      "where a tokenizer.json lies beside the model, else text." },
    { .name = "rkllm-output", .arg = "KIND", .type = OPT_ENUM, .def = "auto", .words = "auto|text",
      .roles = OPT_SERVE | OPT_WORKER, .offset = AT(rkllm_output), .help = "What is taken from the library: auto takes "
      "token ids where a tokenizer.json lies beside the model, else its text." },
    { .name = "rkllm-template", .arg = "WHOSE", .type = OPT_ENUM, .def = "own", .words = "own|library",
      .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR, .offset = AT(rkllm_template), .help = "Whose chat template text gets: own is "
      "curlew's, with the whole conversation; library is the one in the model, which sees the last message only." },
    { .name = "rkllm-path", .arg = "KIND", .type = OPT_ENUM, .def = "path", .words = "path|fd",
      .roles = OPT_SERVE | OPT_WORKER | OPT_DOCTOR, .offset = AT(rkllm_path), .help = "How the library is told the model's file: by "
      "its path, or as /proc/self/fd/N." },

    { .name = "log-level", .arg = "LEVEL", .type = OPT_ENUM, .def = "info", .words = "error|warn|info|debug",
      .roles = OPT_SERVE | OPT_FRONT | OPT_WORKER, .offset = AT(log_level), .help = "Lines on stderr." },

    { .name = "prompt", .arg = "TOKENS", .type = OPT_INT, .def = "512", .min = 1, .max = LIM_CTX, .roles = OPT_BENCH,
      .offset = AT(prompt), .help = "Tokens to prefill." },
    { .name = "generate", .arg = "TOKENS", .type = OPT_INT, .def = "64", .min = 1, .max = LIM_CTX, .roles = OPT_BENCH,
      .offset = AT(generate), .help = "Tokens to decode." },
    { .name = "repeat", .arg = "COUNT", .type = OPT_INT, .def = "3", .min = 1, .max = 1000, .roles = OPT_BENCH,
      .offset = AT(repeat), .help = "Runs; the median is reported." },
    { .name = "together", .arg = "COUNT", .type = OPT_INT, .def = "1", .min = 1, .max = 256, .roles = OPT_BENCH,
      .offset = AT(together), .help = "Sequences that decode together." },
    { .name = "peer", .arg = "PROGRAM", .type = OPT_STR, .roles = OPT_BENCH, .offset = AT(peer),
      .help = "Also run this program (llama-bench, or what takes its flags) with the same model, in turn with ours, and "
      "print the ratio." },
    { .name = "serve", .arg = "URL", .type = OPT_STR, .roles = OPT_BENCH, .offset = AT(serve),
      .help = "Measure a server with OpenAI's API at this address (http://127.0.0.1:8080) instead of a file; --model is "
      "then the model's name there." },
    { .name = "clients", .arg = "COUNTS", .type = OPT_STR, .def = "1,8", .roles = OPT_BENCH, .offset = AT(clients),
      .help = "Requests in flight at the server, a row for each number; --repeat says how many each client makes." },
    { .name = "words", .arg = "COUNTS", .type = OPT_STR, .def = "64", .roles = OPT_BENCH, .offset = AT(words),
      .help = "Words of the prompts sent to the server, rows for each number." },
    { .name = "pid", .arg = "PID", .type = OPT_INT, .def = "0", .min = 0, .max = INT32_MAX, .roles = OPT_BENCH,
      .offset = AT(pid), .help = "Process of that server on this machine: its processor time, with that of its children." },
    { .name = "json", .type = OPT_FLAG, .roles = OPT_BENCH | OPT_SHOW, .offset = AT(json), .help = "Report as JSON." },

    { .name = "system", .arg = "TEXT", .type = OPT_STR, .roles = OPT_RUN | OPT_TOK_SERVER, .offset = AT(system),
      .help = "System message that conversations begin with." },
    { .name = "temperature", .arg = "NUMBER", .type = OPT_STR, .def = "0.7", .roles = OPT_RUN,
      .offset = AT(temperature), .help = "How freely tokens are drawn, 0 to 2; 0 always takes the likeliest." },
    { .name = "max-tokens", .arg = "TOKENS", .type = OPT_INT, .def = "0", .min = 0, .max = LIM_CTX, .roles = OPT_RUN,
      .offset = AT(max_tokens), .help = "Longest answer; 0: to the end of the context." },
    { .name = "seed", .arg = "NUMBER", .type = OPT_INT, .def = "-1", .min = -1, .max = INT64_MAX, .roles = OPT_RUN,
      .offset = AT(seed), .help = "The same seed draws the same answers; -1 takes a random one." },
    { .name = "tensors", .type = OPT_FLAG, .roles = OPT_SHOW, .offset = AT(tensors), .help = "List the tensors." },
    { .name = "metadata", .type = OPT_FLAG, .roles = OPT_SHOW, .offset = AT(metadata),
      .help = "List the metadata." },
    { .name = "decode", .type = OPT_FLAG, .roles = OPT_TOKENIZE, .offset = AT(decode),
      .help = "From ids to text." },
    { .name = "special", .type = OPT_FLAG, .roles = OPT_TOKENIZE, .offset = AT(special),
      .help = "For TEXT on the command line: names of special tokens in it are those tokens, and the vocabulary's "
      "own beginning is added. Lines of JSON say it themselves." },
    { .name = "file", .arg = "FILE", .type = OPT_STR, .roles = OPT_TEMPLATE, .offset = AT(file),
      .help = "A chat template (Jinja), instead of a model's." },
    { .name = "repair", .type = OPT_FLAG, .roles = OPT_TEMPLATE, .offset = AT(repair),
      .help = "Put conversations into the shape that the template accepts, as the server does." },
    { .name = "template", .arg = "FILE", .type = OPT_STR, .roles = OPT_SPLIT, .offset = AT(tmpl),
      .help = "Chat template (Jinja) from which the format of answers is told." },
    { .name = "format", .arg = "NAME", .type = OPT_STR, .roles = OPT_SPLIT, .offset = AT(format),
      .help = "Format of answers by its name; list prints the names." },
    { .name = "pieces", .arg = "BYTES", .type = OPT_INT, .def = "0", .min = 0, .max = INT32_MAX, .roles = OPT_SPLIT,
      .offset = AT(pieces), .help = "Feed the answer in pieces of so many bytes; 0: in one. The result is the same." },
};
const size_t opt_count = ARRAY_LEN(opt_table);
