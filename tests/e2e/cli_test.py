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
        for pid in children_of(process.pid):
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
        for pid in children_of(t.pid):
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
