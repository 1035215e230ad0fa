"""Folders in safetensors form: what they compute, how their text is cut, and what is refused.

Oracle: tests/golden/hf, the float32 logits of PyPI `transformers` and the ids of PyPI `tokenizers` for the same folders. Both engines
read every stored weight exactly and add in 32 bits, so their rows differ by rounding alone: for some hundred products in a row
a relative distance (L2) of about 1e-6; a wrong row order, scale or norm is above 1e-1. The bound is 2e-5.
"""
import array
import json
import math
import pathlib
import shutil
import socket
import tempfile

from harness import *

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "hf"
FOLDERS = sorted(p.name for p in GOLDEN.iterdir() if (p / "expected.json").exists())
BOUND = 2e-5


def floats(path):
    values = array.array("f")
    values.frombytes(pathlib.Path(path).read_bytes())
    return values


def distance(ours, theirs):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs)) / sum(b * b for b in theirs))


class Golden(Bare):
    def logits(self, model, expected, *arguments):
        rows = "".join(json.dumps({"id": i, **p}) + "\n" for i, p in enumerate(expected["prompts"]))
        out = tempfile.mktemp(dir=self.root)
        done = self.ok(["eval", "logits", model, "--output", out, *arguments], stdin=rows)
        self.assertNotIn("error", done.stdout)
        return floats(out)

    def test_every_family_computes_what_transformers_computes(self):
        self.assertGreaterEqual(len(FOLDERS), 9)
        for name in FOLDERS:
            with self.subTest(name):
                expected = json.loads((GOLDEN / name / "expected.json").read_text("utf-8"))
                theirs = floats(GOLDEN / name / "logits.bin")
                ours = self.logits(str(GOLDEN / name), expected, "--kv-type", "f32")
                self.assertEqual(len(ours), len(theirs))
                self.assertLess(distance(ours, theirs), BOUND)

    def test_every_family_cuts_text_as_tokenizers_does(self):
        for name in FOLDERS:
            expected = json.loads((GOLDEN / name / "expected.json").read_text("utf-8"))
            rows = [{"id": i, "text": t["text"], "add_special": special, "parse_special": True}
                    for i, t in enumerate(expected["texts"]) for special in (True, False)]
            done = self.ok(["eval", "tokens", str(GOLDEN / name)], stdin="".join(json.dumps(r) + "\n" for r in rows))
            for row, line in zip(rows, done.stdout.splitlines()):
                with self.subTest(name, text=row["text"], special=row["add_special"]):
                    wanted = expected["texts"][row["id"]]["ids" if row["add_special"] else "plain"]
                    self.assertEqual(json.loads(line)["ids"], wanted)

    def test_import_stores_the_weights_in_their_own_type(self):
        done = self.ok(["import", str(GOLDEN / "llama"), "--name", "st-llama", "--json"])
        self.assertIn('"success"', done.stdout)
        shown = json.loads(self.ok(["show", "st-llama", "--json"]).stdout)
        self.assertIn("BF16", json.dumps(shown))
        again = self.ok(["import", str(GOLDEN / "llama" / "config.json").replace("config.json", "")], stdin=None)
        self.assertIn("already imported", again.stdout)

    def test_quantize_takes_a_folder(self):
        out = os.path.join(self.root, "q8.gguf")
        self.ok(["quantize", str(GOLDEN / "qwen3"), out, "--type", "Q8_0"])
        expected = json.loads((GOLDEN / "qwen3" / "expected.json").read_text("utf-8"))
        theirs = floats(GOLDEN / "qwen3" / "logits.bin")
        self.assertLess(distance(self.logits(out, expected), theirs), 0.05)


class Refused(Bare):
    """What a person sees of folders that are not whole, and of names that are no files."""

    def setUp(self):
        self.dir = os.path.join(tempfile.mkdtemp(dir=self.root), "model")
        shutil.copytree(GOLDEN / "llama", self.dir, ignore=shutil.ignore_patterns("logits.bin"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def shards(self):
        return sorted(f for f in os.listdir(self.dir) if f.endswith(".safetensors"))

    def test_missing_and_extra_shards_are_named(self):
        gone = self.shards()[1]
        os.rename(self.path(gone), self.path("gone"))
        self.fails(2, ["import", self.dir], f"lacks the file \"{gone}\"")
        os.rename(self.path("gone"), self.path(gone))
        shutil.copy(self.path(gone), self.path("zz-extra.safetensors"))
        self.fails(2, ["import", self.dir], "does not know the file \"zz-extra.safetensors\"")

    def test_special_files_are_not_read(self):
        target = self.path("tokenizer.json")
        for make in (lambda: os.mkfifo(target), lambda: os.mkdir(target), lambda: os.symlink("/dev/zero", target),
                     lambda: socket.socket(socket.AF_UNIX).bind(target)):
            if os.path.isdir(target):
                os.rmdir(target)
            elif os.path.lexists(target):
                os.unlink(target)
            os.chdir(self.dir)  # names of sockets are short
            make()
            done = self.run_(["import", self.dir])
            self.assertIn(done.returncode, (1, 2), done.stderr)
            self.assertRegex(done.stderr, r"(?m)^error: ")

    def test_absent_and_malformed_paths(self):
        self.fails(3, ["import", self.dir + "/nothing"], "nothing")
        for path in ("/dev/zero", "/dev/null", "/dev/tty", "/proc/self/mem", "/proc/kmsg"):
            self.assertNotEqual(self.run_(["import", path]).returncode, 0, path)

    def test_a_pickle_is_refused_by_name_and_by_its_bytes(self):
        for shard in self.shards():
            os.unlink(self.path(shard))
        pathlib.Path(self.path("pytorch_model.bin")).write_bytes(b"PK\x03\x04")
        self.fails(2, ["import", self.dir], "unsupported weights \"pytorch_model.bin\": a pickle")
        os.unlink(self.path("model.safetensors.index.json"))
        pathlib.Path(self.path("model.safetensors")).write_bytes(b"PK\x03\x04" + bytes(100))
        self.fails(2, ["import", self.dir], "looks like a pickle")

    def test_flips_of_the_weights_files_headers(self):
        shard = self.path(self.shards()[0])
        whole = pathlib.Path(shard).read_bytes()
        header_end = 8 + int.from_bytes(whole[:8], "little")
        for at in range(0, header_end, 23):
            pathlib.Path(shard).write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
            done = self.run_(["import", self.dir, "--name", "flipped"])
            self.assertIn(done.returncode, (2, 6), f"{at}: {done.stderr}")

    def test_one_changed_byte_of_the_template_is_another_template(self):
        """The template's digest follows its text, with all weights the same (R-09)."""
        digests = []
        for text in ("{{ messages[0].content }}", "{{ messages[1].content }}"):
            pathlib.Path(self.path("chat_template.jinja")).write_text(text)
            self.ok(["import", self.dir, "--name", "templated"])
            shown = self.ok(["show", "templated", "--json"]).stdout
            digests.append(shown)
        self.assertNotEqual(digests[0], digests[1])


if __name__ == "__main__":
    main()
