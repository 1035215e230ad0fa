"""Slots in a TPM 2 (swtpm). Oracles: tpm2-tools unseal the same object, keyring_reader.py opens the slot with it."""
import json
import os
import shutil
import subprocess
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import devices  # noqa: E402
import harness  # noqa: E402
from keyring_reader import Keyring, rows, tpm_params, unwrap  # noqa: E402

CHEAP = ["--keyring.argon2_memory", "64MiB"]


class TpmSlots(harness.Bare):
    def setUp(self):
        super().setUp()
        self.data = self.environment["HOLDFAST_DATA_DIR"]
        shutil.rmtree(self.data, ignore_errors=True)
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.tpm = devices.Tpm()
        self.addCleanup(self.tpm.close)
        self.environment["HOLDFAST_TCTI"] = self.tpm.tcti

    def add(self, *arguments):
        return json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, *arguments]).stdout)["id"]

    def slot(self, ident):
        keyring = Keyring(os.path.join(self.data, "keyring.hfk"))
        return keyring, next(s for s in keyring.slots if s["id"].hex() == ident)

    def check_root(self, ident, *secrets):
        """The secrets open the slot, and what it gives opens the stored keys."""
        keyring, slot = self.slot(ident)
        root = keyring.root(slot, secrets)
        for name, _, blob in rows(os.path.join(self.data, "state.db"), "kek.weights"):
            self.assertEqual(len(unwrap(root, b"kek.weights", name, blob)), 32)

    def test_without_pin_opens_by_itself_and_as_the_tools_of_others_see_it(self):
        ident = self.add("--kind", "tpm2")
        _, slot = self.slot(ident)
        params = tpm_params(slot["factors"][0][1])
        self.assertEqual((params["pin"], params["pcrs"]), (False, [7]))
        self.check_root(ident, self.tpm.unseal(params))
        status = json.loads(self.ok(["seal", "status", "--json"]).stdout)
        self.assertEqual((status["state"], status["slots"][0]["automatic"]), ("open", True))
        self.ok(["seal", "slot", "test", ident])
        self.assertEqual(self.tpm.transient(), b"", "objects or sessions are left in the TPM")
        with harness.Server(self) as server:
            self.assertEqual(server.get("/livez")[0], 200)
            self.assertEqual(json.loads(self.ok(["seal", "status", "--json"]).stdout)["state"], "open")
        self.tpm.stop()  # the machine is started again: the same registers
        self.tpm.start()
        self.ok(["seal", "slot", "test", ident], env={"HOLDFAST_TCTI": self.tpm.tcti})

    def test_a_tpm_over_tcp(self):
        tpm = devices.Tpm(over_tcp=True)
        self.addCleanup(tpm.close)
        self.environment["HOLDFAST_TCTI"] = tpm.tcti
        ident = self.add("--kind", "tpm2")
        self.check_root(ident, tpm.unseal(tpm_params(self.slot(ident)[1]["factors"][0][1])))
        self.ok(["seal", "slot", "test", ident])

    def test_a_changed_register_refuses_and_the_recovery_code_opens(self):
        ident = self.add("--kind", "tpm2", "--pcrs", "7,11")
        code = json.loads(self.ok(["seal", "slot", "add", "--json", *CHEAP, "--kind", "recovery"]).stdout)["recovery_code"]
        self.assertEqual(tpm_params(self.slot(ident)[1]["factors"][0][1])["pcrs"], [7, 11])
        self.tpm.tool("tpm2_pcrextend", "12:sha256=" + "11" * 32)
        self.ok(["seal", "slot", "test", ident])
        self.tpm.tool("tpm2_pcrextend", "11:sha256=" + "11" * 32)
        self.fails(7, ["seal", "slot", "test", ident], "sealed.*no slot opens")
        with self.assertRaises(subprocess.CalledProcessError):
            self.tpm.unseal(tpm_params(self.slot(ident)[1]["factors"][0][1]))
        self.fails(7, ["seal", "unseal"], "not the state it was sealed to")
        self.ok(["seal", "unseal", "--passphrase-file", self.file("code", code)])

    def test_pin(self):
        right, wrong = self.file("right", "0042"), self.file("wrong", "0043")
        self.fails(2, ["seal", "slot", "add", "--kind", "tpm2", "--pin-file", self.file("long", "7" * 33)], "at most 32")
        ident = self.add("--kind", "tpm2", "--pin-file", right)
        params = tpm_params(self.slot(ident)[1]["factors"][0][1])
        self.assertTrue(params["pin"])
        self.check_root(ident, self.tpm.unseal(params, "0042"))
        self.assertFalse(json.loads(self.ok(["seal", "status", "--json"]).stdout)["slots"][0]["automatic"])
        self.fails(7, ["seal", "unseal"], "without an operator")
        self.fails(4, ["seal", "unseal", "--pin-file", wrong], "the PIN of the TPM's slot is wrong")
        self.ok(["seal", "unseal", "--pin-file", right])

    def test_too_many_wrong_pins_lock_the_tpm_also_across_processes(self):
        right, wrong = self.file("right", "0042"), self.file("wrong", "0043")
        self.add("--kind", "tpm2", "--pin-file", right)
        self.tpm.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries=3", "--recovery-time=1000",
                      "--lockout-recovery-time=1000")
        for _ in range(3):
            self.fails(4, ["seal", "unseal", "--pin-file", wrong], "PIN")
        self.fails(8, ["seal", "unseal", "--pin-file", right], "refuses all for a while")
        self.tpm.tool("tpm2_dictionarylockout", "--clear-lockout")
        self.ok(["seal", "unseal", "--pin-file", right])

    def test_another_tpm_a_cleared_one_and_none(self):
        ident = self.add("--kind", "tpm2")
        self.ok(["seal", "slot", "add", "--kind", "file"])
        other = devices.Tpm()
        self.addCleanup(other.close)
        for tcti, status, text in ((other.tcti, 4, "another TPM"), ("device:/dev/no-such-tpm", 7, "there is no TPM at")):
            self.environment["HOLDFAST_TCTI"] = tcti
            self.fails(status, ["seal", "slot", "test", ident], text)  # the key file opened the keyring meanwhile
        self.environment["HOLDFAST_TCTI"] = self.tpm.tcti
        self.tpm.tool("tpm2_clear")
        self.fails(4, ["seal", "slot", "test", ident], "the TPM was cleared")

    @unittest.skipUnless(devices.have_token(), "needs SoftHSM")
    def test_a_refused_pin_is_shown_to_no_other_device(self):
        token = devices.Token()
        self.addCleanup(token.close)
        self.environment["SOFTHSM2_CONF"] = token.conf
        self.addCleanup(self.environment.pop, "SOFTHSM2_CONF")
        mine, theirs = self.file("mine", "0042"), self.file("theirs", token.PIN)
        key = self.add("--kind", "file")
        self.add("--kind", "tpm2", "--pin-file", mine)
        other = self.add("--kind", "pkcs11", "--pkcs11-generate", "--pkcs11-uri", token.uri("root"), "--pin-file", theirs)
        self.ok(["seal", "slot", "test", other, "--pin-file", theirs])
        self.ok(["seal", "slot", "rm", key, "-y"])
        self.fails(4, ["seal", "unseal", "--pin-file", theirs], "the PIN of the TPM's slot is wrong")
        self.ok(["seal", "unseal", "--slot", other, "--pin-file", theirs])
        self.tpm.tool("tpm2_pcrextend", "7:sha256=" + "11" * 32)  # now the TPM is not shown it at all
        self.ok(["seal", "unseal", "--pin-file", theirs])
        self.environment["HOLDFAST_TCTI"] = "device:/dev/no-such-tpm"
        self.ok(["seal", "unseal", "--pin-file", theirs])

    def test_two_persons_a_tpm_with_pin_and_a_passphrase(self):
        pin, phrase, wrong = self.file("pin", "0042"), self.file("phrase", "correct horse"), self.file("wrong", "0043")
        ident = self.add("--kind", "tpm2", "--kind", "passphrase", "--pin-file", pin, "--passphrase-file", phrase)
        params = tpm_params(self.slot(ident)[1]["factors"][0][1])
        self.check_root(ident, self.tpm.unseal(params, "0042"), b"correct horse")
        self.fails(7, ["seal", "unseal", "--pin-file", pin], "operator")
        self.fails(4, ["seal", "unseal", "--pin-file", wrong, "--passphrase-file", phrase], "PIN")
        self.fails(4, ["seal", "unseal", "--pin-file", pin, "--passphrase-file", wrong], "does not open")
        self.ok(["seal", "unseal", "--pin-file", pin, "--passphrase-file", phrase])


if __name__ == "__main__":
    if not devices.have_tpm():
        print("swtpm and tpm2-tools are not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]])
