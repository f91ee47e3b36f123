#!/usr/bin/env python3
"""gateway.py - models that other servers answer for: a scripted, hostile upstream, and a second curlew as a real one."""

import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

from serve import CURLEW, Server, is_sanitized, run_all, send_request, text_of, until

HEAD = "HTTP/1.1 %s\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
SSE = HEAD % ("200 OK", "text/event-stream; charset=utf-8")
JSON = HEAD % ("200 OK", "application/json")


def chunk(delta, finish=None, **more):
    return "data: " + json.dumps({
        "id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": "their-name",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}) + "\n\n"


GOOD = [SSE, chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"content": "b"}, usage={"total_tokens": 3}),
        chunk({}, "stop"), "data: [DONE]\n\n"]
WHOLE = JSON + json.dumps({
    "id": "theirs", "object": "chat.completion", "created": 1, "model": "their-name", "x": {"kept": 1},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})


class Upstream:
    """A server that answers /health well and every POST with what `reply` says: a list of texts, seconds to wait, or
    "reset", "wait" (for the other side to close) and functions of the socket."""

    def __init__(self, reply=None, health="200 OK", tls=None):
        self.reply, self.health, self.tls = reply, health, tls
        self.requests = []    # (head, body) of the POSTs
        self.gone = 0         # POSTs whose client left while we waited
        self.sent = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s:
            try:
                if self.tls:
                    s = self.tls.wrap_socket(s, server_side=True)
                f = s.makefile("rb")
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = f.readline()
                    if not line:
                        return
                    head += line
                if head.startswith(b"GET"):
                    s.sendall((HEAD % (self.health, "text/plain")).encode())
                    return
                size = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
                body = f.read(size)
                with self.lock:
                    self.requests.append((head.decode(), json.loads(body)))
                self.play(s)
            except (ConnectionError, OSError):
                self.gone += 1

    def play(self, s):
        steps = self.reply(self.requests[-1][1]) if callable(self.reply) else self.reply
        for step in [steps] if isinstance(steps, str) else steps:
            if isinstance(step, (int, float)):
                time.sleep(step)
            elif step == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            elif step == "wait":
                if s.recv(1) == b"":
                    self.gone += 1
                return
            elif callable(step):
                step(s)
            else:
                s.sendall(step.encode() if isinstance(step, str) else step)
                self.sent += len(step)

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def gateway(*urls, flags=(), **more):
    args = []
    for url in urls:
        args += ["--upstream", "m=" + url]
    return Server(*args, *flags, **more)


def test_good():
    """What comes through, and in whose frame."""
    with Upstream(lambda q: GOOD if q.get("stream") else WHOLE) as up, gateway(up.url + "/v1/") as server:
        events = list(server.stream(extra={"unknown": [1, None]}))
        assert events[-1] == "[DONE]" and text_of(events) == "ab"
        ids = {e["id"] for e in events[:-1]}
        assert len(ids) == 1 and ids.pop().startswith("chatcmpl-")
        assert all(e["model"] == "m" and e["created"] > 1 and "usage" not in e for e in events[:-1])
        assert events[-2]["choices"][0]["finish_reason"] == "stop"
        events = list(server.stream(stream_options={"include_usage": True}))
        assert [e["usage"]["total_tokens"] for e in events[:-1] if "usage" in e] == [3]
        got = server.request("POST", "/chat/completions", json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "top_q": 7}).encode(),
            {"authorization": "Bearer clients-secret"})
        reply = got.json()
        assert got.status == 200 and reply["model"] == "m" and reply["id"] != "theirs" and reply["created"] > 1
        assert reply["x"] == {"kept": 1} and reply["usage"]["total_tokens"] == 3
        assert reply["choices"][0]["message"]["content"] == "ab"
        head, body = up.requests[-1]
        assert head.startswith("POST /v1/chat/completions HTTP/1.1")
        assert "clients-secret" not in head and "authorization" not in head.lower()
        assert body["top_q"] == 7 and body["model"] == "m"
        assert up.requests[0][1]["extra"] == {"unknown": [1, None]}
        models = server.get("/v1/models").json()["data"]
        assert [m["id"] for m in models] == ["m"]
        until("the model is ready", lambda: server.get("/v1/models").json()["data"][0]["state"] == "ready")
        assert server.health()["status"] == "ok"
        got = server.post("/tokenize", {"model": "m", "content": "x"})
        assert got.status == 400 and "another server" in got.json()["error"]["message"]
        assert server.post("/v1/chat/completions", {"messages": []}).status == 400
        assert server.chat(model="other").status == 404
        assert up.url.split("//")[1] not in json.dumps(models)


