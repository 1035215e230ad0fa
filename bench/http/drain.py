#!/usr/bin/env python3
"""Orderly ends, many times: usage: drain.py BUILD_DIR [--repeats N] [--streams N] [--seed S]

Starts `holdfast serve` before the scripted engine, opens streams, sends SIGTERM at a random time and checks what is promised:
/readyz answers 503 within 100 ms, new work is refused with 503 `draining`, every stream ends whole or, where the drain is over
first, with a well-formed error event and no [DONE], and the program exits 0. One reader in ten is slow. Each fifth time a second
SIGTERM must end it within a second. Prints the seed and one line of figures."""
import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from scripted import start

DRAIN_S = 2.0
# Of the last answer's end, or of the drain's, to the end of the program: a poll, the last bytes, the engines.
EXIT_S = 1.5
READY_MS = 100


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`holdfast serve` in a folder of its own, with the scripted engine as its only upstream."""

    def __init__(self, build, upstream):
        self.root = tempfile.mkdtemp(prefix="holdfast-drain-")
        self.port = free_port()
        with open(self.root + "/holdfast.toml", "w") as f:
            f.write(f'[server]\nlisten = "127.0.0.1:{self.port}"\nsocket = "{self.root}/s.sock"\ndrain = "{int(DRAIN_S * 1000)}ms"\n'
                    f'[limits]\nrequests_per_key = 1000\n'
                    f'[upstream.scripted]\nkind = "openai"\nurl = "http://127.0.0.1:{upstream}/v1"\nconcurrency = 256\n'
                    'models = {"tiny:latest" = "tiny"}\n')
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": self.root, "HOLDFAST_DATA_DIR": self.root + "/data",
                       "XDG_RUNTIME_DIR": self.root, "HOLDFAST_CONFIG": self.root + "/holdfast.toml"}
        self.log = open(self.root + "/log", "w+")
        self.process = subprocess.Popen([build + "/bin/holdfast", "serve"], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env=environment)

    def text(self):
        with open(self.root + "/log") as f:
            return f.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)


def request(method, path, body=None, close=True):
    data = json.dumps(body).encode() if body is not None else b""
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n{'Connection: close' if close else 'X: y'}\r\n\r\n").encode() + data


def chat(prompt, stream):
    return request("POST", "/v1/chat/completions",
                   {"model": "tiny", "stream": stream, "max_tokens": 100000, "messages": [{"role": "user", "content": prompt}]})


async def ask(port, data):
    """(status, body) on a connection of its own; (0, "") when nobody listens any more."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0, ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12] or 0), body.decode()


class Stream:
    """`count` numbers, a pause between two of them; slow: read a little at a time through a small window."""

    def __init__(self, port, count, pause_ms, slow):
        self.port, self.count, self.pause_ms, self.slow = port, count, pause_ms, slow
        self.raw, self.first, self.ended = b"", asyncio.Event(), 0.0

    async def run(self):
        s = socket.socket()
        s.setblocking(False)
        if self.slow:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(s, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=s, limit=4096 if self.slow else 65536)
        writer.write(chat(f"count {self.count} {self.pause_ms}", True))
        try:
            while more := await reader.read(4096):
                self.raw += more
                if b"data: " in self.raw:
                    self.first.set()
                if self.slow:
                    await asyncio.sleep(0.02)  # 200 KB/s
        except ConnectionError as e:
            self.raw += f"\n[{e}]".encode()
        self.first.set()
        self.ended = time.monotonic()
        writer.close()

    def dechunked(self):
        """The body, or None when its last chunk is missing."""
        head, _, rest = self.raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return None
        out = b""
        while found := re.match(rb"([0-9a-f]+)\r\n", rest):
            size, at = int(found[1], 16), found.end()
            if size == 0:
                return out if rest[at:] == b"\r\n" else None
            out, rest = out + rest[at:at + size], rest[at + size + 2:]
        return None

    def verdict(self):
        """"whole", "cut" for one that the server ended as it says it does, or what is wrong."""
        body = self.dechunked()
        if body is None:
            return "no end: " + repr(self.raw[-160:])
        events = [e[6:] for e in body.decode().split("\n\n") if e.startswith("data: ")]
        if not events:
            return "empty"
        text, last = "", events.pop()
        for event in events:
            choices = json.loads(event)["choices"]
            text += choices[0]["delta"].get("content") or "" if choices else ""
        want = "".join(f" {i}" for i in range(self.count))
        if last == "[DONE]":
            return "whole" if text == want else f"[DONE] after {len(text)} of {len(want)} bytes"
        error = json.loads(last).get("error", {})
        if error.get("code") != "draining" or not error.get("message"):
            return "last event: " + last[:200]
        return "cut" if want.startswith(text) else "wrong text"


