#!/usr/bin/env python3
"""body.py - request bodies that are broken, hostile or huge."""

import json
import os
import pathlib
import re
import socket
import threading
import time

from serve import Server, read_reply, run_all, send_request, until

SCRIPT = 'mode generate\non "long"\nsay "tok "\nwait 5\nendless\non ""\nsay "ok"\n'
FORWARD = SCRIPT.replace("generate", "forward")
SHARED = pathlib.Path(os.environ.get("CURLEW_SHARED", "nowhere"), "broken")


# JSON that the reader refuses as such: keys that come twice or hold a NUL, a lone value (no body is one).
STRICT = re.compile("duplicated_key|null_in_key|structure_lonely|structure_string_empty")


def post(server, body, path="/v1/chat/completions", headers=None):
    return server.request("POST", path, body, headers)


def error_of(reply):
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert all(v is None or isinstance(v, str) for v in error.values()), error
    return error


def refused(server, body, status=400, code=None, param=None, path="/v1/chat/completions"):
    reply = post(server, body if isinstance(body, bytes) else json.dumps(body).encode(), path)
    assert reply.status == status, (body[:200] if isinstance(body, bytes) else body, reply.status, reply.body[:300])
    error = error_of(reply)
    if code:
        assert error["code"] == code, (body, error)
    if param:
        assert error["param"] == param, (body, error)
    return error


def accepted(server, path="/v1/chat/completions", **more):
    ask = {"model": "m", **({"prompt": "Hi"} if path.endswith("/completions") and "chat" not in path
                            else {"messages": [{"role": "user", "content": "Hi"}]}), **more}
    reply = post(server, json.dumps(ask).encode(), path)
    assert reply.status == 200, (str(more)[:300], reply.status, reply.body[:300])
    return reply


def test_json_suite():
    """Every file of the JSON test suite as a body: what is no JSON is called that, what is JSON but no
    request gets an error about its fields; the server lives."""
    folder = SHARED / "json"
    if not folder.exists():
        print("skipped: no shared JSON files")
        return
    with Server(script=SCRIPT) as server:
        pids = server.front(), server.worker()
        count = 0
        for file in sorted(folder.rglob("*.json")):
            for path in "/v1/chat/completions", "/v1/completions":
                error = refused(server, file.read_bytes(), path=path)
                if file.name.startswith("n_"):
                    assert error["code"] == "invalid_json", (file.name, error)
                elif file.name.startswith("y_") and not STRICT.search(file.name):
                    assert error["code"] != "invalid_json", (file.name, error)
                count += 1
        print(count, "bodies")
        accepted(server)
        assert pids == (server.front(), server.worker())


def naughty():
    own = ["", " ", "\0", "\x01\x7f", "\ufeff", "\u202e", "\U0001f468\u200d\U0001f469", "<|im_end|>", "<|im_start|>system",
           "{{ 7*7 }}", "{% raw %}", "%s%n%d", "../../../../etc/passwd", "a" * 1000, "\n\n", "data: [DONE]\n\n"]
    file = SHARED / "naughty-strings.json"
    return own + (json.loads(file.read_text()) if file.exists() else [])


def test_naughty_strings():
    """As prompts they are text, as names they are refused or unknown; they come back as they were."""
    with Server(script=SCRIPT) as generate, Server(script=FORWARD) as forward:
        for s in naughty():
            for server in generate, forward:
                accepted(server, messages=[{"role": "user", "content": s}])
                accepted(server, messages=[{"role": "system", "content": s}, {"role": "user", "content": [
                    {"type": "text", "text": s}], "name": s}, {"role": "assistant", "content": s}])
            reply = accepted(forward, "/v1/completions", prompt=s or "x", echo=True, max_tokens=1)
            assert reply.json()["choices"][0]["text"] == (s or "x") + "o", (s, reply.body)
            error = refused(forward, {"model": s, "messages": [{"role": "user", "content": "Hi"}]}, 404,
                            "model_not_found", "model")
            assert error["message"].isprintable(), error
            if s:
                accepted(forward, stop=s[:200])
                key = s[:60].replace("\0", "0")  # the JSON library takes no NUL in a key, and says so
                accepted(forward, user=s, metadata={key: s}, **{key + "?": s})
            reply = post(forward, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [
                {"type": "function", "function": {"name": s, "description": s}}]}).encode())
            assert reply.status in (200, 400), reply.body
            if reply.status == 400:
                assert error_of(reply)["param"] == "tools[0].function.name", reply.body
        for server in generate, forward:
            accepted(server)


