"""A model goes to another site in one file. Oracles: tarfile, hashlib, argon2-cffi and tools/hfc_reader, which share no code with
ours; and what the model answers at both sites."""
import hashlib
import io
import json
import random
import sys
import tarfile

import sites  # noqa: F401  (takes the folder of programs from the command line)
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sites import HOLDFAST, READER, SMOLLM2, Case, Site, flipped, killed_after, main, os, signal, subprocess, time

TYPES = {"application/vnd.holdfast.provenance.v1+json", "application/vnd.holdfast.transport-key.v1+json",
         "application/vnd.cyclonedx+json", "application/vnd.holdfast.pack.v1"}


class Layout:
    """The OCI image layout in a bundle, checked as its specification says."""

    def __init__(self, test, path):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            self.files = {m.name: tar.extractfile(m).read() for m in members}
        test.assertEqual(len(members), len(self.files))
        for member in members:
            test.assertTrue(member.isfile())
            test.assertEqual((member.mtime, member.uid, member.gid, member.mode), (0, 0, 0, 0o644))
        test.assertEqual(json.loads(self.files["oci-layout"]), {"imageLayoutVersion": "1.0.0"})
        index = json.loads(self.files["index.json"])
        test.assertEqual((index["schemaVersion"], len(index["manifests"])), (2, 1))
        self.manifest = json.loads(self.blob(test, index["manifests"][0]))
        test.assertEqual(self.manifest["schemaVersion"], 2)
        test.assertEqual(self.manifest["artifactType"], "application/vnd.holdfast.model.v1")
        self.config = json.loads(self.blob(test, self.manifest["config"]))
        self.layers = {d["mediaType"]: self.blob(test, d) for d in self.manifest["layers"]}
        test.assertEqual(len(self.files), 4 + len(self.layers))

    def blob(self, test, descriptor):
        content = self.files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        test.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), descriptor["digest"])
        test.assertEqual(len(content), descriptor["size"])
        return content


def transport_kek(layout, passphrase):
    """docs/formats/bundle.md, "Key"."""
    pack = layout.layers["application/vnd.holdfast.pack.v1"]
    key = json.loads(layout.layers["application/vnd.holdfast.transport-key.v1+json"])
    digest = hashlib.sha256(pack[:992]).digest()
    salt = hashlib.sha256(b"holdfast/bundle-salt/v1\0" + digest).digest()[:16]
    assert key["kdf"] == "argon2id" and key["salt"] == salt.hex()
    stretched = hash_secret_raw(passphrase, salt, key["passes"], key["memory_kib"], key["lanes"], 32, Type.ID)
    return HKDF(algorithm=hashes.SHA256(), length=44, salt=digest, info=b"holdfast/bundle/v1").derive(stretched)[:32]


def read(pack, *arguments):
    return subprocess.run([sys.executable, READER, pack, *arguments], capture_output=True, text=True)


