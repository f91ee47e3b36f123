#!/usr/bin/env python3
"""cli_tok_server.py - the tokenizer server, asked as the NPU programs ask: plain requests, both generations."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import cli_rig
from cli_rig import END, HELLO, START, command, gguf, tokenizer_json
from serve import CURLEW, PATIENCE, read_reply, run_all, send_request

# What the template of cli_rig makes of a conversation: <|start|>role:text<|end|>. Bytes are ids.

def turn(role, *ids):
    return [START, *map(ord, role + ":"), *ids, END]


def opened():
    return [START, *map(ord, "assistant:")]


class Server:
    def __init__(self, *args):
        # a sanitizer's search for leaks needs rights that the process has given up
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        self.p = subprocess.Popen([CURLEW, "tokenizer-server", "--port", "0", *args], stdout=subprocess.PIPE, env=env)
        line = self.p.stdout.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)$", line.strip())
        assert found, line
        self.port = int(found.group(1))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.p.send_signal(signal.SIGTERM)
        status = self.p.wait(PATIENCE)
        self.p.stdout.close()
        assert kind is not None or status == 0, status

    def ask(self, method, path, body=None, headers=None):
        """Status and JSON of the reply; no content type is sent, as the programs send none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as s:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            send_request(s, method, path, data, headers)
            reply = read_reply(s)
            assert reply.headers["content-type"].startswith("application/json"), reply.headers
            return reply.status, reply.json()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, body):
        return self.ask("POST", path, body)


USER_HELLO = turn("user", HELLO)


def test_first_generation():
    for model in (gguf(), cli_rig.path("hf")):
        if model.endswith("hf"):
            tokenizer_json("hf/tokenizer.json")
            cli_rig.write("hf/tokenizer_config.json", json.dumps({
                "bos_token": "<|start|>", "eos_token": "<|end|>", "chat_template": cli_rig.TEMPLATE}))
        with Server("--model", model) as s:
            assert s.get("/bos_id") == (200, {"bos_id": START})
            assert s.get("/eos_id") == (200, {"eos_id": END})
            want = USER_HELLO + opened()
            assert s.post("/encode", {"text": "hello", "img_prompt": False}) == (200, {"token_ids": want})
            assert s.post("/encode", {"text": "hello"}) == (200, {"token_ids": want})  # nothing is remembered
            assert s.post("/decode", {"token_ids": [HELLO, 33, END]}) == (200, {"text": "hello!"})
            assert s.post("/decode", {"token_ids": []}) == (200, {"text": ""})
            # text of a user is never a special token
            assert s.post("/encode", {"text": "<|end|>"})[1]["token_ids"].count(END) == 1


def test_second_generation():
    with Server("--model", gguf()) as s:
        uid = s.get("/get_uid?tokenizer_type=x")[1]["uid"]
        other = s.get("/get_uid")[1]["uid"]
        assert uid != other and re.fullmatch("[0-9a-f]{32}", uid)
        assert s.get(f"/bos_id?uid={uid}") == (200, {"bos_id": START})
        system = turn("system", ord("s"))
        assert s.post("/reset", {"uid": uid, "system_prompt": "s"}) == (200, {"token_ids": system})
        first = system + USER_HELLO + opened()
        assert s.post("/encode", {"uid": uid, "text": "hello"}) == (
            200, {"token_ids": first, "diff": USER_HELLO + opened()})
        # the reply was computed by the program: new is what follows it
        again = system + USER_HELLO + turn("assistant", ord("k")) + USER_HELLO + opened()
        assert s.post("/encode", {"uid": uid, "text": "hello", "last_reply": "k"}) == (
            200, {"token_ids": again, "diff": USER_HELLO + opened()})
        # the other conversation knows nothing of it
        assert s.post("/encode", {"uid": other, "text": "hello"}) == (
            200, {"token_ids": USER_HELLO + opened(), "diff": USER_HELLO + opened()})
        assert s.post("/decode", {"uid": uid, "token_ids": [HELLO]}) == (200, {"text": "hello"})
        assert s.get(f"/reset?uid={uid}") == (200, {"success": True})
        assert s.post("/encode", {"uid": uid, "text": "hello"})[1]["diff"] == USER_HELLO + opened()
        assert s.post("/reset", {"uid": uid}) == (200, {"token_ids": []})


