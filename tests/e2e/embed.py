#!/usr/bin/env python3
"""embed.py - vectors and scores through the server: of the bundled decoder and of small encoders; the same bits
alone, in lists and beside others; clients that go away."""

import base64
import json
import math
import os
import struct
import sys
import threading

from serve import Server, read_reply, run_all, send_request, shared

HERE = os.path.dirname(__file__)
TINY = os.path.join(HERE, "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")
DATA = os.path.join(HERE, "..", "data", "model")


def embed(server, model, texts, **more):
    """The vectors of a list of texts, as bytes."""
    reply = server.post("/v1/embeddings", {"model": model, "input": texts, "encoding_format": "base64", **more})
    assert reply.status == 200, reply.body[:300]
    data = reply.json()["data"]
    assert [d["index"] for d in data] == list(range(len(texts)))
    return [base64.b64decode(d["embedding"]) for d in data]


def floats(raw):
    return struct.unpack("<%df" % (len(raw) // 4), raw)


def close(got, want, bound):
    gap = math.dist(got, want) / math.sqrt(sum(v * v for v in want))
    assert gap < bound, gap


def unit(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]


def at_once(jobs):
    """Run them in threads; the first failure is raised."""
    failed = []

    def one(job):
        try:
            job()
        except BaseException as e:  # noqa: B902 - handed on below
            failed.append(e)

    threads = [threading.Thread(target=one, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]


def need_tiny():
    if not os.path.exists(TINY):
        print("skipped: there is no bundled model here")
        sys.exit(77)


TEXTS = ["A fox.", "Tell me a story about a mouse named Mira.", "What is 12 plus 30?",
         "The fox and the mouse went to the river. " * 12, "x"]


def test_decoder_beside_others():
    """Vectors of a list, of its texts one by one, and of both beside streams and other lists: the same bits."""
    need_tiny()
    with Server("--model", TINY, "--log-level", "error") as server:
        alone = [embed(server, "curlew-tiny", [t])[0] for t in TEXTS]
        assert len(set(alone)) == len(TEXTS)
        for raw in alone:
            assert len(raw) == 4 * 256 and abs(sum(v * v for v in floats(raw)) - 1) < 1e-5
        talk = {"max_tokens": 120, "temperature": 0}
        question = "Tell me a story about a fox named Tom."
        story = server.chat("curlew-tiny", question, **talk).json()["choices"][0]["message"]["content"]

        def chat():
            got = server.chat("curlew-tiny", question, **talk).json()["choices"][0]["message"]["content"]
            assert got == story

        def vectors():
            assert embed(server, "curlew-tiny", TEXTS * 6) == alone * 6

        at_once([chat, vectors] * 4)
        assert server.health()["running"] == 0


def test_forms():
    need_tiny()
    with Server("--model", TINY, "--log-level", "error") as server:
        raw = embed(server, "curlew-tiny", ["A fox."])[0]
        plain = server.post("/v1/embeddings", {"model": "curlew-tiny", "input": "A fox."}).json()
        got = plain["data"][0]["embedding"]
        assert struct.pack("<256f", *got) == raw  # as text they lose nothing
        tokens = server.post("/tokenize", {"content": "A fox.", "add_special": True}).json()["tokens"]
        assert embed(server, "curlew-tiny", [tokens])[0] == raw
        assert plain["usage"] == {"prompt_tokens": len(tokens), "total_tokens": len(tokens)}
        short = floats(embed(server, "curlew-tiny", ["A fox."], dimensions=10)[0])
        close(short, unit(got[:10]), 1e-6)
        models = server.get("/v1/models").json()["data"][0]
        assert models["embedding_length"] == 256 and models["capabilities"]["embeddings"] is True


def test_limits():
    need_tiny()
    with Server("--model", TINY, "--log-level", "error") as server:
        reply = server.post("/v1/embeddings", {"model": "curlew-tiny", "input": ["x"] * 2049})
        assert reply.status == 400 and "2049 elements, the limit is 2048" in reply.json()["error"]["message"]
        assert len(embed(server, "curlew-tiny", ["x"] * 2048, dimensions=1)) == 2048
        reply = server.post("/v1/embeddings", {"model": "curlew-tiny", "input": ["fox " * 3000]})
        error = reply.json()["error"]
        assert reply.status == 400 and error["code"] == "context_length_exceeded", error
        assert "maximum context length is 1024 tokens, however you requested 3" in error["message"], error


def test_peer():
    """Last-token vectors of another engine, which keeps keys and values as f16; with f32 it agrees to 1e-6."""
    path = shared("weights", "stories260K-f32.gguf")
    rows = json.load(open(shared("weights", "stories260K-embeddings.json"), encoding="utf-8"))["rows"]
    with Server("--model", str(path), "--log-level", "error") as server:
        for row in rows:
            close(floats(embed(server, "stories260K-f32", [row["text"]])[0]), row["last"], 2e-3)


def expected(name):
    """Texts as tokens, and what the plain Python pass says of them (make_encoders.py)."""
    return json.load(open(os.path.join(DATA, name + ".json"), encoding="utf-8"))["texts"]


def test_encoders():
    for name in ("bert-f32", "nomic-bert-half", "jina-bert-v2-f32"):
        with Server("--model", os.path.join(DATA, name + ".gguf"), "--log-level", "error") as server:
            texts = expected(name)
            alone = [embed(server, name, [t["tokens"]])[0] for t in texts]
            for t, raw in zip(texts, alone):
                mean = [sum(column) / len(column) for column in zip(*t["states"])]
                close(floats(raw), unit(mean), 1e-5)
            many = [t["tokens"] for t in texts] * 100

            def vectors():
                assert embed(server, name, many) == alone * 100

            at_once([vectors] * 4)
            # "the" is 59, the ends are 2 and 3
            assert embed(server, name, ["The"]) == embed(server, name, [[2, 59, 3]])
            reply = server.chat(name)
            assert reply.status == 400 and "/v1/embeddings" in reply.json()["error"]["message"]
            reply = server.post("/v1/embeddings", {"model": name, "input": "a " * 63})
            assert reply.status == 400 and "requested 65 tokens" in reply.json()["error"]["message"], reply.body


def test_ranking():
    with Server("--model", os.path.join(DATA, "bert-rank.gguf"), "--log-level", "error") as server:
        pair = next(t for t in expected("bert-rank") if t["n_first"])
        assert pair["tokens"] == [2, 9, 30, 3, 11, 61, 3]  # [CLS] e z [SEP] g and [SEP]
        ask = {"model": "bert-rank", "query": "e z", "documents": ["g and", {"text": "the fox"}, ""]}
        reply = server.post("/v1/rerank", ask).json()
        scores = [r["relevance_score"] for r in reply["results"]]
        assert scores == sorted(scores, reverse=True) and len(scores) == 3
        first = next(r for r in reply["results"] if r["index"] == 0)
        assert abs(first["relevance_score"] - pair["score"]) < 4e-4, (first, pair["score"])
        assert reply["usage"] == {"prompt_tokens": 7 + 7 + 5, "total_tokens": 19} and "document" not in first
        best = server.post("/rerank", {**ask, "top_n": 1, "return_documents": True}).json()["results"]
        text = ["g and", "the fox", ""][best[0]["index"]]
        assert len(best) == 1 and best[0]["document"] == {"text": text}
        reply = server.post("/v1/embeddings", {"model": "bert-rank", "input": "a"})
        assert reply.status == 400 and "/v1/rerank" in reply.json()["error"]["message"]
        reply = server.post("/v1/rerank", {**ask, "documents": ["a", "a " * 60]})
        error = reply.json()["error"]
        assert reply.status == 400 and "documents[1] have 65 tokens together" in error["message"], error
        capabilities = server.get("/v1/models").json()["data"][0]["capabilities"]
        assert (capabilities["rerank"], capabilities["embeddings"], capabilities["completions"]) == (True, False, False)


def gone_while_running(mode):
    """A long list whose client goes away ends long before its time, and a short one beside it gets its turn."""
    script = f"mode {mode}\nembed last\nctx 256\nprefill-wait 20\nsay \"x\"\n"
    with Server(script=script) as server:
        body = {"model": "m", "input": [f"number {i}" for i in range(2048)]}
        for _ in range(2):
            with server.connect() as s:
                send_request(s, "POST", "/v1/embeddings", json.dumps(body).encode())
                server.running(1)
                if mode == "forward":
                    assert len(embed(server, "m", ["short"])) == 1
                    assert server.health()["running"] == 1
            server.running(0)
        assert len(embed(server, "m", ["after"])) == 1


def test_gone():
    gone_while_running("forward")
    gone_while_running("generate")


def test_crash():
    """An engine that dies gives its requests a clean error."""
    with Server(script="mode generate\nembed mean\nprefill-wait 30000\nsay \"x\"\n") as server:
        with server.connect() as s:
            send_request(s, "POST", "/v1/embeddings", json.dumps({"model": "m", "input": "a"}).encode())
            server.running(1)
            os.kill(server.worker(), 9)
            reply = read_reply(s)
        assert reply.status == 503 and reply.json()["error"]["code"] == "engine_unavailable"


if __name__ == "__main__":
    run_all(dict(globals()))
