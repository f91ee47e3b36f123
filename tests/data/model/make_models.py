#!/usr/bin/env python3
"""Make the small model files beside this script, and the logits they must give.

    make_models.py [name ...]     writes *.gguf and *.json here

Python's standard library only. The forward pass below is written from the papers and from the formats'
descriptions, in double precision, and shares nothing with the engine. It follows the engine's definition where
that is part of the answer: inputs of block-quantised matrices are rounded to 8 bits by blocks of 32 (scale
amax / 127, ties to even), keys and values are kept as f16, or (kv_q8) in 8 bits by blocks of 32 with the scale
amax / 127 rounded to f16, and then queries are rounded as inputs are. Near a tie, f32 and double precision could round
apart; so a seed is looked for with which no value comes near one, and then all logits agree to f32 precision.
"""
import json
import math
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# name: number in the file, elements and bytes of a block
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
         "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210),
         "BF16": (30, 1, 2), "MXFP4": (39, 32, 17)}
BLOCK_INPUTS = {"Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q6_K", "MXFP4"}  # types with kernels on 8-bit inputs

TIE_Q8 = 3e-4   # steps: f32 errors of x * 127 / amax are below 127 * 2^-20
TIE_F16 = 2e-3  # units in the last place of f16: f32 errors are below 2^-20 of the value


