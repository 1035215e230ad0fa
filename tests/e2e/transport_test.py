"""TLS, configuration that is read again, and what happens when descriptors run out. No model is needed."""
import http.client
import json
import resource
import socket
import ssl
import sys
import threading

import harness
from harness import *

HANG = 20  # seconds until a test says that something never happens


class Transport(Bare):
    def eventually(self, predicate, what):
        deadline = time.monotonic() + HANG
        while not predicate():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True, **options)


class Authority:
    """A CA, and certificates that it signs."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.ca = f"{folder}/ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=test authority", "-keyout", f"{folder}/ca.key", "-out", self.ca)

    def issue(self, name, serial):
        """Certificate and key files of that name, replaced by renames as tools do."""
        base = f"{self.folder}/{name}"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                "-keyout", base + ".key.new", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.ca, "-CAkey", f"{self.folder}/ca.key",
                "-set_serial", str(serial), "-days", "2", "-extfile", base + ".ext", "-out", base + ".pem.new")
        os.rename(base + ".key.new", base + ".key")
        os.rename(base + ".pem.new", base + ".pem")
        return base + ".pem", base + ".key"


class SecureServer(Server):
    def __init__(self, case, authority, *arguments, name="server", serial=1):
        self.certificate, self.key = authority.issue(name, serial)
        self.context = ssl.create_default_context(cafile=authority.ca)
        super().__init__(case, "--server.tls_cert", self.certificate, "--server.tls_key", self.key, *arguments)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=HANG, context=self.context)

    def request(self, path, body=None):
        connection = self.connect()
        try:
            connection.request("GET" if body is None else "POST", path, body)
            response = connection.getresponse()
            self.headers = response.headers
            return response.status, response.read().decode()
        finally:
            connection.close()

    def serial(self):
        """Of the certificate that a new handshake is shown."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANG) as plain:
            with self.context.wrap_socket(plain, server_hostname="localhost") as s:
                return int(s.getpeercert()["serialNumber"], 16)


