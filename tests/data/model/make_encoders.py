#!/usr/bin/env python3
"""Make the small encoders beside this script, and the hidden states and scores they must give.

    make_encoders.py [name ...]     writes *.gguf and *.json here

Python's standard library only, in double precision, from the papers (BERT: arXiv:1810.04805; Nomic Embed:
arXiv:2402.01613; Jina Embeddings 2: arXiv:2310.19923; ALiBi: arXiv:2108.12409) and from the formats'
descriptions; it shares nothing with the engine. Inputs of block-quantised matrices are rounded as make_models.py tells.
"""
import json
import math
import os
import random
import struct
import sys

from make_models import HERE, TYPES, Matrix, Near, gelu, layer_norm, plus, rotate, silu, string, times, vector

CTX = 64
WORDS = ["the", "fox", "and", "mouse"]
VOCAB = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [c for c in "abcdefghijklmnopqrstuvwxyz.?"]
         + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz"] + WORDS)
BASE = {"layers": 1, "embd": 32, "ff": 32, "heads": 4, "eps": 1e-12, "theta": 0.0, "alibi": 0.0, "gated": False,
        "act": gelu, "types": 2, "fused_qkv": False, "fused_gate": False, "bias_qkv": True, "bias_o": True,
        "bias_up": True, "bias_down": True, "pooling": 1, "head": ""}


# ------------------------------------------------------------------ the pass

def slopes(n, most):
    """The paper's series, and its authors' rule for other numbers of heads than powers of two."""
    def series(k):
        return [2.0 ** (-most / k * (i + 1)) for i in range(k)]
    k = 2 ** int(math.log2(n))
    return series(n) if k == n else series(k) + series(2 * k)[0::2][:n - k]


