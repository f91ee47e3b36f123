#!/usr/bin/env python3
"""api_examples.py - the requests that OpenAI's API description prints, sent with another model's name: the replies have
every member that the printed replies have, of the same kind."""

import json

from serve import Server, run_all, shared

SCRIPT = """
mode forward
on "Boston"
say "<tool_call>\\n{\\"name\\": \\"get_current_weather\\", \\"arguments\\": {\\"location\\": \\"Boston, MA\\"}}\\n</tool_call>"
on ""
say "This is indeed a test"
"""
NOT_OURS = {"service_tier", "annotations", "shutdown_date"}  # optional, and there is nothing to say


def same_shape(want, got, where):
    if isinstance(want, dict):
        assert isinstance(got, dict), where
        for key, value in want.items():
            if key not in NOT_OURS:
                assert key in got, f"{where}.{key} is missing"
                same_shape(value, got[key], f"{where}.{key}")
    elif isinstance(want, list):
        assert isinstance(got, list) and (got or not want), where
        for value in got:
            same_shape(want[0], value, f"{where}[]")
    else:
        assert type(want) is type(got), f"{where}: {want!r}, {got!r}"


def test_examples():
    with open(shared("api-examples", "openai-examples.json"), encoding="utf-8") as f:
        rows = json.load(f)
    sent = 0
    with Server(script=SCRIPT) as s:
        for row in rows:
            if row["verb"] != "post" or row["path"] not in ("/chat/completions", "/completions") or not row["request"]:
                continue
            reply = s.post("/v1" + row["path"], {**row["request"], "model": "m"})
            sent += 1
            if "image_url" in json.dumps(row["request"]):
                error = reply.json()["error"]
                assert reply.status == 400 and error["param"].startswith("messages[0].content[1]"), reply.body
                continue
            assert reply.status == 200, reply.body
            assert "x-curlew-ignored" not in reply.headers
            same_shape(row["response"], reply.json(), row["title"])
    assert sent >= 3


if __name__ == "__main__":
    run_all(globals())
