#!/usr/bin/env python3
"""rkllm_deploy.py - the script that fixes a board's clocks, on a made-up /sys."""

import os
import pathlib
import subprocess

import cli_rig
from serve import run_all

SCRIPT = pathlib.Path(__file__).parents[2] / "deploy/rockchip/fix-freq.sh"
NPU = "class/devfreq/fdab0000.npu"


def board(name):
    """The files of an RK3588 that matter: two CPU policies, NPU and memory under devfreq, idle states."""
    files = {"devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand",
             "devices/system/cpu/cpufreq/policy4/scaling_governor": "schedutil",
             f"{NPU}/governor": "rknpu_ondemand", f"{NPU}/available_frequencies": "300000000 1000000000 900000000",
             f"{NPU}/userspace/set_freq": "0", "class/devfreq/dmc/governor": "dmc_ondemand",
             "class/devfreq/dmc/available_frequencies": "528000000 2112000000",
             "devices/system/cpu/cpu0/cpuidle/state0/disable": "0", "devices/system/cpu/cpu0/cpuidle/state1/disable": "0"}
    for path, text in files.items():
        cli_rig.write(f"{name}/{path}", text + "\n")
    return files


def run(name, *args):
    env = {**os.environ, "SYSFS": cli_rig.path(name), "STATE": cli_rig.path(name + "-state")}
    return subprocess.run(["sh", str(SCRIPT), *args], env=env, capture_output=True, text=True, timeout=20)


def read(name, path):
    with open(cli_rig.path(f"{name}/{path}")) as f:
        return f.read().strip()


def test_fix_and_restore():
    before = board("a")
    for _ in range(2):  # twice is as good as once: what was before is kept
        done = run("a")
        assert done.returncode == 0 and not done.stderr, done
    assert read("a", f"{NPU}/governor") == "userspace" and read("a", f"{NPU}/userspace/set_freq") == "1000000000"
    assert read("a", "class/devfreq/dmc/governor") == "performance"  # has no set_freq
    for n in 0, 4:
        assert read("a", f"devices/system/cpu/cpufreq/policy{n}/scaling_governor") == "performance"
    assert read("a", "devices/system/cpu/cpu0/cpuidle/state0/disable") == "0"
    assert read("a", "devices/system/cpu/cpu0/cpuidle/state1/disable") == "1"
    assert run("a", "--restore").returncode == 0
    for path, text in before.items():
        if not path.endswith("set_freq"):
            assert read("a", path) == text, path
    assert run("a", "--restore").returncode == 1  # nothing is fixed any more


def test_another_machine():
    """Nothing of it is there: nothing happens."""
    os.makedirs(cli_rig.path("b"))
    done = run("b")
    assert done.returncode == 0 and not done.stderr, done
    assert run("b", "--help").returncode == 2


if __name__ == "__main__":
    run_all(dict(globals()))
