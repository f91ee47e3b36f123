#!/usr/bin/env python3
"""run.py FOLDER TEST.mjs - a test of npm clients against a running server.

The packages go into FOLDER (of the build, never the source tree) and stay there as long as the lock file
does not change. Skipped with a word where Node is missing or older than 20, or the packages cannot be had.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from serve import SKIPPED, Server  # noqa: E402

SCRIPT = """
mode {mode}
embed mean
on "story"
repeat 20 "word "
on "endless"
say "tok "
wait 10
endless
on "silent"
wait 600000
on "boom"
say "Hel"
fail "the device is on fire"
on "31 degrees"
say "It is warm."
on "call"
say "<tool_call>\\n{{\\"name\\": \\"weather\\", \\"arguments\\": {{\\"city\\": \\"Lagos\\"}}}}\\n</tool_call>"
on ""
say "Hello"
say " there, \\xe2"
say "\\x82\\xac!"
"""


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def packages(folder):
    """The packages of the lock file, in folder, and the tests beside them. One at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        install(folder)


def install(folder):
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = folder / "installed-lock"
    for path in (HERE / "package.json", HERE / "package-lock.json", HERE / ".npmrc", *HERE.glob("*.mjs")):
        shutil.copy(path, folder / path.name)
    if stamp.exists() and stamp.read_bytes() == lock:
        return
    stamp.unlink(missing_ok=True)
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, capture_output=True, timeout=90)
    except FileNotFoundError:
        skip("npm is not installed")
    except subprocess.TimeoutExpired:
        skip("npm ci took too long: is the registry reachable?")
    if done.returncode:
        text = done.stderr.decode(errors="replace")
        if "EINTEGRITY" in text or "EUSAGE" in text:  # no matter of the network
            print(text)
            sys.exit(1)
        skip("npm ci: " + text.strip().split("\n")[0])
    stamp.write_bytes(lock)


def keep_replies(path):
    """Every request of the cases with its reply, a line each."""
    path.unlink(missing_ok=True)
    cases = sorted((HERE.parent / "e2e" / "cases").glob("*.case"))
    subprocess.run([sys.executable, HERE.parent / "e2e" / "case.py", *cases], check=True, timeout=100,
                   stdout=subprocess.DEVNULL, env={**os.environ, "CURLEW_KEEP": str(path)})


def main():
    folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
    try:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        skip("node is not installed")
    if int(version.strip().lstrip("v").split(".")[0]) < 20:
        skip(f"node {version.strip()} is older than 20")
    packages(folder)

    scripts = {mode: SCRIPT.format(mode=mode) for mode in ("forward", "generate")}
    models = []
    story = pathlib.Path(os.environ.get("CURLEW_SHARED", "nowhere"), "weights", "stories260K-f32.gguf")
    if story.exists():
        models = ["--model", str(story)]
    tiny = HERE.parent.parent / "models" / "curlew-tiny" / "curlew-tiny.gguf"
    models += ["--model", str(tiny)]
    with Server(*models, "--queue", "1", "--queue-ms", "300", "--parallel", "4", "--log-level", "warn",
                scripts=scripts) as server:
        env = {**os.environ, "CURLEW_URL": f"http://127.0.0.1:{server.port}",
               "CURLEW_STORY": story.stem if story.exists() else "", "CURLEW_TINY": tiny.stem,
               "CURLEW_KEEP": str(folder / "replies")}
        if name == "openapi.test.mjs":
            keep_replies(folder / "replies")
        done = subprocess.run(["node", "--test", "--test-reporter=spec", name], cwd=folder, env=env, timeout=120)
        assert done.returncode == 0, f"node --test ended with {done.returncode}"


if __name__ == "__main__":
    main()
