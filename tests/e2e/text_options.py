#!/usr/bin/env python3
"""text_options.py - the server's options about text: which chat template, which format of answers, and under
which name the thinking is told."""

import subprocess

from serve import CURLEW, Server, run_all

THINKS = """
mode forward
on ""
say "<think>\\nHm.\\n</think>\\n\\nYes."
"""

CALLS = """
mode forward
on ""
say "[f(a=1)]"
"""

TEMPLATE = ("{% for d in documents or [] %}<{{ d.title }}>{% endfor %}"
            "{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}{% if add_generation_prompt %}A:{% endif %}")

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}


def thinking(flag):
    """(members of the message beside content, the same joined from the deltas) that tell the thinking"""
    with Server(*([f"--reasoning-field={flag}"] if flag else []), script=THINKS) as s:
        message = s.chat().json()["choices"][0]["message"]
        joined = {}
        for event in s.chat(stream=True).events():
            for choice in event["choices"] if event != "[DONE]" else []:
                for name, piece in choice["delta"].items():
                    joined[name] = joined.get(name, "") + (piece or "")
        assert message["content"] == joined["content"] == "Yes.", (message, joined)
        keys = ("reasoning_content", "reasoning")
        return {k: message[k] for k in keys if k in message}, {k: joined[k] for k in keys if k in joined}


def test_reasoning_field():
    both = {"reasoning_content": "Hm.", "reasoning": "Hm."}
    for flag, want in ((None, ["reasoning_content"]), ("reasoning_content", ["reasoning_content"]),
                       ("reasoning", ["reasoning"]), ("both", list(both)), ("none", [])):
        want = {k: both[k] for k in want}
        assert thinking(flag) == (want, want), (flag, thinking(flag))


def test_usage_counts_hidden_thinking():
    with Server("--reasoning-field=none", script=THINKS) as s:
        details = s.chat().json()["usage"]["completion_tokens_details"]
        assert details["reasoning_tokens"] > 0, details


def template_of(flags, script=THINKS, **body):
    with Server(*flags, script=script) as s:
        reply = s.post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}], **body})
        assert reply.status == 200, reply.body
        return reply.json()["prompt"]


def test_template_file():
    with Server(script=THINKS) as home:
        path = home.write("own.jinja", TEMPLATE)
        assert template_of(["--chat-template", path]) == "[user: Hi]A:"
        assert template_of(["--chat-template", path], documents=[{"title": "one"}, {"title": "two"}],
                           add_generation_prompt=False) == "<one><two>[user: Hi]"


def test_template_builtin():
    text = template_of(["--chat-template", "llama3"])
    assert "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" in text, text


def refused(*flags):
    """What `curlew serve` says when it does not start."""
    run = subprocess.run([CURLEW, "serve", "--port", "0", *flags], capture_output=True, text=True, timeout=60)
    assert run.returncode != 0, run.stdout
    return run.stderr


def test_refused():
    with Server(script=THINKS) as home:
        script = "--engine=script:" + home.write("x.script", THINKS)
        broken = home.write("broken.jinja", "{% for m in messages %}{{ m.content }")
        assert "nowhere.jinja" in refused(script, "--chat-template", "nowhere.jinja")
        assert '"klingon" is no built-in template' in refused(script, "--chat-template", "klingon")
        assert '--answer-format: "klingon" is not known' in refused(script, "--answer-format", "klingon")
        assert "line 1" in refused(script, "--chat-template", broken)


def test_answer_format():
    """The same text is a call, or text where the format is said to know none."""
    for flags, calls in (([], 1), (["--answer-format", "llama4-pythonic"], 1), (["--answer-format", "none"], 0)):
        with Server(*flags, script=CALLS) as s:
            message = s.chat(tools=[TOOL]).json()["choices"][0]["message"]
            assert len(message.get("tool_calls", [])) == calls, (flags, message)
            assert message["content"] == (None if calls else "[f(a=1)]"), message


def test_continue_final_message():
    """The script answers what the prompt's end says: the model's own beginning, not a new turn."""
    script = 'mode forward\non "Well, "\nsay "yes."\non ""\nsay "Hello."\n'
    with Server(script=script) as s:
        said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well, "}]
        go_on = s.post("/v1/chat/completions", {"model": "m", "messages": said, "continue_final_message": True})
        assert go_on.json()["choices"][0]["message"]["content"] == "yes.", go_on.body


if __name__ == "__main__":
    run_all(globals())
