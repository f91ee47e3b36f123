#!/usr/bin/env python3
"""choices.py - several answers and several prompts: which index is whose, best_of, scores of prompts, and logprobs in
streams. With the bundled model, whose answers differ from seed to seed."""

import os

from serve import Server, run_all

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")


def ask(server, **more):
    reply = server.post("/v1/completions", {"model": "curlew-tiny", **more})
    assert reply.status == 200, reply.body
    return reply


def mean(choice):
    lps = choice["logprobs"]["token_logprobs"]
    return sum(lps) / len(lps)


def test_best_of_is_the_best_of_n():
    with Server("--model", MODEL) as s:
        more = {"prompt": ["The", "A bird"], "seed": 11, "temperature": 1.5, "max_tokens": 12, "ignore_eos": True}
        every = ask(s, n=8, logprobs=0, **more).json()
        best = ask(s, n=3, best_of=8, **more).json()
        want = []
        for prompt in range(2):
            own = every["choices"][8 * prompt:8 * prompt + 8]
            assert len({c["text"] for c in own}) > 3, "the answers do not differ"
            want += [c["text"] for c in sorted(own, key=mean, reverse=True)[:3]]
        assert [c["text"] for c in best["choices"]] == want
        assert [c["index"] for c in best["choices"]] == [0, 1, 2, 3, 4, 5]
        assert all(c["logprobs"] is None for c in best["choices"])
        assert best["usage"]["completion_tokens"] == every["usage"]["completion_tokens"] == 2 * 8 * 12
        shown = ask(s, n=1, best_of=8, logprobs=1, **more).json()
        assert shown["choices"][0]["text"] == want[0] and mean(shown["choices"][0]) < 0
        for wrong in ({"n": 3, "best_of": 2}, {"best_of": 2, "stream": True}, {"best_of": 2, "echo": True}, {"best_of": 17},
                      {"best_of": 0}):
            reply = s.post("/v1/completions", {"model": "curlew-tiny", "prompt": "x", **wrong})
            assert reply.status == 400 and reply.json()["error"]["param"] == "best_of", reply.body
        assert ask(s, prompt="x", n=2, best_of=2, stream=True, max_tokens=1).status == 200


def test_indexes():
    with Server("--model", MODEL) as s:
        ids = s.post("/tokenize", {"content": "The cat"}).json()["tokens"]
        more = {"seed": 3, "temperature": 1.5, "max_tokens": 6, "ignore_eos": True}
        for prompts in (["The cat", "One two", ids], [ids, ids[:1]], "The cat", ids):
            many = prompts if isinstance(prompts[0], (list, str)) and not isinstance(prompts, str) else [prompts]
            want = []
            for prompt in many:
                want += [c["text"] for c in ask(s, prompt=prompt, n=3, **more).json()["choices"]]
            whole = ask(s, prompt=prompts, n=3, **more).json()["choices"]
            assert [c["index"] for c in whole] == list(range(3 * len(many)))
            assert [c["text"] for c in whole] == want
            text = [""] * len(want)
            for event in ask(s, prompt=prompts, n=3, stream=True, **more).events()[:-1]:
                for c in event["choices"]:
                    text[c["index"]] += c["text"]
            assert text == want


def test_scores_of_a_prompt():
    """What evaluation harnesses do: echo, logprobs, nothing or one token more. Each score must be what the model says
    of that token when it is asked for the next one after the tokens before."""
    with Server("--model", MODEL) as s:
        text = "The capital of France is Paris. Ça coûte 3 €."
        ids = s.post("/tokenize", {"content": text}).json()["tokens"]
        lps = ask(s, prompt=text, max_tokens=0, echo=True, logprobs=5).json()["choices"][0]
        assert lps["text"] == text and lps["finish_reason"] == "length"
        got = lps["logprobs"]
        assert got["token_logprobs"][0] is None and got["top_logprobs"][0] is None
        assert len(got["tokens"]) == len(got["token_logprobs"]) == len(got["text_offset"]) == len(ids)
        seen = 0
        for i in range(1, len(ids)):
            asked = ask(s, prompt=ids[:i], max_tokens=1, logprobs=20, temperature=0, ignore_eos=True).json()["choices"][0]["logprobs"]
            top = asked["top_logprobs"][0]
            if got["tokens"][i] in top:
                seen += 1
                assert top[got["tokens"][i]] == got["token_logprobs"][i], (i, got["tokens"][i])
            assert asked["top_logprobs"][0].items() >= got["top_logprobs"][i].items()
        assert seen > 5, "too few of the prompt's tokens were among the twenty best"
        for i, name in enumerate(got["tokens"]):
            if not name.startswith("bytes:"):
                at = got["text_offset"][i]
                assert text[at:at + len(name)] == name, (i, name)

        one = ask(s, prompt=ids, max_tokens=1, echo=True, logprobs=5, temperature=0, ignore_eos=True).json()["choices"][0]
        assert one["logprobs"]["token_logprobs"][:-1] == got["token_logprobs"]
        assert len(one["logprobs"]["tokens"]) == len(ids) + 1
        both = ask(s, prompt=[text, "Hi"], max_tokens=0, echo=True, logprobs=5).json()["choices"]
        assert both[0]["logprobs"] == got and both[1]["text"] == "Hi"


def joined(events, choice=0):
    out = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    text = ""
    for event in events:
        for c in event["choices"]:
            if c["index"] == choice:
                text += c["text"]
                for key in out:
                    out[key] += c["logprobs"][key] if c["logprobs"] else []
                # a token's score comes with the last of its text, not before
                assert "".join(out["tokens"]) in text or any(t.startswith("bytes:") for t in out["tokens"])
    return text, out


def test_streamed_logprobs_add_up():
    with Server("--model", MODEL) as s:
        more = {"prompt": "Once upon a time", "seed": 5, "temperature": 1, "logprobs": 2, "max_tokens": 40, "ignore_eos": True}
        text = ask(s, **more).json()["choices"][0]["text"]
        for stop in (None, [text[20:24]], [text[10:13] + "#", text[30:33]], ["#####"]):
            for keep in (False, True):
                own = {**more, "stop": stop, "include_stop_str_in_output": keep}
                whole = ask(s, **own).json()["choices"][0]
                streamed, lps = joined(ask(s, **own, stream=True).events()[:-1])
                assert streamed == whole["text"] and lps == whole["logprobs"], (stop, keep)
                assert text.startswith(whole["text"])
                if keep and stop and whole["finish_reason"] == "stop":
                    assert whole["text"].endswith(tuple(stop))


def test_logprobs_of_a_tool_call_add_up():
    script = """
mode forward
say "Let me see. <tool_call>\\n{\\"name\\": \\"f\\", \\"arguments\\": {\\"a\\": 1}}\\n</tool_call>"
"""
    with Server(script=script) as s:
        asked = {"tools": [{"type": "function", "function": {
            "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}],
                 "logprobs": True, "top_logprobs": 1}
        whole = s.chat(**asked).json()["choices"][0]
        assert whole["finish_reason"] == "tool_calls"
        parts = [c["logprobs"]["content"] for e in s.stream(**asked) if e != "[DONE]" for c in e["choices"] if c["logprobs"]]
        assert sum(parts, []) == whole["logprobs"]["content"]
        text = b"".join(bytes(t["bytes"]) for t in whole["logprobs"]["content"])
        assert text.startswith(b"Let me see. <tool_call>") and text.endswith(b"</tool_call>")


if __name__ == "__main__":
    run_all(globals())
