"""The command line with a real model: what a person and a script see."""
import json
import pty
import resource
import select
import struct

from harness import *


class Store(Case):
    def test_list_show_copy_remove(self):
        self.assertRegex(self.ok(["ls"]).stdout, r"(?m)^smol +[0-9a-f]{12} +llama")
        card = json.loads(self.ok(["show", "smol", "--json"]).stdout)
        self.assertEqual(card["architecture"], "llama")
        self.assertTrue(card["chat_template"])
        self.ok(["cp", "smol", "copy"])
        self.assertEqual(self.ok(["ls", "-q"]).stdout.split(), ["copy", "smol"])
        self.fails(2, ["rm", "copy"], "--yes")
        self.ok(["rm", "copy", "-y"])
        self.assertEqual(self.ok(["ls", "-q"]).stdout.split(), ["smol"])

    def test_import_again_is_instant(self):
        began = time.monotonic()
        self.assertIn("already imported", self.ok(["import", SMOLLM2, "--name", "smol"]).stdout)
        self.assertLess(time.monotonic() - began, 10)

    def test_unknown_model_suggests_the_nearest(self):
        self.fails(3, ["show", "smoll"], 'hint: .*"smol"')

    def test_closed_pipe_is_no_error(self):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([HOLDFAST, "ls"], stdout=writing, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, env=self.environment, timeout=TIMEOUT)
        os.close(writing)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class BadFiles(Case):
    def write(self, name, data):
        path = os.path.join(self.root, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def assert_nothing_was_added(self):
        self.assertEqual(self.ok(["ls", "-q"]).stdout.split(), ["smol"])

    def test_not_a_gguf(self):
        self.fails(2, ["import", self.write("text.gguf", b"hello, I am no model\n" * 100)], "GGUF")
        self.fails(2, ["import", self.write("empty.gguf", b"")], "GGUF")
        self.assert_nothing_was_added()

    def test_wrong_version(self):
        path = self.write("v99.gguf", b"GGUF" + struct.pack("<IQQ", 99, 0, 0))
        done = self.run_(["import", path])
        self.assertIn(done.returncode, (2, 6))
        self.assertIn("99", done.stderr)

    def test_hostile_counts(self):
        path = self.write("counts.gguf", b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 1 << 62))
        done = self.run_(["import", path])
        self.assertIn(done.returncode, (2, 6, 8))
        self.assertRegex(done.stderr, "(?m)^error: ")
        self.assert_nothing_was_added()

    def test_truncated(self):
        with open(SMOLLM2, "rb") as f:
            data = f.read(20_000_000)
        for size in (10, 5_000, 2_000_000, 20_000_000):
            with self.subTest(size=size):
                self.fails(6, ["import", self.write("cut.gguf", data[:size])], ".")
        self.fails(6, ["run", self.write("cut.gguf", data), "hello"], ".")
        self.assert_nothing_was_added()

    def test_unsupported_architecture(self):
        def string(s):
            return struct.pack("<Q", len(s)) + s
        path = self.write("mamba.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) +
                          string(b"general.architecture") + struct.pack("<I", 8) +
                          string(b"mamba"))
        self.fails(2, ["import", path], "mamba")

    def test_missing_file(self):
        self.fails(3, ["import", self.root + "/absent.gguf"], ".")

    def test_disk_full(self):
        limit = 10 << 20

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        data = {"HOLDFAST_DATA_DIR": self.root + "/small"}
        done = self.run_(["import", SMOLLM2], preexec_fn=small_files, env=data)
        self.assertIn(done.returncode, (1, 8), done.stderr)
        self.assertRegex(done.stderr, "(?m)^error: ")
        self.assertEqual(self.ok(["ls", "-q"], env=data).stdout, "")
        self.ok(["import", SMOLLM2, "--name", "later"], env=data)
        self.assertEqual(self.ok(["ls", "-q"], env=data).stdout.split(), ["later"])

    def test_damaged_pack(self):
        data = {"HOLDFAST_DATA_DIR": self.root + "/damaged"}
        self.ok(["import", SMOLLM2, "--name", "m"], env=data)
        packs = os.path.join(data["HOLDFAST_DATA_DIR"], "packs")
        path = os.path.join(packs, os.listdir(packs)[0])
        os.chmod(path, 0o600)
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) - 1_000_000)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        self.fails(6, ["run", "m", "hello"], ".", env=data)
        self.fails(6, ["run", "m", "hello", "--engine.load", "mmap"], ".", env=data)


