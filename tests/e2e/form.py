#!/usr/bin/env python3
"""form.py - answers held to a form: response_format, grammars, tool_choice, calls of the tools on offer.

The scripted engine says fixed bytes; where a form forbids the next one, the allowed byte nearest to it is
likeliest (engines/script/script_fwd.c), so what comes out can be worked out by hand."""

import json
import os
import threading

from serve import Server, run_all

SCRIPT = r'''mode forward
on "call"
say "I look. <tool_call>\n{\"name\": \"now\", \"arguments\": {\"town\": \"Oslo\"}}\n</tool_call>"
on ""
say "{\"a\": 12, \"b\": \"u\"}"
'''
TINY = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")


def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": properties, "required": list(properties)}}}


TOOLS = [tool("now", place={"type": "string"}), tool("nox")]


def named(name):
    return {"type": "function", "function": {"name": name}}


def ask(server, text="Hi", path="/v1/chat/completions", status=200, **more):
    prompt = {"prompt": text} if path == "/v1/completions" else {"messages": [{"role": "user", "content": text}]}
    reply = server.request("POST", path, json.dumps({"model": "m", "max_tokens": 200, **prompt, **more}).encode())
    assert reply.status == status, (more, reply.status, reply.body)
    return reply.json()["error"] if status != 200 else reply.json()


def content(reply, choice=0):
    one = reply["choices"][choice]
    assert one["finish_reason"] == "stop", one
    return one["message"]["content"] if "message" in one else one["text"]


def calls(reply):
    one = reply["choices"][0]
    assert one["finish_reason"] == "tool_calls", one
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in one["message"]["tool_calls"]]


def schema(s):
    return {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": s}}


def test_forms():
    """Each field that asks for one, on both routes."""
    obj = {"type": "object", "properties": {"a": {"type": "integer"}, "z": {"enum": ["u", "v"]}}, "required": ["a", "z"]}
    with Server(script=SCRIPT) as server:
        assert content(ask(server, response_format={"type": "json_object"})) == '{"a": 12, "b": "u"}'
        assert content(ask(server, response_format=schema(obj))) == '{"a": 12, "z": "u"}'
        for more in {"json_schema": obj}, {"guided_json": obj}, {"guided_json": json.dumps(obj)}, {"structured_outputs": {"json": obj}}:
            assert content(ask(server, **more)) == '{"a": 12, "z": "u"}', more
            assert content(ask(server, path="/v1/completions", **more)) == '{"a": 12, "z": "u"}', more
        assert content(ask(server, guided_choice=["yes", '{"no'])) == '{"no'
        assert content(ask(server, grammar='root ::= "{" [b-z]{2} "!"'))[::3] == "{!"
        assert content(ask(server, guided_regex="[0-9]{3}")).isdigit()
        assert content(ask(server, response_format={"type": "text"}, grammar="")) == '{"a": 12, "b": "u"}'
        n2 = ask(server, response_format=schema(obj), n=2)
        assert content(n2) == content(n2, 1) == '{"a": 12, "z": "u"}'
        # length cuts it wherever it is
        assert ask(server, response_format=schema(obj), max_tokens=5)["choices"][0]["finish_reason"] == "length"


def test_tool_choice():
    """Calls are made when they must be, of the tool that is named; parallel_tool_calls counts."""
    with Server(script=SCRIPT) as server:
        for choice in "required", named("now"):
            made = calls(ask(server, "call", tools=TOOLS[:1], tool_choice=choice, parallel_tool_calls=False, max_tokens=500))
            assert [m[0] for m in made] == ["now"] and list(made[0][1]) == ["place"], made
        assert calls(ask(server, tools=TOOLS, tool_choice=named("nox"))) == [("nox", {})]
        only = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("nox")]}}
        assert calls(ask(server, tools=TOOLS, tool_choice=only, parallel_tool_calls=False)) == [("nox", {})]
        # free text, and then a call with the argument that the tool has
        reply = ask(server, "call", tools=TOOLS)
        assert calls(reply) == [("now", {"place": "Oslo"})] and reply["choices"][0]["message"]["content"] == "I look."
        # the stop matcher holds text back that the form must see
        for stop in "\n{X", "l>\nX", "<tool_call>X":
            assert calls(ask(server, "call", tools=TOOLS, stop=[stop])) == [("now", {"place": "Oslo"})], stop
        only["allowed_tools"]["mode"] = "auto"
        assert calls(ask(server, "call", tools=TOOLS, tool_choice=only)) == [("nox", {})]
        # none, and no tools: the text as it is
        for more in {"tools": TOOLS, "tool_choice": "none"}, {}:
            assert "town" in content(ask(server, "call", **more))
        # a format beside tools: JSON or calls
        assert content(ask(server, tools=TOOLS, response_format={"type": "json_object"})) == '{"a": 12, "b": "u"}'


