#!/usr/bin/env python3
"""case.py FILE.case... - send what a case says, expect exactly what it says.

A case is text in sections:

    == serve [flags]           one server for the file; must come first
    mode forward               ... what its scripted engine does (engines/script/script.h)
    say "Hello"
    == request POST /v1/chat/completions
    header: value              (optional lines, then an empty one, when the first line is no JSON)
    {"model": "m", ...}
    == reply 200
    header: value              headers that must be there with this value, {any} and the like as in a body
                               ("-": must not be there)

    {"id": "{id}", ...}        the exact body

In a body {id}, {created}, {fp}, {pad11} and {any} stand for a text that fits: an id, a number, a fingerprint, padding,
anything on one line. Line ends inside a body count; the last one of the section does not.
"""

import json
import os
import re
import sys

from serve import Server, read_reply, send_request

WILD = {
    "{id}": r"[a-z]+-[0-9a-f]{24}",
    "{created}": r"\d{10}",
    "{fp}": r"fp_[0-9a-f]{10}",
    "{call}": r"call_[A-Za-z0-9]{24}",
    "{pad11}": r"[A-Za-z0-9]{11}",
    "{any}": r"[^\n]*?",
}


def sections(text):
    name, lines = None, []
    for line in text.split("\n"):
        if line.startswith("== "):
            if name:
                yield name, lines
            name, lines = line[3:], []
        elif name:
            lines.append(line)
    if name:
        yield name, lines


def split_headers(lines):
    """Leading `name: value` lines up to an empty line; what follows is the body."""
    headers = {}
    if lines and re.match(r"^(?!data:)[A-Za-z-]+: ", lines[0]):
        while lines and lines[0]:
            name, _, value = lines.pop(0).partition(": ")
            headers[name.lower()] = value
        if lines:
            lines.pop(0)
    elif lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return headers, "\n".join(lines)


def pattern(body):
    parts = re.split("(" + "|".join(map(re.escape, WILD)) + ")", body)
    return "".join(WILD.get(p, re.escape(p)) for p in parts)


def check(where, reply, status, headers, body):
    problems = []
    if reply.status != int(status):
        problems.append(f"status {reply.status}, want {status}")
    if not reply.whole:
        problems.append("the reply was cut short")
    for name, want in headers.items():
        got = reply.headers.get(name)
        if got is None or want == "-" or not re.fullmatch(pattern(want), got):
            if got is None and want == "-":
                continue
            problems.append(f"header {name}: {got!r}, want {want!r}")
    got = reply.body.decode(errors="replace").rstrip("\n")
    if not re.fullmatch(pattern(body), got):
        problems.append(f"body is\n{got}\nwant\n{body}")
    if problems:
        raise AssertionError(f"{where}: " + "; ".join(problems))


def keep(method, path, body, reply):
    """With CURLEW_KEEP=FILE: a line of JSON for each request and its reply, for tests that look at all of them."""
    if os.environ.get("CURLEW_KEEP"):
        with open(os.environ["CURLEW_KEEP"], "a", encoding="utf-8") as f:
            print(json.dumps({"method": method, "path": path, "request": body, "status": reply.status,
                              "type": reply.headers.get("content-type"),
                              "reply": reply.body.decode(errors="replace")}), file=f)


def run(path):
    todo = list(sections(open(path, encoding="utf-8", newline="\n").read()))
    name, script = todo.pop(0)
    assert name.split()[0] == "serve", f"{path}: the first section must be `== serve`"
    checks = 0
    with Server(*name.split()[1:], script="\n".join(script)) as server:
        reply = None
        for name, lines in todo:
            words = name.split()
            if words[0] == "request":
                headers, body = split_headers(lines)
                with server.connect() as s:
                    send_request(s, words[1], words[2], body.encode() if body else None, headers)
                    reply = read_reply(s, head_only=words[1] == "HEAD")
                keep(words[1], words[2], body, reply)
            elif words[0] == "reply":
                checks += 1
                check(f"{path}, reply {checks}", reply, words[1], *split_headers(lines))
            else:
                raise AssertionError(f"{path}: unknown section {name!r}")
    assert checks, f"{path} checks nothing"
    return checks


if __name__ == "__main__":
    for case in sys.argv[1:]:
        print(f"{case}: {run(case)} replies as expected")
