"""`quantize` and `eval imatrix` with tiny models: what a person and a script see."""
import json
import pathlib
import resource
import struct
import tempfile

from harness import *

TINY = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tiny"
SOURCE = str(TINY / "llama-gqa-untied.gguf")
TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K_M", "Q4_K_S", "Q5_K_M", "Q5_K_S", "Q6_K", "Q3_K_M", "IQ4_XS",
         "IQ4_NL", "F16", "BF16")


class Quantize(Bare):
    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=self.root)

    def path(self, name):
        return os.path.join(self.dir, name)

    def text(self, words=4000):
        path = self.path("text.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write(" ".join(f"word{i % 97} and {i % 13}" for i in range(words)))
        return path

    def test_every_type_is_a_model_that_runs(self):
        for name in TYPES:
            out = self.path(name + ".gguf")
            done = self.ok(["quantize", SOURCE, out, "--type", name, "--json"])
            summary = json.loads(done.stdout)
            self.assertEqual(summary["type"], name)
            self.assertEqual(summary["bytes_out"], os.path.getsize(out))
            self.assertGreater(summary["encoded"], 0)
            self.assertGreaterEqual(summary["seconds"], 0)
            row = '{"id":1,"tokens":[1,2,3],"n":4}\n'
            answer = json.loads(self.ok(["eval", "greedy", out], stdin=row).stdout)
            self.assertEqual(len(answer["ids"]), 4, answer)

    def test_threads_do_not_change_a_byte(self):
        for threads in ("1", "3"):
            self.ok(["quantize", SOURCE, self.path(threads), "--type", "iq4_xs", "--threads", threads])
        self.assertEqual(pathlib.Path(self.path("1")).read_bytes(), pathlib.Path(self.path("3")).read_bytes())

    def test_warns_where_quality_is_lost_twice(self):
        done = self.ok(["quantize", str(TINY / "quant-Q4_0.gguf"), self.path("out.gguf"), "--type", "Q8_0"])
        self.assertRegex(done.stderr, "warning: .*quantised before")
        self.assertRegex(done.stdout, "^wrote ")
        self.assertEqual(self.ok(["quantize", SOURCE, self.path("q"), "--type", "F16"]).stderr, "")
        quiet = self.ok(["-q", "quantize", SOURCE, self.path("r"), "--type", "F16"])
        self.assertEqual(quiet.stdout, self.path("r") + "\n")

    def test_output_that_exists(self):
        out = self.path("out.gguf")
        pathlib.Path(out).write_text("mine")
        self.fails(5, ["quantize", SOURCE, out, "--type", "Q4_0"], "exists")
        self.assertEqual(pathlib.Path(out).read_text(), "mine")
        self.ok(["quantize", SOURCE, out, "--type", "Q4_0", "--force"])
        self.fails(2, ["quantize", out, out, "--type", "Q8_0", "--force"], "input")
        self.assertEqual(os.listdir(self.dir), ["out.gguf"])

    def test_what_is_refused_leaves_nothing(self):
        bad = self.path("bad.gguf")
        pathlib.Path(bad).write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60))
        out = self.path("out.gguf")
        self.fails(6, ["quantize", bad, out, "--type", "Q4_0"], "bad.gguf")
        self.fails(3, ["quantize", self.path("absent"), out, "--type", "Q4_0"], ".")
        self.fails(2, ["quantize", SOURCE, out, "--type", "Q4_K"], "unknown type")
        self.fails(2, ["quantize", SOURCE, out], "--type")
        pathlib.Path(self.path("old.dat")).write_bytes(struct.pack("<ii", 1, 3) + b"abc")
        self.fails(2, ["quantize", SOURCE, out, "--type", "Q4_0", "--imatrix", self.path("old.dat")], "GGUF form")
        self.assertEqual(sorted(os.listdir(self.dir)), ["bad.gguf", "old.dat"])

    def test_disk_full(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        done = self.run_(["quantize", SOURCE, self.path("out.gguf"), "--type", "Q8_0"], preexec_fn=small_files)
        self.assertIn(done.returncode, (1, 8), done.stderr)
        self.assertRegex(done.stderr, "(?m)^error: ")
        self.assertEqual(os.listdir(self.dir), [])

    def test_importance_from_a_text(self):
        matrix = self.path("m.gguf")
        done = self.ok(["eval", "imatrix", SOURCE, "--file", self.text(), "--output", matrix, "--context", "64",
                        "--chunks", "5"])
        summary = json.loads(done.stdout)
        self.assertEqual(summary["chunks"], 5)
        self.assertEqual(summary["tokens"], 320)
        first = pathlib.Path(matrix).read_bytes()
        self.ok(["eval", "imatrix", SOURCE, "--file", self.text(), "--output", matrix, "--context", "64", "--chunks",
                 "5", "--threads", "1", "--isa", "scalar"])
        self.assertEqual(pathlib.Path(matrix).read_bytes(), first)
        out = self.path("out.gguf")
        done = self.ok(["quantize", SOURCE, out, "--type", "IQ4_NL", "--imatrix", matrix, "--json"])
        self.assertEqual(json.loads(done.stdout)["weighted"], summary["entries"])
        self.fails(2, ["quantize", str(TINY / "gemma3.gguf"), self.path("x"), "--type", "Q4_0", "--imatrix", matrix],
                   "another model")
        self.fails(2, ["quantize", SOURCE, self.path("x"), "--type", "Q4_0", "--imatrix", SOURCE],
                   "not an importance matrix")
        self.fails(2, ["eval", "imatrix", SOURCE, "--file", self.text(3), "--output", matrix], "less than one chunk")
        self.fails(3, ["eval", "imatrix", SOURCE, "--file", self.path("absent"), "--output", matrix], ".")


if __name__ == "__main__":
    main()
