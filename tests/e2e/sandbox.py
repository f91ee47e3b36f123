#!/usr/bin/env python3
"""sandbox.py - what the running processes hold: no rights to gain, a filter, and no stray descriptor.

What the filter lets through is tests/unit/sandbox_test.c's matter.
"""

import os
import socket
import stat
import subprocess

from serve import CURLEW, PATIENCE, Server, run_all, until

SCRIPT = 'on "long"\nsay "tok "\nwait 5\nendless\non ""\nsay "ok"\n'


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def kinds(pid):
    """{descriptor: what it is} of a process: the link of /proc, numbers of inodes left out."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}").split("[")[0].rstrip(":")
        except FileNotFoundError:  # closed since it was listed
            pass
    return found


def may_look(pid):
    if os.access(f"/proc/{pid}/fd", os.R_OK):
        return True
    print("skipped: only root may see the descriptors of a process that gave up its rights")
    return False


def test_status():
    """no_new_privs and a seccomp filter on every thread; a worker's memory can no longer become code."""
    for mode in "generate", "forward":
        with Server(script=f"mode {mode}\n" + SCRIPT) as server:
            for pid in server.front(), server.worker():
                for thread in os.listdir(f"/proc/{pid}/task"):
                    row = status(f"{pid}/task/{thread}")
                    assert row["NoNewPrivs"] == "1", row
                    assert row["Seccomp"] == "2", row
                with open(f"/proc/{pid}/limits") as f:
                    core = next(line for line in f if line.startswith("Max core file size"))
                assert core.split()[4:6] == ["0", "0"], core
            # a filter for loading and a stricter one on top of it (kernels that count them)
            if "Seccomp_filters" in (row := status(server.worker())):
                assert int(row["Seccomp_filters"]) - int(status(os.getpid()).get("Seccomp_filters", 0)) == 2, row
            assert int(status(server.process.pid)["NoNewPrivs"]) == int(status(os.getpid())["NoNewPrivs"])


def test_descriptors():
    """0: /dev/null, 1 and 2: ours, 3: the supervisor's channel; then only what the job needs."""
    for mode in "generate", "forward":
        with Server(script=f"mode {mode}\n" + SCRIPT) as server:
            front, worker = server.front(), server.worker()
            if not may_look(front):
                return
            for pid in front, worker:
                fds = kinds(pid)
                assert fds[0] == "/dev/null" and fds[3] == "socket", fds
                assert os.stat(f"/proc/{pid}/fd/2").st_ino == os.fstat(server.log.fileno()).st_ino
            held = kinds(worker)
            files = [k for fd, k in held.items() if fd > 3 and k not in ("socket", "anon_inode")]
            assert files == [os.path.join(server.folder, "m.script")], held
            model = next(fd for fd, k in held.items() if k.endswith("m.script"))
            with open(f"/proc/{worker}/fdinfo/{model}") as f:
                flags = next(int(line.split()[1], 8) for line in f if line.startswith("flags"))
            assert flags & os.O_ACCMODE == os.O_RDONLY, "the model is open for writing"
            assert sum(k == "socket" for fd, k in held.items() if fd > 3) == 1, held  # the front
            held = kinds(front)
            # a pipe is the event library's own, both ends here
            assert not [k for fd, k in held.items() if fd > 3 and k not in ("socket", "anon_inode", "pipe")], held
            assert sum(k == "socket" for fd, k in held.items() if fd > 3) == 2, held  # listener, worker
            before = {pid: kinds(pid) for pid in (front, worker)}
            stream = server.stream(text="long")
            next(iter(stream))
            assert len(kinds(front)) == len(before[front]) + 1 and kinds(worker) == before[worker]
            stream.close()
            server.running(0)
            until("the connection is closed", lambda: kinds(front) == before[front])


def test_many_models():
    """A worker holds its own model and channels and nobody else's."""
    names = ["a", "b", "c"]
    with Server(scripts={n: SCRIPT for n in names}) as server:
        until("all are ready", lambda: server.health()["status"] == "ok")
        if not may_look(server.front()):
            return
        for turn in range(2):
            for n in names:
                held = kinds(server.worker(n))
                files = [k for fd, k in held.items() if fd > 3 and k not in ("socket", "anon_inode")]
                assert files == [os.path.join(server.folder, n + ".script")], held
                assert sum(k == "socket" for fd, k in held.items() if fd > 3) == 1, held
            assert sum(k == "socket" for fd, k in kinds(server.front()).items() if fd > 3) == 4
            if turn == 0:  # the same for those that come later
                pid = server.worker("b")
                os.kill(pid, 9)
                until("b is back", lambda: server.worker("b") not in (None, pid) and server.health()["status"] == "ok")


def test_closed_standard_streams():
    """Started with nothing open, as some service managers do: what is opened is not taken for stderr."""
    with Server(script=SCRIPT) as server:
        path = os.path.join(server.folder, "c.sock")
        script = os.path.join(server.folder, "m.script")
        p = subprocess.Popen(["sh", "-c", f'exec "{CURLEW}" serve --host {path} --model {script} <&- >&- 2>&-'])
        try:
            def answers():
                try:
                    with socket.socket(socket.AF_UNIX) as s:
                        s.settimeout(PATIENCE)
                        s.connect(path)
                        s.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                        return s.recv(4096).startswith(b"HTTP/1.1 200")
                except OSError:
                    return False
            until("it serves", answers)
            assert p.poll() is None
            if may_look(p.pid):
                held = kinds(p.pid)
                assert [held[i] for i in range(3)] == ["/dev/null"] * 3, held
        finally:
            p.terminate()
            assert p.wait(PATIENCE) == 0


def test_socket_file():
    """Who may connect to a Unix socket: its owner."""
    with Server(script=SCRIPT) as server:
        path = os.path.join(server.folder, "c.sock")
        with Server("--host", path, script=SCRIPT, wait=False) as other:
            other.process.stdout.readline()
            mode = os.stat(path).st_mode
            assert stat.S_ISSOCK(mode) and mode & 0o007 == 0, oct(mode)


if __name__ == "__main__":
    run_all(dict(globals()))
