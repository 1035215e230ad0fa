"""The life of a server: start, models that come and go, crashes, the end."""
import http.client
import json
import threading

from harness import *

STORY = json.dumps({"model": "smol", "prompt": "Once upon a time", "max_tokens": 400,
                    "ignore_eos": True, "temperature": 0})


class Life(Case):
    def test_health_models_and_end(self):
        with Server(self, "smol") as server:
            self.assertEqual(server.get("/readyz")[0], 200)
            ids = [m["id"] for m in json.loads(server.get("/v1/models")[1])["data"]]
            self.assertIn("smol:latest", ids)
            self.assertEqual(server.stop(), 0)
            self.assertNotIn("Once upon", server.text())

    def test_port_in_use(self):
        with Server(self) as server:
            self.fails(5, ["serve", "--listen", f"127.0.0.1:{server.port}"], "in use[\\s\\S]*hint:")

    def test_unknown_model_at_start(self):
        self.fails(3, ["serve", "smoll", "--listen", "127.0.0.1:0"], 'hint: .*"smol"')

    def test_model_that_does_not_fit(self):
        self.fails(8, ["serve", "smol", "--listen", "127.0.0.1:0", "--memory.limit", "50MiB"], ".")

    def test_commands_over_the_socket(self):
        with Server(self):
            self.assertIn("ok", self.ok(["doctor", "--health"]).stdout)
            self.assertRegex(self.ok(["load", "smol"]).stdout, "weights .* KV cache")
            self.assertIn("smol", self.ok(["ps"]).stdout)
            self.ok(["unload", "smol"])
            self.assertNotIn("smol", self.ok(["ps"]).stdout)
            self.fails(3, ["load", "absent"], "absent")
        self.assertEqual(self.run_(["doctor", "--health"]).returncode, 1)

    def test_import_shows_without_restart(self):
        with Server(self) as server:
            self.ok(["cp", "smol", "fresh"])
            time.sleep(0.5)
            self.assertEqual(server.get("/v1/models/fresh")[0], 200)
            self.ok(["rm", "fresh", "-y"])

    def test_model_removed_while_loaded(self):
        with Server(self) as server:
            self.ok(["cp", "smol", "gone"])
            time.sleep(0.5)
            ask = json.dumps({"model": "gone", "prompt": "Hi", "max_tokens": 2})
            self.assertEqual(server.post("/v1/completions", ask)[0], 200)
            self.ok(["rm", "gone", "-y"])
            time.sleep(0.5)
            self.assertEqual(server.post("/v1/completions", ask)[0], 404)
            self.assertEqual(server.get("/health")[0], 200)

    def test_configuration_error_names_file_and_line(self):
        path = os.path.join(self.root, "bad.toml")
        with open(path, "w") as f:
            f.write("[server]\nlisten = \"127.0.0.1:0\"\n[engine]\nthreads = \"many\"\n")
        self.fails(2, ["serve", "--config", path], "bad.toml")


class TestHooks(Case):
    def test_token_delay(self):
        """A build with hooks answers as slowly as it is told, whatever the machine; a release knows nothing of it."""
        hooks = "with test hooks" in self.ok(["version"]).stdout
        self.environment = self.environment | {"HOLDFAST_TEST_TOKEN_DELAY_MS": "40"}
        with Server(self, "smol") as server:
            ask = json.dumps({"model": "smol", "prompt": "Once", "max_tokens": 25, "ignore_eos": True})
            begin = time.monotonic()
            self.assertEqual(server.post("/v1/completions", ask)[0], 200)
            if hooks:
                self.assertGreaterEqual(time.monotonic() - begin, 24 * 0.04)


class Idle(Case):
    def test_loaded_engine_uses_no_processor(self):
        """Processor time, which other load does not change: threads that spin would use all."""
        with Server(self, "smol") as server:
            status, _ = server.post("/v1/completions", json.dumps(
                {"model": "smol", "prompt": "Hello", "max_tokens": 4}))
            self.assertEqual(status, 200)
            engine, = engines_of(server.process.pid)
            time.sleep(0.5)
            before = processor_seconds(engine)
            time.sleep(3)
            self.assertLess(processor_seconds(engine) - before, 0.05)


class Crash(Case):
    def test_killed_engine(self):
        with Server(self, "smol", "--server.deadline", "60s") as server:
            answers = []
            asking = threading.Thread(
                target=lambda: answers.append(server.post("/v1/completions", STORY)))
            # A stopped engine cannot finish before it is killed, however fast the machine is.
            for pid in engines_of(server.process.pid):
                os.kill(pid, signal.SIGSTOP)
            asking.start()
            time.sleep(1)
            for pid in engines_of(server.process.pid):
                os.kill(pid, signal.SIGKILL)
            asking.join(TIMEOUT)
            self.assertIn(answers[0][0], (500, 502, 503))
            self.assertIn("error", json.loads(answers[0][1]))
            deadline = time.monotonic() + 30
            status = 0
            while status != 200 and time.monotonic() < deadline:
                status, _ = server.post("/v1/completions", json.dumps(
                    {"model": "smol", "prompt": "Hi", "max_tokens": 2}))
                time.sleep(0.2)
            self.assertEqual(status, 200)


class Drain(Case):
    def stream(self, server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        body = json.loads(STORY) | {"stream": True, "max_tokens": 800}
        connection.request("POST", "/v1/completions", json.dumps(body),
                           {"content-type": "application/json"})
        return connection.getresponse()

    def test_running_streams_end_whole(self):
        with Server(self, "smol") as server:
            response = self.stream(server)
            response.readline()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            self.assertEqual(server.get("/readyz")[0], 503)
            self.assertIn(b"[DONE]", response.read())
            self.assertEqual(server.process.wait(timeout=TIMEOUT), 0)

    def test_what_is_left_gets_an_error_event(self):
        # Eight seconds of answer, however fast the machine is.
        self.environment = self.environment | {"HOLDFAST_TEST_TOKEN_DELAY_MS": "10"}
        with Server(self, "smol", "--server.drain", "1s") as server:
            response = self.stream(server)
            response.readline()
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            while server.get("/readyz")[0] != 503:
                self.assertLess(time.monotonic() - began, 5)  # 100 ms where the machine is free
            status, body = server.post("/v1/completions", STORY)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "draining"))
            rest = response.read().decode()
            events = [line for line in rest.split("\n") if line.startswith("data: ")]
            self.assertNotIn("[DONE]", rest)
            self.assertEqual(json.loads(events[-1][6:])["error"]["code"], "draining")
            self.assertEqual(server.process.wait(timeout=TIMEOUT), 0)

    def test_second_signal_ends_at_once(self):
        with Server(self, "smol") as server:
            response = self.stream(server)
            response.readline()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=TIMEOUT), 143)
            self.assertLess(time.monotonic() - began, 2)


if __name__ == "__main__":
    main()
