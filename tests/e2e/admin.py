#!/usr/bin/env python3
"""admin.py - /admin/reload and /admin/shutdown: who may ask, what they do; --busy; /v1/models of several models."""

import json
import os
import socket

from config import TWO, Configured, begin_long
from serve import PATIENCE, Server, gone, read_reply, run_all, send_request, text_of, until

KEY = "0123456789abcdef-the-key"
MODELS = {"a": "I am a", "b": "I am b"}


class Admin(Configured):
    """With a Unix socket beside the port, and an admin key if there is one."""
    where = ()

    def __init__(self, key=None, **more):
        self.key = key
        super().__init__(None, MODELS, **more)

    def prepare(self):
        self.path = os.path.join(self.folder, "s.sock")
        self.base = f'listen: ["127.0.0.1:0", "unix:{self.path}"]\n'
        if self.key:
            self.write("key", self.key + "\n")
            self.base += "admin_key_file: key\n"
        self.pending = self.base + TWO, MODELS
        super().prepare()

    def unix(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.path)
            send_request(s, "POST", path, b"")
            return read_reply(s)

    def tcp(self, path, key=None, name="Authorization", scheme="Bearer "):
        return self.request("POST", path, b"{}", {name: scheme + key} if key else None)


def error(reply, status, code):
    assert reply.status == status, (reply.status, reply.body)
    got = reply.json()["error"]
    assert set(got) == {"message", "type", "param", "code"} and got["code"] == code, got
    return got["message"]


def test_reload_over_unix():
    with Admin() as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        reply = server.unix("/admin/reload")
        assert reply.status == 200, reply.body
        assert reply.json() == {"status": "ok", "models": {"loading": [], "kept": ["a", "b"], "leaving": [],
                                                           "not_served": []}, "restart_needed": []}, reply.body
        server.write("c.yaml", server.base + "models: [a.script]\n")
        assert server.unix("/admin/reload").json()["models"]["leaving"] == ["b"]
        assert server.ids() == ["a"]
        server.write("c.yaml", server.base + TWO + "ctxx: 1\n")
        why = error(server.unix("/admin/reload"), 400, None)
        assert why == 'c.yaml:5:1: "ctxx" is not a key of the configuration; did you mean ctx?', why
        assert server.ids() == ["a"]
        error(server.tcp("/admin/reload"), 403, "forbidden")
        error(server.tcp("/admin/reload", KEY), 403, "forbidden")


def test_reload_with_key():
    with Admin(KEY) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        error(server.tcp("/admin/reload"), 401, "invalid_api_key")
        for wrong in (KEY[:-1], KEY + "x", "x" * len(KEY), "\u00e9" * 8, "x"):
            error(server.tcp("/admin/reload", wrong), 401, "invalid_api_key")
        assert server.tcp("/admin/reload", KEY).status == 200
        assert server.tcp("/admin/reload", KEY, scheme="bEARER ").status == 200
        assert server.tcp("/admin/reload", KEY, "x-api-key", "").status == 200
        server.write("key", "another-key-entirely\n")  # a key changes with a reload
        assert server.tcp("/admin/reload", KEY).status == 200
        error(server.tcp("/admin/reload", KEY), 401, "invalid_api_key")
        assert server.tcp("/admin/reload", "another-key-entirely").status == 200
        server.write("key", "short\n")
        why = error(server.tcp("/admin/reload", "another-key-entirely"), 400, None)
        assert "an admin key of 5 bytes, 16 at least are needed" in why, why
        assert KEY not in server.text() and "another-key" not in server.text()


def test_reload_under_streams():
    with Admin() as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        stream, events = begin_long(server, "b")
        server.write("c.yaml", server.base + "models: [a.script]\n")
        assert server.unix("/admin/reload").json()["models"]["leaving"] == ["b"]
        for _ in range(20):
            assert text_of([next(events)])
        stream.close()
        until("no worker b", lambda: server.worker("b") is None)


def test_front_killed_keeps_key():
    with Admin(KEY) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        front = server.front()
        os.kill(front, 9)
        until("a new front", lambda: server.front() not in (None, front))

        def status():
            try:
                return server.tcp("/admin/reload", KEY).status
            except (ConnectionError, ValueError):
                return 0
        until("it reloads", lambda: status() == 200)


def test_shutdown():
    """Its reply comes, running streams end by themselves, the status is 0."""
    for key in None, KEY:
        with Admin(key) as server:
            until("both are there", lambda: server.health()["status"] == "ok")
            pids = [server.front(), server.worker("a"), server.worker("b")]
            with server.connect() as s:
                body = {"model": "a", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
                send_request(s, "POST", "/v1/chat/completions", json.dumps(body).encode())
                reply = server.tcp("/admin/shutdown", key) if key else server.unix("/admin/shutdown")
                assert reply.status == 200 and reply.json() == {"status": "shutting down"}, reply.body
                whole = read_reply(s)
            assert whole.whole and whole.events()[-1] == "[DONE]", whole.body
            assert server.process.wait(PATIENCE) == 0
            until("all are gone", lambda: all(gone(p) for p in pids))


def test_busy():
    """--busy reject: one request at a time for each model, others get 503; else they wait."""
    script = 'mode generate\non "long"\nsay "tok "\nwait 10\nendless\non ""\nsay "short"\n'
    with Server("--busy", "reject", scripts={"a": script, "b": script}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        stream, _ = begin_long(server, "a")
        for path, body in (("/v1/chat/completions", {"model": "a", "messages": [{"role": "user", "content": "Hi"}]}),
                           ("/v1/completions", {"model": "a", "prompt": "Hi"}), ("/generate", {"prompt": "Hi"})):
            reply = server.post(path, body)
            why = error(reply, 503, "overloaded")
            assert why == "the model a is answering another request; retry", why
            assert "retry-after" in reply.headers, reply.headers
        assert server.chat("b").status == 200
        stream.close()
        server.running(0)
        assert server.post("/generate", {"prompt": "Hi"}).json() == {"text": "short", "status": "success"}


def test_names_of_several():
    """Ambiguous names are a 404 that lists the candidates; the better fit wins."""
    script = 'mode generate\nsay "x"\n'
    names = ("gemma-3-1b-it_w8a8", "Qwen_Qwen3-0.6B-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588",
             "google_gemma-3-270m-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588", "Qwen3-0.6B-Q8_0")
    with Server(scripts={n: script for n in names}) as server:
        until("all are there", lambda: server.health()["status"] == "ok")
        for asked, want in (("gemma-3-1b-it", 0), ("gemma-3-270m", 2), ("gemma-3-270m-w8a8", 2), ("google", 2),
                            ("QWEN3-0.6B-Q8_0", 3), ("gemma-3-1", 0), ("Qwen_Qwen3-0.6B-w8", 1)):
            reply = server.chat(asked)
            assert reply.status == 200 and reply.json()["model"] == names[want], (asked, reply.body)
        for asked, a, b in (("q", 1, 3), ("qwen3-0.6b", 1, 3), ("gemma-3", 0, 2), ("Qwen/Qwen3-0.6B", 1, 3)):
            why = error(server.chat(asked), 404, "model_not_found")
            assert why == f'the model name "{asked}" is ambiguous; it may mean {names[min(a, b)]}, {names[max(a, b)]}', why
        assert server.chat("gemma-3-270m-w4a16").status == 404


if __name__ == "__main__":
    run_all(dict(globals()))
