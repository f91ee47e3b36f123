#!/usr/bin/env python3
"""stream.py - the framing of streams, chunk by chunk, where a case file with fixed bytes cannot say it."""

import json
import time

from serve import Server, Stream, run_all, text_of

CALL = '<tool_call>\\n{\\"name\\": \\"weather\\", \\"arguments\\": {\\"city\\": \\"Lagos\\", \\"days\\": 3}}\\n</tool_call>'
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def chunks(server, **more):
    """A whole chat stream's events after checking what holds for all of them."""
    stream = server.stream(**more)
    status, headers = stream.begin()
    assert status == 200, stream.file.read(500)
    assert headers["content-type"].startswith("text/event-stream"), headers
    assert headers["cache-control"] == "no-cache" and headers["x-accel-buffering"] == "no", headers
    assert "x-request-id" in headers and "content-encoding" not in headers, headers
    events = list(stream)
    assert stream.whole and events[-1] == "[DONE]" and "[DONE]" not in events[:-1], events[-3:]
    events.pop()
    usage = more.get("stream_options", {}).get("include_usage")
    first = events[0]
    n = more.get("n", 1)
    for i, e in enumerate(events):
        assert e["object"] == "chat.completion.chunk" and isinstance(e["choices"], list), e
        for name in "id", "created", "model", "system_fingerprint":
            assert e[name] == first[name], (name, e)
        if usage:
            assert (e["usage"] is None) == (i < len(events) - 1), e
            assert (len(e["choices"]) == 0) == (i == len(events) - 1), e
        else:
            assert "usage" not in e and len(e["choices"]) == 1, e
    for i in range(n):
        mine = [c for e in events for c in e["choices"] if c["index"] == i]
        assert mine[0]["delta"]["role"] == "assistant" and mine[0]["finish_reason"] is None, mine[0]
        assert not any("role" in c["delta"] for c in mine[1:]), "the role came twice"
        assert mine[-1]["delta"] == {} and mine[-1]["finish_reason"], mine[-1]
        assert not any(c["finish_reason"] for c in mine[:-1]), "two ends"
        assert all("logprobs" in c for c in mine)
        # only what changed is there, and never an empty text after the first chunk
        assert all(len(c["delta"]) == 1 and c["delta"] != {"content": ""} for c in mine[1:-1]), mine
    order = [e["choices"][0]["index"] for e in events[:n]]
    assert order == list(range(n)), f"choices begin in order {order}"
    return events


def whole(server, **more):
    reply = server.chat(**more)
    assert reply.status == 200, reply.body
    return reply.json()


def finish_of(events, choice=0):
    return [c["finish_reason"] for e in events for c in e["choices"] if c["index"] == choice][-1]


def test_usage():
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "one "\nsay "two "\nsay "three"\n') as server:
            plain = chunks(server)
            assert text_of(plain) == "one two three" and finish_of(plain) == "stop"
            counted = chunks(server, stream_options={"include_usage": True})
            want = whole(server)["usage"]
            got = counted[-1]["usage"]
            for name in "prompt_tokens", "completion_tokens", "total_tokens":
                assert got[name] == want[name], (got, want)
            assert got["total_tokens"] == got["prompt_tokens"] + got["completion_tokens"], got
            assert got["prompt_tokens"] > 0, f"{mode}: {got}"
            assert "usage" not in chunks(server, stream_options={"include_usage": False})[0]
            assert finish_of(chunks(server, max_tokens=2)) == "length"


def test_characters():
    """However a text is cut into bytes, every delta is whole characters."""
    text = "a\u00e9\u20ac\U0001f600z \u0e01\u0e33 \U0001f468\u200d\U0001f469 end"
    for mode in "generate", "forward":
        script = f"mode {mode}\n" + "".join(f'say "\\x{b:02x}"\n' for b in text.encode())
        with Server(script=script) as server:
            events = chunks(server)
            assert text_of(events) == text, text_of(events)
            assert whole(server)["choices"][0]["message"]["content"] == text
            # cut in the middle of a character: what there is of it is not sent as half of one
            for n in range(1, 12):
                cut = text_of(chunks(server, max_tokens=n))
                assert cut.rstrip("\ufffd") == text[:len(cut.rstrip("\ufffd"))], cut


