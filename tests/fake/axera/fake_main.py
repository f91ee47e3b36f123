#!/usr/bin/env python3
"""fake_main.py - a child as Axera's console programs are (generations 1 and 2), without an NPU.

Told by its arguments like the real one; its "model" is a list of answers. Prompts and answers are ids of the small
vocabulary of tests/e2e/cli_rig.py: bytes, a few merges, <|start|> 261, <|end|> 262. What goes wrong is told by the
environment:

    FAKE_ANSWERS  [[needle, answer], ...] as JSON: the first needle in the prompt's text decides; the answer is text,
                  or a list of ids
    FAKE_GEN      1 (each line a conversation) or 2 (keeps one; /get_uid, /reset, diff)
    FAKE_MS       milliseconds for each token
    FAKE_CTX, FAKE_PROMPT     max_token_len and the prefill limit that it prints and has
    FAKE_LOG      a file: what came in, a line each, for the test to look at
    FAKE_EOS_KV   1: generation 2 counts the end of text among what it holds
    FAKE_NO_EMPTY_RESET       1: an empty list of ids in the answer to /reset ends it
    FAKE_OLD_RESET            1: GET /reset?uid= as the first builds of generation 2 do
    FAKE_FAIL     init        ends with 255 after lines about the card
                  init-once:FILE   the same, the first time only
                  never       never ready
                  crash:N     abort at the N-th token of an answer to a prompt with "crash" in it
                  hang:N      silence there, SIGINT is ignored
                  deaf:N      goes on for ever and SIGINT is ignored, for a prompt with "deaf" in it
                  garbage     bytes that are no text on the terminal, all the time
                  markers     lines that look like prompts and ends, all the time
                  total       the total differs from the chunks
"""

import json
import os
import select
import signal
import sys
import time
import urllib.error
import urllib.request

ENV = os.environ.get
GEN = int(ENV("FAKE_GEN", "1"))
CTX = int(ENV("FAKE_CTX", "1023"))
PROMPT = int(ENV("FAKE_PROMPT", "128"))
MS = float(ENV("FAKE_MS", "0")) / 1000
FAIL, _, FAIL_ARG = ENV("FAKE_FAIL", "").partition(":")
START, END = 261, 262
MERGED = {256: b"he", 257: b"ll", 258: b"hell", 259: b"hello", 260: b" w", START: b"<s>", END: b"<e>"}

stopped = False


def note(*what):
    if ENV("FAKE_LOG"):
        with open(ENV("FAKE_LOG"), "a", encoding="utf-8") as f:
            f.write(json.dumps(what) + "\n")


def out(text):
    os.write(1, text if isinstance(text, bytes) else text.encode())


def log(where, text, level="I"):
    color = {"I": 32, "N": 33, "E": 31}[level]
    out(f"\x1b[1;30;{color}m[{level}][{where:>16}][ 130]: {text}\x1b[0m\n")


