"""`holdfast serve` for a measurement: a free port, folders and keys of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """Everything of it is in `folder`; models and keys are in `data`, which nodes may share. Commands run before `start`
    prepare it. `prefix` stands before the program, such as taskset."""

    def __init__(self, binary, folder, *, data=None, prefix=()):
        self.bin, self.folder, self.prefix = binary, folder, prefix
        own = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self.environment = own | {"XDG_DATA_HOME": str(data or folder), "XDG_CONFIG_HOME": str(folder),
                                  "XDG_RUNTIME_DIR": str(folder)}
        self.port, self.process, self.keys = free_port(), None, {}

    def command(self, *arguments):
        """Standard output of a holdfast command, which must succeed."""
        done = subprocess.run([self.bin, *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"holdfast {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def create_key(self, tenant, role="inference"):
        answer = self.command("key", "create", "--role", role, "--tenant", tenant, "--json")
        self.keys[tenant] = json.loads(answer)["key"]

    def start(self, *arguments):
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.bin, "serve", "--listen", f"127.0.0.1:{self.port}", *arguments],
                env=self.environment, stderr=log, stdout=log)
        for _ in range(1200):
            with contextlib.suppress(OSError):
                self.get("/health")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit("the server does not become ready:\n" + self.log_tail())

    def log_tail(self):
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]

    def get(self, path, tenant=None):
        key = self.keys.get(tenant) or next(iter(self.keys.values()), None)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def post(self, path, tenant):
        """Status of a request without a body."""
        headers = {"Authorization": f"Bearer {self.keys[tenant]}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", b"", headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def models(self):
        return [m["id"] for m in json.loads(self.get("/v1/models"))["data"]]

    def first_model(self):
        return self.models()[0]

    def metric(self, name):
        total = 0.0
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def stop(self):
        """The exit status; None if it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(40)
        self.process.kill()
        self.process.wait()
        return None
