#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Lines of the series that nothing ran: coverage.py BEFORE TREE RESULTS FILE...

BEFORE is the source without the series, TREE where the kernel was built with it, RESULTS a folder somewhere
below which guests have left their counters (.gcda), each at its object's path in TREE.  For each FILE, a path
in TREE, prints the lines that TREE has and BEFORE has not and that the compiler made code of, if no guest ran
them; and a summary at the end.
"""

import collections
import difflib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def lines_of(path):
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def added_lines(before, after):
    """Numbers, from 1, of the lines of after that are not in before."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return {
        number + 1
        for tag, _, _, first, last in matcher.get_opcodes()
        if tag in ("insert", "replace")
        for number in range(first, last)
    }


def counts(tree, counters):
    """What gcov makes of one file of counters: (source file, line number, how often)."""
    with tempfile.TemporaryDirectory() as folder:
        stem = str(counters).split(f"{tree}/", 1)[1][: -len(".gcda")]
        shutil.copy(counters, folder)
        shutil.copy(tree / f"{stem}.gcno", folder)
        out = subprocess.run(
            ["gcov", "--json-format", "--stdout", f"{folder}/{counters.name}"],
            cwd=tree,
            check=True,
            capture_output=True,
        )
        for source in json.loads(out.stdout)["files"]:
            for line in source["lines"]:
                yield source["file"].removeprefix("./"), line["line_number"], line["count"]


def main():
    before, tree, results = map(Path, sys.argv[1:4])
    files = sys.argv[4:]
    ran = collections.defaultdict(dict)
    found = sorted(results.glob(f"**/gcov/*{tree}/**/*.gcda"))
    if not found:
        sys.exit("no guest has left counters")
    for counters in found:
        for source, number, count in counts(tree, counters):
            ran[source][number] = ran[source].get(number, False) or count > 0

    total = missed = 0
    for name in files:
        after = lines_of(tree / name)
        code = sorted(added_lines(lines_of(before / name), after) & ran[name].keys())
        silent = [number for number in code if not ran[name][number]]
        total += len(code)
        missed += len(silent)
        if silent:
            print(f"{name}: {len(silent)} of {len(code)}")
            for number in silent:
                print(f"{number:7} {after[number - 1].expandtabs(8)}")
    print(f"{missed} of {total} lines of code that the series adds or changes were run by no test")


if __name__ == "__main__":
    main()
