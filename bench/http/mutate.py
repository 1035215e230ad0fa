#!/usr/bin/env python3
"""Mutated HTTP requests over TCP: usage: mutate.py BUILD_DIR [--requests N] [--seed S] [--connections N]

Sends requests of a corpus with bytes flipped, cut, doubled and spliced to the server with the scripted engine, and checks that
no answer is a 5xx, that the process stays, and that its descriptors and memory do not grow. Prints the seed and one line of figures."""
import argparse
import collections
import os
import random
import select
import socket
import sys
import time

from scripted import resident_mib, start

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."


def bodies():
    chat = b'{"model":"tiny:latest","messages":[{"role":"user","content":"say ok"}]%s}'
    return [chat % b"", chat % b',"stream":true', chat % b',"n":2,"logprobs":true,"top_logprobs":3',
            chat % b',"temperature":0.5,"stop":["a","b"],"seed":7,"logit_bias":{"5":-100}',
            b'{"model":"t","prompt":["a","b"],"max_tokens":3}', b'{"content":"text"}', b'{"tokens":[101,102]}']


def seeds():
    out = []
    for body in bodies():
        for path in (b"/v1/chat/completions", b"/v1/completions", b"/tokenize", b"/detokenize", b"/apply-template"):
            head = b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            out.append(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            out.append(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
    for path in (b"/v1/models", b"/v1/models/org%2Fname%3Aq4", b"/metrics", b"/readyz?verbose", b"/health", b"/version",
                 b"/holdfast/v1/engines", b"//v1//models/?a=b&c=%20"):
        out.append(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nX-Request-Id: abc\r\n\r\n")
    corpus = ROOT + "/tests/fuzz/corpus/http"
    for name in sorted(os.listdir(corpus)):
        with open(f"{corpus}/{name}", "rb") as f:
            out.append(f.read())
    return out


WORDS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
         b"Connection: close\r\n", b"Connection: upgrade\r\n", b"HTTP/1.0", b"HTTP/2.0", b"0\r\n\r\n", b"ffffffffffffffff", b"-1", b"\xff\xfe",
         b"1e400", b"{", b"[" * 40, b'"', b"\\ud800", b"%00", b"%2e%2e/", b"99999999999999999999", b"null", b"A" * 9000]


def mutate(rng, corpus):
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randrange(1, 16)]
        elif kind == 2:
            data[at:at] = rng.choice(WORDS)
        elif kind == 3:
            data[at:at] = data[at:at + rng.randrange(1, 64)]
        elif kind == 4:
            other = rng.choice(corpus)
            data[at:] = other[rng.randrange(len(other)):]
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


ANSWER_S = 60  # a connection that is open for longer hangs


class Run:
    """Plain sockets: with asyncio most of the time would be spent on this side."""

    def __init__(self, port, options):
        self.port, self.left, self.rng = port, options.requests, random.Random(options.seed)
        self.corpus, self.statuses, self.bad = seeds(), collections.Counter(), []
        self.poll, self.open = select.epoll(), {}

    def begin(self):
        data = mutate(self.rng, self.corpus)
        s = socket.socket()
        # Many source addresses: the ports of one are used up by connections that have just ended.
        s.bind((f"127.0.0.{2 + self.left % 200}", 0))
        s.connect(("127.0.0.1", self.port))
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # answered and closed already
        s.setblocking(False)
        self.poll.register(s, select.EPOLLIN)
        self.open[s.fileno()] = (s, data, [], time.monotonic())

    def read(self, fd):
        s, data, pieces, _ = self.open[fd]
        try:
            if more := s.recv(65536):
                pieces.append(more)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.end(fd, data, b"".join(pieces))

    def end(self, fd, data, answer):
        self.poll.unregister(fd)
        self.open.pop(fd)[0].close()
        # The first answer of each connection; what was pipelined behind it is looked at for its status only.
        found = [line[9:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        self.statuses.update(found or [b"none"])
        # 505 says that the client asked for another version of HTTP, and is in the list of answers.
        if any(s[:1] == b"5" and s != b"505" for s in found):
            self.bad.append(data)

    def end_hanging(self):
        for fd, (_, data, _, began) in list(self.open.items()):
            if time.monotonic() - began > ANSWER_S:
                self.end(fd, data, b"HTTP/1.1 599 hangs")  # counts as a 5xx

    def all(self, connections):
        while self.left > 0 or self.open:
            while self.left > 0 and len(self.open) < connections:
                self.left -= 1
                self.begin()
            events = self.poll.poll(1)
            for fd, _ in events:
                self.read(fd)
            if not events:
                self.end_hanging()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    server, port = start(options.build)
    run = Run(port, options)
    wanted, run.left = run.left, min(2000, run.left)  # warm
    rest = wanted - run.left
    run.all(options.connections)
    before = descriptors(server.pid), resident_mib(server.pid)
    run.left = rest
    run.all(options.connections)
    after = descriptors(server.pid), resident_mib(server.pid)
    alive = server.poll() is None
    server.stdin.close()
    code = server.wait(timeout=30)
    statuses = " ".join(f"{k.decode()}:{v}" for k, v in sorted(run.statuses.items()))
    print(f"requests {wanted} seed {options.seed} statuses {statuses} descriptors {before[0]}->{after[0]} "
          f"resident_MiB {before[1]:.1f}->{after[1]:.1f} exit {code}")
    for data in run.bad[:5]:
        print("5xx for", data)
    good = alive and code == 0 and not run.bad and after[0] <= before[0]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
