#!/usr/bin/env python3
"""axera_http.py - children of generations 3 and 4: HTTP behind us."""

from axera_rig import all_gone, api, axllm
from serve import run_all, text_of


def content(reply):
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json()["choices"][0]["message"]["content"]


ANSWERS = [["hello", "Gr\u00fc\u00df dich, \u4f60\u597d!"], ["", "short"]]


def test_axllm():
    for tokenizer in True, False:
        with axllm(ANSWERS, tokenizer=tokenizer) as server:
            reply = server.post("/v1/chat/completions", {"model": "m", "max_tokens": 50, "temperature": 0.5, "messages": [
                {"role": "system", "content": "Be kind."}, {"role": "user", "content": "a\nb"},
                {"role": "assistant", "content": "c"}, {"role": "user", "content": "hello"}]})
            assert content(reply) == ANSWERS[0][1], reply.body
            body = server.fake.notes("chat")[0][1]
            assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
            assert body["messages"][1]["content"] == "a\nb" and body["temperature"] == 0.5, body
            assert body["max_tokens"] == 50 and body["model"] == "fake-qwen", body
            assert reply.json()["usage"]["prompt_tokens"] == len("hello")  # what the child says
            events = list(server.stream("m", "hello"))
            assert text_of(events) == ANSWERS[0][1] and events[-1] == "[DONE]"
            refused = server.post("/v1/completions", {"model": "m", "prompt": "x"})
            assert refused.status == 400 and "conversations" in refused.json()["error"]["message"]
        all_gone(server.fake)


def test_api():
    for form in "generate", "openai":
        for send in "ticket", "text":
            with api(form, ANSWERS, options=[f"send={send}"]) as server:
                assert content(server.chat("m", "hello")) == ANSWERS[0][1]
                events = list(server.stream("m", "other"))
                assert text_of(events) == "short" and events[-1] == "[DONE]"
                prompt = server.fake.notes("run")[0][1]
                assert prompt == ("#1" if send == "ticket" else "<|start|>user:hello<|end|><|start|>assistant:"), prompt
            all_gone(server.fake)


if __name__ == "__main__":
    run_all(dict(globals()))
