#!/usr/bin/env python3
"""config.py - a server from a configuration file: what it serves, and what a reload changes."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

from serve import CURLEW, PATIENCE, Server, gone, read_reply, run_all, send_request, text_of, until

ENDLESS = 'on "long"\nsay "tok "\nwait 10\nendless\non ""\n'


class Configured(Server):
    """A server of c.yaml in its own folder; models: {name: what it says}."""

    def __init__(self, config, models, *flags, wait=True, env=None):
        self.pending = config, models
        super().__init__(*flags, "--config", "c.yaml", wait=wait, env=env)

    def prepare(self):
        self.cwd = self.folder
        config, models = self.pending
        for name, says in models.items():
            self.model(name, says)
        self.write("c.yaml", config)

    def model(self, name, says):
        path = self.write(name + ".script.new", f'mode generate\n{ENDLESS}say "{says}"\n')
        os.replace(path, path[:-4])

    def hangup(self, config):
        """SIGHUP with this new configuration; the log's line about it."""
        self.write("c.yaml", config)
        before = len(self.text())
        self.process.send_signal(signal.SIGHUP)
        return until("the reload is reported", lambda: next(
            (line for line in self.text()[before:].split("\n") if re.search(r"reloaded |reload_refused ", line)), None))

    def listening(self):
        """host:port of its TCP listener, from the kernel: the banner comes only when all models are there."""
        front = self.front()
        try:
            inodes = {os.readlink(f"/proc/{front}/fd/{fd}") for fd in os.listdir(f"/proc/{front}/fd")}
            rows = [line.split() for line in open("/proc/net/tcp")][1:]
        except OSError:
            return None
        return next((f"127.0.0.1:{int(r[1].split(':')[1], 16)}" for r in rows
                     if r[3] == "0A" and f"socket:[{r[9]}]" in inodes), None)

    def ids(self):
        return [m["id"] for m in self.get("/v1/models").json()["data"]]

    def state(self, name):
        return self.get("/v1/models/" + name).json().get("state")

    def says(self, name, want):
        reply = self.chat(name)
        assert reply.status == 200, reply.body
        got = reply.json()["choices"][0]["message"]["content"]
        assert got == want, (got, want)

    def will_say(self, name, want):
        until(f"{name} says {want}", lambda: (r := self.chat(name)).status == 200
              and r.json()["choices"][0]["message"]["content"] == want)


TWO = "models:\n  - {id: a, path: a.script, aliases: [first]}\n  - {id: b, path: b.script}\n"


def test_two_models():
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        server.says("a", "I am a")
        server.says("first", "I am a")
        server.says("b", "I am b")
        assert server.ids() == ["a", "b"]


