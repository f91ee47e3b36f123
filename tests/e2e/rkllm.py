#!/usr/bin/env python3
"""rkllm.py - the Rockchip engine over its test double: every layout, tokens and text, limits and options."""

import json
import os
import shutil
import sys
import threading

import cli_rig
from rkllm_rig import EOS, FAKE, LAYOUTS, SCRIPT, TINY, Npu, library, run_all, until
from serve import SKIPPED, Server, text_of


def both(layout, **more):
    for tokens in True, False:
        yield Npu(layout, tokens=tokens, **more)


def ignored(reply):
    return set(filter(None, reply.headers.get("x-curlew-ignored", "").split(", ")))


def test_answers():
    """Whole, as a stream, with characters of several bytes, in every layout, with and without a tokenizer."""
    for layout in LAYOUTS:
        for server in both(layout):
            with server as s:
                for text, want in [("Hi", "Hello there!"), ("the weather?", "It rains."),
                                   ("unicode", "na\u00efve \u65e5\u672c \U0001f600!")]:
                    choice = s.say(text)
                    assert choice["message"]["content"] == want and choice["finish_reason"] == "stop", choice
                    assert text_of(list(s.stream(text=text))) == want


def test_input():
    """Token ids where there is a tokenizer and nobody says otherwise; our template, never the library's."""
    for layout in LAYOUTS:
        raw = 0 if layout == "11" else 1  # 1.1 has no template to switch off
        for tokens, flags, kind in [(True, [], 1), (False, [], 0), (True, ["--rkllm-input", "text"], 0),
                                    (True, ["--rkllm-output", "text"], 1)]:
            with Npu(layout, *flags, tokens=tokens) as s:
                assert s.say("unicode")["message"]["content"] == "na\u00efve \u65e5\u672c \U0001f600!"
                run, = s.calls("run")
                assert (run["type"], run["raw"], run["mode"]) == (kind, raw, 0), run
                init, = s.calls("init")
                assert init["path"] == os.path.join(s.files, "m.rkllm"), init
                # ids are read by us, so that special tokens matter; text is read by people
                assert init["skip_special"] == (0 if tokens and "--rkllm-output" not in flags else 1), init
    with Npu("12", "--rkllm-path", "fd") as s:
        assert s.say()["message"]["content"] == "Hello there!"
        assert s.calls("init")[0]["path"].startswith("/proc/self/fd/")


def test_library_template():
    """--rkllm-template library: the last message alone, and the library's own switch for thinking."""
    for layout in "12", "13":
        with Npu(layout, "--rkllm-template", "library", tokens=False) as s:
            talk = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "ask"}]
            assert s.post("/v1/chat/completions", {"model": "m", "messages": talk}).status == 200
            # a template that shows no system message gets it in front of the user's
            want = "<|im_start|>user\nbe kind\n\nask<|im_end|>\n<|im_start|>assistant\n"
            assert s.calls("run")[0]["n"] == len(want), s.calls("run")
            s.say("x", chat_template_kwargs={"enable_thinking": False})
            s.say("x", enable_thinking=True)
            assert [(r["raw"], r["thinking"]) for r in s.calls("run")[1:]] == [(0, 0), (0, 1)], s.calls("run")


def test_usage_and_length():
    for layout in LAYOUTS:
        for server in both(layout):
            with server as s:
                reply = s.chat(text="long", max_tokens=7).json()
                assert reply["choices"][0]["finish_reason"] == "length", reply
                assert reply["choices"][0]["message"]["content"] == "tok tok", reply  # a token is a byte
                assert reply["usage"]["completion_tokens"] == 7, reply
                run = s.calls("run")[-1]
                assert run["max"] == (7 if layout == "13" else -1), run
                reply = s.chat(text="Hi").json()
                assert reply["usage"]["completion_tokens"] == len("Hello there!"), reply
                # without a tokenizer the prompt's length is what the library says, and 1.1 and 1.2.0 do not
                known = os.path.exists(os.path.join(s.files, "tokenizer.json")) or layout in ("12", "13")
                want = s.calls("run")[-1]["n"]
                assert reply["usage"]["prompt_tokens"] == (want + (0 if layout_counts(s) else 12) if known else 0), reply
    # the context bounds the answer: nothing is ever shifted out of it
    with Npu("12", script=SCRIPT.replace("eos", "max_context_limit=96\neos"), name="m-ctx96.rkllm") as s:
        reply = s.chat(text="long").json()
        assert reply["choices"][0]["finish_reason"] == "length", reply
        assert reply["usage"]["total_tokens"] == 96, reply
        assert s.chat(text="x" * 200).status == 400


