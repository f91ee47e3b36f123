"""Byte-level BPE: trainer and encoder.

The text is first cut the way the Qwen2 tokenizers cut it (llama.cpp knows the pattern as "qwen2"):
words with a leading space or sign, one digit at a time, runs of punctuation, white space.  Merges
never cross a cut.  All 256 bytes are tokens, so any bytes survive a round trip.

Sources: Sennrich et al., arXiv:1508.07909 (BPE); Radford et al., GPT-2 report, 2019 (bytes as characters).
"""
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict

import chat


def _class(prefix):
    """A regex class of all characters whose Unicode category starts with prefix."""
    out, lo = [], None
    for c in range(sys.maxunicode + 2):
        inside = c <= sys.maxunicode and unicodedata.category(chr(c)).startswith(prefix)
        if inside and lo is None:
            lo = c
        elif not inside and lo is not None:
            out.append("\\U%08x-\\U%08x" % (lo, c - 1))
            lo = None
    return "".join(out)


_L, _N = _class("L"), _class("N")
CUT = re.compile(rf"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n{_L}{_N}]?[{_L}]+|[{_N}]"
                 rf"| ?[^\s{_L}{_N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_chars():
    """GPT-2's printable stand-in for every byte."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, n = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + n)
            n += 1
    return table


BYTE = byte_chars()
UNBYTE = {c: b for b, c in BYTE.items()}
BYTE_ONLY = {c for b, c in BYTE.items() if b >= 128 or b <= 32}


def joinable(a, b):
    """May a and b become one token?  A sign or space stays apart from a capital letter after it.

    "in Oslo" and {"city": "Oslo"} then hold the same token for the name, and a small model that has
    to copy one to the other need not know two spellings.
    """
    return a[-1].isascii() and a[-1].isalnum() or not b[0].isupper() or b[0] in BYTE_ONLY


def train(texts, n_vocab):
    """Merges, most frequent pair first; ties go to the pair that sorts first."""
    words = Counter()
    for t in texts:
        words.update(CUT.findall(t))
    split = re.compile("|".join(map(re.escape, chat.SPECIALS)))
    assert not any(split.search(w) for w in words)
    seqs = [([BYTE[b] for b in w.encode()], n) for w, n in sorted(words.items())]
    count, where = Counter(), defaultdict(set)
    for i, (s, n) in enumerate(seqs):
        for p in zip(s, s[1:]):
            if joinable(*p):
                count[p] += n
                where[p].add(i)
    merges = []
    while len(merges) < n_vocab - 256 - len(chat.SPECIALS):
        best = min(count, key=lambda p: (-count[p], p))
        if count[best] < 2:
            raise SystemExit("not enough text for so many tokens")
        merges.append(best)
        for i in where.pop(best):
            s, n = seqs[i]
            for p in zip(s, s[1:]):
                if joinable(*p):
                    count[p] -= n
            j, out = 0, []
            while j < len(s):
                if j + 1 < len(s) and (s[j], s[j + 1]) == best:
                    out.append(s[j] + s[j + 1])
                    j += 2
                else:
                    out.append(s[j])
                    j += 1
            seqs[i] = (out, n)
            for p in zip(out, out[1:]):
                if joinable(*p):
                    count[p] += n
                    where[p].add(i)
        del count[best]
        if len(merges) % 64 == 0:
            count = +count
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.tokens = [BYTE[b] for b in range(256)] + [a + b for a, b in self.merges] + chat.SPECIALS
        self.id = {t: i for i, t in enumerate(self.tokens)}
        if len(self.id) != len(self.tokens):
            raise ValueError("two merges make the same token")
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.special = re.compile("(" + "|".join(map(re.escape, chat.SPECIALS)) + ")")
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            return cls(json.load(f)["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"merges": self.merges}, f, ensure_ascii=False)

    def _word(self, w):
        ids = self.cache.get(w)
        if ids is None:
            s = [BYTE[b] for b in w.encode()]
            while len(s) > 1:
                k = min(range(len(s) - 1), key=lambda i: self.rank.get((s[i], s[i + 1]), 1 << 30))
                if (s[k], s[k + 1]) not in self.rank:
                    break
                s[k:k + 2] = [s[k] + s[k + 1]]
            ids = self.cache[w] = [self.id[t] for t in s]
        return ids

    def encode(self, text, special=True):
        out = []
        for part in self.special.split(text) if special else [text]:
            if special and part in self.id and part in chat.SPECIALS:
                out.append(self.id[part])
            else:
                for w in CUT.findall(part):
                    out += self._word(w)
        return out

    def bytes_of(self, i):
        t = self.tokens[i]
        return t.encode() if i >= len(self.tokens) - len(chat.SPECIALS) else bytes(UNBYTE[c] for c in t)

    def decode(self, ids):
        return b"".join(self.bytes_of(i) for i in ids).decode("utf-8", "replace")


def main():
    """bpe.py OUT.json N_VOCAB SEED N_CONVERSATIONS"""
    from text import mix
    from text.grammar import Random
    out, n_vocab, seed, n = sys.argv[1], *map(int, sys.argv[2:5])
    r = Random(seed)
    cut = re.compile("|".join(map(re.escape, chat.SPECIALS)))
    texts = []
    for i in range(n):
        for text, _ in chat.pieces(mix.conversation(r), thinking=i % 4 == 0):
            texts += cut.split(text)
    t = Tokenizer(train(texts, n_vocab))
    t.save(out)
    n_char = sum(map(len, texts))
    n_tok = sum(len(t.encode(x)) for x in texts)
    print(f"{len(t.tokens)} tokens, {n_char / n_tok:.2f} characters a token")
    for x in ("Größe, ñ, 日本語, \u0000\x7f 12345 \r\n\t <think>", "".join(map(chr, range(0, 3000, 7)))):
        assert t.decode(t.encode(x)) == x


if __name__ == "__main__":
    main()
