"""Instances of one test, each with a data directory, a home and perhaps a keyring of its own."""
import json
import os
import shutil
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import harness  # noqa: E402
from harness import HOLDFAST, SMOLLM2, main, os, signal, subprocess, time, unittest  # noqa: E402, F401, F811

READER = os.path.join(here, "..", "..", "tools", "hfc_reader")
CHEAP = ["--keyring.argon2_memory", "64MiB"]
ASK = ["Name three colours.", "--max-tokens", "12", "--temperature", "0", "--seed", "1"]


class Site:
    """`run` is a command here."""

    def __init__(self, root, keyring=True):
        self.root = root
        os.makedirs(root, exist_ok=True)
        self.environment = harness.environment_of(root) | {"XDG_CONFIG_HOME": os.path.join(root, "config")}
        self.data = self.environment["HOLDFAST_DATA_DIR"]
        if keyring:
            self.json("seal", "slot", "add", "--kind", "file", "--json")

    def run(self, *arguments, **options):
        options.setdefault("timeout", harness.TIMEOUT)
        environment = self.environment | options.pop("env", {})
        return subprocess.run([HOLDFAST, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=environment, **options)

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, **options).splitlines()[-1])

    def document(self, *arguments):
        return json.loads(self.ok(*arguments))

    def answer(self, model):
        return self.ok("run", model, *ASK)

    def packs(self):
        folder = os.path.join(self.data, "packs")
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))


class Case(unittest.TestCase):
    """One home site with SmolLM2 in it, sealed, as `smol`, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="holdfast-bundle-")
        cls.home = Site(os.path.join(cls.root, "home"))
        cls.home.ok("import", SMOLLM2, "--name", "smol")
        cls.secret = cls.file("secret", b"correct horse\n")
        cls.with_secret = ["--passphrase-file", cls.secret, *CHEAP]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root, ignore_errors=True)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.root, name)

    @classmethod
    def file(cls, name, content):
        with open(cls.path(name), "wb") as f:
            f.write(content)
        os.chmod(cls.path(name), 0o600)
        return cls.path(name)

    def site(self, name, keyring=True):
        path = self.path(name)
        shutil.rmtree(path, ignore_errors=True)
        return Site(path, keyring)

    def fails(self, status, site, *arguments, says, **options):
        done = site.run(*arguments, **options)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout} {done.stderr}")
        self.assertRegex(done.stderr, r"(?m)^error: ")
        self.assertRegex(done.stderr, says)


def killed_after(seconds, command, environment):
    """Runs it and kills it then; false where it had ended by itself."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def flipped(content, at):
    changed = bytearray(content)
    changed[at] ^= 0x20
    return bytes(changed)
