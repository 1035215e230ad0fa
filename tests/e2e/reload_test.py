"""Every setting of class `live` has its effect after a reload, without a restart. The table below must name all of them."""
import concurrent.futures
import http.client
import json
import socket
import ssl

from harness import *
from transport_test import Authority, SecureServer

HANG = 20
CHAT = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


class Probe:
    """What a client sees of a running server."""

    def __init__(self, server, key=None):
        self.server, self.key = server, key

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=HANG)

    def ask(self, method="POST", path="/v1/completions", headers=None, **fields):
        """Status, headers and text."""
        headers = dict(headers or {})
        if self.key:
            headers["Authorization"] = "Bearer " + self.key
        body = json.dumps({"model": "smol", "prompt": "Once", "max_tokens": 2, "temperature": 0} | fields)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=HANG)
        try:
            connection.request(method, path, body if method == "POST" else None, headers)
            answer = connection.getresponse()
            return answer.status, answer, answer.read().decode()
        finally:
            connection.close()

    def status(self, *arguments, **fields):
        return self.ask(*arguments, **fields)[0]

    def host(self):
        return self.status("GET", "/healthz", {"Host": "models.example"})

    def origin(self):
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        return self.ask("OPTIONS", "/v1/models", asked)[1].getheader("Access-Control-Allow-Origin")

    def large_header(self):
        return self.status("GET", "/healthz", {"X-Large": "x" * 3000})

    def crowded(self):
        """A request while five connections are open."""
        others = [self.connect() for _ in range(5)]
        try:
            return self.status("GET", "/healthz")
        finally:
            for s in others:
                s.close()

    def patience(self, text):
        """Whether a request that stops in the middle is ended within a second."""
        with self.connect() as s:
            s.sendall(text.encode())
            s.settimeout(1.5)
            try:
                while s.recv(4096):
                    pass
                return "ended"
            except TimeoutError:
                return "waits"

    def pings(self):
        """Whether a comment comes before the first token of a prompt that takes a while."""
        text = self.ask(prompt=str(time.monotonic()) + " word" * 1500, stream=True)[2]
        return text.startswith(":")

    def together(self, count, **fields):
        """The sorted statuses of so many requests at the same time."""
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return sorted(pool.map(lambda i: self.status(ignore_eos=True, **fields), range(count)))

    def refused(self):
        """How a request is refused that finds two before it, on one place."""
        return self.together(3, max_tokens=60)[-1]

    def reader_that_stops(self):
        """Whether a long stream that nobody reads is given up before the 30 s that are usual."""
        body = json.dumps({"model": "smol", "prompt": "Once", "max_tokens": 8000, "stream": True, "ignore_eos": True})
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(("127.0.0.1", self.server.port))
            s.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            end = time.monotonic() + HANG
            while time.monotonic() < end:
                time.sleep(0.2)
                if re.search(r'finished_reason="abort"} 1', self.ask("GET", "/metrics")[2]):
                    return "given up"
        return "held"

    def loaded(self):
        """Whether the model is still there three seconds after its last answer."""
        self.ask()
        time.sleep(3)
        return re.search(r'holdfast_engine_up{engine="smol[^"]*"} 1', self.ask("GET", "/metrics")[2]) is not None

    def logs(self):
        """Whether a reload is logged."""
        before = self.server.text().count("config.reloaded")
        self.ask("POST", "/holdfast/v1/config/reload")
        return self.server.text().count("config.reloaded") > before


HEAD = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"

# setting: (value, what is looked at, what is seen before, what is seen after)
PLAIN = {
    "server.overload_status": ('"429"', Probe.refused, 503, 429),
    "server.deadline": ('"300ms"', lambda p: p.status(max_tokens=1500, ignore_eos=True), 200, 504),
    "http.hosts": ('["models.example"]', Probe.host, 421, 200),
    "http.cors_origins": ('["https://app.example"]', Probe.origin, None, "https://app.example"),
    "http.body_bytes_max": ('"1KiB"', lambda p: p.status(prompt="x " * 600), 200, 413),
    "http.header_bytes_max": ('"2KiB"', Probe.large_header, 200, 431),
    "http.connections_max": ("3", Probe.crowded, 200, 503),
    "http.header_timeout": ('"300ms"', lambda p: p.patience(HEAD), "waits", "ended"),
    "http.body_timeout": ('"300ms"', lambda p: p.patience(HEAD + "Content-Length: 9\r\n\r\n{"), "waits", "ended"),
    "stream.ping": ('"50ms"', Probe.pings, False, True),
    "limits.n_max": ("1", lambda p: p.status(n=2), 200, 400),
    "limits.queue_wait_max": ('"1ms"', lambda p: p.together(3, max_tokens=60)[-1], 200, 503),
    "limits.queue_target": ('"10m"', lambda p: p.together(14, max_tokens=8)[-1], 503, 200),
    "models.default": ('"smol"', lambda p: p.status(model=None), 400, 200),
    "models.keep_alive": ('"1s"', Probe.loaded, True, False),
    "models.aliases": ('{other = "smol"}', lambda p: p.status(model="other"), 404, 200),
    "log.level": ('"error"', Probe.logs, True, False),
}
# Settings that hold beside the one that is looked at.
BESIDE = {"server.overload_status": {"limits.queue_wait_max": '"1ms"'}}
WITH_KEY = {
    "limits.requests_per_key": ("1", lambda p: p.together(2, max_tokens=60)[-1], 200, 429),
    "quota.requests_per_minute": ("1", lambda p: max(p.status(), p.status()), 200, 429),
    "quota.tokens_per_day": ("1", lambda p: max(p.status(), p.status()), 200, 429),
}
ELSEWHERE = {
    "server.tls_cert": "transport_test: test_rotation", "server.tls_key": "transport_test: test_rotation",
    "server.tls_min": "below", "http.handshakes_per_address": "below", "server.drain": "below",
    "http.stall_timeout": "below", "stream.buffer_bytes": "below",
    "quota.weight": "read by `holdfast key create`, which reads the settings each time",
}


