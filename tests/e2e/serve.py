"""serve.py - start a curlew server for a test and talk to it, with nothing but the standard library."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CURLEW = os.path.abspath(os.environ.get("CURLEW", "build/curlew"))


def is_sanitized():
    """Is the program built with the address sanitizer? It holds freed memory for long."""
    try:
        with open(CURLEW, "rb") as f:
            return b"__asan_init" in f.read()
    except OSError:
        return False


SKIPPED = 77  # what meson takes for "skipped"

# Seconds after which what should have come long ago counts as not coming: machines are slow at times.
PATIENCE = 20


def shared(*parts):
    """A file or folder of the shared material; ends the test as skipped when it is not there."""
    path = pathlib.Path(os.environ.get("CURLEW_SHARED", "nowhere"), *parts)
    if not path.exists():
        print("skipped: no shared material at", "/".join(parts))
        sys.exit(SKIPPED)
    return path


def until(what, check, seconds=PATIENCE):
    """Ask again and again until check() gives something true; that."""
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.01)


def gone(pid):
    """Has this process ended? (One that nobody has reaped yet has.)"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            stat = f.read()
    except OSError:
        return True
    return stat[stat.rindex(")") + 2] in "ZX"


def run_all(tests):
    """Run the functions whose names begin with test_ (or those named on the command line)."""
    names = sys.argv[1:] or [n for n in tests if n.startswith("test_")]
    for name in names:
        begin = time.monotonic()
        tests[name]()
        print(f"{name}: ok ({time.monotonic() - begin:.1f} s)", flush=True)