def f16(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16_bytes(x):
    return struct.pack("<f", x)[2:4]


# ------------------------------------------------------------------ weights

def block(rng, typ, size):
    """Bytes of one block of weights of about `size`, and their values."""
    h = lambda x: struct.pack("<e", x)
    if typ == "F32":
        b = struct.pack("<f", rng.gauss(0, size))
        return b, [struct.unpack("<f", b)[0]]
    if typ == "F16":
        b = h(rng.gauss(0, size))
        return b, [struct.unpack("<e", b)[0]]
    if typ == "BF16":
        b = bf16_bytes(rng.gauss(0, size))
        return b, [struct.unpack("<f", b"\0\0" + b)[0]]
    if typ == "Q8_0":
        d, q = f16(size / 64), rng.randbytes(32)
        return h(d) + q, [d * (c - 256 if c > 127 else c) for c in q]
    if typ in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        five, least = typ[1] == "5", typ[3] == "1"
        d, q, high = f16(size / (8 if five else 4)), rng.randbytes(16), rng.getrandbits(32)
        m = f16(-size * 2) if least else 0
        u = [q[i] & 15 for i in range(16)] + [q[i] >> 4 for i in range(16)]
        if five:
            u = [v | (high >> i & 1) << 4 for i, v in enumerate(u)]
        zero = 0 if least else (16 if five else 8)
        head = h(d) + (h(m) if least else b"") + (struct.pack("<I", high) if five else b"")
        return head + q, [d * (v - zero) + m for v in u]
    if typ == "Q4_K":
        d, m = f16(size / 8 / 32), f16(size / 32)
        sc, mn = [rng.randrange(64) for _ in range(8)], [rng.randrange(64) for _ in range(8)]
        k = bytes([sc[i] | (sc[i + 4] >> 4) << 6 for i in range(4)] + [mn[i] | (mn[i + 4] >> 4) << 6 for i in range(4)]
                  + [(sc[i + 4] & 15) | (mn[i + 4] & 15) << 4 for i in range(4)])
        q = rng.randbytes(128)
        out = []
        for j in range(256):
            s, l = j // 32, j % 32
            v = q[32 * (s // 2) + l] >> (4 * (s & 1)) & 15
            out.append(d * sc[s] * v - m * mn[s])
        return h(d) + h(m) + k + q, out
    if typ == "Q6_K":
        d, low, high = f16(size / 32 / 64), rng.randbytes(128), rng.randbytes(64)
        sc = [rng.randrange(-128, 128) for _ in range(16)]
        out = []
        for j in range(256):
            half, k = j // 128, j % 128
            lo = low[64 * half + k % 64] >> (4 * (k // 64)) & 15
            hi = high[32 * half + k % 32] >> (2 * (k // 32)) & 3
            out.append(d * sc[j // 16] * ((lo | hi << 4) - 32))
        return low + high + struct.pack("<16b", *sc) + h(d), out
    if typ == "MXFP4":
        e, q = 127 + round(math.log2(size / 3)) + rng.randrange(2), rng.randbytes(16)
        e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
        value = lambda c: (-1 if c & 8 else 1) * e2m1[c & 7] * 2.0 ** (e - 127)
        return bytes([e]) + q, [value(c & 15) for c in q] + [value(c >> 4) for c in q]
    raise ValueError(typ)


class Matrix:
    """rows x cols, with the bytes of the file."""

    def __init__(self, rng, typ, rows, cols, size):
        assert cols % TYPES[typ][1] == 0, (typ, cols)
        self.typ, self.rows, self.cols, self.bytes, self.w = typ, rows, cols, b"", []
        for _ in range(rows):
            row = []
            while len(row) < cols:
                b, v = block(rng, typ, size)
                self.bytes += b
                row += v
            self.w.append(row)


# ------------------------------------------------------------------ the pass

class Near(Exception):
    """A value lies too near to a tie."""


def quantised(x):
    out = []
    for i in range(0, len(x), 32):
        b = x[i:i + 32]
        amax = max(abs(v) for v in b)
        for v in b:
            s = v * 127 / amax
            if abs(abs(s - math.floor(s)) - 0.5) < TIE_Q8:
                raise Near
            out.append(round(s) * (amax / 127))
    return out


def kept(x):
    """As the KV cache keeps it."""
    for v in x:
        ulp = 2.0 ** (max(math.frexp(v)[1], -13) - 11)
        s = v / ulp
        if abs(abs(s - math.floor(s)) - 0.5) < TIE_F16:
            raise Near
    return [f16(v) for v in x]


def kept_q8(x):
    """The same where the cache is Q8_0."""
    out = []
    for i in range(0, len(x), 32):
        d, = kept([max(abs(v) for v in x[i:i + 32]) / 127])
        for v in x[i:i + 32]:
            s = v / d
            if abs(abs(s - math.floor(s)) - 0.5) < TIE_Q8:
                raise Near
            out.append(max(-127, min(127, round(s))) * d)
    return out


def times(m, x):
    if m.typ in BLOCK_INPUTS:
        x = quantised(x)
    return [sum(a * b for a, b in zip(row, x)) for row in m.w]


def rms_norm(x, w, eps):
    s = 1 / math.sqrt(sum(v * v for v in x) / len(x) + eps)
    return [v * s * g for v, g in zip(x, w)]


def layer_norm(x, w, b, eps):
    mean = sum(x) / len(x)
    s = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + eps)
    return [(v - mean) * s * g + c for v, g, c in zip(x, w, b)]


def norm(m, name, x):
    w, b, eps = m[name + ".weight"], m.get(name + ".bias"), m["p"]["eps"]
    return layer_norm(x, w, b, eps) if b else rms_norm(x, w, eps)


def rotate(x, pos, rope, neox):
    freq, mag = rope
    n, x = len(freq) * 2, list(x)
    for i, f in enumerate(freq):
        a, b = (i, i + n // 2) if neox else (2 * i, 2 * i + 1)
        c, s = math.cos(pos * f) * mag, math.sin(pos * f) * mag
        x[a], x[b] = x[a] * c - x[b] * s, x[a] * s + x[b] * c
    return x


def rope_of(p):
    """Radians a position of each pair, and the factor of what is rotated."""
    n, freq, mag = p["rot"], [], p["attn_factor"] or 1
    for i in range(n // 2):
        f = p["theta"] ** (-2 * i / n)
        if p["factors"]:
            f /= p["factors"][i]
        if p["scaling"] == "linear":
            f /= p["factor"]
        if p["scaling"] == "yarn":
            # turns of a pair within the old context; 32 and more stay, 1 and less are scaled; the ramp is in pairs
            pair = lambda turns: n * math.log(p["ctx_orig"] / (2 * math.pi * turns)) / (2 * math.log(p["theta"]))
            lo, hi = max(0, math.floor(pair(32))), min(n - 1, math.ceil(pair(1)))
            stay = 1 - min(1, max(0, (i - lo) / max(hi - lo, 0.001)))
            f = f * stay + f / p["factor"] * (1 - stay)
        freq.append(f32(f))
    if p["scaling"] == "yarn":
        mag *= 1 + 0.1 * math.log(p["factor"])
    if p["scaling"] == "longrope" and not p["attn_factor"]:
        mag = math.sqrt(1 + math.log(CTX / p["ctx_orig"]) / math.log(p["ctx_orig"]))
    return freq, mag


def gelu(v):
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3)))


def silu(v):
    return v / (1 + math.exp(-v))


def capped(v, cap):
    return cap * math.tanh(v / cap) if cap else v


def plus(x, y):
    return [a + b for a, b in zip(x, y)] if y else x


def part(m, name, rows):
    """Some rows of a matrix."""
    t = Matrix.__new__(Matrix)
    t.typ, t.w = m[name].typ, m[name].w[rows]
    return t


def queries_keys_values(m, b, h):
    p = m["p"]
    q, k = p["heads"] * p["head_dim"], p["kv_heads"] * p["head_dim"]
    if b + "attn_qkv.weight" in m:
        y = plus(times(m[b + "attn_qkv.weight"], h), m.get(b + "attn_qkv.bias"))
        return y[:q], y[q:q + k], y[q + k:]
    return [plus(times(m[b + "attn_%s.weight" % c], h), m.get(b + "attn_%s.bias" % c)) for c in "qkv"]


def attention(m, i, x, pos, cache):
    """One token through the attention of layer i."""
    p, b = m["p"], "blk.%d." % i
    hd, group = p["head_dim"], p["heads"] // p["kv_heads"]
    keep = (lambda v: v) if p["kv_f32"] else kept_q8 if p["kv_q8"] else kept
    windowed = p["window"] and not (p["full_every"] and (i + 1) % p["full_every"] == 0)
    if not p["theta"] or (p["nope_every"] and (i + 1) % p["nope_every"] == 0):
        rope = [], 1
    elif windowed and p["theta_swa"]:
        rope = [f32(p["theta_swa"] ** (-2 * j / p["rot"])) for j in range(p["rot"] // 2)], 1
    else:
        rope = rope_of(p)
    q, k, v = ([y[j:j + hd] for j in range(0, len(y), hd)] for y in queries_keys_values(m, b, norm(m, b + "attn_norm", x)))
    if b + "attn_q_norm.weight" in m:
        q = [norm(m, b + "attn_q_norm", y) for y in q]
        k = [norm(m, b + "attn_k_norm", y) for y in k]
    q = [rotate(y, pos, rope, p["neox"]) for y in q]
    if p["kv_q8"]:
        q = [quantised(y) for y in q]
    cache[0].append([keep(rotate(y, pos, rope, p["neox"])) for y in k])
    cache[1].append([keep(y) for y in v])
    first = max(0, pos + 1 - p["window"]) if windowed else 0
    out = []
    for j, y in enumerate(q):
        scale = p["attn_scale"] or 1 / math.sqrt(hd)
        s = [capped(sum(a * c for a, c in zip(y, kk[j // group])) * scale, p["attn_cap"]) for kk in cache[0][first:]]
        sink = [m[b + "attn_sinks.weight"][j]] if b + "attn_sinks.weight" in m else []
        e = [math.exp(z - max(s + sink)) for z in s + sink]
        out += [sum(w * vv[j // group][c] for w, vv in zip(e, cache[1][first:])) / sum(e) for c in range(hd)]
    return plus(times(m[b + "attn_output.weight"], out), m.get(b + "attn_output.bias"))


def experts(m, b, h):
    p, n = m["p"], m["p"]["ff"]
    score = plus(times(m[b + "ffn_gate_inp.weight"], h), m.get(b + "ffn_gate_inp.bias"))
    best = sorted(range(p["experts"]), key=lambda x: -score[x])[:p["used"]]
    if score[best[-1]] - sorted(score)[-p["used"] - 1] < 1e-3:
        raise Near
    total, out = sum(math.exp(score[x]) for x in best), [0.0] * p["embd"]
    for x in best:
        def product(name, y, rows):
            z = times(part(m, b + name + ".weight", slice(x * rows, (x + 1) * rows)), y)
            bias = m.get(b + name + ".bias")
            return plus(z, bias and bias[x * rows:(x + 1) * rows])
        g, u = product("ffn_gate_exps", h, n), product("ffn_up_exps", h, n)
        if p["arch"] == "gpt-oss":
            g, u = [min(v, 7) for v in g], [min(max(v, -7), 7) for v in u]
            a = [v / (1 + math.exp(-1.702 * v)) * (w + 1) for v, w in zip(g, u)]
        else:
            a = [silu(v) * w for v, w in zip(g, u)]
        y = product("ffn_down_exps", a, p["embd"])
        out = [o + math.exp(score[x]) / total * v for o, v in zip(out, y)]
    return out


def feed_forward(m, b, x):
    p = m["p"]
    act = gelu if p["gelu"] else silu
    h = norm(m, b + ("post_attention_norm" if p["arch"] == "gpt-oss" else "ffn_norm"), x)
    if p["experts"]:
        return experts(m, b, h)
    up = plus(times(m[b + "ffn_up.weight"], h), m.get(b + "ffn_up.bias"))
    if b + "ffn_gate.weight" in m:
        g = times(m[b + "ffn_gate.weight"], h)
    elif len(up) == 2 * p["ff"]:
        g, up = up[:p["ff"]], up[p["ff"]:]
    else:
        g, up = up, [1.0] * p["ff"]
    y = [act(a) * c for a, c in zip(g, up)]
    return plus(times(m[b + "ffn_down.weight"], y), m.get(b + "ffn_down.bias"))


def logits(m, tokens):
    p, cache, out = m["p"], [([], []) for _ in range(m["p"]["layers"])], []
    for pos, tok in enumerate(tokens):
        x = [v * p["embd_scale"] for v in m["token_embd.weight"].w[tok]]
        if "position_embd.weight" in m:
            x = plus(x, m["position_embd.weight"].w[pos])
        for i in range(p["layers"]):
            b = "blk.%d." % i
            y = attention(m, i, x, pos, cache[i])
            if p["post_norms"]:
                y = norm(m, b + "post_attention_norm", y)
            x = [v + w * p["residual_scale"] for v, w in zip(x, y)]
            y = feed_forward(m, b, x)
            if p["post_norms"]:
                y = norm(m, b + "post_ffw_norm", y)
            x = [v + w * p["residual_scale"] for v, w in zip(x, y)]
        h = norm(m, "output_norm", x)
        y = times(m.get("output.weight") or m["token_embd.weight"], h)
        out.append([capped(v / p["logit_scale"], p["final_cap"]) for v in y])
    return out


# ------------------------------------------------------------------ files

CTX = 96


def string(s):
    return struct.pack("<Q", len(s)) + s.encode()


def write(path, m):
    p, a = m["p"], m["p"]["arch"] + "."
    u32, flt, text = (4, "<I"), (6, "<f"), (8, None)
    eps = "attention.layer_norm_epsilon" if p["layer_norm"] else "attention.layer_norm_rms_epsilon"
    kv = [("general.architecture", text, p["arch"]),
          (a + "block_count", u32, p["layers"]), (a + "context_length", u32, p["ctx"]),
          (a + "embedding_length", u32, p["embd"]), (a + "feed_forward_length", u32, p["ff"]),
          (a + "attention.head_count", u32, p["heads"]), (a + "attention.head_count_kv", u32, p["kv_heads"]),
          (a + "attention.key_length", u32, p["head_dim"]), (a + "attention.value_length", u32, p["head_dim"]),
          (a + eps, flt, p["eps"])]
    if p["theta"]:
        kv += [(a + "rope.freq_base", flt, p["theta"]), (a + "rope.dimension_count", u32, p["rot"])]
    for key, kind, name in (("rope.scaling.type", text, "scaling"), ("rope.scaling.factor", flt, "factor"),
                            ("rope.scaling.original_context_length", u32, "ctx_orig"),
                            ("rope.scaling.attn_factor", flt, "attn_factor"),
                            ("attention.sliding_window", u32, "window"), ("expert_count", u32, "experts"),
                            ("expert_used_count", u32, "used")):
        if p[name] and not (name == "scaling" and p["nameless"]):
            kv.append((a + key, kind, p[name]))
    kv += [(a + key, flt, val) for key, val in p["keys"].items()]
    kv.append(("tokenizer.ggml.model", text, "llama"))
    head = b""
    for key, (num, fmt), val in kv:
        head += string(key) + struct.pack("<I", num) + (struct.pack(fmt, val) if fmt else string(val))
    head += string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, p["vocab"])
    head += b"".join(string("t%d" % i) for i in range(p["vocab"]))
    infos, data = b"", b""
    names = [k for k in m if k != "p"]
    for name in names:
        t = m[name]
        data += b"\0" * (-len(data) % 32)
        dims, typ, raw = ((t.cols, t.rows), t.typ, t.bytes) if isinstance(t, Matrix) else \
                         ((len(t),), "F32", struct.pack("<%df" % len(t), *t))
        if name.split(".")[-2].endswith("_exps"):
            n = p["experts"]
            dims = (t.cols, t.rows // n, n) if isinstance(t, Matrix) else (len(t) // n, n)
        infos += string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        infos += struct.pack("<IQ", TYPES[typ][0], len(data))
        data += raw
    out = b"GGUF" + struct.pack("<IQQ", 3, len(names), len(kv) + 1) + head + infos
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32) + data)


def vector(rng, n, mean):
    return [f32(rng.gauss(mean, 0.1)) for _ in range(n)]


def put_norm(m, rng, name, n):
    m[name + ".weight"] = vector(rng, n, 1)
    if m["p"]["layer_norm"]:
        m[name + ".bias"] = vector(rng, n, 0)


def put_matrix(m, rng, name, typ, rows, cols, bias, size=0.2):
    m[name + ".weight"] = Matrix(rng, typ, rows, cols, size)
    if bias:
        m[name + ".bias"] = vector(rng, rows, 0)


def put_layer(m, rng, b, types):
    p = m["p"]
    d, q, k, ff, n = p["embd"], p["heads"] * p["head_dim"], p["kv_heads"] * p["head_dim"], p["ff"], p["experts"]
    tq, tk, tv, to, tg, tu, td = types
    if p["fused_qkv"]:
        put_matrix(m, rng, b + "attn_qkv", tq, q + 2 * k, d, "qkv" in p["biases"])
    else:
        for c, typ, rows in (("q", tq, q), ("k", tk, k), ("v", tv, k)):
            put_matrix(m, rng, b + "attn_" + c, typ, rows, d, "qkv" in p["biases"])
    put_matrix(m, rng, b + "attn_output", to, d, q, "o" in p["biases"])
    if n:
        put_matrix(m, rng, b + "ffn_gate_inp", "F32", n, d, "ffn" in p["biases"], 1)
        put_matrix(m, rng, b + "ffn_gate_exps", tg, ff * n, d, "ffn" in p["biases"])
        put_matrix(m, rng, b + "ffn_up_exps", tu, ff * n, d, "ffn" in p["biases"])
        put_matrix(m, rng, b + "ffn_down_exps", td, d * n, ff, "ffn" in p["biases"])
    else:
        if p["gated"] and not p["fused_gate"]:
            put_matrix(m, rng, b + "ffn_gate", tg, ff, d, False)
        put_matrix(m, rng, b + "ffn_up", tu, ff * (2 if p["fused_gate"] else 1), d, "ffn" in p["biases"])
        put_matrix(m, rng, b + "ffn_down", td, d, ff, "ffn" in p["biases"])
    put_norm(m, rng, b + "attn_norm", d)
    put_norm(m, rng, b + ("post_attention_norm" if p["arch"] == "gpt-oss" else "ffn_norm"), d)
    if p["post_norms"]:
        put_norm(m, rng, b + "post_attention_norm", d)
        put_norm(m, rng, b + "post_ffw_norm", d)
    if p["qk_norm"]:
        m[b + "attn_q_norm.weight"] = vector(rng, p["head_dim"], 1)
        m[b + "attn_k_norm.weight"] = vector(rng, p["head_dim"], 1)
    if p["arch"] == "gpt-oss":
        m[b + "attn_sinks.weight"] = vector(rng, p["heads"], 1)


def model(seed, p, types):
    """types: of q k v o gate up down, a list of those for each layer; embeddings; output or None (tied)."""
    rng = random.Random(seed)
    d = p["embd"]
    m = {"p": p, "token_embd.weight": Matrix(rng, types["embd"], p["vocab"], d, 0.5)}
    put_norm(m, rng, "output_norm", d)
    if types.get("output"):
        m["output.weight"] = Matrix(rng, types["output"], p["vocab"], d, 0.3)
    if p["arch"] == "gpt2":
        m["position_embd.weight"] = Matrix(rng, "F32", CTX, d, 0.3)
    if p["scaling"] == "longrope":
        m["rope_factors_long.weight"], m["rope_factors_short.weight"] = p["long"], p["short"]
    elif p["factors"]:
        m["rope_freqs.weight"] = p["factors"]
    for i, t in enumerate(types["layers"]):
        put_layer(m, rng, "blk.%d." % i, t)
    return m


BASE = {"layers": 1, "embd": 32, "ff": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "vocab": 24, "eps": 1e-5,
        "neox": True, "theta": 10000.0, "rot": None, "scaling": None, "factor": 0, "ctx_orig": 0, "attn_factor": 0,
        "factors": None, "theta_swa": 0, "nope_every": 0, "window": 0, "full_every": 0, "attn_scale": 0, "attn_cap": 0,
        "final_cap": 0, "embd_scale": 1, "residual_scale": 1, "logit_scale": 1, "layer_norm": False, "gelu": False,
        "gated": True, "post_norms": False, "qk_norm": False, "fused_qkv": False, "fused_gate": False, "biases": "",
        "experts": 0, "used": 0, "keys": {}, "kv_f32": False, "kv_q8": False, "n_ctx": 0,
        "ctx": CTX, "nameless": False}


def params(arch, **more):
    p = dict(BASE, arch=arch, **more)
    p["rot"] = p["rot"] or p["head_dim"]
    return p


HALF = ["F16", "BF16", "F16", "BF16", "F16", "BF16", "F16"]
BLOCKS = ["Q8_0", "Q4_0", "Q5_0", "Q8_0", "Q8_0", "Q4_0", "Q8_0"]
LONG = {"scaling": "longrope", "ctx_orig": 24, "rot": 6, "long": [1.0, 2.0, 5.0], "short": [1.0, 1.25, 1.5]}

MODELS = {
    # every block type with kernels, rotary factors and linear scaling, an output matrix of its own
    "llama-blocks": (params("llama", neox=False, layers=2, ff=256, scaling="linear", factor=2.0,
                            factors=[1.0, 1.5, 4.0, 8.0]), {
        "embd": "Q8_0", "output": "Q8_0",
        "layers": [["Q8_0", "Q4_0", "Q5_0", "Q4_0", "Q8_0", "Q4_0", "Q4_K"],
                   ["Q5_0", "Q8_0", "Q4_0", "Q8_0", "Q4_0", "Q5_0", "Q6_K"]]}),
    # F32 throughout, so the cache is too; sizes that are no multiple of anything
    "llama-f32": (params("llama", neox=False, embd=36, ff=50, heads=6, kv_heads=3, head_dim=6, vocab=19, kv_f32=True), {
        "embd": "F32", "output": None, "layers": [["F32"] * 7]}),
    # YaRN, biases of all projections, a window; part of a head rotates
    "llama-yarn": (params("llama", neox=False, head_dim=16, rot=12, theta=100.0, scaling="yarn", factor=4.0, ctx_orig=256,
                          biases="qkv o", window=4), {
        "embd": "F16", "output": "F16", "layers": [HALF]}),
    # experts in a llama (Mixtral)
    "llama-experts": (params("llama", neox=False, experts=5, used=2), {
        "embd": "Q8_0", "output": "Q8_0", "layers": [BLOCKS]}),
    # biases, a tied output; types without kernels
    "qwen2-rare": (params("qwen2", theta=1e6, biases="qkv"), {
        "embd": "Q5_1", "output": None, "layers": [["Q4_1", "Q5_1", "Q4_1", "Q5_1", "Q4_1", "Q5_1", "Q4_1"]]}),
    # norms of heads, wider than the model; 16-bit types
    "qwen3-half": (params("qwen3", head_dim=20, theta=1e6, qk_norm=True), {
        "embd": "F16", "output": "BF16", "layers": [HALF]}),
    "qwen3moe-blocks": (params("qwen3moe", theta=1e6, qk_norm=True, experts=6, used=3), {
        "embd": "Q8_0", "output": "Q8_0", "layers": [BLOCKS]}),
    # windows in layer 0, caps, norms behind both halves; heads wider than the embeddings' share
    "gemma2-blocks": (params("gemma2", layers=2, head_dim=16, gelu=True, post_norms=True, embd_scale=math.sqrt(32), window=3,
                             full_every=2, attn_cap=50.0, final_cap=30.0), {
        "embd": "Q8_0", "output": None, "layers": [BLOCKS, BLOCKS]}),
    # five layers with a window and a rope of its own, one without, with linear scaling
    "gemma3-f32": (params("gemma3", layers=7, embd=20, ff=24, head_dim=8, gelu=True, post_norms=True, qk_norm=True,
                          embd_scale=math.sqrt(20), window=3, full_every=6, theta=1e6, theta_swa=10000.0, scaling="linear",
                          factor=8.0, kv_f32=True), {
        "embd": "F32", "output": None, "layers": [["F32"] * 7] * 7}),
    # a window that is passed, over the borders of pages
    "gemma3-window": (params("gemma3", layers=6, gelu=True, post_norms=True, qk_norm=True, embd_scale=math.sqrt(32), window=40,
                             full_every=6, theta=1e6, theta_swa=10000.0, kv_f32=True, ctx=640, n_ctx=640), {
        "embd": "F32", "output": None, "layers": [["F32"] * 7] * 6}),
    # one matrix for q, k and v, and one for gate and up; LongRoPE above and within the old context, not named in the
    # second file, as converters leave it
    "phi3-long": (params("phi3", fused_qkv=True, fused_gate=True, ff=64, window=5, factors=LONG["long"], **LONG), {
        "embd": "Q8_0", "output": "Q8_0", "layers": [BLOCKS]}),
    "phi3-short": (params("phi3", fused_qkv=True, fused_gate=True, ff=64, factors=LONG["short"], attn_factor=1.25, n_ctx=24, nameless=True,
                          **LONG), {
        "embd": "F16", "output": "F16", "layers": [HALF]}),
    "granite-blocks": (params("granite", neox=False, layers=2, embd_scale=12.0, residual_scale=0.25, attn_scale=0.125,
                              logit_scale=8.0, keys={
                                  "embedding_scale": 12.0, "residual_scale": 0.25,
                                  "attention.scale": 0.125, "logit_scale": 8.0}), {
        "embd": "Q8_0", "output": None, "layers": [BLOCKS, BLOCKS]}),
    # the fourth of five layers does not rotate
    "smollm3-half": (params("smollm3", neox=False, layers=5, nope_every=4, theta=5e6), {
        "embd": "F16", "output": None, "layers": [HALF] * 5}),
    "gpt2-f32": (params("gpt2", embd=20, ff=28, heads=2, kv_heads=2, head_dim=10, theta=0, layers=2, layer_norm=True,
                        gelu=True, gated=False, fused_qkv=True, biases="qkv o ffn", kv_f32=True), {
        "embd": "F32", "output": None, "layers": [["F32"] * 7] * 2}),
    "starcoder2-blocks": (params("starcoder2", layer_norm=True, gelu=True, gated=False, biases="qkv o ffn", window=4), {
        "embd": "Q8_0", "output": None, "layers": [BLOCKS]}),
    "gpt-oss-half": (params("gpt-oss", layers=2, biases="qkv o ffn", experts=5, used=2, window=3, full_every=2, theta=150.0,
                            scaling="yarn", factor=4.0, ctx_orig=256), {
        "embd": "F16", "output": "F16", "layers": [HALF, HALF]}),
    "gpt-oss-mxfp4": (params("gpt-oss", layers=2, biases="qkv o ffn", experts=5, used=2, window=3, full_every=2, theta=150.0,
                             scaling="yarn", factor=4.0, ctx_orig=256), {
        "embd": "F16", "output": "F16", "layers": [HALF[:4] + ["MXFP4"] * 3] * 2}),
    # heads that are whole blocks, for a cache in 8 bits; an odd number of blocks and a window in the second
    "qwen3-kvq8": (params("qwen3", head_dim=64, heads=2, kv_heads=1, theta=1e6, qk_norm=True, kv_q8=True), {
        "embd": "F16", "output": "BF16", "layers": [HALF]}),
    "gemma2-kvq8": (params("gemma2", layers=2, heads=2, kv_heads=1, head_dim=32, gelu=True, post_norms=True,
                           embd_scale=math.sqrt(32), window=3, full_every=2, attn_cap=50.0, final_cap=30.0, kv_q8=True), {
        "embd": "F16", "output": None, "layers": [HALF, HALF]}),
}
TOKENS = [1, 5, 17, 5, 0, 11, 2, 9]
MORE = {"gemma3-window": [i * i % 23 for i in range(82)]}


def main():
    only = sys.argv[1:] or MODELS
    for name in only:
        p, types = MODELS[name]
        tokens = TOKENS + MORE.get(name, [])
        for seed in range(1, 2000):
            m = model(seed, p, types)
            try:
                out = logits(m, tokens)
            except Near:
                continue
            break
        else:
            raise SystemExit("no seed for " + name)
        write(os.path.join(HERE, name + ".gguf"), m)
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            rows = ",\n  ".join("[" + ", ".join("%.7g" % v for v in row) + "]" for row in out)
            f.write('{"seed": %d, "n_ctx": %d, "tokens": %s, "logits": [\n  %s]}\n'
                    % (seed, p["n_ctx"], json.dumps(tokens), rows))
        print(name, "seed", seed, "largest logit %.3g" % max(abs(v) for row in out for v in row))


if __name__ == "__main__":
    main()
