#!/usr/bin/env python3
"""axera_console.py - children of generations 1 and 2: a dialogue on a terminal, tokens from us."""

import json
import os
import socket

from axera_rig import all_gone, console
from cli_rig import END, HELLO, START
from serve import Server, run_all, text_of, until


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


def test_lists():
    """Answers of 0 to 7 ids and of one id repeated: chunks of three, the total, and the one case that is both."""
    texts = [[f"<{n}>", "abcdefg"[:n]] for n in range(8)] + [[f"={n}=", "x" * n] for n in range(1, 14)]
    for gen in 1, 2:
        with console(gen, texts) as server:
            for needle, want in texts:
                assert content(server.chat("m", needle)) == want, (gen, needle)
            assert "child_ids" not in server.text(), server.text()


def test_ends():
    """The end of text as the first token; one that the child does not know; an id that the model does not have."""
    with console(1, [["first", [END, 65, 66]], ["mid", [65, 66, END, 67]], ["odd", [65, 99999, 66]]]) as server:
        assert content(server.chat("m", "first")) == ""
        assert content(server.chat("m", "mid")) == "AB"
        assert content(server.chat("m", "odd")).replace("\ufffd", "") == "AB"
        assert len(server.fake.pids()) == 1


def test_history():
    """A context-keeping child: reset before each request, or only new ids where a conversation goes on."""
    talk = [{"role": "user", "content": "hello"}]
    for options, env in (((), {}), (["history=extend"], {}), (["history=extend"], {"FAKE_EOS_KV": 1}),
                         (["reset-ids=first"], {"FAKE_NO_EMPTY_RESET": 1}), ((), {"FAKE_OLD_RESET": 1}),
                         (["uid-error=200"], {})):
        with console(2, [["zz", "B"], ["", "answer"]], options=options, **env) as server:
            first = server.post("/v1/chat/completions", {"model": "m", "messages": talk})
            assert content(first) == "answer"
            more = [*talk, {"role": "assistant", "content": "answer"}, {"role": "user", "content": "and"}]
            assert content(server.post("/v1/chat/completions", {"model": "m", "messages": more})) == "answer"
            assert content(server.chat("m", "zz")) == "B"
            runs = [(held, new) for _, _, held, new in server.fake.notes("run")]
            want = turn("user", HELLO) + OPENED
            went_on = want + list(b"answer") + [END] + turn("user", *b"and") + OPENED
            assert [held for held, _ in runs[:2]] == [want, went_on], (options, env, runs)
            if "history=extend" in options:
                kept = len(want) + len("answer") + ("FAKE_EOS_KV" in env)
                assert runs[1][1] == went_on[kept:], (env, runs[1])
            elif "reset-ids=first" in options:
                assert runs[1][1] == went_on[1:], runs[1]
            else:
                assert runs[1][1] == went_on, runs[1]
            assert runs[2][0] == turn("user", *b"zz") + OPENED, (options, env)


def test_noise():
    """What the terminal says is no answer: lines that look like markers, a total that is none."""
    for gen in 1, 2:
        with console(gen, [["", "as it is"]], FAKE_FAIL="markers") as server:
            for _ in range(3):
                assert content(server.chat("m", "x")) == "as it is"
    with console(1, [["", "as it is"]], FAKE_FAIL="total") as server:
        assert content(server.chat("m", "x")) == "as it is"
        assert "the total is not what came in chunks" in server.text()


def test_long_prompt():
    """Many lines, thousands of bytes: the terminal still sees a ticket."""
    text = "\n".join(f"line {i} \u00e9 >> reset" for i in range(200))
    with console(1, [["", "ok"]], FAKE_PROMPT=9000, FAKE_CTX=10000) as server:
        reply = server.chat("m", text)
        assert content(reply) == "ok"
        assert len(server.fake.notes("run")[0][2]) == reply.json()["usage"]["prompt_tokens"] > 4000
        assert server.fake.notes("line") == [["line", "#1"]]


def test_port():
    """The tokenizer's port: any free one, the one that is named, or a word about who has it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with console(1, [["", "ok"]], options=[f"port={port}"]) as server:
        assert f"http://127.0.0.1:{port}" in server.fake.notes("args")[0][1]
        assert content(server.chat("m", "x")) == "ok"
        with console(1, [["", "ok"]], options=[f"port={port}"], wait=False) as other:
            assert other.process.wait(20) == 1 and str(port) in other.text(), other.text()


def test_two_children():
    """Two servers, two children at once; a second child of one script waits for the first to end."""
    with console(1, [["", "one"]]) as one, console(2, [["", "two"]]) as two:
        for _ in range(3):
            assert content(one.chat("m", "x")) == "one" and content(two.chat("m", "x")) == "two"
        again = Server("--engine", "axera:" + os.path.join(one.fake.path, "run_m.sh"), wait=False)
        with again:
            until("it waits", lambda: "child_waits" in again.text())


def test_bad_scripts():
    """What is wrong with a script is said with its line; nothing of it is run."""
    for script, words in (("echo hello > {program}.out\n", "no command here starts a runner"),
                          ("./{program} --a $(touch pwned)\n", "run_m.sh:1: only a shell"),
                          ("./{program} --a 'open\n", "quote has no end"),
                          ("./main_other --a 1\n", "main_other is not there")):
        with console(1, script=script, wait=False) as server:
            assert server.process.wait(20) == 1, words
            assert words in server.text(), (words, server.text())
            assert sorted(os.listdir(server.fake.path)) == ["main_axcl_aarch64", "qwen2.5_tokenizer", "run_m.sh"]
    with console(1, options=["kind=x"], wait=False) as server:
        assert server.process.wait(20) == 1 and "one of auto|main|ctx" in server.text()


if __name__ == "__main__":
    run_all(dict(globals()))
