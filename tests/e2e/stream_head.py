#!/usr/bin/env python3
"""stream_head.py - when a stream's head leaves: with the request's turn, before the engine has done anything for it;
and after a while of silence also before its turn, so that neither clients nor proxies give up."""

from serve import Server, run_all

SLOW = """
mode forward
seqs 1
prefill-wait 600000
say "never"
"""
BUSY = """
mode forward
seqs 1
on "endless"
say "tok "
wait 5
endless
on "boom"
say "x"
fail "the device is on fire"
on ""
say "Hello"
"""


def lines(stream):
    """The lines of a chunked body, as they come, without the chunks' heads."""
    text = b""
    while True:
        size = int(stream.file.readline(), 16)
        text += stream.file.read(size + 2)[:size]
        if size == 0:
            return
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            yield line.decode()


def test_before_the_first_step():
    with Server("--ping-ms", "600000", script=SLOW) as s:
        stream = s.stream()  # its one forward takes ten minutes
        status, headers = stream.begin()
        assert status == 200 and headers["content-type"] == "text/event-stream"
        first = next(iter(stream))
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}, first
        stream.close()


def test_comments_during_a_long_prefill():
    with Server("--ping-ms", "50", script=SLOW) as s:
        stream = s.stream()
        stream.begin()
        got = lines(stream)
        assert next(got).startswith("data: ")
        assert [next(got) for _ in range(5)] == ["", ": keep-alive", "", ": keep-alive", ""]
        stream.close()


def test_head_while_it_waits_for_its_turn():
    with Server("--ping-ms", "50", script=BUSY) as s:
        first = s.stream(text="endless")
        first.begin()
        second, third = s.stream(text="Hi"), s.stream(text="boom")
        for stream in (second, third):
            status, headers = stream.begin()
            assert status == 200 and headers["content-type"] == "text/event-stream"
            got = lines(stream)
            assert next(got) == ": keep-alive"
            stream.got = got
        first.close()
        data = [line[6:] for line in second.got if line.startswith("data: ")]
        assert '"role":"assistant"' in data[0] and data[-1] == "[DONE]"
        assert sum('"role"' in d for d in data) == 1
        data = [line[6:] for line in third.got if line.startswith("data: ")]
        assert '"error"' in data[-1] and "on fire" in data[-1]


def test_errors_before_have_their_status():
    with Server("--ping-ms", "600000", "--queue-ms", "100", script=BUSY) as s:
        first = s.stream(text="endless")
        first.begin()
        late = s.stream(text="Hi")
        status, headers = late.begin()
        assert status == 503 and headers["retry-after"], status
        first.close()


if __name__ == "__main__":
    run_all(globals())
