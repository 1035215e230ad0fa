"""What a kill -9 at any point and a full disk leave of a data directory. usage: crash_test.py BIN [POINTS]
Killed processes: the command alone (its children see it go), or all of them at once. Invariants afterwards, asked by
commands that know nothing of it: the keyring opens by itself, what was acknowledged is there, every model that is listed is
whole and computes what it computed before, and nothing half-done is listed."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

here = os.path.dirname(os.path.abspath(__file__))
POINTS = int(sys.argv.pop(2)) if len(sys.argv) > 2 else 40
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import harness  # noqa: E402
from harness import HOLDFAST  # noqa: E402

TINY = os.path.join(here, "..", "golden", "tiny")
SEED = 20261201
ROW = json.dumps({"tokens": [1, 5, 9, 14, 3], "n": 6}) + "\n"


class Data(harness.Bare):
    """A data directory with one sealed model `kept`, and a key file outside of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment |= {"XDG_CONFIG_HOME": os.path.join(cls.root, "config")}
        cls.data = cls.environment["HOLDFAST_DATA_DIR"]

    def begin(self):
        self.ok(["seal", "slot", "add", "--kind", "file", "--path", os.path.join(self.root, "config", "root.key")])
        self.ok(["import", os.path.join(TINY, "gemma3.gguf"), "--name", "kept"])
        self.expected = {"kept": self.greedy("kept")}

    def greedy(self, model, what=""):
        done = self.run_(["eval", "greedy", model, "--input", "-"], stdin=ROW)
        self.assertEqual(done.returncode, 0, f"{what}: {model}: {done.stderr}")
        return json.loads(done.stdout)["ids"]

    def listed(self):
        return {m["name"].removesuffix(":latest") for m in json.loads(self.ok(["ls", "--json"]).stdout)}

    def check(self, acknowledged, possible, what):
        """`acknowledged` must be listed, and nothing that is not `possible`."""
        status = json.loads(self.ok(["seal", "status", "--json"]).stdout)
        self.assertEqual(status["state"], "open", what)
        found = self.listed()
        self.assertLessEqual(acknowledged, found, what)
        self.assertLessEqual(found, possible, what)
        for model in found:
            self.assertEqual(self.greedy(model, what), self.expected[model], what)
        left = [n for n in os.listdir(os.path.join(self.data, "packs")) if not n.endswith(".hfc")]
        self.assertEqual(left, [], what)


