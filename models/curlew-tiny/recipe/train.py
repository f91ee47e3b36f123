"""Train: fresh text for every batch, a few worker processes with one thread each, one flat gradient.

    train.py --tok tok.json --out model.pt --steady 4000 --decay 1000 [--workers 2]

The learning rate warms up, stays, and falls to zero over the last `decay` steps.  A file OUT.decay
that appears during the run starts the fall at the next step (it holds the number of steps), so that a
run can be made to end on time; the log says what it came to, and the same numbers given as arguments
repeat it.  Batch k is made from seed k whoever computes it; only the order of additions can differ.

Matrices learn by Muon (momentum, orthogonalised by a Newton-Schulz iteration: K. Jordan, 2024),
embeddings and norms by Adam.
"""
import argparse
import json
import os
import time

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import bpe
import chat
import model
import ops
from text import mix
from text.grammar import Random

C = model.CONFIG
MICRO, TOKENS = 4, 2048      # microbatches in a step, and tokens in one
LONG_EVERY, LONG = 11, 512   # every so many is of long chats, cut at this length
MUON_LR, ADAM_LR, WARMUP = 0.015, 0.003, 60
THINKING, RAW = 0.12, 0.1    # shares: with thoughts; of the stories, without a chat around them


def encode(tok, s, thinking, raw):
    """(ids, learn).  Now and then only the last answer as bare text, for the plain completion API."""
    if raw:
        ids = tok.encode(s.msgs[-1]["content"]) + [tok.id["<|im_end|>"]]
        return ids, [False] + [True] * (len(ids) - 1)
    ids, learn = [], []
    for text, on in chat.pieces(s, thinking):
        t = tok.encode(text)
        ids += t
        learn += [on] * len(t)
    return ids, learn


