"""Makes the tiny models of this folder and their exact rows.

usage: make.py OUT_DIR        (needs PyPI gguf 0.19.0 and numpy; ../scripts/exact.py does the arithmetic)

Weights are random (PCG64, seeded by the name), scaled so that logits spread. No tokenizer: the vocabulary is 64 ids.
"""
import json
import os
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))

import gguf  # noqa: E402
import numpy as np  # noqa: E402
from exact import Exact  # noqa: E402

SPECS = [
    dict(name="olmo2", arch="olmo2", base=500000.0, eps=0.02, tied=False, numbers={}),
    dict(name="granite", arch="granite", base=10000.0, eps=1e-5, tied=True,
         numbers={"embedding_scale": 1.5, "residual_scale": 0.44, "attention.scale": 0.4, "logit_scale": 1.3}),
]
D, L, H, HK, F, V, CONTEXT = 32, 2, 4, 2, 48, 64, 256


def make(s, path):
    rng = np.random.default_rng(zlib.crc32(s["name"].encode()))
    w = gguf.GGUFWriter(path, s["arch"])
    w.add_license("CC0-1.0")
    w.add_context_length(CONTEXT); w.add_embedding_length(D); w.add_block_count(L); w.add_feed_forward_length(F)
    w.add_head_count(H); w.add_head_count_kv(HK); w.add_rope_dimension_count(D // H); w.add_rope_freq_base(s["base"])
    w.add_layer_norm_rms_eps(s["eps"]); w.add_vocab_size(V)
    for k, v in s["numbers"].items():
        w.add_float32(f"{s['arch']}.{k}", v)

    def matrix(name, rows, cols, gain=1.0):
        w.add_tensor(name + ".weight", (rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32))

    def norm(name, n):
        w.add_tensor(name + ".weight", (1 + 0.2 * rng.standard_normal(n)).astype(np.float32))

    matrix("token_embd", V, D, 3.0 if s["tied"] else np.sqrt(D))
    norm("output_norm", D)
    if not s["tied"]:
        matrix("output", V, D, 3.0)
    post = s["arch"] == "olmo2"
    for i in range(L):
        p = f"blk.{i}."
        matrix(p + "attn_q", D, D, 1.5); matrix(p + "attn_k", D * HK // H, D, 1.5); matrix(p + "attn_v", D * HK // H, D)
        matrix(p + "attn_output", D, D, 0.7)
        matrix(p + "ffn_gate", F, D); matrix(p + "ffn_up", F, D); matrix(p + "ffn_down", D, F, 0.9)
        if post:
            norm(p + "attn_q_norm", D); norm(p + "attn_k_norm", D * HK // H)
        for name in ("post_attention_norm", "post_ffw_norm") if post else ("attn_norm", "ffn_norm"):
            norm(p + name, D)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def sequences(name):
    r = np.random.default_rng(zlib.crc32(("seq" + name).encode()))
    for n, want in ((7, list(range(7))), (130, [0, 15, 31, 32, 63, 64, 96, 127, 129])):
        yield [int(x) for x in r.integers(0, V, n)], want


def main(out):
    with open(f"{out}/index.jsonl", "w", encoding="utf-8") as index:
        for s in SPECS:
            make(s, f"{out}/{s['name']}.gguf")
            model, rows = Exact(f"{out}/{s['name']}.gguf"), []
            for ids, want in sequences(s["name"]):
                line = dict(model=s["name"], arch=s["arch"], kind="logits", n_ctx=CONTEXT, ids=ids, positions=want, row_floats=V,
                            file=s["name"] + ".logits.bin", first_row=sum(map(len, rows)), gguf=s["name"] + ".gguf")
                index.write(json.dumps(line) + "\n")
                rows.append(model.logits(ids, want, CONTEXT))
            np.concatenate(rows).astype("<f4").tofile(f"{out}/{s['name']}.logits.bin")


main(sys.argv[1])