def attention(m, b, xs):
    p = m["p"]
    n, dim = p["heads"], p["embd"] // p["heads"]
    rows = []
    for x in xs:
        if p["fused_qkv"]:
            y = plus(times(m[b + "attn_qkv.weight"], x), m.get(b + "attn_qkv.bias"))
            rows.append((y[:p["embd"]], y[p["embd"]:2 * p["embd"]], y[2 * p["embd"]:]))
        else:
            rows.append([plus(times(m[b + "attn_%s.weight" % c], x), m.get(b + "attn_%s.bias" % c)) for c in "qkv"])
    freq = [struct.unpack("<f", struct.pack("<f", p["theta"] ** (-2 * i / dim)))[0] for i in range(dim // 2)] \
        if p["theta"] else []
    slope = slopes(n, p["alibi"]) if p["alibi"] else [0] * n
    out = [[] for _ in xs]
    for h in range(n):
        part = [[list(v[h * dim:(h + 1) * dim]) for v in row] for row in rows]
        for i, row in enumerate(part):
            if freq:
                row[0], row[1] = (rotate(v, i, (freq, 1), True) for v in row[:2])
        for i, row in enumerate(part):
            s = [sum(a * c for a, c in zip(row[0], other[1])) / math.sqrt(dim) - slope[h] * abs(i - j)
                 for j, other in enumerate(part)]
            top = max(s)
            w = [math.exp(v - top) for v in s]
            out[i] += [sum(a * other[2][d] for a, other in zip(w, part)) / sum(w) for d in range(dim)]
    return [plus(times(m[b + "attn_output.weight"], x), m.get(b + "attn_output.bias")) for x in out]


def feed_forward(m, b, x):
    p = m["p"]
    up = plus(times(m[b + "ffn_up.weight"], x), m.get(b + "ffn_up.bias"))
    if p["fused_gate"]:
        gate, up = up[:p["ff"]], up[p["ff"]:]
    elif p["gated"]:
        gate = times(m[b + "ffn_gate.weight"], x)
    if p["gated"]:
        h = [p["act"](g) * u for g, u in zip(gate, up)]
    else:
        h = [p["act"](u) for u in up]
    return plus(times(m[b + "ffn_down.weight"], h), m.get(b + "ffn_down.bias"))


def normed(m, name, x):
    return layer_norm(x, m[name + ".weight"], m[name + ".bias"], m["p"]["eps"])


def states(m, tokens, n_first):
    p = m["p"]
    xs = []
    for i, t in enumerate(tokens):
        x = m["token_embd.weight"].w[t]
        if p["types"]:
            x = plus(x, m["token_types.weight"].w[1 if n_first and i >= n_first and p["types"] > 1 else 0])
        if "position_embd.weight" in m:
            x = plus(x, m["position_embd.weight"].w[i])
        xs.append(normed(m, "token_embd_norm", x))
    for l in range(p["layers"]):
        b = "blk.%d." % l
        xs = [normed(m, b + "attn_output_norm", plus(x, y)) for x, y in zip(xs, attention(m, b, xs))]
        xs = [normed(m, b + "layer_output_norm", plus(x, feed_forward(m, b, x))) for x in xs]
    return xs


def score(m, state):
    """The head works in full precision: its inputs are not rounded."""
    def full(name, x):
        return plus([sum(a * b for a, b in zip(row, x)) for row in m[name + ".weight"].w], m.get(name + ".bias"))
    if m["p"]["head"] == "two":
        return full("cls.output", [math.tanh(v) for v in full("cls", state)])[0]
    return full("cls", state)[0]


# ------------------------------------------------------------------ files

def model(seed, p, typ):
    rng = random.Random(seed)
    d, ff = p["embd"], p["ff"]
    kinds = typ if isinstance(typ, list) else [typ] * 7
    m = {"p": p, "token_embd.weight": Matrix(rng, kinds[0], len(VOCAB), d, 0.5)}

    def matrix(name, kind, rows, cols, bias, size=0.2):
        m[name + ".weight"] = Matrix(rng, kind, rows, cols, size)
        if bias:
            m[name + ".bias"] = vector(rng, rows, 0)

    def norm(name):
        m[name + ".weight"], m[name + ".bias"] = vector(rng, d, 1), vector(rng, d, 0)

    if p["types"]:
        m["token_types.weight"] = Matrix(rng, "F32", p["types"], d, 0.3)
    if not p["theta"] and not p["alibi"]:
        m["position_embd.weight"] = Matrix(rng, "F32", CTX, d, 0.3)
    norm("token_embd_norm")
    for l in range(p["layers"]):
        b = "blk.%d." % l
        if p["fused_qkv"]:
            matrix(b + "attn_qkv", kinds[0], 3 * d, d, p["bias_qkv"])
        else:
            for c, kind in zip("qkv", kinds):
                matrix(b + "attn_" + c, kind, d, d, p["bias_qkv"])
        matrix(b + "attn_output", kinds[3], d, d, p["bias_o"])
        norm(b + "attn_output_norm")
        if p["gated"] and not p["fused_gate"]:
            matrix(b + "ffn_gate", kinds[4], ff, d, False)
        matrix(b + "ffn_up", kinds[5], ff * (2 if p["fused_gate"] else 1), d, p["bias_up"])
        matrix(b + "ffn_down", kinds[6], d, ff, p["bias_down"])
        norm(b + "layer_output_norm")
    if p["head"] == "two":
        matrix("cls", "F32", d, d, True)
        matrix("cls.output", "F32", 1, d, True, 1)
    elif p["head"] == "one":
        matrix("cls", "F16", 1, d, False, 1)
    return m


def token_text(word):
    """As files have them: a word's beginning is marked, not its continuation."""
    if word.startswith("["):
        return word
    return word[2:] if word.startswith("##") else "\u2581" + word


def packed(key, kind, val):
    num, fmt = {"u32": (4, "<I"), "f32": (6, "<f"), "bool": (7, "<?"), "str": (8, None)}[kind]
    return string(key) + struct.pack("<I", num) + (struct.pack(fmt, val) if fmt else
                                                   struct.pack("<Q", len(val.encode())) + val.encode())


def write(path, m):
    p, a = m["p"], m["p"]["arch"] + "."
    kv = [packed("general.architecture", "str", p["arch"]), packed(a + "block_count", "u32", p["layers"]),
          packed(a + "context_length", "u32", CTX), packed(a + "embedding_length", "u32", p["embd"]),
          packed(a + "feed_forward_length", "u32", p["ff"]), packed(a + "attention.head_count", "u32", p["heads"]),
          packed(a + "attention.layer_norm_epsilon", "f32", p["eps"]), packed(a + "attention.causal", "bool", False),
          packed(a + "pooling_type", "u32", p["pooling"]), packed("tokenizer.ggml.model", "str", "bert"),
          packed("tokenizer.ggml.cls_token_id", "u32", 2), packed("tokenizer.ggml.seperator_token_id", "u32", 3),
          packed("tokenizer.ggml.unknown_token_id", "u32", 1), packed("tokenizer.ggml.padding_token_id", "u32", 0)]
    if p["types"]:
        kv.append(packed("tokenizer.ggml.token_type_count", "u32", p["types"]))
    if p["theta"]:
        kv.append(packed(a + "rope.freq_base", "f32", p["theta"]))
    kv.append(string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(VOCAB)) + b"".join(
        struct.pack("<Q", len(token_text(w).encode())) + token_text(w).encode() for w in VOCAB))
    infos, data = b"", b""
    names = [k for k in m if k != "p"]
    for name in names:
        t = m[name]
        data += b"\0" * (-len(data) % 32)
        dims, typ, raw = ((t.cols, t.rows), t.typ, t.bytes) if isinstance(t, Matrix) else \
                         ((len(t),), "F32", struct.pack("<%df" % len(t), *t))
        infos += string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        infos += struct.pack("<IQ", TYPES[typ][0], len(data))
        data += raw
    out = b"GGUF" + struct.pack("<IQQ", 3, len(names), len(kv)) + b"".join(kv) + infos
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32) + data)