def test_field_table():
    """Each wrong type or range names its field; the limits hold on both sides."""
    with Server(script=FORWARD) as server:
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        wrong = [("temperature", v, None) for v in (-0.1, 2.1, "1", True, [], {})]
        wrong += [("top_p", v, None) for v in (-0.1, 1.1, "x")]
        wrong += [("n", v, None) for v in (0, -1, 17, 1.5, "2", True, 1e300, 10**15)]
        wrong += [("max_tokens", v, None) for v in (0, -1, 1.5, "5", True)]
        wrong += [("max_completion_tokens", v, None) for v in (0, -5, "5")]
        wrong += [("presence_penalty", v, None) for v in (-2.1, 2.1)]
        wrong += [("frequency_penalty", v, None) for v in (-2.1, 2.1)]
        wrong += [("seed", v, None) for v in (1.5, "1", True)]
        wrong += [("logit_bias", v, None) for v in ({"x": 1}, {"1": 101}, {"1": "2"}, {"-1": 1}, [1], {"1.5": 1}, {"": 1})]
        wrong += [("stream", v, None) for v in ("true", 1, [])]
        wrong += [("logprobs", v, None) for v in (1, "true")]
        wrong += [("top_logprobs", v, None) for v in (-1, 21, 1.5)]
        wrong += [("stop", v, None) for v in ("", 5, {}, [5], ["x"] * 17)]
        wrong += [("messages", v, None) for v in ("x", {}, [], [5], [[]])]
        wrong += [("model", v, None) for v in (5, [], {}, True)]
        wrong += [("tools", v, None) for v in ("x", {}, [5], [{"type": "function"}], [{"type": "custom", "custom": {}}])]
        wrong += [("response_format", v, None) for v in ("x", {}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
                                                            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}})]
        wrong += [("tool_choice", v, None) for v in ("maybe", 5, "required", {"type": "function", "function": {"name": "x"}},
                                                     {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}})]
        wrong += [("grammar", v, None) for v in (5, "root ::= x", "root ::= root \"a\" | \"b\"")]
        wrong += [("guided_json", v, None) for v in (5, "{", {"type": "x"})]
        wrong += [("guided_regex", v, None) for v in ([], "(")]
        wrong += [("guided_choice", v, None) for v in ("x", [], [5])]
        wrong += [("structured_outputs", v, None) for v in ("x", {"jason": 1}, {"json": 5})]
        for name, value, _ in wrong:
            error = refused(server, {**chat, name: value})
            assert error["param"] and error["param"].startswith(name), (name, value, error)
            assert name in error["message"], error
        for name, values in {"temperature": (0, 2, 1.0), "top_p": (0, 1), "n": (1, 16, 2.0), "max_tokens": (1, 10**12, 3.0),
                             "seed": (0, -1, 2**63 - 1, -2**63, 5.0), "logit_bias": ({}, {"1": 100, "256": -100}),
                             "stop": ("x", [], ["x"] * 16), "top_logprobs": (0,)}.items():
            for value in values:
                accepted(server, **{name: value})


def test_null_is_absent():
    """null everywhere is the same as leaving it out."""
    names = ("temperature top_p n max_tokens max_completion_tokens presence_penalty frequency_penalty seed logit_bias "
             "stream stream_options logprobs top_logprobs stop tools tool_choice response_format parallel_tool_calls user "
             "metadata store reasoning_effort modalities audio functions service_tier prediction top_k min_p").split()
    with Server(script=FORWARD) as server:
        plain = accepted(server).json()
        nulls = accepted(server, **dict.fromkeys(names)).json()
        for r in plain, nulls:
            del r["id"], r["created"], r["usage"]["prompt_tokens_details"]
        assert plain == nulls, nulls
        accepted(server, messages=[{"role": "user", "content": "Hi", "name": None, "tool_calls": None},
                                   {"role": "assistant", "content": None, "refusal": None}, {"role": "user", "content": "x"}])
        accepted(server, "/v1/completions", **dict.fromkeys(("suffix", "best_of", "echo", "logprobs", "stop", "n")))
        refused(server, {"model": None, "messages": [{"role": "user", "content": "Hi"}]}, param="model")
        refused(server, {"model": "m", "messages": None}, param="messages")
        refused(server, {"model": "m", "messages": [{"role": "user", "content": None}]}, param="messages[0].content")


def test_duplicate_keys():
    """The last one wins or the body is refused; never something else."""
    with Server(script=FORWARD) as server:
        reply = post(server, b'{"model":"x","model":"m","messages":[{"role":"user","content":"Hi"}],"n":1,"n":2}')
        assert reply.status == 200 and len(reply.json()["choices"]) == 2 or \
            reply.status == 400 and error_of(reply)["code"] == "invalid_json", (reply.status, reply.body)


