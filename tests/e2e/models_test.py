"""Models that come and go, and engines that die, as a client of the HTTP API sees it."""
import http.client
import json
import random
import threading

from harness import *

STORY = {"model": "smol", "prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True,
         "temperature": 0}
SHORT = {"model": "smol", "prompt": "Hello", "max_tokens": 8, "ignore_eos": True, "temperature": 0}


class Asking(threading.Thread):
    """One request in a thread of its own: status, headers and the whole body in the end."""

    def __init__(self, server, body, **headers):
        super().__init__()
        self.body = body
        self.headers = {"content-type": "application/json"} | headers
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        self.status, self.answer, self.tokens = 0, "", 0
        self.first = threading.Event()
        self.start()

    def run(self):
        self.connection.request("POST", "/v1/completions", json.dumps(self.body), self.headers)
        response = self.connection.getresponse()
        self.status, self.reply_headers = response.status, response.headers
        for line in response:
            self.answer += line.decode()
            if line.startswith(b"data: {") and self.tokens < 3:
                self.tokens += 1
                if self.tokens == 3:
                    self.first.set()
        self.first.set()
        self.connection.close()

    def done(self):
        self.join(TIMEOUT)
        return self


class CrashPhases(Case):
    def clean_error(self, ask):
        """An error event and no [DONE], or a status; never a part that looks whole."""
        ask.done()
        if ask.status != 200:
            self.assertIn(ask.status, (500, 502, 503))
            self.assertIn("error", json.loads(ask.answer))
            return
        self.assertNotIn("[DONE]", ask.answer)
        frames = [f for f in ask.answer.split("\n\n") if f.startswith("data: ")]
        self.assertIn("error", json.loads(frames[-1][6:]))
        self.assertEqual(sum('"error"' in f for f in frames), 1)

    def killed_engine(self, server):
        engine, = engines_of(server.process.pid)
        os.kill(engine, random.choice([signal.SIGKILL, signal.SIGSEGV]))
        return engine

    def back(self, server, expected):
        ask = Asking(server, SHORT).done()
        self.assertEqual(ask.status, 200, ask.answer)
        self.assertEqual(json.loads(ask.answer)["choices"][0]["text"], expected)

    def test_each_phase(self):
        with Server(self, "smol", "--engine.batch_max", "1") as server:
            expected = json.loads(Asking(server, SHORT).done().answer)["choices"][0]["text"]
            stream = STORY | {"stream": True}
            with self.subTest("decoding, and one that waits for its place"):
                first = Asking(server, stream)
                self.assertTrue(first.first.wait(TIMEOUT))
                queued = Asking(server, stream)
                time.sleep(0.3)
                self.killed_engine(server)
                self.clean_error(first)
                self.clean_error(queued)
                self.back(server, expected)
            with self.subTest("prefill"):
                long = Asking(server, stream | {"prompt": "the cat sat on the mat " * 300,
                                                "max_tokens": 1000})
                time.sleep(0.3)
                self.killed_engine(server)
                self.clean_error(long)
                self.back(server, expected)
            with self.subTest("idle"):
                engine = self.killed_engine(server)
                deadline = time.monotonic() + TIMEOUT
                while engine in engines_of(server.process.pid) and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(0.2)
                self.back(server, expected)
            with self.subTest("loading"):
                self.ok(["unload", "smol"])
                ask = Asking(server, stream)
                deadline = time.monotonic() + TIMEOUT
                while not engines_of(server.process.pid) and time.monotonic() < deadline:
                    pass
                self.killed_engine(server)
                self.clean_error(ask)
                self.back(server, expected)
            self.assertEqual(server.stop(), 0)

    def test_hanging_engine(self):
        with Server(self, "smol", "--engine.hang_timeout", "5s") as server:
            expected = json.loads(Asking(server, SHORT).done().answer)["choices"][0]["text"]
            ask = Asking(server, STORY | {"stream": True})
            self.assertTrue(ask.first.wait(TIMEOUT))
            engine, = engines_of(server.process.pid)
            os.kill(engine, signal.SIGSTOP)
            self.clean_error(ask)
            self.back(server, expected)
            self.assertNotIn(engine, engines_of(server.process.pid))


class Cold(Case):
    def test_503_while_it_loads(self):
        with Server(self, "--models.on_cold", "503") as server:
            ask = Asking(server, SHORT).done()
            self.assertEqual(ask.status, 503)
            error = json.loads(ask.answer)["error"]
            self.assertEqual(error["code"], "model_loading")
            self.assertIn(error["loading"]["state"], ("verifying", "warming"))
            self.assertTrue(0 <= error["loading"]["progress"] < 1)
            self.assertTrue(1 <= int(ask.reply_headers["Retry-After"]) <= 60)
            deadline = time.monotonic() + TIMEOUT
            while ask.status == 503 and time.monotonic() < deadline:
                time.sleep(0.2)
                ask = Asking(server, SHORT).done()
            self.assertEqual(ask.status, 200)
            self.ok(["unload", "smol"])
            waited = Asking(server, SHORT, **{"x-holdfast-wait-load": "1"}).done()
            self.assertEqual(waited.status, 200)

    def test_pin_is_shown(self):
        with Server(self, "smol") as server:
            self.assertIn("pinned", self.ok(["ps"]).stdout)
            status, _ = server.post("/holdfast/v1/models/smol/load", '{"keep_alive": "90s"}')
            self.assertEqual(status, 200)
            self.assertRegex(self.ok(["ps"]).stdout, r"ready .* [0-9]+ s ")

    def test_waiting_client_that_leaves(self):
        with Server(self) as server:
            ask = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
            ask.request("POST", "/v1/completions", json.dumps(STORY),
                        {"content-type": "application/json"})
            ask.close()
            self.assertEqual(Asking(server, SHORT).done().status, 200)
            self.assertEqual(server.get("/health")[0], 200)


if __name__ == "__main__":
    main()