def layout_counts(server):
    """The double's word at the end of a run is the cache's length; a tokenizer of ours counts the prompt."""
    return os.path.exists(os.path.join(server.files, "tokenizer.json"))


def test_stop():
    for layout in LAYOUTS:
        for server in both(layout):
            with server as s:
                choice = s.say("stop", stop=["two"])
                assert choice["message"]["content"] == "one " and choice["finish_reason"] == "stop", choice
                assert s.say("Hi")["message"]["content"] == "Hello there!"  # the abort is over


def test_end_token():
    """Versions differ in whether they call back for the end-of-answer token: it is never text."""
    for layout in LAYOUTS:
        with Npu(layout, env={"FAKE_RKLLM_EOS": "1"}) as s:
            choice = s.say()
            assert choice["message"]["content"] == "Hello there!" and choice["finish_reason"] == "stop", choice


def test_reasoning():
    template = ("{%- for m in messages -%}<|start|>{{ m.role }}:{{ m.content }}<|end|>{%- endfor -%}"
                "<|start|>assistant:{%- if enable_thinking is defined and not enable_thinking -%}<think>\n\n</think>\n\n{%- endif -%}")
    for layout in LAYOUTS:
        with Npu(layout, template=template) as s:
            message = s.say("think")["message"]
            assert message["content"] == "four" and message["reasoning_content"].strip() == "hm", message


def test_sampling():
    """1.3 obeys a request's numbers; for others they are the operator's, and the reply says so."""
    for layout in LAYOUTS:
        with Npu(layout, "--rkllm-sampling", "top_k=7,temperature=0.5") as s:
            init, = s.calls("init")
            assert (init["top_k"], init["temperature"]) == (7, 0.5), init
            reply = s.chat(temperature=0, top_p=0.5, min_p=0.1, seed=3)
            assert reply.status == 200
            always = {"min_p", "seed"}
            assert ignored(reply) == (always if layout == "13" else always | {"temperature", "top_p"}), reply.headers
            assert s.calls("run")[-1]["top_k"] == (1 if layout == "13" else 7)
            s.chat(top_k=20)
            assert s.calls("run")[-1]["top_k"] == (20 if layout == "13" else 7)
    for bad in "heat=1", "top_k", "top_k=x":
        refused("--rkllm-sampling", bad, word="--rkllm-sampling")


def test_refused_fields():
    with Npu("13") as s:
        for more in {"logprobs": True}, {"logit_bias": {"1": 5}}, {"ignore_eos": True}:
            reply = s.chat(**more)
            assert reply.status == 400 and reply.json()["error"]["param"] in more, reply.body


def refused(*flags, word, layout="12", **more):
    """Such a server does not start and says why."""
    with Npu(layout, *flags, wait=False, **more) as s:
        assert s.process.wait(20) != 0
        assert word in s.text(), s.text()


def test_versions():
    """What is not known is refused with all that was found; the operator may insist."""
    refused(layout="odd", word="1.4.0")
    refused(layout="odd", word="1.2.0 or 1.2")
    refused("--rkllm-layout", "9", word="--rkllm-layout")
    with Npu("odd", "--rkllm-layout", "1.2") as s:
        assert s.say()["message"]["content"] == "Hello there!"
    other = os.path.join(FAKE, "nothing.so")
    refused("--rkllm-library", other, word="does not load")
    with Server("--model", __file__, "--engine", "rkllm", "--rkllm-library", "libm.so.6", "--npu-lock", "", wait=False) as s:
        assert s.process.wait(20) != 0
        assert "no function rkllm_createDefaultParam" in s.text(), s.text()


