"""ops.c as torch functions, and the network's training forward pass made of them."""
import ctypes
import os
import subprocess
import tempfile

import torch
import torch.nn.functional as F

import model

HERE = os.path.dirname(os.path.abspath(__file__))


def _load():
    wide = ["-mprefer-vector-width=512"] if os.uname().machine == "x86_64" else []
    with tempfile.TemporaryDirectory(prefix="curlew-tiny-") as tmp:
        out = os.path.join(tmp, "ops.so")
        subprocess.check_call([os.environ.get("CC", "cc"), "-std=gnu17", "-O3", "-march=native", "-ffast-math", *wide,
                               "-Wall", "-Wextra", "-shared", "-fPIC", "-o", out, os.path.join(HERE, "ops.c"), "-lm"])
        return ctypes.CDLL(out)


_so = _load()


def _c(name, *args):
    """Call with tensors as pointers, ints as long, floats as float."""
    getattr(_so, name)(*[ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor)
                         else ctypes.c_float(a) if isinstance(a, float) else ctypes.c_long(a) for a in args])


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps):
        n, d = x.shape
        y, inv = torch.empty(n, d, dtype=torch.bfloat16), torch.empty(n)
        _c("norm_f", x, w, y, inv, n, d, eps)
        ctx.save_for_backward(x, w, inv)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, inv = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.zeros_like(w)
        _c("norm_b", x, w, inv, dy.contiguous(), dx, dw, *x.shape)
        return dx, dw, None


class SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gu):
        n, f = gu.shape[0], gu.shape[1] // 2
        y = torch.empty(n, f, dtype=torch.bfloat16)
        _c("swiglu_f", gu, y, n, f)
        ctx.save_for_backward(gu)
        return y

    @staticmethod
    def backward(ctx, dy):
        gu, = ctx.saved_tensors
        dgu = torch.empty_like(gu)
        _c("swiglu_b", gu, dy.contiguous(), dgu, gu.shape[0], gu.shape[1] // 2)
        return dgu


class Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, qn, kn, cs, sn, seg, c):
        out = torch.zeros(qkv.shape[0], c["n_head"] * c["head_dim"], dtype=torch.bfloat16)
        _c("attn_f", qkv, qn, kn, cs, sn, seg, len(seg), out, c["n_head"], c["n_head_kv"], c["eps"])
        ctx.save_for_backward(qkv, qn, kn, cs, sn, seg)
        ctx.c = c
        return out

    @staticmethod
    def backward(ctx, d):
        qkv, qn, kn, cs, sn, seg = ctx.saved_tensors
        c, dqkv, dqn, dkn = ctx.c, torch.zeros_like(qkv), torch.zeros_like(qn), torch.zeros_like(kn)
        _c("attn_b", qkv, qn, kn, cs, sn, seg, len(seg), d.contiguous(), dqkv, dqn, dkn, c["n_head"],
           c["n_head_kv"], c["eps"])
        return dqkv, dqn, dkn, None, None, None, None


def tables(c, n):
    cos, sin = model.rope_tables(c, n)
    half = c["head_dim"] // 2
    return cos[:, :half].contiguous(), sin[:, half:].contiguous()


def forward(p, c, ids, seg, cs, sn, at):
    """model.forward for training: ids [N], seg [n][2] int64 as in ops.c.

    Hidden states of the tokens `at` only, [len(at)][n_embd] bf16: after the last attention nothing
    else is computed for the others.
    """
    b = {k: v.bfloat16() for k, v in p.items() if v.dim() == 2 and k != "token_embd"}
    x = F.embedding(ids, p["token_embd"])
    for i in range(c["n_layer"]):
        qkv = F.linear(Norm.apply(x, p[f"{i}.attn_norm"], c["eps"]), b[f"{i}.qkv"])
        a = Attention.apply(qkv, p[f"{i}.q_norm"], p[f"{i}.k_norm"], cs, sn, seg, c)
        if i == c["n_layer"] - 1:
            x, a = x[at], a[at]
        x = x + F.linear(a, b[f"{i}.o"])
        gu = F.linear(Norm.apply(x, p[f"{i}.ffn_norm"], c["eps"]), b[f"{i}.gate_up"])
        x = x + F.linear(SwiGLU.apply(gu), b[f"{i}.down"])
    return Norm.apply(x, p["output_norm"], c["eps"])


def main():
    """Gradients of every parameter against plain torch in float32."""
    c = dict(model.CONFIG, n_layer=2, n_vocab=300)
    flat = torch.zeros(model.size(c))
    model.init(flat, c, 1)
    p = model.views(flat, c)
    g = torch.Generator().manual_seed(2)
    for k, t in p.items():
        if t.dim() == 1:
            t.add_(0.3 * torch.randn(t.shape, generator=g))
        t.requires_grad_(True)
    T = 96
    ids = torch.randint(0, 300, (2, T), generator=g)
    doc = torch.cat([torch.ones(40), 2 * torch.ones(T - 40), 3 * torch.ones(T)]).view(2, T)
    bias = torch.where((doc[:, :, None] == doc[:, None, :]) & torch.ones(T, T).tril().bool(), 0.0, float("-inf"))
    w = torch.randn(2 * T, c["n_embd"], generator=g)
    want = model.forward(p, c, ids, bias[:, None], *model.rope_tables(c, T))
    gw = torch.autograd.grad((want * w).sum(), list(p.values()))
    seg = torch.tensor([[0, 40], [40, T - 40], [T, T]])
    got = forward(p, c, ids.view(-1), seg, *tables(c, T), torch.arange(2 * T))
    gg = torch.autograd.grad((got.float() * w).sum(), list(p.values()))
    worst = float((got - want).norm() / want.norm())
    print(f"forward {worst:.4f}")
    for k, x, y in zip(p, gw, gg):
        e = float((x - y).norm() / x.norm())
        worst = max(worst, e)
        print(f"{k:12} {e:.4f}")
    if worst > 0.03:      # bf16 keeps 8 bits: 0.4% a rounding, a dozen roundings deep
        raise SystemExit("ops.c and model.py differ")


if __name__ == "__main__":
    main()
