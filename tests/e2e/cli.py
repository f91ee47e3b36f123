#!/usr/bin/env python3
"""cli.py - the commands that read lines of JSON (tokenize, template, split), show, and what all refuse."""

import json
import os
import subprocess
import sys

import cli_rig
from cli_rig import END, HELLO, START, TEMPLATE, VECTORS, command, gguf, lines, tokenizer_json, write
from serve import CURLEW, run_all

DATA = os.environ.get("CURLEW_DATA", "tests/data")
SHARED = os.environ.get("CURLEW_SHARED", "")


def has_shared(*parts):
    there = os.path.exists(os.path.join(SHARED, *parts))
    if not there:
        print("skipped: no shared material at", "/".join(parts))
    return there


# --- tokenize ---

def check_vectors(model):
    got = lines("tokenize", "--model", model, given=[{"text": t} for t, _, _ in VECTORS])
    assert [g["ids"] for g in got] == [ids for _, ids, _ in VECTORS], got
    got = lines("tokenize", "--model", model, given=[{"text": t, "parse_special": True} for t, _, _ in VECTORS])
    assert [g["ids"] for g in got] == [ids for _, _, ids in VECTORS], got
    got = lines("tokenize", "--decode", "--model", model, given=[{"ids": ids} for _, _, ids in VECTORS])
    assert [g["text"] for g in got] == [t for t, _, _ in VECTORS], got


def test_tokenize_small():
    check_vectors(gguf())
    check_vectors(tokenizer_json())
    check_vectors(os.path.dirname(tokenizer_json("hf/tokenizer.json")))  # a folder
    write("odd.bin", open(tokenizer_json(), "rb").read())  # told by content, not by name
    check_vectors(cli_rig.path("odd.bin"))


def test_tokenize_adds():
    model = gguf("bos.gguf", **{"tokenizer.ggml.add_bos_token": True})
    got = lines("tokenize", "--model", model, given=[
        {"text": "hello"}, {"text": "hello", "add_special": True}, {"text": "hello", "add_special": False}])
    assert [g["ids"] for g in got] == [[HELLO], [START, HELLO], [HELLO]], got
    got = lines("tokenize", "--decode", "--model", model, given=[
        {"ids": [START, HELLO]}, {"ids": [START, HELLO], "special": False}, {"ids": [0xc3]}])
    assert [g["text"] for g in got] == ["<|start|>hello", "hello", "\ufffd"], got


def test_tokenize_refuses_lines_and_goes_on():
    model = gguf()
    got = lines("tokenize", "--model", model, given=[
        "{", "", "[]", "7", {"texts": "x"}, {"text": 1}, {"text": "x", "add_special": 1}, '{"text":"\xff"',
        '{"text": "a", "text": "b"}', {"text": "hello"}])
    assert all(list(g) == ["error"] and g["error"] for g in got[:-1]), got
    assert got[-1] == {"ids": [HELLO]}
    assert "add_special" in got[6]["error"]
    got = lines("tokenize", "--decode", "--model", model, given=[
        {"ids": [END + 1]}, {"ids": [-1]}, {"ids": ["1"]}, {"ids": 1}, {}, {"ids": [HELLO]}])
    assert all("error" in g for g in got[:-1]), got
    assert got[0]["error"] == f"ids[0] is {END + 1}, the vocabulary has 0 to {END}"
    assert got[-1] == {"text": "hello"}


