#!/usr/bin/env python3
"""rkllm_faults.py - a vendor's library that crashes, hangs, prints, forgets to end and comes too late."""

import os
import random
import sys
import time

from rkllm_rig import LAYOUTS, SCRIPT, Npu, library, run_all, until
from serve import SKIPPED, gone, is_sanitized, text_of

STALL = ["--npu-stall-ms", "600"]
HELLO = "Hello there!"


def works(s):
    assert s.say()["message"]["content"] == HELLO


def back(s, old):
    """The worker of before has gone and another one serves."""
    until("the worker ended", lambda: gone(old))
    until("it serves again", lambda: s.worker() not in (None, old) and s.health()["status"] == "ok")
    works(s)


def test_init_fails():
    """Told, with the library's own words; such a model is not tried again."""
    for fault, word in [("init:-1", "rkllm_init failed"), ("init:null", "gave no handle"),
                        ("init:log", "rkllm_init failed"), ("init:nofile", "Too many open files")]:
        with Npu("12", fail=fault, wait=False) as s:
            assert s.process.wait(20) != 0
            assert word in s.text(), s.text()


def test_init_hangs():
    with Npu("13", *STALL, fail="init:hang", wait=False) as s:
        assert s.process.wait(20) != 0
        assert "did not finish loading within" in s.text(), s.text()
        assert "last words before the end" in s.text(), s.text()


def test_init_dies():
    """Started again, later each time; the others and the server stay; its last words are in the log."""
    for layout, fault, by in [("12", "init:crash", "signal 11"), ("13", "init:abort", "signal 6"), ("11", "init:exit", "status 3")]:
        with Npu(layout, fail=fault, wait=False) as s:
            until("twice", lambda: s.text().count("worker_ended") >= 2)
            assert by in s.text(), s.text()
            until("its last words are there", lambda: s.text().count("last words before the end") >= 2)
            assert s.process.poll() is None


def test_dies_in_a_run():
    """Its own request gets an error, the next one an answer of the next worker."""
    for layout in LAYOUTS:
        for fault in "run:crash@3", "run:exit@3":
            with Npu(layout, fail=fault, env={"FAKE_RKLLM_ON": "weather"}) as s:
                works(s)
                old = s.worker()
                reply = s.chat(text="the weather?")
                assert reply.status in (500, 502, 503) and reply.json()["error"]["message"], reply.body
                back(s, old)


def test_dies_in_a_stream():
    with Npu("12", fail="run:crash@3", env={"FAKE_RKLLM_ON": "weather"}) as s:
        old = s.worker()
        events = list(s.stream(text="the weather?"))
        assert "error" in events[-1] or "error" in events[-2], events
        back(s, old)


def test_errors():
    """The ERROR state and a refusing rkllm_run: a clean error, and the same worker goes on."""
    for layout in LAYOUTS:
        for fault in "run:error@3", "run:-1":
            with Npu(layout, fail=fault, env={"FAKE_RKLLM_ON": "weather"}) as s:
                old = s.worker()
                reply = s.chat(text="the weather?")
                assert reply.status == 500 and "NPU library" in reply.json()["error"]["message"], reply.body
                works(s)
                assert s.worker() == old


def test_hangs():
    """In the middle of an answer, and at its end where FINISH never comes: ended, told, started again."""
    for fault in "run:hang@3", "run:nofinish":
        with Npu("12", *STALL, fail=fault, env={"FAKE_RKLLM_ON": "weather"}) as s:
            old = s.worker()
            reply = s.chat(text="the weather?")
            assert reply.status == 503 and "stopped answering" in reply.json()["error"]["message"], reply.body
            back(s, old)


def test_hangs_after_abort():
    """A client goes, and the library does not notice."""
    with Npu("12", *STALL, fail="run:deaf,run:hang@20", env={"FAKE_RKLLM_ON": "long"}, script=SCRIPT.replace("eos", "tok_ms=1\neos")) as s:
        old = s.worker()
        stream = s.stream(text="long")
        next(iter(stream))
        stream.close()
        back(s, old)


def test_no_finish():
    """rkllm_run returns without FINISH: that is an end."""
    for layout in LAYOUTS:
        with Npu(layout, fail="run:silent") as s:
            works(s)
            works(s)


def test_late_callbacks():
    """They are of nobody's answer."""
    with Npu("12", fail="run:late", script=SCRIPT.replace("eos", "tok_ms=5\neos")) as s:
        for _ in range(3):
            works(s)
        until("one came late", lambda: "late_callback" in s.text())


def test_noise():
    """What it prints is a line of the log and no part of an answer."""
    with Npu("12", fail="run:noise") as s:
        works(s)
        assert s.say("unicode")["message"]["content"] == "na\u00efve \u65e5\u672c \U0001f600!"
        until("it is in the log", lambda: 'library says="noise on stdout 0"' in s.text())
        assert "\033[" not in s.text()


def test_abort():
    """Half a minute of answer would be left; nobody waits for it, whoever ended it."""
    for layout in LAYOUTS:
        with Npu(layout, script=SCRIPT.replace("eos", "tok_ms=20\neos")) as s:
            stream = s.stream(text="long")
            next(iter(stream))
            stream.close()
            works(s)
            assert s.say("long", stop=["k t"])["message"]["content"] == "to"
            works(s)
            assert s.say("long", max_tokens=3)["finish_reason"] == "length"
            works(s)


def test_abort_in_prefill():
    """Deaf while it reads a prompt; the next in the queue is served right after."""
    with Npu("12", script=SCRIPT.replace("eos", "prefill_ms=10\neos")) as s:
        stream = s.stream(text="long " + "x" * 40)
        s.running(1)
        time.sleep(0.1)
        stream.close()
        works(s)
        s.running(0)


def held(pid):
    """Descriptors and resident KiB of a process."""
    with open(f"/proc/{pid}/status") as f:
        rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), rss


def test_many_aborts():
    """A thousand requests, half of them left at a random point: nothing is left over."""
    seed = random.randrange(1 << 30)
    rnd = random.Random(seed)
    print("seed", seed)
    with Npu("12", "--log-level", "warn", script=SCRIPT.replace("eos", "tok_ms=1\neos")) as s:
        before = None
        for i in range(1000):
            if rnd.random() < 0.5:
                assert s.say("the weather?")["message"]["content"] == "It rains."
            else:
                stream = s.stream(text="long")
                events = iter(stream)
                for _ in range(rnd.randrange(4)):
                    next(events)
                stream.close()
            if i == 200:
                s.running(0)
                before = held(s.worker())
        s.running(0)
        works(s)
        after = held(s.worker())
        assert after[0] == before[0], (before, after)
        if not is_sanitized():
            assert after[1] < before[1] + 2048, (before, after)
        assert s.text().count("worker_ended") == 0
        assert len(s.calls("run")) > 600  # who left in the queue never ran


def test_rights():
    """The library's process: no sockets, no new programs, no files but the named; 102400 descriptors, or all it may."""
    with Npu("12") as s:
        pid = s.worker()
        with open(f"/proc/{pid}/status") as f:
            row = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert row["NoNewPrivs"] == "1" and row["Seccomp"] == "2", row
        with open(f"/proc/{pid}/limits") as f:
            soft, hard = next(line for line in f if line.startswith("Max open files")).split()[3:5]
        assert soft == hard or soft == "102400", (soft, hard)


if __name__ == "__main__":
    if not os.path.exists(library("12")):
        print("skipped: the fake library is not built")
        sys.exit(SKIPPED)
    run_all(dict(globals()))
