#!/usr/bin/env python3
"""bad_input.py - what a person can get wrong on the command line and in files: a clear error, the right
exit status, nothing lost, nothing crashed."""

import concurrent.futures
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import tempfile

from serve import CURLEW, PATIENCE, Server, gone, run_all, until

SHARED = pathlib.Path(os.environ.get("CURLEW_SHARED", "nowhere"))
SCRIPT = 'mode generate\nsay "ok"\n'
# A sanitizer that found something; LeakSanitizer's own "fatal error" is that the sandbox keeps it from looking.
CRASH = re.compile(r"ERROR: \w+Sanitizer|runtime error:")


def run(*args, env=None, **more):
    """`curlew args` that is expected to end by itself: (status, stdout, stderr)."""
    p = subprocess.run([CURLEW, *args], capture_output=True, timeout=PATIENCE * 3, env={**os.environ, **(env or {})}, **more)
    assert p.returncode >= 0, f"{args}: ended by signal {-p.returncode}: {p.stderr.decode(errors='replace')}"
    return p.returncode, p.stdout.decode(), p.stderr.decode(errors="replace")


def refused(status, words, *args, **more):
    got, out, err = run(*args, **more)
    assert got == status, (args, got, err)
    last = [line for line in err.split("\n") if line.startswith("curlew")]
    assert len(last) == 1 and out == "", (args, out, err)
    for w in words:
        assert w in last[0], (args, w, err)
    assert not CRASH.search(err), err
    return last[0]


class Folder(tempfile.TemporaryDirectory):
    def write(self, name, data):
        path = os.path.join(self.name, name)
        with open(path, "wb") as f:
            f.write(data)
        return path


def test_flags():
    """Status 2, the flag by its name, what is allowed."""
    for words, args in (
            (["--colour"], ["serve", "--colour", "red"]), (["--port", "x"], ["serve", "--port", "x"]),
            (["--port", "65535"], ["serve", "--port", "65536"]), (["--port"], ["serve", "--port"]),
            (["--parallel", "1024"], ["serve", "--parallel", "0"]), (["--log-level", "debug"], ["serve", "--log-level", "loud"]),
            (["--ctx"], ["serve", "--ctx", "-1"]), (["--body-bytes", "3X"], ["serve", "--body-bytes", "3X"]),
            (["sing", "help"], ["sing"]), (["--prompt"], ["serve", "--prompt", "5"])):
        refused(2, words, *args)
    refused(2, ["CURLEW_PORT"], "serve", env={"CURLEW_PORT": "many"})
    refused(1, ["--model"], "serve")
    refused(1, ["--engine", "gpu", "cpu"], "serve", "--engine", "gpu", "--model", "x.gguf")
    status, out, _ = run("help")
    assert status == 0 and "serve" in out
    status, out, _ = run("help", "serve")
    assert status == 0 and "--model" in out
    status, out, _ = run("version")
    assert status == 0 and re.fullmatch(r"curlew \d+\.\d+\.\d+\n", out), out
    assert run()[0] == 2


def test_files():
    """Status 1, the file by its name, what is wrong with it."""
    with Folder() as name:
        folder = Folder(dir=name)
        missing = os.path.join(name, "missing.gguf")
        refused(1, [missing, "No such file"], "serve", "--model", missing)
        refused(1, [name, "directory"], "serve", "--model", name)
        refused(1, ["empty.gguf"], "serve", "--port", "0", "--model", folder.write("empty.gguf", b""))
        refused(1, ["text.gguf"], "serve", "--port", "0", "--model", folder.write("text.gguf", b"I am no model.\n" * 99))
        refused(1, ["/dev/null"], "serve", "--port", "0", "--model", "/dev/null")
        fifo = os.path.join(name, "fifo.gguf")
        os.mkfifo(fifo)
        refused(1, ["fifo.gguf"], "serve", "--port", "0", "--model", fifo)
        os.symlink("loop.gguf", os.path.join(name, "loop.gguf"))
        refused(1, ["loop.gguf"], "serve", "--model", os.path.join(name, "loop.gguf"))
        a, b = folder.write("a.script", SCRIPT.encode()), folder.write("b.script", SCRIPT.encode())
        refused(1, ["a.script", "--alias"], "serve", "--port", "0", "--model", a, "--model", a)
        refused(1, ["--alias"], "serve", "--port", "0", "--model", a, "--alias", "x", "--alias", "y")
        refused(1, ["--alias"], "serve", "--port", "0", "--model", a, "--alias", "")
        refused(1, ["x", "--alias"], "serve", "--port", "0", "--model", a, "--model", b, "--alias", "x", "--alias", "x")
        folder.cleanup()


def test_permission():
    """A file that may not be read. Root may read all: then the server runs as somebody else."""
    with Folder() as name:
        os.chmod(name, 0o755)
        path = os.path.join(name, "secret.gguf")
        with open(path, "wb") as f:
            f.write(b"GGUF")
        os.chmod(path, 0)
        more = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        try:
            subprocess.run([CURLEW, "version"], check=True, capture_output=True, **more)
        except (OSError, subprocess.SubprocessError):
            print("skipped: another user cannot run the program where it lies")
            return
        refused(1, [path, "permission denied"], "serve", "--port", "0", "--model", path, **more)


