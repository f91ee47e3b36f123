"""Held-out evaluation: questions that training never saw, checked by program.

    evaluate.py --gguf FILE              the file itself, in numpy
    evaluate.py --url http://127.0.0.1:8080/v1 [--model ID]     any OpenAI-compatible server
    options: --n PER_SKILL  --skill NAME  --failures  --thinking  --make30 OUT.json

A check is a JSON object; every entry must hold for the answer:
    has [texts]         all are in it (letter case does not count, unless "upper")
    any [texts]         one of them is
    equals text         it is the text, but for case and a full stop
    number n            its last number is n
    items n             it is a list of n different lines, "- x" or "1. x"; among: the class they are from
    json value          it is JSON and equal to this
    call [name, args]   it is exactly this tool call; calls [[name, args], ...]: these, in this order
    no_call true        no tool is called
    upper true          it has no small letter
    words_min n         it has so many words                ends true: it ends with . ! ? or a quote
"""
import argparse
import json
import re
import sys
import urllib.request

import chat
from text import about, arithmetic, facts, follow, mix, stories, talk, tools, translate
from text.grammar import Random
from text.words import CLASSES

SUITE = {
    "greetings and small talk": talk.greet, "about curlew": about.sample, "remembering": talk.remember,
    "stories": stories.sample, "arithmetic": arithmetic.sample, "comparing numbers": arithmetic.compare,
    "capitals": lambda r: facts.sample(r, "capitals"), "colours": lambda r: facts.sample(r, "colours"),
    "opposites": lambda r: facts.sample(r, "opposites"), "days and months": lambda r: facts.sample(r, "calendar"),
    "plurals": lambda r: facts.sample(r, "plurals"), "counting": lambda r: facts.sample(r, "counting"),
    "following up": facts.follow_up, "translation": translate.sample, "in one word": follow.one_word, "in upper case": follow.upper,
    "a list of three": follow.list_of_three, "JSON": follow.obj, "repeating": follow.repeat,
    "system prompt": lambda r: (mix.persona if r.p(0.4) else mix.ordered)(r),
    "calling a tool": tools.sample, "using a tool's result": tools.use_result, "no tool fits": tools.no_tool,
    "not knowing": talk.unknown,
}


def right(check, text, calls):
    """Does an answer pass?  calls: [(name, args)]"""
    low = text.lower()
    ok = True
    for k, v in check.items():
        if k == "has":
            ok &= all(h in text if check.get("upper") else str(h).lower() in low for h in v)
        elif k == "any":
            ok &= any(h.lower() in low for h in v)
        elif k == "equals":
            ok &= low.strip().rstrip(".") == v.lower().rstrip(".")
        elif k == "number":
            n = re.findall(r"\d+", text)
            ok &= bool(n) and int(n[-1]) == v
        elif k == "items":
            rows = [re.sub(r"^(- |\d+\. )", "", x) for x in text.strip().split("\n")]
            ok &= len(rows) == v == len(set(rows)) and all(re.match(r"- |\d+\. ", x) for x in text.strip().split("\n"))
            ok &= all(x in CLASSES[check["among"]] for x in rows) if check.get("among") in CLASSES else True
        elif k == "json":
            try:
                got = json.loads(text)
            except ValueError:
                return False
            ok &= got == v and json.dumps(got) == json.dumps(v)
        elif k == "call":
            ok &= [list(c) for c in calls] == [v]
        elif k == "calls":
            ok &= [list(c) for c in calls] == v
        elif k == "no_call":
            ok &= not calls
        elif k == "upper":
            ok &= text == text.upper()
        elif k == "words_min":
            ok &= len(text.split()) >= v
        elif k == "ends":
            ok &= text.rstrip()[-1:] in list(".!?\"")
        elif k != "among":
            raise ValueError("unknown check " + k)
    return bool(ok)


