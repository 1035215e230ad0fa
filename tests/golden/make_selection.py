"""Cuts this folder out of the full golden set.

usage: make_selection.py FULL_GOLDEN_DIR OUT_DIR

The selection is fixed by the lists below, so the same full set gives the same bytes. `quant/` is not part of it: that folder
has a script of its own. READMEs are written by hand and kept.
"""
import json
import os
import shutil
import struct
import sys

SRC, OUT = sys.argv[1], sys.argv[2]

ARCHITECTURES = [
    "llama-gqa-untied", "llama-tied-ropefreqs", "llama-linear-rope", "llama-yarn", "mistral-like", "qwen2-bias",
    "qwen3-qknorm", "gemma2", "gemma3", "phi3-longrope", "phi3-longrope@ctx512",
]
# Between them: every K type, Q4_0, Q8_0, MXFP4, IQ4_XS, and lattice types that share one packed form.
QUANTISED = ["quant-Q4_0", "quant-Q2_K", "quant-IQ4_XS", "quant-MXFP4", "quant-IQ1_S"]
TINY = ARCHITECTURES + QUANTISED
TOKENIZERS = ["smollm2", "gemma3"]
ROW_BYTES_MAX = 2500  # longer rows repeat what shorter ones show
EVERY = 3             # of the rows of a category, after the first ten
TOP_LOGITS = 1024
SCHEMA_BYTES_MAX = 60_000


def path(base, *parts):
    p = os.path.join(base, *parts)
    if base == OUT:
        os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def rows(*parts):
    with open(path(SRC, *parts), encoding="utf-8") as f:
        return [line for line in f]


def write(lines, *parts):
    with open(path(OUT, *parts), "w", encoding="utf-8") as f:
        f.writelines(lines)


def copy(*parts):
    shutil.copyfile(path(SRC, *parts), path(OUT, *parts))


def tiny():
    index = [x for x in rows("tiny", "index.jsonl") if json.loads(x)["model"] in TINY]
    write(index, "tiny", "index.jsonl")
    for name in ("errors.jsonl", "sensitivity.jsonl"):
        write([x for x in rows("tiny", name) if json.loads(x)["model"] in TINY], "tiny", name)
    for name in sorted({json.loads(x)[key] for x in index for key in ("gguf", "file")}):
        copy("tiny", name)


def thinned(lines):
    seen, out = {}, []
    for line in lines:
        if len(line) > ROW_BYTES_MAX:
            continue
        category = json.loads(line).get("cat", "")
        n = seen[category] = seen.get(category, 0) + 1
        if n <= 10 or n % EVERY == 0:
            out.append(line)
    return out


def tokenizers():
    for name in TOKENIZERS:
        write(thinned(rows("tokenizers", f"{name}.jsonl")), "tokenizers", f"{name}.jsonl")
        write(thinned(rows("tokenizers", f"{name}.detok.jsonl")), "tokenizers", f"{name}.detok.jsonl")


def templates():
    for name in ("cases.json", "vectors.jsonl"):
        copy("templates", name)
    for name in sorted(os.listdir(path(SRC, "templates", "files"))):
        copy("templates", "files", name)


def schemas():
    copy("schemas", "LICENSE-JSON-Schema-Test-Suite.txt")
    kept = []
    for line in rows("schemas", "cases.jsonl"):
        name = json.loads(line).get("schema_file")
        if name and os.path.getsize(path(SRC, "schemas", name)) > SCHEMA_BYTES_MAX:
            continue
        kept.append(line)
        if name:
            copy("schemas", *name.split("/"))
    write(kept, "schemas", "cases.jsonl")


def top_logits(model, exact):
    """The largest logits of an exact row: ids, then values, largest first."""
    with open(path(SRC, "real", f"{model}.exact.bin"), "rb") as f:
        f.seek(exact["offset"])
        n = exact["n"]
        if exact["form"] == "full_f32":
            values = struct.unpack(f"<{n}f", f.read(4 * n))
            ids = sorted(range(n), key=lambda i: (-values[i], i))[:TOP_LOGITS]
            return ids, [values[i] for i in ids]
        ids = struct.unpack(f"<{n}I", f.read(4 * n))[:TOP_LOGITS]
        return ids, struct.unpack(f"<{n}f", f.read(4 * n))[:TOP_LOGITS]


def real():
    for name in ("models.json", "prompts.json", "ppl_text.txt"):
        copy("real", name)
    published = [x for x in rows("real", "perplexity.jsonl") if json.loads(x)["made_by"] == "as published"]
    write(published, "real", "perplexity.jsonl")
    for model in TOKENIZERS:
        lines = []
        with open(path(OUT, "real", f"{model}.exact.bin"), "wb") as f:
            for line in rows("real", f"{model}.jsonl"):
                row = json.loads(line)
                ids, values = top_logits(model, row["exact"])
                row["exact"].update(offset=f.tell(), form="top_u32_then_f32", n=len(ids))
                f.write(struct.pack(f"<{len(ids)}I", *ids) + struct.pack(f"<{len(ids)}f", *values))
                lines.append(json.dumps(row) + "\n")
        write(lines, "real", f"{model}.jsonl")


def scripts():
    for name in sorted(os.listdir(path(SRC, "scripts"))):
        copy("scripts", name)


for part in (tiny, tokenizers, templates, schemas, real, scripts):
    part()
total = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(OUT) for f in files)
print(f"{total / 1e6:.2f} MB")
