"""What the end-to-end tests share: a private data directory, commands, and a server."""
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

BIN = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "build/ci/bin"
HOLDFAST = os.path.join(BIN, "holdfast")
SMOLLM2 = os.environ.get("HOLDFAST_SMOLLM2", "")
GEMMA3 = os.environ.get("HOLDFAST_GEMMA3", "")
TIMEOUT = 120


def environment_of(root):
    """Of programs whose home is that folder: nothing of the machine's own, but what sanitizers are told."""
    own = {"PATH": os.environ.get("PATH", ""), "HOME": root, "LANG": "C.UTF-8", "HOLDFAST_DATA_DIR": root + "/data"}
    return own | {name: value for name, value in os.environ.items() if name.startswith(("ASAN_", "UBSAN_", "TSAN_"))}


class Bare(unittest.TestCase):
    """One data directory for all tests of a class, without models."""

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="holdfast-e2e-")
        cls.environment = environment_of(cls.root)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root, ignore_errors=True)

    @classmethod
    def run_(cls, arguments, stdin=None, env=None, **options):
        options.setdefault("timeout", TIMEOUT)
        if stdin is None:
            options.setdefault("stdin", subprocess.DEVNULL)
        else:
            options["input"] = stdin
        return subprocess.run([HOLDFAST, *arguments], capture_output=True, text=True,
                              env=cls.environment | (env or {}), **options)

    def file(self, name, text):
        """A file of one line that its owner alone may read, for passphrases and PINs."""
        path = os.path.join(self.root, name)
        with open(path, "w") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return path

    def ok(self, arguments, **options):
        done = self.run_(arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def fails(self, status, arguments, message, **options):
        """The command fails with that status and an error that a person can act on."""
        done = self.run_(arguments, **options)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout} {done.stderr}")
        self.assertRegex(done.stderr, r"(?m)^error: ")
        self.assertRegex(done.stderr, message)
        return done


class Case(Bare):
    """The same, with SmolLM2 in it as `smol`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = cls.run_(["import", SMOLLM2, "--name", "smol"])
        assert done.returncode == 0, done.stderr


def pids_where(wanted):
    """Pids of the living processes of whose fields in /proc/PID/stat, from the state on, `wanted` is true."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    fields = f.read().rpartition(")")[2].split()
                if fields[0] != "Z" and wanted(fields):
                    found.append(int(entry))
            except OSError:
                pass
    return found


def children_of(pid, program):
    """Pids of the direct children that run that program."""
    def runs_it(child):
        try:
            with open(f"/proc/{child}/cmdline") as f:
                return os.path.basename(f.read().split("\0")[0]) == program
        except OSError:
            return False  # it has just ended
    return [child for child in pids_where(lambda fields: int(fields[1]) == pid) if runs_it(child)]


def engines_of(pid):
    return children_of(pid, "holdfast-engine")


def processor_seconds(pid):
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`holdfast serve` on a port of its own."""

    def __init__(self, case, *arguments):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(case.root, f"server-{self.port}.log"), "w+")
        self.process = subprocess.Popen(
            [HOLDFAST, "serve", "--listen", f"127.0.0.1:{self.port}", *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=case.environment)

    def __enter__(self):
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.text()}")
            try:
                if self.get("/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("the server did not become healthy")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

    def text(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()

    def get(self, path):
        return self.request(path)

    def post(self, path, body):
        return self.request(path, body)

    def request(self, path, body=None, key=None):
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else body.encode()
        try:
            with urllib.request.urlopen(
                    urllib.request.Request(self.url + path, data, headers), timeout=TIMEOUT) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        return self.process.wait(timeout=TIMEOUT)


class Upstream:
    """An HTTP server that answers 500 to everything, and keeps what was shown to it."""

    def __init__(self):
        self.authorizations = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                outer.authorizations.append(self.headers.get("authorization"))
                self.send_response(500)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def main():
    if not SMOLLM2 or not os.path.isfile(SMOLLM2):
        print("skipped: HOLDFAST_SMOLLM2 does not name the model file")
        sys.exit(77)
    if not os.path.exists(HOLDFAST):
        sys.exit(f"{HOLDFAST} is not built")
    unittest.main(verbosity=2)


__all__ = ["Bare", "Case", "GEMMA3", "HOLDFAST", "SMOLLM2", "Server", "TIMEOUT", "engines_of", "main",
           "os", "processor_seconds", "re", "shutil", "signal", "subprocess", "tempfile", "time", "unittest"]
