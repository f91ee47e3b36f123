#!/usr/bin/env python3
"""fake_axllm.py - `axllm serve DIR --port N` without an NPU, with its quirks.

One request runs, others queue; who goes away does not stop it; a failed run is text. The environment:

    FAKE_ANSWERS  [[needle, answer], ...] as JSON: the first needle in the last message decides
    FAKE_MS       milliseconds for each piece
    FAKE_PIECE    characters of a piece, 3
    FAKE_CTX, FAKE_PROMPT
    FAKE_LOG      a file: what came in
    FAKE_FAIL     init, init-once:FILE, never (alive without models),
                  crash:N / hang:N   at the N-th piece, for a prompt with that word in it
                  garbage            an event that is no JSON, for a prompt with that word
                  half               half a UTF-8 character in an event
                  text               the vendor's words for a failed run
                  empty              200 and nothing, for a prompt with that word
                  full               429
                  deaf               after the first health answer nobody answers
"""

import http.server
import json
import os
import sys
import threading
import time

ENV = os.environ.get
CTX, PROMPT = int(ENV("FAKE_CTX", "2047")), int(ENV("FAKE_PROMPT", "1024"))
MS = float(ENV("FAKE_MS", "0")) / 1000
PIECE = int(ENV("FAKE_PIECE", "3"))
FAIL, _, FAIL_ARG = ENV("FAKE_FAIL", "").partition(":")
FAILED = "\u6a21\u578b\u8fd0\u884c\u5931\u8d25\uff0c\u8bf7\u91cd\u65b0\u5c1d\u8bd5\u3002"
one = threading.Lock()
asked = [0]


def note(*what):
    if ENV("FAKE_LOG"):
        with open(ENV("FAKE_LOG"), "a", encoding="utf-8") as f:
            f.write(json.dumps(what) + "\n")


def pieces(text):
    return [text[i:i + PIECE] for i in range(0, len(text), PIECE)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, obj):
        body = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        asked[0] += 1
        if FAIL == "deaf" and asked[0] > 1:
            time.sleep(1000)
        if self.path == "/health":
            self.reply(200, {"status": "ok"})
        elif FAIL == "never":
            self.reply(503, {"error": {"message": "Model initing"}})
        else:
            self.reply(200, {"object": "list", "data": [{
                "id": "fake-qwen", "object": "model", "max_token_len": CTX, "prefill_max_token_num": PROMPT}]})

    def chunk(self, data):
        """One piece of the stream; that nobody reads it any more is only logged."""
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        except OSError:
            if not self.lost:
                print("provider not writable", flush=True)
                note("lost")
            self.lost = True

    def event(self, delta, end=None, **more):
        obj = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        self.chunk(b"data: " + json.dumps({**obj, **more}, ensure_ascii=False).encode() + b"\n\n")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note("chat", body)
        if FAIL == "full":
            self.reply(429, {"error": {"message": "too many requests"}})
            return
        with one:
            self.answer(body)

    def answer(self, body):
        self.lost = False
        text = body["messages"][-1]["content"]
        answer = next((a for n, a in json.loads(ENV("FAKE_ANSWERS", '[["", "short"]]')) if n in text), "")
        bad = FAIL if FAIL in text else None
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event({"role": "assistant"})
        if FAIL == "text":
            answer = FAILED
        if bad == "empty":
            answer = ""
        n, end = 0, "stop"
        for n, piece in enumerate(pieces(answer)):
            if bad == "crash" and n == int(FAIL_ARG):
                print("[E][Run]: error: the NPU is on fire", flush=True)
                os.abort()
            if bad == "hang" and n == int(FAIL_ARG):
                time.sleep(1000)
            if bad == "garbage" and n == 1:
                self.chunk(b"data: {\"choices\": [\n\n")
            if bad == "half" and n == 1:
                self.chunk(b'data: {"choices":[{"delta":{"content":"\xe4\xbd"}}]}\n\n')
            if n >= body["max_tokens"]:
                end = "length"
                break
            self.event({"content": piece})
            if MS:
                time.sleep(MS)
        note("end", n, self.lost)
        self.event({}, end, usage={"prompt_tokens": len(text), "completion_tokens": n + 1})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")
        if bad == "empty":
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    note("args", sys.argv[1:], os.getpid(), os.getcwd(), os.isatty(0))
    once = FAIL == "init-once" and not os.path.exists(FAIL_ARG)
    if FAIL == "init" or once:
        if once:
            open(FAIL_ARG, "w").close()
        print("[E][Init]: error: mem_guard stopped the load", flush=True)
        sys.exit(255)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    server = Server(("127.0.0.1", port), Handler)
    print(f"Starting server on port {port} with model 'fake-qwen'", flush=True)
    server.serve_forever()