def test_lines_as_they_come():
    """CRLF, a last line without its end, and a line longer than allowed; nothing waits for more input."""
    model = gguf()
    status, out, err = command("tokenize", "--model", model, stdin=b'{"text":"he"}\r\n{"text":"hello"}')
    assert (status, err) == (0, "") and [json.loads(x)["ids"] for x in out.splitlines()] == [[256], [HELLO]], out
    long = b'{"text":"' + b"x" * (65 << 20) + b'"}\n{"text":"hello"}\n'
    status, out, err = command("tokenize", "--model", model, stdin=long)
    got = [json.loads(x) for x in out.splitlines()]
    assert status == 0 and len(got) == 2 and "longer than" in got[0]["error"] and got[1] == {"ids": [HELLO]}, out
    with subprocess.Popen([CURLEW, "tokenize", "--model", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        for _ in range(3):
            p.stdin.write(b'{"text":"hello"}\n')
            p.stdin.flush()
            assert json.loads(p.stdout.readline()) == {"ids": [HELLO]}
        p.stdin.close()
        assert p.wait(10) == 0


def test_tokenize_for_people():
    model = gguf()
    status, out, _ = command("tokenize", "--model", model, "hello \u00e9<|end|>")
    rows = out.splitlines()
    assert status == 0 and rows[0].split() == [str(HELLO), '"hello"'], out
    assert rows[2].split() == [str(0xc3), "bytes", "C3"], out
    assert rows[-1].startswith("15 bytes, 11 tokens"), out
    status, out, _ = command("tokenize", "--special", "--model", model, "hello<|end|>")
    assert status == 0 and out.splitlines()[1].split() == [str(END), '"<|end|>"'], out
    assert command("tokenize", "--decode", "--model", model, f"{HELLO}, 33")[:2] == (0, "hello!\n")
    status, _, err = command("tokenize", "--decode", "--model", model, "12 x")
    assert status == 1 and '"x" is not a token id' in err


def test_tokenize_shared():
    if not has_shared("tokenizers", "vocab"):
        return
    total = 0
    for name in ("llama-spm", "gpt-2", "qwen2", "bert-bge", "phi-3"):
        base = os.path.join(SHARED, "tokenizers", "vocab", f"ggml-vocab-{name}.gguf")
        texts = open(base + ".inp", encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
        want = [[int(x) for x in row.split()] for row in open(base + ".out", encoding="utf-8")]
        texts = texts[:len(want)]  # after the last separator there is nothing
        got = lines("tokenize", "--model", base, given=[{"text": t} for t in texts])
        wrong = [(t, g, w) for t, g, w in zip(texts, got, want) if g != {"ids": w}]
        assert not wrong, (name, wrong[:2])
        if name in ("gpt-2", "qwen2"):
            back = lines("tokenize", "--decode", "--model", base, given=[{"ids": w} for w in want])
            assert [b["text"] for b in back] == texts, name
        total += len(texts)
    print(f"tokenize: {total} strings of 5 vocabularies right")


# --- template ---

CHAT = [{"role": "user", "content": "hi"}]


def test_template_file():
    t = write("t.jinja", TEMPLATE + "{{ strftime_now('%d %b %Y %H:%M') }}|{{ tools }}|{{ extra }}")
    got = lines("template", "--file", t, given=[
        {"messages": CHAT, "now": "2026-01-15T10:20:30", "kwargs": {"bos_token": "<", "eos_token": ">", "extra": 5}},
        {"messages": CHAT, "tools": [], "kwargs": {"add_generation_prompt": True}, "now": 0},
        {"messages": [CHAT[0], {"role": "system", "content": "s"}]},
        "nonsense",
        {"messages": CHAT, "now": "yesterday"},
    ])
    assert got[0] == {"text": "<user:hi>15 Jan 2026 10:20|None|5"}, got[0]
    assert got[1]["text"].startswith("user:hiassistant:01 Jan 1970 "), got[1]
    assert got[2] == {"error": "system comes first"}, got[2]
    assert "error" in got[3] and "error" in got[4], got
    got = lines("template", "--file", t, "--repair", given=[
        {"messages": [CHAT[0], {"role": "system", "content": "s"}], "now": 0}])
    assert got[0]["text"].startswith("system:suser:hi"), got


def test_template_of_a_model():
    got = lines("template", "--model", gguf(), given=[
        {"messages": CHAT}, {"messages": CHAT, "kwargs": None},
        {"messages": CHAT, "kwargs": {"bos_token": "B", "add_generation_prompt": True}}, {"messages": CHAT, "kwargs": 1}])
    assert got[0] == got[1] == {"text": "<|start|>user:hi<|end|>"}, got
    assert got[2] == {"text": "Buser:hi<|end|>Bassistant:"}, got
    assert "error" in got[3], got
    # one that carries none gets the built-in one that suits it; no vocabulary is no obstacle
    model = write("none.gguf", b"GGUF\3\0\0\0" + bytes(16))
    got = lines("template", "--model", model, given=[{"messages": CHAT}])
    assert "hi" in got[0]["text"], got
    # beside a tokenizer.json
    tokenizer_json("hf2/tokenizer.json")
    write("hf2/tokenizer_config.json", json.dumps({
        "bos_token": "<|start|>", "eos_token": "<|end|>",
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}]}))
    got = lines("template", "--model", cli_rig.path("hf2"), given=[{"messages": CHAT}])
    assert got == [{"text": "<|start|>user:hi<|end|>"}], got


def test_template_language():
    """The project's own vectors, those Jinja2 accepts, through the command."""
    cases = json.load(open(os.path.join(DATA, "tmpl", "language.json"), encoding="utf-8"))
    cases = [c for c in cases if "expected" in c][::4]
    for i, c in enumerate(cases):
        got = lines("template", "--file", write(f"l{i}.jinja", c["template"]),
                    given=[{"messages": c.get("messages", []), "kwargs": c.get("kwargs"), "now": "2026-01-15T10:20:30"}])
        assert got == [{"text": c["expected"]}], (c, got)
    print(f"template: {len(cases)} of the language right")


def test_template_shared():
    if not has_shared("chat-templates", "cases"):
        return
    root, right = os.path.join(SHARED, "chat-templates"), 0
    for name in sorted(os.listdir(os.path.join(root, "cases")))[::4]:
        spec = json.load(open(os.path.join(root, "cases", name), encoding="utf-8"))
        cases = [c for c in spec["cases"] if c["check"] in ("both", "both-error")]
        if not cases:
            continue
        got = lines("template", "--file", os.path.join(root, spec["template"]), given=[
            {**{k: c[k] for k in ("messages", "tools", "documents", "kwargs") if k in c}, "now": spec["now"]}
            for c in cases])
        for c, g in zip(cases, got):
            assert g == {"text": c["expected"]} if c["check"] == "both" else "error" in g, (name, c["name"], g)
            right += 1
    print(f"template: {right} cases right")


# --- split ---

def calls_of(message):
    """Tool calls as [name, arguments]."""
    return [[c["function"]["name"], json.loads(c["function"]["arguments"])] for c in message.get("tool_calls", [])]


def test_split_small():
    """The project's own vectors; the same result whatever the pieces are."""
    rows = [json.loads(x) for x in open(os.path.join(DATA, "split", "vectors.jsonl"), encoding="utf-8")]
    by_form = {}
    for r in rows:
        by_form.setdefault((r.get("form"), r.get("template")), []).append(r)
    for (form, text), group in by_form.items():
        how = ["--format", form] if form else ["--template", write("s.jinja", text)]
        whole = lines("split", *how, given=group)
        for r, got in zip(group, whole):
            assert got.get("content") == r["want"].get("content"), (r, got)
            assert got.get("reasoning_content") == r["want"].get("reasoning_content"), (r, got)
            assert calls_of(got) == r["want"].get("tool_calls", []), (r, got)
        assert lines("split", *how, "--pieces", "1", given=group) == whole, form
    print(f"split: {len(rows)} vectors right")


def test_split_refuses_lines():
    got = lines("split", "--format", "hermes", given=["x", {}, {"output": 1}, {"output": "hi"}])
    assert all("error" in g for g in got[:3]) and got[3]["content"] == "hi", got
    status, out, _ = command("split", "--format", "list")
    assert status == 0 and {"hermes", "generic"} <= set(out.split()), out
    for name in out.split():
        assert lines("split", "--format", name, given=[{"output": "Hello."}])[0]["content"] == "Hello.", name


def test_split_shared():
    if not has_shared("chat-templates", "outputs"):
        return
    root, total = os.path.join(SHARED, "chat-templates"), 0
    for name in ("Qwen-Qwen3-0.6B", "meetkai-functionary-medium-v3.1", "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "moonshotai-Kimi-K2",
                 "mistralai-Mistral-Nemo-Instruct-2407", "om-qwen3-coder-30b"):
        spec = json.load(open(os.path.join(root, "outputs", name + ".json"), encoding="utf-8"))
        how = ["split", "--template", os.path.join(root, spec["template"])]
        given = [{"output": r["raw"], "prompt_tail": r["prompt_tail"]} for r in spec["rows"]]
        whole = lines(*how, given=given)
        assert lines(*how, "--pieces", "3", given=given) == whole, name
        for r, got in zip(spec["rows"], whole):
            want = r["meaning"]
            assert (got["content"] or "").strip() == (want.get("content") or "").strip(), (name, r, got)
            assert [c[0] for c in calls_of(got)] == [c["function"]["name"] for c in want.get("tool_calls", [])], (name, r)
            total += 1
    print(f"split: {total} outputs of 6 templates right")


# --- show ---

def test_show():
    model = gguf("show.gguf", **{"general.license": "mit\x1b[31m", "llama.block_count": 3})
    status, out, _ = command("show", "--model", model, "--metadata")
    assert status == 0 and "\x1b" not in out, out
    for want in ("small one", "llama, 3 layers", "77 tokens", "none: vocabulary only", "263 tokens", "BOS 261 <|start|>",
                 f"its own, {len(TEMPLATE)} bytes", "llama.block_count = 3"):
        assert want in out, (want, out)
    status, out, _ = command("show", "--model", model, "--json", "--metadata", "--tensors")
    got = json.loads(out)
    assert status == 0 and got["architecture"] == "llama" and got["context"] == 77 and got["layers"] == 3, got
    assert got["vocabulary"]["tokens"] == 263 and got["vocabulary"]["eos"] == END and got["tensors"] == [], got
    assert got["template"]["bytes"] == len(TEMPLATE) and got["template"]["usable"], got
    assert got["metadata"]["llama.context_length"] == "77", got


def test_show_shared():
    if not has_shared("weights", "stories260K-q8_0.gguf"):
        return
    model = os.path.join(SHARED, "weights", "stories260K-q8_0.gguf")
    got = json.loads(command("show", "--model", model, "--json", "--tensors")[1])
    # of the architecture: 2 x 512 x 64 in and out, 5 layers of 64 x 64 x 2 + 64 x 32 x 2 + 64 x 172 x 3, norms
    params = 2 * 512 * 64 + 5 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 172 + 2 * 64) + 64
    assert got["parameters"] == params == sum(prod(t["dims"]) for t in got["tensors"]), got
    assert (got["layers"], got["width"], got["heads"], got["heads_kv"], got["context"]) == (5, 64, 8, 4, 512), got