class OfflineSite(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bundle = cls.path("smol.tar")
        cls.home.ok("export", "smol", "-o", cls.bundle, *cls.with_secret)

    def test_another_program_reads_it(self):
        layout = Layout(self, self.bundle)
        self.assertEqual(set(layout.layers), TYPES)
        self.assertEqual(layout.config["name"], "smol:latest")
        pack = self.file("pack", layout.layers["application/vnd.holdfast.pack.v1"])
        self.assertEqual(layout.config["pack"], hashlib.sha256(layout.layers["application/vnd.holdfast.pack.v1"][:992]).hexdigest())
        listed = read(pack, "--kek", transport_kek(layout, b"correct horse").hex(), "list")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn("tokenizer", listed.stdout)
        self.assertEqual(read(pack, "--kek", transport_kek(layout, b"battery staple").hex()).returncode, 6)
        self.assertEqual(os.stat(self.bundle).st_mode & 0o777, 0o600)

    def test_nothing_of_the_home_site_travels_but_the_pack(self):
        layout = Layout(self, self.bundle)
        pack = layout.layers["application/vnd.holdfast.pack.v1"]
        self.assertEqual(pack[1024 + 8:1024 + 24], b"holdfast.bundle1")
        self.assertEqual(pack[1280:4096], bytes(4096 - 1280), "slots of this instance")
        with open(self.bundle, "rb") as f:
            whole = f.read()
        with open(SMOLLM2, "rb") as f:
            f.seek(-4096, os.SEEK_END)
            weights = f.read(64)
        self.assertNotIn(weights, whole)
        for canary in (b"<|im_start|>", self.root.encode(), b"correct horse"):
            self.assertNotIn(canary, whole)

    def test_it_answers_the_same_at_the_other_site(self):
        there = self.site("there")
        done = there.json("import", self.bundle, "--json", *self.with_secret)
        self.assertEqual((done["model"], done["sealed"], done["was_there"]), ("smol:latest", True, False))
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))
        model, = there.document("ls", "--json")
        ours, = self.home.document("ls", "--json")
        self.assertEqual(model["source_digest"], ours["source_digest"])
        self.assertNotEqual(model["digest"], ours["digest"], "the key of the home site is in use")
        self.assertEqual(model["origin"], {"kind": "file", "location": os.path.basename(SMOLLM2), "revision": ""})
        self.assertEqual(model["imported"], ours["imported"])
        hop, = model["hops"]
        self.assertEqual(hop["exported"]["uid"], os.geteuid())
        self.assertLessEqual(hop["exported"]["at"], hop["imported"]["at"])
        self.assertTrue(there.json("import", self.bundle, "--json", "--name", "twin", *self.with_secret)["was_there"])

    def test_keys_of_the_two_sites_differ(self):
        there = self.site("keys")
        there.ok("import", self.bundle, *self.with_secret)
        ours, theirs = (s.ok("seal", "reveal-dek", "smol", "-y").strip() for s in (self.home, there))
        self.assertNotEqual(ours, theirs)
        pack, = (p for p in there.packs() if p.endswith(".hfc"))
        self.assertEqual(read(pack, "--dek", theirs, "list").returncode, 0)
        self.assertEqual(read(pack, "--dek", ours, "list").returncode, 6)

    def test_onward_keeps_the_history(self):
        there, third = self.site("second"), self.site("third")
        there.ok("import", self.bundle, *self.with_secret)
        onward = self.path("onward.tar")
        there.ok("export", "smol", "-o", onward, *self.with_secret)
        third.ok("import", onward, *self.with_secret)
        model, = third.document("ls", "--json")
        self.assertEqual(len(model["hops"]), 2)
        self.assertTrue(all("imported" in hop for hop in model["hops"]))
        self.assertEqual(model["origin"]["location"], os.path.basename(SMOLLM2))

    def test_same_input_same_bytes(self):
        digests = set()
        for name in ("one.tar", "two.tar"):
            self.home.ok("export", "smol", "-o", self.path(name), *self.with_secret, env={"SOURCE_DATE_EPOCH": "1750000000"})
            with open(self.path(name), "rb") as f:
                digests.add(hashlib.file_digest(f, "sha256").hexdigest())
        self.assertEqual(len(digests), 1)

    def test_refusals(self):
        there = self.site("refusals")
        wrong = self.file("wrong", b"battery staple\n")
        self.fails(4, there, "import", self.bundle, "--passphrase-file", wrong, says="does not open the bundle")
        self.fails(2, there, "import", self.bundle, says="--passphrase-file")
        self.fails(5, self.home, "export", "smol", "-o", self.bundle, *self.with_secret, says="exists")
        self.fails(3, self.home, "export", "nobody", "-o", self.path("x.tar"), says="no model")
        self.fails(2, self.home, "export", "smol", "-o", self.path("x.tar"), says="--passphrase-file")
        self.fails(2, self.home, "export", "smol", "-o", self.path("x.tar"), "--plain", says="error: unsupported: packs hold")
        self.assertFalse(os.path.exists(self.path("x.tar")))
        self.assertEqual(there.document("ls", "--json"), [])

    def test_damage_is_refused_before_anything_is_kept(self):
        there = self.site("damage")
        with open(self.bundle, "rb") as f:
            whole = f.read()
        middle = len(whole) // 2
        for at in (600, 1600, 2700, 5000, middle, len(whole) - 12000, len(whole) - 3):
            damaged = self.file("damaged.tar", flipped(whole, at))
            self.fails(6, there, "import", damaged, *self.with_secret, says="damaged")
        for end in (0, 700, middle, len(whole) - 512):
            done = there.run("import", self.file("short.tar", whole[:end]), *self.with_secret)
            self.assertIn(done.returncode, (2, 6), done.stderr)
        self.assertEqual(there.document("ls", "--json"), [])
        self.assertEqual(there.packs(), [])

    def test_names_that_lead_elsewhere(self):
        there = self.site("names")
        outside = self.path("outside")
        for name in ("../outside", outside, "blobs/sha256/../../../outside"):
            for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                made = io.BytesIO()
                with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                    member = tarfile.TarInfo(name)
                    member.type = kind
                    member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
                    tar.addfile(member, io.BytesIO())
                done = there.run("import", self.file("evil.tar", made.getvalue()))
                self.assertIn(done.returncode, (2, 6), done.stderr)
        self.assertFalse(os.path.exists(outside))

    def test_other_archives_are_named_for_what_they_are(self):
        there = self.site("others")
        made = io.BytesIO()
        manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
        digest = hashlib.sha256(manifest).hexdigest()
        index = json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + digest,
             "size": len(manifest)}]}).encode()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in (("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index),
                                  ("blobs/sha256/" + digest, manifest)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        self.fails(2, there, "import", self.file("image.tar", made.getvalue()), says="not a model of Holdfast")

    def test_repacked_by_another_program(self):
        """The layout counts, not the archive around it."""
        there = self.site("repacked")
        with tarfile.open(self.bundle) as old, tarfile.open(self.path("repacked.tar"), "w",
                                                            format=tarfile.USTAR_FORMAT) as new:
            for name in ("blobs", "blobs/sha256"):
                folder = tarfile.TarInfo(name)
                folder.type = tarfile.DIRTYPE
                new.addfile(folder)
            for member in reversed(old.getmembers()):
                new.addfile(member, old.extractfile(member))
        there.ok("import", self.path("repacked.tar"), *self.with_secret)

    def interrupted(self, there):
        """Kills an import once a part of the pack is sealed; false where it was too quick for that."""
        process = subprocess.Popen([HOLDFAST, "import", self.bundle, *self.with_secret], env=there.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        folder = os.path.join(there.data, "packs")
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                if name.endswith(".resumable"):
                    with open(os.path.join(folder, name), "rb") as f:
                        if f.read(4) == b"HFCP":
                            process.send_signal(signal.SIGKILL)
            time.sleep(0.0005)
        return process.wait() == -signal.SIGKILL

    def test_an_interrupted_import_goes_on(self):
        for attempt in range(20):
            there = self.site(f"interrupted{attempt}")
            if not self.interrupted(there):
                continue
            self.assertEqual(there.document("ls", "--json"), [])
            left, = there.packs()
            self.assertTrue(left.endswith(".resumable"))
            done = there.json("import", self.bundle, "--json", *self.with_secret)
            if done["resumed_bytes"] == 0:
                continue
            self.assertGreaterEqual(done["resumed_bytes"], 16 << 20)
            self.assertEqual(there.answer("smol"), self.home.answer("smol"))
            self.assertEqual([p for p in there.packs() if not p.endswith(".hfc")], [])
            return
        self.fail("no import could be interrupted in time")

    def test_killed_at_any_time_it_leaves_no_model_or_a_whole_one(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"seed {seed}")
        chance = random.Random(seed)
        there = self.site("killed")
        began = time.monotonic()
        self.site("timed").ok("import", self.bundle, *self.with_secret)
        whole = time.monotonic() - began
        for _ in range(12):
            killed_after(chance.uniform(0, whole), [HOLDFAST, "import", self.bundle, *self.with_secret], there.environment)
            for model in there.document("ls", "--json"):
                self.assertEqual(there.answer(model["name"]), self.home.answer("smol"))
                there.ok("rm", model["name"], "-y")
        there.ok("import", self.bundle, *self.with_secret)
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))

    def test_what_nobody_goes_on_with_is_removed_after_a_week(self):
        there = self.site("week")
        there.ok("ls")
        left = os.path.join(there.data, "packs", "ab" * 32 + ".resumable")
        for days, stays in ((6, True), (8, False)):
            with open(left, "wb"):
                pass
            os.utime(left, (time.time() - days * 86400,) * 2)
            there.ok("ls")
            self.assertEqual(os.path.exists(left), stays)

    def test_an_interrupted_export_leaves_no_bundle(self):
        out = self.path("killed.tar")
        process = subprocess.Popen([HOLDFAST, "export", "smol", "-o", out, *self.with_secret], env=self.home.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            parts = [n for n in os.listdir(self.root) if n.startswith("killed.tar.")]
            if parts and os.path.getsize(self.path(parts[0])) > 1 << 20:
                process.kill()
                break
        process.wait()
        if process.returncode == -signal.SIGKILL:
            self.assertFalse(os.path.exists(out))
        self.home.ok("export", "smol", "-o", self.path("again.tar"), *self.with_secret)

    def test_packs_that_are_not_sealed(self):
        plain = Site(self.path("plain"), keyring=False)
        plain.ok("import", SMOLLM2, "--name", "smol", "--store.seal", "off")
        out = self.path("plain.tar")
        self.assertRegex(plain.run("export", "smol", "-o", out).stderr, "not sealed")
        self.assertNotIn("application/vnd.holdfast.transport-key.v1+json", Layout(self, out).layers)
        other = Site(self.path("plain2"), keyring=False)
        self.assertFalse(other.json("import", out, "--json")["sealed"])
        sealed = self.site("plain3")
        self.assertTrue(sealed.json("import", out, "--json")["sealed"])
        answers = {site.answer("smol") for site in (plain, other, sealed, self.home)}
        self.assertEqual(len(answers), 1)


if __name__ == "__main__":
    main()