def test_broken_characters():
    """An engine that says bytes that are no text: the stream stays text."""
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "a\\xff\\xc3"\nsay "b\\xe2\\x82"\n') as server:
            events = chunks(server)
            assert text_of(events) == "a\ufffd\ufffdb\ufffd", text_of(events)
            assert whole(server)["choices"][0]["message"]["content"] == "a\ufffd\ufffdb\ufffd"


def test_escapes():
    """Everything that JSON or SSE would trip over."""
    text = 'line\\none\\r\\n\\ttab \\"quoted\\" back\\\\slash \\x01\\x1f\\x7f data: x\\n\\n: y\\n\\nevent: z'
    want = 'line\none\r\n\ttab "quoted" back\\slash \x01\x1f\x7f data: x\n\n: y\n\nevent: z'
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "{text}"\n') as server:
            assert text_of(chunks(server)) == want
            assert whole(server)["choices"][0]["message"]["content"] == want


def test_keep_alive():
    """Silence is broken by comments, before the first token (prefill) and between tokens. The server
    looks at its clocks four times a second."""
    # one silent prompt, or some steps of one: a stream begins with the first step's end
    for mode in "generate\nprefill-wait 700\n", "forward\nbatch 100\nprefill-wait 150\n":
        script = f'mode {mode}\nsay "a"\nwait 700\nsay "b"\n'
        with Server("--ping-ms", "100", script=script) as server:
            stream = server.stream(text="x" * 500)
            seen = []
            for e in stream:
                seen.append((stream.comments, e))
            texts = [(n, text_of([e])) for n, e in seen if text_of([e])]
            assert [t for _, t in texts] == ["a", "b"], texts
            assert texts[0][0] >= 1, f"{mode}: {texts[0][0]} comments during prefill"
            assert texts[1][0] - texts[0][0] >= 1, f"{mode}: no comments between tokens"
            assert stream.whole


def test_at_once():
    """A token is sent when it is there, not when the next one is."""
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "first"\nwait 60000\nsay "second"\n') as server:
            stream = server.stream()
            begin = time.monotonic()
            got = ""
            for e in stream:
                got += text_of([e])
                if got == "first":
                    break
            assert got == "first" and time.monotonic() - begin < 30
            stream.reset()


def test_choices():
    """n answers side by side: each complete, begun in order."""
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "one "\nsay "two"\n') as server:
            events = chunks(server, n=5, stream_options={"include_usage": True})
            for i in range(5):
                assert text_of(events, i) == "one two" and finish_of(events[:-1], i) == "stop"
            assert [c["index"] for c in whole(server, n=5)["choices"]] == [0, 1, 2, 3, 4]


def test_stop():
    """A stop sequence across pieces; the one that ends first wins; what only looked like one comes."""
    for mode in "generate", "forward":
        with Server(script=f'mode {mode}\nsay "one <e"\nsay "x> two <e"\nsay "nd"\nsay "> three"\n') as server:
            for stop, want, why in (("<end>", "one <ex> two ", "stop"), (["zzz", " three", "<end>"], "one <ex> two ", "stop"),
                                    ("<end>!", "one <ex> two <end> three", "stop"), (["ex", "<ex"], "one ", "stop"),
                                    ("o", "", "stop"), ("\u20ac", "one <ex> two <end> three", "stop")):
                events = chunks(server, stop=stop)
                assert (text_of(events), finish_of(events)) == (want, why), (mode, stop, text_of(events))
                got = whole(server, stop=stop)["choices"][0]
                assert (got["message"]["content"], got["finish_reason"]) == (want, why), (mode, stop, got)


def logprobs_of(events, choice=0):
    out = []
    for e in events:
        for c in e["choices"]:
            if c["index"] == choice and c["logprobs"]:
                out += c["logprobs"]["content"]
    return out


