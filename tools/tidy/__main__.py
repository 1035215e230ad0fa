"""Checks what compilers do not: `python3 tools/tidy [--list] [--only RULE] [--root DIR]`; exit 1 on findings."""
import argparse
import os
import sys

import rules
from tree import Tree


def main():
    parser = argparse.ArgumentParser(prog="tools/tidy", description=__doc__)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--only", action="append", choices=sorted(rules.RULES), help="run this rule alone")
    parser.add_argument("--list", action="store_true", help="name the rules")
    args = parser.parse_args()
    if args.list:
        for name, rule in rules.RULES.items():
            print(f"{name:12} {rule.__doc__.splitlines()[0]}")
        return 0
    tree = Tree(os.path.normpath(args.root))
    count = 0
    for name in args.only or rules.RULES:
        for path, line, message in rules.RULES[name](tree):
            print(f"{path}:{line}: {message} [{name}]")
            count += 1
    print(f"tidy: {count} findings in {len(tree.files)} files" if count else f"tidy: {len(tree.files)} files are clean")
    return 1 if count else 0


sys.exit(main())