def test_config():
    """A file with two servers, keys, names there; the key goes out, nothing of it comes back."""
    with Upstream(WHOLE) as a, Upstream(WHOLE) as b:
        server = Server(wait=False)  # for its folder only
        server.process.kill()
        server.process.wait()
        key = server.write("key", "sk-upstream\n")
        path = server.write("c.yaml", f"""
models:
  - id: far
    aliases: [away]
    upstreams:
      - {{url: "{a.url}", model: org/Big, key_file: {os.path.basename(key)}, weight: 2}}
      - {{url: "{b.url}/v1", model: other}}
""")
        with Server("--config", path) as s:
            for i in range(12):
                assert s.chat(model="away", text=f"number {i}").status == 200
            assert a.requests and b.requests
            assert all("Authorization: Bearer sk-upstream\r\n" in h and q["model"] == "org/Big" for h, q in a.requests)
            assert all("uthorization" not in h and q["model"] == "other" for h, q in b.requests)
            assert "sk-upstream" not in s.text()
        server.__exit__(None, None, None)


# name, reply, status of a whole request, status and last event of a stream (None: as the whole one)
FAILURES = [
    ("reset at once", ["reset"], 502),
    ("nothing", [""], 502),
    ("half a head", ["HTTP/1.1 200 O"], 502),
    ("no HTTP", ["SSH-2.0-OpenSSH\r\n\r\n"], 502),
    ("wrong type", [HEAD % ("200 OK", "text/html") + "<html>"], 502),
    ("error in 200", [JSON + '{"error": {"message": "CUDA at 192.0.2.7"}}'], 502),
    ("error object in 200", [JSON + '{"object": "error", "message": "out of memory"}'], 502),
    ("garbage", [JSON + '{"choices": [}'], 502),
    ("no choices", [JSON + '{"choices": 7}'], 502),
    ("no finish_reason", [JSON + '{"choices": [{"message": {}, "finish_reason": null}]}'], 502),
    ("500", [HEAD % ("500 Oh", "application/json") + '{"error": {"message": "trace at 192.0.2.7"}}'], 502),
    ("503", [HEAD % ("503 Oh", "text/plain") + "busy"], 502),
    ("503 for a while", ["HTTP/1.1 503 Full\r\nRetry-After: 17\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
                         '{"error": {"message": "queue at 192.0.2.7"}}'], 503),
    ("401", [HEAD % ("401 Who", "application/json") + '{"error": {"message": "bad key sk-xyz"}}'], 502),
    ("403", [HEAD % ("403 No", "application/json") + "{}"], 502),
    ("404", [HEAD % ("404 No", "application/json") + '{"error": {"message": "no model org/Big"}}'], 502),
    ("redirect", ["HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"], 502),
    ("stall", [0.01, "wait"], 504),
    ("400", [HEAD % ("400 Bad", "application/json") +
             '{"error": {"message": "max_tokens\\u0007 is too\\nlarge", "type": "BadRequest", "param": "max_tokens", "code": 400}}'],
     400),
    ("422", [HEAD % ("422 Bad", "application/json") + '{"detail": "not so"}'], 422),
    ("429", ["HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
             '{"error": {"message": "slow down"}}'], 429),
]


def test_failures_before():
    """What goes wrong before the first byte: one clean error of the right status, without a word of where or what."""
    with Upstream() as up, gateway(up.url, flags=("--upstream-idle-ms", "600")) as server:
        for name, reply, status in FAILURES:
            up.reply = reply
            for stream in False, True:
                got = server.chat(stream=stream)
                assert got.status == status, (name, stream, got.status, got.body)
                error = got.json()["error"]
                text = json.dumps(got.json())
                assert error["message"] and set(error) == {"message", "type", "param", "code"}, (name, error)
                for secret in "192.0.2.7", "127.0.0.1", "sk-xyz", "org/Big", "CUDA":
                    assert secret not in text, (name, text)
                if name == "400":
                    assert error["message"] == "max_tokens  is too large" and error["param"] == "max_tokens"
                if status in (429, 503):
                    assert got.headers["retry-after"] == "17", name
                if name == "429":
                    assert error["message"] == "slow down"
        assert f"127.0.0.1:{up.port}" in server.text() # the log names it
        up.reply = WHOLE
        assert server.chat().status == 200
    with gateway(f"http://127.0.0.1:{closed_port()}") as server:
        assert server.chat().status == 502
        assert server.chat(stream=True).status == 502


