#!/usr/bin/env python3
"""bench/peers/run: what it refuses, what it runs, and what it makes of the figures. The comparison tool is a stand-in that
writes a result of the form that the real one has."""
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from script import ROOT, load

RUN = ROOT / "bench" / "peers" / "run"
run = load("bench/peers/run")

TOOL = '''#!/usr/bin/env python3
import json, sys
args = sys.argv[1:]
engines = [args[i + 1] for i, a in enumerate(args) if a == "--engine"]
model = args[args.index("--model") + 1].rsplit("/", 1)[1]
out = args[args.index("--out") + 1]
place = {"mean": {"barrier_ns": 33.33, "dram_gbps": 30.123, "int8_gops": 450.55}, "foreign_cpu": 0.0123}
records = []
for n, engine in enumerate(engines):
    label, _, rest = engine.partition("=")
    if not rest.split(",")[0].startswith("/"):
        sys.exit("an adapter is not named by its path")
    records.append({"round": 0, "test": "prefill 8", "engine": label, "value": 10.0 * (n + 1), "peak_rss_bytes": 7,
                    "placement": place, "state": "near", "comparable": True, "limit_share": 0.25})
records.append({"round": 0, "test": "start to first token", "engine": "broken", "value": None, "peak_rss_bytes": 7,
                "error": "AdapterError: no\\nJSON line", "placement": place, "state": "moved", "comparable": False,
                "limit_share": None})
json.dump({"model": model, "records": records, "rows": [{"name": "prefill 8", "unit": "tokens/s"}]}, open(out, "w"))
'''


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def row(engine, value, number=0, comparable=1, unit="tokens/s", test="prefill 8"):
    return {"model": "m", "test": test, "unit": unit, "engine": engine, "round": str(number), "value": str(value),
            "comparable": str(comparable), "time": "t"}


class Missing(unittest.TestCase):
    def test_everything_that_is_missing_is_said_at_once(self):
        done = subprocess.run([sys.executable, RUN, "measure", "--out", "x", "--model", "/no/model.gguf", "--tools", "/no/tools",
                               "--holdfast", "/no/holdfast", "--llama", "/no/llama", "--ik", "/no/ik"],
                              capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        for part in ("/no/model.gguf", "/no/tools/engines", "--tools", "/no/holdfast", "/no/llama", "/no/ik"):
            self.assertIn(part, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_programs_of_the_chosen_tests_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            program(pathlib.Path(folder) / "llama-bench", "")
            for tests, wanted in (("prefill,decode", None), ("prefill,start", "llama-completion"), ("batch", "llama-batched-bench")):
                done = subprocess.run([sys.executable, RUN, "measure", "--out", "x", "--model", "/no/model.gguf", "--tests", tests,
                                       "--llama", folder], capture_output=True, text=True)
                self.assertIn("/no/model.gguf", done.stderr)
                self.assertEqual("(--llama)" in done.stderr, wanted is not None, done.stderr)
                self.assertIn(wanted or "", done.stderr)

    def test_no_such_result(self):
        done = subprocess.run([sys.executable, RUN, "table", "no-such-result"], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("Traceback", done.stderr)


class Measure(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.folder.name)
        self.root = root
        program(root / "tools" / "engines", TOOL)
        for name in ("llama-bench", "llama-batched-bench", "llama-completion"):
            program(root / "llama" / name, "")
        program(root / "holdfast", "#!/bin/sh\nexit 0\n")
        (root / "model.gguf").write_text("")
        run.RESULTS = root
        run.ROOT = root

    def tearDown(self):
        self.folder.cleanup()

    def measure(self, *more):
        run.measure(run.arguments(["measure", "--out", "out", "--model", str(self.root / "model.gguf"), "--tools",
                                   str(self.root / "tools"), "--holdfast", str(self.root / "holdfast"), "--llama",
                                   str(self.root / "llama"), "--data", str(self.root / "data"), *more]))
        with (self.root / "out.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def test_rows_of_all_rounds_with_facts(self):
        rows = self.measure("--rounds", "2", "--threads", "3")
        self.assertEqual([r["engine"] for r in rows], ["llama.cpp", "holdfast", "broken"] * 2)
        self.assertEqual([r["round"] for r in rows], ["0"] * 3 + ["1"] * 3)
        first = rows[0]
        self.assertEqual((first["model"], first["test"], first["unit"], first["value"]), ("model", "prefill 8", "tokens/s", "10.0"))
        self.assertEqual((first["barrier_ns"], first["dram_gbps"], first["others_share"]), ("33.3", "30.12", "0.012"))
        self.assertEqual((first["threads"], first["limit_share"], first["peak_rss_bytes"]), ("3", "0.25", "7"))
        self.assertTrue(first["cpu"] and first["kernel"] and first["time"])
        self.assertEqual((rows[2]["value"], rows[2]["error"], rows[2]["comparable"]), ("", "AdapterError: no JSON line", "0"))

    def test_a_second_run_appends(self):
        self.measure("--rounds", "1")
        self.assertEqual(len(self.measure("--rounds", "1")), 6)

    def test_no_round_that_does_not_fit(self):
        rows = self.measure("--rounds", "500", "--window", "0.5")
        self.assertTrue(3 <= len(rows) < 1500, len(rows))

    def test_alone_it_runs_beside_itself(self):
        args = run.arguments(["measure", "--out", "x", "--model", "m", "--tools", str(self.root / "tools"), "--holdfast", "h"])
        labels = [p.partition("=")[0] for p in run.peers(args, self.root, "m") if p != "--engine"]
        self.assertEqual(labels, ["holdfast", "holdfast-again"])


class Summary(unittest.TestCase):
    def test_ratio_to_the_better_of_the_others_round_by_round(self):
        rows = [row("holdfast", 20, 0), row("ik", 10, 0), row("llama.cpp", 5, 0),
                row("holdfast", 60, 1), row("ik", 10, 1), row("llama.cpp", 20, 1),
                row("holdfast", 50, 2), row("ik", 10, 2)]
        (found,) = run.summary(rows)
        self.assertEqual(found["ratio"], 3.0)  # of 2, 3 and 5
        self.assertEqual(found["range"], (2.0, 5.0))
        self.assertEqual(found["medians"], {"holdfast": 50, "ik": 10, "llama.cpp": 12.5})
        self.assertFalse(found["disturbed"])

    def test_less_time_is_better(self):
        (found,) = run.summary([row("holdfast", 0.1, unit="s"), row("ik", 0.3, unit="s"), row("llama.cpp", 0.2, unit="s")])
        self.assertAlmostEqual(found["ratio"], 2.0)

    def test_disturbed_rounds_are_left_out_only_where_others_are_enough(self):
        clean = [r for n in range(3) for r in (row("holdfast", 20, n), row("ik", 10, n))]
        noise = [row("holdfast", 1, 9, comparable=0), row("ik", 10, 9, comparable=0)]
        (found,) = run.summary(clean + noise)
        self.assertEqual((found["ratio"], found["rounds"], found["disturbed"]), (2.0, 3, False))
        (found,) = run.summary(clean[:4] + noise)
        self.assertEqual((found["rounds"], found["disturbed"]), (3, True))

    def test_failed_runs_and_missing_rivals(self):
        (found,) = run.summary([row("holdfast", 20), row("ik", "")])
        self.assertIsNone(found["ratio"])
        self.assertEqual(found["medians"], {"holdfast": 20})


if __name__ == "__main__":
    os.chdir("/")
    unittest.main()