class Tls(Transport):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.root + "/tls")

    def s_client(self, server, *arguments):
        return subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", self.authority.ca,
             "-verify_return_error", *arguments],
            input="", capture_output=True, text=True, timeout=HANG)

    def test_curl_openssl_and_python(self):
        with SecureServer(self, self.authority) as server:
            curl = subprocess.run(
                ["curl", "-sS", "-D", "-", "--cacert", self.authority.ca, f"https://localhost:{server.port}/healthz",
                 f"https://localhost:{server.port}/livez"], capture_output=True, text=True, timeout=HANG)
            self.assertEqual(curl.returncode, 0, curl.stderr)
            self.assertEqual(curl.stdout.count("HTTP/1.1 200"), 2)
            self.assertIn("Strict-Transport-Security: max-age=", curl.stdout)
            self.assertEqual(self.s_client(server, "-tls1_3").returncode, 0)
            for old in ("-tls1_2", "-tls1_1"):
                self.assertNotEqual(self.s_client(server, old).returncode, 0, old)
            self.assertIn("New, TLSv1.3", self.s_client(server).stdout)
            connection = server.connect()
            for _ in range(3):  # one connection
                connection.request("GET", "/v1/models")
                self.assertEqual(connection.getresponse().read()[:1], b"{")
            self.assertEqual(server.stop(), 0)

    def test_older_version_only_on_request(self):
        with SecureServer(self, self.authority, "--server.tls_min", "1.2") as server:
            self.assertEqual(self.s_client(server, "-tls1_2").returncode, 0)
            weak = self.s_client(server, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
            self.assertNotEqual(weak.returncode, 0)
            self.assertNotEqual(self.s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0").returncode, 0)

    def test_bytes_that_are_no_tls(self):
        with SecureServer(self, self.authority) as server:
            for noise in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(4000), bytes(70000)):
                with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as s:
                    try:
                        s.sendall(noise)
                        s.shutdown(socket.SHUT_WR)
                        while s.recv(4096):
                            pass
                    except OSError:
                        pass
            self.assertEqual(server.get("/healthz")[0], 200)

    def test_pipelined_requests(self):
        with SecureServer(self, self.authority) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as plain:
                with server.context.wrap_socket(plain, server_hostname="localhost") as s:
                    one = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    s.sendall(one * 9 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                    answer = b""
                    while more := s.recv(65536):
                        answer += more
            self.assertEqual(answer.count(b"HTTP/1.1 200"), 10)

    def test_handshakes_of_one_address(self):
        with SecureServer(self, self.authority, "--http.handshakes_per_address", "3") as server:
            silent = [socket.create_connection(("127.0.0.1", server.port), timeout=HANG) for _ in range(3)]
            time.sleep(0.3)
            for s in silent:  # at the limit: waited for
                s.settimeout(0.2)
                self.assertRaises(TimeoutError, s.recv, 1)
            with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as s:
                self.assertEqual(s.recv(1), b"")  # one more: closed at once
            for s in silent:
                s.close()
            self.eventually(lambda: self.answers(server), "handshakes are free again")

    @staticmethod
    def answers(server):
        try:
            return server.get("/healthz")[0] == 200
        except OSError:
            return False

    def test_rotation(self):
        with SecureServer(self, self.authority, name="rotated", serial=11) as server:
            self.assertEqual(server.serial(), 11)
            kept = server.connect()
            kept.request("GET", "/version")
            kept.getresponse().read()
            self.authority.issue("rotated", 12)
            self.eventually(lambda: server.serial() == 12, "the new certificate is used")
            # A pair that does not work: the old one stays, also for a signal.
            with open(server.key) as f:
                good = f.read()
            with open(server.key + ".bad", "w") as f:
                f.write("no key\n")
            os.rename(server.key + ".bad", server.key)
            self.eventually(lambda: "tls.refused" in server.text(), "the bad key is noticed")
            server.process.send_signal(signal.SIGHUP)
            self.eventually(lambda: "config.refused" in server.text(), "the signal is refused")
            self.assertEqual(server.serial(), 12)
            status, body = server.post("/holdfast/v1/config/reload", "")
            self.assertEqual(status, 400)
            self.assertIn("key file", body)
            with open(server.key, "w") as f:
                f.write(good)
            self.assertEqual(server.post("/holdfast/v1/config/reload", "")[0], 200)
            kept.request("GET", "/version")  # began with the first certificate
            self.assertEqual(kept.getresponse().status, 200)

    def test_pair_that_does_not_work_at_start(self):
        certificate, _ = self.authority.issue("one", 1)
        _, key = self.authority.issue("two", 2)
        self.fails(2, ["serve", "--listen", "127.0.0.1:0", "--server.tls_cert", certificate, "--server.tls_key", key],
                   "does not belong")
        self.fails(2, ["serve", "--listen", "127.0.0.1:0", "--server.tls_cert", certificate], "go together")

    def test_streams_over_tls(self):
        if not SMOLLM2:
            self.skipTest("HOLDFAST_SMOLLM2 does not name the model file")
        self.ok(["import", SMOLLM2, "--name", "smol"])
        with SecureServer(self, self.authority, "smol") as server:
            ask = {"model": "smol", "prompt": "Once upon a time", "max_tokens": 40, "temperature": 0}
            whole = json.loads(server.post("/v1/completions", json.dumps(ask))[1])["choices"][0]["text"]
            text = server.post("/v1/completions", json.dumps(ask | {"stream": True}))[1]
            events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
            self.assertEqual(events[-1], "[DONE]")
            self.assertEqual("".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]), whole)


