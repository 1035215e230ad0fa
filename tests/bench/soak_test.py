#!/usr/bin/env python3
"""bench/soak: which answers it takes for wrong, what it finds to have grown, and what it sees of processes. bench/scaleout:
the balancer's file."""
import asyncio
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import unittest

from script import ROOT, load

sys.path.insert(0, str(ROOT / "bench" / "soak"))
run = load("bench/soak/run")
scaleout = load("bench/scaleout/run")

import connection  # noqa: E402
import procfs  # noqa: E402
from load import Load  # noqa: E402

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"choices":1}'
STREAM = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: {}\r\n10\r\n\n\ndata: [DONE]\n\n\r\n"
          b"0\r\n\r\n")


def exchange(*parts):
    """The answers on a connection whose other side sends these parts and closes."""
    async def read():
        listener = socket.create_server(("127.0.0.1", 0))
        answers = []
        async with connection.Connection(listener.getsockname()[1]) as mine:
            other, _ = listener.accept()
            with other, listener:
                reading = asyncio.create_task(mine.answer())
                for part in parts:
                    other.sendall(part)
                    await asyncio.sleep(0.001)
                other.shutdown(socket.SHUT_WR)
                answers.append(await reading)
                while mine.rest:
                    answers.append(await mine.answer())
        return answers
    return asyncio.run(read())


def judged(data, allowed=(200, 429), stream=False):
    """Wrong answers counted for these bytes."""
    answer, = exchange(data)
    mix = Load(0, [], "", random.Random(1), "m")
    mix.judge("kind", answer, allowed, stream)
    return sum(mix.wrong.values())


def refusal(status, code):
    body = b'{"error":{"code":"%s"}}' % code
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Answers(unittest.TestCase):
    def test_cut_anywhere_into_two(self):
        for data in (WHOLE, STREAM, b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM):
            for at in range(1, len(data)):
                answer, = exchange(data[:at], data[at:])
                self.assertTrue(answer.complete and answer.status == 200, at)
                self.assertEqual(answer.done, data != WHOLE)

    def test_ends_too_early(self):
        for data in (WHOLE, STREAM):
            for at in range(0, len(data), 7):
                answer, = exchange(data[:at])
                self.assertFalse(answer.complete, at)
                self.assertEqual(judged(data[:at], stream=data == STREAM), 1)

    def test_two_on_one_connection(self):
        first, second = exchange(STREAM + WHOLE)
        self.assertTrue(first.done and second.complete)
        self.assertEqual(second.body, b'{"choices":1}')

    def test_judged(self):
        self.assertEqual(judged(WHOLE), 0)
        self.assertEqual(judged(WHOLE, stream=True), 1)
        self.assertEqual(judged(STREAM, stream=True), 0)
        error = b'HTTP/1.1 200 OK\r\n\r\ndata: {"error":{"code":"%s"}}\n\n'
        self.assertEqual(judged(error % b"draining", stream=True), 0)
        self.assertEqual(judged(error % b"engine_crashed", stream=True), 1)
        for status, code, wrong in ((503, b"overloaded", 0), (503, b"no_route", 1), (504, b"deadline_exceeded", 0),
                                    (500, b"internal_error", 1), (502, b"overloaded", 1), (429, b"x", 0), (400, b"x", 1)):
            self.assertEqual(judged(refusal(status, code)), wrong, status)
        self.assertEqual(judged(refusal(400, b"invalid_json"), (400,)), 0)
        self.assertEqual(judged(WHOLE, (400,)), 1)


class Growth(unittest.TestCase):
    BEFORE = dict(server_bytes=10_000, engine_bytes=90_000, server_descriptors=10, engine_descriptors=5, server_threads=7,
                  engine_threads=4, processes=2)

    def grown(self, **changed):
        return list(run.growths(procfs.Held(**self.BEFORE), procfs.Held(**self.BEFORE | changed)))

    def test_at_limit_and_beyond(self):
        self.assertEqual(self.grown(), [])
        self.assertEqual(self.grown(engine_bytes=93_000), [])
        self.assertEqual(len(self.grown(engine_bytes=93_001)), 1)
        self.assertEqual(self.grown(engine_bytes=87_000), [])
        self.assertEqual(len(self.grown(engine_bytes=86_999)), 1)
        self.assertEqual(self.grown(server_bytes=11_000), [])
        self.assertEqual(len(self.grown(server_bytes=11_001)), 1)
        for field in list(self.BEFORE)[2:]:
            self.assertEqual(len(self.grown(**{field: self.BEFORE[field] + 1})), 1, field)
            self.assertEqual(self.grown(**{field: self.BEFORE[field] - 1}), [], field)

    def test_child_processes_count(self):
        alone = procfs.look(os.getpid())
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        both = procfs.look(os.getpid())
        child.communicate()
        self.assertEqual((alone.processes, both.processes), (1, 2))
        self.assertEqual(both.engine_threads, 1)
        self.assertGreater(both.engine_bytes, 0)
        self.assertEqual(both.engine_descriptors, 3)


class Balancer(unittest.TestCase):
    def test_as_many_nodes_as_asked_for(self):
        with tempfile.TemporaryDirectory() as folder:
            for ports in ([1001], [1001, 1002]):
                text = scaleout.balancer_file(pathlib.Path(folder), 999, ports).read_text()
                self.assertEqual(text.count("\n    server n"), len(ports))
                self.assertIn(f"server n{len(ports)} 127.0.0.1:{ports[-1]}\n", text)
                self.assertIn("bind 127.0.0.1:999\n", text)
                self.assertIn("balance hdr", text)
            with self.assertRaises(AssertionError):
                scaleout.balancer_file(pathlib.Path(folder), 999, [1, 2, 3, 4])


unittest.main()
