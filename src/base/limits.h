/* limits.h - every ceiling, with its reason.
 *
 * A limit binds before the work it bounds. Those a user may change are defaults of options with the
 * same name in conf/; the rest are facts of formats or of our own buffers.
 */
#ifndef CURLEW_BASE_LIMITS_H
#define CURLEW_BASE_LIMITS_H

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define GIB(n) ((size_t)(n) << 30)

/* --- logs --- */
#define LIM_LOG_LINE_BYTES 2048 // one line, one write
#define LIM_QUOTE_BYTES    64   // of a client's or file's bytes inside a message

/* --- configuration files: written by hand, a few KiB --- */
#define LIM_CONF_BYTES  KIB(256) // one file
#define LIM_CONF_DEPTH  16       // lists and groups inside each other; ours need three
#define LIM_CONF_NODES  20000    // values in all
#define LIM_CONF_KEYS   512      // of one group; there are under 100 options
#define LIM_CONF_TEXT   KIB(16)  // one value; the longest are paths
#define LIM_ALIASES     64       // other names of one model
#define LIM_UPSTREAMS   32       // servers that answer for one model
#define LIM_DIR_ENTRIES 4096     // looked at in one folder of models; nobody has as many models

/* --- HTTP in --- */
#define LIM_REQ_LINE_BYTES   KIB(8)  // request line, without CRLF
#define LIM_FIELD_LINE_BYTES KIB(8)  // one field line
#define LIM_FIELDS_BYTES     KIB(32) // all field lines
#define LIM_FIELDS           100     // number of fields
#define LIM_CHUNK_EXT_BYTES  256     // extensions of one chunk; nobody uses them
#define LIM_BODY_BYTES       MIB(16) // JSON body
#define LIM_BODY_ALL_BYTES   MIB(256) // bodies being received, all connections together
#define LIM_CONNS            1024    // connections
#define LIM_CONNS_ADDR       64      // connections of one address (an IPv6 /64), loopback not counted
#define LIM_IN_BYTES         KIB(64) // input held behind a running reply before reading pauses
#define LIM_DRAIN_BYTES      KIB(64) // unwanted body that is read and dropped to keep a connection
#define LIM_REPLY_BYTES      MIB(64) // a whole reply, its head included
#define LIM_HEAD_MS          10000   // first byte to end of head
#define LIM_BODY_IDLE_MS     20000   // between two pieces of a body
#define LIM_BODY_MS          120000  // whole body
#define LIM_KEEPALIVE_MS     75000   // between two requests
#define LIM_WRITE_STALL_MS   30000   // a reader that takes nothing
#define LIM_LINGER_MS        2000    // after our last byte, for the client to close first
#define LIM_OUT_BYTES        MIB(1)  // unsent bytes of one connection before its request is ended
#define LIM_SSE_PING_MS      15000   // silence on a stream before a keep-alive comment
#define LIM_BODY_INLINE      KIB(64) // larger bodies are parsed off the event loop

/* --- HTTP out: other servers that answer for a model --- */
#define LIM_UPSTREAM_KEY_BYTES   4096     // an API key; long ones are signed tokens
#define LIM_UPSTREAM_EVENT_BYTES KIB(512) // one event of a stream, or one line of it: half of LIM_OUT_BYTES
#define LIM_UPSTREAM_REPLY_BYTES MIB(60)  // a whole reply: rewritten it must fit LIM_REPLY_BYTES
#define LIM_UPSTREAM_ERROR_BYTES KIB(64)  // of the body of a reply that is an error; more is not read
#define LIM_UPSTREAM_CHOICES     256      // of one reply; what n can be anywhere
#define LIM_UPSTREAM_VALUES      2000000  // of one reply: embeddings are thousands of numbers each
#define LIM_UPSTREAM_CA_BYTES    MIB(4)   // certificates; the system's are under 300 KiB

/* --- JSON in --- */
#define LIM_JSON_DEPTH  128
#define LIM_JSON_VALUES 1000000
#define LIM_JSON_KEYS   10000 // in one object

/* --- a request --- */
#define LIM_MESSAGES      4096
#define LIM_PARTS         1024 // content parts of one message
#define LIM_TOOLS         512
#define LIM_STOPS         16
#define LIM_STOP_BYTES    1024 // one stop sequence; it bounds the text held back
#define LIM_STOP_TOKENS   64   // token ids that end an answer
#define LIM_BREAKER_BYTES 128  // one sequence breaker of DRY
#define LIM_FILES         64   // other files that a completion in the middle may look at
#define LIM_CHOICES       16   // n
#define LIM_SALT_BYTES    512  // cache_salt, prompt_cache_key: names, not texts
#define LIM_SALTS         4096 // that a worker tells apart at a time: 4 MiB of names at most
#define LIM_PROMPTS       256  // prompts of one completions request
#define LIM_INPUTS        2048 // texts of one embeddings request, documents of one rerank request: OpenAI's limit
#define LIM_TOP_LOGPROBS  20
#define LIM_LOGIT_BIAS    1024
#define LIM_DRY_BREAKERS  (1 << 18) // token ids; in large vocabularies thousands hold a quote or a colon
#define LIM_PROMPT_BYTES  MIB(16)
#define LIM_MODEL_NAME    256
#define LIM_REQ_ARENA     MIB(64) // request arena: body, parsed tree, tokens

