#!/usr/bin/env python3
"""fake_api.py - main_api_* (generation 3) without an NPU: HTTP in front, our tokenizer behind.

The environment as in fake_main.py (FAKE_ANSWERS, FAKE_MS, FAKE_CTX, FAKE_PROMPT, FAKE_LOG), and

    FAKE_PORT     where it listens; the real one has 8000 and no choice
    FAKE_FORM     generate, or openai
    FAKE_MESSAGES array, or object: the one form of "messages" that it knows
    FAKE_FAIL     init, init-once:FILE, never; crash:N, hang:N; deaf (does not hear stop); garbage; busy
"""

import http.server
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
os.environ["FAKE_GEN"] = "2"
import fake_main  # noqa: E402  the tokenizer's client and the answers are the same
from fake_main import ENV, FAIL, FAIL_ARG, MS, PROMPT, answer_to, ask, bytes_of, note  # noqa: E402

OPENAI = ENV("FAKE_FORM") == "openai"
state = {"running": False, "stop": False, "text": "", "done": True, "uid": None, "url": None, "bad": None}
lock = threading.Lock()


def decode(ids):
    return ask(state["url"], "/decode", {"uid": state["uid"], "token_ids": ids})["text"]


def run(prompt, say):
    got = ask(state["url"], "/encode", {"uid": state["uid"], "text": prompt})
    note("run", prompt, got["token_ids"], got["diff"])
    if len(got["diff"]) > PROMPT:
        os.abort()
    answer, text = answer_to(got["token_ids"])
    bad = FAIL if FAIL and FAIL in text else None
    state["bad"] = bad
    made, chunk, i = [], [], 0
    while i < len(answer) or bad == "deaf":
        if bad == "crash" and i == int(FAIL_ARG):
            print("[E][Run]: error: the NPU is on fire", flush=True)
            os.abort()
        if bad == "hang" and i == int(FAIL_ARG):
            time.sleep(1000)
        if state["stop"] and bad != "deaf":
            break
        made.append(answer[i % len(answer)])
        chunk.append(made[-1])
        if len(chunk) == 3:
            say(decode(chunk))
            chunk = []
        i += 1
        time.sleep(MS)
    if chunk and not state["stop"]:
        say(decode(chunk))
    decode(made)


def background(prompt):
    def say(text):
        with lock:
            state["text"] += text
    run(prompt, say)
    with lock:
        state.update(done=True, running=False)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, obj):
        body = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if FAIL == "never":
            self.reply(400, {"error": "Model initing"})
        elif self.path in ("/api/stop", "/v1/stop"):
            state["stop"] = True
            note("stop")
            self.reply(200, {"status": "ok"})
        elif self.path == "/v1/models" and OPENAI:
            self.reply(200, {"object": "list", "data": [{"id": "AXERA-fake"}]})
        elif self.path == "/api/content" and not OPENAI:
            if state["bad"] == "garbage" and state["running"]:
                self.reply(200, b"\xff{")
                return
            with lock:
                text, state["text"] = state["text"], ""
                done = state["done"]
            self.reply(200, {"response": text, "done": done})
        else:
            self.reply(404, {"error": "no"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note("post", self.path, body)
        if self.path in ("/api/reset", "/v1/reset"):
            ask(state["url"], "/reset", {"uid": state["uid"], "system_prompt": body["system_prompt"]})
            self.reply(200, {"status": "ok"})
        elif state["running"] or FAIL == "busy":
            self.reply(400, {"error": "llm is running"})
        elif self.path == "/api/generate" and not OPENAI:
            state.update(running=True, stop=False, done=False, text="")
            threading.Thread(target=background, args=(body["prompt"],), daemon=True).start()
            self.reply(200, {"status": "ok"})
        elif self.path == "/v1/chat/completions" and OPENAI:
            self.chat(body)
        else:
            self.reply(404, {"error": "no"})

    def chat(self, body):
        messages = body["messages"]
        if isinstance(messages, list) != (ENV("FAKE_MESSAGES", "array") == "array"):
            self.reply(400, {"error": "messages"})
            return
        prompt = messages[-1]["content"] if isinstance(messages, list) else messages["content"]
        state.update(running=True, stop=False)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

        def say(text):
            if state["bad"] == "garbage":
                self.wfile.write(b"data: \xff{\n\n")
            obj = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
            self.wfile.write(b"data: " + json.dumps(obj, ensure_ascii=False).encode() + b"\n\n")
        try:
            run(prompt, say)
            self.wfile.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":9}}\n\n')
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            note("lost")
        state.update(running=False)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    note("args", sys.argv[1:], os.getpid(), os.getcwd(), os.isatty(0))
    once = FAIL == "init-once" and not os.path.exists(FAIL_ARG)
    if FAIL == "init" or once:
        if once:
            open(FAIL_ARG, "w").close()
        print("[E][Init]: error: axclInit() failed", flush=True)
        sys.exit(255)
    state["url"] = fake_main.arguments(sys.argv[1:])["--url_tokenizer_model"]
    state["uid"] = ask(state["url"], "/get_uid")["uid"]
    ask(state["url"], f"/eos_id?uid={state['uid']}")
    print(f"[I][Init]: max_token_len : {fake_main.CTX}\n[I][Init]: prefill_max_token_num : {PROMPT}", flush=True)
    Server(("127.0.0.1", int(ENV("FAKE_PORT"))), Handler).serve_forever()
