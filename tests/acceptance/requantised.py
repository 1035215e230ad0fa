#!/usr/bin/env python3
"""usage: requantised.py HOLDFAST

Perplexity of SmolLM2 in other quantisations against llama.cpp on the same files, which HOLDFAST_REQUANTISED_DIR holds
as NAME.gguf with the names of perplexity.jsonl (HOLDFAST_GOLDEN_DIR/real). Makes nothing itself: the records name the
llama-quantize command of each file."""
import json
import os
import pathlib
import subprocess
import sys

ABOVE_MAX = 0.003


def main():
    folder, golden = os.environ.get("HOLDFAST_REQUANTISED_DIR"), os.environ.get("HOLDFAST_GOLDEN_DIR")
    if not folder or not golden:
        print("skipped: HOLDFAST_REQUANTISED_DIR and HOLDFAST_GOLDEN_DIR name the files and the records")
        sys.exit(77)
    real = pathlib.Path(golden) / "real"
    short = ran = 0
    for record in map(json.loads, (real / "perplexity.jsonl").open()):
        path = pathlib.Path(folder) / f"{record['model']}.gguf"
        if not path.exists():
            continue
        done = subprocess.run([sys.argv[1], "eval", "perplexity", str(path), "--file", str(real / record["text"]),
                               "--context", str(record["n_ctx"])], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{path}: {done.stderr}")
        got = json.loads(done.stdout)["perplexity"]
        ratio = got / record["ppl"]
        ran += 1
        short += ratio > 1 + ABOVE_MAX
        print(f"{record['model']:24} {got:10.4f} llama.cpp {record['ppl']:10.4f} {100 * (ratio - 1):+.2f} %", flush=True)
    if ran == 0:
        sys.exit(f"no file of the records lies in {folder}")
    sys.exit(1 if short else 0)


main()
