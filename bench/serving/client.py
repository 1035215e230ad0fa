"""A light streaming client: one connection a request, the time of every token.

Nothing of an event is parsed but what is counted, so that hundreds of streams cost the machine under test little."""

import asyncio
import json
import random
import re
import time
from dataclasses import dataclass, field

_TOKEN = re.compile(rb'"(?:text|content)":"(?!")')
_CACHED = re.compile(rb'"cached_tokens":(\d+)')

# With the space before it, each is one token in nearly every vocabulary.
WORDS = (
    "time people water world house night country school state family group place point week story side hand part "
    "life work room word money music power order table heart light paper voice wall street field road city river "
    "line name number door morning question interest change history language reason problem"
).split()


def words(count, seed):
    """A text of about `count` tokens, the same for the same seed."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))


@dataclass
class Outcome:
    """What became of one request; times in seconds of time.monotonic()."""

    start: float  # when it was due, which may be before it was sent
    sent: float = 0.0
    processing_ms: float = 0.0  # until the server had decided what to answer, by its own clock
    status: int = 0
    code: str = ""  # of the error, if there is one
    retry_after: str = ""
    token_times: list = field(default_factory=list)
    end: float = 0.0
    cached_tokens: int = 0
    done: bool = False  # the stream ended as it should

    @property
    def ok(self):
        return self.status == 200 and self.done

    @property
    def ttft(self):
        return self.token_times[0] - self.start if self.token_times else None

    def gaps(self, begin=0.0, end=float("inf")):
        pairs = zip(self.token_times, self.token_times[1:])
        return [b - a for a, b in pairs if b >= begin and a <= end]


class Client:
    """Speaks to one server, as one tenant."""

    def __init__(self, port, model, key=None):
        self.port, self.model, self.key = port, model, key

    def request_bytes(self, prompt, max_tokens, extra):
        body = json.dumps(
            {
                "model": self.model,
                "prompt": prompt,
                "max_tokens": max_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            | extra.get("fields", {})
        ).encode()
        headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)),
                   "Connection": "close"} | extra.get("headers", {})
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        head = "POST /v1/completions HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        return head.encode() + b"\r\n" + body

    async def ask(self, prompt, max_tokens, *, leave_at=None, started=None, scheduled=None, **extra):
        """One request to its end, or until the event `leave_at` is set: then the client closes the connection. The event
        `started` is set with the first token."""
        outcome = Outcome(scheduled if scheduled is not None else time.monotonic())
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            outcome.end = time.monotonic()
            return outcome
        try:
            outcome.sent = time.monotonic()
            writer.write(self.request_bytes(prompt, max_tokens, extra))
            await self._read(reader, outcome, leave_at, started)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            outcome.end = time.monotonic()
        return outcome

    async def _read(self, reader, outcome, leave_at, started):
        head = await reader.readuntil(b"\r\n\r\n")
        outcome.status = int(head.split(b" ", 2)[1])
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"retry-after:"):
                outcome.retry_after = line.split(b":", 1)[1].strip().decode()
            if line.lower().startswith(b"openai-processing-ms:"):
                outcome.processing_ms = float(line.split(b":", 1)[1])
        while chunk := await reader.read(65536):
            count = len(_TOKEN.findall(chunk))
            outcome.token_times.extend([time.monotonic()] * count)
            if count and started is not None:
                started.set()
            if found := _CACHED.search(chunk):
                outcome.cached_tokens = int(found.group(1))
            if b'"error"' in chunk and (found := re.search(rb'"code":"(\w+)"', chunk)):
                outcome.code = found.group(1).decode()
            outcome.done = outcome.done or b"data: [DONE]" in chunk
            if leave_at is not None and leave_at.is_set():
                return


def quantile(values, q):
    values = sorted(values)
    return values[round(q * (len(values) - 1))] if values else float("nan")


def auc(a, b):
    """Probability that one of `a` is larger than one of `b`; 0.5: they cannot be told apart."""
    wins = sum((x > y) + 0.5 * (x == y) for x in a for y in b)
    return wins / (len(a) * len(b))