class Repeat:
    def __init__(self, rng, build, upstream, streams, twice):
        self.rng, self.twice, self.bad = rng, twice, []
        self.server = Server(build, upstream)
        port = self.server.port
        self.streams = []
        for i in range(streams):
            slow = i % 10 == 0
            self.streams.append(Stream(port, rng.randrange(1500, 2500) if slow else rng.randrange(20, 120), 0 if slow else 20, slow))
        # One that outlives the drain, half of the time: the others show that the end waits for them.
        self.streams[1].count = 400 if rng.random() < 0.5 or twice else 60

    def check(self, good, what):
        if not good:
            self.bad.append(what)

    async def until_ready(self):
        deadline = time.monotonic() + 60
        while (await ask(self.server.port, request("GET", "/readyz")))[0] != 200:
            if time.monotonic() > deadline or self.server.process.poll() is not None:
                raise SystemExit("the server did not become ready: " + self.server.text())
            await asyncio.sleep(0.02)

    async def wait_exit(self):
        while self.server.process.poll() is None:
            await asyncio.sleep(0.005)
        return time.monotonic()

    async def run(self):
        await self.until_ready()
        running = [asyncio.create_task(s.run()) for s in self.streams]
        await asyncio.gather(*(s.first.wait() for s in self.streams))
        await asyncio.sleep(self.rng.random() * 1.5)
        began = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        exited = asyncio.create_task(self.wait_exit())
        self.ready_ms = await self.readiness(began)
        status, body = await ask(self.server.port, chat("say ok", False))
        refused = status == 503 and json.loads(body)["error"]["code"] == "draining"
        # Nobody listens any more once the last answer has ended.
        self.check(refused or (status == 0 and all(s.ended for s in self.streams if not s.slow)), f"new work: {status} {body}")
        if self.twice:
            await self.second_signal(exited)
        else:
            await self.orderly(began, exited, running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def readiness(self, began):
        while (status := (await ask(self.server.port, request("GET", "/readyz")))[0]) == 200:
            await asyncio.sleep(0.002)
        ms = (time.monotonic() - began) * 1000
        self.check(status in (0, 503), f"readyz {status}")
        self.check(ms <= READY_MS, f"readyz after {ms:.0f} ms")
        return ms

    async def second_signal(self, exited):
        self.check(not exited.done(), "ended before the second signal")
        await asyncio.sleep(self.rng.random() * 0.3)
        began = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        self.exit_s = await exited - began
        self.check(self.exit_s <= 1, f"second signal: {self.exit_s:.2f} s")
        self.verdicts = []

    async def orderly(self, began, exited, running):
        await asyncio.wait(running, timeout=60)
        ended = max(s.ended for s in self.streams)
        self.exit_s = await exited - ended
        code = self.server.process.returncode
        self.check(code == 0, f"exit {code}")
        self.check(self.exit_s <= EXIT_S, f"exit {self.exit_s:.2f} s after the last stream")
        self.verdicts = [s.verdict() for s in self.streams]
        for stream, verdict in zip(self.streams, self.verdicts):
            # At the end of the drain a slow reader's last bytes may not fit: what was cut there has no end.
            late = stream.slow and stream.ended - began > DRAIN_S
            self.check(verdict in ("whole", "cut") or late, f"stream of {stream.count}, slow {stream.slow}, "
                       f"ended {stream.ended - began:.2f} s after the signal: {verdict}")
            self.check(verdict != "cut" or stream.ended - began > DRAIN_S - 0.1, "cut before the end of the drain")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    engine, upstream = start(options.build)
    ready, exits, second, verdicts, failed = [], [], [], [], 0
    for n in range(options.repeats):
        one = Repeat(rng, options.build, upstream, options.streams, n % 5 == 4)
        try:
            asyncio.run(one.run())
            ready.append(one.ready_ms)
            (second if one.twice else exits).append(one.exit_s)
            verdicts += one.verdicts
        finally:
            one.server.close()
        failed += bool(one.bad)
        for what in one.bad[:5]:
            print(f"repeat {n}: {what}", flush=True)
    engine.stdin.close()
    engine.wait(timeout=30)
    whole, cut = verdicts.count("whole"), verdicts.count("cut")
    print(f"repeats {options.repeats} seed {options.seed} failed {failed} streams {len(verdicts)} whole {whole} cut {cut} "
          f"late {len(verdicts) - whole - cut} readyz_ms max {max(ready):.0f} exit_s max {max(exits):.2f} "
          f"second_signal_s max {max(second, default=0):.2f}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
