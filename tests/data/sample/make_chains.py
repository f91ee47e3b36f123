#!/usr/bin/env python3
"""Write chains.json and draws.json: sampler chains and draws, computed plainly in double from the
published rules (sources: src/sample/cand_filter.c, penal.c, base/rng.h), independent of the C code.

    python3 make_chains.py        writes both files beside itself
"""
import json, math, os, random

R = random.Random(20240601)

def softmax(x):
    m = max(x.values())
    w = {i: math.exp(v - m) for i, v in x.items()}
    t = sum(w.values())
    return {i: v / t for i, v in w.items()}

def ranked(x):
    return sorted(x, key=lambda i: (-x[i], i))

def prefix(order, p, want):
    keep, acc = [], 0.0
    for i in order:
        keep.append(i)
        acc += p[i]
        if acc >= want:
            break
    return keep

def only(x, keep):
    return {i: x[i] for i in sorted(keep)}

def temp(x, t):
    return only(x, ranked(x)[:1]) if t <= 0 else {i: v / t for i, v in x.items()}

def run(name, a, x, history, breakers):
    if len(x) == 0:
        return x
    p = softmax(x)
    if name == 'top_k':
        return only(x, ranked(x)[:a[0]]) if a[0] > 0 else x
    if name == 'top_p':
        return only(x, prefix(ranked(x), p, a[0])) if a[0] < 1 else x
    if name == 'min_p':
        return only(x, [i for i in x if p[i] >= a[0] * max(p.values())])
    if name == 'typical':
        h = -sum(q * math.log(q) for q in p.values() if q > 0)
        order = sorted(x, key=lambda i: (abs(-math.log(p[i]) - h), i))
        return only(x, prefix(order, p, a[0]))
    if name == 'temp':
        return temp(x, a[0])
    if name == 'temp_ext':
        h = -sum(q * math.log(q) for q in p.values() if q > 0) / math.log(len(x))
        lo, hi = max(0, a[0] - a[1]), a[0] + a[1]
        return temp(x, lo + (hi - lo) * h ** a[2])
    if name == 'top_n_sigma':
        mean = sum(x.values()) / len(x)
        sd = math.sqrt(sum((v - mean) ** 2 for v in x.values()) / len(x))
        return only(x, [i for i in x if x[i] >= max(x.values()) - a[0] * sd])
    if name == 'xtc':  # probability 1: always hits
        top = [i for i in ranked(x) if p[i] >= a[1]]
        return only(x, [i for i in x if i not in top[:-1]])
    if name == 'penalties':
        last = history[-a[0]:] if a[0] > 0 else []
        y = dict(x)
        for i in set(last) & set(x):
            y[i] = y[i] / a[1] if y[i] > 0 else y[i] * a[1]
            y[i] -= a[2] * last.count(i) + a[3]
        return y
    if name == 'dry':
        mult, base, allowed, last_n = a
        h = history if last_n < 0 else history[max(0, len(history) - last_n):]
        longest = {}
        for k in range(len(h) - 1):  # an earlier occurrence that ends at k
            n = 0
            while n <= k and h[k - n] == h[len(h) - 1 - n] and h[k - n] not in breakers:
                n += 1
            nxt = h[k + 1]
            if n >= allowed and nxt not in breakers:
                longest[nxt] = max(longest.get(nxt, 0), n)
        return {i: v - mult * base ** (longest[i] - allowed) if i in longest else v for i, v in x.items()}
    if name == 'logit_bias':
        return {i: v + a[1] if i == a[0] else v for i, v in x.items()}
    if name == 'mirostat':
        mu = 2 * a[1]
        if a[0] == 2:
            keep = [i for i in x if -math.log2(p[i]) <= mu] or ranked(x)[:1]
            return only(x, keep)
        top = [p[i] for i in ranked(x)[:100]]
        t = [math.log((i + 2) / (i + 1)) for i in range(len(top) - 1)]
        b = [math.log(top[i] / top[i + 1]) for i in range(len(top) - 1)]
        s = sum(u * v for u, v in zip(t, b)) / sum(u * u for u in t)
        eps = s - 1
        k = (eps * 2 ** mu / (1 - len(x) ** -eps)) ** (1 / s)
        return only(x, ranked(x)[:max(1, int(k))])
    raise ValueError(name)

def logits(n, sd):
    return [round(R.gauss(0, sd), 4) for _ in range(n)]

