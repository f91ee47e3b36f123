#!/usr/bin/env python3
"""lifecycle.py - processes that die, hang, fail to load or are told to stop, and who notices."""

import json
import os
import signal
import time

from serve import PATIENCE, Server, gone, read_reply, run_all, send_request, text_of, until

# An answer that goes on until somebody ends it; another one that is quick.
ENDLESS = """
on "long"
say "tok "
wait 10
endless
on ""
say "short"
"""
GENERATE = "mode generate\n" + ENDLESS
FORWARD = "mode forward\n" + ENDLESS


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def model(server, name):
    """A model's row in /health."""
    return next(m for m in server.health()["models"] if m["id"] == name)


def begun(server, **more):
    """A stream that has given its first text; (stream, iterator)."""
    stream = server.stream(**more)
    events = iter(stream)
    until("text comes", lambda: text_of([next(events)]))
    return stream, events


def ends_with_error(stream, events, code="engine_unavailable"):
    """The rest of the stream: text, then exactly one error event, then its proper end."""
    rest = list(events)
    errors = [e for e in rest if e != "[DONE]" and "error" in e]
    assert len(errors) == 1 and rest[-1] is errors[0], rest[-3:]
    assert stream.whole, "the stream was cut instead of ended"
    error = errors[0]["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["code"] == code, error
    assert not any(c["finish_reason"] for e in rest[:-1] for c in e["choices"]), "a made-up finish"


def works(server, name, text="Hi", want="short"):
    reply = server.chat(name, text)
    assert reply.status == 200, (reply.status, reply.body)
    assert reply.json()["choices"][0]["message"]["content"] == want


def test_worker_killed():
    """Its requests get one error each, other models notice nothing, a new worker is there at once."""
    for script in GENERATE, FORWARD:
        with Server(scripts={"a": script, "b": script}) as server:
            mine, mine_events = begun(server, model="a", text="long")
            other, other_events = begun(server, model="b", text="long")
            with server.connect() as s:
                body = {"model": "a", "messages": [{"role": "user", "content": "long"}]}
                send_request(s, "POST", "/v1/chat/completions", json.dumps(body).encode())
                server.running(3)
                old, other_pid = server.worker("a"), server.worker("b")
                killed = time.monotonic()
                kill(old)
                ends_with_error(mine, mine_events)
                whole = read_reply(s)
            assert whole.status == 503, whole.status
            assert whole.json()["error"]["code"] == "engine_unavailable", whole.body
            until("a is ready again", lambda: model(server, "a")["state"] == "ready")
            took = time.monotonic() - killed
            assert took < 2, f"{took:.1f} s until the new worker was there"
            works(server, "a")
            row = model(server, "a")
            assert row["restarts"] == 1 and row["running"] == 0, row
            assert server.worker("a") not in (None, old)
            assert server.worker("b") == other_pid and model(server, "b")["restarts"] == 0
            for _ in range(5):
                assert text_of([next(other_events)]), "the other model's stream broke"
            mine.close()
            other.close()
            server.running(0)


def test_health_while_restarting():
    """/health and /v1/models tell of a model that is away; a request for it says: retry."""
    with Server(scripts={"slow": "load-wait 700\n" + GENERATE, "good": GENERATE}) as server:
        kill(server.worker("slow"))
        away = until("slow is away", lambda: (h := server.health())["status"] == "degraded" and h)
        states = {m["id"]: m["state"] for m in away["models"]}
        assert states == {"slow": "restarting", "good": "ready"}, states
        reply = server.chat("slow")
        assert reply.status == 503 and reply.json()["error"]["code"] == "model_loading", reply.body
        assert "retry-after" in reply.headers, reply.headers
        works(server, "good")
        shown = server.get("/v1/models/slow").json()
        assert shown["state"] == "restarting" and "reason" in shown, shown
        until("slow is back", lambda: server.health()["status"] == "ok")
        works(server, "slow")
    with Server(script="load-wait 500\n" + GENERATE) as server:
        kill(server.worker())
        health = server.wait_health(503)
        assert health["models"][0]["state"] == "restarting", health
        server.wait_health(200)


def test_worker_crashes():
    """The same when the engine itself dies, at its start or in mid-answer."""
    for mode in "generate", "forward":
        script = f'mode {mode}\non "boom"\nsay "Hel"\nwait 100\ncrash\non "now"\ncrash\non ""\nsay "short"\n'
        with Server(scripts={"a": script, "b": script}) as server:
            stream = server.stream("a", "boom")
            events = list(stream)
            assert text_of(events[:-1]) == "Hel", events
            ends_with_error(stream, iter(events))
            until("a is back", lambda: model(server, "a")["state"] == "ready")
            reply = server.chat("a", "now")
            assert reply.status == 503 and reply.json()["error"]["code"] == "engine_unavailable", reply.body
            works(server, "b")
            until("a is back", lambda: model(server, "a")["state"] == "ready")
            works(server, "a")
            assert model(server, "a")["restarts"] == 2


def test_crash_loop():
    """Each end in a row is answered a little later; the pauses are those the log announces."""
    with Server(script=GENERATE) as server:
        for n in range(4):
            pid = until("a worker", lambda: model(server, "m")["state"] == "ready" and server.worker())
            kill(pid)
            until("it is noticed", lambda: server.text().count("worker_ended") == n + 1)
        log = server.text()
        pauses = [int(line.split("again_ms=")[1].split()[0]) for line in log.split("\n") if "worker_ended" in line]
        assert pauses == [0, 100, 500, 2000], pauses
        works_again = time.monotonic()
        until("it is ready", lambda: model(server, "m")["state"] == "ready")
        assert time.monotonic() - works_again > 1, "it came back before its pause was over"
        works(server, "m")


def test_front_killed():
    """The supervisor starts a new front; workers keep their model and drop what nobody hears."""
    with Server(scripts={"a": FORWARD, "b": GENERATE}) as server:
        streams = [begun(server, model=m, text="long") for m in ("a", "b")]
        front, a, b = server.front(), server.worker("a"), server.worker("b")
        kill(front)
        for stream, events in streams:
            try:
                list(events)
            except ConnectionResetError:
                pass
            assert not stream.whole
            stream.close()
        until("a new front", lambda: server.front() not in (None, front))

        def ready():
            try:
                return server.health()["status"] == "ok"
            except (ConnectionError, ValueError):
                return False
        until("it serves", ready)
        assert (server.worker("a"), server.worker("b")) == (a, b), "a worker was started again"
        works(server, "a")
        works(server, "b")
        assert server.health()["running"] == 0


def test_front_killed_beside_failed():
    """A new front knows which models cannot be loaded, and why."""
    with Server(scripts={"bad": 'load-fail "the sea is salty"\n', "good": GENERATE}) as server:
        front = server.front()
        kill(front)
        until("a new front", lambda: server.front() not in (None, front))

        def answers():
            try:
                return server.chat("good").status == 200
            except (ConnectionError, ValueError):
                return False
        until("it serves", answers)
        reply = server.chat("bad")
        assert reply.status == 503 and "the sea is salty" in reply.json()["error"]["message"], reply.body


def stop_with(server, pids, seconds):
    status = server.process.wait(seconds)
    until("all children are gone", lambda: all(gone(p) for p in pids))
    return status


def test_sigterm_drains():
    """Running streams come to their end, new connections are refused, the status is 0."""
    script = 'mode generate\nrepeat 5 "x"\nwait 300\nrepeat 5 "y"\n'
    with Server(script=script) as server:
        stream, events = begun(server)
        pids = [server.front(), server.worker()]
        server.process.send_signal(signal.SIGTERM)
        rest = list(events)
        assert stream.whole and rest[-1] == "[DONE]", rest[-2:]
        assert text_of(rest).endswith("yyyyy"), text_of(rest)
        stream.close()
        assert stop_with(server, pids, PATIENCE) == 0


def test_sigterm_twice():
    """Who asks twice means now, also in the middle of a stream."""
    with Server(script=GENERATE) as server:
        stream, _ = begun(server, text="long")
        pids = [server.front(), server.worker()]
        server.process.send_signal(signal.SIGTERM)
        until("it stops", lambda: "drain" in server.text() or "stop" in server.text())
        asked = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert stop_with(server, pids, PATIENCE) == 0
        assert time.monotonic() - asked < 3
        stream.close()


def test_supervisor_killed():
    """Nobody outlives the supervisor."""
    with Server(script=GENERATE) as server:
        pids = [server.front(), server.worker()]
        kill(server.process.pid)
        server.process.wait(PATIENCE)
        until("all children are gone", lambda: all(gone(p) for p in pids))


def test_stop_while_loading():
    """SIGTERM before anything is ready."""
    with Server(script="load-wait 60000\n" + GENERATE, wait=False) as server:
        pid = until("a worker", server.worker)
        server.process.send_signal(signal.SIGTERM)
        assert stop_with(server, [pid], PATIENCE) == 0


def test_hang():
    """A request that nobody waits for does not hold an engine that hangs."""
    script = 'mode generate\non "hang"\nsay "x"\nhang\non ""\nsay "short"\n'
    with Server(script=script) as server:
        stream, _ = begun(server, text="hang")
        pid = server.worker()
        stream.close()
        works(server, "m")
        assert server.worker() == pid
        server.running(0)


def test_load_fails():
    """Alone: status 1 and the reason. Beside a good one: the server goes on without it."""
    for mode in "generate", "forward":
        fails = f'mode {mode}\nload-fail "no such luck"\n'
        with Server(script=fails, wait=False) as server:
            assert server.process.wait(PATIENCE) == 1
            assert "curlew: no such luck\n" in server.text(), server.text()
        with Server(scripts={"bad": fails, "good": GENERATE}) as server:
            until("bad has failed", lambda: model(server, "bad")["state"] == "failed")
            reply = server.get("/health")
            assert reply.status == 200 and reply.json()["status"] == "degraded", reply.body
            works(server, "good")
            reply = server.chat("bad")
            assert reply.status == 503, reply.body
            assert "no such luck" in reply.json()["error"]["message"], reply.body
            assert server.get("/v1/models/bad").json()["reason"] == "no such luck"
            assert [m["id"] for m in server.get("/v1/models").json()["data"]] == ["bad", "good"]


def test_not_a_script():
    """A script that is none is refused with its line."""
    with Server(script="mode forward\nsing loudly\n", wait=False) as server:
        assert server.process.wait(PATIENCE) == 1
        assert "m.script:2:" in server.text(), server.text()


if __name__ == "__main__":
    run_all(dict(globals()))
