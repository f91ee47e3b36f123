#!/usr/bin/env python3
"""repack.py - packed weights kept in a file: made, used, and not believed when anything about it is wrong."""

import os
import shutil
import tempfile

from serve import CURLEW, Server, run_all

import subprocess

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")
PAGE = 4096


class Folder:
    """A model of our own and a cache directory beside it."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="curlew-repack-")
        self.model = os.path.join(self.path, "tiny.gguf")
        self.cache = os.path.join(self.path, "cache")
        shutil.copy(MODEL, self.model)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def files(self):
        return sorted(os.listdir(self.cache))

    def file(self):
        name, = self.files()
        return os.path.join(self.cache, name)

    def start(self, want, without=()):
        """Start, ask, stop. The log has the lines in `want` (none of `without`); returns answer and log."""
        with Server("--model", self.model, "--repack-cache", self.cache) as s:
            reply = s.post("/v1/chat/completions", {
                "model": "tiny", "temperature": 0, "max_tokens": 24, "logprobs": True,
                "messages": [{"role": "user", "content": "Name a colour."}]})
            assert reply.status == 200, reply
            log = s.text()
            for line in want:
                assert line in log, (line, log)
            for line in without:
                assert line not in log, (line, log)
            return reply.json()["choices"][0]


def test_made_and_used():
    with Folder() as f:
        with Server("--model", f.model) as s:
            plain = s.post("/v1/chat/completions", {
                "model": "tiny", "temperature": 0, "max_tokens": 24, "logprobs": True,
                "messages": [{"role": "user", "content": "Name a colour."}]}).json()["choices"][0]
        assert f.start(["repack_cache_written"]) == plain
        assert os.stat(f.cache).st_mode & 0o777 == 0o700
        assert os.stat(f.file()).st_mode & 0o777 == 0o600
        made = os.stat(f.file()).st_mtime_ns
        assert f.start(["repack_cache_used"], ["repack_cache_written"]) == plain
        assert os.stat(f.file()).st_mtime_ns == made
        # the model is another now: its old cache goes, a new one comes
        os.utime(f.model, (1, 1))
        old = f.file()
        assert f.start(["repack_cache_removed", "repack_cache_written"]) == plain
        assert f.file() != old


def test_damaged():
    def flip(at):
        def change(path):
            with open(path, "r+b") as g:
                g.seek(at, 2 if at < 0 else 0)
                byte = g.read(1)[0]
                g.seek(at, 2 if at < 0 else 0)
                g.write(bytes([byte ^ 1]))
        return change

    def cut(n):
        return lambda path: os.truncate(path, os.path.getsize(path) - n if n else 0)

    def longer(path):
        with open(path, "ab") as g:
            g.write(b"x")

    def garbage(path):
        n = os.path.getsize(path)
        with open(path, "wb") as g:
            g.write(os.urandom(n))

    def swapped(path):  # two lines of weights change places: a plain sum would not see it
        with open(path, "r+b") as g:
            g.seek(-8192, 2)
            a, b = g.read(64), g.read(64)
            assert a != b
            g.seek(-8192, 2)
            g.write(b + a)

    with Folder() as f:
        right = f.start(["repack_cache_written"])
        for change in (flip(0), flip(8), flip(12), flip(16), flip(24), flip(32), flip(40), flip(48), flip(PAGE), flip(2 * PAGE),
                       flip(-1), cut(1), cut(PAGE), cut(0), longer, garbage, swapped):
            change(f.file())
            assert f.start(["repack_cache_stale", "repack_cache_removed"], ["worker_ended"]) == right
            assert f.files() == []
            assert f.start(["repack_cache_written"]) == right


def test_of_another_model():
    with Folder() as f:
        f.start(["repack_cache_written"])
        mine = f.file()
        with Folder() as g:  # the same but for one weight far behind: its own cache, put in our place
            with open(g.model, "r+b") as m:
                m.seek(-100, 2)
                m.write(b"\x00\x01")
            g.start(["repack_cache_written"])
            shutil.copy(g.file(), mine)
        f.start(["repack_cache_stale"])


def test_not_ours():
    with Folder() as f:
        f.start(["repack_cache_written"])
        path = f.file()
        os.chmod(path, 0o666)  # anyone could have written it
        f.start(["repack_cache_refused"], ["repack_cache_used"])
        os.rename(path, path + ".real")
        os.symlink(path + ".real", path)
        f.start([], ["repack_cache_used"])


def test_left_over():
    with Folder() as f:
        f.start(["repack_cache_written"])
        dead = subprocess.Popen(["true"])
        dead.wait()
        os.rename(f.file(), f.file() + ".tmp%d" % dead.pid)  # a server that was killed while it wrote
        f.start(["repack_cache_removed", "repack_cache_written"])
        assert ".tmp" not in f.file()


def test_no_place():
    with Folder() as f:
        for where in (f.model, os.path.join(f.path, "no", "such")):
            done = subprocess.run([CURLEW, "serve", "--port", "0", "--model", f.model, "--repack-cache", where],
                                  capture_output=True, text=True, timeout=60)
            assert done.returncode and "--repack-cache" in done.stderr, done


if __name__ == "__main__":
    run_all(globals())