def test_refused():
    """What cannot be held is a 400 that names the field and the place."""
    with Server(script=SCRIPT) as server:
        e = ask(server, status=400, response_format=schema({"properties": {"a": {"items": {"not": {"type": "null"}}}}}))
        assert e["param"] == "response_format" and e["code"] == "invalid_schema" and "#/properties/a/items" in e["message"] \
            and '"not"' in e["message"], e
        e = ask(server, status=400, guided_json={"type": "array", "uniqueItems": True})
        assert e["param"] == "guided_json" and "uniqueItems" in e["message"], e
        e = ask(server, status=400, grammar='root ::= "a"', guided_regex="b")
        assert "one is possible" in e["message"], e
        e = ask(server, status=400, guided_regex="a+", ignore_eos=True)
        assert e["param"] == "ignore_eos" and "guided_regex" in e["message"], e
        e = ask(server, status=400, tools=TOOLS, tool_choice=named("no"))
        assert e["param"] == "tool_choice" and '"no"' in e["message"], e
        strict = json.loads(json.dumps(TOOLS))
        strict[0]["function"]["strict"] = True
        strict[0]["function"]["parameters"]["properties"]["place"] = {"not": {"type": "null"}}
        e = ask(server, status=400, tools=strict)
        assert e["param"] == "tools" and '"now"' in e["message"] and "#/properties/place" in e["message"], e
        strict[0]["function"]["strict"] = False  # what cannot be held is left free
        ask(server, "call", tools=strict)
        # a schema that cannot be read: calls that nobody asked to hold are free, others are refused
        broken = [tool("now", town={"enum": "x"})]
        assert calls(ask(server, "call", tools=broken)) == [("now", {"town": "Oslo"})]
        e = ask(server, status=400, tools=broken, tool_choice="required")
        assert e["param"] == "tool_choice" and "#/properties/town" in e["message"], e
    with Server(script=SCRIPT.replace("forward", "generate")) as server:
        for more in {"response_format": {"type": "json_object"}}, {"guided_regex": "a"}, {"tools": TOOLS, "tool_choice": "required"}:
            e = ask(server, status=400, **more)
            assert "engine" in e["message"] and e["param"] in more, e


def test_model():
    """The bundled model: forms, calls and thinking; the same answer alone and beside others."""
    with Server("--model", TINY, "--alias", "m") as server:
        want = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "n": {"type": "integer", "minimum": 3, "maximum": 7},
                                                 "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3}},
                "required": ["city", "n", "tags"], "additionalProperties": False}

        def one(seed, thinking=False):
            reply = ask(server, "What is the capital of France?", response_format=schema(want), seed=seed, temperature=1.2, logprobs=True,
                        chat_template_kwargs={"enable_thinking": thinking})
            message = reply["choices"][0]["message"]
            value = json.loads(message["content"])
            assert list(value) == ["city", "n", "tags"] and len(value["city"]) <= 12 and 3 <= value["n"] <= 7, value
            assert 1 <= len(value["tags"]) <= 3 and set(value["tags"]) <= {"a", "b"}, value
            assert all(-9999 <= t["logprob"] <= 0 for t in reply["choices"][0]["logprobs"]["content"])
            return message["content"], message.get("reasoning_content")
        alone = [one(seed) for seed in range(6)]
        beside = [None] * 6

        def run(i):
            beside[i] = one(i)
        threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert alone == beside and len({a[0] for a in alone}) > 1, (alone, beside)
        assert one(1, thinking=True)[1], "no reasoning"
        made = calls(ask(server, "What is the weather in Paris?", tools=[tool("get_weather", zone={"type": "string"})], temperature=0))
        assert made == [("get_weather", {"zone": "Paris"})], made
        made = calls(ask(server, "Hello!", tools=TOOLS, tool_choice="required", temperature=0, parallel_tool_calls=False))
        assert made[0][0] in ("now", "nox"), made


if __name__ == "__main__":
    run_all(dict(globals()))