def batch(tok, seed, long, stage):
    """(ids [N], target [N] or -1 where nothing is learnt, segments [n][2]: first token, length)"""
    r = Random(seed)
    ids, learn, seg = [], [], []

    def add(t, on):
        seg.append((len(ids), len(t)))
        ids.extend(t)
        learn.extend(on[1:] + [False])

    while len(ids) < TOKENS:
        s = mix.long_chat(r, LONG // 24, stage) if long else mix.conversation(r, stage)
        t, on = encode(tok, s, r.p(THINKING), s.skill == "stories" and r.p(RAW))
        if long:
            t, on = t[:LONG], on[:LONG]
        if len(ids) + len(t) > TOKENS:
            t, on = t[:TOKENS - len(ids)], on[:TOKENS - len(ids)]
        add(t, on)
    ids = torch.tensor(ids)
    want = torch.where(torch.tensor(learn), ids.roll(-1), -1)
    return ids, want, torch.tensor(seg)


def loss_of(p, ids, want, seg, tables):
    at = (want >= 0).nonzero().view(-1)
    n = len(at)
    at = F.pad(at, (0, -n % 256))      # few different shapes: the library makes a kernel for each
    y = want[at]
    y[n:] = -1
    h = ops.forward(p, C, ids, seg, *tables, at)
    logits = F.linear(h, p["token_embd"].bfloat16()).float()
    return F.cross_entropy(logits, y, reduction="sum", ignore_index=-1), n


def orthogonal(m):
    """Nearest half-orthogonal matrix, roughly; m [n][k]."""
    x = (m.t() if m.shape[0] > m.shape[1] else m).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.float()
    return x.t() if m.shape[0] > m.shape[1] else x


def units(c):
    """Muon's matrices as (name, first row, rows): q, k, v, gate and up are matrices of their own."""
    q, kv, ff, d = c["n_head"] * c["head_dim"], c["n_head_kv"] * c["head_dim"], c["n_ff"], c["n_embd"]
    out = []
    for i in range(c["n_layer"]):
        out += [(f"{i}.qkv", 0, q), (f"{i}.qkv", q, kv), (f"{i}.qkv", q + kv, kv), (f"{i}.o", 0, d),
                (f"{i}.gate_up", 0, ff), (f"{i}.gate_up", ff, ff), (f"{i}.down", 0, d)]
    return out


def update(w, n_work, P, G, M, V, step, lr):
    """Worker w's share of one optimizer step.  P, G, M, V: views by name; G is the mean gradient."""
    for name, row, n in units(C)[w::n_work]:
        g, m, p = (t[name][row:row + n] for t in (G, M, P))
        m.mul_(0.95).add_(g, alpha=0.05)
        o = orthogonal(g * 0.05 + m * 0.95)
        rate = MUON_LR * lr
        p.mul_(1 - rate * 0.1).add_(o, alpha=-rate * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)
    for k, name in enumerate(n for n in P if P[n].dim() == 1 or n == "token_embd"):
        if name == "token_embd":
            n = C["n_vocab"]
            rows = slice(n * w // n_work, n * (w + 1) // n_work)
        elif k % n_work == w:
            rows = slice(None)
        else:
            continue
        g, m, v, p = (t[name][rows] for t in (G, M, V, P))
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.98).addcmul_(g, g, value=0.02)
        den = (v / (1 - 0.98 ** step)).sqrt_().add_(1e-10)
        p.addcdiv_(m, den, value=-ADAM_LR * lr / (1 - 0.9 ** step))


def rate(step, steady, decay):
    up = min(1.0, step / WARMUP)
    return up * min(1.0, max(0.0, (steady + decay - step + 1) / max(decay, 1)))


def worker(w, a, sh):
    torch.set_num_threads(1)
    tok = bpe.Tokenizer.load(a.tok)
    P = model.views(sh["p"], C)
    for t in P.values():
        t.requires_grad_(True)
    tables = ops.tables(C, TOKENS)
    mine = sh["g"][w]
    grads = model.views(mine, C)
    state = [model.views(sh[k], C) for k in ("sum", "m", "v")]
    t0, seen, done, ema = time.time(), sh["tokens"].value, sh["step"].value, None
    while True:
        step = done + 1
        mine.zero_()
        while True:
            with sh["next"].get_lock():
                k = sh["next"].value
                sh["next"].value += 1
            if k >= MICRO:
                break
            n = (step - 1) * MICRO + k
            b = batch(tok, a.seed * 1_000_003 + n, n % LONG_EVERY == LONG_EVERY - 1, mix.stage_of(step))
            loss, cnt = loss_of(P, *b, tables)
            got = torch.autograd.grad(loss, list(P.values()))
            for g, t in zip(grads.values(), got):
                g += t
            with sh["count"].get_lock():
                sh["count"].value += cnt
                sh["loss"].value += float(loss)
                sh["tokens"].value += b[0].numel()
        sh["barrier"].wait()
        lo, hi = (sh["p"].numel() * x // a.workers for x in (w, w + 1))
        sh["sum"][lo:hi] = sum(g[lo:hi] for g in sh["g"]) / max(sh["count"].value, 1)
        sh["barrier"].wait()
        steady, decay = sh["plan"][:]
        with torch.no_grad():
            update(w, a.workers, {k: v.detach() for k, v in P.items()}, *state, step, rate(step, steady, decay))
        sh["barrier"].wait()
        done = step
        if w == 0:
            mean = sh["loss"].value / max(sh["count"].value, 1)
            ema = mean if ema is None else 0.98 * ema + 0.02 * mean
            if step % 20 == 0:
                el = time.time() - t0
                print(f"step {step} loss {mean:.4f} mean {ema:.4f} lr {rate(step, steady, decay):.3f} "
                      f"tokens {sh['tokens'].value} {(sh['tokens'].value - seen) / el:.0f}/s", flush=True)
                t0, seen = time.time(), sh["tokens"].value
            sh["next"].value = sh["count"].value = 0
            sh["loss"].value = 0.0
            flag = a.out + ".decay"
            if os.path.exists(flag) and step < steady:
                with open(flag) as f:
                    sh["plan"][:] = [step, int(f.read())]
                os.remove(flag)
                print(f"decay: the plan is now --steady {step} --decay {sh['plan'][1]}", flush=True)
            if step % a.save_every == 0 or step >= sum(sh["plan"][:]) or step == sh["plan"][0]:
                save(a.out if step >= sum(sh["plan"][:]) else a.out + ".part", sh, step)
                if step == sh["plan"][0]:
                    save(a.out + ".steady", sh, step)
        sh["barrier"].wait()
        if done >= sum(sh["plan"][:]):
            return


def save(path, sh, step):
    torch.save({"config": C, "step": step, "tokens": sh["tokens"].value, "plan": list(sh["plan"][:]),
                **{k: sh[k].detach().clone() for k in "pmv"}}, path + ".tmp")
    os.replace(path + ".tmp", path)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--tok", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steady", type=int, default=4000)
    ap.add_argument("--decay", type=int, default=1000)
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--resume", help="go on from a .part or .steady file")
    ap.add_argument("--save-every", type=int, default=200)
    a = ap.parse_args()
    n = model.size(C)
    sh = {k: torch.zeros(n).share_memory_() for k in ("p", "m", "v", "sum")}
    sh["g"] = [torch.zeros(n).share_memory_() for _ in range(a.workers)]
    model.init(sh["p"], C, a.seed)
    sh["step"], sh["next"], sh["count"], sh["tokens"] = (mp.Value("q", 0) for _ in range(4))
    sh["loss"] = mp.Value("d", 0.0)
    sh["plan"] = mp.Array("q", [a.steady, a.decay])
    sh["barrier"] = mp.Barrier(a.workers)
    if a.resume:
        s = torch.load(a.resume)
        for k in "pmv":
            sh[k].copy_(s[k])
        sh["step"].value, sh["tokens"].value = s["step"], s["tokens"]
    print(f"{n} parameters, {json.dumps(C)}", flush=True)
    ps = [mp.Process(target=worker, args=(w, a, sh)) for w in range(a.workers)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    if any(p.exitcode for p in ps):
        raise SystemExit("a worker failed")


if __name__ == "__main__":
    mp.set_start_method("fork")
    main()
