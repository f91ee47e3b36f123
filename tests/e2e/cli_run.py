#!/usr/bin/env python3
"""cli_run.py - `curlew run`: in a pipe, and in a terminal (a pty) with a person at it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import cli_rig
from cli_rig import command, write
from serve import CURLEW, PATIENCE, run_all, until

SHARED = os.environ.get("CURLEW_SHARED", "")

SCRIPT = """
mode {mode}
on "think"
say "<think>\\nHm, let me see.\\n</think>\\n\\n"
say "The answer."
on "escape"
say "a\\x1b[2Jb\\x07c"
on "slow"
say "one"
wait 20
say " more "
endless
on "count"
repeat 20 "tok "
on "bad"
say "half"
fail "the engine broke"
on "hang"
say "here"
hang
on "cobra"
say "Of cobra."
on ""
say "Hello "
say "there!"
"""


def script(mode="generate"):
    return "--engine=script:" + write(mode + ".script", SCRIPT.format(mode=mode))


class Person:
    """A terminal with `curlew run` in it."""

    def __init__(self, *args, mode="generate", env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            clean = {k: v for k, v in os.environ.items() if not k.startswith("CURLEW_") and k != "NO_COLOR"}
            os.chdir(cli_rig.folder.name)
            os.execvpe(CURLEW, [CURLEW, "run", *(args or [script(mode)])], {**clean, **(env or {})})
        self.seen, self.mark = "", 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("--- the terminal ---\n" + self.seen)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def read(self, seconds=0.01):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                return False
        return True

    def wait(self, text):
        """Until this appears after what was waited for before; all since then."""
        end = time.monotonic() + PATIENCE
        while text not in self.seen[self.mark:]:
            assert self.read(0.1) or text in self.seen[self.mark:], f"it ended without {text!r}"
            assert time.monotonic() < end, f"{text!r} does not come"
        at = self.seen.index(text, self.mark) + len(text)
        part, self.mark = self.seen[self.mark:at], at
        return part

    def type(self, text):
        os.write(self.fd, text.encode())

    def ask(self, text):
        """A line at the prompt; what is printed until the next prompt."""
        self.type(text + "\n")
        self.wait(text + "\r\n")
        return self.wait("> ")

    def ended(self):
        """Its exit status."""
        while self.read(0.05):
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


# --- in a pipe ---

def test_pipe():
    for mode in ("generate", "forward"):
        assert command("run", script(mode), "hi") == (0, "Hello there!\n", "")
        assert command("run", script(mode), stdin=b"hi\n") == (0, "Hello there!\n", "")
        assert command("run", script(mode), "think", stdin=b"not read") == (0, "The answer.\n", "")
        assert command("run", script(mode), "escape") == (0, "a\x1b[2Jb\x07c\n", "")  # bytes as they are
    # several lines are one prompt; the system message is part of what the model sees
    assert command("run", script(), stdin=b"one\ncobra\n")[1] == "Of cobra.\n"
    assert command("run", script(), "--system", "You are a cobra.", "hi")[1] == "Of cobra.\n"
    assert command("run", script("forward"), "--max-tokens", "5", "hi")[1] == "Hello\n"


def test_think():
    """The switch is the template's variable; /think turns it in the terminal."""
    template = write("switch.jinja", "{{ messages[-1].content }}{% if enable_thinking is defined %} {{ enable_thinking }}"
                                     "{% endif %}")
    own = "--engine=script:" + write("switch.script", 'mode forward\non "hi True"\nsay "on"\non "hi False"\nsay "off"\n'
                                     'on "hi"\nsay "auto"\n')
    for flags, said in (([], "auto"), (["--think", "on"], "on"), (["--think=off"], "off")):
        assert command("run", own, "--chat-template", template, *flags, "hi") == (0, said + "\n", ""), flags
    with Person(own, "--chat-template", template) as p:
        p.wait("> ")
        assert "thinks first" in p.ask("/think on")
        assert "on\r\n" in p.ask("hi")
        assert "wants on, off or auto" in p.ask("/think maybe")
        assert "no thinking" in p.ask("/think off")
        assert "off\r\n" in p.ask("hi")
        p.type("/exit\n")
        assert p.ended() == 0


