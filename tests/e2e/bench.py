#!/usr/bin/env python3
"""bench.py - `curlew bench`: the ratio to a peer, and load on a server. What is counted is checked, no time is."""

import json
import os
import stat
import subprocess
import tempfile

from serve import CURLEW, Server, is_sanitized, run_all

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")


def bench(*args):
    return subprocess.run([CURLEW, "bench", *args], capture_output=True, text=True, timeout=100)


def peer(folder, body):
    """A program in the way of llama-bench; it notes its arguments in a file."""
    path = os.path.join(folder, "peer")
    with open(path, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\necho "$@" >>%s/calls\n%s\n' % (folder, body))
    os.chmod(path, stat.S_IRWXU)
    return path


SMALL = ["--model", MODEL, "--prompt", "8", "--generate", "2", "--threads", "1"]
REPORT = """cat <<E
[{"n_prompt": 8, "n_gen": 0, "avg_ts": %s, "x": [1]}, {"n_prompt": 0, "n_gen": 2, "avg_ts": 4}]
E"""


def test_peer():
    with tempfile.TemporaryDirectory() as folder:
        # 3 runs of 100, 300 and 200 tokens a second: their median is 200
        n = "$(case $(wc -l <%s/calls) in 1) echo 100;; 2) echo 300;; *) echo 200;; esac)" % folder
        program = peer(folder, REPORT % n)
        done = bench(*SMALL, "--repeat", "3", "--json", "--peer", program)
        assert done.returncode == 0, done
        r = json.loads(done.stdout)
        assert r["peer_prefill_tok_s"] == 200 and r["peer_decode_tok_s"] == 4, r
        assert abs(r["prefill_ratio"] - r["prefill_tok_s"] / 200) < 0.005, r
        assert abs(r["decode_ratio"] - r["decode_tok_s"] / 4) < 0.005, r
        with open(os.path.join(folder, "calls"), encoding="utf-8") as f:
            calls = f.read().splitlines()
        assert calls == ["-m %s -p 8 -n 2 -t 1 -r 1 -o json" % MODEL] * 3, calls
        text = bench(*SMALL, "--repeat", "1", "--peer", program).stdout
        assert "ratio" in text and "ceiling" in text, text


def test_peer_that_fails():
    with tempfile.TemporaryDirectory() as folder:
        bad = [("exit 3", "status 3"), ("echo nothing", "line 1"), ("echo '[]'", "avg_ts"),
               ("head -c 3000000 /dev/zero", "longer than"),
               ("""echo '[{"n_prompt": 8, "n_gen": 0, "avg_ts": 0}]'""", "avg_ts")]
        for body, why in bad[:2] if is_sanitized() else bad:  # the ceilings take seconds there
            done = bench(*SMALL, "--peer", peer(folder, body))
            assert done.returncode == 1 and why in done.stderr, (body, done)
        done = bench(*SMALL, "--peer", os.path.join(folder, "nobody"))
        assert done.returncode == 1 and "cannot be run" in done.stderr, done


SCRIPT = 'mode forward\nsay "one two three four five"\n'


def test_serve():
    with Server(script=SCRIPT) as s:
        url = "http://127.0.0.1:%d" % s.port
        done = bench("--serve", url, "--clients", "1,5", "--words", "3,9", "--repeat", "4", "--generate", "10", "--json",
                     "--pid", str(s.process.pid))
        assert done.returncode == 0, done
        r = json.loads(done.stdout)
        assert r["model"] == "m" and r["generate"] == 10
        assert [(k["clients"], k["words"], k["requests"], k["failed"]) for k in r["runs"]] == \
            [(1, 3, 4, 0), (5, 3, 20, 0), (1, 9, 4, 0), (5, 9, 20, 0)], r
        for k in r["runs"]:
            assert k["tokens"] == k["requests"] * 10, k  # max_tokens, of a text of more bytes
            assert 0 < k["first_ms"]["p50"] <= k["first_ms"]["p99"], k
            assert k["between_ms"]["p50"] <= k["between_ms"]["p90"] <= k["between_ms"]["p99"], k
            assert k["server_cpu_s"] >= 0 and k["tok_s"] > 0, k
        text = bench("--serve", url + "/v1", "--clients", "2", "--words", "4", "--repeat", "2", "--model", "m")
        rows = text.stdout.splitlines()
        assert rows[-1].split()[:4] == ["2", "4", "4", "0"], text


def test_serve_that_fails():
    with Server(script='mode forward\nsay "x"\n') as s:
        url = "http://127.0.0.1:%d" % s.port
        done = bench("--serve", url, "--model", "nobody", "--clients", "2", "--repeat", "1", "--json")
        run, = json.loads(done.stdout)["runs"]
        assert done.returncode == 1 and run["failed"] == 2 and "status 404" in run["why"], done
        for flag, text in (("--clients", "0"), ("--clients", "1,x"), ("--words", ""), ("--words", "1,,2")):
            done = bench("--serve", url, flag, text)
            assert done.returncode == 1 and flag in done.stderr, (flag, text, done)
    for bad in ("https://127.0.0.1:1", "127.0.0.1:1", "http://", "http://:80", "http://a:"):
        done = bench("--serve", bad, "--model", "m")
        assert done.returncode == 1 and "http://" in done.stderr, (bad, done)
    done = bench("--serve", "http://127.0.0.1:1")
    assert done.returncode == 1 and "refused" in done.stderr, done


if __name__ == "__main__":
    run_all(globals())