class Run(Case):
    def test_prompt_as_argument(self):
        done = self.ok(["run", "smol", "--temperature", "0", "--max-tokens", "8", "Hi"])
        self.assertTrue(done.stdout.strip())
        self.assertTrue(done.stdout.endswith("\n"))
        self.assertEqual(done.stderr, "")

    def test_prompt_on_standard_input(self):
        flags = ["--temperature", "0", "--max-tokens", "8"]
        as_argument = self.ok(["run", "smol", *flags, "Name a colour."]).stdout
        self.assertEqual(self.ok(["run", "smol", *flags], stdin="Name a colour.\n").stdout,
                         as_argument)
        both = self.ok(["run", "smol", *flags, "Name"], stdin="a colour.").stdout
        self.assertEqual(both, self.ok(["run", "smol", *flags, "Name\n\na colour."]).stdout)

    def test_no_prompt_at_all(self):
        self.fails(2, ["run", "smol"], "prompt is empty")

    def test_same_seed_same_answer(self):
        def answer(*flags):
            return self.ok(["run", "smol", "--max-tokens", "16", *flags, "Tell a story"]).stdout
        self.assertEqual(answer("--seed", "7", "--threads", "1"),
                         answer("--seed", "7", "--threads", "2"))

    def test_loading_and_threads_change_nothing(self):
        command = ["run", "smol", "Name a colour.", "--max-tokens", "12", "--temperature", "0"]
        plain = self.ok(command).stdout
        one = str(min(os.sched_getaffinity(0)))
        for extra in (["--engine.load", "mmap"], ["--threads", "1"], ["--threads", "5"],
                      ["--engine.affinity", one, "--engine.load", "mmap", "--threads", "2"]):
            self.assertEqual(self.ok([*command, *extra]).stdout, plain, extra)

    def test_events(self):
        lines = [json.loads(line) for line in
                 self.ok(["run", "smol", "--json", "--max-tokens", "5", "Hi"]).stdout.splitlines()]
        self.assertEqual(lines[0]["event"], "start")
        self.assertEqual(lines[-1]["event"], "done")
        self.assertEqual(lines[-1]["usage"]["completion_tokens"], 5)
        self.assertEqual(lines[-1]["finish_reason"], "length")

    def test_verbose_tells_the_speed(self):
        done = self.ok(["run", "smol", "-v", "--max-tokens", "5", "Hi"])
        self.assertRegex(done.stderr, r"first token after [\d.]+ s; \d+ prompt tokens, [\d.]+ tok")

    def test_path_is_imported_once(self):
        data = {"HOLDFAST_DATA_DIR": self.root + "/implicit"}
        flags = ["--temperature", "0", "--max-tokens", "4", "Hi"]
        first = self.ok(["run", SMOLLM2, *flags], env=data).stdout
        self.assertEqual(self.ok(["run", SMOLLM2, *flags], env=data).stdout, first)
        self.assertEqual(len(self.ok(["ls", "-q"], env=data).stdout.split()), 1)

    def test_prompt_over_context(self):
        self.fails(2, ["run", "smol", "--context", "64"], "context",
                   stdin="one two three four five six seven eight nine ten " * 100)

    def test_context_that_ends_the_answer_is_reported(self):
        done = self.ok(["run", "smol", "--context", "64", "--seed", "1",
                        "Count from one to one thousand in words"])
        if done.stderr:
            self.assertIn("context", done.stderr)

    def test_model_that_does_not_fit(self):
        self.fails(8, ["run", "smol", "--memory.limit", "50MiB", "Hi"], ".")

    def test_killed_engine_is_a_clean_error(self):
        process = subprocess.Popen([HOLDFAST, "run", "smol", "Tell a very long story"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment)
        self.assertTrue(process.stdout.read(1))
        for pid in engines_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 7, errors)
        self.assertIn(b"ended unexpectedly", errors)

    def test_interrupted_answer(self):
        process = subprocess.Popen([HOLDFAST, "run", "smol", "Tell a very long story"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment)
        self.assertTrue(process.stdout.read(1))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130, errors)
        self.assertTrue(out.endswith(b"\n"))

    def test_reader_that_goes_away(self):
        process = subprocess.Popen([HOLDFAST, "run", "smol", "Tell a very long story"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment)
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=TIMEOUT), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_bench_contract(self):
        done = self.ok(["bench", "smol", "--json", "--threads", "1", "--prefill", "16",
                        "--decode", "4", "--depth", "8", "--batch", "2", "--repetitions", "1"])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["test"] for line in lines], ["prefill", "batch"])
        self.assertEqual([lines[1][k] for k in ("n_gen", "depth", "batch")], [4, 8, 2])
        self.assertTrue(all(line["tokens_per_second"] > 0 for line in lines))

    def test_bench_shows_the_limits(self):
        done = self.ok(["bench", "smol", "--json", "--threads", "1", "--prefill", "16",
                        "--decode", "4", "--start", "--repetitions", "1"])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["test"] for line in lines], ["start", "prefill", "decode"])
        for line in lines:
            limits = line["limits"]
            for key in ("memory_bytes_per_second", "int8_ops_per_second", "f32_ops_per_second"):
                self.assertGreater(limits[key], 1e8, key)
            self.assertEqual(limits["placement"], "single")
            self.assertTrue(0 <= limits["steal_share"] <= 1 and 0 <= limits["others_share"] <= 1)
            # Weights are held whole, and in nothing else than the engine's own process.
            self.assertGreater(line["peak_rss_bytes"], line["file_bytes"] / 2)
            self.assertGreaterEqual(line["peak_rss_bytes"], line["resident_bytes"])
        start, prefill, decode = lines
        self.assertAlmostEqual(start["seconds"], 1 / start["tokens_per_second"])
        self.assertEqual((prefill["share_of"], decode["share_of"]), ("int8", "memory"))
        self.assertEqual(decode["share"], decode["memory_share"])
        # SmolLM2-135M: 30 blocks of 576 x (576 + 2 x 192 + 576 + 3 x 1536) weights, twice a token.
        macs = 30 * 576 * (576 + 2 * 192 + 576 + 3 * 1536)
        self.assertAlmostEqual(prefill["share"], 2 * macs * prefill["tokens_per_second"] /
                               prefill["limits"]["int8_ops_per_second"])
        self.assertEqual(prefill["logits_sha256"], decode["logits_sha256"])
        self.assertNotIn("logits_sha256", start)

    def test_bench_without_limits(self):
        done = self.ok(["bench", "smol", "--json", "--threads", "1", "--prefill", "8",
                        "--repetitions", "1", "--no-limits"])
        line = json.loads(done.stdout)
        for key in ("limits", "share", "memory_bytes_per_second"):
            self.assertNotIn(key, line)
        self.assertIn("peak_rss_bytes", line)

    def test_bench_table(self):
        done = self.ok(["bench", "smol", "--threads", "2", "--prefill", "8", "--repetitions", "2"])
        self.assertRegex(done.stdout, r"prefill 8 +[\d.]+ +[\d.]+ - [\d.]+ +\d+ % of int8")
        self.assertRegex(done.stdout, r"smol, \w+, 2 threads; \w+.*GB/s.*GOPS.*peak memory")

    def test_bench_compares_two_files(self):
        done = self.ok(["bench", "smol", "--json", "--threads", "1", "--prefill", "8",
                        "--repetitions", "5", "--no-limits"])
        a, b = self.root + "/a.json", self.root + "/b.json"
        with open(a, "w") as f:
            f.write(done.stdout)
        twice = json.loads(done.stdout)
        twice["repetitions"] = [2 * r for r in twice["repetitions"]]
        twice["threads"] = 2
        with open(b, "w") as f:
            f.write(json.dumps(twice) + "\n" + json.dumps(twice | {"n_prompt": 9}) + "\n")
        done = self.ok(["bench", "--compare", a, b])
        self.assertRegex(done.stdout, r"prefill 8 .* 2\.000 ")
        self.assertIn("only in B: prefill 9", done.stdout)
        self.assertIn("differs: threads: 1 / 2", done.stdout)
        done = self.ok(["bench", "--compare", a, b, "--json"])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertAlmostEqual(lines[0]["ratio"], 2)
        self.assertTrue(lines[0]["low"] <= 2 <= lines[0]["high"])
        self.assertEqual(lines[-1]["only_b"], ["prefill 9"])
        self.assertEqual(lines[-1]["differences"], {"threads": {"a": "1", "b": "2"}})

    def test_bench_refuses(self):
        bad = self.root + "/bad.json"
        with open(bad, "wb") as f:
            f.write(b"\x7fELF\xfc\x00")
        self.fails(2, ["bench"], "MODEL is required")
        self.fails(2, ["bench", "--compare", bad, bad], "line 1")
        self.fails(2, ["bench", "--compare", bad], "--compare")
        self.fails(3, ["bench", "--compare", self.root + "/none.json", bad], "none.json|No such|not found|cannot")
        self.fails(2, ["bench", "smol", "--compare", bad, bad], "no MODEL")
        self.fails(2, ["bench", "smol", "--file", bad], "--kv-cost")
        self.fails(3, ["bench", "smol", "--kv-cost", "--file", self.root + "/none.txt"], "none.txt|No such|not found|cannot")

    def test_bench_calibrates(self):
        path = self.root + "/calibration.json"
        done = self.ok(["bench", "smol", "--calibrate", "--out", path, "--threads", "2",
                        "--repetitions", "1", "--json"])
        with open(path) as f:
            text = f.read()
        self.assertEqual(done.stdout, text)
        file = json.loads(text)
        self.assertEqual(file["schema"], "holdfast.calibration/1")
        self.assertEqual(file["machine"]["threads"], 2)
        for key in ("memory_bytes", "bandwidth_bytes_per_s", "int8_ops_per_s", "f32_ops_per_s",
                    "disk_read_bytes_per_s"):
            self.assertGreater(file["machine"][key], 1e6, key)
        model, = file["models"]
        # SmolLM2-135M; Q4_1 has 5 bits a weight, Q8_0 of the embedding 8.5.
        self.assertEqual([model[k] for k in ("name", "params", "layers", "quant", "kv_type")],
                         ["smol", 134515008, 30, "Q4_1", "f16"])
        self.assertTrue(0.9e8 < model["weights_bytes"] < 1.0e8)
        self.assertTrue(0 < model["start_s"] < 60)
        points = [(p["kind"], p["tokens"], p["batch"], p["depth"]) for p in model["points"]]
        wanted = [("prefill", n, 1, 0) for n in (128, 512, 2048)]
        wanted += [("decode", 32, b, 16) for b in (1, 2, 4, 8)] + [("decode", 32, 1, 2000)]
        # A machine that is too slow for all says which it left out.
        for point in wanted:
            self.assertTrue(point in points or "no time for" in done.stderr, point)
        self.assertTrue(set(points) <= set(wanted))
        self.assertTrue(all(p["tokens_per_s"] > 0 for p in model["points"]))

    def test_bench_calibrate_refuses(self):
        path = self.root + "/no-calibration.json"
        with open(path, "w") as f:
            f.write('{"schema":"another/1"}')
        self.fails(2, ["bench", "smol", "--calibrate", "--out", path], "schema")
        with open(path) as f:
            self.assertEqual(f.read(), '{"schema":"another/1"}')
        self.fails(2, ["bench", "smol", "--calibrate", "--prefill", "8"], "no other test")
        self.fails(2, ["bench", "smol", "--out", path], "--calibrate")
        self.fails(2, ["bench", "--calibrate"], "MODEL is required")

    def test_bench_kv_cost(self):
        done = self.ok(["bench", "smol", "--kv-cost", "--json"])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        by_type = {line["kv_type"]: line for line in lines}
        self.assertEqual(lines[0]["kv_type"], "f16")
        self.assertEqual(lines[0]["against_f16"], 1)
        self.assertTrue(all(line["tokens"] >= 500 for line in lines))
        # 30 layers x 3 heads x 64 values x keys and values.
        self.assertEqual(by_type["f16"]["kv_bytes_per_token"], 30 * 3 * 64 * 2 * 2)
        self.assertEqual(by_type["f32"]["kv_bytes_per_token"], 30 * 3 * 64 * 2 * 4)
        self.assertAlmostEqual(by_type["f32"]["perplexity"], by_type["f16"]["perplexity"],
                               delta=0.05 * by_type["f16"]["perplexity"])

    def test_doctor_measures_limits_and_names_kernels(self):
        done = self.run_(["doctor", "--limits", "--model", "smol", "--json"])
        found = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
        self.assertRegex(found["limit: memory"]["found"], r"GB/s")
        self.assertRegex(found["limit: int8 dots"]["found"], r"GOPS")
        self.assertIn("other programs", found)
        self.assertIn("clock", found)
        self.assertRegex(found["weights attn_q"]["found"], r"^30 tensors, P4_1, .*: \w+ int8 dots")
        self.assertRegex(found["weights attn_norm"]["found"], "vectors of float32")
        self.assertIn("attention", found)
        done = self.run_(["doctor", "--model", "smol", "--json"], env={"HOLDFAST_FORCE_ISA": "scalar"})
        found = {f["check"]: f for f in json.loads(done.stdout)["findings"]}
        self.assertEqual(found["weights attn_q"]["verdict"], "warn")
        self.assertIn("scalar", found["weights attn_q"]["found"])


