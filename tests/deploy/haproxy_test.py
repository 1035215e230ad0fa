"""usage: haproxy_test.py API_FAKE_SERVER [--seconds N]
deploy/haproxy/haproxy.cfg with real HAProxy before three nodes: under load a node drains, goes and comes back, another is
set to drain by the operator, and no request fails. Sessions stay with their node. Streams are passed on as they come."""
import argparse
import collections
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import common

CLIENTS = 8


def configuration(work, front, ports):
    """The shipped file; only addresses and paths are other ones."""
    with open(os.path.join(common.DEPLOY, "haproxy", "haproxy.cfg")) as f:
        text = f.read()
    changes = [("bind 127.0.0.1:8080", f"bind 127.0.0.1:{front}"),
               ("/run/haproxy/holdfast.sock", f"{work}/haproxy.sock")]
    changes += [(f"server n{i + 1} 127.0.0.1:{11435 + i}", f"server n{i + 1} 127.0.0.1:{port}")
                for i, port in enumerate(ports)]
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = os.path.join(work, "haproxy.cfg")
    with open(path, "w") as f:
        f.write(text)
    return path


def tell(work, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{work}/haproxy.sock")
        s.sendall(command.encode() + b"\n")
        s.shutdown(socket.SHUT_WR)
        out = b""
        while part := s.recv(65536):
            out += part
    return out.decode()


def states(work):
    lines = [line.split(",") for line in tell(work, "show stat").splitlines()]
    return {f[1]: f[17] for f in lines if f[0] == "holdfast" and f[1].startswith("n")}


class Load:
    """Clients that ask without a pause; every answer that is not whole is a failure."""

    def __init__(self, port):
        self.port = port
        self.failures = []
        self.by_node = collections.Counter()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def client(self, number):
        n = 0
        while not self.stop.is_set():
            n += 1
            headers = {"x-session-affinity": f"{number}-{n % 16}"}
            stream = n % 2 == 0
            # A few last longer than a look at the health of a node.
            words = "say " + "abc " * (40 if n % 5 == 0 else 3)
            try:
                status, got, body = common.chat(self.port, words, headers, pause=0.02 * (n % 3), stream=stream)
                good = status == 200 and ("data: [DONE]" in body if stream else
                                          json.loads(body)["choices"][0]["finish_reason"] == "stop")
                problem = None if good else f"{status} {body[-200:]}"
                node = got["x-served-by"]
            except (OSError, ValueError, http.client.HTTPException) as e:
                problem, node = repr(e), None
            with self.lock:
                self.by_node[node] += 1
                if problem:
                    self.failures.append(problem)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def served(self):
        with self.lock:
            return dict(self.by_node)


def check_affinity(port):
    def node(headers):
        status, got, _ = common.chat(port, "hi", headers)
        assert status == 200
        return got["x-served-by"]

    def loyal(all_headers):
        # A node that is still busy with the last request for a moment may pass one on: it is bounded to 1.5 times the mean.
        nodes = collections.Counter(node(h) for h in all_headers)
        return nodes.most_common(1)[0][1] >= 0.8 * len(all_headers)
    for headers in ({"x-session-affinity": "s1"}, {"authorization": "Bearer k1"}, {"x-api-key": "k2"}):
        assert loyal([headers] * 20), headers
    assert len({node({"authorization": f"Bearer key-{i}"}) for i in range(30)}) == 3
    # The session wins over the key.
    assert loyal([{"x-session-affinity": "s2", "authorization": f"Bearer key-{i}"} for i in range(20)])


def check_streaming(port):
    """The first event is there while the answer still runs (10 s): nothing is held back on the way."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=common.PATIENCE_S)
    body = {"model": "tiny:latest", "stream": True, "messages": [{"role": "user", "content": "slow"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    seen = b""
    while b'"content":"x ' not in seen:
        seen += answer.read1()
    assert b"[DONE]" not in seen
    connection.close()


def check_errors(port):
    """What all nodes answer is passed on as it is."""
    for content, status in (("full", 503), ("raise", 400)):
        got, _, body = common.chat(port, content)
        assert got == status and "error" in json.loads(body), (got, body)


def wait_for_load(load, node, more):
    before = load.served().get(node, 0)
    common.wait_until(lambda: load.served().get(node, 0) >= before + more, f"requests at {node}")


def changes_under_load(work, program, front, nodes, ports, pause):
    load = Load(front)
    try:
        for name in ("n1", "n2", "n3"):
            wait_for_load(load, name, 5)
        # SIGTERM to a node: it drains and ends, and comes back later.
        nodes[2].drain()
        assert nodes[2].process.wait(timeout=common.PATIENCE_S) == 0
        common.wait_until(lambda: states(work)["n3"] == "DOWN", "n3 to be seen down")
        time.sleep(pause)
        nodes[2] = common.Node(program, ports[2])
        wait_for_load(load, "n3", 5)
        # The operator takes a node out first, as for an upgrade.
        tell(work, "set server holdfast/n1 state drain")
        time.sleep(1)
        settled = load.served()["n1"]
        wait_for_load(load, "n2", 20)
        assert load.served()["n1"] - settled <= CLIENTS, "a drained node still gets sessions"
        nodes[0].drain()
        assert nodes[0].process.wait(timeout=common.PATIENCE_S) == 0
        nodes[0] = common.Node(program, ports[0])
        tell(work, "set server holdfast/n1 state ready")
        wait_for_load(load, "n1", 5)
        time.sleep(pause)
    finally:
        load.finish()
    served = load.served()
    assert not load.failures, f"{len(load.failures)} of {sum(served.values())} failed: {load.failures[:3]}"
    return served


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--seconds", type=float, default=2, help="load between the changes")
    options = arguments.parse_args()
    haproxy, = common.need("haproxy")
    work = tempfile.mkdtemp(prefix="holdfast-haproxy-")
    nodes = [common.Node(options.program) for _ in range(3)]
    ports = [n.port for n in nodes]
    front = common.free_port()
    path = configuration(work, front, ports)
    subprocess.run([haproxy, "-c", "-q", "-f", path], check=True)
    with open(os.path.join(work, "log"), "w") as log:
        balancer = subprocess.Popen([haproxy, "-db", "-f", path], stdout=log, stderr=log)
    try:
        common.wait_until(lambda: balancer.poll() is None and os.path.exists(f"{work}/haproxy.sock") and
                          set(states(work).values()) == {"UP"}, "three nodes to be up")
        check_affinity(front)
        check_streaming(front)
        check_errors(front)
        served = changes_under_load(work, options.program, front, nodes, ports, options.seconds)
        print(f"ok: {sum(served.values())} requests, none failed; by node {served}")
    finally:
        balancer.send_signal(signal.SIGTERM)
        balancer.wait()
        for node in nodes:
            node.stop()
        shutil.rmtree(work, ignore_errors=True)


main()
