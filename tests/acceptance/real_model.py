#!/usr/bin/env python3
"""usage: real_model.py HOLDFAST smollm2|gemma3

A real model against what llama.cpp said of the same file (tests/golden/real): greedy continuations, where a step may
differ only if the gap between the two best logits is below the known error of both engines, and perplexity."""
import json
import os
import pathlib
import subprocess
import sys

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "real"
# Four times the rms difference between llama.cpp's gaps and those of the exact model, as measured on these rows.
GAP_MAX = {"smollm2": 0.56, "gemma3": 0.95}
PERPLEXITY_ABOVE_MAX = 0.003


def holdfast(program, *arguments, rows=()):
    done = subprocess.run([program, "eval", *arguments], input="".join(json.dumps(r) + "\n" for r in rows),
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"holdfast eval {arguments[0]} failed:\n{done.stderr}{done.stdout}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_greedy(program, path, model):
    rows = [json.loads(line) for line in (GOLDEN / f"{model}.jsonl").open()]
    answers = holdfast(program, "greedy", path, rows=[{"id": r["id"], "tokens": r["prompt_ids"], "n": len(r["greedy_ids"])}
                                                      for r in rows])
    assert len(answers) == len(rows), "an answer is missing"
    wrong = equal = 0
    for row, answer in zip(rows, answers):
        assert answer["id"] == row["id"]
        want, got = row["greedy_ids"], answer["ids"]
        part = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), None)
        equal += part is None and len(want) == len(got)
        if part is None:
            continue
        best, second, gap = row["steps_top1_top2_gap"][part]
        exact_gap = row["exact_steps_top1_top2_gap"][part][2]
        if min(gap, exact_gap) > GAP_MAX[model]:
            wrong += 1
            print(f"{row['id']}: step {part} chose {got[part]}, not {best}, which leads by {gap:.3f}")
    print(f"greedy: {equal} of {len(rows)} continuations identical, {wrong} wrong")
    return wrong == 0


def check_perplexity(program, path, model):
    record = next(r for r in map(json.loads, (GOLDEN / "perplexity.jsonl").open()) if r["model"].startswith(model))
    got = holdfast(program, "perplexity", path, "--file", str(GOLDEN / "ppl_text.txt"), "--context", str(record["n_ctx"]))
    ratio = got[0]["perplexity"] / record["ppl"]
    print(f"perplexity: {got[0]['perplexity']:.4f}, llama.cpp {record['ppl']:.4f} ({100 * (ratio - 1):+.2f} %)")
    return 0.97 < ratio <= 1 + PERPLEXITY_ABOVE_MAX


def main():
    program, model = sys.argv[1:]
    path = os.environ.get(f"HOLDFAST_{model.upper()}")
    if not path:
        print(f"skipped: HOLDFAST_{model.upper()} does not name the model file (tools/fetch_model {model})")
        sys.exit(77)
    results = [check_greedy(program, path, model), check_perplexity(program, path, model)]
    sys.exit(0 if all(results) else 1)


main()