def test_port():
    """A port in use, an address that is not here, a socket path that cannot be."""
    with Server(script=SCRIPT) as server:
        script = os.path.join(server.folder, "m.script")
        port = str(server.port)
        refused(1, [port, "in use"], "serve", "--port", port, "--model", script)
        refused(1, ["192.0.2.1"], "serve", "--port", "0", "--host", "192.0.2.1", "--model", script)
        refused(1, ["no.such.host.invalid"], "serve", "--port", "0", "--host", "no.such.host.invalid", "--model", script)
        refused(1, ["/nowhere/"], "serve", "--host", "/nowhere/curlew.sock", "--model", script)
        assert server.chat().status == 200, "the one that was there suffered"


def test_unix_socket():
    """Serve on a path; take over what a dead server left there, but not what is something else."""
    with Folder() as name:
        path = os.path.join(name, "c.sock")
        for _ in range(2):
            with Server("--host", path, script=SCRIPT, wait=False) as server:
                banner = server.process.stdout.readline().decode()
                assert path in banner, (banner, server.text())
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(path)
                    s.sendall(b"GET /ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    assert s.recv(4096).startswith(b"HTTP/1.1 200")
                front = server.front()
                server.process.kill()  # it has no time to tidy up
                server.process.wait()
                until("its front is gone", lambda: gone(front))
        with open(os.path.join(name, "precious"), "w") as f:
            f.write("data")
        with Server(script=SCRIPT) as other:
            refused(1, ["precious"], "serve", "--host", os.path.join(name, "precious"), "--model",
                    os.path.join(other.folder, "m.script"))
        with open(os.path.join(name, "precious")) as f:
            assert f.read() == "data"


def gguf(kvs, tensors=b"", n_tensors=0):
    """A GGUF file with these string or u32 members."""
    out = b"GGUF" + struct.pack("<IQQ", 3, n_tensors, len(kvs))
    for k, v in kvs.items():
        out += struct.pack("<Q", len(k)) + k.encode()
        out += struct.pack("<IQ", 8, len(v)) + v.encode() if isinstance(v, str) else struct.pack("<II", 4, v)
    return out + tensors


def test_architecture():
    """One that we do not know is named, and so are those we know."""
    with Folder() as name:
        path = os.path.join(name, "strange.gguf")
        with open(path, "wb") as f:
            f.write(gguf({"general.architecture": "strangelove", "general.name": "x"}))
        message = refused(1, ["strange.gguf", "strangelove", "llama"], "serve", "--port", "0", "--model", path)
        print(message)
        with open(path, "wb") as f:
            f.write(gguf({"general.name": "x"}))
        refused(1, ["strange.gguf", "general.architecture"], "serve", "--port", "0", "--model", path)
        with open(path, "wb") as f:
            f.write(gguf({"general.architecture": "llama"}))
        refused(1, ["strange.gguf"], "serve", "--port", "0", "--model", path)


def test_truncated():
    """A model cut anywhere is refused with its name and where it ends too early."""
    folder = SHARED / "weights"
    if not folder.exists():
        print("skipped: no shared weights")
        return
    whole = (folder / "stories260K-q8_0.gguf").read_bytes()
    with Folder() as name:
        for n in (3, 4, 23, 24, 100, 5000, len(whole) // 2, len(whole) - 64):  # the last bytes may be padding
            path = os.path.join(name, "cut.gguf")
            with open(path, "wb") as f:
                f.write(whole[:n])
            message = refused(1, ["cut.gguf"], "serve", "--port", "0", "--model", path)
            if n > 3:  # by then the magic is there and it is known what is missing
                assert re.search(r"offset \d+", message), message


def one_broken(row):
    """What `curlew serve` makes of a file of the manifest; what is wrong with that, or None."""
    file = row["file"]
    path = str(SHARED / "broken" / "gguf" / file)
    p = subprocess.Popen([CURLEW, "serve", "--port", "0", "--model", path, "--ctx", "256", "--threads", "1", "--kv-bytes", "64M"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    banner = p.stdout.readline()
    if banner:  # it loads: then it must answer or fail, and stop when told
        port = int(re.search(rb":(\d+)", banner).group(1))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE * 2) as s:
            body = json.dumps({"model": file.removesuffix(".gguf"), "prompt": "Once upon a time", "max_tokens": 8}).encode()
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
                      % (len(body), body))
            reply = s.recv(65536)
        p.terminate()
        _, err = p.communicate(timeout=PATIENCE * 2)
        err = err.decode(errors="replace")
        if row["must"].startswith("reject with"):
            return f"{file} ({row['what']}) is served"
        if not reply.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")) and b"logits" not in reply:  # NaN weights: a 500 says so
            return f"{file}: {reply[:300]!r}"
        if "worker_ended" in err or p.returncode != 0 or CRASH.search(err):
            return f"{file}: status {p.returncode}: {err}"
        return None
    _, err = p.communicate(timeout=PATIENCE * 2)
    err = err.decode(errors="replace")
    # "load; rendering must be bounded" is of a file whose tensors end too early as well: refusing is right
    message = [line for line in err.split("\n") if line.startswith("curlew:")]
    if p.returncode != 1 or "worker_ended" in err or CRASH.search(err) or len(message) != 1:
        return f"{file}: status {p.returncode}: {err}"
    return None if file in message[0] else f"{file} is not named: {message[0]}"


def test_broken_gguf():
    """Every malformed file is refused by name, or served where that is allowed; nothing dies."""
    manifest = SHARED / "broken" / "gguf" / "manifest.json"
    if not manifest.exists():
        print("skipped: no shared GGUF files")
        return
    rows = json.loads(manifest.read_text())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        problems = [p for p in pool.map(one_broken, rows) if p]
    assert not problems, "\n".join(problems)
    print(len(rows), "files")


if __name__ == "__main__":
    run_all(dict(globals()))
