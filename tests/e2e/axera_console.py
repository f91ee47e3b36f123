#!/usr/bin/env python3
"""axera_console.py - children of generations 1 and 2: a dialogue on a terminal, tokens from us."""

import json

from axera_rig import all_gone, console
from cli_rig import END, HELLO, START
from serve import run_all, text_of


def turn(role, *ids):
    return [START, *map(ord, role + ":"), *ids, END]


OPENED = [START, *map(ord, "assistant:")]


def content(reply):
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json()["choices"][0]["message"]["content"]


def test_conversation():
    """The child gets exactly the ids of our template and tokenizer; the answer is exactly its ids."""
    for gen in 1, 2:
        with console(gen, [["hello", "Gr\u00fc\u00df dich, \u4f60\u597d!"], ["", "short"]]) as server:
            reply = server.chat("m", "hello")
            assert content(reply) == "Gr\u00fc\u00df dich, \u4f60\u597d!", reply.body
            choice = reply.json()["choices"][0]
            assert choice["finish_reason"] == "stop"
            want = turn("user", HELLO) + OPENED
            assert reply.json()["usage"]["prompt_tokens"] == len(want)
            kind, line, held, new = server.fake.notes("run")[0]
            assert (line, held, new) == ("#1", want, want)
            assert content(server.chat("m", "other")) == "short"
            args, cwd, tty = [server.fake.notes("args")[0][i] for i in (1, 3, 4)]
            assert tty and cwd == server.fake.path
            words = dict(zip(args, args[1:]))
            assert words["--prompt"] == "" and words["--live_print"] == "1", args
            assert "--kvcache_path" not in words and "12345" not in json.dumps(args), args
            assert words["--template_filename_axmodel"].endswith("%d_together.axmodel" if gen == 1 else "l%d.axmodel")
        all_gone(server.fake)


def test_streaming():
    for gen in 1, 2:
        with console(gen, [["", "one \u20ac two"]]) as server:
            events = list(server.stream("m", "hello"))
            assert text_of(events) == "one \u20ac two" and events[-1] == "[DONE]", events
            assert sum(1 for e in events[:-1] if e["choices"] and e["choices"][0]["delta"].get("content")) > 1


if __name__ == "__main__":
    run_all(dict(globals()))
