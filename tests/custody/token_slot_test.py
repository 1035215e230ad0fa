"""Slots in a PKCS#11 token (SoftHSM). Oracles: the PyPI package python-pkcs11 on the same token, `cryptography` where the
key was imported and is known; keyring_reader.py opens the slot with what they give."""
import json
import os
import shutil
import sys
import unittest
from pathlib import Path

import pkcs11
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
import devices  # noqa: E402
import harness  # noqa: E402
from keyring_reader import Keyring, rows, token_params, unwrap  # noqa: E402

CHEAP = ["--keyring.argon2_memory", "64MiB"]
KNOWN = bytes(range(32))


class TokenSlots(harness.Bare):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.token = devices.Token()
        cls.environment["SOFTHSM2_CONF"] = os.environ["SOFTHSM2_CONF"] = cls.token.conf
        cls.module = pkcs11.lib(devices.SOFTHSM)
        cls.import_key("known", DECRYPT=True, ENCRYPT=True)

    @classmethod
    def tearDownClass(cls):
        cls.token.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.data = self.environment["HOLDFAST_DATA_DIR"]
        shutil.rmtree(self.data, ignore_errors=True)
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.pin = self.file("pin", self.token.PIN)
        self.wrong = self.file("wrong", "0000-wrong")

    @classmethod
    def session(cls, rw=False):
        cls.module.reinitialize()
        return cls.module.get_token(token_label=cls.token.label).open(user_pin=cls.token.PIN, rw=rw)

    @classmethod
    def import_key(cls, label, **uses):
        """KNOWN as a key of the token that may do only what is listed."""
        a = pkcs11.Attribute
        may = {a[name]: uses.get(name, False) for name in ("ENCRYPT", "DECRYPT", "WRAP", "UNWRAP")}
        with cls.session(rw=True) as session:
            session.create_object({a.CLASS: pkcs11.ObjectClass.SECRET_KEY, a.KEY_TYPE: pkcs11.KeyType.AES, a.VALUE: KNOWN,
                                   a.LABEL: label, a.TOKEN: True, a.PRIVATE: True, a.SENSITIVE: True,
                                   a.EXTRACTABLE: False} | may)

    def add(self, uri, *arguments):
        out = self.ok(["seal", "slot", "add", "--json", *CHEAP, "--kind", "pkcs11", "--pkcs11-uri", uri, *arguments])
        keyring = Keyring(os.path.join(self.data, "keyring.hfk"))
        ident = json.loads(out.stdout)["id"]
        slot = next(s for s in keyring.slots if s["id"].hex() == ident)
        return ident, keyring, slot, token_params(slot["factors"][-1][1])

    def check_root(self, keyring, slot, *secrets):
        root = keyring.root(slot, secrets)
        for name, _, blob in rows(os.path.join(self.data, "state.db"), "kek.weights"):
            self.assertEqual(len(unwrap(root, b"kek.weights", name, blob)), 32)

    def test_an_imported_key_as_another_program_uses_it(self):
        _, keyring, slot, params = self.add(self.token.uri("known"), "--pin-file", self.pin)
        self.assertEqual((params["mechanism"], len(params["iv"]), len(params["wrapped"])), (2, 12, 48))
        self.check_root(keyring, slot, AESGCM(KNOWN).decrypt(params["iv"], params["wrapped"], None))
        self.ok(["seal", "unseal", "--pin-file", self.pin])

    def test_a_generated_key_stays_in_the_token(self):
        uri = self.token.uri("made")
        self.fails(7, ["seal", "slot", "add", "--kind", "pkcs11", "--pkcs11-uri", uri, "--pin-file", self.pin], "no AES key")
        ident, keyring, slot, params = self.add(uri, "--pin-file", self.pin, "--pkcs11-generate")
        with self.session() as session:
            key, = session.get_objects({pkcs11.Attribute.LABEL: "made"})
            self.assertFalse(key[pkcs11.Attribute.EXTRACTABLE])
            self.assertTrue(key[pkcs11.Attribute.SENSITIVE])
            secret = key.decrypt(params["wrapped"], mechanism=pkcs11.Mechanism.AES_GCM,
                                 mechanism_param=pkcs11.GCMParams(params["iv"]))
        self.check_root(keyring, slot, secret)
        shutil.rmtree(self.data)
        self.add(uri, "--pin-file", self.pin, "--pkcs11-generate")  # the same key again, no second one
        with self.session() as session:
            self.assertEqual(len(list(session.get_objects({pkcs11.Attribute.LABEL: "made"}))), 1)

    def test_a_key_that_may_only_wrap(self):
        self.import_key("wrapper", WRAP=True, UNWRAP=True)
        _, keyring, slot, params = self.add(self.token.uri("wrapper"), "--pin-file", self.pin)
        self.assertEqual((params["mechanism"], params["iv"], len(params["wrapped"])), (1, b"", 40))
        self.check_root(keyring, slot, aes_key_unwrap(KNOWN, params["wrapped"]))
        self.ok(["seal", "unseal", "--pin-file", self.pin])

    def test_pin_source_opens_by_itself(self):
        source = self.file("auto-pin", self.token.PIN)
        ident, *_ = self.add(self.token.uri("known", "&pin-source=file:" + source))
        status = json.loads(self.ok(["seal", "status", "--json"]).stdout)
        self.assertEqual((status["state"], status["slots"][0]["automatic"]), ("open", True))
        os.chmod(source, 0o644)
        self.assertIn("sealed", self.ok(["seal", "status"]).stdout)
        self.file("auto-pin", "0000-wrong")
        for _ in range(4):  # one attempt, however often something asks
            self.fails(7, ["seal", "slot", "test", ident], "sealed")
        self.file("auto-pin", self.token.PIN)
        self.fails(7, ["seal", "slot", "test", ident], "sealed")
        self.ok(["seal", "unseal", "--pin-file", self.pin])  # a right one by hand sets the token's counter back
        self.ok(["seal", "slot", "test", ident])

    def test_a_wrong_pin_is_one_attempt(self):
        self.add(self.token.uri("known"), "--pin-file", self.pin)
        self.fails(4, ["seal", "unseal", "--pin-file", self.wrong], "the PIN of the token is wrong")
        self.ok(["seal", "unseal", "--pin-file", self.pin])

    def test_refusals(self):
        def refused(status, uri, text):
            self.fails(status, ["seal", "slot", "add", "--kind", "pkcs11", "--pkcs11-uri", uri, "--pin-file", self.pin], text)
        refused(2, "pkcs12:token=x", "no PKCS#11 URI")
        refused(2, self.token.uri("known", "&pin-value=1234"), "does not belong into a URI")
        refused(2, self.token.uri("known").replace("/usr/lib", "usr/lib"), "must begin at the root")
        refused(2, self.token.uri("known", "&pin-source=|program"), "name a file")
        refused(7, self.token.uri("known").replace("holdfast", "other"), "no token that the URI names")
        refused(7, self.token.uri("known").replace("libsofthsm2", "libnothing"), "no token that the URI names")
        self.fails(2, ["seal", "slot", "add", "--kind", "pkcs11"], "which key in which token")
        with self.session(rw=True) as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label="loose", store=True,
                                 template={pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False})
        refused(2, self.token.uri("loose"), "can be taken out")

    def test_a_key_that_is_gone(self):
        with self.session(rw=True) as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label="lost", store=True,
                                 template={pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True})
        self.add(self.token.uri("lost"), "--pin-file", self.pin)
        with self.session(rw=True) as session:
            key, = session.get_objects({pkcs11.Attribute.LABEL: "lost"})
            key.destroy()
        self.fails(7, ["seal", "unseal", "--pin-file", self.pin], "no AES key of that name")


if __name__ == "__main__":
    if not devices.have_token():
        print("SoftHSM is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]])
