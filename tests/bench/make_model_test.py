#!/usr/bin/env python3
"""bench/make_model: the shapes and scales, without the packages that write the file. Oracle: the published sizes of the model
whose shapes they are."""
import math
import subprocess
import sys
import unittest

from script import ROOT, load

make_model = load("bench/make_model")


class Shapes(unittest.TestCase):
    def test_parameters_of_llama_3_2_1b(self):
        shape = make_model.SHAPES["llama-3.2-1b"]
        matrices = list(make_model.matrices(shape, shape["vocab"]))
        norms = (2 * shape["blocks"] + 1) * shape["embd"]
        self.assertEqual(sum(rows * columns for _, rows, columns, _ in matrices) + norms, 1_235_814_400)
        self.assertEqual(len(matrices), 16 * 7 + 1)
        self.assertEqual(len({name for name, *_ in matrices}), len(matrices))

    def test_values_keep_their_size(self):
        shape = make_model.SHAPES["llama-3.2-1b"]
        for name, _, columns, deviation in make_model.matrices(shape, shape["vocab"]):
            gain = deviation * math.sqrt(columns)
            if name.startswith("token_embd"):
                self.assertLess(gain, 2)
            elif "attn_output" in name or "ffn_down" in name:
                self.assertAlmostEqual(gain, (2 * shape["blocks"]) ** -0.5)
            else:
                self.assertAlmostEqual(gain, 1)


class Arguments(unittest.TestCase):
    def refuses(self, *arguments):
        done = subprocess.run([sys.executable, ROOT / "bench" / "make_model", *arguments], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_refuses_before_it_fetches_anything(self):
        self.assertIn("/no/tool", self.refuses("--llama-quantize", "/no/tool"))
        self.assertIn("shape", self.refuses("--shape", "none"))


if __name__ == "__main__":
    unittest.main()
