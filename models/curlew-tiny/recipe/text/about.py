"""What curlew is and how to use it: the FAQ that the model knows by heart.

Each entry: ways to ask | the answer | words that a right answer contains.  The answers are also meant
to be read by people: keep them true.
"""
from .grammar import Sample, cap, rough

HOW = "[How do I|How can I|How do you|How to|What must I do to|Tell me how to|Show me how to|What is the way to]"
WHAT = "[What is|What's|Tell me about|Explain|What does it mean:|Can you explain]"
IT = "[curlew|curlew|the server|this server]"

FAQ = [
    ("[[What is|What's|Tell me about|Explain|Describe|Do you know] curlew[?|.|?]|What does curlew do[?| exactly?]|"
     "What kind of [program|thing|software] is curlew?|What is curlew [for|good for]?|curlew?]",
     "curlew is a server for language models, written in C. It speaks the OpenAI API.",
     ["server", "openai"]),
    ("[[Who|What] are you?|What is your name?|What's your name?|Introduce yourself.|Tell me about yourself.|"
     "What are you called?|Who is this?|Who am I talking to?|What model are you?|Which model is this?|Are you an AI?|"
     "Are you a [person|human|robot|real person]?|Tell me your name.|Do you have a name?]",
     "I am curlew-tiny, a very small language model that comes with curlew.", ["curlew-tiny"]),
    ("[What can you do?|[What|Which] are your skills?|What are you good at?|How can you help[ me|]?|"
     "What do you know?|What can I ask[ you|]?|Help!|What should I ask you?|Give me an idea what to ask.]",
     "I can answer questions about curlew, tell short stories, do small sums, name capitals, translate a few "
     "words and call tools.", ["stories", "sums", "tools"]),
    ("[Who [made|built|trained|created|wrote] you?|Where do you come from?|Who is your maker?|How were you [made|trained|built]?|"
     "What were you trained on?|What is your training data?]",
     "I was trained by the curlew project, on text that a small program made up.", ["curlew project"]),
    ("[How [big|large|small] are you?|How many parameters do you have?|What is your size?|Are you a [big|large|small] model?|"
     "How many parameters does curlew-tiny have?]",
     "I am very small: about four million parameters, in a file of five megabytes.", ["four million"]),
    (HOW + " [start|run|launch|begin with] " + IT + "[?|.]|How is " + IT + " started?|What command starts curlew?",
     "Type ./run in the source folder. It builds curlew and starts it with a small model.", ["./run"]),
    (HOW + " [install|build|compile|set up] [curlew|the server|the program|it from source][?|.]",
     "Type ./run: it installs what is missing, builds curlew and starts it. Nothing else is needed.", ["./run"]),
    (HOW + " [use|load|serve|run|start it with] [my own model|another model|my own GGUF|a GGUF file|a different model|"
     "a model file][?|.]|Can I [use|load|serve] my own model?|[How do I|Where do I] [give|pass] it a model[ file|]?",
     "Type ./run --model FILE.gguf, or curlew serve --model FILE.gguf.", ["--model"]),
    (HOW + " [serve|use|load|run] [two|several|many|more than one] models[?|.| at once?]|"
     "Can [curlew|it|the server] [serve|run] [several|two|many|more than one] models?",
     "Yes. Give --model more than once, or list the models in the config file.", ["--model"]),
    (HOW + " [run|start] [the tests|all tests|the test suite][?|.]|How is curlew tested?|"
     "[What|Which] command runs the tests?|How do I test curlew?",
     "Type ./test. It installs what the tests need and runs all of them.", ["./test"]),
    ("[What|Which] [is the|] default [address|port|host and port][ of curlew|]?|"
     "[Where|On which port|On what address] does [curlew|the server] listen?|Which port does [curlew|it] use?|"
     "What is the [address|URL|port] of [the server|curlew]?|Where [is|can I reach] the server?",
     "curlew listens on 127.0.0.1, port 8080, unless you tell it otherwise.", ["127.0.0.1", "8080"]),
    (HOW + " [change|set|choose|use another] [the |]port[?|.]|Can I [use another|change the] port?",
     "Use --port, for example: curlew serve --port 9000.", ["--port"]),
    (HOW + " [change|set|choose] the [host|address|listen address][?|.]|"
     + HOW + " [reach|use] [it|curlew|the server] from [another machine|the network|other computers][?|.]",
     "Use --host, for example --host 0.0.0.0. Then everybody who reaches that address can use it.", ["--host"]),
    ("[What|Which] [flags|options|arguments] [does curlew [serve |]have|are there|can I give[ it|]]?|"
     "[Show|Tell] me the [options|flags] of curlew[ serve|].|What are the [flags|options] of curlew[ serve|]?",
     "curlew serve takes --model FILE, --config FILE, --host and --port. Ask --help for the rest.",
     ["--model", "--config", "--host", "--port"]),
    ("[What|Which] [commands|subcommands] does curlew have?|[Show|Tell] me the commands of curlew.|"
     "[What|Which] commands are there[ in curlew|]?",
     "curlew has serve, run, show, bench, tokenize, template, split and check-config.", ["serve", "bench"]),
    (HOW + " [chat|talk to a model|talk to you] in the terminal[?|.]|Can I chat in the terminal?|What does curlew run do?",
     "Use curlew run --model FILE.gguf to chat in the terminal.", ["curlew run"]),
    (HOW + " [measure|benchmark|test the speed of] [a model|the speed|curlew][?|.]|What does curlew bench do?|How fast is [a model|it]?|"
     "How many tokens [per|a] second [do you do|do you make|does it make|are there]?|How fast are you?",
     "Use curlew bench: it measures how fast a model runs on your machine.", ["curlew bench"]),
    ("[What|Which] [endpoints|routes|URLs|paths] [are there|does [curlew|the server] have|does it [serve|offer]|can I use]?|"
     "[List|Show me|Tell me|Name] the endpoints[ of curlew|].|What are the endpoints[ of curlew|]?|What is the API?",
     "The endpoints are /v1/chat/completions, /v1/completions, /v1/models, /v1/embeddings and /health.",
     ["/v1/chat/completions", "/v1/models", "/health"]),
    ("[Which|What] endpoint is [for chat|for chatting|used for chat]?|Where do I [send|post] [chat messages|messages|a chat]?|"
     "What is the [chat endpoint|path for chat]?|Which [path|URL] is for chat?",
     "Send chat messages with POST to /v1/chat/completions.", ["/v1/chat/completions"]),
    ("[Which|What] endpoint [completes|is for completing] [text|a prompt]?|Where do I send a [plain |]prompt?|"
     "What is the completions endpoint?|What is /v1/completions[ for|]?",
     "Send a plain prompt with POST to /v1/completions.", ["/v1/completions"]),
    (HOW + " [list|see|find out] [the models|which models there are|the names of the models][?|.]|"
     "[Which|What] endpoint lists the models?|Which models are loaded?|What is /v1/models[ for|]?",
     "Ask GET /v1/models: it lists every model by name.", ["/v1/models"]),
    (HOW + " [get|make|compute] embeddings[?|.]|[Which|What] endpoint [is for|makes|gives] embeddings?|"
     "Does curlew [do|support|make] embeddings?|What is /v1/embeddings[ for|]?",
     "Send the text to /v1/embeddings. You get a vector for each text.", ["/v1/embeddings"]),
    (HOW + " [check|see|find out|know] [if|whether] [curlew|the server|it] is [up|alive|healthy|running|ready][?|.]|"
     "Is there a health check?|[Which|What] endpoint is for health[ checks|]?|What is /health[ for|]?",
     "Ask GET /health: it answers when the server is up.", ["/health"]),
    (HOW + " [stream|get|receive] [an answer|answers|the answer|tokens] [as it is made|word by word|piece by piece|as a stream][?|.]|"
     + HOW + " [stream|use streaming][?|.]|Does [curlew|it] [stream|support streaming]?|Is there streaming?",
     "Set \"stream\": true in the request. The answer then comes piece by piece as server-sent events.",
     ["stream", "server-sent events"]),
    (WHAT + " [SSE|server-sent events|an SSE stream][?|.]|What does SSE mean?",
     "SSE means server-sent events: the answer comes as small data lines over one HTTP response.", ["server-sent events"]),
    (HOW + " [use|connect] [the OpenAI SDK|the OpenAI client|the OpenAI library|openai in Python][ with curlew|][?|.]|"
     "[What|Which] base_url [do I need|should I use|is right]?|What is the base URL?|"
     "Can I use the OpenAI [SDK|client|library]?|Does [curlew|it] work with the OpenAI SDK?",
     "Set base_url to http://127.0.0.1:8080/v1 in the OpenAI SDK.", ["http://127.0.0.1:8080/v1"]),
    (HOW + " [use|call|try] [it|curlew|the server] with curl[?|.]|[Give|Show] me a curl [example|command|line].",
     "curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' "
     "-d '{{\"model\": \"curlew-tiny\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'", ["/v1/chat/completions"]),
    ("[Is it|Is curlew] compatible with [OpenAI|the OpenAI API]?|Does [curlew|it] speak the OpenAI API?|"
     "[Which|What] API does [curlew|it] [speak|use|have]?",
     "Yes, curlew speaks the OpenAI API: chat, completions, models and embeddings.", ["openai api"]),
    (HOW + " [write|make] [a|the] [config|config file|configuration][?|.]|What does [the|a] config[ file|uration|] look like?|"
     "[Show|Give] me [a config file|a config|an example config|a configuration].",
     "A config file is YAML:\nlisten: [127.0.0.1:8080]\nmodels:\n  - id: tiny\n    path: tiny.gguf\n    context: 4096",
     ["listen:", "models:", "path:"]),
    ("[What|Which] format [has|does] the config[ file|][?| have?]|Is the config [YAML|JSON|TOML]?|"
     "In what format is the config[ file|]?",
     "The config file is YAML.", ["yaml"]),
    (HOW + " [use|load|start with|give it] [a|the|my] config[ file|][?|.]|Where is [the|my] config[ file|]?|Which flag [loads|names] the config[ file|]?",
     "Use curlew serve --config FILE.", ["--config"]),
    ("[What|Which] [keys|fields|settings] [has a model|does a model have|can a model have] in the config[ file|]?|"
     "What do I write for a model in the config[ file|]?",
     "A model has an id, a path, and if you like aliases and a context.", ["id", "path", "context"]),
    (WHAT + " [an alias|aliases][?| of a model?]|" + HOW + " [give|set] a model [an alias|another name|a second name][?|.]",
     "aliases are other names for a model. List them in the config, for example aliases: [default].", ["aliases"]),
    (HOW + " [set|change|choose] the context[ length| size|][?|.]|What does context mean in the config?",
     "Set context in the model's config entry: it is the most tokens a conversation can have.", ["context"]),
    (HOW + " [check|test|validate] [a|the|my] config[ file|][?|.]|What does check-config do?|Is my config right?",
     "Use curlew check-config FILE. It names the line and column of a mistake.", ["check-config"]),
    (HOW + " [reload|read again] the config[ file|][?|.]|Can [curlew|it] reload the config?|Must I restart after a change?",
     "Send SIGHUP: curlew reloads the config and drops no stream.", ["sighup"]),
    (WHAT + " [GGUF|a GGUF file|a GGUF][?|.]|[What|Which] [file formats|formats|model files] [does curlew|can it] [load|read]?|"
     "What is a .gguf file?",
     "GGUF is a file format for language models. curlew loads it and runs it on the CPU.", ["gguf", "format"]),
    (WHAT + " [an NPU|a NPU|NPUs][?|.]|What does NPU mean?",
     "An NPU is a chip that is made for neural networks.", ["chip", "neural"]),
    ("[Which|What] NPUs [does curlew|can it] [support|use|run on]?|Does [curlew|it] [run on|support|use] [NPUs|an NPU|my NPU]?|"
     "Can I use [an NPU|my NPU|a Rockchip|an Axera card|the RK3588]?|Does [curlew|it] support [Rockchip|Axera]?",
     "curlew runs models on Rockchip and Axera NPUs, with the library or program of the vendor.", ["rockchip", "axera"]),
    ("[Can|Does] [curlew|it] [be|work as] a gateway?|" + WHAT + " the gateway[?|.| of curlew?]|"
     "[Does|Can] [curlew|it] work with [SGLang|vLLM|a cluster|GPUs]?|" + HOW + " [use|put curlew before] [SGLang|vLLM|a cluster][?|.]",
     "Yes. curlew can be a gateway to SGLang and vLLM: one address for models here and there.", ["gateway", "sglang", "vllm"]),
    (HOW + " [add|set|use] an upstream[?|.]|" + WHAT + " an upstream[?|.]",
     "An upstream is another server. Give a model upstreams with a url in the config.", ["another server", "url"]),
    ("[Which|What] [license|licence] [does curlew have|has curlew|is it under|is curlew under]?|Is curlew [free|open source|free software]?|"
     "What is the [license|licence]?|May I use curlew [for free|at work]?",
     "curlew is free software under the MIT licence.", ["mit"]),
    ("[In which|In what|Which|What] [programming |]language is [curlew|it|the server] written[?| in?]|What is curlew written in?|"
     "Is curlew written in [C|Python|Rust]?|Which language does curlew use?",
     "curlew is written in C.", [" c."]),
    ("[Does|Can] [curlew|it] [need|work without|run without] [Python|an interpreter]?|Do I need Python?",
     "curlew needs no Python: it is one program in C.", ["no python"]),
    ("[Does|Can] [curlew|it] [need|use|run without] [a GPU|GPUs|a graphics card]?|Do I need a GPU?",
     "No GPU is needed. curlew runs on the CPU, on NPUs, or sends the work to a GPU server.", ["no gpu"]),
    ("[Does|Can] [curlew|it|the server|this model] [call|support|use|do] [tools|functions|tool calls|function calling]?|" + WHAT + " [tool calling|a tool call][?|.]",
     "Yes. Send tools in the request, and the model can answer with a call that you run.", ["tools", "call"]),
    (WHAT + " [a token|tokens|a tokenizer][?|.]",
     "A token is a piece of text. Models read and write text as tokens.", ["piece of text"]),
    (WHAT + " [a language model|an LLM|a large language model][?|.]|What does LLM mean?",
     "A language model is a program that has learnt from text which word comes next.", ["program", "next"]),
    ("What is the [kv|KV] cache?|" + WHAT + " a KV cache[?|.]",
     "The KV cache keeps what the model has already read, so that it need not read it again.", ["already read"]),
    (WHAT + " [temperature|sampling][?|.]|What does temperature do?",
     "Temperature says how freely words are chosen: 0 always takes the most likely one.", ["most likely"]),
    (HOW + " [set|limit|change] the [length of the answer|answer length|number of tokens][?|.]|What does max_tokens do?|What is max_completion_tokens?",
     "Set max_completion_tokens in the request: the answer ends after so many tokens.", ["max_completion_tokens"]),
    (HOW + " [turn on|use|see|switch on] [thinking|reasoning][?|.]|Can you think?|Do you think?",
     "Send \"chat_template_kwargs\": {{\"enable_thinking\": true}}, and I think before I answer.", ["enable_thinking"]),
    (HOW + " [stop|end|quit] [curlew|the server][?|.]",
     "Press Ctrl-C. curlew finishes what is running and stops.", ["ctrl-c"]),
    (HOW + " [set|use|add] [API keys|an API key|keys|a password][?|.]|Does [curlew|it] [have|need|support] API keys?|Do I need an API key?",
     "On your own machine no key is needed. For others, list API keys in the config.", ["key"]),
    ("[Is|Are] my [data|messages|prompts] [safe|private|sent away|logged]?|Does curlew [log|store|keep] my [prompts|messages]?",
     "curlew runs on your machine and does not log your prompts.", ["not log"]),
    ("[What|Which] [bird is a curlew|kind of bird is a curlew]?|Is [a |]curlew a bird?|Why is [it|the server] called curlew?|"
     "What does [the name|the word] curlew mean?",
     "A curlew is a wading bird with a long, curved bill. The server is named after it.", ["bird", "bill"]),
    ("[Who|For whom] is curlew for?|Who [uses|needs] curlew?|Who should use curlew?",
     "curlew is for people who run models themselves: on a laptop, a board or a cluster.", ["laptop", "cluster"]),
    ("What is Open WebUI?|[Can I use|Does it work with] Open WebUI?|[Does|Will] Open WebUI work with curlew?",
     "Yes, point Open WebUI at http://127.0.0.1:8080/v1.", ["8080/v1"]),
    ("What is embedding?|" + WHAT + " [an embedding|embeddings][?|.]",
     "An embedding is a list of numbers that stands for the meaning of a text.", ["list of numbers"]),
    ("What is a chat template?|" + WHAT + " [a chat template|the chat template][?|.]",
     "A chat template turns messages into the text that the model reads. It is in the GGUF file.", ["messages"]),
    (WHAT + " [quantization|quantisation|Q8_0|a quantised model][?|.]",
     "Quantisation stores weights in fewer bits. A Q8_0 file needs about one byte for each weight.", ["bits"]),
]


def sample(r):
    ask, answer, has = r.of(FAQ)
    q = cap(r.x("[" + ask + "]"))
    if not q.endswith(("?", ".", "!")):
        q += "?"
    if q.startswith(("Tell", "Show", "Explain", "Name", "List", "Give", "Describe")):
        q = q.rstrip("?.") + "."
    if r.p(0.35):
        q = r.x("[One question: |Hey, |Hi! |Please tell me: |Excuse me, |I have a question. |I wonder: |curlew, |Quick question: "
                "|Sorry, |OK, |And |Hello. |Another question: |So, |Now, |Can you help me? ]") + q
    elif r.p(0.1):
        q += r.x("[ Thanks.| Please explain.| I am new here.| I want to know.| I have no idea.| Thank you!]")
    text = answer.replace("{{", "{").replace("}}", "}")
    return Sample("about curlew", rough(r, q), text, {"has": has},
                  think=r.x("[The user asks about curlew.|This is about curlew.|I know this one.|A question about me or curlew.]"))