def test_show_broken():
    """Broken files: shown or refused in one line, never a crash."""
    if not has_shared("broken", "gguf"):
        return
    folder, shown = os.path.join(SHARED, "broken", "gguf"), 0
    names = sorted(n for n in os.listdir(folder) if n.endswith(".gguf"))
    for name in names:
        status, out, err = command("show", "--metadata", "--tensors", "--model", os.path.join(folder, name))
        assert status == 0 or (status == 1 and out == "" and err.count("\n") == 1), (name, status, err)
        shown += status == 0
    assert command("show", "--model", os.path.join(folder, "good-base.gguf"))[0] == 0
    print(f"show: {len(names)} broken files, {shown} of them can be shown")


def prod(dims):
    n = 1
    for d in dims:
        n *= d
    return n


# --- what all of them refuse ---

def refused(status, text, *args, env=None):
    got, out, err = command(*args, env=env)
    assert (got, out) == (status, "") and text in err and err.count("\n") == 1, (args, got, out, err)


def test_refusals():
    bad = write("bad.txt", "neither")
    for c in ("tokenize", "show", "tokenizer-server"):
        refused(2, "no model: name a file with --model", c)
        refused(1, "No such file or directory", c, "--model", "missing.gguf")
        refused(2, "unknown flag --modl; did you mean --model?", c, "--modl", "x")
        refused(2, "one model is wanted, 2 were named", c, "-m", "a", "-m", "b")
        refused(1, "bad.txt", c, "--model", bad)
    refused(1, "is a directory", "show", "--model", cli_rig.folder.name)
    refused(1, "tokenizer.json: ", "tokenize", "--model", write("half.json", '{"version": '))
    refused(2, "no template", "template")
    refused(1, "No such file", "template", "--file", "missing.jinja")
    refused(1, "missing.gguf", "template", "--model", "missing.gguf")
    refused(1, "bad.jinja", "template", "--file", write("bad.jinja", "{% for %}"))
    refused(2, "no format", "split")
    refused(2, '"nope" is not known', "split", "--format", "nope")
    refused(2, "one of them", "split", "--format", "hermes", "--template", bad)
    refused(2, "unexpected argument", "show", "--model", bad, "more")
    refused(2, "out of range", "split", "--format", "hermes", "--pieces", "-1")
    # a template file needs no model, whatever the environment says
    t = write("plain.jinja", "x")
    assert command("template", "--file", t, stdin=b'{"messages":[]}\n',
                   env={"CURLEW_MODEL": "missing.gguf"})[:2] == (0, '{"text": "x"}\n')


def test_help():
    status, out, _ = command("help")
    assert status == 0
    for c in ("run", "show", "tokenize", "template", "split", "tokenizer-server"):
        assert f"curlew {c} " in out, c
        status, page, _ = command("help", c)
        assert status == 0 and page.startswith(f"curlew {c} "), page
        assert command(c, "--help")[1] == page


def test_output_that_nobody_takes():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CURLEW, "split", "--format", "list"], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1, done
        done = subprocess.run([CURLEW, "tokenize", "--model", gguf()], input=b'{"text":"x"}\n', stdout=full,
                              stderr=subprocess.PIPE)
        assert done.returncode == 1 and b"writing the output" in done.stderr, done


if __name__ == "__main__":
    run_all(globals())
    sys.exit(0)
