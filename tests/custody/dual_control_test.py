"""policy.dual_control: what changes who opens the keyring needs two persons, and one person twice is refused."""
import json
import os
import shutil
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import devices  # noqa: E402
import harness  # noqa: E402

CHEAP = ["--keyring.argon2_memory", "64MiB"]
ON = ["--policy.dual_control", "on"]


class DualControl(harness.Bare):
    def setUp(self):
        super().setUp()
        shutil.rmtree(self.environment["HOLDFAST_DATA_DIR"], ignore_errors=True)
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.files = {name: self.file(name, text) for name, text in
                      (("anna", "one of anna"), ("bert", "two of bert"), ("again", "one of anna"), ("wrong", "of nobody"))}
        self.key = self.add("--kind", "file")  # opens by itself, so that commands need no server
        self.anna = self.add("--kind", "passphrase", "--passphrase-file", self.files["anna"])
        self.bert = self.add("--kind", "passphrase", "--passphrase-file", self.files["bert"])

    def add(self, *arguments, settings=ON):
        return json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, *settings, *arguments]).stdout)["id"]

    def by(self, *pairs):
        out = list(ON)
        for slot, name in pairs:
            out += ["--approver", f"{slot}={self.files[name]}"]
        return out

    def slots(self):
        return [s["id"] for s in json.loads(self.ok(["seal", "status", "--json"]).stdout)["slots"]]

    def test_every_guarded_change_needs_two(self):
        before = self.slots()
        file = ["--kind", "file", "--path", os.path.join(self.root, "more.key")]
        changes = [["seal", "slot", "add", *file], ["seal", "slot", "rm", self.key, "-y"],
                   ["seal", "rotate", "irk", "-y"]]
        refused = [([], "dual control is on"),
                   ([(self.anna, "anna")], "two persons have to approve"),
                   ([(self.anna, "anna"), (self.anna, "anna")], "same secret twice"),
                   ([(self.anna, "anna"), (self.anna, "again")], "same secret twice"),
                   ([(self.anna, "anna"), (self.anna, "bert")], "same person twice"),
                   ([(self.anna, "anna"), (self.bert, "again")], "same secret twice"),
                   ([(self.anna, "anna"), (self.bert, "wrong")], "does not open"),
                   ([(self.anna, "wrong"), (self.bert, "bert")], "does not open"),
                   ([(self.anna, "anna"), (self.key, "bert")], "is no person's own")]
        for change in changes:
            for pairs, text in refused:
                self.fails(4, [*change, *self.by(*pairs)], text)
        self.assertEqual(self.slots(), before)
        both = self.by((self.anna, "anna"), (self.bert, "bert"))
        self.ok([*changes[0], *both])
        self.assertEqual(len(self.slots()), 4)
        self.ok([*changes[1], *both])
        self.assertNotIn(self.key, self.slots())
        self.fails(5, ["seal", "slot", "rm", self.bert, "-y", *both], "fewer than two persons")
        rotated = json.loads(self.ok([*changes[2], "--json", *both]).stdout)
        self.assertEqual((rotated["irk_epoch"], rotated["removed"]), (2, []))
        self.ok(["seal", "slot", "test", self.bert, "--passphrase-file", self.files["bert"]])

    def test_one_person_with_the_same_secret_in_two_slots(self):
        both = self.by((self.anna, "anna"), (self.bert, "bert"))
        twin = json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, "--kind", "passphrase", "--passphrase-file",
                                   self.files["again"], *both]).stdout)["id"]
        self.fails(4, ["seal", "slot", "rm", self.key, "-y", *self.by((self.anna, "anna"), (twin, "again"))], "same secret twice")

    def test_a_recovery_code_is_nobody(self):
        both = self.by((self.anna, "anna"), (self.bert, "bert"))
        made = json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, "--kind", "recovery", *both]).stdout)
        self.files["code"] = self.file("code", made["recovery_code"])
        self.fails(4, ["seal", "slot", "rm", self.key, "-y", *self.by((self.anna, "anna"), (made["id"], "code"))], "no person's own")

    def test_a_slot_of_two_persons_approves_when_both_are_there(self):
        both = self.by((self.anna, "anna"), (self.bert, "bert"))
        pair = json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, "--kind", "passphrase", "--kind", "passphrase",
                                   "--passphrase-file", self.files["anna"], "--passphrase-file", self.files["bert"],
                                   *both]).stdout)["id"]
        rm = ["seal", "slot", "rm", self.key, "-y"]
        self.fails(4, [*rm, *self.by((pair, "anna"), (self.bert, "bert"))], "two persons together")
        self.fails(4, [*rm, *self.by((pair, "bert"), (pair, "anna"))], "does not open")
        self.ok(["seal", "slot", "test", pair, "--passphrase-file", self.files["anna"], "--passphrase-file", self.files["bert"]])
        self.ok([*rm, *self.by((pair, "anna"), (pair, "bert"))])

    def test_off_asks_nobody_and_the_regulated_profile_turns_it_on(self):
        self.add("--kind", "file", "--path", os.path.join(self.root, "k2"), settings=[])
        more = ["seal", "slot", "add", "--kind", "file", "--path", os.path.join(self.root, "k3")]
        self.fails(4, [*more, "--server.profile", "regulated"], "dual control is on")
        self.ok([*more, "--server.profile", "regulated", "--policy.dual_control", "off"])

    @unittest.skipUnless(harness.SMOLLM2, "needs a model")
    def test_a_revealed_key(self):
        self.ok(["import", harness.SMOLLM2, "--name", "smol"])
        self.fails(4, ["seal", "reveal-dek", "smol", "-y", *ON], "dual control is on")
        out = self.ok(["seal", "reveal-dek", "smol", "-y", *self.by((self.anna, "anna"), (self.bert, "bert"))])
        self.assertRegex(out.stdout, r"^[0-9a-f]{64}\n$")
        # A bundle takes the key along as well.
        export = ["export", "smol", "-o", os.path.join(self.root, "smol.tar"), "--passphrase-file", self.file("way", "on the way")]
        self.fails(4, [*export, *ON], "dual control is on")
        self.ok([*export, *self.by((self.anna, "anna"), (self.bert, "bert"))])

    @unittest.skipUnless(devices.have_tpm(), "needs swtpm and tpm2-tools")
    def test_a_person_with_a_pin_in_a_tpm(self):
        tpm = devices.Tpm()
        self.addCleanup(tpm.close)
        self.environment["HOLDFAST_TCTI"] = tpm.tcti
        self.addCleanup(self.environment.pop, "HOLDFAST_TCTI")
        self.files["pin"], self.files["bad"] = self.file("pin", "0042"), self.file("bad", "0043")
        both = self.by((self.anna, "anna"), (self.bert, "bert"))
        carl = json.loads(self.ok(["seal", "slot", "add", "--json", "--kind", "tpm2", "--pin-file", self.files["pin"],
                                   *both]).stdout)["id"]
        self.fails(4, ["seal", "slot", "rm", self.key, "-y", *self.by((self.anna, "anna"), (carl, "bad"))], "PIN")
        self.ok(["seal", "slot", "rm", self.key, "-y", *self.by((self.anna, "anna"), (carl, "pin"))])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
