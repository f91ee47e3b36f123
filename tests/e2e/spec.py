#!/usr/bin/env python3
"""spec.py - guessed tokens change how many passes an answer takes, and nothing else: greedy, seeded, with
log-probabilities, penalties, stop sequences, several choices, alone and beside others, every answer is the same."""

import os
import re
import threading

from serve import Server, run_all

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")

LIST = "apple, pear, plum, fig, lime, apple, pear, plum, fig, lime, apple, pear, plum, fig, lime, apple,"
LOOPS = ["a b c d a b c d a b c d a b c d", "one, two, one, two, one, two, one, two, one, two,", "no no no no no no no no no no no"]
ASKS = [
    {"temperature": 0},
    {"temperature": 0, "logprobs": 3},
    {"temperature": 0.8, "seed": 7},
    {"temperature": 1.3, "seed": 8, "n": 2},
    {"temperature": 0.7, "seed": 9, "top_p": 0.9, "frequency_penalty": 0.2, "logprobs": 1},
    {"temperature": 0, "stop": [" plum"]},
    {"temperature": 0, "max_tokens": 1},
    {"temperature": 0, "max_tokens": 5},
]


def body(ask, text):
    return {"model": "curlew-tiny", "prompt": text, "max_tokens": 80, "ignore_eos": True, **ask}


def answers(server):
    """Of every question alone, then of all at once."""
    asks = [body(ask, text) for ask in ASKS for text in (LIST, "The cat sat. The cat sat. The cat")]
    alone = [server.post("/v1/completions", b).json() for b in asks]
    beside = [None] * len(asks)

    def one(i):
        beside[i] = server.post("/v1/completions", asks[i]).json()

    threads = [threading.Thread(target=one, args=[i]) for i in range(len(asks))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a in alone + beside:
        assert "choices" in a, a
    return [[a["choices"], a["usage"]["completion_tokens"]] for a in alone + beside]


def plans(server):
    return len(re.findall(r"plan runs=", server.text()))


def passes(server, ask, text):
    before = plans(server)
    reply = server.post("/v1/completions", body(ask, text)).json()
    return plans(server) - before, reply["usage"]["completion_tokens"]


def test_same_answers():
    with Server("--model", MODEL) as plain, Server("--model", MODEL, "--spec", "ngram") as spec:
        want, got = answers(plain), answers(spec)
        for w, g in zip(want, got):
            assert w == g, (w, g)


def test_fewer_passes():
    env = {"TRACE": "sched"}
    with Server("--model", MODEL, "--spec", "ngram", env=env) as spec, Server("--model", MODEL, env=env) as plain:
        for text in LOOPS:
            n, tokens = passes(plain, {"temperature": 0}, text)
            assert n >= tokens == 80, (n, tokens)
        took = [passes(spec, {"temperature": 0}, text) for text in LOOPS]
        assert all(tokens == 80 for _, tokens in took)
        assert min(n for n, _ in took) < 40 and sum(n for n, _ in took) < 80 * len(LOOPS), took
        n, tokens = passes(spec, {"temperature": 0, "max_tokens": 1}, LIST)
        assert n <= 2 and tokens == 1, (n, tokens)


def test_script():
    """A scripted engine finds its place in the answer by position, guesses or not."""
    text = "one two three one two three one two three one two three four one two three four. The end"
    for flags in ([], ["--spec", "ngram"]):
        with Server(*flags, script='mode forward\nsay "%s"\n' % text) as s:
            for _ in range(2):
                reply = s.chat().json()["choices"][0]
                assert reply["message"]["content"] == text and reply["finish_reason"] == "stop", reply


if __name__ == "__main__":
    run_all(globals())