def test_logprobs():
    """The list of a stream, joined, is the list of a whole answer, also where text is held back."""
    script = 'mode forward\nsay "one \\xe2\\x82\\xac <e"\nsay "x> two <end> three"\n'
    with Server(script=script) as server:
        for more in {}, {"stop": "<end>"}, {"stop": ["<end>!"]}, {"max_tokens": 6}, {"n": 3}, {"top_logprobs": 4}:
            ask = {"logprobs": True, **more}
            events = chunks(server, **ask)
            want = whole(server, **ask)["choices"]
            for i in range(more.get("n", 1)):
                got = logprobs_of(events, i)
                assert got == want[i]["logprobs"]["content"], (more, len(got), len(want[i]["logprobs"]["content"]))
                spelled = bytes(b for lp in got for b in lp["bytes"]).decode(errors="replace")
                said = want[i]["message"]["content"]
                if "max_tokens" not in more:
                    assert spelled == said, (more, spelled, said)
                assert all(lp["logprob"] <= 0 and len(lp["top_logprobs"]) == more.get("top_logprobs", 0) for lp in got)


def test_tool_calls():
    """A call arrives as id and name once, then pieces of arguments that add up to the whole one's."""
    for mode in "generate", "forward":
        script = f'mode {mode}\nsay "Let me see.\\n"\nsay "{CALL}"\n'
        with Server(script=script) as server:
            events = chunks(server, tools=[TOOL])
            deltas = [d for e in events for c in e["choices"] for d in c["delta"].get("tool_calls", [])]
            assert deltas, f"{mode}: no call in {text_of(events)!r}"
            first = deltas[0]
            assert first["index"] == 0 and first["type"] == "function" and first["id"], first
            assert first["function"] == {"name": "weather", "arguments": ""}, first
            assert all(set(d) == {"index", "function"} and set(d["function"]) == {"arguments"} for d in deltas[1:])
            args = "".join(d["function"]["arguments"] for d in deltas)
            assert json.loads(args) == {"city": "Lagos", "days": 3}, args
            assert finish_of(events) == "tool_calls" and text_of(events).strip() == "Let me see."
            choice = whole(server, tools=[TOOL])["choices"][0]
            call = choice["message"]["tool_calls"][0]
            assert choice["finish_reason"] == "tool_calls" and call["type"] == "function" and call["id"]
            assert call["function"] == {"name": "weather", "arguments": args}, call
            # without tools it is text; with tool_choice none, too
            assert "tool_calls" not in whole(server)["choices"][0]["message"]
            assert "tool_calls" not in whole(server, tools=[TOOL], tool_choice="none")["choices"][0]["message"]
            # truncation wins
            cut = whole(server, tools=[TOOL], max_tokens=1 if mode == "generate" else 60)["choices"][0]
            assert cut["finish_reason"] == "length", cut


def test_completions():
    """Several prompts in one stream, side by side or one after the other."""
    script = 'mode forward\non "A"\nsay "alpha"\non "B"\nsay "beta"\non ""\nsay "?"\n'
    ask = {"model": "m", "prompt": ["A", "B"], "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    for seqs in 8, 3, 2:
        with Server(script=f"seqs {seqs}\n" + script) as server:
            stream = Stream(server, "/v1/completions", ask)
            events = list(stream)
            assert stream.whole and events.pop() == "[DONE]"
            assert all(e["object"] == "text_completion" and e["id"].startswith("cmpl-") for e in events)
            usage = events.pop()
            assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 6 * 2 + 5 * 2, usage
            for i, want in enumerate(["alpha", "alpha", "beta", "beta"]):
                mine = [c for e in events for c in e["choices"] if c["index"] == i]
                assert "".join(c["text"] for c in mine) == want, (seqs, i, mine)
                ends = [c["finish_reason"] for c in mine]
                assert ends[-1] == "stop" and not any(ends[:-1]), ends
            # one that is refused ends the request with its status: nothing has begun
            stream = Stream(server, "/v1/completions", {**ask, "prompt": ["A", "B" * 10000]})
            assert stream.begin()[0] == 400
            stream.close()
            server.running(0)


def test_flood():
    """An engine far faster than anybody reads: nothing is lost, nobody dies."""
    script = 'mode generate\nctx 300000\nrepeat 200000 "0123456789abcdef"\n'
    with Server(script=script) as server:
        pid = server.worker()
        reply = whole(server, max_tokens=200000)["choices"][0]
        assert reply["message"]["content"] == "0123456789abcdef" * 200000 and reply["finish_reason"] == "length"
        assert server.worker() == pid


if __name__ == "__main__":
    run_all(dict(globals()))
