"""Which process holds which key: their memory is searched, from outside, for keys that keyring_reader.py and hfc_reader
compute. Keys in memfd_secret cannot be read even by root: what is found are copies that should not be there."""
import importlib.machinery
import importlib.util
import json
import os
import sys
import unittest
from pathlib import Path

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "e2e"))
sys.path.insert(0, here)
import harness  # noqa: E402
from keyring_reader import Keyring, factor_key, rows, unwrap  # noqa: E402

TINY = os.path.join(here, "..", "golden", "tiny", "gemma3.gguf")


def reader():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("hfc_reader", os.path.join(here, "..", "..", "tools", "hfc_reader"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("hfc_reader", loader))
    loader.exec_module(module)
    return module


def memory(pid):
    """Every mapping that can be read."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            fields = line.split()
            if "r" not in fields[1] or fields[-1] in ("[vvar]", "[vsyscall]"):
                continue
            first, last = (int(n, 16) for n in fields[0].split("-"))
            try:
                mem.seek(first)
                yield fields[-1], mem.read(last - first)
            except (OSError, ValueError, OverflowError):
                pass


def found(pid, secrets):
    """Names of the secrets that stand in a process's memory."""
    return {name for _, content in memory(pid) for name, secret in secrets.items() if secret in content}


class Keys(harness.Bare):
    def secrets(self):
        data = self.environment["HOLDFAST_DATA_DIR"]
        keyring = Keyring(os.path.join(data, "keyring.hfk"))
        slot, content = keyring.slots[0], Path(self.key_file).read_bytes()
        (kind, params), = slot["factors"]
        out = {"key file": content, "factor key": factor_key(kind, params, slot["id"], content)}
        root = out["root key"] = keyring.root(slot, [content])
        database = os.path.join(data, "state.db")
        (ident, _, blob), = rows(database, "kek.weights")
        out["kek"] = unwrap(root, b"kek.weights", ident, blob)
        (model, _, blob), = rows(database, "dek.weights")
        out["dek"] = unwrap(out["kek"], b"dek.weights", model, blob)
        pack, = Path(data, "packs").glob("*.hfc")
        head = pack.read_bytes()[:4096]
        out["content key"], _, out["header key"] = reader().content_keys(out["dek"], head[6], head[64:96], model)
        return out

    def test_each_process_has_its_own_and_no_other(self):
        self.environment["XDG_CONFIG_HOME"] = os.path.join(self.root, "config")
        self.key_file = os.path.join(self.root, "config", "holdfast", "root.key")
        self.ok(["seal", "slot", "add", "--kind", "file", "--path", self.key_file])
        self.ok(["import", TINY, "--name", "tiny"])
        with harness.Server(self, "tiny") as server:
            canary = "canary-" + os.urandom(8).hex()
            asked = server.post("/v1/completions", json.dumps({"model": "tiny", "prompt": canary, "max_tokens": 1}))
            self.assertEqual(asked[0], 200, asked)
            secrets = self.secrets()
            pid = server.process.pid
            holder, = harness.children_of(pid, "holdfast-keyholder")
            engine, = harness.engines_of(pid)
            try:
                with open(f"/proc/{pid}/mem", "rb"):
                    pass
            except PermissionError:
                self.skipTest("this user may not read the memory of other processes")
            # What is there is found: the server's own address, and bytes of each program's own file.
            self.assertEqual(found(pid, {"own": f"127.0.0.1:{server.port}".encode()}), {"own"})
            for child in (holder, engine):
                self.assertEqual(found(child, {"own": b"holdfast/weights/v1"}), {"own"}, child)
            self.assertEqual(found(pid, secrets), set(), "the process that parses HTTP")
            self.assertLessEqual(found(engine, secrets), {"content key", "header key"})
            memory_kind = json.loads(self.ok(["seal", "status", "--json"]).stdout)["memory"]
            in_holder = found(holder, secrets)
            if memory_kind == "memfd_secret":
                self.assertEqual(in_holder, set(), "copies of keys outside of their pages")
            print(f"in the holder ({memory_kind}): {sorted(in_holder)}; in the engine: {sorted(found(engine, secrets))}",
                  flush=True)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