def toml(settings):
    sections = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, []).append(f"{key} = {value}\n")
    return "".join(f"[{section}]\n{''.join(lines)}" for section, lines in sections.items())


class EverySetting(Case):
    def setUp(self):
        self.path = f"{self.root}/{self.id().rpartition('.')[2]}.toml"
        self.write({})
        shutil.rmtree(self.root + "/data/keys", ignore_errors=True)

    def write(self, settings):
        with open(self.path + ".new", "w") as f:
            f.write(toml(settings))
        os.rename(self.path + ".new", self.path)

    def reload(self, probe):
        status, _, text = probe.ask("POST", "/holdfast/v1/config/reload")
        self.assertEqual(status, 200, text)

    def changes(self, probe, table):
        for name, (value, look, before, after) in table.items():
            with self.subTest(name):
                beside = BESIDE.get(name, {})
                self.write(beside)
                self.reload(probe)
                self.assertEqual(look(probe), before)
                self.write(beside | {name: value})
                self.reload(probe)
                self.assertEqual(look(probe), after)
        self.write({})

    def test_all_are_here(self):
        with Server(self, "--config", self.path) as server:
            shown = json.loads(server.get("/holdfast/v1/config")[1])["data"]
        self.assertEqual({s["name"] for s in shown if s["reload"] == "live"}, {*PLAIN, *WITH_KEY, *ELSEWHERE})

    def test_each_has_its_effect(self):
        with Server(self, "--config", self.path, "--max-running", "1") as server:
            probe = Probe(server)
            probe.ask(max_tokens=20)  # teaches how long an answer takes
            self.changes(probe, PLAIN)

    def test_those_of_keys(self):
        key = json.loads(self.ok(["key", "create", "--json", "--tenant", "a", "--role", "admin"]).stdout)["key"]
        with Server(self, "--config", self.path) as server:
            self.changes(Probe(server, key), WITH_KEY)

    def test_those_of_slow_readers(self):
        with Server(self, "--config", self.path) as server:
            probe = Probe(server)
            self.write({"http.stall_timeout": '"500ms"', "stream.buffer_bytes": '"4KiB"'})
            self.reload(probe)
            self.assertEqual(probe.reader_that_stops(), "given up")

    def test_those_of_tls(self):
        authority = Authority(self.root + "/authority")
        with SecureServer(self, authority, "--config", self.path) as server:
            old = ssl.create_default_context(cafile=authority.ca)
            old.maximum_version = ssl.TLSVersion.TLSv1_2

            def handshake(context):
                try:
                    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as raw:
                        with context.wrap_socket(raw, server_hostname="localhost") as s:
                            return s.version()
                except OSError as error:
                    return type(error).__name__

            def beside_one():
                with socket.create_connection(("127.0.0.1", server.port), timeout=HANG):
                    time.sleep(0.2)
                    return handshake(server.context)

            self.assertNotEqual(handshake(old), "TLSv1.2")
            self.assertEqual(beside_one(), "TLSv1.3")
            self.write({"server.tls_min": '"1.2"', "http.handshakes_per_address": "1"})
            self.assertEqual(server.post("/holdfast/v1/config/reload", "")[0], 200)
            self.assertEqual(handshake(old), "TLSv1.2")
            self.assertNotEqual(beside_one(), "TLSv1.3")

    def test_drain(self):
        with Server(self, "--config", self.path) as server:
            self.write({"server.drain": '"300ms"'})
            self.reload(Probe(server))
            with Probe(server).connect() as s:
                body = json.dumps({"model": "smol", "prompt": "Once", "max_tokens": 4000, "stream": True, "ignore_eos": True})
                s.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                self.assertIn(b"200", s.recv(4096))
                begin = time.monotonic()
                self.assertEqual(server.stop(), 0)
                self.assertLess(time.monotonic() - begin, 5)


if __name__ == "__main__":
    main()
