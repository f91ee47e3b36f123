#!/usr/bin/env python3
"""rooms.py ROOT [CC] - the house's order, checked: who includes whom, names, headers that stand alone.

A room is a folder under src/; the order is that of the table in ARCHITECTURE.md, and src/meson.build builds
the rooms in the same one. A file may include headers of its own room and of rooms above it, another room's
x_int.h never, and each base name is there once.
"""

import concurrent.futures
import pathlib
import re
import subprocess
import sys

# What no file of the project may hold: places and hosts of the machine it was written on.
FOREIGN = re.compile(r"/home/[a-z]|/Users/|\b(?:10|192\.168)\.\d+\.\d+\.\d+")
# Headers that are no headers: code included once for each instruction set.
TEMPLATES = {"src/kern/kern_simd.h", "src/kern/kern_act_simd.h", "src/kern/kern_neon.h"}
BINARY = {".gguf", ".bin", ".png", ".jpg", ".wav", ".pem"}


def rooms_of(root):
    """The rooms, top first, and what is wrong with the two places that name them."""
    text = (root / "ARCHITECTURE.md").read_text()
    table = re.findall(r"^\| `(\w+)` \|", text, re.M)
    built = re.findall(r"'(\w+)'", re.search(r"foreach room : \[(.*?)\]", (root / "src/meson.build").read_text(), re.S).group(1))
    there = {p.name for p in (root / "src").iterdir() if p.is_dir()}
    problems = [f"src/{r} is not in ARCHITECTURE.md's table of rooms" for r in sorted(there - set(table))]
    problems += [f"ARCHITECTURE.md names a room {r} that is not there" for r in table if r not in there]
    if [r for r in built if r in there] != [r for r in table if r in there]:
        problems.append(f"src/meson.build builds in another order than ARCHITECTURE.md's table: {built}")
    return table, problems


def includes(path):
    for n, line in enumerate(path.read_text().split("\n"), 1):
        if m := re.match(r'\s*#\s*include\s+"([^"]+)"', line):
            yield n, m.group(1)


def check_includes(root, order):
    src = root / "src"
    for path in sorted(src.rglob("*.[ch]")):
        room = path.relative_to(src).parts[0]
        for n, name in includes(path):
            where = f"src/{path.relative_to(src)}:{n}"
            if name == "engine.h":  # include/: what engines implement; its place is below base, os
                continue
            target = name.split("/")[0]
            if "/" not in name and (path.parent / name).exists():  # its own folder's
                continue
            if not (src / name).exists():
                yield f'{where}: "{name}" is not there'
            elif target == room:
                continue
            elif name.endswith("_int.h"):
                yield f"{where}: {name} belongs to the room {target} alone"
            elif target in order and room in order and order.index(target) > order.index(room):
                yield f"{where}: {room} stands above {target} and may not use it"


def check_names(root):
    seen = {}
    for path in sorted((root / "src").rglob("*.[ch]")):
        key = path.name
        if key in seen:
            yield f"two files are called {key}: {seen[key]} and {path.relative_to(root)}"
        seen[key] = path.relative_to(root)


def check_alone(root, cc):
    """Each header compiles by itself, with what the build gives every file."""
    headers = [p for top in ("src", "include") for p in sorted((root / top).rglob("*.h"))
               if str(p.relative_to(root)) not in TEMPLATES]

    def one(path):
        flags = ["-std=gnu17", "-D_GNU_SOURCE", "-DCURLEW_VERSION=\"0\"", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-function",
                 "-Wno-unused-const-variable", "-Werror", f"-I{root / 'src'}", f"-I{root / 'include'}", "-xc", "-"]
        p = subprocess.run([cc, *flags], input=f'#include "{path}"\n', capture_output=True, text=True)
        return f"{path.relative_to(root)} does not compile alone: {p.stderr[:400].strip()}" if p.returncode else None
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(one, headers))


def check_foreign(root):
    listed = subprocess.run(["git", "-C", root, "ls-files"], capture_output=True, text=True)
    names = listed.stdout.split("\n")[:-1] if listed.returncode == 0 else [
        str(p.relative_to(root)) for top in ("src", "tests", "include", "docs") for p in (root / top).rglob("*") if p.is_file()]
    for name in names:
        path = root / name
        if path == pathlib.Path(__file__).resolve() or path.suffix in BINARY or "corpus" in path.parts or not path.is_file():
            continue
        for n, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            if m := FOREIGN.search(line):
                yield f"{name}:{n}: {m.group(0)!r} is a place of somebody's machine"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    order, problems = rooms_of(root)
    problems += check_includes(root, order)
    problems += check_names(root)
    problems += check_alone(root, sys.argv[2] if len(sys.argv) > 2 else "cc")
    problems += check_foreign(root)
    for p in problems:
        print(p)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
