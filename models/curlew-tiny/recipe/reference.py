"""Run the GGUF file itself in plain numpy: what the file says, with nothing taken from training code.

    reference.py MODEL.gguf "prompt text" [max tokens]

Slow and clear.  Weights are dequantised to f32, so a server that also quantises its activations may
differ in the last digits.
"""
import struct
import sys

import numpy as np

import bpe

_SIZE = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class File:
    """meta: key -> value; tensor: name -> f32 array"""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.b = f.read()
        self.at, self.meta, self.tensor = 4, {}, {}
        if self.b[:4] != b"GGUF":
            raise ValueError("not a GGUF file")
        version, n_tensor, n_kv = self._get("I"), self._get("Q"), self._get("Q")
        if version != 3:
            raise ValueError(f"GGUF version {version}")
        for _ in range(n_kv):
            key = self._str()
            self.meta[key] = self._value(self._get("I"))
        infos = []
        for _ in range(n_tensor):
            name, n_dim = self._str(), self._get("I")
            dims = [self._get("Q") for _ in range(n_dim)]
            infos.append((name, dims[::-1], self._get("I"), self._get("Q")))
        align = self.meta.get("general.alignment", 32)
        base = (self.at + align - 1) // align * align
        for name, shape, kind, off in infos:
            n = int(np.prod(shape))
            if kind == 0:
                t = np.frombuffer(self.b, "<f4", n, base + off).copy()
            elif kind == 8:
                q = np.frombuffer(self.b, np.dtype([("d", "<f2"), ("q", "i1", 32)]), n // 32, base + off)
                t = q["d"].astype(np.float32)[:, None] * q["q"].astype(np.float32)
            else:
                raise ValueError(f"{name}: tensor type {kind}")
            self.tensor[name] = t.reshape(shape)

    def _get(self, c):
        v, = struct.unpack_from("<" + c, self.b, self.at)
        self.at += struct.calcsize("<" + c)
        return v

    def _str(self):
        n = self._get("Q")
        self.at += n
        return self.b[self.at - n:self.at].decode()

    def _value(self, kind):
        if kind == 8:
            return self._str()
        if kind == 9:
            kind, n = self._get("I"), self._get("Q")
            return [self._value(kind) for _ in range(n)]
        return self._get(_SIZE[kind])


class Model:
    def __init__(self, path):
        f = File(path)
        m, self.t = f.meta, f.tensor
        self.meta = m
        a = m["general.architecture"]
        if a != "qwen3":
            raise ValueError("architecture " + a)
        self.n_layer, self.n_head = m[a + ".block_count"], m[a + ".attention.head_count"]
        self.n_kv, self.hd = m[a + ".attention.head_count_kv"], m[a + ".attention.key_length"]
        self.eps, self.base = m[a + ".attention.layer_norm_rms_epsilon"], m[a + ".rope.freq_base"]
        self.tok = bpe.Tokenizer([x.split(" ") for x in m["tokenizer.ggml.merges"]])
        if self.tok.tokens != m["tokenizer.ggml.tokens"]:
            raise ValueError("the file's tokens are not those of its merges")
        self.stop = {m["tokenizer.ggml.eos_token_id"], self.tok.id["<|endoftext|>"]}

    def _norm(self, x, w):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * w

    def _rope(self, x, pos):
        half = self.hd // 2
        ang = pos[:, None, None] * self.base ** (-np.arange(half) / half)
        c, s = np.cos(ang).astype(np.float32), np.sin(ang).astype(np.float32)
        u, v = x[..., :half], x[..., half:]
        return np.concatenate([u * c - v * s, v * c + u * s], -1)

    def logits(self, ids, cache):
        """Logits after the last of ids; cache is a list that grows, empty at first."""
        t, n = self.t, len(ids)
        if not cache:
            cache += [(np.zeros((0, self.n_kv, self.hd), np.float32),) * 2 for _ in range(self.n_layer)]
        past = len(cache[0][0])
        pos = np.arange(past, past + n)
        x = t["token_embd.weight"][ids]
        for i in range(self.n_layer):
            w = {k: t[f"blk.{i}.{k}.weight"] for k in
                 "attn_norm attn_q attn_k attn_v attn_q_norm attn_k_norm attn_output ffn_norm ffn_gate ffn_up ffn_down"
                 .split()}
            h = self._norm(x, w["attn_norm"])
            q = self._rope(self._norm((h @ w["attn_q"].T).reshape(n, -1, self.hd), w["attn_q_norm"]), pos)
            k = self._rope(self._norm((h @ w["attn_k"].T).reshape(n, -1, self.hd), w["attn_k_norm"]), pos)
            v = (h @ w["attn_v"].T).reshape(n, -1, self.hd)
            k, v = np.concatenate([cache[i][0], k]), np.concatenate([cache[i][1], v])
            cache[i] = k, v
            g = self.n_head // self.n_kv
            s = np.einsum("ngrd,tgd->grnt", q.reshape(n, self.n_kv, g, self.hd), k) / np.sqrt(self.hd)
            s = np.where(np.arange(past + n) <= pos[:, None], s, -np.inf)
            s = np.exp(s - s.max(-1, keepdims=True))
            s /= s.sum(-1, keepdims=True)
            x = x + np.einsum("grnt,tgd->ngrd", s, v).reshape(n, -1).astype(np.float32) @ w["attn_output"].T
            h = self._norm(x, w["ffn_norm"])
            a = h @ w["ffn_gate"].T
            x = x + (a / (1 + np.exp(-a)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
        return t["token_embd.weight"] @ self._norm(x[-1], t["output_norm.weight"])

    def generate(self, prompt, n_max=300):
        """Greedy ids after a prompt, without the end token."""
        ids, cache, out = self.tok.encode(prompt), [], []
        while len(out) < n_max:
            nxt = int(np.argmax(self.logits(ids, cache)))
            if nxt in self.stop:
                break
            out.append(nxt)
            ids = [nxt]
        return out


if __name__ == "__main__":
    m = Model(sys.argv[1])
    got = m.generate(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 200)
    print(got)
    print(m.tok.decode(got))