def ask(url, path, body=None):
    """A question to the tokenizer; one second, then the child is at its end, as the real one's client is."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=10 if GEN == 2 else 1) as r:
            return json.loads(r.read())
    except urllib.error.HTTPError as e:
        return json.loads(e.read())
    except OSError as e:
        log("Tokenizer", f"error {path} {e}", "E")
        os.abort()


def bytes_of(ids):
    return b"".join(bytes([i]) if i < 256 else MERGED.get(i, b"?") for i in ids)


def answer_to(ids):
    text = bytes_of(ids).decode("utf-8", "replace")
    for needle, answer in json.loads(ENV("FAKE_ANSWERS", '[["", "short"]]')):
        if needle in text:
            return (list(answer.encode()) if isinstance(answer, str) else answer), text
    return [], text


class Child:
    def __init__(self, args):
        self.url = args.get("--url_tokenizer_model") or args.get("--filename_tokenizer_model")
        self.marker = ">> " if GEN == 1 else "prompt >> "
        self.uid = None
        self.kv = []

    def start(self):
        log("Init", "LLM init start")
        for i in range(4):
            out(f"\r {i * 25} % tokenizer init ok")
        out("\n")
        once = FAIL == "init-once" and not os.path.exists(FAIL_ARG)
        if FAIL == "init" or once:
            if once:
                open(FAIL_ARG, "w").close()
            log("Init", "Set AXCL device failed{0x80300186}", "E")
            sys.exit(255)
        if GEN == 2:
            self.uid = ask(self.url, "/get_uid")["uid"]
            out(f"connect {self.url} ok\nuid: {self.uid}\n")
        tail = f"?uid={self.uid}" if self.uid else ""
        bos, self.eos = ask(self.url, "/bos_id" + tail)["bos_id"], ask(self.url, "/eos_id" + tail)["eos_id"]
        out(f"bos_id: {bos}, eos_id: {self.eos}\n")
        log("Init", f"max_token_len : {CTX}")
        log("Init", f"prefill_token_num : {PROMPT}" if GEN == 1 else f"prefill_max_token_num : {PROMPT}")
        if FAIL == "never":
            time.sleep(1000)
        if GEN == 2:
            self.reset()
        log("Init", "LLM init ok")
        out('Type "q" to exit, Ctrl+c to stop current running\n')

    def reset(self):
        if ENV("FAKE_OLD_RESET"):
            ask(self.url, f"/reset?uid={self.uid}")
            self.kv = []
            return
        self.kv = ask(self.url, "/reset", {"uid": self.uid, "system_prompt": ""})["token_ids"]
        if ENV("FAKE_NO_EMPTY_RESET") and not self.kv:
            log("Reset", "error: empty system prompt", "E")
            sys.exit(255)
        note("reset", self.kv)

    def decode(self, ids):
        body = {"token_ids": ids}
        if self.uid:
            body["uid"] = self.uid
        out(ask(self.url, "/decode", body)["text"])
        if FAIL == "garbage":
            out(b"\xff\xfe\x00\x1b[\x9b\xc3\xc3\r")
        if FAIL == "markers":
            out("\nprompt >> no\n>> neither\n[N][Run][1]: hit eos,avg 1 token/s\n")

    def run(self, line):
        global stopped
        body = {"text": line, "img_prompt": False}
        if self.uid:
            body["uid"] = self.uid
        got = ask(self.url, "/encode", body)
        stopped = False  # a SIGINT before this is lost
        ids = got["token_ids"]
        new = got["diff"] if GEN == 2 else ids
        held = self.kv + new if GEN == 2 else ids
        note("run", line, held, new)
        if len(new) > PROMPT or not new:
            log("Run", f"input_ids({len(new)}) > prefill_token_num({PROMPT})", "E")
            os.abort()
        answer, text = answer_to(held)
        special = FAIL in text and FAIL in ("crash", "hang", "deaf")
        log("Run", "ttft: 125.02 ms")
        made, chunk, i = [], [], 0
        while i < len(answer) or (special and FAIL == "deaf"):
            if special and FAIL != "deaf" and i == int(FAIL_ARG):
                if FAIL == "crash":
                    log("Run", "error: the NPU is on fire", "E")
                    os.abort()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                time.sleep(1000)
            if stopped and not (special and FAIL == "deaf"):
                made.append(7)  # it leaves half-way through the layers and still samples one
                break
            if len(held) + len(made) >= CTX:
                break
            if answer[i % len(answer)] == self.eos and i > 0:
                break
            made.append(answer[i % len(answer)])
            chunk.append(made[-1])
            if len(chunk) == 3:
                self.decode(chunk)
                chunk = []
            i += 1
            if MS:
                time.sleep(MS)
        if chunk and not stopped:
            self.decode(chunk)
        out("\n\n")
        out("[N][Run][1]: hit eos,avg 29.29 token/s\n")  # also after a stop: never a reason
        self.decode([1, 2, 3, 4, 5] if FAIL == "total" else made)
        if GEN == 2:
            self.kv = held + made + ([self.eos] if ENV("FAKE_EOS_KV") and not stopped else [])
            log("Run", f"GetKVCache precompute_len:{len(self.kv)}, remaining:{CTX - len(self.kv)}")
        out("\n")

    def loop(self):
        rest = b""
        while True:
            out(self.marker)
            while b"\n" not in rest:
                select.select([0], [], [])
                more = os.read(0, 4096)
                if not more:
                    time.sleep(0.01)  # the real one prints markers for ever
                rest += more
            line, rest = rest.split(b"\n", 1)
            line = line.decode("utf-8", "replace")
            note("line", line)
            if line == "q":
                sys.exit(0)
            if not line:
                continue
            if GEN == 2 and line == "reset":
                self.reset()
                continue
            self.run(line)


def on_int(_sig, _frame):
    global stopped
    stopped = True


def arguments(words):
    """--name value pairs; a lone --name counts as "1"."""
    found, i = {}, 0
    while i < len(words):
        value = words[i + 1] if i + 1 < len(words) and not words[i + 1].startswith("--") else "1"
        found[words[i]] = value
        i += 1 + (i + 1 < len(words) and not words[i + 1].startswith("--"))
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, on_int)
    note("args", sys.argv[1:], os.getpid(), os.getcwd(), os.isatty(0))
    child = Child(arguments(sys.argv[1:]))
    child.start()
    child.loop()
