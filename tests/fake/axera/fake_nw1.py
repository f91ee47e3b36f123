#!/usr/bin/env python3
"""fake_nw1.py - a program that speaks nw1 (docs/npu-children.md), and all that can be wrong with one.

    FAKE_ANSWERS  [[needle, answer], ...] as JSON
    FAKE_CAPS     a JSON list
    FAKE_MS       milliseconds a piece
    FAKE_LOG      a file: what came in
    FAKE_SOCKET   a path to listen at, instead of descriptor 3
    FAKE_FAIL     proto, never, init, init-once:FILE, load-error; crash:N, hang:N, deaf, garbage, long, error:CODE, fatal
                  for prompts with that word; no-pong
"""

import json
import os
import socket
import sys
import threading
import time

ENV = os.environ.get
MS = float(ENV("FAKE_MS", "0")) / 1000
FAIL, _, FAIL_ARG = ENV("FAKE_FAIL", "").partition(":")
stopped = set()
lock = threading.Lock()


def note(*what):
    if ENV("FAKE_LOG"):
        with open(ENV("FAKE_LOG"), "a", encoding="utf-8") as f:
            f.write(json.dumps(what) + "\n")


def say(sock, **message):
    with lock:
        sock.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n")


def text_of(m):
    if "messages" in m:
        return m["messages"][-1]["content"]
    return m["prompt"] if "prompt" in m else bytes(i for i in m["tokens"] if i < 256).decode()


def generate(sock, m):
    text = text_of(m)
    answer = next((a for n, a in json.loads(ENV("FAKE_ANSWERS", '[["", "short"]]')) if n in text), "")
    bad = FAIL if FAIL and FAIL in text else None
    n, finish = 0, "stop"
    if bad == "error":
        say(sock, type="error", id=m["id"], code=FAIL_ARG, message="as you wished", fatal=False)
        return
    if bad == "fatal":
        say(sock, type="error", id=m["id"], code="device", message="the card fell out", fatal=True)
    while n < len(answer) or bad == "deaf":
        if bad == "crash" and n == int(FAIL_ARG):
            print("[E] error: the NPU is on fire", flush=True)
            os.abort()
        if bad == "hang" and n == int(FAIL_ARG):
            time.sleep(1000)
        if bad == "garbage" and n == 2:
            sock.sendall(b"\xff\xfe{]\n")
        if bad == "long" and n == 2:
            sock.sendall(b"[" + b"1," * (1 << 20))
        if m["id"] in stopped and bad != "deaf":
            finish = "cancel"
            break
        if n == m["max_tokens"]:
            finish = "length"
            break
        say(sock, type="token", id=m["id"], text=answer[n % len(answer)], n=n + 1, extra=[1])
        n += 1
        time.sleep(MS)
    say(sock, type="token", id="r0", text="of nobody")
    say(sock, type="done", id=m["id"], finish=finish, usage={"prompt": len(text), "completion": n, "cached": 0})


def serve(sock):
    say(sock, type="hello", proto="nw9" if FAIL == "proto" else "nw1", name="fake", version="1", pid=os.getpid(),
        caps=json.loads(ENV("FAKE_CAPS", '["messages_in", "cancel"]')), parallel=1)
    for line in sock.makefile("r", encoding="utf-8"):
        m = json.loads(line)
        note("got", m)
        if m["type"] == "load":
            if FAIL == "never":
                time.sleep(1000)
            if FAIL == "load-error":
                say(sock, type="error", id=m["id"], code="no_model", message="there is none", fatal=True)
                continue
            say(sock, type="progress", id=m["id"], phase="load", done=0.5)
            say(sock, type="something", id="x")
            say(sock, type="loaded", id=m["id"], ctx=200, vocab=263)
        elif m["type"] == "generate":
            threading.Thread(target=generate, args=(sock, m), daemon=True).start()
        elif m["type"] == "cancel":
            stopped.add(m["id"])
        elif m["type"] == "ping" and FAIL != "no-pong":
            say(sock, type="pong", id=m["id"], state="ready")


if __name__ == "__main__":
    note("args", sys.argv[1:], os.getpid(), os.getcwd(), os.isatty(0))
    once = FAIL == "init-once" and not os.path.exists(FAIL_ARG)
    if FAIL == "init" or once:
        if once:
            open(FAIL_ARG, "w").close()
        print("error: no card", flush=True)
        sys.exit(3)
    if ENV("FAKE_SOCKET"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(ENV("FAKE_SOCKET"))
        listener.listen()
        while True:
            serve(listener.accept()[0])
    serve(socket.socket(fileno=3))
