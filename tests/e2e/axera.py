#!/usr/bin/env python3
"""axera.py - what must hold for a child of every generation: ends, limits, failures, restarts, cleanliness."""

import os
import random
import signal
import sys

from axera_rig import all_gone, api, axllm, console
from serve import gone, run_all, text_of, until

LONG = "0123456789" * 30
ANSWERS = [["long", LONG], ["crash", LONG], ["hang", LONG], ["deaf", "again "], ["garbage", LONG], ["half", [97, 98, 0xe4, 0xbd]],
           ["uni", "\u4f60\u597d\u20ac\U0001f600 end"], ["", "short"]]

KINDS = {
    "main": lambda **k: console(1, ANSWERS, **k),
    "ctx": lambda **k: console(2, ANSWERS, **k),
    "generate": lambda **k: api("generate", ANSWERS, **k),
    "openai": lambda **k: api("openai", ANSWERS, **k),
    "axllm": lambda **k: axllm([["half it", "abcdefghi"], *ANSWERS[:5], *ANSWERS[6:]], **k),
}
for word in [w for w in sys.argv[1:] if w.startswith("kind=")]:  # meson runs a test for each
    sys.argv.remove(word)
    KINDS = {word[5:]: KINDS[word[5:]]}


def each(**given):
    for name, make in KINDS.items():
        with make(**given) as server:
            server.kind = name
            yield server
        all_gone(server.fake)


def content(reply):
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json()["choices"][0]["message"]["content"]


def finish(reply):
    return reply.json()["choices"][0]["finish_reason"]


def works(server):
    assert content(server.chat("m", "other")) == "short"


def ready_again(server, pids):
    """A new child is there and answers."""
    until("a new child", lambda: len(server.fake.pids()) > pids)
    until("ready", lambda: server.health()["models"][0]["state"] == "ready")
    works(server)


def fails(server, text, code="engine_unavailable"):
    """A stream that ends with one error event."""
    events = list(server.stream("m", text))
    assert "error" in events[-1], (server.kind, events[-2:])
    assert events[-1]["error"]["code"] == code, (server.kind, events[-1])
    return text_of([e for e in events[:-1] if e != "[DONE]"]), events[-1]["error"]["message"]


def test_text():
    """Several turns, characters of every length, stop sequences, most tokens."""
    for server in each():
        reply = server.post("/v1/chat/completions", {"model": "m", "messages": [
            {"role": "user", "content": "q"}, {"role": "assistant", "content": "reset\n#3\n>> "},
            {"role": "user", "content": "uni"}]})
        assert content(reply) == "\u4f60\u597d\u20ac\U0001f600 end" and finish(reply) == "stop", (server.kind, reply.body)
        assert text_of(list(server.stream("m", "uni"))) == "\u4f60\u597d\u20ac\U0001f600 end"
        reply = server.chat("m", "long", stop=["567"])
        assert content(reply) == "01234" and finish(reply) == "stop", (server.kind, reply.body)
        for n in 1, 2, 3, 4, 7, 30:
            reply = server.chat("m", "long", max_tokens=n)
            want = LONG[:3 * n] if server.kind == "axllm" else LONG[:n]  # a piece of the fake counts as a token
            assert content(reply) == want and finish(reply) == "length", (server.kind, n, reply.body)
        works(server)
        for text in "q", "reset", "#3", "\n", "a\n" * 15:
            assert content(server.chat("m", text)) == "short", (server.kind, text)
        assert len(server.fake.pids()) == 1


def test_refused():
    """What no child can do is a 400 that names it; too long a prompt is one too, and never reaches the child."""
    for server in each(FAKE_PROMPT=100, FAKE_CTX=200):
        for field in {"logprobs": True}, {"logit_bias": {"5": 1}}, {"seed": 5}, {"min_p": 0.5}:
            reply = server.chat("m", "x", **field)
            assert reply.status == 400 and reply.json()["error"]["param"] == next(iter(field)), (server.kind, reply.body)
        reply = server.chat("m", "x", temperature=0.7)
        assert reply.status == (400 if server.kind in ("main", "ctx") else 200), (server.kind, reply.body)
        reply = server.chat("m", "x" * 150)
        assert reply.status == 400 and reply.json()["error"]["code"] == "context_length_exceeded", reply.body
        if server.kind in ("main", "ctx"):
            reply = server.chat("m", "long" + "x" * 50)
            used = reply.json()["usage"]
            assert finish(reply) == "length" and used["total_tokens"] == 200, reply.body
        works(server)
        assert len(server.fake.pids()) == 1
    for server in each(options=["sampling=ignore"]):
        reply = server.chat("m", "x", temperature=0.7, seed=1)
        assert content(reply) == "short"


def test_cancel():
    """A client that goes frees the child; what the child still does is not in the next answer."""
    for server in each(FAKE_MS=5):
        for _ in range(5):
            stream = server.stream("m", "long")
            events = iter(stream)
            until("text", lambda: text_of([next(events)]))
            stream.close()
            assert content(server.chat("m", "other")) == "short", server.kind
        assert len(server.fake.pids()) == 1, server.kind
        if server.kind in ("generate", "openai"):
            assert server.fake.notes("stop")