def test_models():
    """Bad files, and what names say: context, and a chip that is not this machine's."""
    refused(script="no model\n", word="invalid rkllm model!")
    refused("--npu-platform", "rk3588", name="m-w8a8-rk3576.rkllm", word="was made for rk3576, this machine is rk3588")
    refused("--npu-platform", "rk9999", word="--npu-platform")
    with Npu("12", "--npu-platform", "rk3576", name="m-ctx2048-rk3576.rkllm", script=SCRIPT.replace("eos", "npu_cores=2\neos")) as s:
        assert s.say()["message"]["content"] == "Hello there!"
        assert s.calls("init")[0]["ctx"] == 2048
    with Npu("12", name="some-ctx2048.rkllm") as s:
        assert s.calls("init")[0]["ctx"] == 2048
    with Npu("12", "--ctx", "100") as s:
        assert s.calls("init")[0]["ctx"] == 96  # multiples of 32


def test_context_limit():
    """More context than the model has: once more with what the library says, in a fresh process."""
    with Npu("12", "--ctx", "8192", script=SCRIPT.replace("eos", "max_context_limit=1024\neos")) as s:
        assert s.say()["message"]["content"] == "Hello there!"
        assert [c["ctx"] for c in s.calls("init")] == [8192, 1024]


def test_cpus():
    refused("--npu-cpus", "0x10", word="number of enabled CPUs")
    refused("--npu-cpus", "all", word="--npu-cpus")
    refused("--npu-cpus", "0x30", name="m-npu3.rkllm", word="made for 3 NPU cores and needs as many CPUs, --npu-cpus gives 2")
    refused("--npu-cpus", "0x30", "--npu-cores", "3", word="made for 3 NPU cores")
    with Npu("12", "--npu-cpus", "0x70") as s:
        assert s.say()["message"]["content"] == "Hello there!"


def test_adapters():
    for layout in LAYOUTS:
        lora = cli_rig.write("lora.rkllm", "x")
        with Npu(layout, "--rkllm-lora", lora) as s:
            assert s.say()["message"]["content"] == "[Hello there!"
        refused("--rkllm-lora", lora + "-not", layout=layout, word="Lora adapter path does not exist!")
        cache = cli_rig.write("cache.bin", "FAKE-CACHE\n")
        with Npu(layout, "--rkllm-prompt-cache", cache) as s:
            assert s.say()["message"]["content"] == "Hello there!"
            assert "prompt cache loaded" in s.text()
        refused("--rkllm-prompt-cache", cache + "-not", layout=layout, word="missing or empty")


def test_several_models():
    """Each in its own address space; loads one after the other."""
    files = cli_rig.path("several")
    os.makedirs(files, exist_ok=True)
    args = []
    for name in "a", "b":
        args += ["--model", cli_rig.write(f"several/{name}.rkllm", SCRIPT.replace("there", name))]
    trace = cli_rig.write("several/trace", "")
    for flags, want in [([], [0, 1]), (["--npu-domain", "3"], [3, 3]), (["--npu-domain", "2,0"], [0, 2])]:
        cli_rig.write("several/trace", "")
        with Server(*args, *flags, "--rkllm-library", library("12"), "--npu-lock", cli_rig.path("several/lock"),
                    "--npu-allow", trace, env={"FAKE_RKLLM_TRACE": trace}) as s:
            until("both are there", lambda: s.health()["status"] == "ok")
            for name in "a", "b":
                assert s.chat(name).json()["choices"][0]["message"]["content"] == f"Hello {name}!"
            with open(trace) as f:
                assert sorted(json.loads(line)["domain"] for line in f if "init" in line) == want


