"""One HTTP/1.1 connection whose bytes, pauses and end the caller decides."""

import asyncio
import re
import socket
import struct
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_CODE = re.compile(rb'"code": *"(\w+)"')
# Longer answers than any that is asked for.
BODY_MAX = 64 << 20


@dataclass
class Answer:
    """What came back until the answer was whole, or until the connection ended."""

    status: int = 0
    head: bytes = b""
    body: bytes = b""
    complete: bool = False  # by its length or its last chunk

    @property
    def code(self):
        found = _CODE.findall(self.body[-4096:])
        return found[-1].decode() if found else ""

    @property
    def done(self):
        """The stream says so, or the answer was none."""
        return self.complete and b"data: [DONE]" in self.body[-64:]

    @property
    def last(self):
        """No other comes on its connection: its head says so, or it is a stream that an error ended."""
        ended_by_error = self.status == 200 and bool(self.code)
        return not self.complete or ended_by_error or b"\r\nconnection: close" in self.head.lower()

    def summary(self):
        return f"{self.status} {self.code} {'whole' if self.complete else 'cut'} {self.body[-160:]!r}"


class Connection:
    """Owned by one task. `receive_bytes` bounds what the kernel takes before the server has to wait."""

    def __init__(self, port, receive_bytes=0):
        self.port, self.rest = port, b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)

    async def __aenter__(self):
        await asyncio.get_running_loop().sock_connect(self.socket, ("127.0.0.1", self.port))
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    async def send(self, data):
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closing then sends RST, as a process that is killed with unread bytes does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def more(self):
        """Further bytes; b"" at the end, however it came."""
        try:
            return await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        except ConnectionError:
            return b""

    async def answer(self, enough=None):
        """The next answer. `enough(answer)` is asked after each part whether to stop reading; a further call goes on."""
        answer, data = Answer(), self.rest
        self.rest = b""
        while True:
            if self._parse(answer, data):
                return answer
            if enough and enough(answer):
                self.rest = data
                return answer
            part = await self.more()
            if not part or len(data) > BODY_MAX:
                return answer
            data += part

    def _parse(self, answer, data):
        """Fills in the answer from all bytes so far; true once it is complete."""
        head, separator, body = data.partition(b"\r\n\r\n")
        while separator and re.match(rb"HTTP/1.1 1\d\d", head):
            head, separator, body = body.partition(b"\r\n\r\n")
        if not separator:
            return False
        answer.status, answer.head, answer.body = int(head.split(b" ", 2)[1]), head, body
        if length := _LENGTH.search(head):
            end = int(length.group(1))
            answer.complete = len(body) >= end
        else:
            # Neither JSON nor the frames of a stream hold these bytes.
            at = 0 if body.startswith(b"0\r\n\r\n") else body.find(b"\r\n0\r\n\r\n") + 2
            end = at + 5
            answer.complete = at != 1
        if answer.complete:
            answer.body, self.rest = body[:end].removesuffix(b"\r\n0\r\n\r\n"), body[end:]
        return answer.complete