/* --- answer splitter: texts that cannot be let go yet --- */
#define LIM_SPLIT_MARK_BYTES 64       // the longest mark of any format
#define LIM_SPLIT_BLANK_BYTES 1024    // white space that may stand before a mark
#define LIM_SPLIT_NAME_BYTES 256      // name of a tool or of an argument, or an id
#define LIM_SPLIT_TAG_BYTES  1024     // one XML-like tag or channel header
#define LIM_SPLIT_HEAD_BYTES KIB(256) // a call before it is certain: arguments may stand before the name
#define LIM_SPLIT_VALUE_BYTES KIB(256) // one argument whose type is known only at its end
#define LIM_SPLIT_REDO_BYTES MIB(1)   // read again, all failed calls of an answer together
#define LIM_SPLIT_DEPTH      64       // nesting of arguments
#define LIM_SPLIT_CALLS      256      // calls of one answer; more are answer text

/* --- constraints: schemas, grammars, regular expressions --- */
#define LIM_CONSTRAIN_TEXT    MIB(1)  // of one; production schemas have under 200 KiB
#define LIM_CONSTRAIN_ARENA   MIB(64) // while one is built
#define LIM_CONSTRAIN_NODES   400000  // of its tree, bytes of literals counted
#define LIM_CONSTRAIN_OPS     1000000 // operations of the automaton
#define LIM_CONSTRAIN_RULES   5000    // of a GBNF grammar: names are looked up one after the other
#define LIM_CONSTRAIN_VIEWS   5000    // schemas and their combinations, likewise
#define LIM_CONSTRAIN_MEMBERS 2000    // properties of one object, likewise
#define LIM_CONSTRAIN_DEPTH   64      // groups in groups; constants of a schema
#define LIM_CONSTRAIN_HEIGHT  4096    // of a tree: bounds the C stack
#define LIM_CONSTRAIN_RANGES  512     // parts of one set of characters
#define LIM_CONSTRAIN_REPEAT  1000000 // {m,n}, maxLength ...: counted, not unrolled
#define LIM_CONSTRAIN_PATTERN 1024    // bytes of a regular expression
#define LIM_CONSTRAIN_ENUM    5000    // values of one enum
#define LIM_CONSTRAIN_FRAMES  512     // rules inside rules while a text is read: deeper nesting cannot be written
#define LIM_CONSTRAIN_STACKS  4096    // ways to read a text at once
#define LIM_CONSTRAIN_STEPS   4000000 // frames looked at for one token: some 50 ms
#define LIM_CONSTRAIN_TOKEN   1024    // bytes of a token; longer ones are not used
#define LIM_CONSTRAIN_CACHE   16      // compiled forms that are kept
/* what one form may remember while it is used; then it forgets and begins again */
#define LIM_CONSTRAIN_KEEP    MIB(2) // what a form may keep of that while nobody uses it; 16 forms are kept
#define LIM_CONSTRAIN_POOL_FRAMES 500000
#define LIM_CONSTRAIN_POOL_CONFS  100000
#define LIM_CONSTRAIN_POOL_TOPS   1000000
#define LIM_CONSTRAIN_POOL_TRANS  4000000
#define LIM_CONSTRAIN_MASKS   MIB(8) // masks of one form
#define LIM_CONSTRAIN_MASKS_N 1024

/* --- templates --- */
#define LIM_TMPL_BYTES     MIB(1)  // a chat template; real ones have under 100 KiB
#define LIM_TMPL_CODE      MIB(64) // its syntax tree; real ones take under 1 MiB
#define LIM_TMPL_OUT_BYTES MIB(8)  // what one rendering writes
#define LIM_TMPL_STR_BYTES MIB(4)  // one string made while rendering
#define LIM_TMPL_STEPS     1000000 // statements run; an expression's node counts a sixteenth
#define LIM_TMPL_DEPTH     64      // nested syntax; calls of macros inside macros
#define LIM_TMPL_TREE      400     // height of a syntax tree: a + b + c + ... is as high as it is long
#define LIM_TMPL_EVAL      800     // evaluations inside evaluations: bounds the C stack
#define LIM_TMPL_NEST      200     // lists in lists; above LIM_JSON_DEPTH, so that all JSON fits
#define LIM_TMPL_ITEMS     1000000 // of one list
#define LIM_TMPL_RANGE     100000  // range(); the limit of Jinja's sandbox
#define LIM_TMPL_NAMES     4096    // different names in one template
#define LIM_TMPL_ARENA     MIB(64) // scratch memory of one rendering, results included

/* --- channel between processes --- */
#define LIM_FRAME_BYTES   MIB(32)  // the largest frame of any message (msg.def has each one's own)
#define LIM_CHAN_OUT      MIB(64)  // unsent bytes on a channel before it counts as stuck
#define LIM_REQS          4096     // requests in flight on one channel

/* --- workers --- */
#define LIM_RESTART_WINDOW_MS 60000 // a worker that lived longer than this did not fail in a row
#define LIM_START_TRIES       6     // starts in a row in which a child program ends before it is ready
#define LIM_MODELS            256

/* --- model files --- */
#define LIM_GGUF_KVS        65536   // metadata keys; real files have under 100
#define LIM_GGUF_TENSORS    65536   // real files have under 5,000
#define LIM_GGUF_KEY_BYTES  65535   // the format's own limit
#define LIM_GGUF_STR_BYTES  MIB(16) // one string; templates are tens of KiB
#define LIM_GGUF_ARR        (1u << 24) // elements of one array; vocabularies have under 2^19
#define LIM_GGUF_DIMS       4
#define LIM_CHAT_TEMPLATE   MIB(1)  // text of one; the largest known is under 20 KiB
#define LIM_GGUF_ALIGN      (1u << 20)
#define LIM_VOCAB           (1u << 22) // tokens
#define LIM_LAYERS          1024
#define LIM_EMBD            (1 << 20)
#define LIM_HEADS           4096
#define LIM_CTX             (1 << 24)
#define LIM_TOKEN_TYPES     64         // kinds of segments of an encoder; real ones have 1 or 2

#endif
