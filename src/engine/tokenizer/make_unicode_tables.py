#!/usr/bin/env python3
"""Writes unicode_tables.inc from Python's unicodedata. Usage: make_unicode_tables.py > unicode_tables.inc

The version is fixed: token ids depend on it, and models were tokenised with it.
"""
import sys
import unicodedata

VERSION = "15.1.0"  # Python 3.13
GROUPS = {"N": "kNumber", "L": "kLetter", "Z": "kSpace", "M": "kMark", "P": "kPunctuation", "S": "kSymbol", "C": "kControl"}
CONTROL_SPACES = [*range(0x09, 0x0E), 0x85]


def group(c):
    if c in CONTROL_SPACES:
        return "kSpace"
    name = unicodedata.category(chr(c))
    return "kUnassigned" if name == "Cn" else GROUPS[name[0]]


def rows(items, per_line=8):
    for i in range(0, len(items), per_line):
        print("    " + " ".join(items[i:i + per_line]))


def lower_runs():
    """[first, last, step, distance]: runs of every or every second code point with one distance to its lower case."""
    pairs = [(c, ord(chr(c).lower()[0])) for c in range(0x110000) if chr(c).lower()[0] != chr(c)]
    runs = []
    for c, lower in pairs:
        if runs:
            first, last, step, distance = runs[-1]
            gap = c - last
            if lower - c == distance and gap in (1, 2) and (step == gap or first == last):
                runs[-1] = (first, c, gap, distance)
                continue
        runs.append((c, c, 1, lower - c))
    return runs


def base_runs():
    """[first, last, base]: the first code point of the canonical decomposition, where it is another."""
    runs = []
    for c in range(0x110000):
        base = ord(unicodedata.normalize("NFD", chr(c))[0])
        if base == c:
            continue
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == base:
            runs[-1] = (runs[-1][0], c, base)
        else:
            runs.append((c, c, base))
    return runs


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, not {VERSION}")
    print(f"// Unicode {VERSION}, written by make_unicode_tables.py.")
    print("// clang-format off")
    starts, before = [], None
    for c in range(0x110000):
        g = group(c)
        if g != before:
            starts.append(f"{{0x{c:X},{g}}},")
            before = g
    print("inline constexpr GroupStart kGroupStarts[] = {")
    rows(starts)
    print("};\ninline constexpr LowerRun kLowerRuns[] = {")
    rows([f"{{0x{a:X},0x{b:X},{s},{d}}}," for a, b, s, d in lower_runs()], 6)
    print("};\ninline constexpr BaseRun kBaseRuns[] = {")
    rows([f"{{0x{a:X},0x{b:X},0x{d:X}}}," for a, b, d in base_runs()], 6)
    print("};\n// clang-format on")


main()
