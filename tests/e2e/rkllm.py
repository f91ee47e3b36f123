#!/usr/bin/env python3
"""rkllm.py - the Rockchip engine over its test double: every layout, tokens and text, limits and stops."""

import os
import sys

from rkllm_rig import EOS, LAYOUTS, SCRIPT, TINY, Npu, library, run_all
from serve import SKIPPED, Server, text_of


def both(layout):
    for tokens in True, False:
        yield Npu(layout, tokens=tokens)


def test_answers():
    """Whole, as a stream, with characters of several bytes, in every layout, with and without a tokenizer."""
    for layout in LAYOUTS:
        for server in both(layout):
            with server as s:
                for text, want in [("Hi", "Hello there!"), ("the weather?", "It rains."),
                                   ("unicode", "na\u00efve \u65e5\u672c \U0001f600!")]:
                    choice = s.say(text)
                    assert choice["message"]["content"] == want and choice["finish_reason"] == "stop", choice
                    assert text_of(list(s.stream(text=text))) == want


if __name__ == "__main__":
    if not os.path.exists(library("12")):
        print("skipped: the fake library is not built")
        sys.exit(SKIPPED)
    run_all(dict(globals()))
