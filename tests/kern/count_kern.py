"""Instructions that each kernel takes for a unit of work, under callgrind: a guard against getting slower unseen.

    count_kern.py PROGRAM COUNTS GCC_VERSION          compare with the counts in COUNTS
    count_kern.py PROGRAM COUNTS GCC_VERSION --renew  write them anew (after a change that is meant to be, in the same commit)

Counts do not depend on the machine or its load, only on the code and its compiler. COUNTS names the compiler they were
made with: with it a count may be 5% above, with another version 40%. Valgrind knows no AVX-512: plain C and AVX2 are counted.
Without valgrind: exit status 77, which Meson counts as skipped.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SETS = ["ref", "avx2"]


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def count(program, level):
    """{kernel: instructions a unit}."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "out")
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, program, level],
                              capture_output=True, text=True)
        if done.returncode == 77:
            return None
        if done.returncode:
            sys.exit("%s: status %d: %s" % (level, done.returncode, done.stderr[-2000:]))
        note = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out], capture_output=True,
                              text=True, check=True).stdout
    total = {m[2]: int(m[1].replace(",", "")) for m in re.finditer(r"^\s*([\d,]+) .*?[:?]count_(\w+)", note, re.M)}
    units = dict(line.split() for line in done.stdout.splitlines())
    missing = set(units) - set(total)
    if missing or not units:
        sys.exit("callgrind saw no count_%s" % ", count_".join(sorted(missing)))
    return {name: total[name] / int(n) for name, n in units.items()}


def main():
    program, path, version = sys.argv[1:4]
    if not shutil.which("valgrind"):
        skip("no valgrind")
    found = {level: got for level in SETS if (got := count(program, level))}
    if "avx2" not in found:
        skip("a processor without AVX2 and FMA, where plain C computes fma in software")
    if "--renew" in sys.argv:
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"gcc": version, "instructions": {s: {k: round(v, 5) for k, v in c.items()} for s, c in found.items()}},
                      f, indent=1)
            f.write("\n")
        return
    with open(path, encoding="utf-8") as f:
        want = json.load(f)
    slack = 1.05 if version.split(".")[0] == want["gcc"].split(".")[0] else 1.4
    bad = []
    for level, counts in found.items():
        for name, got in counts.items():
            bound = want["instructions"][level].get(name, 0) * slack
            print("%-5s %-10s %9.5f a unit, at most %9.5f" % (level, name, got, bound))
            if got > bound:
                bad.append("%s %s takes %.5f instructions a unit, at most %.5f are allowed" % (level, name, got, bound))
    if bad:
        sys.exit("\n".join(bad) + "\nIf that is meant: --renew (see the top of this file)")


main()
