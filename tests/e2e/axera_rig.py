"""axera_rig.py - a server whose model is a fake child of Axera's, of any generation."""

import json
import os
import pathlib
import shutil
import socket
import tempfile

import cli_rig
from serve import Server, gone, until

FAKES = pathlib.Path(__file__).resolve().parent.parent / "fake" / "axera"

MAIN_SCRIPT = """#!/bin/bash
# one of these is in every model's folder
MODEL=qwen2.5-1.5b
./{program} --template_filename_axmodel "$MODEL/qwen2_p128_l%d_together.axmodel" \\
  --axmodel_num 28 --tokenizer_type 2 --filename_tokenizer_model "http://127.0.0.1:12345" \\
  --bos 0 --eos 0 --use_mmap_load_embed 0 --live_print 1 --continue 1 --prompt "$1"
"""
CTX_SCRIPT = """./{program} --template_filename_axmodel 'm/l%d.axmodel' --devices "0,1" \\
  --url_tokenizer_model "http://127.0.0.1:12345" --system_prompt "You are kind; be it." --kvcache_path kv \\
  --post_config_path post_config.json --prompt "$1"
"""


class Folder:
    """A model's folder with a fake program in it."""

    def __init__(self):
        self.temp = tempfile.TemporaryDirectory(prefix="curlew-axera-")
        self.path = self.temp.name
        self.log = os.path.join(self.path, "fake.log")

    def write(self, name, text):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def tokenizer(self, folder="qwen2.5_tokenizer"):
        os.makedirs(os.path.join(self.path, folder), exist_ok=True)
        shutil.copy(cli_rig.tokenizer_json(), os.path.join(self.path, folder, "tokenizer.json"))
        self.write(folder + "/tokenizer_config.json", json.dumps({
            "bos_token": "<|start|>", "eos_token": "<|end|>", "chat_template": cli_rig.TEMPLATE}))

    def program(self, fake, name):
        os.symlink(FAKES / fake, os.path.join(self.path, name))

    def notes(self, kind=None):
        """What the fake wrote down."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f if line.endswith("\n")]
        return [r for r in rows if kind is None or r[0] == kind]

    def pids(self):
        return [r[2] for r in self.notes("args")]


def console(gen=1, answers=None, options=(), wait=True, script=None, flags=(), **env):
    """(server, folder) with a console child; more of the environment as FAKE_NAME=value."""
    folder = Folder()
    program = "main_axcl_aarch64"
    folder.program("fake_main.py", program)
    folder.tokenizer()
    run = folder.write("run_m.sh", (script or (MAIN_SCRIPT if gen == 1 else CTX_SCRIPT)).format(program=program))
    given = {"FAKE_GEN": gen, "FAKE_LOG": folder.log, **env}
    if answers is not None:
        given["FAKE_ANSWERS"] = json.dumps(answers)
    words = [w for k, v in given.items() for w in ("--child", f"env={k}={v}")]
    words += [w for o in options for w in ("--child", o)]
    server = Server("--engine", "axera:" + run, "--alias", "m", *words, *flags, wait=wait)
    server.fake = folder
    return server


def all_gone(folder):
    until("no child is left", lambda: all(gone(p) for p in folder.pids()))


def words_of(env, options):
    return [w for k, v in env.items() for w in ("--child", f"env={k}={v}")] + \
           [w for o in options for w in ("--child", o)]


def axllm(answers=None, options=(), wait=True, tokenizer=True, flags=(), **env):
    """A server with an axllm child, from a folder."""
    folder = Folder()
    folder.program("fake_axllm.py", "axllm")
    if tokenizer:
        folder.tokenizer("tok")
    folder.write("config.json", json.dumps({"model_name": "fake", "url_tokenizer_model": "tok/tokenizer.json"}))
    env = {"FAKE_LOG": folder.log, **env}
    if answers is not None:
        env["FAKE_ANSWERS"] = json.dumps(answers)
    server = Server("--engine", "axera:" + folder.path, "--alias", "m", *words_of(env, options), *flags, wait=wait)
    server.fake = folder
    return server


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def api(form="generate", answers=None, options=(), wait=True, flags=(), **env):
    """A server with a main_api child."""
    folder = Folder()
    folder.program("fake_api.py", "main_api_axcl_aarch64")
    folder.tokenizer()
    run = folder.write("run_api.sh", CTX_SCRIPT.format(program="main_api_axcl_aarch64"))
    port = free_port()
    env = {"FAKE_LOG": folder.log, "FAKE_PORT": port, "FAKE_FORM": form, **env}
    if answers is not None:
        env["FAKE_ANSWERS"] = json.dumps(answers)
    server = Server("--engine", "axera:" + run, "--alias", "m",
                    *words_of(env, [*options, f"http-port={port}"]), *flags, wait=wait)
    server.fake = folder
    return server


def program(answers=None, options=(), wait=True, flags=(), tokenizer=False, text=None, **env):
    """A server with an nw1 program; text: another one than the fake."""
    folder = Folder()
    if text is None:
        folder.program("fake_nw1.py", "model.py")
    else:
        os.chmod(folder.write("model.py", text), 0o755)
    if tokenizer:
        folder.tokenizer("tok")
        options = [*options, "tokenizer=" + os.path.join(folder.path, "tok")]
    env = {"FAKE_LOG": folder.log, **env}
    if answers is not None:
        env["FAKE_ANSWERS"] = json.dumps(answers)
    server = Server("--engine", "child:" + os.path.join(folder.path, "model.py"), "--alias", "m",
                    *words_of(env, options), *flags, wait=wait)
    server.fake = folder
    return server
