"""The kernel checker for another processor: cross-compiled, run under qemu's user emulation.

    cross_kern.py SOURCE_ROOT [aarch64]

Every instruction set of 64-bit Arm has to give the bits of plain C, on a processor that has all of them
(qemu's "max"); on an old one (Cortex-A53), the checker must find that it has only the first.
Without cross compiler or emulator: exit status 77, which Meson counts as skipped.
"""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

COMMON = ["-O3", "-std=gnu17", "-D_GNU_SOURCE", "-ffp-contract=off", "-fno-strict-aliasing", "-Isrc", "-Iinclude"]
KERNELS = ["-fno-schedule-insns"]
SETS = {
    "src/kern/kern_neon.c": ["-march=armv8-a"],
    "src/kern/kern_dotprod.c": ["-march=armv8.2-a+dotprod"],
    "src/kern/kern_i8mm.c": ["-march=armv8.2-a+dotprod+i8mm"],
}
PLAIN = ["tests/kern/check_kern.c", "src/kern/kern.c", "src/kern/kern_act.c", "src/kern/kern_pack.c",
         "src/kern/kern_ref.c", "src/os/cpu.c"]
PLAIN += ["src/base/%s.c" % n for n in ("buf", "err", "half", "mem", "rng", "str", "utf8")]


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def main():
    root = sys.argv[1]
    gcc = shutil.which("aarch64-linux-gnu-gcc")
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not gcc:
        skip("no aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross)")
    if not qemu:
        skip("no qemu-aarch64 (Debian: qemu-user-static)")

    with tempfile.TemporaryDirectory() as tmp:
        def compile_one(item):
            source, flags = item
            obj = os.path.join(tmp, os.path.basename(source) + ".o")
            return obj, subprocess.run([gcc, *COMMON, *flags, "-c", source, "-o", obj], cwd=root).returncode

        work = [(s, KERNELS + f) for s, f in SETS.items()] + [(s, []) for s in PLAIN]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objs = list(pool.map(compile_one, work))
        program = os.path.join(tmp, "check_kern")
        if any(rc for _, rc in objs):
            sys.exit("does not compile")
        subprocess.run([gcc, "-static", *[o for o, _ in objs], "-lm", "-o", program], check=True)

        def run(cpu):
            done = subprocess.run([qemu, "-cpu", cpu, program], stdout=subprocess.PIPE, text=True)
            print("%s:\n%s" % (cpu, done.stdout))
            if done.returncode:
                sys.exit("%s: exit status %d" % (cpu, done.returncode))
            return {line.split()[0] for line in done.stdout.splitlines() if "bit for bit" in line}

        for cpu, want in (("max", {"ref", "neon", "dotprod", "i8mm"}), ("cortex-a53", {"ref", "neon"})):
            if run(cpu) != want:
                sys.exit("%s: these had to be compared: %s" % (cpu, sorted(want)))


main()
