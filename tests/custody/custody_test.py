"""`holdfast seal` from outside. Oracle: keyring_reader.py."""
import json
import os
import shutil
import signal
import sys
import time
import unittest
from pathlib import Path

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import harness  # noqa: E402
from keyring_reader import Keyring, Wrong, rows, unwrap  # noqa: E402

CHEAP = ["--keyring.argon2_memory", "64MiB"]


class Seal(harness.Bare):
    def setUp(self):
        super().setUp()
        self.data = self.environment["HOLDFAST_DATA_DIR"]
        shutil.rmtree(self.data, ignore_errors=True)

    def secret(self, text):
        path = os.path.join(self.root, "secret")
        with open(path, "w") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return ["--passphrase-file", path]

    def keyring(self):
        return Keyring(os.path.join(self.data, "keyring.hfk"))

    def add(self, *kinds, secrets=()):
        arguments = ["seal", "slot", "add", "--json", *CHEAP]
        for kind in kinds:
            arguments += ["--kind", kind]
        return json.loads(self.ok(arguments + list(secrets)).stdout)

    def status(self):
        return json.loads(self.ok(["seal", "status", "--json"]).stdout)

    def check_children(self, root):
        """Every stored key opens under the root key."""
        found = rows(os.path.join(self.data, "state.db"), "kek.weights")
        self.assertTrue(found)
        for ident, _, blob in found:
            self.assertEqual(len(unwrap(root, b"kek.weights", ident, blob)), 32)

    def test_passphrase_slot_as_another_program_reads_it(self):
        self.add("passphrase", secrets=self.secret("correct horse"))
        keyring = self.keyring()
        slot = keyring.slots[0]
        self.assertEqual([kind for kind, _ in slot["factors"]], [1])
        self.check_children(keyring.root(slot, [b"correct horse"]))
        with self.assertRaises(Wrong):
            keyring.root(slot, [b"battery staple"])
        self.assertEqual(os.stat(os.path.join(self.data, "keyring.hfk")).st_mode & 0o777, 0o600)

    def test_key_file_slot_and_recovery_code(self):
        path = os.path.join(self.root, "keys", "root.key")
        self.ok(["seal", "slot", "add", "--kind", "file", "--path", path])
        code = self.add("recovery")["recovery_code"]
        keyring = self.keyring()
        file_slot, paper = keyring.slots
        root = keyring.root(file_slot, [Path(path).read_bytes()])
        self.assertEqual(keyring.root(paper, [code.encode()]), root)
        self.assertEqual(paper["flags"], 1)
        self.assertRegex(code, r"^([a-z2-7]{4}-){7}[a-z2-7]{4}$")
        self.ok(["seal", "slot", "test", paper["id"].hex(), *self.secret(code.upper().replace("-", " "))])

    def test_two_persons(self):
        first, second = (os.path.join(self.root, n) for n in ("a", "b"))
        for name, text in ((first, "one"), (second, "two")):
            with open(name, "w") as f:
                f.write(text)
        self.add("passphrase", "passphrase", secrets=["--passphrase-file", first, "--passphrase-file", second])
        keyring = self.keyring()
        self.check_children(keyring.root(keyring.slots[0], [b"one", b"two"]))
        self.fails(4, ["seal", "unseal", "--passphrase-file", second, "--passphrase-file", first], "does not open")
        self.ok(["seal", "unseal", "--passphrase-file", first, "--passphrase-file", second])

    def test_rotation(self):
        path = os.path.join(self.root, "rotate.key")
        self.ok(["seal", "slot", "add", "--kind", "file", "--path", path])
        before = self.keyring()
        old = before.root(before.slots[0], [Path(path).read_bytes()])
        self.ok(["seal", "rotate", "irk", "-y"])
        self.ok(["seal", "rotate", "kek"])
        after = self.keyring()
        new = after.root(after.slots[0], [Path(path).read_bytes()])
        self.assertNotEqual(old, new)
        self.assertEqual((after.epoch, self.status()["kek_epoch"]), (2, 2))
        self.check_children(new)
        for ident, _, blob in rows(os.path.join(self.data, "state.db"), "kek.weights"):
            with self.assertRaises(Wrong):
                unwrap(old, b"kek.weights", ident, blob)

    def test_refusals_say_what_to_do(self):
        self.fails(3, ["seal", "slot", "test", "00"], "there is no slot")
        self.fails(2, ["seal", "slot", "add", "--kind", "magic"], "unknown kind")
        self.add("passphrase", secrets=self.secret("right"))
        self.fails(4, ["seal", "unseal", *self.secret("wrong")], "does not open")
        slot = self.status()["slots"][0]["id"]
        self.fails(7, ["seal", "slot", "rm", slot, "-y"], "sealed")
        path = os.path.join(self.data, "keyring.hfk")
        whole = Path(path).read_bytes()
        with open(path, "r+b") as f:
            f.seek(-1, os.SEEK_END)
            f.write(bytes([whole[-1] ^ 1]))
        self.fails(6, ["seal", "unseal", *self.secret("right")], "changed by something other")
        with open(path, "wb") as f:
            f.write(whole)
        os.chmod(path, 0o644)
        self.fails(4, ["seal", "unseal", *self.secret("right")], "others can read")
        os.remove(path)
        self.fails(6, ["seal", "slot", "add", "--kind", "file", "--path", os.path.join(self.root, "x")], "gone")

    def test_a_key_holder_that_hangs_holds_up_no_request(self):
        """Requests go on; the one that hangs is replaced, and SIGTERM ends the server."""
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        with harness.Server(self) as server:
            hung, = self.holders_of(server)
            os.kill(hung, signal.SIGSTOP)
            until = time.monotonic() + 20
            slowest = 0
            while self.holders_of(server) in ([hung], []):
                self.assertLess(time.monotonic(), until, server.text())
                began = time.monotonic()
                self.assertEqual(server.get("/livez")[0], 200)
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.05)
            self.assertLess(slowest, 2)
            self.assertEqual(self.status()["state"], "open")
            self.assertEqual(server.stop(), 0)

    def test_the_pepper_of_api_keys_moves_into_the_keyring(self):
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        pepper = os.path.join(self.data, "keys", "pepper")
        before = self.ok(["key", "create", "--role", "admin"]).stdout.strip()
        self.assertTrue(os.path.exists(pepper))
        with harness.Server(self) as server:
            self.assertFalse(os.path.exists(pepper))
            after = self.ok(["key", "create"]).stdout.strip()
            time.sleep(0.5)  # a server looks for new keys four times a second
            for key in (before, after):
                self.assertEqual(server.request("/v1/models", key=key)[0], 200)
            changed = after[:30] + ("A" if after[30] != "A" else "B") + after[31:]
            for wrong in (changed, None):
                self.assertEqual(server.request("/v1/models", key=wrong)[0], 401)
            self.ok(["seal", "seal"])
            until = time.monotonic() + 20
            while server.request("/v1/models", key=before)[0] != 503:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.05)
            self.assertIn('"sealed"', server.request("/v1/models", key=before)[1])
        self.ok(["key", "create"])
        self.assertFalse(os.path.exists(pepper))

    def test_a_removed_models_key_goes_with_its_last_pack(self):
        tiny = os.path.join(here, "..", "golden", "tiny")
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.ok(["seal", "slot", "add", "--kind", "file"])
        self.ok(["import", os.path.join(tiny, "gemma3.gguf"), "--name", "a"])
        self.ok(["import", os.path.join(tiny, "gemma2.gguf"), "--name", "b"])
        self.ok(["cp", "a", "again"])
        database = os.path.join(self.data, "state.db")
        self.assertEqual(len(rows(database, "dek.weights")), 2)
        self.ok(["rm", "a", "-y"])
        self.assertEqual(len(rows(database, "dek.weights")), 2)
        gone = rows(database, "dek.weights")
        self.ok(["rm", "again", "-y"])
        left = rows(database, "dek.weights")
        self.assertEqual(len(left), 1)
        blob, = {b for _, _, b in gone} - {b for _, _, b in left}
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            if os.path.isfile(path):
                self.assertNotIn(blob, Path(path).read_bytes(), name)
        self.ok(["verify", "b"])

    def test_a_credential_of_an_upstream_in_the_keyring(self):
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.fails(3, ["seal", "credential", "put", "cloud", "--file", "-"], "no keyring", stdin="k\n")
        self.ok(["seal", "slot", "add", "--kind", "file"])
        self.fails(2, ["seal", "credential", "put", "a/b", "--file", "-"], "no name", stdin="k\n")
        self.ok(["seal", "credential", "put", "cloud", "--file", "-"], stdin="secret-of-the-cloud\n")
        self.assertEqual(json.loads(self.ok(["seal", "credential", "ls", "--json"]).stdout), [{"name": "cloud"}])
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            if os.path.isfile(path):
                self.assertNotIn(b"secret-of-the-cloud", Path(path).read_bytes(), name)
        with harness.Upstream() as upstream:
            settings = os.path.join(self.root, "upstream.toml")
            with open(settings, "w") as f:
                f.write(f'[upstream.cloud]\nkind = "openai"\nurl = "{upstream.url}"\ncredential = "keyring:cloud"\n'
                        'models = {"m" = "m"}\n')
            with harness.Server(self, "--config", settings) as server:
                server.post("/v1/chat/completions", json.dumps(
                    {"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
            self.assertIn("Bearer secret-of-the-cloud", upstream.authorizations)
            self.ok(["seal", "credential", "rm", "cloud", "-y"])
            self.fails(3, ["serve", "--config", settings, "--listen", "127.0.0.1:0"], "credential put cloud")

    def holders_of(self, server):
        return harness.children_of(server.process.pid, "holdfast-keyholder")

    def test_no_secret_is_stored_in_the_open(self):
        self.add("passphrase", secrets=self.secret("canary-passphrase-0123456789"))
        keyring = self.keyring()
        root = keyring.root(keyring.slots[0], [b"canary-passphrase-0123456789"])
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            if os.path.isfile(path):
                content = Path(path).read_bytes()
                self.assertNotIn(b"canary-passphrase", content, name)
                self.assertNotIn(root, content, name)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
