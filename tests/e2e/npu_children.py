#!/usr/bin/env python3
"""npu_children.py - programs of the user's own that speak nw1: the contract of docs/npu-children.md."""

import json
import os
import pathlib
import re
import subprocess

from axera_rig import FAKES, Folder, all_gone, program
from cli_rig import END, HELLO, START
from serve import Server, run_all, text_of, until

DOC = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "npu-children.md"


def content(reply):
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json()["choices"][0]["message"]["content"]


def test_example():
    """The example of the page, as it stands there."""
    text = re.search(r"```python\n(.*?)```", DOC.read_text(), re.S).group(1)
    assert len(text.strip().split("\n")) <= 36
    with program(text=text) as server:
        assert content(server.chat("m", "hello there")) == "You said: hello there "
        reply = server.chat("m", "a b c d e f", max_tokens=3)
        assert content(reply) == "You said: a " and reply.json()["choices"][0]["finish_reason"] == "length"
        assert text_of(list(server.stream("m", "x y"))) == "You said: x y "


def test_inputs():
    """Messages, text or ids, by what the program says it takes."""
    with program([["hello", "Gr\u00fc\u00df \u4f60"]]) as server:
        assert content(server.chat("m", "hello")) == "Gr\u00fc\u00df \u4f60"
        got = [m for _, m in server.fake.notes("got")]
        assert got[0] == {"type": "hello", "proto": "nw1"}
        assert got[1]["type"] == "load"
        assert {"type": "error", "id": None, "code": "unknown_type", "message": "unknown type", "fatal": False} in got
        run = next(m for m in got if m["type"] == "generate")
        assert run["messages"] == [{"role": "user", "content": "hello"}] and "sampling" not in run
        usage = server.chat("m", "hello").json()["usage"]
        assert usage["prompt_tokens"] == 5, usage
        assert server.chat("m", "hello", temperature=0.5).status == 400
        assert server.post("/v1/completions", {"model": "m", "prompt": "x"}).status == 400
    with program([["", "yes"]], FAKE_CAPS='["sampling"]', flags=["--chat-template", "chatml"]) as server:
        assert content(server.chat("m", "hello", temperature=0.5, seed=7, top_k=3)) == "yes"
        run = next(m for _, m in server.fake.notes("got") if m["type"] == "generate")
        assert run["prompt"].startswith("<|im_start|>user\nhello<|im_end|>"), run
        assert run["sampling"]["temperature"] == 0.5 and run["sampling"]["seed"] == 7 and run["sampling"]["top_k"] == 3
    with program([["", "yes"]], FAKE_CAPS='["tokens_in"]', tokenizer=True) as server:
        assert content(server.chat("m", "hello")) == "yes"
        run = next(m for _, m in server.fake.notes("got") if m["type"] == "generate")
        want = [START, *map(ord, "user:"), HELLO, END, START, *map(ord, "assistant:")]
        assert run["tokens"] == want and run["stop_ids"] == [END], run
        assert server.chat("m", "x" * 300).json()["error"]["code"] == "context_length_exceeded"


def fails(server, text, words, code):
    events = list(server.stream("m", text))
    assert "error" in events[-1], events[-2:]
    error = events[-1]["error"]
    assert words in error["message"] and error["code"] == code, error


def test_failures():
    """Each is told, and costs its own request only."""
    long = [["", "0123456789" * 5]]
    for fail, words, options in (("crash:4", "ended", ()), ("hang:4", "silent", ["stall-s=1"]),
                                 ("garbage", "no JSON", ()), ("long", "1 MiB", ()), ("fatal", "fell out", ())):
        with program(long, FAKE_FAIL=fail, options=options) as server:
            word = fail.split(":")[0]
            if fail == "fatal":
                fails(server, word, words, "internal_error")
            else:
                fails(server, word, words, "engine_unavailable")
            until("a new program", lambda: len(server.fake.pids()) > 1)
            until("ready", lambda: server.health()["models"][0]["state"] == "ready")
            assert content(server.chat("m", "x")) == long[0][1]
        all_gone(server.fake)
    for code, status in (("bad_request", 400), ("context_length", 400), ("busy", 503), ("weird", 500)):
        with program(long, FAKE_FAIL="error:" + code) as server:
            reply = server.chat("m", "error")
            assert reply.status == status and "as you wished" in reply.json()["error"]["message"], reply.body
            assert content(server.chat("m", "x")) == long[0][1]
            assert len(server.fake.pids()) == 1


def test_starts():
    for fail, words in (("proto", "speaks nw9"), ("never", "not ready"), ("init", "no card"), ("load-error", "there is none")):
        with program(FAKE_FAIL=fail, options=["start-s=1"], wait=False) as server:
            until("it is told", lambda: "start_failed" in server.text())
            assert words in server.text(), server.text()
            until("it is tried again", lambda: len(server.fake.pids()) > 1)
        all_gone(server.fake)
    with program(wait=False, options=["colour=red"]) as server:
        assert server.process.wait(20) == 1 and "known key" in server.text(), server.text()


def test_cancel_and_ping():
    with program([["", "x" * 3000], ], FAKE_MS=5, options=["health-s=1"]) as server:
        stream = server.stream("m", "long")
        events = iter(stream)
        until("text", lambda: text_of([next(events)]))
        stream.close()
        assert content(server.chat("m", "y", max_tokens=2)) == "xx"
        types = [m["type"] for _, m in server.fake.notes("got")]
        assert "cancel" in types
        until("a ping", lambda: any(m["type"] == "ping" for _, m in server.fake.notes("got")))
        assert len(server.fake.pids()) == 1
    with program([["", "x"]], FAKE_MS=5, FAKE_FAIL="deaf", options=["cancel-s=1"]) as server:
        stream = server.stream("m", "deaf")
        events = iter(stream)
        until("text", lambda: text_of([next(events)]))
        stream.close()
        until("a new program", lambda: len(server.fake.pids()) > 1)
    with program(FAKE_FAIL="no-pong", options=["health-s=1"]) as server:
        until("a new program", lambda: len(server.fake.pids()) > 1)


def test_socket():
    """A program that listens already is neither started nor ended by us."""
    folder = Folder()
    path = os.path.join(folder.path, "model.sock")
    env = {**os.environ, "FAKE_SOCKET": path, "FAKE_LOG": folder.log, "FAKE_ANSWERS": '[["", "here"]]'}
    with subprocess.Popen([FAKES / "fake_nw1.py"], env=env) as child:
        until("it listens", lambda: os.path.exists(path))
        for _ in range(2):
            with Server("--engine", "child:" + path, "--alias", "m") as server:
                assert content(server.chat("m", "hello")) == "here"
            assert child.poll() is None
        child.kill()


if __name__ == "__main__":
    run_all(dict(globals()))
