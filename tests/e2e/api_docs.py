#!/usr/bin/env python3
"""api_docs.py - docs/api.md, /openapi.json and /docs say what the tables say, and openapi.json beside the tables
knows no route, field or schema that is not there."""

import json
import os
import re
import subprocess

from serve import CURLEW, Server, run_all

HOME = os.path.join(os.path.dirname(__file__), "..", "..")


def described():
    with open(os.path.join(HOME, "src", "api", "openapi.json"), encoding="utf-8") as f:
        return json.load(f)


def refs(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for v in value.values():
            yield from refs(v)
    elif isinstance(value, list):
        for v in value:
            yield from refs(v)


def test_markdown_is_fresh():
    want = subprocess.run([CURLEW, "help", "--api"], capture_output=True, check=True).stdout.decode()
    with open(os.path.join(HOME, "docs", "api.md"), encoding="utf-8") as f:
        assert f.read() == want, "stale: build/curlew help --api > docs/api.md"


def test_document():
    with Server(script='say "Hello"') as s:
        reply = s.get("/openapi.json")
        assert reply.status == 200 and reply.headers["content-type"] == "application/json"
        doc, root = reply.json(), s.get("/").json()
    told = described()
    schemas = doc["components"]["schemas"]
    for ref in refs(doc):
        assert ref.startswith("#/components/schemas/") and ref.rsplit("/", 1)[1] in schemas, ref
    paths = {p.replace("{name}", "**") for p in doc["paths"]}
    assert paths == set(root["endpoints"])
    assert set(told["paths"]) <= paths, f"openapi.json knows no such routes: {set(told['paths']) - paths}"
    assert paths <= set(told["paths"]), f"not in openapi.json: {paths - set(told['paths'])}"
    kinds = {k["name"]: schemas[k["name"]]["properties"] for k in told["kinds"].values()}
    assert not [n for n in schemas if re.match(r"Request\d", n)], "a kind of request has no name in openapi.json"
    for key in told["fields"]:
        kind, _, name = key.rpartition(".")
        assert any(name in kinds[k] for k in ([kind] if kind else kinds)), f"openapi.json knows no such field: {key}"
    # what is checked is what is said: a number on both sides of each end of its range
    number = kinds["ChatRequest"]["temperature"]
    assert (number["minimum"], number["maximum"], number["default"]) == (0, 2, 1)
    assert kinds["CompletionRequest"]["max_tokens"]["default"] == 16


def test_ranges_are_those_that_are_checked():
    with Server(script='say "Hello"') as s:
        for name, schema in s.get("/openapi.json").json()["components"]["schemas"]["ChatRequest"]["properties"].items():
            if "minimum" not in schema or "integer" in schema["type"] and schema["maximum"] > 1000:
                continue
            for value, fine in ((schema["minimum"], True), (schema["maximum"], True), (None, True),
                                (schema["minimum"] - 1, False), (schema["maximum"] + 1, False), ("1", False)):
                reply = s.chat(**{name: value})
                error = reply.json().get("error", {})
                refused = reply.status == 400 and error.get("param") == name and error["code"] != "unsupported_parameter"
                assert refused != fine, f"{name}={value}: {reply.status} {reply.body}"


def test_pages():
    with Server(script='say "Hello"') as s:
        script = s.get("/docs/page.js")
        for path in ("/docs", "/redoc"):
            reply = s.get(path)
            text = reply.body.decode()
            assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
            policy = dict(p.strip().split(" ", 1) for p in reply.headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["connect-src"] == "'self'"
            assert "unsafe-inline" not in policy["script-src"] and policy["frame-ancestors"] == "'none'"
            assert "//" not in text.replace("<!DOCTYPE", ""), "nothing comes from elsewhere"
            assert not re.search(r"<script(?![^>]*src=)", text), "no script in the page"
            if script.status == 200:
                assert 'src="/docs/page.js"' in text and 'spec-url="/openapi.json"' in text
            else:
                assert "<code>temperature</code>" in text and "/v1/chat/completions" in text
        if script.status == 200:
            assert script.headers["content-type"].startswith("text/javascript") and len(script.body) > 100000
        else:
            assert script.status == 404


if __name__ == "__main__":
    run_all(globals())
