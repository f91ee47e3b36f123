"""Compare with a running server, llama.cpp's or curlew: token ids of 1,000 strings, prompts, greedy ids.

    llama-server -m MODEL.gguf --port 18099 --jinja &      or      CPU=ref curlew serve --model MODEL.gguf --alias tiny --port 18099 &
    peer_check.py MODEL.gguf http://127.0.0.1:18099 [prompts] [strings]

Both servers round activations to 8 bits where weights are quantised; with an F32 copy of the file
(llama-quantize --allow-requantize MODEL.gguf F32.gguf F32) nothing is rounded.
"""
import json
import random
import sys
import urllib.request

import chat
import reference
from text import mix
from text.grammar import Random


def post(url, body):
    req = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(req, timeout=300) as f:
        return json.load(f)


def strings(n):
    """Sentences of our world, and random characters of many scripts."""
    r, out = Random(8), []
    pools = ["abc XYZ'12 3.,;\n\t\r  ", "äöüß éèñ çœ", "日本語中文 かな", "Привет αβγ שלום عربي हिन्दी",
             "😀🏽👍🏿‍ \u00a0\u2003\u200b\ufeff",
             "¹½Ⅷ٣ _-+=<>|{}[]\"'s't'RE'll"]
    for i in range(n):
        if i % 2:
            out.append(mix.conversation(r).msgs[-1]["content"] or "x")
        else:
            out.append("".join(random.Random(i * 31 + k).choice(r.of(pools)) for k in range(r.randint(1, 40))))
    return out


def name(m, t):
    """A token as the completions API writes it in its list of log-probabilities."""
    b = m.tok.bytes_of(t)
    try:
        return b.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{x:02x}" for x in b)


def greedy(m, url, ids, n):
    """The names of the tokens that a server makes of these, greedily."""
    got = post(url + "/completion", {"prompt": ids, "n_predict": n, "temperature": 0, "top_k": 1,
                                     "return_tokens": True, "cache_prompt": False})["tokens"]
    if got:
        return [name(m, t) for t in got if t not in m.stop]
    choice = post(url + "/v1/completions", {"model": "tiny", "prompt": ids, "max_tokens": n, "temperature": 0,
                                            "logprobs": 0})["choices"][0]
    end = choice["finish_reason"] == "stop"
    return choice["logprobs"]["tokens"][:-1 if end and choice["logprobs"]["tokens"][-1] in ("", "<|im_end|>") else None]


def main():
    m, url = reference.Model(sys.argv[1]), sys.argv[2].rstrip("/")
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    bad = 0
    todo = strings(int(sys.argv[4]) if len(sys.argv) > 4 else 1000)
    for s in todo:
        theirs = post(url + "/tokenize", {"content": s, "parse_special": False})["tokens"]
        ours = m.tok.encode(s, special=False)
        if ours != theirs:
            bad += 1
            if bad < 6:
                print("tokens differ:", repr(s), ours, theirs)
        assert m.tok.decode(ours) == s
    print(f"token ids: {len(todo) - bad} of {len(todo)} strings alike")
    same = like = 0
    r = Random(5, held=True)
    for i in range(n):
        s = mix.one(r)
        prompt = "".join(t for t, _ in chat.pieces(s, answer=False))
        msgs, tools = chat.request(s)
        theirs = post(url + "/apply-template", {"messages": msgs, **({"tools": tools} if tools else {}),
                                                "chat_template_kwargs": {"enable_thinking": False}})["prompt"]
        if theirs != prompt:
            print("prompts differ:", repr(prompt), repr(theirs))
        like += theirs == prompt
        got = greedy(m, url, m.tok.encode(prompt), 200)
        want = [name(m, t) for t in m.generate(prompt, 200)]
        if got != want:
            print("ids differ:", want, "|", got)
        same += got == want
    print(f"prompts: {like} of {n} alike; greedy ids: {same} of {n} alike")


if __name__ == "__main__":
    main()
