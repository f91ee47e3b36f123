"""Write the model as GGUF: qwen3 architecture, matrices as Q8_0, norms as F32.

    gguf_write.py MODEL.pt TOK.json OUT.gguf

Format: ggml/docs/gguf.md.  Q8_0: blocks of 32 weights, an f16 scale and 32 signed bytes.
"""
import os
import struct
import sys

import numpy as np

import bpe
import chat

ALIGN = 32
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9       # types of metadata values
T_F32, T_Q8_0 = 0, 8                                # types of tensors
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4             # types of tokens


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    return {U32: lambda: struct.pack("<I", v), F32: lambda: struct.pack("<f", v),
            BOOL: lambda: struct.pack("<?", v), STRING: lambda: string(v)}[kind]()


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(value(kind, i) for i in items)


def q8_0(m):
    """[rows][cols] f32 -> bytes, a block of 32 along a row after the other."""
    x = m.astype(np.float32).reshape(-1, 32)
    d = (np.abs(x).max(1) / 127).astype(np.float16)
    inv = np.where(d > 0, 1 / np.maximum(d.astype(np.float32), 1e-30), 0)
    q = np.clip(np.rint(x * inv[:, None]), -127, 127).astype(np.int8)
    out = np.empty(len(x), dtype=[("d", "<f2"), ("q", "i1", 32)])
    out["d"], out["q"] = d, q
    return out.tobytes()


def tensors(p, c):
    """(GGUF name, matrix), with the fused ones cut apart."""
    q, kv, ff = c["n_head"] * c["head_dim"], c["n_head_kv"] * c["head_dim"], c["n_ff"]
    yield "token_embd.weight", p["token_embd"]
    yield "output_norm.weight", p["output_norm"]
    for i in range(c["n_layer"]):
        m, f = p[f"{i}.qkv"], p[f"{i}.gate_up"]
        for name, t in (("attn_norm", p[f"{i}.attn_norm"]), ("attn_q", m[:q]), ("attn_k", m[q:q + kv]),
                        ("attn_v", m[q + kv:]), ("attn_q_norm", p[f"{i}.q_norm"]), ("attn_k_norm", p[f"{i}.k_norm"]),
                        ("attn_output", p[f"{i}.o"]), ("ffn_norm", p[f"{i}.ffn_norm"]), ("ffn_gate", f[:ff]),
                        ("ffn_up", f[ff:]), ("ffn_down", p[f"{i}.down"])):
            yield f"blk.{i}.{name}.weight", t


def write(path, p, c, tok, template):
    n = len(tok.tokens)
    types = [CONTROL if t in chat.CONTROL else USER_DEFINED if t in chat.SPECIALS else NORMAL for t in tok.tokens]
    meta = [
        ("general.architecture", STRING, "qwen3"), ("general.name", STRING, "curlew-tiny"),
        ("general.license", STRING, "mit"), ("general.file_type", U32, 7),
        ("general.description", STRING, "A very small model that comes with curlew"),
        ("qwen3.context_length", U32, c["n_ctx"]), ("qwen3.embedding_length", U32, c["n_embd"]),
        ("qwen3.block_count", U32, c["n_layer"]), ("qwen3.feed_forward_length", U32, c["n_ff"]),
        ("qwen3.attention.head_count", U32, c["n_head"]), ("qwen3.attention.head_count_kv", U32, c["n_head_kv"]),
        ("qwen3.attention.key_length", U32, c["head_dim"]), ("qwen3.attention.value_length", U32, c["head_dim"]),
        ("qwen3.attention.layer_norm_rms_epsilon", F32, c["eps"]), ("qwen3.rope.freq_base", F32, c["rope_base"]),
        ("qwen3.vocab_size", U32, n), ("general.quantization_version", U32, 2),
        ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tok.tokens)), ("tokenizer.ggml.token_type", ARRAY, (5, types)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, [f"{a} {b}" for a, b in tok.merges])),
        ("tokenizer.ggml.eos_token_id", U32, tok.id["<|im_end|>"]),
        ("tokenizer.ggml.padding_token_id", U32, tok.id["<|endoftext|>"]),
        ("tokenizer.ggml.bos_token_id", U32, tok.id["<|endoftext|>"]),
        ("tokenizer.ggml.add_bos_token", BOOL, False), ("tokenizer.chat_template", STRING, template)]
    head, data = b"", b""
    kv = b""
    for key, kind, v in meta:
        kv += string(key) + struct.pack("<I", kind)
        if kind == ARRAY and v[0] == 5:      # int32
            kv += struct.pack("<IQ", 5, len(v[1])) + np.array(v[1], "<i4").tobytes()
        else:
            kv += array(*v) if kind == ARRAY else value(kind, v)
    count = 0
    for name, t in tensors(p, c):
        kind = T_Q8_0 if t.ndim == 2 else T_F32
        body = q8_0(t) if kind == T_Q8_0 else t.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % ALIGN)
        head += (string(name) + struct.pack("<I", t.ndim) + struct.pack(f"<{t.ndim}Q", *t.shape[::-1])
                 + struct.pack("<IQ", kind, len(data)))
        data += body
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(meta)) + kv + head
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGN) + data)


def main():
    import torch
    import model
    s = torch.load(sys.argv[1], map_location="cpu")
    c, tok = s["config"], bpe.Tokenizer.load(sys.argv[2])
    p = {k: v.numpy() for k, v in model.views(s["p"].float(), c).items()}
    if len(tok.tokens) != c["n_vocab"]:
        raise SystemExit("the vocabulary is not the model's")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.jinja"), encoding="utf-8") as f:
        write(sys.argv[3], p, c, tok, f.read().rstrip("\n"))
    print(f"{sys.argv[3]}: {os.path.getsize(sys.argv[3])} bytes, step {s['step']}, {s['tokens']} tokens")


if __name__ == "__main__":
    main()
