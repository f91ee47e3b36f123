"""cli_rig.py - run a command of curlew, and make the smallest files that it can read."""

import json
import os
import struct
import subprocess
import tempfile

from serve import CURLEW, PATIENCE

folder = tempfile.TemporaryDirectory(prefix="curlew-cli-")


def path(name):
    return os.path.join(folder.name, name)


def write(name, text):
    """A file of the test's own; its path."""
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path(name)


def command(*args, stdin=b"", env=None):
    """Exit status, stdout and stderr of `curlew args`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CURLEW_")}
    done = subprocess.run([CURLEW, *args], input=stdin, capture_output=True, timeout=PATIENCE,
                          cwd=folder.name, env={**clean, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lines(*args, given):
    """The answers to objects (or texts, as they are) given one a line."""
    text = "".join((g if isinstance(g, str) else json.dumps(g)) + "\n" for g in given)
    status, out, err = command(*args, stdin=text.encode())
    assert status == 0, (status, err)
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(given), f"{len(given)} lines, {len(answers)} answers"
    return answers


# --- a vocabulary small enough to know by heart: the 256 bytes, five merges, two special tokens ---

def byte_chars():
    """How byte-level vocabularies write bytes: printable ones as they are, the others from U+0100 on."""
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    table, extra = {}, 0
    for b in range(256):
        table[b] = chr(b) if b in shown else chr(256 + extra)
        extra += b not in shown
    return [table[b] for b in range(256)]


BYTES = byte_chars()
SPACE = BYTES[0x20]
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), (SPACE, "w")]
TOKENS = BYTES + [a + b for a, b in MERGES] + ["<|start|>", "<|end|>"]
HELL, HELLO, SPACE_W, START, END = 258, 259, 260, 261, 262

# text, its ids, its ids when names of special tokens count: by hand from the merges
VECTORS = [
    ("hello", [HELLO], [HELLO]),
    ("hello hell", [HELLO, 0x20, HELL], [HELLO, 0x20, HELL]),
    ("he wb", [256, SPACE_W, ord("b")], [256, SPACE_W, ord("b")]),
    ("\u00e9\n", [0xc3, 0xa9, 0x0a], [0xc3, 0xa9, 0x0a]),
    ("a<|end|>", [ord(c) for c in "a<|end|>"], [ord("a"), END]),
    ("", [], []),
]

TEMPLATE = (
    "{%- if messages[0].role != 'system' and messages|length > 1 and messages[1].role == 'system' -%}"
    "{{ raise_exception('system comes first') }}{%- endif -%}"
    "{% for m in messages %}{{ bos_token }}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token }}assistant:{% endif %}")


def tokenizer_json(name="tokenizer.json"):
    special = [{"id": i, "content": TOKENS[i], "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i in (START, END)]
    return write(name, json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(TOKENS) if i < START},
                  "merges": [" ".join(m) for m in MERGES]}}))


def gguf_text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def gguf_value(v):
    if isinstance(v, bool):
        return 7, struct.pack("<B", v)
    if isinstance(v, int):
        return 4, struct.pack("<I", v)
    if isinstance(v, (str, bytes)):
        return 8, gguf_text(v)
    kind = gguf_value(v[0])[0]
    return 9, struct.pack("<IQ", kind, len(v)) + b"".join(gguf_value(x)[1] for x in v)


def gguf(name="vocab.gguf", **more):
    """A GGUF without tensors: the same vocabulary."""
    meta = {
        "general.architecture": "llama", "general.name": "small one", "llama.context_length": 77,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [1] * START + [3, 3],
        "tokenizer.ggml.merges": [" ".join(m) for m in MERGES],
        "tokenizer.ggml.bos_token_id": START, "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.add_bos_token": False, "tokenizer.chat_template": TEMPLATE, **more,
    }
    body = b""
    for key, value in meta.items():
        kind, data = gguf_value(value)
        body += gguf_text(key) + struct.pack("<I", kind) + data
    return write(name, b"GGUF" + struct.pack("<IQQ", 3, 0, len(meta)) + body)
