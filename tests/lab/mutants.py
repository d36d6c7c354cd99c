#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""All mutants in one kernel: mutants.py FOLDER PATCH...

FOLDER has the files that the patches are for, and gets them back with the functions that a patch
changes beside the original ones, which call them if /sys/module/locks/parameters/mutant_nr is the
NUMBER of the patch.  So one build serves all, and what runs for a mutant is what its patch says.
Prints "NAME NUMBER" for each patch.  A patch that changes something else than the bodies of functions
is an error.
"""

import re
import sys
from pathlib import Path

VARIABLE = "mutant_nr"
DEFINITION = f"""
#include <linux/moduleparam.h>
unsigned int {VARIABLE};
module_param({VARIABLE}, uint, 0644);
"""


class Unfit(Exception):
    """The patch does not fit, or cannot be a copy of functions."""


class Function:
    """A function of a source file: lines first..last, "{" at line brace; counted from 0."""

    def __init__(self, lines, brace):
        first = brace
        while first and not re.match(r"\s*$|}|#|.*;\s*$|\s*(/\*.*|\*.*)?\*/\s*$|EXPORT", lines[first - 1]):
            first -= 1
        last = brace
        while not lines[last].startswith("}"):
            last += 1
        self.first, self.brace, self.last = first, brace, last
        self.header = "\n".join(lines[first:brace])
        self.body = lines[brace : last + 1]
        match = re.match(r"([^(]*?)(\w+)\s*\(", self.header, re.S)
        self.name = match.group(2) if match else None
        if match:
            self.prefix, self.rest = match.group(1), self.header[match.end(2) :]

    def arguments(self):
        """Names of the parameters."""
        depth, start, parts = 0, None, []
        for i, c in enumerate(self.rest):
            if c == "(":
                depth += 1
                start = i + 1 if depth == 1 else start
            elif c == ")":
                depth -= 1
            if (c == "," and depth == 1) or (c == ")" and depth == 0):
                parts.append(self.rest[start:i])
                start = i + 1
            if c == ")" and depth == 0:
                break
        names = []
        for part in parts:
            part = re.sub(r"/\*.*?\*/|\[[^]]*\]", "", part, flags=re.S).strip()
            if part in ("", "void"):
                continue
            pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", part)
            names.append(pointer.group(1) if pointer else re.search(r"(\w+)$", part).group(1))
        return names

    def copy(self, number):
        """The text of the function under another name."""
        prefix = self.prefix if re.search(r"\bstatic\b|\bSTATIC\b", self.prefix) else "static " + self.prefix
        return [f"{prefix}{self.name}__mutant{number}{self.rest}", *self.body]

    def dispatch(self, number):
        """What the original one begins with."""
        call = f"{self.name}__mutant{number}({', '.join(self.arguments())})"
        if re.search(r"\bvoid\s*$", self.prefix):
            return f"\tif (unlikely({VARIABLE} == {number})) {{\n\t\t{call};\n\t\treturn;\n\t}}"
        return f"\tif (unlikely({VARIABLE} == {number}))\n\t\treturn {call};"


def functions(lines):
    """By name."""
    found = {}
    for i, line in enumerate(lines):
        if line == "{":
            f = Function(lines, i)
            if f.name:
                found[f.name] = f
    return found


def parse(patch):
    """(file, [(start, old lines, new lines)]) for each file; a start counts from 0."""
    files, hunk = [], None
    for line in patch.read_text().splitlines():
        if line.startswith("+++ b/"):
            files.append((line[6:].split("\t")[0], []))
        elif line.startswith("@@"):
            start, length = re.match(r"@@ -(\d+)(?:,(\d+))? ", line).groups()
            hunk = (int(start) - 1 if length != "0" else int(start), [], [])
            files[-1][1].append(hunk)
        elif hunk and line.startswith("--- "):
            hunk = None
        elif hunk and line and line[0] in " -+":
            if line[:1] != "+":
                hunk[1].append(line[1:])
            if line[:1] != "-":
                hunk[2].append(line[1:])
        elif hunk and not line:
            hunk = None
    return files


def place(lines, start, old):
    """Where the old lines are, nearest to start."""
    for distance in range(len(lines)):
        for at in (start - distance, start + distance):
            if 0 <= at and lines[at : at + len(old)] == old:
                return at
    raise Unfit("does not fit: " + "\n".join(old))


def changed_functions(lines, hunks):
    """Names of the functions that the hunks change, and the changed file."""
    names, new, shift = [], list(lines), 0
    original = functions(lines)
    for start, old, added in hunks:
        at = place(lines, start, old)
        same = 0
        while same < min(len(old), len(added)) and old[same] == added[same]:
            same += 1
        tail = 0
        while tail < min(len(old), len(added)) - same and old[-1 - tail] == added[-1 - tail]:
            tail += 1
        begin, end = at + same, at + len(old) - tail
        inside = [f.name for f in original.values() if f.brace < begin and end <= f.last]
        across = [f.name for f in original.values() if f.brace < begin <= f.last < end]
        if not inside or across:
            raise Unfit("changes something else than the body of a function")
        names += inside
        new[at + shift : at + shift + len(old)] = added
        shift += len(added) - len(old)
    return sorted(set(names)), new


def main():
    """See above."""
    folder, patches = Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]]
    sources, copies = {}, {}
    for number, patch in enumerate(patches, 1):
        made = []
        try:
            for file, hunks in parse(patch):
                lines = sources.setdefault(file, (folder / file).read_text().split("\n"))
                names, new = changed_functions(lines, hunks)
                before, after = functions(lines), functions(new)
                for name in names:
                    if name not in after or before[name].header != after[name].header:
                        raise Unfit(f"changes the head of {name}()")
                    made.append((file, name, after[name]))
        except Unfit as error:
            sys.exit(f"{patch.stem}: {error}")
        for file, name, function in made:
            copies.setdefault(file, {}).setdefault(name, []).append((number, function))
        print(patch.stem, number)

    for file, changed in copies.items():
        lines, out = sources[file], []
        heads = {f.first: f for n, f in functions(lines).items() if n in changed}
        braces = {f.brace: f for f in heads.values()}
        for i, line in enumerate(lines):
            if i in heads:
                out.append(f"extern unsigned int {VARIABLE};")
                for number, function in changed[heads[i].name]:
                    out += [*function.copy(number), ""]
            out.append(line)
            if i in braces:
                out += [braces[i].dispatch(number) for number, _ in changed[braces[i].name]]
        (folder / file).write_text("\n".join(out))
    with open(folder / "fs/locks.c", "a", encoding="utf-8") as f:
        f.write(DEFINITION)


main()
