"""The mixed load: what clients do to a server, kindly or not, and whether each answer is one that it may give."""

import asyncio
import collections
import contextlib
import time

import payload
from connection import Connection

# A client that waits longer has been forgotten by the server.
PATIENCE_S = 90
# Codes of 503 and 504 that the load may cause. Streams that have begun get them as an event.
REFUSALS = {503: {"overloaded", "model_loading", "draining"}, 504: {"deadline_exceeded"}}
EVENTS = {"overloaded", "draining", "deadline_exceeded"}
# Share of each kind among what clients do.
KINDS = {"whole_answer": 30, "leave": 25, "bad": 20, "keep_alive": 6, "half_close": 6, "deadline": 6, "pipeline": 4,
         "stall": 3}
PROBES = ("/livez", "/readyz", "/health", "/metrics", "/v1/models", "/version")


class Load:
    """Owned by one event loop. `models` are asked; the caller changes the list as they come and go."""

    def __init__(self, port, keys, admin, rng, first):
        self.port, self.keys, self.admin, self.rng, self.first = port, keys, admin, rng, first
        self.models = [first]
        self.kinds, self.statuses = collections.Counter(), collections.Counter()
        self.wrong = collections.Counter()
        self.samples = []  # of wrong answers

    def say(self, kind, what):
        self.wrong[kind] += 1
        if len(self.samples) < 20:
            self.samples.append(f"{kind}: {what}")

    def judge(self, kind, answer, allowed=(200, 429), stream=False):
        """Counts an answer, and says so if it is wrong: its status, its code, or where it ends."""
        self.statuses[answer.status] += 1
        if answer.code in REFUSALS.get(answer.status, ()) and answer.complete:
            return
        if answer.status not in allowed:
            return self.say(kind, answer.summary())
        if answer.status != 200:
            return None if answer.complete else self.say(kind, answer.summary())
        if stream:
            right = answer.done or answer.code in EVENTS
        else:
            right = answer.complete
        return None if right else self.say(kind, answer.summary())

    def ask(self, **fields):
        """Bytes of a random generation, and whether it is a stream."""
        headers, close = fields.pop("headers", {}), fields.pop("close", True)
        path, body = payload.generation(self.rng, self.rng.choice(self.models), **fields)
        return payload.post(path, body, self.rng.choice(self.keys), headers, close), body["stream"]

    async def client(self, until):
        """Does one thing after the other, until then."""
        while time.monotonic() < until:
            kind = self.rng.choices(list(KINDS), KINDS.values())[0]
            await self.attempt(kind, getattr(self, kind)())
            await asyncio.sleep(self.rng.expovariate(4))

    async def attempt(self, kind, work):
        """What `work` returns; None, and a wrong answer counted, if the connection fails or nothing ends."""
        self.kinds[kind] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await work
        except TimeoutError:
            self.say(kind, f"no end after {PATIENCE_S} s")
        except OSError as error:
            self.say(kind, repr(error))

    async def whole_answer(self):
        data, stream = self.ask()
        async with Connection(self.port) as connection:
            await connection.send(data)
            self.judge("whole_answer", await connection.answer(), stream=stream)

    async def leave(self):
        """Goes away at a random phase: while the request is sent, in line, while the prompt is read, or between tokens."""
        rng = self.rng
        data, _ = self.ask(max_tokens=200, ignore_eos=True)
        head = data.index(b"\r\n\r\n") + 4
        phase = rng.choice(["connected", "head", "body", "sent", "waiting", "streaming"])
        part = {"connected": 0, "head": rng.randrange(head), "body": rng.randrange(head, len(data))}
        async with Connection(self.port) as connection:
            await connection.send(data[:part.get(phase, len(data))])
            if phase == "waiting":
                await asyncio.sleep(rng.uniform(0, 0.5))
            elif phase == "streaming":
                size = rng.randrange(1, 20000)
                await connection.answer(lambda answer: len(answer.body) > size)
            if rng.random() < 0.5:
                connection.reset()

    async def half_close(self):
        """Ends its sending side only. The answer must come all the same."""
        data, stream = self.ask()
        async with Connection(self.port) as connection:
            await connection.send(data)
            await asyncio.sleep(self.rng.uniform(0, 0.2))
            connection.half_close()
            self.judge("half_close", await connection.answer(), stream=stream)

    async def keep_alive(self):
        """Several requests on one connection, one of them bad in its content."""
        async with Connection(self.port) as connection:
            for turn in range(self.rng.randrange(2, 5)):
                bad = turn == 1
                data, stream = self.ask(close=False, **({"top_p": 5} if bad else {}))
                await connection.send(data)
                answer = await connection.answer()
                self.judge("keep_alive", answer, (400,) if bad else (200, 429), stream)
                if answer.last:
                    return

    async def pipeline(self):
        """Two requests at once; the answers come in their order."""
        first, stream = self.ask(close=False)
        second = payload.get("/v1/models", self.keys[0])
        async with Connection(self.port) as connection:
            await connection.send(first + second)
            answer = await connection.answer()
            self.judge("pipeline", answer, stream=stream)
            if not answer.last:
                self.judge("pipeline", await connection.answer(), (200,))

    async def deadline(self):
        """A deadline that may pass in line, while the prompt is read, or between tokens."""
        milliseconds = self.rng.randrange(10, 3000)
        data, stream = self.ask(max_tokens=200, headers={"x-holdfast-deadline-ms": str(milliseconds)})
        async with Connection(self.port) as connection:
            await connection.send(data)
            self.judge("deadline", await connection.answer(), stream=stream)

    async def stall(self):
        """Takes a little and then nothing, until the server ends it, or for a while; then goes on, or away."""
        # Log probabilities make the answer larger than what the kernel holds between the two.
        body = {"model": self.first, "prompt": "Once upon a time", "max_tokens": 400, "stream": True, "logprobs": 20,
                "ignore_eos": True}
        async with Connection(self.port, receive_bytes=2048) as connection:
            await connection.send(payload.post("/v1/completions", body, self.rng.choice(self.keys)))
            await connection.answer(lambda answer: len(answer.body) > 1000)
            await asyncio.sleep(self.rng.uniform(1, 8))
            if self.rng.random() < 0.5:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await connection.answer()

    async def bad(self):
        name, data, allowed = self.rng.choice(payload.bad_requests(self.rng.choice(self.keys), self.first))
        async with Connection(self.port) as connection:
            with contextlib.suppress(ConnectionError):  # the server may end it before it has read all
                await connection.send(data)
            self.judge(f"bad: {name}", await connection.answer(), allowed)

    async def probe(self, until):
        """Health and metrics, as supervisors and collectors read them."""
        while time.monotonic() < until:
            path = self.rng.choice(PROBES)
            await self.attempt("probe", self.simple("GET", path, self.keys[0]))
            await asyncio.sleep(self.rng.expovariate(1))

    async def manage(self, method, path, allowed=(200,)):
        """Asks as administrator."""
        await self.attempt("manage", self.simple(method, path, self.admin, allowed))

    async def simple(self, method, path, key, allowed=(200,)):
        async with Connection(self.port) as connection:
            await connection.send(payload.get(path, key, method))
            self.judge(f"{method} {path}", await connection.answer(), allowed)