BROKEN = [
    ("reset", GOOD[:3] + [0.05, "reset"]),
    ("end in the middle", GOOD[:3]),
    ("half an event", GOOD[:3] + ["data: {\"choi"]),
    ("missing DONE", GOOD[:5]),
    ("missing finish_reason", GOOD[:4] + GOOD[5:]),
    ("garbage", GOOD[:3] + ["data: {{{\n\n", "wait"]),
    ("no object", GOOD[:3] + ["data: [1]\n\n", "wait"]),
    ("an error event", GOOD[:3] + ['data: {"error": {"message": "oom at 192.0.2.7"}}\n\n', "wait"]),
    ("oversized line", GOOD[:3] + ["data: " + "x" * 600000 + "\n\n", "wait"]),
    ("oversized event", GOOD[:3] + ["data: " + "x" * 1000 + "\n"] * 700 + ["\n", "wait"]),
    ("choice out of range", GOOD[:3] + ['data: {"choices": [{"index": 5000, "delta": {}}]}\n\n', "wait"]),
    ("stall", GOOD[:3] + ["wait"]),
]


def test_failures_inside():
    """What goes wrong after the first byte: the stream ends with one error event, and no other server is asked."""
    with Upstream() as up, Upstream(GOOD) as other, gateway(up.url, flags=("--upstream-idle-ms", "600")) as server, \
         gateway(up.url, other.url, flags=("--upstream-idle-ms", "600")) as two:
        for name, reply in BROKEN:
            up.reply = reply
            stream = server.stream()
            events = list(stream)
            assert stream.whole and "[DONE]" not in events, (name, events)
            assert text_of(events[:-1]) in ("a", "ab"), (name, events)
            assert "error" in events[-1] and "192.0.2.7" not in json.dumps(events), (name, events)
            assert sum("error" in e for e in events) == 1
            for k in range(8):  # some of them at the broken one first
                asked = len(up.requests), len(other.requests)
                events = list(two.stream(text=f"{name} {k}"))
                first, second = len(up.requests) - asked[0], len(other.requests) - asked[1]
                assert first + second == 1, (name, first, second)
                assert ("error" in events[-1]) == (first == 1), (name, events)
                if first:
                    break
        good = 0
        up.reply = GOOD
        for i in range(4):
            good += list(server.stream())[-1] == "[DONE]"
        assert good == 4
        until("nothing runs", lambda: server.health()["running"] == 0)


def test_next_one():
    """Before the first byte the next server is asked, whatever was wrong with the first."""
    dead = f"http://127.0.0.1:{closed_port()}"
    with Upstream() as up, Upstream(lambda q: GOOD if q.get("stream") else WHOLE) as good:
        for name, reply, status in FAILURES:
            if status in (400, 422):
                continue
            up.reply = reply
            with gateway(up.url, dead, good.url, flags=("--upstream-idle-ms", "300")) as server:
                for i in range(3):
                    assert server.chat(text=str(i)).status == 200, name
                    assert list(server.stream(text=str(i)))[-1] == "[DONE]", name


def test_gone():
    """A client that leaves ends the work upstream at once: streaming, before the first byte, and of a whole reply."""
    silent = [0, "wait"]
    for reply, stream in (silent, True), (silent, False), (GOOD[:3] + ["wait"], True):
        with Upstream(reply) as up, gateway(up.url) as server:
            s = server.connect()
            send_request(s, "POST", "/v1/chat/completions", json.dumps(
                {"model": "m", "messages": [], "stream": stream}).encode())
            until("the upstream has it", lambda: up.requests)
            server.running(1)
            s.close()
            until("the upstream hears of it", lambda: up.gone == 1)
            server.running(0)


def test_affinity():
    """Prompts that begin alike go to one server; others to either."""
    with Upstream(WHOLE) as a, Upstream(WHOLE) as b, gateway(a.url, b.url) as server:
        def who(*messages):
            before = len(a.requests)
            assert server.post("/v1/chat/completions", {"model": "m", "messages": [
                {"role": "user", "content": m} for m in messages]}).status == 200
            return len(a.requests) > before
        first = [who("You are kind.", f"question {i}") for i in range(24)]
        assert 0 < sum(first) < 24 # all on one side: 1 in 8 million
        for i in range(24):
            assert who("You are kind.", f"question {i}", "answer", "more") == first[i]


