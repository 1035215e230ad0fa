"""Every level of the key hierarchy is rotated while requests run: none fails, and all say what they said before."""
import json
import os
import sys
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import harness  # noqa: E402

OTHER = os.path.join(here, "..", "golden", "tiny", "llama-yarn.gguf")
BODY = json.dumps({"model": "smol", "messages": [{"role": "user", "content": "Name three rivers."}], "max_tokens": 12,
                   "temperature": 0})


class Load(threading.Thread):
    """Asks the same again and again until it is told to stop."""

    def __init__(self, server, key):
        super().__init__(daemon=True)
        self.server, self.key, self.stopped, self.answers, self.failures = server, key, threading.Event(), [], []
        self.start()

    def run(self):
        while not self.stopped.is_set():
            try:
                status, text = self.server.request("/v1/chat/completions", BODY, self.key)
                if status == 200:
                    self.answers.append(json.loads(text)["choices"][0]["message"]["content"])
                else:
                    self.failures.append((status, text))
            except Exception as e:  # noqa: BLE001: whatever a client sees is a failed request
                self.failures.append(repr(e))


class Rotation(harness.Bare):
    def test_under_load(self):
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.ok(["seal", "slot", "add", "--kind", "file"])
        self.ok(["import", harness.SMOLLM2, "--name", "smol"])
        self.ok(["import", OTHER, "--name", "other"])
        keys = [self.ok(["key", "create", "--role", "admin"]).stdout.strip() for _ in range(3)]
        with harness.Server(self, "smol") as server:
            load = [Load(server, key) for key in keys]
            for _ in range(2):
                for change in (["kek"], ["irk", "-y"], ["dek", "smol"], ["dek", "other"]):
                    self.ok(["seal", "rotate", *change])
                    # The keys of now open what is loaded now.
                    self.assertEqual(server.request("/v1/completions", json.dumps(
                        {"model": "other", "prompt": "a", "max_tokens": 1}), keys[0])[0], 200, server.text())
                    self.ok(["unload", "other", "--host", server.url], env={"HOLDFAST_API_KEY": keys[0]})
                    before = sum(len(one.answers) for one in load)
                    until = time.monotonic() + 60
                    while sum(len(one.answers) for one in load) < before + 3 and time.monotonic() < until:
                        time.sleep(0.05)
                    self.assertGreaterEqual(sum(len(one.answers) for one in load), before + 3, server.text())
            for one in load:
                one.stopped.set()
            for one in load:
                one.join(60)
            self.assertEqual([f for one in load for f in one.failures], [])
            self.assertEqual(len({a for one in load for a in one.answers}), 1)
            print(f"{sum(len(one.answers) for one in load)} requests, none failed", flush=True)
            status = json.loads(self.ok(["seal", "status", "--json"]).stdout)
            self.assertEqual((status["irk_epoch"], status["kek_epoch"]), (3, 3))


if __name__ == "__main__":
    harness.main()
