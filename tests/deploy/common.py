"""What the tests of deploy/ share: nodes with the scripted backend, ports, requests, skipping."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DEPLOY = os.path.join(ROOT, "deploy")
SKIPPED = 77
# Whatever hangs longer than this has failed.
PATIENCE_S = 60


def need(*programs):
    """Paths of the programs; ends the test as skipped where one is missing."""
    found = [shutil.which(p, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for p in programs]
    for program, path in zip(programs, found):
        if path is None:
            print(f"skipped: {program} is not installed (tools/install_packages test)")
            sys.exit(SKIPPED)
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain: " + what)


class Node:
    """A server with the scripted backend on a port of its own."""

    def __init__(self, program, port=0, **environment):
        self.process = subprocess.Popen([program, f"127.0.0.1:{port}"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ) | environment)
        url = self.process.stdout.readline().strip()
        assert url.startswith("http://"), url
        self.port = int(url.rpartition(":")[2])

    def drain(self):
        """As after SIGTERM: it ends once its answers have."""
        self.process.stdin.write("d")
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE_S)


def request(port, method, path, body=None, headers=None, pause=0):
    """(status, headers, body) of one request on a connection of its own; the body comes `pause` seconds after the head."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        data = None if body is None else json.dumps(body)
        connection.putrequest(method, path)
        length = {} if data is None else {"content-length": str(len(data))}
        for name, value in ({"content-type": "application/json"} | length | (headers or {})).items():
            connection.putheader(name, value)
        connection.endheaders()
        if data is not None:
            time.sleep(pause)
            connection.send(data.encode())
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def chat(port, content, headers=None, pause=0, **more):
    body = {"model": "tiny:latest", "messages": [{"role": "user", "content": content}]} | more
    return request(port, "POST", "/v1/chat/completions", body, headers, pause)


def traffic(port):
    """Requests of every kind, so that every metric has something to say."""
    for content, more in [("hi", {}), ("hi", {"stream": True}), ("hi", {"max_tokens": 2}),
                          ("fail early", {}), ("full", {}), ("hi", {"n": 99})]:
        chat(port, content, **more)
    request(port, "GET", "/nothing")
    request(port, "GET", "/v1/models")
