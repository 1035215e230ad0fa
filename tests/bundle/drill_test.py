"""A backup is taken, the machine is lost, and the instance comes back. Oracles: what the model answers before and after; tarfile,
hashlib and sqlite3 on the backup itself."""
import hashlib
import json
import random
import shutil
import sqlite3
import tarfile

import sites  # noqa: F401  (takes the folder of programs from the command line)
from sites import HOLDFAST, Case, Site, flipped, harness, killed_after, main, os, time


class Drill(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home.ok("cp", "smol", "other:v2")
        cls.home.ok("policy", "stage", "other:v2", "candidate")
        cls.key = cls.home.json("key", "create", "--role", "inference", "--tenant", "acme", "--json")["key"]
        cls.backup = cls.path("full.tar")
        cls.home.ok("backup", "-o", cls.backup, "--with-models")

    def elsewhere(self, name):
        """Another data directory on a machine that has the key file."""
        site = self.site(name, keyring=False)
        site.environment["XDG_CONFIG_HOME"] = self.home.environment["XDG_CONFIG_HOME"]
        return site

    def test_the_instance_comes_back(self):
        there = self.elsewhere("there")
        done = there.json("restore", self.backup, "--json")
        self.assertEqual((done["models"], done["packs"]), (2, 1))
        self.assertEqual(done["key_files"], [os.path.join(self.home.environment["XDG_CONFIG_HOME"], "holdfast", "root.key")])
        self.assertEqual(there.document("ls", "--json"), self.home.document("ls", "--json"))
        self.assertEqual(there.document("seal", "status", "--json")["state"], "open")
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))
        there.ok("seal", "rotate", "kek")
        self.assertEqual(there.answer("other:v2"), self.home.answer("smol"))
        keys = [k["id"] for k in there.document("key", "ls", "--json")]
        self.assertEqual(keys, [self.key.split("_")[1]])
        for folder, _, files in os.walk(there.data):
            self.assertEqual(os.stat(folder).st_mode & 0o077, 0, folder)
            for name in files:
                self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o077, 0, name)
        case = type("Env", (), {"root": self.root, "environment": there.environment})
        with harness.Server(case) as server:
            self.assertEqual(server.request("/v1/models", key=self.key)[0], 200)
            self.assertEqual(server.request("/v1/models", key=self.key[:-8] + "AA_" + self.key[-6:][:5])[0], 401)

    def test_another_program_reads_it(self):
        with tarfile.open(self.backup) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
        listed = json.loads(files.pop("backup.json"))
        files.pop("backup.sha256")
        self.assertEqual({f["name"]: f["sha256"] for f in listed["files"]},
                         {name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
        with open(os.path.join(self.home.data, "keyring.hfk"), "rb") as f:
            self.assertEqual(files["keyring.hfk"], f.read())
        self.assertEqual(int.from_bytes(files["keyring.hfk"][24:32], "big"), listed["generation"])
        database = sqlite3.connect(":memory:")
        database.deserialize(files["state.db"])
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        self.assertEqual(database.execute("SELECT count(*) FROM wrapped_keys WHERE purpose='dek.weights'").fetchone(), (1,))
        self.assertEqual(os.stat(self.backup).st_mode & 0o777, 0o600)
        self.assertNotIn(b"<|im_start|>", b"".join(files.values()))

    def test_while_a_server_runs(self):
        case = type("Env", (), {"root": self.root, "environment": self.home.environment})
        with harness.Server(case):
            self.home.ok("backup", "-o", self.path("live.tar"))
        there = self.elsewhere("live")
        there.ok("restore", self.path("live.tar"))
        self.assertEqual(there.document("seal", "status", "--json")["models"], 1)

    def test_without_weights(self):
        self.home.ok("backup", "-o", self.path("small.tar"))
        there = self.elsewhere("small")
        done = there.run("restore", self.path("small.tar"))
        self.assertRegex(done.stderr, "weights are not in the backup")
        self.fails(6, there, "run", "smol", "x", says="missing")
        shutil.copytree(os.path.join(self.home.data, "packs"), os.path.join(there.data, "packs"), dirs_exist_ok=True)
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))

    def test_damage_is_refused(self):
        there = self.elsewhere("damage")
        with open(self.backup, "rb") as f:
            whole = f.read()
        for at in (5, 600, 1100, 2600, 4000, len(whole) // 2, len(whole) - 20000, len(whole) - 1):
            self.fails(6, there, "restore", self.file("damaged.tar", flipped(whole, at)), says="damaged")
        self.fails(6, there, "restore", self.file("short.tar", whole[:len(whole) // 2]), says="damaged")
        self.fails(6, there, "restore", self.file("none.tar", b"nothing"), says="damaged")
        self.assertFalse(os.path.exists(os.path.join(there.data, "keyring.hfk")))
        self.assertFalse(os.path.exists(os.path.join(there.data, "restore.partial")))

    def test_an_instance_is_not_overwritten(self):
        with open(os.path.join(self.home.data, "keyring.hfk"), "rb") as f:
            before = f.read()
        self.fails(5, self.home, "restore", self.backup, says="already")
        with open(os.path.join(self.home.data, "keyring.hfk"), "rb") as f:
            self.assertEqual(f.read(), before)
        self.fails(5, self.home, "backup", "-o", self.backup, says="exists")
        empty = Site(self.path("nothing"), keyring=False)
        self.fails(3, empty, "backup", "-o", self.path("x.tar"), says="no data directory")

    def test_going_back_is_refused(self):
        """An older backup of the same instance, and the old keyring file by hand."""
        there = self.elsewhere("rollback")
        there.ok("restore", self.backup)
        old = os.path.join(there.data, "keyring.hfk")
        shutil.copy(old, self.path("old.hfk"))
        there.ok("seal", "slot", "add", "--kind", "recovery", "--json")
        self.fails(5, there, "restore", self.backup, says="newer than the backup.*\n.*revive keys")
        shutil.copy(self.path("old.hfk"), old)
        os.chmod(old, 0o600)
        self.fails(6, there, "run", "smol", "x", says="older")

    def test_an_interrupted_restore_is_repeated(self):
        there = self.elsewhere("interrupted")
        os.makedirs(os.path.join(there.data, "restore.partial", "models"))
        with open(os.path.join(there.data, "restore.partial", "state.db"), "wb") as f:
            f.write(b"half")
        with open(os.path.join(there.data, "state.db"), "wb") as f:
            f.write(b"moved already")
        there.ok("restore", self.backup)
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))
        self.assertFalse(os.path.exists(os.path.join(there.data, "restore.partial")))

    def test_killed_at_any_time_it_is_repeated(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"seed {seed}")
        chance = random.Random(seed)
        there = self.elsewhere("killed")
        command = [HOLDFAST, "restore", self.backup]
        began = time.monotonic()
        self.elsewhere("timed").ok("restore", self.backup)
        whole = time.monotonic() - began
        for _ in range(10):
            if not killed_after(chance.uniform(0, whole), command, there.environment):
                there = self.elsewhere("killed")  # it was done: from the beginning
        done = there.run("restore", self.backup)
        self.assertIn(done.returncode, (0, 5), done.stderr)  # 5: the last one was killed behind its end
        self.assertEqual(there.answer("smol"), self.home.answer("smol"))


if __name__ == "__main__":
    main()
