#!/usr/bin/env python3
"""cancel.py - clients that go away: their work stops at once, wherever it is, and nothing is left over.

"At once" is seen from outside: /health counts what runs, and the next request in the queue is served
although the one before it would have gone on for ever.
"""

import json
import os
import random
import sys
import threading
import time

from serve import Server, is_sanitized, read_reply, run_all, send_request, text_of, until

ANSWERS = """
on "long"
say "tok "
wait 5
endless
on "silent"
wait 600000
on ""
say "short"
"""
GENERATE = "mode generate\n" + ANSWERS
FORWARD = "mode forward\n" + ANSWERS.replace('wait 600000', 'wait 5\nsay "."\nendless')


def body(text, **more):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()


def ask(server, text, **more):
    """A request without reading its reply: its socket."""
    s = server.connect()
    send_request(s, "POST", "/v1/chat/completions", body(text, **more))
    return s


def works(server):
    reply = server.chat()
    assert reply.status == 200 and reply.json()["choices"][0]["message"]["content"] == "short", reply.body


def begun(server, text="long", **more):
    stream = server.stream(text=text, **more)
    events = iter(stream)
    until("text comes", lambda: text_of([next(events)]))
    return stream


def test_streaming():
    """Closed and reset, one answer and several, both kinds of engine."""
    for script in GENERATE, FORWARD:
        with Server("--parallel", "4", script="seqs 4\n" + script) as server:
            for leave in "close", "reset":
                for n in 1, 4:
                    stream = begun(server, n=n)
                    server.running(1)
                    getattr(stream, leave)()
                    server.running(0)
                    works(server)


def test_waiting():
    """A client that waits for a whole answer that never ends."""
    for script in GENERATE, FORWARD:
        with Server("--parallel", "1", script="seqs 1\n" + script) as server:
            for text in "long", "silent":
                s = ask(server, text)
                server.running(1)
                s.close()
                server.running(0)
                works(server)  # the only place is free again


def test_queued():
    """Those who go while they wait never run; those behind them do, in order."""
    for script in GENERATE, FORWARD:
        with Server("--parallel", "1", script="seqs 1\n" + script) as server:
            first = begun(server)
            waiting = [ask(server, "long") for _ in range(5)]
            last = ask(server, "Hi")
            server.running(7)
            for s in waiting:
                s.close()
            server.running(2)
            first.close()
            reply = read_reply(last)
            assert reply.status == 200 and reply.json()["choices"][0]["message"]["content"] == "short"
            last.close()
            server.running(0)


def test_prefill():
    """In the middle of a long prompt: 40 steps of 100 ms would be left, none of them is taken."""
    with Server("--parallel", "1", script="seqs 1\nbatch 100\nprefill-wait 100\n" + FORWARD) as server:
        s = ask(server, "x" * 4000 + " long")
        server.running(1)
        time.sleep(0.15)  # a step or two
        s.close()
        begin = time.monotonic()
        works(server)
        took = time.monotonic() - begin
        assert took < 3, f"the next request waited {took:.1f} s for work nobody wants"
    with Server(script="prefill-wait 600000\n" + GENERATE) as server:  # a runtime that can abort its prefill
        s = ask(server, "long")
        server.running(1)
        s.close()
        server.running(0)
        s = ask(server, "long")
        server.running(1)
        s.close()
        server.running(0)


def test_several_prompts():
    """All prompts of one completions request go together."""
    with Server("--parallel", "2", script="seqs 2\n" + FORWARD) as server:
        with server.connect() as s:
            ask_for = {"model": "m", "prompt": ["long 1", "long 2", "long 3"], "max_tokens": 4000}
            send_request(s, "POST", "/v1/completions", json.dumps(ask_for).encode())
            server.running(3)
        server.running(0)
        works(server)


def test_gone_at_once():
    """Clients that leave in the moment in which a run begins: an engine's own thread may be reading
    their prompt just then."""
    for script in GENERATE, FORWARD:
        with Server("--log-level", "warn", script=script) as server:
            pid = server.worker()
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})  # threads get in each other's way
            for i in range(200):
                s = ask(server, "x" * (5000 + i), n=16, stream=True)
                if i % 2:
                    s.recv(1 + i * 50)
                s.close()
            works(server)
            assert server.worker() == pid, server.text()


def test_queue_limits():
    """A full queue answers 429 at once, a long wait ends with 503; both say when to come again."""
    for script in GENERATE, FORWARD:
        with Server("--parallel", "1", "--queue", "2", "--queue-ms", "700", script="seqs 1\n" + script) as server:
            first = begun(server)
            waiting = [ask(server, "Hi") for _ in range(2)]
            server.running(3)
            reply = server.chat()
            assert reply.status == 429, (script.split("\n")[0], reply.status)
            assert reply.json()["error"]["code"] == "queue_full" and "retry-after" in reply.headers, reply.headers
            for s in waiting:
                reply = read_reply(s)
                assert reply.status == 503 and "retry-after" in reply.headers, (reply.status, reply.headers)
                assert "700 ms" in reply.json()["error"]["message"], reply.body
                s.close()
            first.close()
            server.running(0)
            works(server)
    for script in GENERATE, FORWARD:  # no queue: one runs, no one waits
        with Server("--parallel", "1", "--queue", "0", script="seqs 1\n" + script) as server:
            first = begun(server)
            assert server.chat().status == 429
            first.close()
            server.running(0)
            works(server)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def visit(server, seed):
    """One client: a random request, left at a random moment, now and then served to its end."""
    rng = random.Random(seed)
    text = rng.choice(["long", "silent", "Hi", "Hi"])
    s = ask(server, text, stream=rng.random() < 0.7, n=rng.choice([1, 1, 3]), max_tokens=400)
    end = time.monotonic() + rng.random() * 0.2
    while text == "Hi" and rng.random() < 0.5 or time.monotonic() < end:
        s.settimeout(rng.choice([0.01, 0.05]))
        try:
            if not s.recv(rng.choice([1, 100, 4096])):
                break
        except TimeoutError:
            pass
    if rng.random() < 0.3:
        s.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset
    s.close()


def crowd(server, seed, n):
    threads = [threading.Thread(target=visit, args=(server, f"{seed}/{i}")) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    server.running(0)


def test_crowd():
    """100 clients at once that come and go as they like leave nothing behind."""
    seed = os.environ.get("SEED", str(random.randrange(1 << 32)))
    print(f"SEED={seed}")
    for script in GENERATE, FORWARD:
        with Server("--parallel", "8", "--log-level", "warn", script=script) as server:
            pids = [server.front(), server.worker()]
            can_look = os.access(f"/proc/{pids[0]}/fd", os.R_OK)
            fds = [can_look and descriptors(p) for p in pids]  # before anybody came: no connection lingers yet
            crowd(server, seed + "/warm", 100)
            kib = [resident_kib(p) for p in pids]
            for turn in range(2):
                crowd(server, f"{seed}/{turn}", 100)
            works(server)
            if can_look:
                until("the descriptors are back", lambda: all(descriptors(p) <= n for p, n in zip(pids, fds)))
            now = [resident_kib(p) for p in pids]
            assert is_sanitized() or all(a < b + 8192 for a, b in zip(now, kib)), (kib, now)
            assert [server.front(), server.worker()] == pids, "a process was started again"


if __name__ == "__main__":
    run_all(dict(globals()))