class Reload(Transport):
    def setUp(self):
        self.path = f"{self.root}/{self.id().rpartition('.')[2]}.toml"
        self.write('[http]\nbody_bytes_max = "2KiB"\n')

    def write(self, text):
        with open(self.path + ".new", "w") as f:
            f.write(text)
        os.rename(self.path + ".new", self.path)

    def reload(self, server):
        status, body = server.post("/holdfast/v1/config/reload", "")
        return status, json.loads(body)

    def test_what_changes_and_what_waits(self):
        with Server(self, "--config", self.path) as server:
            big = json.dumps({"content": "x" * 3000})
            self.assertEqual(server.post("/tokenize", big)[0], 413)
            self.write('[http]\nbody_bytes_max = "8KiB"\n[engine]\nthreads = 3\n[log]\nlevel = "error"\n')
            status, answer = self.reload(server)
            self.assertEqual(status, 200)
            self.assertEqual(sorted(answer["live"]), ["http.body_bytes_max", "log.level"])
            self.assertEqual(answer["restart"], ["engine.threads"])
            self.assertEqual(sorted(c["name"] for c in answer["changed"]),
                             ["engine.threads", "http.body_bytes_max", "log.level"])
            self.assertNotEqual(server.post("/tokenize", big)[0], 413)
            shown = {s["name"]: s for s in json.loads(server.get("/holdfast/v1/config")[1])["data"]}
            self.assertEqual(shown["http.body_bytes_max"]["value"], "8192")
            self.assertRegex(shown["http.body_bytes_max"]["source"], r"toml:2$")
            self.assertEqual((shown["engine.threads"]["value"], shown["engine.threads"]["pending"]), ("0", "3"))
            # Nothing new: nothing changed, and what waits still waits.
            status, answer = self.reload(server)
            self.assertEqual((answer["changed"], answer["live"], answer["restart"]), ([], [], ["engine.threads"]))

    def test_host_names_by_signal(self):
        with Server(self, "--config", self.path) as server:
            def ask():
                c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG)
                c.request("GET", "/healthz", headers={"Host": "models.example"})
                return c.getresponse().status
            self.assertEqual(ask(), 421)
            self.write('[http]\nhosts = ["models.example"]\n')
            server.process.send_signal(signal.SIGHUP)
            self.eventually(lambda: ask() == 200, "the signal reloads")

    def test_invalid_is_refused_whole(self):
        with Server(self, "--config", self.path) as server:
            before = server.get("/holdfast/v1/config")
            for bad in ('[http]\nbody_bytes_max = "4KiB"\nheader_timeout = "soon"\n', "[http\n",
                        '[http]\nbody_bites_max = "4KiB"\n', '[http]\nbody_bytes_max = "1B"\n',
                        '[server]\ntls_cert = "/nowhere/cert.pem"\n', '[engine]\naffinity = "x"\n'):
                self.write(bad)
                status, answer = self.reload(server)
                self.assertEqual(status, 400, bad)
                self.assertEqual(answer["error"]["code"], "invalid_configuration")
                self.assertNotIn(self.root, answer["error"]["message"])
                self.assertEqual(server.get("/holdfast/v1/config"), before)
                self.fails(2, ["config", "check", self.path], ".")
            os.unlink(self.path)
            self.assertEqual(self.reload(server)[0], 400)
            self.assertEqual(server.get("/holdfast/v1/config"), before)

    def test_tls_cannot_come_by_reload(self):
        authority = Authority(self.root + "/late")
        certificate, key = authority.issue("late", 1)
        with Server(self, "--config", self.path) as server:
            self.write(f'[server]\ntls_cert = "{certificate}"\ntls_key = "{key}"\n')
            status, answer = self.reload(server)
            self.assertEqual(status, 400)
            self.assertIn("restart", answer["error"]["message"])

    def test_many_reloads_under_load(self):
        rounds = int(os.environ.get("HOLDFAST_RELOADS", "200"))
        with Server(self, "--config", self.path) as server:
            failed, asked, stop = [], [0] * 4, threading.Event()

            def load(n):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG)
                while not stop.is_set():
                    try:
                        connection.request("GET", "/v1/models")
                        response = connection.getresponse()
                        response.read()
                        if response.status != 200:
                            failed.append(response.status)
                        asked[n] += 1
                    except (OSError, http.client.HTTPException) as e:
                        failed.append(repr(e))
                        connection.close()

            threads = [threading.Thread(target=load, args=(n,)) for n in range(len(asked))]
            for t in threads:
                t.start()
            for i in range(rounds):
                bad = i % 5 == 4
                self.write(f'[http]\nbody_bytes_max = "{"junk" if bad else str(i + 2) + "KiB"}"\n')
                self.assertEqual(self.reload(server)[0], 400 if bad else 200)
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(failed, [])
            self.assertGreater(min(asked), 0)
            if "HOLDFAST_RELOADS" in os.environ:
                print(f"{rounds} reloads beside {sum(asked)} requests, none failed")


class Exhaustion(Transport):
    """Few descriptors, many clients."""

    LIMIT = 128

    def limited(self):
        soft = self.LIMIT
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))

    def start(self):
        popen = subprocess.Popen
        try:
            harness.subprocess.Popen = lambda *a, **k: popen(*a, preexec_fn=self.limited(), **k)
            return Server(self)
        finally:
            harness.subprocess.Popen = popen

    @staticmethod
    def status_of(s):
        try:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return s.recv(12)[9:12].decode()
        except OSError:
            return ""

    def test_descriptors(self):
        with self.start() as server:
            # More than there are descriptors, and than may wait to be refused.
            clients = [socket.create_connection(("127.0.0.1", server.port), timeout=HANG) for _ in range(200)]
            time.sleep(0.5)
            before = processor_seconds(server.process.pid)
            time.sleep(1)
            self.assertLess(processor_seconds(server.process.pid) - before, 0.1)  # waiting, not spinning
            held = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            self.assertLessEqual(held, self.LIMIT)
            answers = []
            for s in clients:
                s.settimeout(3)
                answers.append(self.status_of(s))
                if answers[-1] == "503":
                    s.close()
            self.assertEqual(set(answers), {"200", "503"})
            for s in clients:
                s.close()
            began = time.monotonic()
            self.eventually(lambda: self.fresh(server) == "200", "the server serves again")
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(server.stop(), 0)

    def fresh(self, server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as s:
            return self.status_of(s)


if __name__ == "__main__":
    if not os.path.exists(HOLDFAST):
        sys.exit(f"{HOLDFAST} is not built")
    unittest.main(verbosity=2)
