"""De-quantisation vectors from the reference decoder of the PyPI package gguf.

usage: make_vectors.py OUT_DIR        (needs gguf==0.19.0 and numpy)

Writes TYPE.bin per tensor type: u32 number of blocks, the blocks, then the expected float32 values, little-endian.
Blocks are random bytes from a fixed seed with finite scales (zeros, subnormals and both signs among them). Types with a
lattice get enough blocks to name every point of it at least once.
"""
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES

OUT = sys.argv[1]
BLOCKS = {1: 512, 32: 24, 64: 16, 256: 6}
# Byte offsets of f16 scales in a block.
F16_AT = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.IQ4_NL: [0], T.IQ4_XS: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ1_S: [0], T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0],
    T.TQ1_0: [52], T.TQ2_0: [64], T.F16: [0],
}
np.seterr(over="ignore")  # MXFP4 reaches infinity at its largest scale
SPECIAL_F16 = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0x3C00, 0xBC01]


def finite_f16(rng, n, first):
    out = rng.integers(0, 0x10000, n, dtype=np.uint16)
    out = np.where((out & 0x7C00) == 0x7C00, out & 0x83FF, out).astype(np.uint16)
    special = np.array(SPECIAL_F16[first:] + SPECIAL_F16[:first], dtype=np.uint16)[: n]
    out[: len(special)] = special
    return out


def put_points(blocks, t, rng):
    """Sets the grid indices so that each point of the lattice occurs."""
    n = len(blocks)

    def order(points, slots):
        return rng.permutation(np.arange(n * slots) % points).reshape(n, slots)

    if t == T.IQ2_XXS:
        words = blocks[:, 2:].reshape(n, 8, 8)
        words[:, :, :4] = order(256, 32).reshape(n, 8, 4)
    elif t == T.IQ2_XS:
        codes = blocks[:, 2:66].copy().view("<u2")
        blocks[:, 2:66] = ((codes & 0xFE00) | order(512, 32)).astype("<u2").view(np.uint8)
    elif t == T.IQ2_S:
        point = order(1024, 32)
        blocks[:, 2:34] = point & 255
        high = (point >> 8).reshape(n, 8, 4) << np.array([0, 2, 4, 6])
        blocks[:, 66:74] = high.sum(axis=2)
    elif t == T.IQ3_XXS:
        blocks[:, 2:66] = order(256, 64)
    elif t == T.IQ3_S:
        point = order(512, 64)
        blocks[:, 2:66] = point & 255
        blocks[:, 66:74] = ((point >> 8).reshape(n, 8, 8) << np.arange(8)).sum(axis=2)
    elif t == T.IQ1_S:
        point = order(2048, 32)
        blocks[:, 2:34] = point & 255
        words = blocks[:, 34:50].copy().view("<u2") & 0xF000
        words |= ((point >> 8).reshape(n, 8, 4) << np.array([0, 3, 6, 9])).sum(axis=2).astype("<u2")
        blocks[:, 34:50] = words.astype("<u2").view(np.uint8)


def make(t):
    elements, size = GGML_QUANT_SIZES[t]
    n = {T.IQ1_S: 64, T.IQ2_S: 32, T.IQ2_XS: 16, T.IQ2_XXS: 8, T.IQ3_S: 8}.get(t, BLOCKS[elements])
    rng = np.random.default_rng(1000 + int(t))
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for i, at in enumerate(F16_AT.get(t, [])):
        blocks[:, at: at + 2] = finite_f16(rng, n, 3 * i).astype("<u2").reshape(n, 1).view(np.uint8)
    if t == T.IQ1_M:  # four nibbles of the f16, in the tops of the last four words
        d = finite_f16(rng, n, 0)
        for i in range(4):
            at = 48 + 2 * i + 1
            blocks[:, at] = (blocks[:, at] & 0x0F) | ((d >> (4 * i)) & 15).astype(np.uint8) << 4
    if t == T.MXFP4:
        blocks[:6, 0] = [0, 1, 2, 127, 254, 255]
    if t == T.NVFP4:
        blocks[0, :4] = [0x00, 0x7F, 0x80, 0xFF]
        blocks[1, :4] = [0x01, 0x07, 0x08, 0x7E]
    if t in (T.BF16, T.F32):  # no NaN: their payload is not promised
        top = blocks[:, size - 1]
        blocks[:, size - 1] = np.where((top & 0x7F) == 0x7F, top & 0xBF, top)
    put_points(blocks, t, rng)
    expected = quants.dequantize(blocks, t).astype("<f4").reshape(-1)
    assert not np.isnan(expected).any(), t.name
    with open(os.path.join(OUT, t.name + ".bin"), "wb") as f:
        f.write(np.uint32(n).tobytes() + blocks.tobytes() + expected.tobytes())
    return 4 + blocks.nbytes + expected.nbytes


total = sum(make(t) for t in T if t == T.F32 or t == T.F16 or t in quants._type_traits)
print(total, "bytes")