def start(case, arguments):
    return subprocess.Popen([HOLDFAST, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, env=case.environment, start_new_session=True)


def kill_after(process, seconds, everything):
    """Whether it was killed before it ended by itself."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        pass
    if everything:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return process.returncode == -signal.SIGKILL


class Kill(Data):
    """Each kind of change in turn, killed at a point drawn evenly from the time that it takes."""

    def prepare(self, kind):
        """Undisturbed, and the command whose turn it is."""
        if kind == "import":
            self.run_(["rm", "fresh", "-y"])
            return ["import", os.path.join(TINY, "gemma2.gguf"), "--name", "fresh"]
        if kind == "reseal":
            self.run_(["rm", "fresh", "-y"])
            self.ok(["import", os.path.join(TINY, "gemma2.gguf"), "--name", "fresh", "--store.seal", "off"])
            return ["seal", "reseal"]
        if kind == "dek":
            return ["seal", "rotate", "dek", "kept"]
        if kind == "kek":
            return ["seal", "rotate", "kek"]
        if kind == "irk":
            return ["seal", "rotate", "irk", "-y"]
        self.assertEqual(kind, "slot")
        return ["seal", "slot", "add", "--kind", "file", "--path", os.path.join(self.root, "config", "second.key")]

    def test_at_random_points(self):
        self.begin()
        self.ok(["import", os.path.join(TINY, "gemma2.gguf"), "--name", "fresh"])
        self.expected["fresh"] = self.greedy("fresh")
        kinds = ["import", "reseal", "dek", "kek", "irk", "slot"]
        took = {}
        for kind in kinds:
            command = self.prepare(kind)
            began = time.monotonic()
            self.ok(command)
            took[kind] = time.monotonic() - began
        source = random.Random(SEED)
        killed = dict.fromkeys(kinds, 0)
        point = 0
        while sum(killed.values()) < POINTS:
            # A test whose kills all come too late says nothing.
            self.assertLess(point, 4 * POINTS, killed)
            point += 1
            kind = kinds[point % len(kinds)]
            command = self.prepare(kind)
            acknowledged = self.listed()
            after, everything = source.uniform(0, took[kind]), point % 4 < 2
            began = time.monotonic()
            process = start(self, command)
            if kill_after(process, after, everything):
                killed[kind] += 1
            elif process.returncode == 0:
                took[kind] = min(took[kind], time.monotonic() - began)
                acknowledged |= {"fresh"} if kind == "import" else set()
            else:
                self.fail(f"{command}: {process.stderr.read()}")
            process.stderr.close()
            self.check(acknowledged, {"kept", "fresh"}, f"point {point}: {kind} after {after:.3f} s")
            if kind == "slot":
                self.remove_second_slots()
        print(f"killed: {killed}", flush=True)

    def remove_second_slots(self):
        slots = json.loads(self.ok(["seal", "status", "--json"]).stdout)["slots"]
        for slot in slots[1:]:
            self.ok(["seal", "slot", "rm", slot["id"], "-y"])

    def test_first_start(self):
        """A keyring is there and opens, or there is none; never one that nothing opens."""
        for point in range(max(4, POINTS // 6)):
            root = tempfile.mkdtemp(prefix="holdfast-first-")
            own = harness.environment_of(root) | {"XDG_CONFIG_HOME": os.path.join(root, "config")}
            process = subprocess.Popen([HOLDFAST, "seal", "slot", "add", "--kind", "file"], env=own,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            kill_after(process, random.Random(SEED + point).uniform(0, 0.15), point % 2 == 0)
            done = subprocess.run([HOLDFAST, "seal", "status", "--json"], env=own, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(json.loads(done.stdout)["state"], ("none", "open"))
            done = subprocess.run([HOLDFAST, "seal", "slot", "add", "--kind", "file"], env=own, capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            shutil.rmtree(root)


class Full(Data):
    """A disk of 64 MiB of which less and less is free."""

    def setUp(self):
        shutil.rmtree(self.data, ignore_errors=True)
        os.makedirs(self.data, mode=0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", self.data],
                          capture_output=True).returncode != 0:
            self.skipTest("this user cannot mount a disk of a given size")

    def tearDown(self):
        subprocess.run(["umount", "-l", self.data], capture_output=True)

    def fill(self, leave):
        path = os.path.join(self.data, "filler")
        free = os.statvfs(self.data)
        with open(path, "wb") as f:
            f.write(bytes(max(0, free.f_bavail * free.f_frsize - leave)))  # all of it is taken: no holes

    def test_every_change_fails_whole_or_succeeds(self):
        self.begin()
        self.ok(["import", os.path.join(TINY, "gemma2.gguf"), "--name", "plain", "--store.seal", "off"])
        self.expected["plain"] = self.greedy("plain")
        os.makedirs(os.path.join(self.root, "config"), exist_ok=True)
        outcomes = {}
        for leave in (0, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 512 << 10, 2 << 20, 24 << 20):
            for command in (["seal", "reseal", "plain"], ["seal", "rotate", "kek"], ["seal", "rotate", "irk", "-y"],
                            ["seal", "rotate", "dek", "kept"],
                            ["import", os.path.join(TINY, "llama-yarn.gguf"), "--name", "new"]):
                self.fill(leave)
                done = self.run_(command)
                if done.returncode != 0:
                    self.assertIn(done.returncode, (1, 7, 8), f"{leave}: {command}: {done.stderr}")
                    self.assertRegex(done.stderr, "(?m)^error: .*(full|room|space|left)", f"{leave}: {command}")
                outcomes.setdefault(" ".join(command[:3]), []).append(done.returncode)
                os.remove(os.path.join(self.data, "filler"))
                if "new" in self.listed():
                    self.expected.setdefault("new", self.greedy("new"))
                possible = {"kept", "plain", "new"} if command[0] == "import" else {"kept", "plain"}
                self.check({"kept", "plain"} | ({"new"} if command[0] == "import" and done.returncode == 0 else set()),
                           possible, f"{leave} bytes left: {command}")
                self.run_(["rm", "new", "-y"])
        print(outcomes, flush=True)
        for name, codes in outcomes.items():
            self.assertNotEqual(codes[0], 0, f"{name} succeeded on a full disk: the disk was not full")
            self.assertEqual(codes[-1], 0, f"{name} needs more than 24 MiB")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