def row(chain, x, history=(), breakers=()):
    cur = dict(enumerate(x))
    for name, a in chain:
        cur = run(name, list(a), cur, list(history), set(breakers))
    p = softmax(cur)
    r = {'logits': x, 'history': list(history), 'chain': [{'name': n, 'params': list(a)} for n, a in chain],
         'survivors': [[i, float('%.7g' % p[i])] for i in sorted(cur)]}
    if breakers:
        r['breakers'] = list(breakers)
    return r

def chains():
    rows = []
    for n, sd in ((40, 1), (200, 2), (1, 1), (2, 1)):
        x = logits(n, sd)
        h = [R.randrange(min(n, 12)) for _ in range(60)]
        for c in ([('top_p', [0.7])], [('top_k', [7])], [('min_p', [0.1])], [('typical', [0.6])],
                  [('typical', [0.2])], [('temp', [0.3])], [('top_n_sigma', [1.2])], [('xtc', [1.0, 0.05])],
                  [('xtc', [1.0, 0.01]), ('top_p', [0.5])], [('temp', [0])],
                  [('temp', [3.0]), ('top_k', [9]), ('min_p', [0.5])],
                  [('penalties', [20, 1.3, 0.2, 0.4])], [('top_k', [10]), ('penalties', [60, 1.1, 0.5, 0.1])]):
            rows.append(row(c, x, h))
        if n > 2:
            for c in ([('temp_ext', [1.0, 0.7, 1.0])], [('temp_ext', [0.5, 0.9, 2.0])],
                      [('top_k', [5]), ('temp_ext', [1.0, 0.5, 0.5]), ('top_p', [0.9])],
                      [('mirostat', [1, 2.0])], [('mirostat', [1, 1.0])], [('mirostat', [2, 2.0])],
                      [('mirostat', [2, 0.5])]):
                rows.append(row(c, x, h))
    x = logits(12, 1)
    for h in ([1, 2, 3, 4, 1, 2, 3], [1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3], [7] * 9, [1, 2], [5],
              [R.randrange(3) for _ in range(100)], [R.randrange(2) for _ in range(64)]):
        for a in ([0.8, 1.75, 2, -1], [1.0, 1.2, 1, -1], [0.5, 2.0, 3, 6], [0.1, 1.0, 4, 64]):
            rows.append(row([('dry', a)], x, h))
            rows.append(row([('dry', a)], x, h, (2, 11)))
            rows.append(row([('top_k', [6]), ('dry', a), ('top_p', [0.8])], x, h))
    for b in ([3, 5.0], [0, -100.0], [11, 100.0]):
        rows.append(row([('logit_bias', b)], x))
    return rows

# --- draws ---

M = (1 << 64) - 1

def splitmix(seed):
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & M
        z = seed
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M
        yield z ^ z >> 31

def xoshiro(seed):
    g = splitmix(seed)
    s = [next(g) for _ in range(4)]
    rotl = lambda x, k: ((x << k) | (x >> (64 - k))) & M
    while True:
        yield (rotl((s[0] + s[3]) & M, 23) + s[0]) & M
        t = (s[1] << 17) & M
        s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t
        s[3] = rotl(s[3], 45)

def draws():
    rows = []
    for seed, choice, n, sd, chain in ((1, 0, 50, 1, []), (1, 1, 50, 1, []), (1, 2, 50, 1, []),
                                       (2**64 - 1, 0, 700, 2, []), (0, 15, 700, 2, [('top_p', [0.9])]),
                                       (42, 0, 300, 1, [('top_k', [40]), ('temp', [0.7])])):
        x = logits(n, sd)
        cur = dict(enumerate(x))
        for name, a in chain:
            cur = run(name, a, cur, [], set())
        p = softmax(cur)
        g = xoshiro(seed)
        for _ in range(choice + 1):
            own = next(g)
        g = xoshiro(own)
        toks = []
        for _ in range(60):
            r, acc = (next(g) >> 11) * 2.0 ** -53, 0.0
            for i in p:
                acc += p[i]
                if acc > r:
                    break
            toks.append(i)
        rows.append({'seed': str(seed), 'choice': choice, 'logits': x,
                     'chain': [{'name': c, 'params': a} for c, a in chain], 'draws': toks})
    return rows

def write(name, rows):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, 'w') as f:
        f.write('{"rows":[\n' + ',\n'.join(json.dumps(r) for r in rows) + '\n]}\n')

write('chains.json', chains())
write('draws.json', draws())
