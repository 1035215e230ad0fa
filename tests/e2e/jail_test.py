"""The sandboxes of the real programs: no way out, profiles, and what is said where a layer is missing.

Oracle: the kernel, by /proc/PID/status and by the errors of the attempts themselves."""
import json
import signal

from harness import *
from harness import children_of, free_port

LEFT_OUT = "HOLDFAST_TEST_LAYERS_LEFT_OUT"
PROCESSES = ["engine", "importer", "quantizer", "resealer", "key holder", "slot opener", "server"]
WAYS = {"tcp4", "tcp6", "udp4", "udp6", "dns", "icmp", "raw", "packet", "unix_abstract", "vsock", "netlink", "io_uring"}
STRICT = ["--memory.lock", "required", "--policy.signatures", "publisher"]
CHEAP = ["--keyring.argon2_memory", "64MiB"]


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Jail(Bare):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hooks = "with test hooks" in cls.run_(["version"]).stdout
        found = json.loads(cls.run_(["doctor", "--json"]).stdout)["findings"]
        layers = [f for f in found if f["check"].startswith("layers of the ")]
        assert len(layers) == 4, layers
        cls.complete = all(f["verdict"] == "ok" for f in layers)

    def setUp(self):
        shutil.rmtree(self.root + "/data", ignore_errors=True)

    def prove(self, *arguments, env=None):
        done = self.run_(["doctor", "--prove-no-egress", "--json", *arguments], env=env)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        proof = json.loads(done.stdout)
        self.assertEqual(proof["ok"], done.returncode == 0)
        return proof

    def passphrase(self):
        path = os.path.join(self.root, "secret")
        with open(path, "w") as f:
            f.write("correct horse\n")
        os.chmod(path, 0o600)
        return ["--passphrase-file", path]

    def unseal(self, server):
        """As soon as it answers at all: everything else is 503 until then."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if server.get("/livez")[0] == 200:
                    self.ok(["seal", "unseal", *self.passphrase()])
                    return
            except OSError:
                time.sleep(0.05)
        self.fail(server.text())

    def refused(self, arguments, message, env=None):
        return self.fails(2, ["serve", "--listen", f"127.0.0.1:{free_port()}", *arguments], message, env=env)

    def test_every_process_tries_every_way(self):
        proof = self.prove()
        self.assertEqual([p["process"] for p in proof["processes"]], PROCESSES)
        self.assertTrue(proof["control_works"])
        for p in [proof["control"], *proof["processes"]]:
            self.assertLessEqual(WAYS, {a["way"] for a in p["attempts"]})
        if self.complete:
            self.assertTrue(proof["ok"], proof["open"])
        for p in proof["processes"][:-1]:  # the children, which seccomp holds on every system
            for attempt in p["attempts"]:
                self.assertEqual((attempt["outcome"], attempt["errno"]), ("killed", "SIGSYS"), (p["process"], attempt))
        for attempt in proof["processes"][-1]["attempts"]:
            if self.complete:
                self.assertEqual(attempt["outcome"], "refused", attempt)
                self.assertIn(attempt["errno"], ("EACCES", "EPERM", "EBADF"), attempt)

    def test_the_proof_fails_where_something_is_open(self):
        """An upstream with a name needs datagrams for name servers; the proof says so and fails."""
        path = os.path.join(self.root, "upstream.toml")
        with open(path, "w") as f:
            f.write('[policy]\negress = "listed"\n[upstream.far]\nkind = "openai"\nurl = "https://far.example/v1"\n'
                    'models = { theirs = "ours" }\n')
        proof = self.prove("--config", path)
        self.assertFalse(proof["ok"])
        self.assertTrue(any(way.startswith("server: udp4") for way in proof["open"]), proof["open"])
        self.assertFalse(any(not way.startswith("server: ") for way in proof["open"]), proof["open"])
        if self.complete:  # its port is open, and no other
            self.assertFalse(any("tcp" in way for way in proof["open"]), proof["open"])
        if self.hooks:
            proof = self.prove(env={LEFT_OUT: "landlock"})
            self.assertTrue(any("tcp4_reused" in way for way in proof["open"]), proof["open"])

    def test_a_running_server_is_confined(self):
        with Server(self) as server:
            mine = [server.process.pid, *children_of(server.process.pid, "holdfast-keyholder")]
            self.assertEqual(len(mine), 2)
            for pid in mine:
                status = status_of(pid)
                self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), pid)
            self.assertEqual(server.get("/readyz?verbose")[0], 200)
            self.assertEqual("degraded" in server.get("/readyz?verbose")[1], not self.complete)

    def test_a_key_holder_that_died_is_started_anew(self):
        """From within the sandbox: it needs its socket, its lock and its own jail."""
        with Server(self) as server:
            first = children_of(server.process.pid, "holdfast-keyholder")
            os.kill(first[0], signal.SIGKILL)
            end = time.monotonic() + 20
            while True:
                now = children_of(server.process.pid, "holdfast-keyholder")
                if now and now != first and server.get("/readyz")[0] == 200:
                    break
                self.assertLess(time.monotonic(), end, server.text())
                time.sleep(0.1)
            self.assertIn("open", self.ok(["seal", "status"]).stdout)

    def test_a_missing_layer_is_said(self):
        if not self.hooks:
            return
        self.environment = self.environment | {LEFT_OUT: "landlock"}
        with Server(self) as server:
            status, text = server.get("/readyz?verbose")
            self.assertEqual(status, 200)
            self.assertIn("[!]sandbox degraded: landlock\n", text)
            self.assertEqual(server.get("/readyz")[1], "ok\n")
            metrics = server.get("/metrics")[1]
            self.assertIn('holdfast_sandbox_degraded{layer="landlock"} 1', metrics)
            self.assertIn('holdfast_sandbox_degraded{layer="seccomp"} 0', metrics)
            self.assertRegex(server.text(), "sandbox.degraded.*landlock")

    def test_strict_profiles_list_what_they_miss(self):
        for profile in ("regulated", "classified"):
            error = self.refused(["--server.profile", profile], profile).stderr
            self.assertIn('memory.lock = "required"', error)
            self.assertIn('policy.signatures = "publisher"', error)
        strict = ["--server.profile", "regulated", *STRICT]
        self.refused([*strict, "--server.tls_terminated_upstream", "10.0.0.1"], "tls_terminated_upstream")
        classified = ["--server.profile", "classified", *STRICT]
        self.refused([*classified, "--policy.egress", "listed"], "policy.egress")
        self.refused(classified, "telemetry", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
        if self.hooks:
            for layer in ("landlock", "network_namespace", "write_xor_execute"):
                self.refused(strict, layer + " ", env={LEFT_OUT: layer})
        self.assertFalse(os.path.exists(self.root + "/data/keyring.hfk"))

    def test_strict_profiles_take_no_slot_that_a_file_opens(self):
        strict = ["--server.profile", "regulated", *STRICT]
        if not self.complete:
            self.refused(strict, "does not start without")
            return
        self.refused(strict, "a keyring")
        key_file = os.path.join(self.root, "root.key")
        self.ok(["seal", "slot", "add", "--kind", "file", "--path", key_file])
        self.refused(strict, "no slot of kind file alone")
        shutil.rmtree(self.root + "/data")
        self.ok(["seal", "slot", "add", "--kind", "passphrase", *CHEAP, *self.passphrase()])
        for profile in ("regulated", "classified"):
            server = Server(self, "--server.profile", profile, *STRICT)
            self.addCleanup(server.process.kill)
            self.unseal(server)
            with server:
                # A classified server keeps its log in memory alone.
                self.assertEqual("server.listening" in server.text(), profile == "regulated")
                self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
