"""What lists and cards say of models. Oracle: the official schema of CycloneDX, and what the test did."""
import hashlib
import json
import pwd

import sites  # noqa: F401  (takes the folder of programs from the command line)
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sites import SMOLLM2, Case, harness, main, os


class Catalogue(Case):
    def user(self):
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return ""

    def valid(self, text):
        errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        self.assertIsNone(errors, errors)
        return json.loads(text)

    def test_lists_tell_where_models_are_from(self):
        model, = (m for m in self.home.document("ls", "--json") if m["name"] == "smol:latest")
        self.assertEqual(model["origin"], {"kind": "file", "location": os.path.basename(SMOLLM2), "revision": ""})
        self.assertEqual((model["imported"]["user"], model["imported"]["uid"]), (self.user(), os.geteuid()))
        self.assertEqual((model["stage"], model["hops"], model["sealed"]), ("production", [], True))
        self.assertIn(model["seal"], ("AES-256-GCM", "ChaCha20-Poly1305"))
        self.assertEqual(model["license"], "apache-2.0")
        self.assertTrue("signature" in model)
        self.assertRegex(self.home.ok("ls"), r"(?m)^NAME +ID +ARCH +QUANT +SIZE +SEALED +SIGNATURE +STAGE +CREATED")
        self.assertRegex(self.home.ok("ls", "--format", "wide"), rf"SIGNATURE.*ORIGIN[^$]*file {os.path.basename(SMOLLM2)}")
        card = self.home.ok("show", "smol")
        for text in ("Origin", "location  " + os.path.basename(SMOLLM2), "Imported", "seal ", "signature "):
            self.assertIn(text, card)
        self.assertNotIn(os.path.dirname(SMOLLM2), self.home.ok("show", "smol", "--json"), "paths tell of the machine")

    def test_manifests_of_before(self):
        self.home.ok("cp", "smol", "old")
        path = os.path.join(self.home.data, "models", "old", "latest.json")
        with open(path) as f:
            manifest = json.load(f)
        for member in ("provenance", "stage"):
            del manifest[member]
        with open(path, "w") as f:
            json.dump(manifest, f)
        model, = (m for m in self.home.document("ls", "--json") if m["name"] == "old:latest")
        self.assertEqual(model["stage"], "production")
        self.assertNotIn("origin", model)
        self.valid(self.home.ok("show", "old", "--bom"))
        self.home.ok("rm", "old", "-y")

    def test_a_retired_model_is_kept_and_not_used(self):
        self.home.ok("cp", "smol", "tired")
        self.home.ok("policy", "stage", "tired", "retired")
        self.fails(4, self.home, "run", "tired", "x", says="retired")
        case = type("Env", (), {"root": self.root, "environment": self.home.environment})
        with harness.Server(case) as server:
            listed = [m["id"] for m in json.loads(server.get("/v1/models")[1])["data"]]
            self.assertIn("smol:latest", listed)
            self.assertNotIn("tired:latest", listed)
            body = json.dumps({"model": "tired", "prompt": "x", "max_tokens": 1})
            status, text = server.post("/v1/completions", body)
            self.assertEqual(status // 100, 4, text)
        self.home.ok("policy", "stage", "tired", "production")
        self.home.answer("tired")
        self.fails(2, self.home, "policy", "stage", "tired", "asleep", says="candidate, production or retired")
        self.home.ok("rm", "tired", "-y")

    def test_bill_of_materials(self):
        bom = self.valid(self.home.ok("show", "smol", "--bom"))
        component, = bom["components"]
        self.assertEqual((component["type"], component["name"], component["version"]),
                         ("machine-learning-model", "smol", "latest"))
        with open(SMOLLM2, "rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        self.assertEqual(component["pedigree"]["ancestors"][0]["hashes"], [{"alg": "SHA-256", "content": digest}])
        self.assertEqual(component["licenses"], [{"license": {"id": "Apache-2.0"}}])
        self.assertEqual(component["modelCard"]["modelParameters"]["modelArchitecture"], "llama")
        properties = {p["name"]: p["value"] for p in component["properties"]}
        self.assertEqual(properties["holdfast:origin"], os.path.basename(SMOLLM2))
        self.assertNotEqual(properties["holdfast:sealed"], "no")
        self.assertIn("holdfast:signature", properties)

    def test_bill_of_what_is_loaded(self):
        self.home.ok("cp", "smol", "idle")
        case = type("Env", (), {"root": self.root, "environment": self.home.environment})
        with harness.Server(case, "smol"):
            bom = self.valid(self.home.ok("show", "--bom", "--loaded"))
            self.assertEqual([c["name"] for c in bom["components"]], ["smol"])
            self.home.ok("unload", "smol")
            bom = self.valid(self.home.ok("show", "--bom", "--loaded"))
            self.assertEqual(bom["components"], [])
        self.fails(7, self.home, "show", "--bom", "--loaded", says="server")
        self.fails(2, self.home, "show", "--loaded", says="--bom")
        self.fails(2, self.home, "show", says="MODEL")
        self.fails(2, self.home, "show", "smol", "--bom", "--loaded", says="no model")
        self.home.ok("rm", "idle", "-y")


if __name__ == "__main__":
    main()
