"""rkllm_rig.py - a server of fake Rockchip models: the double of librkllmrt.so and files for it."""

import json
import os
import pathlib
import shutil

import cli_rig
from serve import Server, run_all, until  # noqa: F401 (run_all and until are for the tests)

# A library that crashes shall end its process with the signal, also where a sanitizer would report it instead.
os.environ.setdefault("ASAN_OPTIONS", "handle_segv=0:handle_abort=0:handle_sigbus=0")

FAKE = os.environ.get("CURLEW_FAKE", "build/tests/fake")
LAYOUTS = ["11", "120", "12", "13"]
TINY = pathlib.Path(__file__).parents[2] / "models/curlew-tiny/curlew-tiny.gguf"
EOS = cli_rig.END

SCRIPT = f"""FAKE-RKLLM 1
eos={EOS}
on=weather|It rains.
on=long|{"tok " * 400}
on=unicode|na\u00efve \u65e5\u672c \U0001f600!
on=stop|one two three
on=think|<think>\\nhm</think>\\n\\nfour
answer=Hello there!
"""


def library(layout):
    return os.path.join(FAKE, f"librkllmrt-{layout}.so")


class Npu(Server):
    """`curlew serve` of one fake model "m". tokens: a tokenizer lies beside it."""

    def __init__(self, layout="12", *flags, script=SCRIPT, tokens=True, name="m.rkllm", fail=None, template=None, env=None, **more):
        self.files = cli_rig.path(f"npu-{os.urandom(4).hex()}")
        os.makedirs(self.files)
        self.trace_file = os.path.join(self.files, "trace")
        model = os.path.join(self.files, name)
        with open(model, "w", encoding="utf-8") as f:
            f.write(script)
        if tokens:
            rel = os.path.relpath(self.files, cli_rig.folder.name)
            vocab = cli_rig.tokenizer_json(f"{rel}/tokenizer.json")
            with open(vocab, encoding="utf-8") as f:
                obj = json.load(f)
            obj["model"]["merges"] = []  # a token is a byte: the double knows no others
            cli_rig.write(vocab, json.dumps(obj))
            cli_rig.write(f"{rel}/tokenizer_config.json", json.dumps({
                "bos_token": "<|start|>", "eos_token": "<|end|>", "chat_template": template or cli_rig.TEMPLATE}))
        open(self.trace_file, "w").close()
        env = {**(env or {}), "FAKE_RKLLM_TRACE": self.trace_file}
        if fail:
            env["FAKE_RKLLM_FAIL"] = fail
        super().__init__("--model", model, "--alias", "m", "--rkllm-library", library(layout), "--npu-lock",
                         os.path.join(self.files, "lock"), "--npu-allow", self.trace_file, *flags, env=env, **more)

    def __exit__(self, *why):
        super().__exit__(*why)
        shutil.rmtree(self.files, ignore_errors=True)

    def calls(self, name):
        """What the library was asked, of that function."""
        with open(self.trace_file) as f:
            return [c for c in map(json.loads, f) if c["call"] == name]

    def say(self, text="Hi", **more):
        """The first choice of an answer."""
        reply = self.chat(text=text, **more)
        assert reply.status == 200, (reply.status, reply.body, self.text())
        return reply.json()["choices"][0]