def params(arch, **more):
    return dict(BASE, arch=arch, **more)


BLOCKS = ["Q8_0", "Q4_0", "Q5_0", "Q8_0", "Q8_0", "Q4_0", "Q8_0"]
HALF = ["F16", "BF16", "F16", "BF16", "F16", "BF16", "F16"]
MODELS = {
    # sizes that are no multiple of anything
    "bert-f32": (params("bert", layers=2, embd=36, ff=50, heads=3), "F32"),
    # a ranking head; pairs in two segments
    "bert-rank": (params("bert", pooling=4, head="two"), BLOCKS),
    # one matrix for q, k and v; rotation; SwiGLU; no biases
    "nomic-bert-half": (params("nomic-bert", layers=2, theta=1000.0, gated=True, act=silu, fused_qkv=True, bias_qkv=False,
                               bias_o=False, bias_up=False, bias_down=False), HALF),
    # ALiBi of a number of heads that is no power of two; GEGLU, as one matrix in the second file, which has one
    # kind of segments and a head of one matrix
    "jina-bert-v2-f32": (params("jina-bert-v2", layers=2, embd=24, heads=6, alibi=8.0, gated=True, bias_up=False), "F32"),
    "jina-bert-v2-rank": (params("jina-bert-v2", alibi=8.0, gated=True, fused_gate=True, bias_up=False, types=1,
                                 pooling=4, head="one"), "F16"),
}


def texts(p, kinds):
    """Tokens, and how many are the first segment's. Blocks: few tokens, or none of the seeds is far from ties."""
    rng = random.Random(7)
    long = 6 if kinds is BLOCKS else 45
    out = [([2, 40, 7, 3], 0), ([2] + [rng.randrange(5, len(VOCAB)) for _ in range(long)] + [3], 0), ([2], 0)]
    if p["head"]:
        out.append(([2, 9, 30, 3, 11, 61, 3], 4))
    return out


def main():
    for name in sys.argv[1:] or MODELS:
        p, kinds = MODELS[name]
        for seed in range(1, 5000):
            m = model(seed, p, kinds)
            try:
                rows = [states(m, tokens, n_first) for tokens, n_first in texts(p, kinds)]
            except Near:
                continue
            break
        else:
            raise SystemExit("no seed for " + name)
        write(os.path.join(HERE, name + ".gguf"), m)
        out = []
        for (tokens, n_first), xs in zip(texts(p, kinds), rows):
            t = {"tokens": tokens, "n_first": n_first}
            if p["head"]:
                t["score"] = float("%.8g" % score(m, xs[0]))
            t["states"] = [[float("%.7g" % v) for v in x] for x in xs]
            out.append(json.dumps(t))
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            f.write('{"seed": %d, "pooling": %d, "texts": [\n%s]}\n' % (seed, p["pooling"], ",\n".join(out)))
        print(name, "seed", seed)


if __name__ == "__main__":
    main()
