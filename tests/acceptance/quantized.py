#!/usr/bin/env python3
"""usage: quantized.py HOLDFAST

Perplexity of SmolLM2 files that `holdfast quantize` makes beside those that llama-quantize makes of the same source, both
as our engine computes it: ours may be worse by half a percent. With and without an importance matrix, which llama-quantize
reads from our file. llama-perplexity loads each of our files. HOLDFAST_SMOLLM2 names the model, HOLDFAST_LLAMA_BIN the folder
of llama.cpp's programs; exit 77 (skipped) without them."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TEXT = pathlib.Path(__file__).resolve().parents[1] / "golden" / "real" / "ppl_text.txt"
TYPES = ("Q4_0", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_XS")
WITH_IMPORTANCE = ("Q4_K_M", "IQ4_XS")
RATIO_MAX = 1.005


def call(*arguments, env=None):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{arguments[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def perplexity(holdfast, path):
    done = subprocess.run([holdfast, "eval", "perplexity", path, "--file", TEXT, "--context", "512"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["perplexity"]


def main():
    holdfast = sys.argv[1]
    model, llama = os.environ.get("HOLDFAST_SMOLLM2"), os.environ.get("HOLDFAST_LLAMA_BIN")
    if not model or not llama:
        print("skipped: HOLDFAST_SMOLLM2 names the model, HOLDFAST_LLAMA_BIN the folder with llama-quantize")
        sys.exit(77)
    llama = pathlib.Path(llama)
    env = os.environ | {"LD_LIBRARY_PATH": str(llama)}
    short = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-quantized-") as name:
        folder = pathlib.Path(name)
        source, matrix, ours, theirs = (folder / n for n in ("f16.gguf", "imatrix.gguf", "ours.gguf", "theirs.gguf"))
        call(holdfast, "quantize", model, source, "--type", "F16")
        call(holdfast, "eval", "imatrix", source, "--file", TEXT, "--output", matrix, "--chunks", "12")
        for kind, weighted in [(t, False) for t in TYPES] + [(t, True) for t in WITH_IMPORTANCE]:
            extra = ["--imatrix", matrix] if weighted else []
            call(holdfast, "quantize", source, ours, "--type", kind, "--force", *extra)
            call(llama / "llama-quantize", *extra, source, theirs, kind, env=env)
            a, b = perplexity(holdfast, ours), perplexity(holdfast, theirs)
            said = call(llama / "llama-perplexity", "-m", ours, "-f", TEXT, "-c", "512", "-b", "512", "--chunks", "4", env=env)
            loaded = re.search(r"Final estimate: PPL = ([0-9.]+)", said)
            if not loaded:
                sys.exit(f"llama-perplexity does not take our {kind}:\n{said[-2000:]}")
            short += a > RATIO_MAX * b
            print(f"{kind:8}{' imatrix' if weighted else '':8} ours {a:9.4f} theirs {b:9.4f} ({100 * (a / b - 1):+.2f} %) "
                  f"bytes {ours.stat().st_size} {theirs.stat().st_size}; llama.cpp on ours, 4 chunks: {loaded[1]}", flush=True)
    sys.exit(1 if short else 0)


main()
