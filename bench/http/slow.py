#!/usr/bin/env python3
"""Slow peers: usage: slow.py BUILD_DIR headers|readers [--connections N] [--seconds N]

headers: connections to the server with the scripted engine (at most 4096 descriptors) that send a byte a second, of headers or of a
body, and some that send a body just fast enough. A good client must not notice, and each must be closed at its deadline: headers
after 10 s, a body below 1 KiB/s after 5 s, every body after 30 s. Closed ones come again.
readers: streams whose readers stop, with a receive buffer of 2 KiB. Other streams must keep their pace, the server's memory its
bounds, and each stopped reader must be cut 30 s after it took its last byte.
Prints one line of figures for the time without and with them; exit status 1 when a deadline or bound does not hold. How a good
client fares is printed only: on a busy machine its times say more about the machine."""
import argparse
import asyncio
import collections
import json
import os
import random
import resource
import select
import socket
import statistics
import sys
import time

from scripted import resident_mib, start

DESCRIPTORS = 4096
# How late an event loop on a busy machine may be, besides the deadline itself.
LATE_S = 2.0


def limited_start(build):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, before[1]))
    started = start(build)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    resource.prlimit(started[0].pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    return started


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


def post(body, extra=b""):
    data = json.dumps(body).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + extra +
            b"Content-Length: %d\r\n\r\n" % len(data) + data)


def chat(prompt, stream):
    return post({"model": "tiny:latest", "stream": stream, "max_tokens": 1000000, "messages": [{"role": "user", "content": prompt}]})


class GoodClient:
    """A request each 10 ms at fixed times (late ones count from when they were due), over connections that are kept."""

    def __init__(self, port):
        self.port, self.free, self.times = port, [], []

    async def one(self, due):
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(chat("say ok", False))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.times.append(time.monotonic() - due)
        self.free.append((reader, writer))

    async def run(self, seconds):
        """Median and 99th percentile in ms; of the latter the median of five windows."""
        windows, medians = [], []
        for _ in range(5):
            self.times = []
            began = time.monotonic()
            tasks = []
            for i in range(int(seconds / 5 * 100)):
                due = began + i * 0.01
                await asyncio.sleep(max(0, due - time.monotonic()))
                tasks.append(asyncio.create_task(self.one(due)))
            await asyncio.gather(*tasks)
            windows.append(quantile(self.times, 0.99) * 1000)
            medians.append(statistics.median(self.times) * 1000)
        return statistics.median(medians), statistics.median(windows)


HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\n\r\n{")
# Deadline and the bytes that are sent each second after the first ones.
KINDS = {"header": (10, HEAD, b"a"), "body": (5, BODY, b" "), "fast_body": (30, BODY, b" " * 1500)}


class SlowSenders:
    def __init__(self, port, rng):
        self.port, self.rng, self.lasted, self.stop = port, rng, collections.defaultdict(list), False
        self.open, self.most = 0, 0

    async def one(self, kind, delay):
        await asyncio.sleep(delay)
        _, first, more = KINDS[kind]
        while not self.stop:
            began = time.monotonic()  # before the server's clock starts
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            self.open += 1
            self.most = max(self.most, self.open)
            writer.write(first)
            closed = asyncio.create_task(reader.read())
            while not closed.done() and not self.stop:
                await asyncio.wait({closed}, timeout=1)
                if not closed.done():
                    writer.write(more)
            if closed.done():
                self.lasted[kind].append(time.monotonic() - began)
                try:
                    self.lasted[kind + " answer"].append(closed.result()[9:12])
                except ConnectionError:
                    pass
            closed.cancel()
            self.open -= 1
            writer.close()

    def run(self, connections):
        tasks = []
        for i in range(connections):
            kind = "fast_body" if i % 20 == 0 else "body" if i % 2 else "header"
            tasks.append(asyncio.create_task(self.one(kind, self.rng.random() * 10)))
        return tasks


async def headers(server, port, options):
    good = GoodClient(port)
    await good.run(2)  # warm
    quiet = await good.run(options.seconds)
    slow = SlowSenders(port, random.Random(1))
    tasks = slow.run(options.connections)
    await asyncio.sleep(12)
    fd_most, rss, used = descriptors(server.pid), resident_mib(server.pid), processor_seconds(server.pid)
    began = time.monotonic()
    busy = await good.run(options.seconds)
    used, took = processor_seconds(server.pid) - used, time.monotonic() - began
    fd_most = max(fd_most, descriptors(server.pid))
    await asyncio.sleep(max(0, 50 - took))
    slow.stop = True
    await asyncio.gather(*tasks)
    bad = []
    print(f"connections {slow.most} good_p50_ms {quiet[0]:.2f} -> {busy[0]:.2f} good_p99_ms {quiet[1]:.2f} -> {busy[1]:.2f} "
          f"descriptors {fd_most} resident_MiB {rss:.1f} processor {used / took:.0%}")
    for kind, (deadline, _, _) in KINDS.items():
        lasted = slow.lasted[kind]
        answers = collections.Counter(a.decode() for a in slow.lasted[kind + " answer"])
        print(f"{kind}: closed {len(lasted)} after_s {min(lasted, default=0):.1f}..{max(lasted, default=0):.1f} "
              f"deadline {deadline} answers {dict(answers)}")
        if not lasted or min(lasted) < deadline - 0.1 or max(lasted) > deadline + LATE_S or set(answers) != {"408"}:
            bad.append(kind)
    if fd_most > DESCRIPTORS or slow.most < options.connections * 0.9:
        bad.append("connections")
    return bad


async def paced_stream(port, gaps):
    """The gaps between the tokens of one stream that is read as it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(chat("count 600 20", True))
    last = None
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            now = time.monotonic()
            if last:
                gaps.append(now - last)
            last = now
        elif line.startswith(b"data: [DONE]"):
            break
    writer.close()


async def pace(port, streams=20):
    gaps = []
    await asyncio.gather(*(paced_stream(port, gaps) for _ in range(streams)))
    return quantile(gaps, 0.5) * 1000, quantile(gaps, 0.99) * 1000


def stopped_reader(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.connect(("127.0.0.1", port))
    s.sendall(chat("count 6000 5", True))
    s.setblocking(False)
    return s


async def watch_until_cut(readers, began, lasted):
    """Notes when each connection is reset; nothing is read meanwhile."""
    left = {s.fileno(): s for s in readers}
    poll = select.poll()
    for fd in left:
        poll.register(fd, 0)  # hang-ups and errors only
    while left and time.monotonic() - began < 90:
        for fd, _ in poll.poll(0):
            poll.unregister(fd)
            del left[fd]
            lasted.append(time.monotonic() - began)
        await asyncio.sleep(0.05)


async def readers(server, port, options):
    await pace(port, 5)  # warm
    quiet, rss = await pace(port), resident_mib(server.pid)
    began = time.monotonic()
    stopped = [stopped_reader(port) for _ in range(options.connections)]
    lasted = []
    watching = asyncio.create_task(watch_until_cut(stopped, began, lasted))
    busy = await pace(port)
    most = resident_mib(server.pid)
    while not watching.done():
        most = max(most, resident_mib(server.pid))
        await asyncio.sleep(0.5)
    await watching
    for s in stopped:
        s.close()
    per_stream = (most - rss) * 1024 / options.connections
    print(f"readers {len(stopped)} gap_p50_ms {quiet[0]:.2f} -> {busy[0]:.2f} gap_p99_ms {quiet[1]:.2f} -> {busy[1]:.2f} "
          f"cut {len(lasted)} after_s {min(lasted, default=0):.1f}..{max(lasted, default=0):.1f} "
          f"resident_MiB {rss:.1f} -> {most:.1f} KiB_per_stream {per_stream:.0f}")
    bad = []
    if len(lasted) != len(stopped) or min(lasted) < 29 or max(lasted) > 40:
        bad.append("cut")
    if per_stream > 2 * 256:  # the cap, and as much again for the streams' own state
        bad.append("memory")
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("what", choices=("headers", "readers"))
    parser.add_argument("--connections", type=int)
    parser.add_argument("--seconds", type=int, default=20, help="of the good client's requests, each time")
    options = parser.parse_args()
    if options.connections is None:
        options.connections = 2000 if options.what == "headers" else 200
    server, port = limited_start(options.build)
    # The client's own side has as many.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    bad = asyncio.run({"headers": headers, "readers": readers}[options.what](server, port, options))
    server.stdin.close()
    code = server.wait(timeout=60)
    if code != 0:
        bad.append(f"exit {code}")
    for what in bad:
        print("does not hold:", what)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
