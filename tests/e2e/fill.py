#!/usr/bin/env python3
"""fill.py - filling in the middle: `suffix` of completions, and /infill.

No model that is small enough to be here was trained for it. The bundled one gets keys that name three of its special
tokens as prefix, suffix and middle; what the server makes of a gap must then be what the same tokens in that order
give as a prompt. The order is that of the paper (arXiv:2207.14255, PSM)."""

import os
import struct
import tempfile

from serve import Server, run_all

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")
PRE, SUF, MID, REPO, FILE = 3061, 3062, 3063, 3064, 3065
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of GGUF's fixed types


def skip_value(data, at, kind):
    if kind == 8:  # string
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind == 9:  # array
        of, n = struct.unpack_from("<IQ", data, at)
        at += 12
        if of != 8:
            return at + n * SIZES[of]
        for _ in range(n):
            at = skip_value(data, at, 8)
        return at
    return at + SIZES[kind]


def with_keys(data, keys):
    """A GGUF with u32 keys more. Tensor data is counted from the end of the header, rounded up to 32."""
    magic, version, n_tensor, n_kv = struct.unpack_from("<4sIQQ", data)
    at = 24
    for _ in range(n_kv):
        at = skip_value(data, at, 8)
        at = skip_value(data, at + 4, struct.unpack_from("<I", data, at)[0])
    end = at
    for _ in range(n_tensor):
        end = skip_value(data, end, 8)
        end += 4 + 8 * struct.unpack_from("<I", data, end)[0] + 4 + 8
    more = b"".join(struct.pack("<Q", len(k)) + k.encode() + struct.pack("<II", 4, v) for k, v in keys.items())
    head = struct.pack("<4sIQQ", magic, version, n_tensor, n_kv + len(keys)) + data[24:at] + more + data[at:end]
    return head + bytes(-len(head) % 32) + data[end + -end % 32:]


def model(folder, **fim):
    path = os.path.join(folder, "fill.gguf")
    with open(MODEL, "rb") as f, open(path, "wb") as out:
        out.write(with_keys(f.read(), {f"tokenizer.ggml.fim_{k}_token_id": v for k, v in fim.items()}))
    return path


def ids(server, text):
    return server.post("/tokenize", {"content": text}).json()["tokens"] if text else []


def complete(server, prompt, **more):
    ask = {"model": "fill", "prompt": prompt, "temperature": 0, "max_tokens": 12, "ignore_eos": True, **more}
    reply = server.post("/v1/completions", ask)
    assert reply.status == 200, reply.body
    return reply.json()


def gap(server, before, behind, extra=()):
    return [*extra, PRE, *ids(server, before), SUF, *ids(server, behind), MID]


def test_gap_is_the_tokens_in_order():
    with tempfile.TemporaryDirectory() as folder, Server("--model", model(folder, pre=PRE, suf=SUF, mid=MID)) as s:
        for before, behind in (("The cat ", " the mat."), ("", "x = 1\n"), ("naïve €", "\n"), ("<|im_end|>", "<|im_end|>")):
            want = complete(s, gap(s, before, behind))
            got = complete(s, before, suffix=behind)
            assert got["choices"] == want["choices"], (before, got, want)
            assert got["usage"]["prompt_tokens"] == want["usage"]["prompt_tokens"]

            ask = {"input_prefix": before, "input_suffix": behind, "n_predict": 12, "temperature": 0, "ignore_eos": True}
            reply = s.post("/infill", ask)
            whole = reply.json()
            assert reply.status == 200 and whole["content"] == want["choices"][0]["text"], whole
            assert whole["tokens_evaluated"] == want["usage"]["prompt_tokens"]
            assert whole["tokens_predicted"] == want["usage"]["completion_tokens"]
            assert whole["stop"] is True and whole["model"] == "fill" and whole["truncated"] is False
            assert whole["stop_type"] == {"length": "limit", "stop": "eos"}[want["choices"][0]["finish_reason"]]

            events = s.post("/infill", {**ask, "stream": True}).events()
            assert "".join(e["content"] for e in events) == whole["content"]
            assert [e["stop"] for e in events] == [False] * (len(events) - 1) + [True]
            assert events[-1]["tokens_predicted"] == whole["tokens_predicted"]


def test_prompt_stands_behind_the_prefix():
    with tempfile.TemporaryDirectory() as folder, Server("--model", model(folder, pre=PRE, suf=SUF, mid=MID)) as s:
        parts = s.post("/infill", {"input_prefix": "one ", "prompt": "two", "input_suffix": "!", "n_predict": 5,
                                   "temperature": 0, "ignore_eos": True, "stop": []}).json()
        want = complete(s, gap(s, "one two", "!"), max_tokens=5)
        assert parts["content"] == want["choices"][0]["text"]
        text = complete(s, gap(s, "The cat ", " the mat."))["choices"][0]["text"]
        word = text[1:4]
        reply = s.post("/infill", {"input_prefix": "The cat ", "input_suffix": " the mat.", "n_predict": 12,
                                   "temperature": 0, "ignore_eos": True, "stop": [word]}).json()
        assert reply["content"] == text[:text.index(word)], (text, reply)
        assert reply["stop_type"] == "word" and reply["stopping_word"] == word, reply


def test_other_files():
    fim = {"pre": PRE, "suf": SUF, "mid": MID, "rep": REPO, "sep": FILE}
    extra = [{"filename": "a.py", "text": "A = 1"}, {"text": "two"}]
    with tempfile.TemporaryDirectory() as folder, Server("--model", model(folder, **fim)) as s:
        def named(name, text):
            return [FILE, *ids(s, name), *ids(s, "\n"), *ids(s, text), *ids(s, "\n\n")]
        head = [REPO, *ids(s, "project\n"), *named("a.py", "A = 1"), *named("tmp", "two"), FILE, *ids(s, "file\n")]
        want = complete(s, gap(s, "B = ", "\n", head), max_tokens=6)
        got = s.post("/infill", {"input_prefix": "B = ", "input_suffix": "\n", "input_extra": extra, "n_predict": 6,
                                 "temperature": 0, "ignore_eos": True}).json()
        assert got["content"] == want["choices"][0]["text"]
        assert got["tokens_evaluated"] == want["usage"]["prompt_tokens"]


def test_refusals():
    with Server("--model", MODEL) as s:  # not one of its own
        for path, ask in (("/infill", {"input_prefix": "a"}),
                          ("/v1/completions", {"model": "curlew-tiny", "prompt": "a", "suffix": "b"})):
            reply = s.post(path, ask)
            assert reply.status == 400 and reply.json()["error"]["param"] == "suffix", reply.body
            assert "cannot fill in the middle" in reply.json()["error"]["message"]
        assert s.post("/v1/completions", {"model": "curlew-tiny", "prompt": "a", "suffix": "", "max_tokens": 1}).status == 200
        for ask, param in (({"input_extra": [{"filename": "x"}]}, "input_extra[0].text"), ({"n": 2}, "n"),
                           ({"logprobs": 1}, "logprobs"), ({"input_prefix": 1}, "input_prefix")):
            reply = s.post("/infill", ask)
            assert reply.status == 400 and reply.json()["error"]["param"] == param, reply.body
        reply = s.post("/v1/completions", {"model": "curlew-tiny", "prompt": "a", "suffix": "b", "echo": True})
        assert reply.json()["error"]["param"] == "echo"


if __name__ == "__main__":
    run_all(globals())
