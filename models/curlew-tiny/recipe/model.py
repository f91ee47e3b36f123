"""The network: a small Qwen3 (pre-norm, grouped-query attention with normed q and k, SwiGLU, tied ends).

All parameters lie in one flat vector, so that worker processes can share them and an optimizer can
walk over them.  Sources: Qwen3 report, arXiv:2505.09388; RoPE, arXiv:2104.09864; SwiGLU, arXiv:2002.05202.
"""
import math

import torch
import torch.nn.functional as F

CONFIG = dict(n_vocab=3072, n_embd=256, n_layer=5, n_head=8, n_head_kv=4, head_dim=32, n_ff=640,
              rope_base=10000.0, eps=1e-6, n_ctx=1024)


def shapes(c):
    """name -> shape, in the order of the flat vector"""
    q, kv, d = c["n_head"] * c["head_dim"], c["n_head_kv"] * c["head_dim"], c["n_embd"]
    out = {"token_embd": (c["n_vocab"], d)}
    for i in range(c["n_layer"]):
        out.update({f"{i}.qkv": (q + 2 * kv, d), f"{i}.o": (d, q), f"{i}.gate_up": (2 * c["n_ff"], d),
                    f"{i}.down": (d, c["n_ff"]), f"{i}.attn_norm": (d,), f"{i}.ffn_norm": (d,),
                    f"{i}.q_norm": (c["head_dim"],), f"{i}.k_norm": (c["head_dim"],)})
    out["output_norm"] = (d,)
    return out


def size(c):
    return sum(math.prod(s) for s in shapes(c).values())


def views(flat, c):
    out, at = {}, 0
    for name, shape in shapes(c).items():
        n = math.prod(shape)
        out[name] = flat[at:at + n].view(shape)
        at += n
    return out


def init(flat, c, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in views(flat, c).items():
        if p.dim() == 1:
            p.fill_(1.0)
        else:
            std = 0.02 if name == "token_embd" else 0.5 / math.sqrt(p.shape[1])
            if name.endswith((".o", ".down")):
                std /= math.sqrt(2 * c["n_layer"])
            p.copy_(torch.randn(p.shape, generator=g) * std)


def rope_tables(c, n):
    half = c["head_dim"] // 2
    freq = c["rope_base"] ** (-torch.arange(half, dtype=torch.float64) / half)
    ang = torch.arange(n, dtype=torch.float64)[:, None] * freq[None, :]
    return torch.cat([ang.cos(), ang.cos()], 1).float(), torch.cat([-ang.sin(), ang.sin()], 1).float()


def norm(x, w, eps):
    return x * (torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w)


def rotate(x, cos, sin):
    h = x.shape[-1] // 2
    return x * cos + torch.cat([x[..., h:], x[..., :h]], -1) * sin


def forward(p, c, ids, bias, cos, sin):
    """Hidden states after the last norm, [B*T][n_embd].

    ids [B][T]; bias [B][1][T][T], 0 where row t may look at column s and -inf elsewhere
    """
    B, T = ids.shape
    H, KV, hd = c["n_head"], c["n_head_kv"], c["head_dim"]
    x = F.embedding(ids, p["token_embd"]).view(B * T, -1)
    for i in range(c["n_layer"]):
        qkv = F.linear(norm(x, p[f"{i}.attn_norm"], c["eps"]), p[f"{i}.qkv"]).view(B, T, H + 2 * KV, hd)
        q, k, v = qkv.split([H, KV, KV], 2)
        q = rotate(norm(q.float(), p[f"{i}.q_norm"] * hd ** -0.5, c["eps"]).transpose(1, 2), cos[:T], sin[:T])
        k = rotate(norm(k.float(), p[f"{i}.k_norm"], c["eps"]).transpose(1, 2), cos[:T], sin[:T])
        # the query heads of one group share a key head: stack them as rows of one product
        q = q.reshape(B, KV, H // KV, T, hd)
        s = torch.matmul(q, k.transpose(-1, -2).unsqueeze(2)) + bias.unsqueeze(2)
        a = torch.matmul(torch.softmax(s, -1), v.transpose(1, 2).unsqueeze(2))
        a = a.permute(0, 3, 1, 2, 4).reshape(B * T, H * hd)
        x = x + F.linear(a, p[f"{i}.o"]).float()
        g, u = F.linear(norm(x, p[f"{i}.ffn_norm"], c["eps"]), p[f"{i}.gate_up"]).chunk(2, -1)
        x = x + F.linear(F.silu(g) * u, p[f"{i}.down"]).float()
    return norm(x, p["output_norm"], c["eps"])
