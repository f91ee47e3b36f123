#!/usr/bin/env python3
"""tiny.py - the bundled model, through the server: thirty questions that it was not trained on, a tool
conversation, thinking, and many at once.

models/curlew-tiny/eval30.json holds the questions with their checks; models/curlew-tiny/recipe/evaluate.py says
what a check means. The kernels give the same bits on every machine, so a right answer stays right."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading

from serve import Server, run_all

HOME = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny")
MODEL = os.path.join(HOME, "curlew-tiny.gguf")
LEAST = 27  # of 30: the model card promises nine in ten


def rows_of(text):
    return text.strip().split("\n")


def classes():
    """The word classes that a list's items must be from."""
    sys.path.insert(0, os.path.join(HOME, "recipe"))
    sys.dont_write_bytecode = True
    from text.words import CLASSES
    return CLASSES


def is_list(text, n, among):
    rows = rows_of(text)
    if len(rows) != n or not all(re.match(r"- |\d+\. ", row) for row in rows):
        return False
    items = [re.sub(r"^(- |\d+\. )", "", row).lower() for row in rows]
    allowed = {str(w).lower() for w in classes()[among]} if among else set(items)
    return len(set(items)) == n and set(items) <= allowed


def is_json(text, want):
    try:
        return json.loads(text) == want
    except ValueError:
        return False


def holds(check, message):
    text = message["content"] or ""
    calls = [[c["function"]["name"], json.loads(c["function"]["arguments"])]
             for c in message.get("tool_calls", [])]
    low = text.lower()
    tests = {
        "has": lambda v: all(str(x) in text if check.get("upper") else str(x).lower() in low for x in v),
        "any": lambda v: any(str(x).lower() in low for x in v),
        "equals": lambda v: low.strip().rstrip(".") == v.lower().rstrip("."),
        "number": lambda v: re.findall(r"\d+", text)[-1:] == [str(v)],
        "items": lambda v: is_list(text, v, check.get("among")),
        "among": lambda v: True,  # read with items
        "json": lambda v: is_json(text, v),
        "call": lambda v: calls == [v],
        "calls": lambda v: calls == v,
        "no_call": lambda v: not calls,
        "upper": lambda v: text == text.upper(),
        "words_min": lambda v: len(text.split()) >= v,
        "ends": lambda v: text.rstrip()[-1:] in set(".!?\"'"),
    }
    return all(tests[name](value) for name, value in check.items())


def ask(server, messages, tools=None, **more):
    body = {"model": "curlew-tiny", "messages": messages, "temperature": 0, "max_tokens": 300, **more}
    if tools:
        body["tools"] = tools
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body[:300]
    return reply.json()["choices"][0]


def test_thirty_questions():
    rows = json.load(open(os.path.join(HOME, "eval30.json"), encoding="utf-8"))
    assert len(rows) == 30
    wrong = []
    with Server("--model", MODEL, "--log-level", "error") as server:
        for row in rows:
            message = ask(server, row["messages"], row.get("tools"))["message"]
            if not holds(row["check"], message):
                wrong.append((row["skill"], row["messages"][-1], row["check"], message))
    for w in wrong:
        print("wrong:", *w)
    print(f"{30 - len(wrong)} of 30 right")
    assert 30 - len(wrong) >= LEAST


WEATHER = [{"type": "function", "function": {
    "name": "get_weather", "description": "Shows the weather of a place",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


def test_tool_conversation():
    with Server("--model", MODEL, "--log-level", "error") as server:
        talk = [{"role": "user", "content": "What is the weather in Oslo?"}]
        choice = ask(server, talk, WEATHER)
        assert choice["finish_reason"] == "tool_calls", choice
        call = choice["message"]["tool_calls"][0]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
        talk += [choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "{\"weather\": \"sunny\"}"}]
        choice = ask(server, talk, WEATHER)
        assert choice["finish_reason"] == "stop" and "sunny" in choice["message"]["content"], choice


def test_thinking():
    with Server("--model", MODEL, "--log-level", "error") as server:
        question = [{"role": "user", "content": "What is 12 plus 30?"}]
        plain = ask(server, question)["message"]
        assert "reasoning_content" not in plain and "think" not in plain["content"], plain
        aloud = ask(server, question, chat_template_kwargs={"enable_thinking": True})["message"]
        assert aloud.get("reasoning_content") and "think>" not in aloud["content"], aloud


def test_same_beside_others():
    questions = [f"Tell me a story about a {a} named {n}." for a in ("fox", "mouse") for n in ("Mira", "Tom", "Pip")]
    with Server("--model", MODEL, "--log-level", "error") as server:
        alone = [ask(server, [{"role": "user", "content": q}])["message"] for q in questions]
        together = [None] * len(questions)

        def one(i):
            together[i] = ask(server, [{"role": "user", "content": questions[i]}])["message"]

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(questions))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert alone == together


def test_banner():
    """What the server prints for the person who started it works when typed, whatever the file is called."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "it's a model.gguf")
        os.symlink(os.path.abspath(MODEL), path)
        with Server("--model", path, "--alias", "tiny") as s:
            assert s.process.stdout.readline() == b"\n"
            shell = b"".join(iter(s.process.stdout.readline, b"\n")).decode()
            curl, chat = re.fullmatch(r"Try:\n(.*)or chat in another terminal:\n(.*)", shell, re.S).groups()
            said = subprocess.run(curl, shell=True, capture_output=True, check=True).stdout
            assert json.loads(said)["choices"][0]["message"]["content"], said
            said = subprocess.run(chat.strip() + " Hello!", shell=True, capture_output=True, check=True).stdout
            assert said.strip(), said


if __name__ == "__main__":
    if not os.path.exists(MODEL):
        print("skipped: there is no bundled model here")
        sys.exit(77)
    run_all(dict(globals()))