def test_refusals():
    def refused(status, text, *args, stdin=b"", env=None):
        got, out, err = command("run", *args, stdin=stdin, env=env)
        assert got == status and out == "" and text in err.splitlines()[-1], (args, got, out, err)

    refused(2, "no model: name a GGUF file with --model", "hi")
    refused(1, "missing.gguf: No such file", "--model", "missing.gguf", "hi")
    refused(2, "one model is wanted, 2 were named", "-m", "a", "-m", "b", "hi")
    refused(2, '--temperature: "hot"', script(), "--temperature", "hot", "hi")
    refused(2, "--temperature", script(), "--temperature", "2.5", "hi")
    refused(2, "unexpected argument", script(), "two", "words")
    refused(1, "the prompt is empty", script(), stdin=b" \n")
    refused(1, "not a GGUF file", "--model", write("bad.gguf", "nothing"), "hi")
    status, out, err = command("run", script(), "bad")
    assert status == 1 and out == "half\n" and "curlew run: the engine broke" in err, (status, out, err)


def test_pipe_ctrl_c():
    """No handler without a terminal: the signal ends it, as any filter."""
    p = subprocess.Popen([CURLEW, "run", script(), "hang"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert p.stdout.read(4) == b"here"
    p.send_signal(signal.SIGINT)
    assert p.wait(PATIENCE) == -signal.SIGINT
    p.stdout.close()


# --- in a terminal ---

def test_talk():
    for mode in ("generate", "forward"):
        with Person(mode=mode) as p:
            assert "/help" in p.wait("> ")
            got = p.ask("hi")
            assert "Hello there!\r\n" in got and "tokens" in got, got
            assert " tokens/s" in p.ask("count")
            assert "the conversation" in p.ask("/help")
            assert "no such command" in p.ask("/nothing")
            assert "> " == p.ask("")  # an empty line asks nothing
            p.type("/exit\n")
            assert p.ended() == 0


def test_output_to_a_file():
    """A person types, the answers go into a file: only they do."""
    there, here = pty.openpty()
    with open(cli_rig.path("out.txt"), "w+b") as out:
        p = subprocess.Popen([CURLEW, "run", script()], stdin=here, stdout=out, stderr=subprocess.PIPE)
        os.write(there, b"think\n/help\n/clear\nhi\n/exit\n")
        err = p.stderr.read().decode()
        assert p.wait(PATIENCE) == 0 and "/clear" in err, err
        p.stderr.close()
        out.seek(0)
        assert out.read() == b"The answer.\nHello there!\n"
    os.close(there)
    os.close(here)


def test_thinking_is_dim():
    with Person() as p:
        p.wait("> ")
        got = p.ask("think")
        assert "\x1b[2mHm, let me see." in got and "\x1b[0m\r\n\r\nThe answer.\r\n" in got, got
        assert "<think>" not in got
        p.type("\x04")
        assert p.ended() == 0
    with Person(env={"NO_COLOR": "1"}) as p:
        p.wait("> ")
        got = p.ask("think")
        assert "\x1b" not in p.seen and "Hm, let me see.\r\n\r\nThe answer.\r\n" in got, got
        p.type("\x04")
        assert p.ended() == 0


def test_no_escapes_from_a_model():
    with Person() as p:
        p.wait("> ")
        assert "a\ufffd[2Jb\ufffdc\r\n" in p.ask("escape")
        p.type("/exit\n")
        assert p.ended() == 0


def test_remembers_and_forgets():
    """The scripted engine sees the whole conversation: a word of an earlier turn decides the answer."""
    saved = cli_rig.path("talk.json")
    with Person() as p:
        p.wait("> ")
        assert "Hello there!" in p.ask("hi")
        assert "Of cobra." in p.ask("cobra")
        assert "Of cobra." in p.ask("again")
        assert "saved" in p.ask("/save " + saved)
        assert "is there already" in p.ask("/save " + saved)
        assert "needs the name" in p.ask("/save")
        assert "new conversation" in p.ask("/clear")
        assert "Hello there!" in p.ask("again")
        p.ask("/system Be a cobra.")
        assert "Of cobra." in p.ask("again")
        p.ask("/clear")  # keeps the system message
        assert "Of cobra." in p.ask("again")
        p.ask("/system")
        assert "Of cobra." in p.ask("again")  # still in what was said
        p.ask("/clear")
        assert "Hello there!" in p.ask("again")
        p.type("/exit\n")
        assert p.ended() == 0
    talk = json.load(open(saved, encoding="utf-8"))["messages"]
    assert [(m["role"], m["content"]) for m in talk] == [
        ("user", "hi"), ("assistant", "Hello there!"), ("user", "cobra"), ("assistant", "Of cobra."),
        ("user", "again"), ("assistant", "Of cobra.")], talk


def test_long_lines():
    with Person() as p:
        p.wait("> ")
        p.type("one \\\n")
        p.wait("... ")
        p.type("cobra\n")
        assert "Of cobra." in p.wait("> ")
        p.type("/exit\n")
        assert p.ended() == 0


def test_ctrl_c():
    """It stops an answer; the conversation goes on without what was not said. At the prompt it leaves."""
    for mode in ("generate", "forward"):
        with Person(mode=mode) as p:
            p.wait("> ")
            p.type("slow\n")
            p.wait("one")
            p.type("\x03")
            p.wait("stopped")
            p.wait("> ")
            p.ask("/clear")
            assert "Hello there!" in p.ask("hi")
            p.type("\x03")
            assert p.ended() == 0


def test_ctrl_c_of_an_engine_that_hangs():
    with Person() as p:
        p.wait("> ")
        p.type("hang\n")
        p.wait("here")
        p.type("\x03")
        p.wait("stopped")
        p.wait("> ")
        p.type("\x03")
        assert p.ended() == 0


def test_errors_do_not_end_it():
    with Person() as p:
        p.wait("> ")
        assert "the engine broke" in p.ask("bad")
        assert "Hello there!" in p.ask("hi")  # the failed question is forgotten
        p.type("/exit\n")
        assert p.ended() == 0


def test_real_model():
    model = os.path.join(SHARED, "weights", "stories260K-f32.gguf")
    if not os.path.exists(model):
        print("skipped: no shared material at weights")
        return
    args = ["run", "--model", model, "--max-tokens", "24", "--temperature", "0", "Once upon a time"]
    status, out, err = command(*args)
    assert status == 0 and err == "" and len(out) > 20, (status, out, err)
    assert command(*args)[1] == out  # greedy: the same again
    seeded = ["run", "--model", model, "--max-tokens", "24", "--seed", "3", "Once upon a time"]
    assert command(*seeded)[1] == command(*seeded)[1] != ""
    with Person("--model", model, "--max-tokens", "300", "--ctx", "200") as p:
        p.wait("> ")
        for _ in range(4):  # until the context is full, which is said and does not end it
            if "maximum context length" in p.ask("Then she went away and"):
                break
        else:
            raise AssertionError("the context is never full")
        assert "new conversation" in p.ask("/clear")
        assert " tokens" in p.ask("Once upon a time")
        p.type("/exit\n")
        assert p.ended() == 0


if __name__ == "__main__":
    try:
        for fd in pty.openpty():
            os.close(fd)
    except OSError as e:
        print("skipped: no terminal can be made here:", e)
        sys.exit(77)
    run_all(globals())
    sys.exit(0)