@unittest.skipUnless(GEMMA3 and os.path.exists(GEMMA3), "HOLDFAST_GEMMA3 does not name the model")
class BaseModel(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert cls.run_(["import", GEMMA3, "--name", "base"]).returncode == 0

    def test_continues_the_text_and_says_so(self):
        done = self.ok(["run", "base", "--temperature", "0", "--max-tokens", "8",
                        "The capital of France is"])
        self.assertIn("France", done.stdout)
        self.assertIn("no chat template", done.stderr)

    def test_chat_offers_templates(self):
        self.fails(2, ["chat", "base"], "hint: .*--template NAME .*gemma", stdin="hello\n")

    def test_template_by_name(self):
        done = self.ok(["run", "base", "--template", "gemma", "--max-tokens", "4", "Hi"])
        self.assertNotIn("no chat template", done.stderr)

    def test_two_models_and_no_name(self):
        self.fails(2, ["chat"], "hint: .*base.*smol", stdin="")


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, case, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(HOLDFAST, [HOLDFAST, *arguments], case.environment | {"TERM": "xterm"})
        self.seen = ""

    def expect(self, pattern, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended without {pattern!r}: {self.seen!r}")
            self.seen += data.decode(errors="replace")

    def type(self, text):
        self.seen = ""
        os.write(self.fd, text.encode())

    def wait(self):
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Chat(Case):
    def open(self, *flags):
        terminal = Terminal(self, "chat", "smol", "--temperature", "0", *flags)
        terminal.expect(r">>> ")
        return terminal

    def test_talk_and_leave(self):
        t = self.open("--max-tokens", "10")
        t.type("Hello\r")
        t.expect(r"2004l\w[\s\S]*>>> ")
        t.type("/bye\r")
        self.assertEqual(t.wait(), 0)

    def test_control_d_leaves(self):
        t = self.open()
        t.type("\x04")
        self.assertEqual(t.wait(), 0)

    def test_control_c_stops_the_answer_only(self):
        t = self.open()
        t.type("Write a very long story about the sea\r")
        t.expect(r"2004l[\s\S]*\w+ \w+ \w+")
        t.type("\x03")
        t.expect(r"\(stopped\)", 5)
        t.expect(r">>> ")
        t.type("/show\r")
        t.expect(r"messages +2")
        t.type("/bye\r")
        self.assertEqual(t.wait(), 0)

    def test_control_c_at_the_prompt(self):
        t = self.open()
        t.type("half a line\x03")
        t.expect(r"/bye leaves")
        t.type("/bye\r")
        self.assertEqual(t.wait(), 0)

    def test_several_lines(self):
        t = self.open("--max-tokens", "4")
        t.type('"""first\r')
        t.expect(r"\.\.\. ")
        t.type('second"""\r')
        t.expect(r">>> ")
        t.type(f"/save {self.root}/talk.json\r")
        t.expect(r"saved 2 messages")
        with open(f"{self.root}/talk.json") as f:
            self.assertEqual(json.load(f)["messages"][0],
                             {"role": "user", "content": "first\nsecond"})
        t.type("/bye\r")
        t.wait()

    def test_settings(self):
        t = self.open()
        for line, answer in (("/set temperature 9", "from 0 to 2"),
                             ("/set max_tokens 3", ">>> "),
                             ("/set warmth 3", "no setting warmth"),
                             ("/shwo", "did you mean /show"),
                             ("/show", "max_tokens +3"),
                             ("/load absent", "no model"),
                             ("/clear", "empty"),
                             ("/retry", "no message"),
                             ("/?", "Ctrl-C")):
            t.type(line + "\r")
            t.expect(answer)
            t.expect(r">>> (\r\x1b\[4C)?$")
        t.type("/bye\r")
        self.assertEqual(t.wait(), 0)

    def test_killed_engine_is_replaced(self):
        t = self.open()
        t.type("Write a very long story about the sea\r")
        t.expect(r"2004l[\s\S]*\w+ \w+ \w+")
        for pid in engines_of(t.pid):
            os.kill(pid, signal.SIGKILL)
        t.expect(r"error: .*ended unexpectedly")
        t.expect(r">>> (\r\x1b\[4C)?$")
        t.type("/set max_tokens 3\r")
        t.expect(r">>> (\r\x1b\[4C)?$")
        t.type("Hello\r")
        t.expect(r"2004l\w[\s\S]*>>> ")
        self.assertNotIn("error", t.seen)
        t.type("/bye\r")
        self.assertEqual(t.wait(), 0)


if __name__ == "__main__":
    main()