def test_reuse():
    """A conversation that goes on is sent from where it went on; another one begins anew."""
    talk = [{"role": "user", "content": "begin"}]
    script = SCRIPT.replace("answer=", "on=begin|Well.\nanswer=")

    def ask(s, messages, **more):
        reply = s.post("/v1/chat/completions", {"model": "m", "messages": messages, **more}).json()
        usage = reply["usage"]
        return reply["choices"][0]["message"], usage["prompt_tokens"], usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)

    for layout in LAYOUTS:
        for unread in {}, {"FAKE_RKLLM_UNREAD": "1"}:
            with Npu(layout, "--rkllm-reuse", script=script, env=unread) as s:
                works = layout in ("12", "13")
                first, n_first, cached = ask(s, talk)
                assert cached == 0 and first["content"] == "Well.", first
                more = talk + [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": "the weather?"}]
                second, n_second, cached = ask(s, more)
                assert second["content"] == "It rains.", second
                in_cache = n_first + len("Well.") - (1 if unread else 0)
                assert cached == (in_cache if works else 0), (layout, cached, in_cache)
                assert s.calls("run")[-1]["n"] == n_second - cached and not s.calls("clear")
                other, _, cached = ask(s, [{"role": "user", "content": "Hi"}])  # a cache left over would answer "It rains."
                assert other["content"] == "Hello there!" and cached == 0, other
                assert len(s.calls("clear")) == (1 if works else 0)
                # after an answer that was cut nothing is known about the cache
                ask(s, [{"role": "user", "content": "long"}], stop=["tok tok"])
                assert ask(s, [{"role": "user", "content": "Hi"}])[0]["content"] == "Hello there!"
    with Npu("12", "--rkllm-reuse", script=script, tokens=False) as s:
        assert s.say("Hi")["message"]["content"] == "Hello there!"
        assert s.calls("run")[0]["keep"] == 0


def test_terminal():
    """`curlew run` would share its terminal with the library: it says what to do instead."""
    status, _, err = cli_rig.command("run", "--model", cli_rig.write("t.rkllm", SCRIPT), "Hi")
    assert status == 1 and "curlew serve --model" in err, (status, err)


def test_queue():
    """One run at a time, everybody in his turn; several choices of one request, too."""
    with Npu("12", script=SCRIPT.replace("eos", "tok_ms=1\neos")) as s:
        assert [c["message"]["content"] for c in s.chat(n=3).json()["choices"]] == ["Hello there!"] * 3
        got = []

        def one():
            got.append(s.say("the weather?")["message"]["content"])

        threads = [threading.Thread(target=one) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == ["It rains."] * 12, got


def test_completions():
    for layout in LAYOUTS:
        for server in both(layout):
            with server as s:
                reply = s.post("/v1/completions", {"model": "m", "prompt": "the weather", "max_tokens": 50})
                assert reply.json()["choices"][0]["text"] == "It rains.", reply.body
                reply = s.post("/v1/completions", {"model": "m", "prompt": [1, 2], "max_tokens": 5})
                tokens = layout_counts(s)
                assert reply.status == (200 if tokens else 400), reply.body


def test_real_model():
    """The double with a real model inside gives, greedily, what the CPU engine gives for the same conversation."""
    if not TINY.exists():
        print("skipped: there is no bundled model here")
        return
    script = "FAKE-RKLLM 1\ngguf=tiny.gguf\n"
    questions = ["Tell me a story about a fox.", "What is 12 plus 30?"]
    with Server("--model", str(TINY), "--alias", "m", "--log-level", "error") as s:
        want = [s.chat(text=q, temperature=0, max_tokens=60).json()["choices"][0] for q in questions]
    folder = cli_rig.path("real")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(TINY, os.path.join(folder, "tiny.gguf"))
    model = cli_rig.write("real/curlew-tiny.rkllm", script)
    with open(TINY.parent / "recipe" / "template.jinja", encoding="utf-8") as f:
        cli_rig.write("real/chat_template.jinja", f.read())
    for layout in LAYOUTS:
        with Server("--model", model, "--alias", "m", "--ctx", "1024", "--rkllm-library", library(layout), "--npu-lock", "") as s:
            got = [s.chat(text=q, temperature=0, max_tokens=60).json()["choices"][0] for q in questions]
            assert got == want, (got, want)


if __name__ == "__main__":
    if not os.path.exists(library("12")):
        print("skipped: the fake library is not built")
        sys.exit(SKIPPED)
    run_all(dict(globals()))