def test_crash():
    """In the middle of an answer: what came, one error that says why, and a new child."""
    for server in each(FAKE_FAIL="crash:4"):
        text, why = fails(server, "crash")
        assert LONG.startswith(text), (server.kind, text)
        assert "ended" in why or "connection" in why or "takes no" in why, (server.kind, why)
        ready_again(server, 1)


def test_hang():
    """A child that says nothing any more is ended, and started again."""
    for server in each(FAKE_FAIL="hang:4", options=["stall-s=1"]):
        text, why = fails(server, "hang")
        assert LONG.startswith(text) and "silent" in why, (server.kind, text, why)
        ready_again(server, 1)


def test_deaf():
    """A child that does not stop when told is ended; the next request finds a new one."""
    for server in each(FAKE_FAIL="deaf:0", FAKE_MS=5, options=["cancel-s=1"]):
        if server.kind == "axllm":  # knows no stop at all: test_goes_on
            continue
        stream = server.stream("m", "deaf")
        events = iter(stream)
        until("text", lambda: text_of([next(events)]))
        stream.close()
        ready_again(server, 1)


def test_killed():
    """Killed while idle; and the worker killed while the child runs: nobody is left, both come again."""
    for server in each():
        os.kill(server.fake.pids()[0], signal.SIGKILL)
        ready_again(server, 1)
        child = server.fake.pids()[1]
        os.kill(server.worker(), signal.SIGKILL)
        until("the child goes with its worker", lambda: gone(child))
        ready_again(server, 2)


def test_start():
    """A first start that fails is tried again; one that always fails is told with the child's words."""
    for server in each(FAKE_FAIL=f"init-once:{os.path.join(os.getcwd(), f'.once-{os.getpid()}')}"):
        os.unlink(f".once-{os.getpid()}")
        assert len(server.fake.pids()) == 2, server.kind
        works(server)
        assert "start_failed" in server.text() and "again_ms=0" in server.text()
    for name, make in KINDS.items():
        for fail, why in ("init", "rror"), ("never", "not ready"):
            with make(FAKE_FAIL=fail, options=["start-s=1"], wait=False) as server:
                until("it is told", lambda: "start_failed" in server.text())
                line = next(x for x in server.text().split("\n") if "start_failed" in x)
                assert why in line or "fail" in line, (name, line)
                until("it is tried again", lambda: len(server.fake.pids()) >= 2)
            all_gone(server.fake)


def test_garbage():
    """Bytes that are no answer: no text of them gets out, and the next request is fine or finds a new child."""
    for server in each(FAKE_FAIL="garbage", FAKE_MS=2):
        if server.kind in ("main", "ctx"):  # the terminal carries nothing of the answer
            assert content(server.chat("m", "garbage")) == LONG
        elif server.kind != "axllm":
            text, why = fails(server, "garbage", "upstream_unreachable")
            assert "JSON" in why, why
        else:
            text, why = fails(server, "garbage", "upstream_unreachable")
            assert text == LONG[:3] and "JSON" in why, (text, why)
        until("it serves again", lambda: server.chat("m", "other").status == 200)


def test_half():
    """Half a character becomes U+FFFD, and nothing else is lost."""
    for server in each(FAKE_FAIL="half"):
        if server.kind == "axllm":
            assert content(server.chat("m", "half it")) == "abc\ufffddefghi"
        else:
            assert content(server.chat("m", "half")).rstrip("\ufffd") == "ab", server.kind
            assert text_of(list(server.stream("m", "half"))).startswith("ab")
        works(server)


def test_many():
    """200 requests, half of them left at random: no descriptor and no child is left over."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    rng = random.Random(seed)
    print("SEED", seed, flush=True)
    for server in each(FAKE_MS=0.3):
        works(server)
        count = lambda: len(os.listdir(f"/proc/{server.worker()}/fd"))
        before = count()
        for i in range(200):
            kind = rng.randrange(4)
            if kind == 0:
                works(server)
            elif kind == 1:
                assert content(server.chat("m", "long", max_tokens=9)).startswith("012345678"), i
            else:
                stream = server.stream("m", "long" if kind == 2 else "uni")
                events = iter(stream)
                for _ in range(rng.randrange(4)):
                    next(events, None)
                stream.reset() if rng.randrange(2) else stream.close()
        works(server)
        until("no descriptor is left over", lambda: count() <= before)
        assert len(server.fake.pids()) == 1, (server.kind, server.fake.pids())


def test_stop_in_a_stream():
    """The server ends while the child answers: all end, soon."""
    for name, make in KINDS.items():
        server = make(FAKE_MS=5)
        with server:
            stream = server.stream("m", "long")
            events = iter(stream)
            until("text", lambda: text_of([next(events)]))
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)  # asked twice: now
            server.process.wait(20)
            stream.close()
        all_gone(server.fake)


def test_supervisor_killed():
    for name, make in KINDS.items():
        server = make()
        with server:
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(20)
            all_gone(server.fake)


if __name__ == "__main__":
    run_all(dict(globals()))