def split(text):
    """Raw text of the model -> (answer, calls, thoughts)"""
    think = ""
    if "</think>" in text:
        think, text = text.split("</think>", 1)
    calls = []
    for m in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.S):
        try:
            o = json.loads(m)
            calls.append((o["name"], o["arguments"]))
        except (ValueError, KeyError, TypeError):
            calls.append(("?", m))
    return re.sub(r"<tool_call>.*?(</tool_call>|$)", "", text, flags=re.S).strip(), calls, think.strip()


class Direct:
    def __init__(self, path):
        import reference
        self.m = reference.Model(path)

    def ask(self, s, thinking):
        prompt = "".join(t for t, _ in chat.pieces(s, thinking, answer=False))
        return split(self.m.tok.decode(self.m.generate(prompt)))


class Server:
    def __init__(self, url, model):
        self.url = url.rstrip("/")
        self.model = model or self._get("/models")["data"][0]["id"]

    def _get(self, path, body=None):
        req = urllib.request.Request(self.url + path, json.dumps(body).encode() if body else None,
                                     {"Content-Type": "application/json"})
        with urllib.request.urlopen(req, timeout=120) as f:
            return json.load(f)

    def ask(self, s, thinking):
        msgs, tool = chat.request(s)
        body = {"model": self.model, "messages": msgs, "temperature": 0, "max_tokens": 300,
                "chat_template_kwargs": {"enable_thinking": thinking}}
        if tool:
            body["tools"] = tool
        m = self._get("/chat/completions", body)["choices"][0]["message"]
        calls = []
        for c in m.get("tool_calls") or []:
            try:
                calls.append((c["function"]["name"], json.loads(c["function"]["arguments"])))
            except ValueError:
                calls.append(("?", c["function"]["arguments"]))
        return (m.get("content") or "").strip(), calls, m.get("reasoning_content") or ""


def samples(name, n, seed=77):
    r = Random(f"{seed} {name}", held=True)
    out, seen = [], set()
    for _ in range(200 * n):
        s = mix.one(r, SUITE[name])
        k = json.dumps([s.system, s.tools, s.msgs[:-1]])
        if k not in seen:
            seen.add(k)
            out.append(s)
        if len(out) == n:
            break
    return out


def make30(path):
    """One question of most skills and two of some, for a test that drives a server."""
    rows = []
    for i, name in enumerate(list(SUITE) + ["calling a tool", "using a tool's result", "no tool fits", "JSON", "arithmetic",
                                            "about curlew"]):
        s = samples(name, 2, seed=30)[0 if i < len(SUITE) else 1]
        msgs, tool = chat.request(s)
        rows.append({"skill": name, "messages": msgs, **({"tools": tool} if tool else {}), "check": s.check})
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in rows) + "\n]\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--gguf")
    ap.add_argument("--url")
    ap.add_argument("--model")
    ap.add_argument("--n", type=int, default=40)
    ap.add_argument("--skill")
    ap.add_argument("--failures", action="store_true")
    ap.add_argument("--thinking", action="store_true")
    ap.add_argument("--make30")
    a = ap.parse_args()
    if a.make30:
        return make30(a.make30)
    who = Direct(a.gguf) if a.gguf else Server(a.url, a.model)
    print("| skill | right | of | |\n| --- | --- | --- | --- |")
    total = [0, 0]
    for name in SUITE:
        if a.skill and a.skill not in name:
            continue
        good = 0
        todo = samples(name, a.n)
        for s in todo:
            text, calls, think = who.ask(s, a.thinking)
            ok = right(s.check, text, calls) and (not a.thinking or think != "")
            good += ok
            if not ok and a.failures:
                print("   ", repr(s.msgs[-2]["content"]), "->", repr(text), calls or "", think and f"({think})", s.check,
                      file=sys.stderr)
        print(f"| {name} | {good} | {len(todo)} | {100 * good / max(len(todo), 1):.0f}% |", flush=True)
        total[0] += good
        total[1] += len(todo)
    print(f"| all | {total[0]} | {total[1]} | {100 * total[0] / total[1]:.0f}% |")


if __name__ == "__main__":
    main()
