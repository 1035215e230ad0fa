"""Unsealing when something is wrong: one answer for wrong and damaged, other slots still open, permissions, two at once."""
import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import harness  # noqa: E402
from keyring_reader import Keyring  # noqa: E402

CHEAP = ["--keyring.argon2_memory", "64MiB"]


class Unseal(harness.Bare):
    def setUp(self):
        super().setUp()
        self.data = self.environment["HOLDFAST_DATA_DIR"]
        shutil.rmtree(self.data, ignore_errors=True)
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.path = os.path.join(self.data, "keyring.hfk")

    def add(self, *arguments):
        return json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, *arguments]).stdout)["id"]

    def damage(self, slot):
        """One bit of what that slot's key opens."""
        data = bytearray(Path(self.path).read_bytes())
        data[data.index(slot["wrapped"]) + len(slot["wrapped"]) // 2] ^= 1
        Path(self.path).write_bytes(data)

    def test_a_wrong_secret_and_a_damaged_slot_answer_alike(self):
        right, wrong = self.file("right", "correct"), self.file("wrong", "incorrect")
        self.add("--kind", "passphrase", "--passphrase-file", right)
        bad = self.fails(4, ["seal", "unseal", "--passphrase-file", wrong], "does not open").stderr
        self.damage(Keyring(self.path).slots[0])
        self.assertEqual(self.fails(4, ["seal", "unseal", "--passphrase-file", right], "does not open").stderr, bad)

    def test_a_damaged_slot_is_found_by_the_one_that_opens(self):
        """The file's MAC is over all slots: what was changed by anything else is not used."""
        right = self.file("right", "correct")
        key = os.path.join(self.root, "k")
        self.add("--kind", "file", "--path", key)
        self.add("--kind", "passphrase", "--passphrase-file", right)
        saved = Path(self.path).read_bytes()
        self.damage(Keyring(self.path).slots[1])
        self.fails(6, ["seal", "status"], "changed by something other.*")
        Path(self.path).write_bytes(saved)
        self.ok(["seal", "slot", "test", Keyring(self.path).slots[1]["id"].hex(), "--passphrase-file", right])

    def test_a_slot_whose_file_is_gone_or_wrong_does_not_hide_another(self):
        first, second = os.path.join(self.root, "first"), os.path.join(self.root, "second")
        self.add("--kind", "file", "--path", first)
        self.add("--kind", "file", "--path", second)
        for spoil in (lambda: os.chmod(first, 0o644), lambda: Path(first).write_bytes(bytes(64)), lambda: os.truncate(first, 3),
                      lambda: os.remove(first), lambda: os.symlink("/dev/null", first)):
            spoil()
            self.assertEqual(json.loads(self.ok(["seal", "status", "--json"]).stdout)["state"], "open")
        os.remove(second)
        self.fails(7, ["seal", "unseal"], "no slot opens without an operator")

    def test_permissions_also_behind_a_link(self):
        self.add("--kind", "file", "--path", os.path.join(self.root, "p"))
        elsewhere = os.path.join(self.root, "elsewhere.hfk")
        shutil.move(self.path, elsewhere)
        os.symlink(elsewhere, self.path)
        os.chmod(elsewhere, 0o640)
        self.fails(4, ["seal", "unseal"], "others can read or change")
        os.chmod(elsewhere, 0o600)
        os.chmod(self.data, 0o777)
        self.fails(4, ["seal", "unseal"], "others can change files in")
        os.chmod(self.data, 0o700)
        self.ok(["seal", "unseal"])

    def test_many_at_once_lose_no_slot(self):
        self.add("--kind", "file", "--path", os.path.join(self.root, "m"))
        running = [subprocess.Popen([harness.HOLDFAST, "seal", "slot", "add", "--kind", "file", "--path",
                                     os.path.join(self.root, f"m{n}")], env=self.environment, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(6)]
        added = 0
        for process in running:
            _, errors = process.communicate(timeout=60)
            self.assertIn(process.returncode, (0, 5), errors)  # 5: the keyring changed meanwhile, try again
            added += process.returncode == 0
        keyring = Keyring(self.path)
        self.assertEqual(len(keyring.slots), 1 + added)
        self.assertGreater(added, 0)
        for slot in keyring.slots:
            self.ok(["seal", "slot", "test", slot["id"].hex()])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
