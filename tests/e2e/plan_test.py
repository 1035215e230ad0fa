"""Planning with a real model, a real terminal and a real server."""
import json
import pty
import select

from harness import *

PROBLEM = {"workload": {"users": 20, "isl": 300, "osl": 80}, "models": [{"name": "smol"}], "date": "2026-08-05"}


class Interview(Case):
    def answer(self, lines, *arguments):
        """Types the lines, one for each question, on a terminal; everything that was shown."""
        master, slave = pty.openpty()
        process = subprocess.Popen([HOLDFAST, "plan", *arguments], stdin=slave, stdout=slave, stderr=slave,
                                   env=self.environment | {"TERM": "xterm"}, close_fds=True)
        os.close(slave)
        seen, lines = "", list(lines)
        deadline = time.monotonic() + TIMEOUT
        asked = 0
        while time.monotonic() < deadline:
            ready, _, _ = select.select([master], [], [], 0.1)
            if ready:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                seen += data.decode(errors="replace")
            elif process.poll() is not None:
                break
            # A new prompt ends in its default.
            prompts = len(re.findall(r"\[[^\[\]]*\] (?:\r\x1b\[\d+C)?", seen))
            if lines and prompts > asked and re.search(r"\] (?:\r\x1b\[\d+C)?$", seen):
                asked = prompts
                os.write(master, lines.pop(0).encode() + b"\r")
        os.close(master)
        self.assertEqual(process.wait(timeout=TIMEOUT), 0, seen)
        return seen

    def test_ten_questions_and_a_plan(self):
        save = os.path.join(self.root, "answers.toml")
        page = os.path.join(self.root, "plan.html")
        seen = self.answer([""] * 10 + [save, page])
        self.assertIn("How many people will use it?", seen)
        self.assertIn("Plan for running llama-3.1-8b", seen)
        with open(save) as f:
            self.assertIn("users = 50", f.read())
        with open(page) as f:
            self.assertTrue(f.read().startswith("<!DOCTYPE html>"))
        again = self.ok(["plan", "--workload", save, "--json"])
        self.assertEqual(json.loads(again.stdout)["schema"], "holdfast.plan/1")

    def test_portuguese_and_a_model_of_the_store(self):
        seen = self.answer(["5", "chat", "smol"] + [""] * 9, "--language", "pt")
        self.assertIn("Quantas pessoas", seen)
        self.assertIn("Plano para executar smol", seen)


class Files(Case):
    def test_a_gguf_says_its_sizes(self):
        answer = json.loads(self.ok(["plan", "fit", SMOLLM2, "--context", "2048", "--json"]).stdout)
        self.assertTrue(answer["fits"])
        self.assertFalse(answer["estimated"])
        # 30 layers, 3 heads of keys and values with 64 numbers, two bytes each.
        self.assertEqual(answer["memory"]["kv_bytes"], 2048 * 2 * 30 * 3 * 64 * 2)
        stored = json.loads(self.ok(["plan", "fit", "smol", "--context", "2048", "--json"]).stdout)
        self.assertEqual(stored["memory"]["kv_bytes"], answer["memory"]["kv_bytes"])
        path = os.path.join(self.root, "p.json")
        with open(path, "w") as f:
            json.dump({k: v for k, v in PROBLEM.items() if k != "date"} | {"models": [{"file": SMOLLM2}]}, f)
        self.ok(["plan", "--workload", path, "--json", "--date", "2026-08-05"])

    def test_probe_makes_this_machine_a_device(self):
        made = json.loads(self.ok(["plan", "probe", "--json"]).stdout)
        self.assertEqual(made["calibrated_with"], "smol")
        path = os.path.join(self.root, "own.json")
        with open(path, "w") as f:
            json.dump({"workload": PROBLEM["workload"], "models": PROBLEM["models"],
                       "owned": [{"device": made["id"]}]}, f)
        plan = json.loads(self.ok(["plan", "--workload", path, "--json"]).stdout)
        self.assertIn(made["id"], [o["device"] for o in plan["options"]])
        # Once more: the row is replaced, not added.
        with open(made["file"]) as f:
            rows = f.read().count("\n")
        self.ok(["plan", "probe"])
        with open(made["file"]) as f:
            self.assertEqual(f.read().count("\n"), rows)


class Served(Case):
    def test_routes(self):
        with Server(self) as server:
            status, body = server.post("/holdfast/v1/plan", json.dumps(PROBLEM))
            self.assertEqual(status, 200, body)
            self.assertEqual(server.post("/holdfast/v1/plan", json.dumps(PROBLEM))[1], body)
            document = {k: v for k, v in PROBLEM.items() if k != "date"}
            path = os.path.join(self.root, "same.json")
            with open(path, "w") as f:
                json.dump(document, f)
            printed = self.ok(["plan", "--workload", path, "--date", PROBLEM["date"], "--json"]).stdout
            self.assertEqual(json.loads(printed), json.loads(body))
            status, body = server.post("/holdfast/v1/fit", json.dumps({"model": "smol", "context": 1024}))
            self.assertEqual((status, json.loads(body)["fits"]), (200, True))
            status, body = server.post("/holdfast/v1/plan", json.dumps(PROBLEM | {"workload": {"users": -1}}))
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "workload.users"))
            status, body = server.post("/holdfast/v1/plan", json.dumps(PROBLEM | {"models": [{"file": "/etc/passwd"}]}))
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "models[0].file"))

    def test_pilot(self):
        out = os.path.join(self.root, "calibration.json")
        with Server(self) as server:
            done = self.ok(["plan", "pilot", "synthetic:poisson", "--rate", "4", "--minutes", "0.1", "--isl", "40", "--osl",
                            "8", "--host", server.url, "--write", out, "--json"])
        answer = json.loads(done.stdout)
        self.assertEqual(answer["measured"]["failed"], 0)
        self.assertGreater(answer["measured"]["requests"], 5)
        self.assertGreater(answer["calibration"]["decode_factor"], 0)
        with open(out) as f:
            self.assertEqual(json.load(f)["schema"], "holdfast.calibration/1")
        self.fails(7, ["plan", "pilot", "synthetic:poisson", "--host", "127.0.0.1:1"], "cannot be reached")


if __name__ == "__main__":
    main()
