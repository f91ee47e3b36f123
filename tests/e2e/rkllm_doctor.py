#!/usr/bin/env python3
"""rkllm_doctor.py - `curlew doctor rkllm`: what a library is, also one that crashes, exits or hangs."""

import os
import sys

import cli_rig
from rkllm_rig import LAYOUTS, SCRIPT, library, run_all
from serve import SKIPPED

# offset and value of some defaults, from the vendor's headers and manual
KNOWN = {
    "11": {"top_p": (20, "0.9"), "skip_special_token": (52, "1"), "base_domain_id": (80, "0")},
    "120": {"n_keep": (20, "-1"), "top_p": (24, "0.9"), "enabled_cpus_mask": (96, "0xf0")},
    "12": {"top_p": (24, "0.9"), "base_domain_id": (88, "0"), "enabled_cpus_num": (93, "4"), "n_batch": (100, "1")},
    "13": {"top_p": (24, "0.9"), "base_domain_id": (60, "0"), "enabled_cpus_num": (65, "4"), "n_batch": (72, "1")},
}


def doctor(layout, *flags, fail=None, env=None):
    env = {**(env or {}), **({"FAKE_RKLLM_FAIL": fail} if fail else {})}
    path = layout if "/" in layout else os.path.abspath(library(layout))
    return cli_rig.command("doctor", "rkllm", "--library", path, *flags, env=env)


def verdict(out):
    return [line.split(None, 1)[1] for line in out.splitlines() if line.startswith("verdict")]


def test_layouts():
    for layout, name in zip(LAYOUTS, ["1.1", "1.2.0", "1.2", "1.3"]):
        status, out, err = doctor(layout)
        assert status == 0 and verdict(out) == [f"yes: layout {name}"], (out, err)
        rows = {w[0]: (int(w[2]), " ".join(w[3:])) for w in map(str.split, out.splitlines()) if len(w) > 3 and w[1] == "at"}
        for field, want in KNOWN[layout].items():
            assert rows[field] == want, (layout, field, rows)
        assert ("n_keep" in rows) == (layout != "11") and ("ignore_eos_token" in rows) == (layout == "13")
        row = next(line.split() for line in out.splitlines() if "rkllm_clear_kv_cache" in line)
        assert row[1] == ("no" if layout == "11" else "yes")


def test_unknown():
    status, out, _ = doctor("odd")
    assert status == 1 and "1.4.0" in verdict(out)[0] and "--rkllm-layout" in verdict(out)[0], out
    status, out, _ = doctor("odd", "--rkllm-layout", "1.2")
    assert status == 0, out
    status, out, _ = doctor("/nowhere/lib.so")
    assert status == 1 and "/nowhere/lib.so" in verdict(out)[0], out
    status, out, _ = doctor(cli_rig.write("text.so", "not a library"))
    assert status == 1 and "does not load" in verdict(out)[0], out
    assert cli_rig.command("doctor")[0] == 2 and cli_rig.command("doctor", "cat")[0] == 2


def test_bad_libraries():
    for fail, word in [("load:crash", "signal 11"), ("load:exit", "status 3"), ("load:hang", "hangs")]:
        status, out, _ = doctor("12", "--npu-stall-ms", "500", fail=fail)
        assert status == 1 and word in verdict(out)[-1], out


def test_models():
    model = cli_rig.write("m.rkllm", SCRIPT)
    for layout in LAYOUTS:
        status, out, err = doctor(layout, "--model", model)
        assert status == 0 and verdict(out)[-1].startswith("yes: 12 tokens"), (out, err)
        assert "toolkit 1.2.3, W8A8, 3 cores, context at most 4096" in out, out
    for fail, word in [("init:crash", "signal 11"), ("init:abort", "signal 6"), ("init:exit", "status 3"),
                       ("init:hang", "did not finish"), ("init:null", "no handle"), ("run:crash@3", "signal 11"),
                       ("run:hang@3", "stopped answering"), ("run:error@3", "failed to answer")]:
        status, out, _ = doctor("12", "--npu-stall-ms", "500", "--model", model, fail=fail)
        assert status == 1 and word in verdict(out)[-1], (fail, out)
    status, out, _ = doctor("12", "--ctx", "8192", "--model", model)
    assert status == 1 and "max_context_limit[4096]" in out and "--ctx 4096" in out, out


if __name__ == "__main__":
    if not os.path.exists(library("12")):
        print("skipped: the fake library is not built")
        sys.exit(SKIPPED)
    run_all(dict(globals()))