def test_silence():
    """Keep-alive comments while the upstream thinks."""
    with Upstream([SSE, 1.2] + GOOD[1:]) as up, gateway(up.url, flags=("--ping-ms", "50")) as server:
        stream = server.stream()
        assert list(stream)[-1] == "[DONE]" and stream.comments >= 2, stream.comments
        up.reply = [0.8, HEAD % ("400 Bad", "application/json") + '{"error": {"message": "no"}}']
        events = list(server.stream())
        assert events == [{"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}]


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(l.split()[1]) for l in f if l.startswith("VmRSS"))


def test_slow_reader():
    """Who does not read stops the upstream, not the memory; who reads again gets all of it."""
    piece = chunk({"content": "x" * 8000}).encode()
    total = 3000
    done = []

    def flood(s):
        for _ in range(total):
            s.sendall(piece)
            up.sent += len(piece)
        s.sendall((chunk({}, "stop") + "data: [DONE]\n\n").encode())
        done.append(1)

    with Upstream([SSE, flood]) as up, gateway(up.url) as server:
        list(Upstream_once(server, up))
        before = resident_kb(server.front())
        stream = server.stream()
        stream.begin()
        until("it stands still", lambda: (n := up.sent, time.sleep(0.3)) and up.sent == n and n > 0)
        assert not done and up.sent < total * len(piece) / 2, up.sent
        grown = resident_kb(server.front()) - before
        assert grown < 8192 or is_sanitized(), f"{grown} KiB"
        events = list(stream)
        assert len(text_of(events)) == total * 8000 and events[-1] == "[DONE]"


def Upstream_once(server, up):
    """One short answer first, so that what is allocated once is there."""
    reply, up.reply = up.reply, GOOD
    yield from server.stream()
    up.reply, up.sent = reply, 0


SCRIPT = """mode forward
seqs 16
on "long"
say "tok "
wait 2
endless
on "call"
say "<tool_call>\\n{\\"name\\": \\"f\\", \\"arguments\\": {\\"a\\": 1}}\\n</tool_call>"
on ""
say "short answer"
"""


def test_real():
    """A second curlew as the upstream: whole, stream, completions, embeddings."""
    with Server(script=SCRIPT) as up:
        with Server("--upstream", f"here=http://127.0.0.1:{up.port}", wait=True) as wrong:
            assert wrong.chat(model="here").status == 502 # it has another name there
        with gateway(f"http://127.0.0.1:{up.port}") as server:
            got, there = server.chat().json(), up.chat().json()
            assert got["choices"] == there["choices"] and got["usage"]["total_tokens"] == there["usage"]["total_tokens"]
            assert text_of(list(server.stream())) == "short answer"
            events = list(server.stream(stream_options={"include_usage": True}))
            assert events[-2]["choices"] == [] and events[-2]["usage"]["completion_tokens"] > 0
            got = server.post("/v1/completions", {"model": "m", "prompt": "Hi"}).json()
            assert got["object"] == "text_completion" and got["choices"][0]["text"] == "short answer"
            got = server.chat(temperature=9)
            assert got.status == 400 and got.json()["error"]["param"] == "temperature"
            stream = server.stream(text="long")
            events = iter(stream)
            until("text comes", lambda: text_of([next(events)]))
            up.running(1)
            stream.close()
            up.running(0)


def test_real_tools():
    """Calls of tools come through as they are, whole and in pieces."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer"}}}}}]

    def calls(deltas):
        name, text = "", ""
        for d in deltas:
            for c in d.get("tool_calls") or []:
                name += c["function"].get("name") or ""
                text += c["function"].get("arguments") or ""
        return name, text

    with Server(script=SCRIPT) as up, gateway(f"http://127.0.0.1:{up.port}") as server:
        for s in up, server:
            choice = s.chat(text="call", tools=tools).json()["choices"][0]
            assert calls([choice["message"]]) == ("f", '{"a":1}') and choice["finish_reason"] == "tool_calls"
            events = list(s.stream(text="call", tools=tools))[:-1]
            assert calls(e["choices"][0]["delta"] for e in events) == ("f", '{"a":1}')
            assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_real_embeddings():
    """Vectors of the bundled model, by way of a Unix socket; bodies that are read off the loop; what is not relayed."""
    models = list(pathlib.Path(__file__).resolve().parents[2].glob("models/**/*.gguf"))
    if not models:
        print("no bundled model")
        return
    with Server("--model", str(models[0]), "--alias", "tiny") as up:
        pass_on = Server(wait=False)  # for its folder only
        pass_on.process.kill()
        pass_on.process.wait()
        sock = os.path.join(pass_on.folder, "s")
        path = pass_on.write("c.yaml", f"port: 0\nmodels:\n  - {{id: vec, upstreams: [{{url: 'http://localhost', unix: {sock}, model: m}}]}}\n")
        middle = pass_on.write("m.yaml", f"listen: [127.0.0.1:0, 'unix:{sock}']\nmodels:\n  - id: m\n    upstreams: "
                               f"[{{url: 'http://127.0.0.1:{up.port}', model: tiny}}]\n")
        with Config(middle), Config(path) as server:
            for texts in "A fox.", ["A fox."] * 300, ["A fox. " * 40] * 250:
                want = up.post("/v1/embeddings", {"model": "tiny", "input": texts}).json()
                got = server.post("/v1/embeddings", {"model": "vec", "input": texts}).json()
                assert got["model"] == "vec" and got["data"] == want["data"] and got["usage"] == want["usage"]
            assert server.post("/embeddings", {"model": "vec", "input": 7}).status == 400
        pass_on.__exit__(None, None, None)


class Config(Server):
    """A server that listens where its file says."""

    where = ()

    def __init__(self, path):
        super().__init__("--config", path)


def test_new_key():
    """A reload with another key in the same file: the next request has it, and none fails."""
    with Upstream(WHOLE) as up:
        folder = Server(wait=False)
        folder.process.kill()
        folder.process.wait()
        folder.write("key", "one")
        path = folder.write("c.yaml", f"models: [{{id: m, upstreams: [{{url: '{up.url}', key_file: key}}]}}]\n")
        with Server("--config", path) as server:
            assert server.chat().status == 200
            folder.write("key", "two\n")
            server.process.send_signal(1)
            until("it is read again", lambda: server.chat().status == 200 and "Bearer two\r" in up.requests[-1][0])
            folder.write("key", "two words")
            server.process.send_signal(1)
            until("it is refused", lambda: "one word of printable ASCII" in server.text())
            assert server.chat().status == 200 and "two words" not in server.text()
        folder.__exit__(None, None, None)


def test_restart():
    """One of two servers is killed and comes back under 16 clients: a request that had not begun is not lost."""
    results, stop = [], threading.Event()
    with Server(script=SCRIPT) as stays:
        def start(port):
            return Server("--port", str(port), script=SCRIPT)
        goes = start(0)
        port = goes.port
        with gateway(f"http://127.0.0.1:{stays.port}", f"http://127.0.0.1:{port}",
                     flags=("--upstream-health-ms", "200")) as server:
            def client(i):
                n = 0
                while not stop.is_set():
                    n += 1
                    if n % 2:
                        got = server.chat(text=f"{i} {n}")
                        results.append((got.status, got.body))
                    else:
                        events = list(server.stream(text=f"{i} {n}"))
                        begun = any("choices" in e for e in events if e != "[DONE]")
                        results.append((200 if events[-1] == "[DONE]" or begun else 0, events))
            threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
            for t in threads:
                t.start()
            until("they run", lambda: len(results) > 50)
            for _ in range(2):
                for pid in (goes.front(), goes.process.pid):
                    os.kill(pid, 9)
                goes.process.wait()
                n = len(results)
                until("the other one takes over", lambda: len(results) > n + 50)
                goes = start(port)
                n = len(results)
                until("both work", lambda: len(results) > n + 50)
            stop.set()
            for t in threads:
                t.join()
            bad = [r for r in results if r[0] != 200]
            assert not bad, bad[:3]
            until("it is asked again", lambda: server.chat(text=os.urandom(4).hex()).status == 200
                  and goes.health()["status"] == "ok")
        goes.__exit__(None, None, None)


def test_all_down():
    """/health and /v1/models tell; when one comes back, requests work again."""
    port = closed_port()
    with gateway(f"http://127.0.0.1:{port}", flags=("--upstream-health-ms", "100")) as server:
        server.wait_health(503)
        model = server.get("/v1/models").json()["data"][0]
        assert model["state"] == "restarting" and "no server" in model["reason"]
    with Upstream(WHOLE, health="404 No") as up, gateway(up.url, flags=("--upstream-health-ms", "100")) as server:
        server.wait_health(503) # neither /health nor /v1/models
        up.health = "200 OK"
        server.wait_health(200)
        assert server.chat().status == 200


def test_sandbox():
    """A front without upstreams cannot connect, and a reload that wants it to is refused."""
    with Server(script=SCRIPT) as up:
        folder = Server(wait=False)
        folder.process.kill()
        folder.process.wait()
        model = folder.write("m.script", SCRIPT)
        path = folder.write("c.yaml", f"models:\n  - {model}\n")
        with Server("--config", path) as server:
            folder.write("c.yaml", f"models:\n  - {model}\n  - {{id: far, upstreams: ['http://127.0.0.1:{up.port}']}}\n")
            server.process.send_signal(1)
            until("it is refused", lambda: "gave up the right to connect" in server.text())
            assert server.chat().status == 200
        folder.write("c.yaml", f"models:\n  - {{id: far, upstreams: [{{url: 'http://localhost:{up.port}', model: m}}]}}\n")
        with Server("--config", path) as server:
            until("its name is looked up", lambda: server.chat(model="far").status == 200)
            folder.write("c.yaml", f"models:\n  - {model}\n")
            server.process.send_signal(1)
            until("the model here is there", lambda: server.chat(model="m").status == 200)
            assert server.chat(model="far").status == 404
        folder.__exit__(None, None, None)


def test_front_killed():
    """A new front gets it all again: upstreams, keys, addresses of hosts."""
    with Upstream(WHOLE) as up, gateway(f"http://localhost:{up.port}") as server:
        until("it works", lambda: server.chat().status == 200)
        old = server.front()
        os.kill(old, 9)
        until("another one comes", lambda: server.front() not in (None, old))

        def works():
            try:
                return server.chat().status == 200
            except OSError:
                return False
        until("it works again", works)


def test_check_config():
    """check-config names upstreams and finds what is wrong with their keys."""
    folder = Server(wait=False)
    folder.process.kill()
    folder.process.wait()
    path = folder.write("c.yaml", "models: [{id: far, upstreams: [http://127.0.0.1:9, {url: 'http://x', key_file: k}]}]\n")

    def check():
        return subprocess.run([CURLEW, "check-config", path], capture_output=True, text=True)
    got = check()
    assert got.returncode and "c.yaml:1:" in got.stderr and "/k" in got.stderr, got.stderr
    folder.write("k", "sk-1")
    got = check()
    assert got.returncode == 0 and "upstream  http://x" in got.stdout and "sk-1" not in got.stdout, got
    folder.__exit__(None, None, None)


def test_tls():
    """https: with the right certificate it works, by name and by address; with another one it is refused."""
    folder = Server(wait=False)
    folder.process.kill()
    folder.process.wait()
    for name in "good", "other":
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                               "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                               "-keyout", f"{folder.folder}/{name}.key", "-out", f"{folder.folder}/{name}.pem"],
                              capture_output=True)
        if done.returncode:
            print("openssl makes no certificates here")
            return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder.folder}/good.pem", f"{folder.folder}/good.key")
    with Upstream(lambda q: GOOD if q.get("stream") else WHOLE, tls=context) as up:
        for host in "localhost", "127.0.0.1":
            with gateway(f"https://{host}:{up.port}", flags=("--upstream-ca-file", f"{folder.folder}/good.pem")) as server:
                until("it answers", lambda: server.chat().status == 200)
                assert list(server.stream())[-1] == "[DONE]"
            asked = len(up.requests)
            with gateway(f"https://{host}:{up.port}", flags=("--upstream-ca-file", f"{folder.folder}/other.pem")) as server:
                until("it is looked at", lambda: "upstream_sick" in server.text())
                assert server.chat().status == 502 and len(up.requests) == asked
    folder.__exit__(None, None, None)


def test_compat():
    """SGLANG_URL and MODEL_NAME, as gemma-gateway has them."""
    with Upstream(WHOLE) as up:
        env = {"SGLANG_URL": up.url, "MODEL_NAME": "google/gemma-3-4b-it"}
        with Server("--compat", "gemma-gateway", env=env) as server:
            got = server.chat(model="google/gemma-3-4b-it")
            assert got.status == 200 and got.json()["model"] == "google/gemma-3-4b-it"
            assert up.requests[0][1]["model"] == "google/gemma-3-4b-it"


if __name__ == "__main__":
    run_all(dict(globals()))
