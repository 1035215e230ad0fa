"""usage: signing_test.py BIN. Signatures of models against the PyPI tool `model-signing`, with keys and certificates that
openssl makes; and what the policies do with them at import and at each load."""
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

TINY = os.path.join(here, "..", "golden", "tiny")
ROW = json.dumps({"tokens": [1, 5, 9], "n": 3}) + "\n"


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **options).stdout


def make_key(folder, name, curve):
    path = os.path.join(folder, name + ".pem")
    openssl("ecparam", "-genkey", "-name", curve, "-noout", "-out", path)
    openssl("ec", "-in", path, "-pubout", "-out", os.path.join(folder, name + ".pub"))
    return path


def certify(folder, name, authority, usage, days=30):
    """A certificate for name.pem by authority.{pem,crt}; days < 0: expired."""
    request = openssl("req", "-new", "-key", f"{folder}/{name}.pem", "-subj", f"/CN={name}")
    extensions = os.path.join(folder, "extensions")
    Path(extensions).write_text(f"keyUsage=critical,{usage}\nsubjectAltName=email:{name}@example.org\n"
                                "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    arguments = ["-days", str(days)] if days > 0 else ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
    command = ["x509", "-req", "-CA", f"{folder}/{authority}.crt", "-CAkey", f"{folder}/{authority}.pem", "-CAcreateserial",
               "-extfile", extensions, "-out", f"{folder}/{name}.crt"]
    if days > 0:
        openssl(*command, *arguments, input=request)
    else:
        # openssl 3.0 has no dates in x509: a small authority does it.
        database = os.path.join(folder, "ca-" + name)
        os.makedirs(database)
        Path(database, "index.txt").touch()
        Path(database, "serial").write_text("01\n")
        Path(database, "cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}/index.txt\nserial={database}/serial\nnew_certs_dir={database}\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        Path(database, "request").write_bytes(request)
        openssl("ca", "-batch", "-config", f"{database}/cnf", "-cert", f"{folder}/{authority}.crt", "-keyfile",
                f"{folder}/{authority}.pem", "-in", f"{database}/request", "-out", f"{folder}/{name}.crt", "-notext",
                "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", extensions)


class Case(harness.Bare):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment |= {"XDG_CONFIG_HOME": os.path.join(cls.root, "config")}
        cls.keys = os.path.join(cls.root, "keys")
        os.makedirs(cls.keys)
        for name, curve in (("p256", "prime256v1"), ("p384", "secp384r1"), ("other", "prime256v1"), ("ca", "secp384r1"),
                            ("alice", "prime256v1"), ("old", "prime256v1"), ("agent", "prime256v1")):
            make_key(cls.keys, name, curve)
        openssl("req", "-x509", "-new", "-key", f"{cls.keys}/ca.pem", "-subj", "/CN=our authority", "-days", "365", "-out",
                f"{cls.keys}/ca.crt", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign")
        certify(cls.keys, "alice", "ca", "digitalSignature")
        certify(cls.keys, "old", "ca", "digitalSignature", days=-1)
        certify(cls.keys, "agent", "ca", "keyAgreement")

    def setUp(self):
        self.model = os.path.join(self.root, "model")
        shutil.rmtree(self.model, ignore_errors=True)
        os.makedirs(os.path.join(self.model, "more"))
        shutil.copy(os.path.join(TINY, "gemma3.gguf"), self.model)
        Path(self.model, "README.md").write_text("about it")
        Path(self.model, "more", "a-b").write_text("1")
        Path(self.model, "more-c").write_text("2")

    def key(self, name):
        return os.path.join(self.keys, name)

    def theirs(self, *arguments):
        done = subprocess.run([sys.executable, "-m", "model_signing", *arguments], capture_output=True, text=True)
        return done

    def trusting(self, *names):
        return ["--policy.trust_keys", ",".join(self.key(n) for n in names)]


class Tool(Case):
    def test_ours_verifies_there_and_theirs_here_with_keys(self):
        for name in ("p256", "p384"):
            for target in (self.model, os.path.join(self.model, "gemma3.gguf")):
                signature = os.path.join(self.root, "ours.sig")
                self.ok(["sign", target, "--key", self.key(name + ".pem"), "-o", signature])
                done = self.theirs("verify", "key", target, "--signature", signature, "--public_key", self.key(name + ".pub"))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                done = self.theirs("verify", "key", target, "--signature", signature, "--public_key", self.key("other.pub"))
                self.assertNotEqual(done.returncode, 0)
                done = self.theirs("sign", "key", target, "--signature", signature, "--private_key", self.key(name + ".pem"))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                verify = ["verify", target, "--signature", signature, "--key"]
                self.ok(verify + [self.key(name + ".pub")])
                self.fails(6, verify + [self.key("other.pub")], "not trusted")

    def test_certificates_both_ways(self):
        signature = os.path.join(self.root, "certified.sig")
        chain = os.path.join(self.root, "chain.pem")
        Path(chain).write_bytes(Path(self.key("alice.crt")).read_bytes() + Path(self.key("ca.crt")).read_bytes())
        self.ok(["sign", self.model, "--key", self.key("alice.pem"), "--cert", chain, "-o", signature])
        done = self.theirs("verify", "certificate", self.model, "--signature", signature, "--certificate_chain",
                           self.key("ca.crt"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.theirs("sign", "certificate", self.model, "--signature", signature, "--private_key",
                           self.key("alice.pem"), "--signing_certificate", self.key("alice.crt"), "--certificate_chain",
                           self.key("ca.crt"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        verify = ["verify", self.model, "--signature", signature, "--ca", self.key("ca.crt"), "--identity"]
        for name in ("alice", "alice@example.org"):
            self.ok(verify + [name])
        self.fails(6, verify + ["bob"], "not that of bob")
        self.fails(2, verify[:-1], "whose signature")
        self.fails(2, ["sign", self.model, "--key", self.key("p256.pem"), "--cert", chain], "not that of the key")

    def test_certificates_that_do_not_count(self):
        for name, why in (("old", "expired"), ("agent", "not meant for signatures")):
            signature = os.path.join(self.root, name + ".sig")
            self.ok(["sign", self.model, "--key", self.key(name + ".pem"), "--cert", self.key(name + ".crt"), "-o",
                     signature])
            self.fails(6, ["verify", self.model, "--signature", signature, "--ca", self.key("ca.crt"), "--identity", name],
                       why)
        openssl("req", "-x509", "-new", "-key", self.key("other.pem"), "-subj", "/CN=another", "-days", "9", "-out",
                self.key("another.crt"))
        signature = os.path.join(self.root, "alice.sig")
        self.ok(["sign", self.model, "--key", self.key("alice.pem"), "--cert", self.key("alice.crt"), "-o", signature])
        self.fails(6, ["verify", self.model, "--signature", signature, "--ca", self.key("another.crt"), "--identity",
                       "alice"], "not accepted")

    def test_what_changed_is_named(self):
        sign = ["sign", self.model, "--key", self.key("p256.pem")]
        verify = ["verify", self.model, "--key", self.key("p256.pub")]
        self.ok(sign)
        self.ok(verify)
        Path(self.model, "more", "a-b").write_text("x")
        self.fails(6, verify, "more/a-b was altered")
        Path(self.model, "more", "a-b").unlink()
        self.fails(6, verify, "more/a-b is missing")
        Path(self.model, "more", "a-b").write_text("1")
        Path(self.model, "evil.py").write_text("1")
        self.fails(6, verify, "evil.py is not signed")
        os.remove(os.path.join(self.model, "evil.py"))
        os.symlink("README.md", os.path.join(self.model, "link"))
        self.fails(2, verify, "symbolic links")
        self.fails(2, sign, "symbolic links")
        os.remove(os.path.join(self.model, "link"))
        os.remove(os.path.join(self.model, "model.sig"))
        self.fails(6, verify, "no signature")
        self.fails(2, ["sign", self.model], "--key")
        self.fails(2, ["sign", self.model, "--key", self.key("p256.pub")], "not a private key")


class Policy(Case):
    def setUp(self):
        super().setUp()
        shutil.rmtree(self.environment["HOLDFAST_DATA_DIR"], ignore_errors=True)
        self.ok(["seal", "slot", "add", "--kind", "file"])

    def load(self, status, *settings, why=""):
        done = self.run_([*settings, "eval", "greedy", "m", "--input", "-"], stdin=ROW)
        self.assertEqual(done.returncode, status, done.stderr)
        if why:
            self.assertRegex(done.stderr, why)

    def signature(self):
        model, = json.loads(self.ok(["ls", "--json"]).stdout)
        return model["signature"]

    def test_unsigned_is_signed_by_this_instance(self):
        os.remove(os.path.join(self.model, "README.md"))
        self.ok(["import", self.model, "--name", "m"])
        self.assertEqual(self.signature(), "publisher: none")
        self.load(0)
        self.load(6, "--policy.signatures", "publisher", why="no trusted publisher")
        self.load(0, "--policy.signatures", "off")
        self.assertIn("signed by this instance", self.ok(["verify", "m"]).stdout)
        # The signature follows the pack when that is written anew.
        self.ok(["seal", "rotate", "dek", "m"])
        self.load(0)
        self.fails(6, ["--policy.signatures", "publisher", "import", self.model, "--name", "n"], "no signature lies beside")
        # Another instance's key signs nothing here.
        manifest, = Path(self.environment["HOLDFAST_DATA_DIR"], "models").glob("m/*.json")
        whole = json.loads(manifest.read_text())
        changed = dict(whole)
        del changed["signature"]
        manifest.write_text(json.dumps(changed))
        self.load(6, why="has no signature")
        self.load(0, "--policy.signatures", "warn", why="has no signature")
        self.ok(["sign", "m"])
        self.load(0)
        self.ok(["sign", "m", "--key", self.key("other.pem")])
        self.load(6, why="not trusted")
        self.load(0, *self.trusting("other.pub"))

    def test_publisher(self):
        self.ok(["sign", self.model, "--key", self.key("p384.pem"), "--model-version", "7"])
        trust = self.trusting("p384.pub")
        self.fails(6, ["import", self.model, "--name", "m"], "not trusted")
        self.ok([*trust, "import", self.model, "--name", "m"])
        self.assertRegex(self.signature(), "publisher: key [0-9a-f]{12}")
        self.load(0, *trust)
        self.load(0, *trust, "--policy.signatures", "publisher")
        self.load(6, why="not trusted")
        spki = openssl("ec", "-pubin", "-in", self.key("p384.pub"), "-outform", "DER")
        digest = openssl("dgst", "-sha256", "-r", input=spki).decode().split()[0]
        self.load(6, *trust, "--policy.revoked", digest, why="revoked")
        self.load(0, *trust, "--policy.version_floor", '{m = "7"}')
        self.load(6, *trust, "--policy.version_floor", '{m = "8"}', why="older than policy.version_floor")
        self.ok([*trust, "seal", "rotate", "dek", "m"])
        self.load(0, *trust, "--policy.signatures", "publisher")
        # The signature of the pack as another program reads it.
        data = self.environment["HOLDFAST_DATA_DIR"]
        pack, = Path(data, "packs").glob("*.hfc")
        dek = self.ok([*trust, "seal", "reveal-dek", "m", "-y"]).stdout.strip()
        reader = [sys.executable, os.path.join(here, "..", "..", "tools", "hfc_reader"), str(pack), "--dek", dek, "signature",
                  "--key"]
        subprocess.run(reader + [self.key("p384.pub")], check=True, capture_output=True)
        self.assertEqual(subprocess.run(reader + [self.key("other.pub")], capture_output=True).returncode, 6)

    def test_altered_files_are_not_imported(self):
        self.ok(["sign", self.model, "--key", self.key("p256.pem")])
        trust = self.trusting("p256.pub")
        with open(os.path.join(self.model, "gemma3.gguf"), "r+b") as f:
            f.seek(-1, os.SEEK_END)
            last = f.read(1)
            f.seek(-1, os.SEEK_END)
            f.write(bytes([last[0] ^ 1]))
        self.fails(6, [*trust, "import", self.model, "--name", "m"], "gemma3.gguf was altered")
        self.assertEqual(json.loads(self.ok(["ls", "--json"]).stdout), [])

    def test_a_stored_signature_does_not_move(self):
        self.ok(["sign", self.model, "--key", self.key("p256.pem")])
        trust = self.trusting("p256.pub")
        self.ok([*trust, "import", self.model, "--name", "signed"])
        self.ok(["import", os.path.join(TINY, "gemma2.gguf"), "--name", "m"])
        models = Path(self.environment["HOLDFAST_DATA_DIR"], "models")
        good, victim = (json.loads(next(models.glob(n + "/*.json")).read_text()) for n in ("signed", "m"))
        victim["signature"] = good["signature"]
        next(models.glob("m/*.json")).write_text(json.dumps(victim))
        self.load(6, *trust, why="another model")

    def test_a_bundle_takes_the_publishers_signature_along(self):
        self.ok(["sign", self.model, "--key", self.key("p256.pem")])
        trust = self.trusting("p256.pub")
        self.ok([*trust, "import", self.model, "--name", "m"])
        secret, bundle = os.path.join(self.root, "secret"), os.path.join(self.root, "m.tar")
        Path(secret).write_text("correct horse battery\n")
        Path(bundle).unlink(missing_ok=True)
        self.ok([*trust, "export", "m", "-o", bundle, "--passphrase-file", secret])
        self.ok(["verify", bundle, "--key", self.key("p256.pub")])
        self.fails(6, ["verify", bundle, "--key", self.key("other.pub")], "not trusted")
        self.ok(["rm", "m", "-y"])
        self.fails(6, ["import", bundle, "--passphrase-file", secret], "not trusted")
        self.ok([*trust, "import", bundle, "--passphrase-file", secret])
        self.load(0, *trust, "--policy.signatures", "publisher")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
