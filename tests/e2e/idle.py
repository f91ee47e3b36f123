#!/usr/bin/env python3
"""idle.py - a server that nobody asks costs nothing: no processor time and no waking up, in any of its processes."""

import os
import time

from serve import Server, run_all, until

MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")


def spent(pid):
    """(ticks of processor time, times that its threads woke up by themselves) so far."""
    ticks = wakes = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            stat = f.read()
        user, system = stat[stat.rindex(")") + 2:].split()[11:13]
        ticks += int(user) + int(system)
        with open(f"/proc/{pid}/task/{task}/status") as f:
            wakes += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
    return ticks, wakes


def test_idle():
    with Server("--model", MODEL, "--threads", "2") as s:
        assert s.chat("curlew-tiny", max_tokens=8).status == 200
        pids = {"supervisor": s.process.pid, "front": s.front(), "worker": s.worker()}

        def settled():  # threads fall asleep; the front's clock ticks on until the connection's end is seen
            before = {name: spent(pid) for name, pid in pids.items()}
            time.sleep(1.1)
            return before == {name: spent(pid) for name, pid in pids.items()}

        until("all is quiet", settled)
        before = {name: spent(pid) for name, pid in pids.items()}
        time.sleep(1.1)
        for name, pid in pids.items():
            ticks, wakes = (a - b for a, b in zip(spent(pid), before[name]))
            print(f"{name}: {ticks} ticks, woke {wakes} times")
            assert ticks == 0 and wakes == 0, (name, ticks, wakes)
        assert s.chat("curlew-tiny", max_tokens=8).status == 200


if __name__ == "__main__":
    run_all(globals())