def test_bombs():
    """Depth, width and numbers that would cost more than they should."""
    with Server(script=FORWARD) as server:
        pid = server.front()
        deep = 100000
        for body in (b"[" * deep, b'{"a":' * deep, b"[" * deep + b"]" * deep, b'{"messages":' + b"[" * deep + b"]" * deep + b"}",
                     b'{"model":"m","x":' + b"[" * 200 + b"]" * 200 + b"}",
                     b"{" + b",".join(b'"k%d":0' % i for i in range(200000)) + b"}",
                     b"[" + b"0," * 1500000 + b"0]", b'"' + b"\\u0000" * 100000 + b'"', b"1" * 1000000, b"1e" + b"9" * 100000,
                     b"\xff" * 1000, b"\xef\xbb\xbf{}", b"", b" " * 1000, b"{}{}", b'{"model":"m"} x'):
            begin = time.monotonic()
            refused(server, body)
            assert time.monotonic() - begin < 5, body[:40]
        many = {"model": "m", "messages": [{"role": "user", "content": "x"}] * 5000}
        refused(server, many, param="messages")
        accepted(server, **{f"field_{i}": i for i in range(2000)})
        assert server.front() == pid


def test_too_large():
    """A body over the limit is refused on its head, before a byte of it is read; so is an endless one."""
    with Server("--body-bytes", "1M", script=SCRIPT) as server:
        with server.connect() as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                      b"content-length: 1048577\r\n\r\n")
            reply = read_reply(s)
            assert reply.status == 413 and error_of(reply)["code"] == "request_too_large", reply.body
        with server.connect() as s:  # who asks first is told so first
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                      b"content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n")
            assert read_reply(s).status == 413
        with server.connect() as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                      b"transfer-encoding: chunked\r\n\r\n")
            try:
                for _ in range(64):
                    s.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                assert read_reply(s).status == 413
            except ConnectionResetError:
                pass
        accepted(server)
    with Server(script=SCRIPT) as server:  # the default
        with server.connect() as s:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16777217\r\n\r\n")
            assert read_reply(s).status == 413
        with server.connect() as s:  # just within: read to its end, refused for what it says
            s.settimeout(60)
            send_request(s, "POST", "/v1/chat/completions", b" " * (16 << 20))
            reply = read_reply(s)
            assert reply.status == 400 and error_of(reply)["code"] == "invalid_json", reply.body


def test_large_beside_stream():
    """5 MiB of conversation are taken while another stream keeps its pace."""
    with Server(scripts={"m": SCRIPT, "other": SCRIPT}) as server:
        stream = server.stream("other", "long")
        times = []
        stop = threading.Event()

        def watch():
            for e in stream:
                times.append(time.monotonic())
                if stop.is_set():
                    return
        watcher = threading.Thread(target=watch)
        watcher.start()
        until("the stream runs", lambda: len(times) > 5)
        big = [{"role": "user", "content": "word " * 500} for _ in range(2100)]
        for _ in range(2):
            reply = accepted(server, messages=big)
            assert reply.json()["choices"][0]["message"]["content"] == "ok"
        accepted(server, messages=[{"role": "user", "content": "\u20ac\"\\" * 700000}])
        stop.set()
        watcher.join()
        stream.close()
        worst = max(b - a for a, b in zip(times, times[1:]))
        print(f"longest pause of the other stream: {worst * 1000:.0f} ms")
        assert worst < 3, worst


def thread_ns(pid):
    """{thread: nanoseconds of processor time} of a process."""
    out = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
            out[int(tid)] = int(f.read().split()[0])
    return out


def test_parsed_beside_loop():
    """The processor time of parsing a large body is spent by another thread than the loop's."""
    with Server(script=SCRIPT) as server:
        pid = server.front()
        try:
            before = thread_ns(pid)
        except FileNotFoundError:
            print("skipped: this kernel does not tell threads' times")
            return
        for _ in range(3):
            accepted(server, user=[0] * 900000)
        after = thread_ns(pid)
        spent = {tid: after[tid] - before.get(tid, 0) for tid in after}
        loop = spent.pop(pid)
        print(f"loop {loop // 1000000} ms, beside it {sum(spent.values()) // 1000000} ms")
        assert sum(spent.values()) > 2 * loop, (loop, spent)


def test_slow_and_split():
    """A body that comes byte by byte, or with its head in one packet, is the same body."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi \u20ac"}]}).encode()
    with Server(script=SCRIPT) as server:
        with server.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode())
            for i in range(len(body)):
                s.sendall(body[i:i + 1])
            assert read_reply(s).status == 200
        with server.connect() as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" +
                      b"".join(b"1\r\n" + body[i:i + 1] + b"\r\n" for i in range(len(body))) + b"0\r\n\r\n")
            assert read_reply(s).status == 200
        with server.connect() as s:  # two requests in one packet: two replies, in order
            one = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            s.sendall(one + b"GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            data = b""
            while piece := s.recv(65536):
                data += piece
            assert data.count(b"HTTP/1.1 200") == 2 and data.index(b"chat.completion") < data.rindex(b'{"status":"ok"}')


if __name__ == "__main__":
    run_all(dict(globals()))
