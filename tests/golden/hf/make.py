"""Makes the tiny model folders of this folder and what another engine says of them.

usage: make.py OUT_DIR        (needs PyPI torch, transformers, tokenizers, safetensors, numpy; see README.md for versions)

Each folder is what `save_pretrained` writes: config.json, generation_config.json, model.safetensors (or parts and an index),
tokenizer.json, tokenizer_config.json. Weights are random (seeded by the name), scaled so that logits spread. expected.json holds texts
with the ids of `tokenizers`, and prompts with the float32 logits of `transformers` at some positions (logits.bin, float32).
"""
import copy
import json
import os
import sys
import zlib

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = ["Hello world, hello sea! It's 2024 and we've 1234567 things.", "the cat sat on the mat. The dog didn't.",
        "def f(x):\n    return x + 1\n\n\tprint(f(41))", "naïve café, Straße, привет мир, 你好世界, 日本語", "a  b   c    d\r\n\r\n e"] * 4
PROBES = ["", "Hello world", " leading and  double  spaces ", "It's I'LL we've 12345 x2", "naïve café 你好 🙂", "line\n\n\tone\r\n two",
          "def f(x):\n    return x + 1", "<|end|>after<|tool|> x", "\u2581 \u0120 <0x41> <unk>", "ab" * 30]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
GPT4O_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT4O = GPT4O_WORD + SHORT + "?|" + GPT4O_UPPER + SHORT + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = GPT4O_WORD + "|" + GPT4O_UPPER + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = ["<|end|>", "<|begin|>"]


def byte_level(split, vocab=300, ignore_merges=False):
    tk = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if split == "gpt2":
        tk.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif split == "digits":
        tk.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"),
                                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tk.decoder = decoders.ByteLevel()
    tk.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=vocab, special_tokens=[], show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tk.add_special_tokens(SPECIAL)
    tk.add_tokens([AddedToken("<|tool|>", normalized=False)])
    return tk


def sentence_piece(front):
    """A vocabulary by falling score and, from it, merges as conversions from SentencePiece write them: every way to part a token."""
    mark = "\u2581"
    words = "".join(TEXT).replace(" ", mark)
    pieces = ["the", "he", "th", "in", "an", "at", mark + "t", mark + "a", "llo", "ll", "lo", "el", "hello", "Hello", "wor", "or", "ld",
              mark + mark, mark + "the", "aa", "ab", "aba", "ba", "world", "rld", mark + "w", "é,", "好世"]
    vocab = ["<pad>", "<|end|>", "<|begin|>", "<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
    scored = {p: -float(i) for i, p in enumerate(pieces)}
    vocab += pieces + sorted(set(words) | set("abcdefghijklmnopqrstuvwxyzH"))
    ids = {t: i for i, t in enumerate(dict.fromkeys(vocab))}
    merges = []
    for piece in sorted(scored, key=lambda p: -scored[p]):
        ways = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in ids and piece[k:] in ids]
        merges += sorted(ways, key=lambda w: (ids[w[0]], ids[w[1]]))
    tk = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", mark)
    tk.normalizer = normalizers.Sequence([normalizers.Prepend(mark), replace]) if front else replace
    if not front:
        tk.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tk.decoder = decoders.Sequence([decoders.Replace(mark, " "), decoders.ByteFallback(), decoders.Fuse()])
    tk.add_special_tokens(["<pad>", "<|end|>", "<|begin|>", "<unk>"])
    tk.add_tokens([AddedToken("<|tool|>", normalized=False)])
    return tk


def frame(tk, bos):
    if bos:
        tk.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", tk.token_to_id("<|begin|>"))])
    return tk


SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256)
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
LONG_ROPE = dict(rope_type="longrope", short_factor=[1.0, 1.1, 1.2, 1.5], long_factor=[1.0, 2.0, 3.0, 4.0])
SPECS = [
    dict(name="llama", cls="Llama", dtype="bfloat16", tk=lambda: frame(byte_level(LLAMA3, ignore_merges=True), True), shards="12KB",
         config=dict(SIZES, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE, tie_word_embeddings=False, rms_norm_eps=1e-5)),
    dict(name="smollm", cls="Llama", dtype="bfloat16", tk=lambda: byte_level("digits"),
         config=dict(SIZES, attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    dict(name="mistral", cls="Mistral", dtype="float16", tk=lambda: frame(sentence_piece(True), True),
         config=dict(SIZES, head_dim=16, sliding_window=None, tie_word_embeddings=False, rms_norm_eps=1e-5)),
    dict(name="nemo", cls="Mistral", dtype="float32", tk=lambda: frame(byte_level(TEKKEN), True),
         config=dict(SIZES, head_dim=8, sliding_window=None, num_hidden_layers=1, hidden_size=16, tie_word_embeddings=True)),
    dict(name="qwen2", cls="Qwen2", dtype="float32", tk=lambda: byte_level(LLAMA3.replace("{1,3}", "")),
         config=dict(SIZES, rope_theta=10000.0, tie_word_embeddings=True, num_hidden_layers=1,
                     rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64))),
    dict(name="qwen3", cls="Qwen3", dtype="bfloat16", tk=lambda: byte_level(LLAMA3.replace("{1,3}", "")),
         config=dict(SIZES, head_dim=16, tie_word_embeddings=True)),
    dict(name="gemma2", cls="Gemma2", dtype="float16", tk=lambda: frame(sentence_piece(False), True),
         config=dict(SIZES, head_dim=16, sliding_window=8, query_pre_attn_scalar=16, attn_logit_softcapping=20.0,
                     final_logit_softcapping=10.0)),
    dict(name="gemma3", cls="Gemma3", text="Gemma3TextConfig", dtype="bfloat16", tk=lambda: frame(sentence_piece(False), True),
         config=dict(SIZES, head_dim=16, sliding_window=8, query_pre_attn_scalar=16, num_hidden_layers=3,
                     layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    dict(name="phi3", cls="Phi3", dtype="bfloat16", tk=lambda: byte_level(GPT4O),
         config=dict(SIZES, tie_word_embeddings=False, rope_scaling=LONG_ROPE, original_max_position_embeddings=256,
                     sliding_window=None)),
    dict(name="olmo2", cls="Olmo2", dtype="float32", tk=lambda: byte_level(LLAMA3), config=dict(SIZES, num_hidden_layers=1)),
    dict(name="granite", cls="Granite", dtype="bfloat16", tk=lambda: byte_level("gpt2"),
         config=dict(SIZES, embedding_multiplier=1.5, residual_multiplier=0.44, attention_multiplier=0.4, logits_scaling=1.3,
                     tie_word_embeddings=True)),
]


def fill(model, seed, less_one):
    rng = np.random.default_rng(seed)
    for name, p in model.named_parameters():
        n = rng.standard_normal(p.shape).astype(np.float32)
        if name.endswith("norm.weight"):
            value = (0.0 if less_one else 1.0) + 0.2 * n
        elif p.ndim == 1:
            value = 0.2 * n
        else:
            value = n * 1.5 / np.sqrt(p.shape[1])
        p.data.copy_(torch.from_numpy(value))


def make(spec, out):
    folder = os.path.join(out, spec["name"])
    os.makedirs(folder, exist_ok=True)
    tk = spec["tk"]()
    ids = {"bos_token_id": tk.token_to_id("<|begin|>"), "eos_token_id": tk.token_to_id("<|end|>"), "pad_token_id": None}
    rows = (tk.get_vocab_size() + 7) // 8 * 8
    config_class = getattr(transformers, spec.get("text") or spec["cls"] + "Config")
    config = config_class(vocab_size=rows, **ids, **spec["config"])
    config._attn_implementation = "eager"
    model = getattr(transformers, spec["cls"] + "ForCausalLM")(config).to(torch.float32).eval()
    fill(model, zlib.crc32(spec["name"].encode()), spec["cls"].startswith("Gemma"))
    dtype = getattr(torch, spec["dtype"])
    for p in model.parameters():  # what is stored, exactly; buffers such as the rotation's frequencies stay float32
        p.data = p.data.to(dtype).float()
    copy.deepcopy(model).to(dtype).save_pretrained(folder, max_shard_size=spec.get("shards", "1GB"))
    tk.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"bos_token": "<|begin|>", "eos_token": "<|end|>", "clean_up_tokenization_spaces": False,
                   "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}, f)
    rng = np.random.default_rng(1)
    expected = {"texts": [], "prompts": [], "rows": rows}
    for text in PROBES:
        expected["texts"].append({"text": text, "ids": tk.encode(text).ids, "plain": tk.encode(text, add_special_tokens=False).ids})
    logits = []
    for n, positions in ((5, [0, 4]), (40, [7, 20, 39])):
        prompt = [int(x) for x in rng.integers(0, tk.get_vocab_size(), n)]
        with torch.no_grad():
            got = model(torch.tensor([prompt])).logits[0].float().numpy()
        expected["prompts"].append({"tokens": prompt, "positions": positions})
        logits += [got[p] for p in positions]
    np.stack(logits).astype("<f4").tofile(os.path.join(folder, "logits.bin"))
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        json.dump(expected, f, separators=(",", ":"))


def main(out):
    torch.manual_seed(0)
    for spec in SPECS:
        if len(sys.argv) > 2 and spec["name"] not in sys.argv[2:]:
            continue
        make(spec, out)
        print(spec["name"], sum(os.path.getsize(os.path.join(out, spec["name"], f)) for f in os.listdir(os.path.join(out, spec["name"]))))


main(sys.argv[1])