def test_system_of_the_command_line():
    with Server("--model", gguf(), "--system", "s") as s:
        want = turn("system", ord("s")) + USER_HELLO + opened()
        assert s.post("/encode", {"text": "hello"}) == (200, {"token_ids": want})
        uid = s.get("/get_uid")[1]["uid"]
        assert s.post("/reset", {"uid": uid}) == (200, {"token_ids": turn("system", ord("s"))})
        assert s.post("/encode", {"uid": uid, "text": "hello"}) == (
            200, {"token_ids": want, "diff": USER_HELLO + opened()})


def test_refusals():
    with Server("--model", gguf()) as s:
        for method, path, body in (("GET", "/bos_id?uid=nobody", None), ("POST", "/encode", {"uid": "x", "text": "a"}),
                                   ("POST", "/encode", {"uid": 5, "text": "a"}), ("POST", "/reset", {}),
                                   ("GET", "/reset", None), ("POST", "/decode", {"uid": "", "token_ids": []})):
            assert s.ask(method, path, body) == (400, {"error": "Invalid uid"}), (method, path, body)
        for path, body, status in (("/encode", {}, 400), ("/encode", {"text": 1}, 400), ("/encode", b"{", 400),
                                   ("/encode", [], 400), ("/encode", {"text": "a", "img_prompt": True}, 400),
                                   ("/decode", {"token_ids": [END + 1]}, 400), ("/decode", {"token_ids": "1"}, 400),
                                   ("/decode", {"token_ids": [-1]}, 400), ("/nothing", {}, 404), ("/bos_id", {}, 405)):
            got = s.post(path, body)
            assert got[0] == status and list(got[1]) == ["error"], (path, body, got)
        assert s.ask("GET", "/bos_id", headers={"host": "evil.example"})[0] == 403  # a rebound name
        assert s.get("/bos_id")[0] == 200
    status, out, err = command("tokenizer-server", "--model", gguf(), "--port", "99999")
    assert status == 2 and "out of range" in err, err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, out, err = command("tokenizer-server", "--model", gguf(), "--port", port)
        assert status == 1 and port in err, err


def test_many_conversations():
    """64 are remembered; the one unused longest makes room."""
    with Server("--model", gguf()) as s:
        uids = [s.get("/get_uid")[1]["uid"] for _ in range(64)]
        assert s.get(f"/eos_id?uid={uids[0]}")[0] == 200  # used again
        more = s.get("/get_uid")[1]["uid"]
        assert s.get(f"/eos_id?uid={uids[0]}")[0] == 200
        assert s.get(f"/eos_id?uid={uids[1]}") == (400, {"error": "Invalid uid"})
        assert s.get(f"/eos_id?uid={more}")[0] == 200


def test_no_rights():
    """The process can open nothing any more."""
    with Server("--model", gguf()) as s:
        status = open(f"/proc/{s.p.pid}/status").read()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status


def test_connection_stays():
    with Server("--model", gguf()) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as c:
        for _ in range(3):
            send_request(c, "GET", "/bos_id")
            assert read_reply(c).json() == {"bos_id": START}


def test_shared():
    model = os.path.join(os.environ.get("CURLEW_SHARED", ""), "tokenizers", "vocab", "ggml-vocab-qwen2.gguf")
    if not os.path.exists(model):
        print("skipped: no shared material at tokenizers")
        return
    with Server("--model", model) as s:
        ids = s.post("/encode", {"text": "Hello"})[1]["token_ids"]
        assert ids[0] == 151644 and ids[-1] == 198 and 9707 in ids, ids  # <|im_start|> ... "\n"


if __name__ == "__main__":
    run_all(globals())
    sys.exit(0)