class Server:
    """`curlew serve` on a free port. Use it in a `with`; at its end the server must stop by itself."""

    def __init__(self, *flags, script=None, scripts=None, wait=True, env=None):
        """script: of one scripted model "m"; scripts: {name: script} of several."""
        self.log = tempfile.TemporaryFile()
        self.folder = tempfile.mkdtemp(prefix="curlew-e2e-")
        self.prepare()
        args = [CURLEW, "serve", *self.where, *flags]
        for name, text in (scripts or {}).items():
            args += ["--model", self.write(name + ".script", text)]
        if script is not None:
            args += ["--engine", "script:" + self.write("m.script", script)]
        self.process = subprocess.Popen(
            args, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **(env or {})}, cwd=self.cwd)
        self.port = None
        if wait:
            self.wait_ready()

    cwd = None               # where it runs
    where = "--port", "0"    # where it listens

    def prepare(self):
        """What must be there before it starts; for those that build on this."""

    def write(self, name, text):
        """A file of this server's own folder; its path."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def wait_ready(self):
        """The banner on stdout names the address; it comes once a model answers."""
        banner = self.process.stdout.readline().decode()
        match = re.search(r"http://[^ ]*:(\d+)", banner)
        if not match:
            self.process.wait(10)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise AssertionError("the server did not start: " + self.text())
        self.port = int(match.group(1))

    def text(self):
        """What it logged so far."""
        size = os.fstat(self.log.fileno()).st_size  # no seek: the server writes at the same offset
        return os.pread(self.log.fileno(), size, 0).decode(errors="replace")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            if kind is not None: # do not wait for streams that a failed test left behind
                self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if kind is None:
                raise AssertionError("the server did not stop: " + self.text())
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None and re.search(r"ERROR: \w+Sanitizer|runtime error:", self.text()):
            raise AssertionError("a sanitizer spoke: " + self.text())
        if kind is not None:
            print("--- server log ---\n" + self.text())
        self.process.stdout.close()
        self.log.close()

    # --- requests ---

    def request(self, method, path, body=None, headers=None):
        with self.connect() as s:
            send_request(s, method, path, body, headers)
            return read_reply(s)

    def post(self, path, obj, headers=None):
        return self.request("POST", path, json.dumps(obj).encode(), headers)

    def get(self, path):
        return self.request("GET", path)

    def wait_health(self, status, seconds=10):
        """Until /health answers with this status; its JSON."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reply = self.get("/health")
            if reply.status == status:
                return reply.json()
            time.sleep(0.02)
        raise AssertionError(f"/health did not become {status}: {self.text()}")

    def health(self):
        return self.get("/health").json()

    def running(self, n, seconds=PATIENCE):
        """Until so many requests are in flight."""
        until(f"{n} requests running", lambda: self.health()["running"] == n, seconds)

    def chat(self, model="m", text="Hi", **more):
        return self.post("/v1/chat/completions",
                         {"model": model, "messages": [{"role": "user", "content": text}], **more})

    def stream(self, model="m", text="Hi", **more):
        """A chat request whose reply is read event by event."""
        return Stream(self, "/v1/chat/completions",
                      {"model": model, "messages": [{"role": "user", "content": text}], "stream": True, **more})

    def worker(self, name=None):
        """The pid of the worker of a model (or of the only one); None while there is none."""
        for pid, label in self.labels("worker"):
            if name is None or label == name:
                return pid
        return None

    def front(self):
        return next((pid for pid, _ in self.labels("front")), None)

    def labels(self, role):
        """[(pid, label)] of its living children of a role."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    state, parent = (stat := f.read())[stat.rindex(")") + 2:].split()[:2]
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    cmd = f.read().decode().split("\0")
            except OSError:
                continue
            if int(parent) == self.process.pid and state != "Z" and cmd[1:3] == ["--role", role]:
                found.append((int(pid), cmd[3]))
        return found


class Reply:
    def __init__(self, status, headers, body, whole):
        self.status, self.headers, self.body, self.whole = status, headers, body, whole

    def json(self):
        return json.loads(self.body)

    def events(self):
        """The data of each server-sent event, JSON decoded but for [DONE]."""
        out = []
        for block in self.body.decode().split("\n\n"):
            for line in block.split("\n"):
                if line.startswith("data: "):
                    data = line[6:]
                    out.append(data if data == "[DONE]" else json.loads(data))
        return out


class Stream:
    """An open event stream. Iterating gives each event's JSON, or "[DONE]"; it ends with the body."""

    def __init__(self, server, path, obj):
        self.socket = server.connect()
        send_request(self.socket, "POST", path, json.dumps(obj).encode())
        self.file = self.socket.makefile("rb")
        self.head = None
        self.whole = False  # the body came to its proper end
        self.comments = 0

    def begin(self):
        """Wait for the reply's head."""
        if self.head is None:
            self.head = read_head(self.file)
            assert self.head, "the connection was closed before a reply"
        return self.head

    def __iter__(self):
        status, headers = self.begin()
        assert status == 200, f"status {status}: {self.file.read(300)!r}"
        text = b""
        while True:
            size = self.file.readline()
            if not size:
                return
            n = int(size, 16)
            piece = self.file.read(n + 2)
            if len(piece) < n + 2:
                return
            if n == 0:
                self.whole = not text
                return
            text += piece[:n]
            while b"\n\n" in text:
                event, text = text.split(b"\n\n", 1)
                event = event.decode()  # strictly: no character may be cut
                if event.startswith(":"):
                    self.comments += 1
                    continue
                assert event.startswith("data: ") and "\n" not in event, event
                yield event[6:] if event == "data: [DONE]" else json.loads(event[6:])

    def close(self):
        """Go away in the middle."""
        self.file.close()
        self.socket.close()

    def reset(self):
        """Go away rudely: the other side gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


def text_of(events, choice=0):
    """The content that a chat stream's events add up to."""
    return "".join(c["delta"].get("content") or "" for e in events if e != "[DONE]"
                   for c in e["choices"] if c["index"] == choice)


def send_request(s, method, path, body=None, headers=None):
    fields = {"host": "localhost"}
    if body is not None:
        fields["content-type"] = "application/json"
    fields.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{k}: {v}" for k, v in fields.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))


def read_head(f):
    """(status, headers) of the next reply in file f that is not an interim one, or None at its end."""
    try:
        line = f.readline()
    except ConnectionResetError:
        return None
    if not line:
        return None
    status = int(line.split()[1])
    headers = {}
    while True:
        line = f.readline().decode().rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return read_head(f) if status == 100 else (status, headers)


def read_reply(s, head_only=False):
    """One reply from socket s: whole, or as far as the connection lasted (whole is False then)."""
    f = s.makefile("rb")
    head = read_head(f)
    if not head:
        return Reply(0, {}, b"", False)
    status, headers = head
    if head_only or status in (204, 304):
        return Reply(status, headers, b"", True)
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size = f.readline()
            if not size:
                return Reply(status, headers, body, False)
            n = int(size, 16)
            chunk = f.read(n + 2)
            body += chunk[:n]
            if len(chunk) < n + 2:
                return Reply(status, headers, body, False)
            if n == 0:
                return Reply(status, headers, body, True)
    if "content-length" in headers:
        n = int(headers["content-length"])
        body = f.read(n)
        return Reply(status, headers, body, len(body) == n)
    return Reply(status, headers, f.read(), True)