def test_a_models_own_settings():
    """context of one model is not the other's."""
    config = "context: 512\nmodels:\n  - {id: a, path: a.script, context: 256}\n  - {id: b, path: b.script}\n"
    with Configured(config, {"a": "x", "b": "y"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        shown = {m["id"]: m["context_length"] for m in server.get("/v1/models").json()["data"]}
        assert shown == {"a": 256, "b": 512}, shown


def begin_long(server, name):
    stream = server.stream(name, "long")
    events = iter(stream)
    until("text comes", lambda: text_of([next(events)]))
    return stream, events


def test_reload_drops_no_stream():
    """A model goes, one comes, one changes, one stays: streams of all go on."""
    models = {n: "I am " + n for n in "abcd"}
    entry = "  - {{id: {0}, path: {0}.script}}\n"
    with Configured("models:\n" + "".join(entry.format(n) for n in "abc"), models) as server:
        until("all are there", lambda: server.health()["status"] == "ok")
        streams = {n: begin_long(server, n) for n in "abc"}
        pids = {n: server.worker(n) for n in "abc"}
        line = server.hangup("models:\n" + entry.format("a") + entry.format("d") +
                             "  - {id: c, path: c.script, context: 300}\n")
        assert 'loading=["d","c"] kept=["a"] leaving=["b"]' in line, line
        assert server.ids() == ["a", "d", "c"]
        server.will_say("d", "I am d")
        until("the new c is seen", lambda: server.get("/v1/models/c").json().get("context_length") == 300)
        server.says("c", "I am c")
        assert server.chat("b").status == 404
        for name, (stream, events) in streams.items():
            for _ in range(20):
                assert text_of([next(events)]), f"the stream of {name} broke"
        assert server.worker("a") == pids["a"], "the one that stays was started again"
        assert not gone(pids["b"]) and not gone(pids["c"]), "a worker left before its stream"
        for stream, _ in streams.values():
            stream.close()
        until("the workers that left are gone", lambda: gone(pids["b"]) and gone(pids["c"]))
        assert server.worker("a") == pids["a"]
        server.says("a", "I am a")
        server.running(0)
        labels = sorted(label for _, label in server.labels("worker"))
        assert labels == ["a", "c", "d"], labels


def test_bad_file_changes_nothing():
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        pids = [server.worker("a"), server.worker("b"), server.front()]
        for bad, why in ((TWO + "prot: 1\n", "c.yaml:4:1:"),
                         ("models:\n  - nowhere.script\n", "nowhere.script: No such file"),
                         ("models:\n  - {path: a.script, aliases: [b]}\n  - b.script\n", "two models are called b"),
                         ("models: []\n", "no model"),
                         (TWO + "admin_key_file: nowhere\n", "nowhere: No such file")):
            line = server.hangup(bad)
            assert "reload_refused" in line and why in line, line
            assert "nothing has changed" in line, line
            server.says("a", "I am a")
            assert server.ids() == ["a", "b"]
        os.unlink(os.path.join(server.folder, "c.yaml"))
        before = len(server.text())
        server.process.send_signal(signal.SIGHUP)
        until("it says so", lambda: "reload_refused" in server.text()[before:])
        assert pids == [server.worker("a"), server.worker("b"), server.front()]
        line = server.hangup(TWO)
        assert 'kept=["a","b"]' in line, line


def test_file_replaced():
    """The same path, another file: its model is loaded anew."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        b = server.worker("b")
        server.model("a", "I am new")
        line = server.hangup(TWO)
        assert 'loading=["a"] kept=["b"] leaving=[]' in line, line
        server.will_say("a", "I am new")
        assert server.worker("b") == b


def changing(server, config, model, says, load_wait):
    """A new file for a model that takes a while to load, and the reload."""
    path = server.write(model + ".script.new", f'load-wait {load_wait}\nmode generate\n{ENDLESS}say "{says}"\n')
    os.replace(path, path[:-4])
    return server.hangup(config)


def test_change_without_a_gap():
    """While a model changes, the old one answers; from one request to the next the new one does."""
    with Configured(TWO, {"a": "old", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        old = server.worker("a")
        changing(server, TWO, "a", "new", 300)
        answers = []
        while not answers or answers[-1] == "old":
            reply = server.chat("first")
            assert reply.status == 200, reply.body
            answers.append(reply.json()["choices"][0]["message"]["content"])
            assert server.ids() == ["a", "b"], server.ids()
        assert answers[0] == "old" and answers[-1] == "new", answers
        for i in range(15):  # one change upon the other, whatever is on its way between the processes
            server.hangup(f"models:\n  - {{id: a, path: a.script, context: {256 + i}}}\n")
            server.says("a", "new")
        server.hangup(TWO)
        server.will_say("b", "I am b")
        until("two workers", lambda: gone(old) and len(server.labels("worker")) == 2)
        until("all is well", lambda: server.health()["status"] == "ok")


def test_reload_under_load():
    """Requests from several sides while the configuration changes again and again: each gets its whole answer."""
    class Forward(Configured):
        def model(self, name, says):
            self.write(name + ".script", f'mode forward\nsay "{says}"\n')
    problems, done, stop = [], [], threading.Event()

    def ask(server):
        while not stop.is_set():
            try:
                reply = server.chat("a", stream=len(done) % 2 == 0)
                done.append(reply)
                if reply.status != 200 or not reply.whole or b"error" in reply.body:
                    problems.append(reply.body)
            except (OSError, ValueError) as e:
                problems.append(e)
    with Forward(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(2)]
        front = server.front()
        for t in threads:
            t.start()
        for i in range(30):
            server.hangup([TWO, TWO.replace("id: a,", f"id: a, context: {256 + i},"), TWO + "ctxx: 1\n",
                           TWO.replace("[first]", f"[x{i}]"), "models: [a.script]\n"][i % 5])
            if i % 3:
                until("a few answers", lambda n=len(done): len(done) > n + 2)
        stop.set()
        for t in threads:
            t.join()
        assert not problems, problems[:3]
        server.hangup(TWO)
        until("two workers", lambda: len(server.labels("worker")) == 2)
        assert server.front() == front, "the front was started again"


def test_change_that_fails():
    """The old one stays; another change comes afterwards."""
    with Configured(TWO, {"a": "old", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        for says in 'load-fail "no luck"\n', "sing loudly\n", "crash\n":
            before = len(server.text())
            server.write("a.script", says if says != "crash\n" else f"load-wait 60000\n")
            server.hangup(TWO)
            if says == "crash\n":  # it dies while it loads, again and again
                until("two workers of a", lambda: [n for _, n in server.labels("worker")].count("a") == 2)
                newest = max(p for p, n in server.labels("worker") if n == "a")
                os.kill(newest, signal.SIGKILL)
                until("it is started again", lambda: "worker_ended" in server.text()[before:])
            else:
                until("it failed", lambda: "load_failed model=a" in server.text()[before:])
                until("its worker is gone", lambda: len(server.labels("worker")) == 2)
            server.says("a", "old")
            assert server.state("a") == "ready" and server.health()["status"] == "ok"
        changing(server, TWO, "a", "new", 0)  # while another change is not done yet
        server.will_say("a", "new")
        until("two workers", lambda: len(server.labels("worker")) == 2)
        assert server.ids() == ["a", "b"]


def test_change_is_taken_back():
    """A model that would change and then would not: the one that waits goes, the one that serves stays."""
    with Configured(TWO, {"a": "old", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        old, front = server.worker("a"), server.front()
        os.rename(os.path.join(server.folder, "a.script"), os.path.join(server.folder, "kept"))
        changing(server, TWO, "a", "new", 60000)
        until("two workers of a", lambda: len(server.labels("worker")) == 3)
        assert 'kept=["a","b"]' in server.hangup(TWO)  # nothing new: it goes on loading
        assert len(server.labels("worker")) == 3
        os.rename(os.path.join(server.folder, "kept"), os.path.join(server.folder, "a.script"))
        line = server.hangup(TWO)
        assert 'loading=[] kept=["a","b"] leaving=[]' in line, line
        until("one worker of a", lambda: len(server.labels("worker")) == 2)
        assert server.worker("a") == old
        server.says("a", "old")
        changing(server, TWO, "a", "new", 60000)
        until("two workers of a", lambda: len(server.labels("worker")) == 3)
        assert 'leaving=["a"]' in server.hangup("models: [{id: b, path: b.script}]\n")
        until("no worker of a", lambda: [n for _, n in server.labels("worker")] == ["b"])
        assert server.ids() == ["b"] and server.front() == front


def test_change_and_front_killed():
    """A new front knows the one that serves and the one that waits for its turn."""
    with Configured(TWO, {"a": "old", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        changing(server, TWO, "a", "new", 700)
        until("two workers of a", lambda: len(server.labels("worker")) == 3)
        front = server.front()
        os.kill(front, signal.SIGKILL)

        def answer():
            try:
                reply = server.chat("a")
                return reply.status == 200 and reply.json()["choices"][0]["message"]["content"]
            except (ConnectionError, ValueError):
                return None
        until("the old one answers", lambda: answer() == "old")
        until("the new one answers", lambda: answer() == "new")
        until("two workers", lambda: len(server.labels("worker")) == 2)


def test_names_change_alone():
    """Other aliases and places need no new worker."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        a, b = server.worker("a"), server.worker("b")
        line = server.hangup("models:\n  - {id: b, path: b.script, aliases: [first]}\n  - {id: a, path: a.script}\n")
        assert 'loading=[] kept=["b","a"] leaving=[]' in line, line
        server.says("first", "I am b")
        assert server.ids() == ["b", "a"]
        assert (server.worker("a"), server.worker("b")) == (a, b)


def test_log_level_alone():
    """Other lines in the log are not worth loading a model again."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        assert 'loading=[] kept=["a","b"]' in server.hangup(TWO + "log_level: debug\n")
        assert 'loading=["a","b"] kept=[]' in server.hangup(TWO + "log_level: debug\nqueue: 5\n")
        until("a worker speaks", lambda: re.search(r"debug worker\[a\]", server.text()))


def test_what_needs_a_restart():
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        for _ in range(2):  # it is said each time, not once
            line = server.hangup(TWO + "connections: 1\nbody_bytes: 1K\n")
            assert "restart_needed=[connections]" in line, line
        stream, events = begin_long(server, "b")
        assert server.get("/ping").status == 200  # a second connection: their number is what it was
        assert text_of([next(events)])
        stream.close()
        reply = server.chat("a", "x" * 3000)
        assert reply.status == 413, reply.status  # the body's limit holds from now on
        assert "restart_needed=[]" in server.hangup(TWO)
        assert server.chat("a", "x" * 3000).status == 200


def test_reload_and_front_killed():
    """The front dies while a model leaves: its new one knows only what is served, and the worker goes."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        stream, _ = begin_long(server, "b")
        b, front = server.worker("b"), server.front()
        server.hangup("models:\n  - {id: a, path: a.script}\n")
        assert not gone(b)
        os.kill(front, signal.SIGKILL)
        until("its worker is gone", lambda: gone(b))

        def ids():
            try:
                return server.ids()
            except (ConnectionError, ValueError):
                return None
        until("a is served", lambda: ids() == ["a"])
        stream.close()
        server.will_say("a", "I am a")
        server.hangup(TWO)
        server.will_say("b", "I am b")


def test_leaving_worker_killed():
    """The worker of a model that leaves dies: its stream gets its error, nobody comes in its place."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        _, events = begin_long(server, "b")
        b = server.worker("b")
        server.hangup("models:\n  - {id: a, path: a.script}\n")
        os.kill(b, signal.SIGKILL)
        rest = list(events)
        assert "error" in rest[-1], rest[-1]
        until("no worker b", lambda: server.worker("b") is None)
        server.says("a", "I am a")
        assert server.health()["status"] == "ok"


def descriptors(server):
    """How many the supervisor has, once what belongs to children that ended is closed."""
    n = [-1] * 5
    while len(set(n)) > 1 or n[0] < 0:
        time.sleep(0.1)
        n = n[1:] + [len(os.listdir(f"/proc/{server.process.pid}/fd"))]
    return n[0]


def test_many_reloads():
    """Places of models that left are used again: nothing grows."""
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        for i in range(12):
            server.hangup(f"models:\n  - {{id: a, path: a.script, context: {256 + i}}}\n")
            server.will_say("a", "I am a")
        until("one worker", lambda: len(server.labels("worker")) == 1)
        fds = descriptors(server)
        for _ in range(3):  # one that stays, and a list that is refused when its first file is open
            server.hangup("models:\n  - {id: a, path: a.script, context: 267}\n")
            server.hangup("models: [b.script, nowhere.script]\n")
        server.hangup("models:\n  - {id: a, path: a.script, context: 999}\n")
        server.will_say("a", "I am a")
        until("one worker", lambda: len(server.labels("worker")) == 1)
        assert descriptors(server) == fds


def test_models_dir():
    """Everything in the folder and its folders; what cannot be served is named with its reason."""
    models = {"one": "1", "sub/two": "2", "sub/deep/er/three": "3", ".hidden": "h"}

    class Folder(Configured):
        def model(self, name, says):
            os.makedirs(os.path.join(self.folder, "m", os.path.dirname(name)), exist_ok=True)
            super().model("m/" + name, says)

    with Folder("models_dir: m\nmodels:\n  - {id: uno, path: one.script}\n", models) as server:
        until("all are there", lambda: server.health()["status"] == "ok")
        assert server.ids() == ["uno", "two"], server.ids()
        for name in ("mmproj-x.gguf", "big-00001-of-00003.gguf", "readme.txt", "sub/one.txt"):
            server.write("m/" + name, "x")
        server.write("m/empty.gguf", "")
        server.hangup(server.pending[0])
        assert server.ids() == ["uno", "two"], server.ids()
        text = server.text()
        for name, why in (("mmproj-x.gguf", "picture part"), ("big-00001-of-00003", "several parts"),
                          ("empty.gguf", "the file is empty")):
            assert re.search(rf'not_served file="[^"]*{name}[^"]*" why="[^"]*{why}', text), (name, text)
        assert "readme" not in text


def test_places():
    """Several places to listen, Unix sockets among them; they are gone afterwards."""
    class Places(Configured):
        where = ()

        def prepare(self):
            self.path = os.path.join(self.folder, "s.sock")
            self.pending = self.pending[0].replace("PATH", self.path), self.pending[1]
            super().prepare()

    models = {"a": "I am a", "b": "I am b"}
    with Places(TWO + 'listen: ["127.0.0.1:0", "unix:PATH"]\n', models) as server:
        assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
        for kind, where in ((socket.AF_INET, ("127.0.0.1", server.port)), (socket.AF_UNIX, server.path)):
            with socket.socket(kind) as s:
                s.settimeout(PATIENCE)
                s.connect(where)
                send_request(s, "GET", "/ping")
                assert read_reply(s).status == 200
        server.process.terminate()
        assert server.process.wait(PATIENCE) == 0
        assert not os.path.exists(server.path)
    with Places(TWO + 'listen: ["unix:s.sock"]\n', models, wait=False) as server:
        assert server.process.wait(PATIENCE) == 2  # which folder a relative one is in, nobody knows
        assert 'listen: "unix:s.sock" is no place to listen' in server.text(), server.text()


def check_config(folder, text, *flags):
    path = os.path.join(folder, "c.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    p = subprocess.run([CURLEW, "check-config", path, *flags], capture_output=True, text=True, timeout=PATIENCE)
    return p.returncode, p.stdout, p.stderr


def test_check_config():
    with Configured(TWO, {"a": "I am a", "b": "I am b"}) as server:
        status, out, err = check_config(server.folder, TWO + "context: 77\n", "--compat", "simple-rkllm")
        assert status == 0 and not err, err
        want = (f"listen 127.0.0.1:5000\nmodel a\n  file      {server.folder}/a.script (%d bytes)\n  aliases   first\n"
                "  context   77\n  parallel  8\nmodel b\n" % os.path.getsize(os.path.join(server.folder, "a.script")))
        assert out.startswith(want), out
        for text, why, code in ((TWO + "ctxx: 1\n", f"{server.folder}/c.yaml:4:1: \"ctxx\" is not a key of the "
                                 "configuration; did you mean ctx?\n", 2),
                                ("models: [x.script]\n", f"{server.folder}/c.yaml:1:10: {server.folder}/x.script: "
                                 "No such file or directory\n", 1),
                                (TWO + "admin_key_file: a.script\n", "", 0),
                                (TWO + "admin_key_file: nowhere\n", "nowhere: No such file", 1),
                                ("models: [{path: a.script, chat_template: nice}]\n", "is no built-in template", 1)):
            status, out, err = check_config(server.folder, text)
            assert status == code and why in err and (code == 0 or not out), (status, out, err)
            assert code == 0 or err.startswith("curlew check-config: "), err


def test_chat_template():
    """A template from a file, one by its name, and one that is none."""
    models = {"a": "x", "b": "x"}
    config = ("models:\n  - {id: a, path: a.script, chat_template: t.jinja}\n"
              "  - {id: b, path: b.script, chat_template: chatml}\n")

    class Forward(Configured):
        def model(self, name, says):
            self.write(name + ".script", f'mode forward\nsay "{says}"\n')
            self.write("t.jinja", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")

    def prompt(server, name):
        return server.post("/apply-template", {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
                           ).json()["prompt"]
    with Forward(config, models) as server:
        until("both are there", lambda: server.health()["status"] == "ok")
        assert prompt(server, "a") == "<user>Hi", prompt(server, "a")
        assert prompt(server, "b").startswith("<|im_start|>user\nHi"), prompt(server, "b")
        server.write("t.jinja", "{{ messages[0].content }}!")
        server.hangup(config)
        until("the new template", lambda: server.state("a") == "ready" and prompt(server, "a") == "Hi!")
        server.write("t.jinja", "{% endfor %}")
        server.hangup(config)
        until("it failed", lambda: re.search(r"load_failed model=a .*t\.jinja", server.text()))
        assert prompt(server, "a") == "Hi!" and server.state("a") == "ready"  # the old one stays


def test_reasoning_field():
    """Where replies put thinking, for each model."""
    fields = {"reasoning_content": {"reasoning_content"}, "reasoning": {"reasoning"},
              "both": {"reasoning_content", "reasoning"}, "none": set()}

    class Thinks(Configured):
        def model(self, name, says):
            self.write(name + ".script", 'mode generate\nsay "<think>\\nHm.\\n</think>\\n\\nYes."\n')
    config = "models:\n" + "".join(f"  - {{id: {n}, path: {n}.script, reasoning_field: {n}}}\n" for n in fields)
    with Thinks(config, dict.fromkeys(fields, "")) as server:
        until("all are there", lambda: server.health()["status"] == "ok")

        def both(name, want):
            message = server.chat(name).json()["choices"][0]["message"]
            assert message == {"role": "assistant", "content": "Yes.", "refusal": None,
                               **dict.fromkeys(want, "Hm.")}, (name, message)
            deltas = [e["choices"][0]["delta"] for e in server.stream(name) if e != "[DONE]"]
            assert {"content": "Yes."} in deltas and (not want or dict.fromkeys(want, "Hm.") in deltas), deltas
            assert set().union(*deltas) == {"role", "content", *want}, deltas
        for name, want in fields.items():
            both(name, want)
        pid = server.worker("none")
        server.hangup(config.replace("reasoning_field: none", "reasoning_field: both"))
        both("none", fields["both"])
        assert server.worker("none") == pid


def test_shown_while_loading():
    """/v1/models does not wait, and says what a name says."""
    name = "Qwen_Qwen3-0.6B-w8a8-opt0-hybrid0-npu3-ctx16384-rk3588"

    class Slow(Configured):
        def model(self, name, says):
            self.write(name + ".script", f'{"load-wait 60000" if name != "a" else ""}\nsay "x"\n')
    with Slow(f"models: [a.script, {{path: {name}.script, aliases: [q]}}]\n", {"a": "", name: ""}, wait=False) as server:
        server.port = int(until("the front listens", lambda: re.search(
            r":(\d+)", server.listening() or "")).group(1))
        until("a is ready", lambda: server.state("a") == "ready")
        shown = server.get("/v1/models/q").json()
        want = {"id": name, "state": "loading", "aliases": ["q"], "status": {"value": "loading"}, "parameter_size": "0.6B",
                "platform": "rk3588", "npu_cores": 3, "max_model_len": 16384, "context_length": 16384,
                "quantization": "w8a8"}
        assert {k: shown.get(k) for k in want} == want, shown
        assert "capabilities" not in shown, shown
        assert server.chat("q").status == 503
        assert server.chat("a").status == 200


if __name__ == "__main__":
    run_all(dict(globals()))
