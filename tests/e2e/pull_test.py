"""`holdfast pull` against hubs and registries of its own (hub_stub.py): what arrives, what is refused, and what survives cuts
and kill -9. Oracle: the bytes that the stub has, what it was asked for, and how many bytes it sent; strace for who connects where."""
import hashlib
import json
import pathlib
import random
import socket
import threading

from harness import *
import hub_stub
from hub_stub import COMMIT, Hub

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = (ROOT / "tests/golden/tiny/llama-gqa-untied.gguf").read_bytes()
OTHER = (ROOT / "tests/golden/tiny/gemma3.gguf").read_bytes()
FOLDER = ROOT / "tests/golden/hf/llama"
MIB = 1 << 20
SHARD = 8 * MIB
STRACE = shutil.which("strace")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def fetchers():
    """Pids of the fetchers that this test's commands started, whoever is their parent now."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.realpath(f"/proc/{entry}/exe") == os.path.realpath(os.path.join(os.path.dirname(HOLDFAST), "holdfast-fetcher")):
                found.append(int(entry))
        except OSError:
            pass
    return found


class PullCase(Bare):
    def setUp(self):
        self.data = tempfile.mkdtemp(dir=self.root)
        self.hubs = []

    def tearDown(self):
        for hub in self.hubs:
            hub.close()

    def hub(self, files=None, **options):
        hub = Hub(files if files is not None else {"m-Q4_K_M.gguf": TINY, "README.md": b"hello"}, **options)
        self.hubs.append(hub)
        return hub

    def arguments(self, hub, source="org/repo", *more, allow=None):
        allowed = [hub.authority] if allow is None else allow
        return ["pull", source, "--data-dir", self.data, "--pull.hf_endpoint", hub.url,
                *(["--pull.allow_private", ",".join(allowed)] if allowed else []), *more]

    def pull(self, hub, *arguments, **options):
        return self.ok(self.arguments(hub, *arguments), **options)

    def refused(self, status, message, hub, *arguments, allow=None, **options):
        done = self.fails(status, self.arguments(hub, *arguments, allow=allow), message, **options)
        self.assertEqual(self.models(), [])
        return done

    def models(self):
        return [m["name"] for m in json.loads(self.ok(["ls", "--json", "--data-dir", self.data]).stdout)]

    def left(self):
        """What is left of pulls, lock files apart."""
        folder = pathlib.Path(self.data, "pulls")
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix != ".lock") if folder.exists() else []


class Sources(PullCase):
    def test_a_repository_of_the_hub(self):
        hub = self.hub()
        done = self.pull(hub, "org/repo", "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        last = events[-1]
        self.assertEqual(last["status"], "success")
        self.assertEqual(last["origin"], {"kind": "url", "url": hub.url + "/org/repo", "revision": COMMIT,
                                          "digest": "sha256:" + sha256(TINY)})
        statuses = [e["status"] for e in events]
        wanted = ["pulling manifest", "pulling " + sha256(TINY)[:12], "verifying sha256 digest", "verifying signature",
                  "writing manifest", "success"]
        self.assertEqual([s for s in wanted if s in statuses], wanted)
        self.assertLess(statuses.index("pulling manifest"), statuses.index(wanted[1]))
        moving = [e for e in events if e["status"] == wanted[1]]
        self.assertTrue(all(e["digest"] == "sha256:" + sha256(TINY) and e["total"] == len(TINY) for e in moving))
        self.assertEqual(moving[-1]["completed"], len(TINY))
        self.assertEqual(self.models(), ["org/repo:latest"])
        listed, = json.loads(self.ok(["ls", "--json", "--data-dir", self.data]).stdout)
        self.assertEqual(listed["origin"], {"kind": "url", "location": hub.url + "/org/repo", "revision": COMMIT})
        self.assertEqual(self.left(), [])
        self.assertEqual(hub.bytes_sent, len(TINY))
        # The same as the file imported by hand.
        file = pathlib.Path(self.data, "by-hand.gguf")
        file.write_bytes(TINY)
        by_hand = json.loads(self.ok(["import", str(file), "--json", "--data-dir", self.data]).stdout)
        self.assertTrue(by_hand["was_there"])
        self.assertEqual(by_hand["digest"], last["digest"])

    def test_which_file(self):
        files = {"m-Q2_K.gguf": OTHER, "m-Q8_0.gguf": TINY, "sub/m-F16.gguf": OTHER}
        for source, wanted in [("org/repo", "m-Q8_0.gguf"), ("org/repo:Q2_K", "m-Q2_K.gguf"),
                               ("hf://org/repo/sub/m-F16.gguf", "sub/m-F16.gguf"), ("hf://org/repo:q8_0@v1", "m-Q8_0.gguf")]:
            with self.subTest(source):
                hub = self.hub(files)
                self.pull(hub, source)
                self.assertEqual({r[1] for r in hub.asked("/resolve/")}, {f"/org/repo/resolve/{COMMIT}/{wanted}"})
        self.assertEqual(sorted(self.models()), ["m-f16:latest", "org/repo:Q2_K", "org/repo:latest", "org/repo:q8_0"])

    def test_names_revisions_and_quiet(self):
        hub = self.hub()
        done = self.pull(hub, "org/repo", "--revision", "v1", "--name", "mine:1", "-q")
        self.assertEqual((done.stdout, done.stderr), ("mine:1\n", ""))
        self.assertTrue(hub.asked("/revision/v1"))
        self.refused_only(3, "no repository", hub, "org/repo", "--revision", "gone")
        self.refused_only(2, "two revisions", hub, "org/repo@v1", "--revision", "v2")

    def refused_only(self, status, message, hub, *arguments):
        return self.fails(status, self.arguments(hub, *arguments), message)

    def test_a_folder_in_safetensors_form(self):
        files = {p.name: p.read_bytes() for p in FOLDER.iterdir()
                 if p.name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
                 or ".safetensors" in p.name}
        hub = self.hub(files | {"pytorch_model.bin": b"pickle", "sub/config.json": b"{}"})
        hub.page_size = 2
        self.pull(hub, "org/repo", "--name", "folder")
        self.assertEqual(self.models(), ["folder:latest"])
        self.assertFalse(hub.asked("pytorch_model.bin"))
        self.assertGreater(len(hub.asked("cursor=")), 1)

    def test_a_url_with_its_digest(self):
        hub = self.hub()
        self.pull(hub, f"{hub.url}/content/m-Q4_K_M.gguf#sha256={sha256(TINY)}")
        self.assertEqual(self.models(), ["m-q4_k_m:latest"])
        self.fails(2, self.arguments(hub, f"{hub.url}/content/m-Q4_K_M.gguf"), "which bytes")
        self.fails(6, self.arguments(hub, f"{hub.url}/content/m-Q4_K_M.gguf#sha256={sha256(b'x')}"), "not what its digest")
        self.fails(3, self.arguments(hub, f"{hub.url}/content/gone.gguf#sha256={sha256(b'x')}"), "404")

    def manifest(self, *layers):
        return json.dumps({"schemaVersion": 2, "layers": [
            {"mediaType": kind, "digest": "sha256:" + sha256(body), "size": len(body), **more}
            for kind, body, more in layers]}).encode()

    def test_registries(self):
        hub = self.hub({"weights": TINY})
        hub.manifest = self.manifest(("application/vnd.ollama.image.license", b"free", {}),
                                     ("application/vnd.ollama.image.model", TINY, {}))
        self.pull(hub, f"oci+http://{hub.authority}/library/tiny:8b")
        self.assertEqual(self.models(), ["library/tiny:8b"])
        digest = sha256(hub.manifest)
        self.pull(hub, f"oci+http://{hub.authority}/pinned@sha256:{digest}")
        self.fails(6, self.arguments(hub, f"oci+http://{hub.authority}/pinned@sha256:{sha256(b'x')}"), "another manifest")
        hub.manifest = self.manifest(("application/vnd.cncf.model.weight.v1.raw", TINY,
                                      {"annotations": {"org.cncf.model.filepath": "../../x.gguf"}}))
        self.fails(6, self.arguments(hub, f"oci+http://{hub.authority}/evil"), "makes no sense")

    def test_a_token_of_the_registry(self):
        hub = self.hub({"weights": TINY})
        hub.manifest = self.manifest(("application/vnd.docker.ai.gguf.v3", TINY, {}))
        hub.token, hub.realm = "given", hub.url + "/token"
        self.pull(hub, f"oci+http://{hub.authority}/tiny")
        self.assertIn("scope=repository:tiny:pull", hub.asked("/token")[0][1])
        # a realm elsewhere is asked nothing.
        evil = self.hub()
        hub.realm = evil.url + "/token"
        self.fails(4, self.arguments(hub, f"oci+http://{hub.authority}/other"), "asks for a token from")
        self.assertEqual(evil.requests, [])

    def test_what_cannot_be_meant(self):
        hub = self.hub()
        for status, source in [(2, "repo"), (2, "hf://org/.."), (2, "ftp://a/b"), (2, "s3://bucket/key"), (2, "org/repo@../x"),
                               (3, "org/absent"), (3, "org/repo:Q3_K_S"), (3, "hf://org/repo/other.gguf")]:
            with self.subTest(source):
                self.refused(status, "error: ", hub, source)

    def test_local_files(self):
        hub = self.hub()
        file = pathlib.Path(self.data, "local.gguf")
        file.write_bytes(TINY)
        self.pull(hub, "file://" + str(file))
        self.assertEqual(self.models(), ["local:latest"])
        bundle = os.path.join(self.data, "local.hfb")
        self.ok(["export", "local", "-o", bundle, "--data-dir", self.data])
        self.ok(["rm", "local", "-y", "--data-dir", self.data])
        self.pull(hub, "bundle://" + bundle)
        self.assertEqual(self.models(), ["local:latest"])
        self.assertEqual(hub.requests, [])

    def test_the_cache_of_the_hubs_own_tool(self):
        hub = self.hub()
        blobs = pathlib.Path(self.root, "cache/hub/models--org--repo/blobs")
        blobs.mkdir(parents=True, exist_ok=True)
        (blobs / sha256(TINY)).write_bytes(TINY)
        self.pull(hub, "org/repo", "--import-hf-cache", env={"HF_HOME": self.root + "/cache"})
        self.assertEqual(hub.bytes_sent, 0)
        # A blob that is not what its name says is not believed.
        (blobs / sha256(OTHER)).write_bytes(bytes(len(OTHER)))
        hub = self.hub({"m.gguf": OTHER})
        self.pull(hub, "org/repo", "--name", "other", "--import-hf-cache", env={"HF_HOME": self.root + "/cache"})
        self.assertEqual(hub.bytes_sent, len(OTHER))

    def test_run_pulls_what_is_absent(self):
        hub = self.hub({"smol-Q4_1.gguf": pathlib.Path(SMOLLM2).read_bytes()})
        arguments = ["run", "org/repo", "Hi", "--max-tokens", "2", *self.arguments(hub)[2:]]
        self.fails(3, arguments, "holdfast pull org/repo")
        self.assertEqual(hub.requests, [])
        self.assertNotEqual(self.ok([*arguments, "--yes"]).stdout.strip(), "")
        asked = len(hub.requests)
        self.ok(arguments)  # it is there now
        self.assertEqual(len(hub.requests), asked)


class Refusals(PullCase):
    def test_private_addresses(self):
        hub = self.hub()
        for allow in ([], ["127.0.0.1:1"], ["10.0.0.0/8"], ["localhost:" + str(hub.port)]):
            with self.subTest(allow):
                self.refused(4, "without TLS|must not reach", hub, allow=allow)
        https = f"https://127.0.0.1:{hub.port}"
        self.fails(4, ["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", https], "must not reach")
        self.fails(4, ["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", f"https://localhost:{hub.port}"],
                   "must not reach")
        for spelling in ("0x7f000001", "2130706433", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"):
            done = self.run_(["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", f"https://{spelling}:{hub.port}"])
            self.assertIn(done.returncode, (2, 4), spelling)
        self.assertEqual(hub.requests, [])
        self.ok(self.arguments(hub, allow=["127.0.0.0/8"]))

    def test_redirect_to_a_private_address(self):
        inner = self.hub()
        for location in (inner.url + "{path}", "http://169.254.169.254/latest/meta-data", "http://[::1]:1/x", "file:///etc/passwd",
                         "https://127.0.0.1/x", "https://localhost/x", "gopher://127.0.0.1:6379/x", "//169.254.169.254/x",
                         "http://0x7f.1/", "https://user@127.0.0.1/"):
            with self.subTest(location):
                hub = self.hub()
                hub.content_redirect = location
                self.refused(4, "sends on to|must not reach", hub)
        hub = self.hub()
        hub.api_redirect = inner.url + "/api/models/org/repo/revision/main"
        self.refused(4, "sends on to", hub)
        self.assertEqual(inner.requests, [])

    def test_a_token_stays_at_its_origin(self):
        token = "hf_secretsecretsecret"
        cdn = self.hub()
        hub = self.hub()
        hub.token = token
        hub.content_redirect = cdn.url + "{path}"
        self.ok(self.arguments(hub, allow=[hub.authority, cdn.authority]), env={"HF_TOKEN": token})
        self.assertEqual(hub.authorizations(), {"Bearer " + token})
        self.assertTrue(cdn.asked("/content/"))
        self.assertEqual(cdn.authorizations(), set())

    def test_tokens_from_files_and_what_is_said_without(self):
        hub = self.hub()
        hub.token = "hf_other"
        done = self.refused(4, "gated", hub)
        self.assertIn(f"{hub.url}/org/repo", done.stderr)
        self.assertIn("HF_TOKEN", done.stderr)
        self.refused(4, "gated", hub, env={"HF_TOKEN": "hf_wrong"})
        file = pathlib.Path(self.data, "token")
        file.write_text("hf_other\n")
        self.ok(self.arguments(hub, "org/repo", "--token-file", str(file)))
        file.write_text("two words")
        self.fails(2, self.arguments(hub, "org/repo", "--token-file", str(file)), "characters that no token has")

    def test_profiles_and_switches(self):
        hub = self.hub()
        self.refused(4, "classified", hub, "org/repo", "--server.profile", "classified")
        self.refused(4, "HF_HUB_OFFLINE", hub, env={"HF_HUB_OFFLINE": "1"})
        self.refused(4, "pull.registries", hub, "org/repo", "--pull.registries", "example.org")
        self.refused(2, "allow_private", hub, allow=["nonsense"])
        self.refused(2, "registries", hub, "org/repo", "--pull.registries", "https://x/")
        self.assertEqual(hub.requests, [])

    def test_answers_that_make_no_sense(self):
        hub = self.hub()
        for raw in (b"", b"\x00" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", b"SSH-2.0-x\r\n",
                    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 10_000_000,
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 204 No\r\n\r\n"):
            with self.subTest(raw[:40]):
                hub.raw = raw
                done = self.run_(self.arguments(hub), timeout=60)
                self.assertIn(done.returncode, (6, 7, 8), done.stderr)
                self.assertRegex(done.stderr, r"(?m)^error: ")
        self.assertEqual(self.models(), [])

    def test_a_hub_that_contradicts_itself(self):
        with self.subTest("another digest than the bytes have"):
            hub = self.hub()
            hub.listed["m-Q4_K_M.gguf"] = sha256(b"other")
            self.refused(6, "offers another|not what its digest", hub)
        with self.subTest("a hub that moves while it is read"):
            hub = self.hub()
            hub.head_commit = "f" * 40
            self.refused(6, "offers another", hub)
        with self.subTest("a small file that is not what git calls it"):
            files = {p.name: p.read_bytes() for p in FOLDER.iterdir() if p.is_file()}
            hub = self.hub(files)
            hub.listed["config.json"] = "0" * 40
            self.refused(6, "not what its digest", hub)

    def test_no_room(self):
        hub = self.hub()
        hub.listed_size["m-Q4_K_M.gguf"] = 1 << 41
        done = self.refused(8, "no room", hub)
        self.assertRegex(done.stderr, r"2\.\d TB|\d+\.\d TB")
        self.assertEqual(hub.bytes_sent, 0)

    @unittest.skipUnless(STRACE, "strace is not there")
    def test_who_connects_where(self):
        """Only fetchers connect, and only to the hosts that are named."""
        cdn = self.hub()
        hub = self.hub()
        hub.content_redirect = cdn.url + "{path}"
        trace = os.path.join(self.data, "trace")
        done = subprocess.run([STRACE, "-f", "-qq", "-o", trace, "-e", "trace=connect,execve,sendto,sendmsg,socket", HOLDFAST,
                               *self.arguments(hub, allow=[hub.authority, cdn.authority])],
                              env=self.environment, capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 0, done.stderr)
        programs, targets = {}, {}
        with open(trace) as f:
            for line in f:
                pid, _, call = line.partition(" ")
                run = re.search(r'execve\("([^"]*)"', call)
                if run:
                    programs[pid] = os.path.basename(run[1])
                port = re.search(r"connect\(.*sin6?_port=htons\((\d+)\).*?\"([^\"]*)\"", call)
                if port:
                    targets.setdefault(pid, set()).add((port[2], int(port[1])))
        self.assertEqual(set().union(*targets.values()), {("127.0.0.1", hub.port), ("127.0.0.1", cdn.port)})
        for pid, where in targets.items():
            self.assertEqual(programs.get(pid), "holdfast-fetcher")
            self.assertEqual(len(where), 1)  # one origin each
        with open(trace) as f:
            self.assertNotIn("SIGSYS", f.read())

    def test_through_a_proxy(self):
        """The proxy looks up the names; addresses stay refused."""
        key, certificate = self.certificate("DNS:hub.test")
        hub = self.hub(tls=(certificate, key))
        proxy = hub_stub.Proxy(("127.0.0.1", hub.port))
        self.hubs.append(proxy)
        env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "SSL_CERT_FILE": certificate}
        self.ok(["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", "https://hub.test"], env=env)
        self.assertEqual(set(proxy.names), {"hub.test:443"})
        proxy.names.clear()
        self.fails(4, ["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", "https://169.254.169.254"],
                   "must not reach", env=env)
        self.assertEqual(proxy.names, [])

    def certificate(self, name):
        key, certificate = os.path.join(self.data, "key.pem"), os.path.join(self.data, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", certificate, "-days", "2", "-subj", "/CN=stub", "-addext", "subjectAltName=" + name],
                       check=True, capture_output=True)
        return key, certificate

    def test_names_that_cannot_be_looked_up(self):
        done = self.run_(["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", "https://no-such-host.invalid"])
        # "There is none" where a name server says so, "try again" where nobody answers.
        self.assertIn(done.returncode, (3, 7), done.stderr)
        self.assertRegex(done.stderr, "no such host|cannot be looked up")

    def test_names_are_looked_up(self):
        """By the fetcher's own child: the address of `localhost` is found, and refused or allowed by name."""
        hub = self.hub()
        self.ok(["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", f"http://localhost:{hub.port}",
                 "--pull.allow_private", f"localhost:{hub.port}"])

    def test_a_signature_comes_along(self):
        hub = self.hub({"m.gguf": TINY, "model.sig": b"{}", "sub/model.sig": b"no"})
        self.run_(self.arguments(hub))  # whether it counts is the import's business
        self.assertEqual(len(hub.asked(f"/resolve/{COMMIT}/model.sig")), 2)  # where it is, and itself
        self.assertFalse(hub.asked("sub/model.sig"))

    def test_ipv6(self):
        hub = self.hub(host="::1")
        self.ok(self.arguments(hub))

    def test_tls_with_an_authority_of_ones_own(self):
        key, certificate = self.certificate("IP:127.0.0.1")
        hub = self.hub(tls=(certificate, key))
        self.refused(4, "cannot prove", hub)
        self.ok(self.arguments(hub), env={"SSL_CERT_FILE": certificate})


class Cuts(PullCase):
    """P-13."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.content = pathlib.Path(SMOLLM2).read_bytes()

    def big(self, **options):
        return self.hub({"smol-Q4_1.gguf": self.content}, **options)

    def whole(self, hub, *more):
        """Pulls, and the model is the one that the file makes."""
        done = self.pull(hub, "org/repo", "--json", "--store.seal", "off", *more)
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["origin"]["digest"], "sha256:" + sha256(self.content))
        self.assertEqual(self.left(), [])

    def test_cut_at_fifty_offsets(self):
        hub = self.big()
        hub.cuts = hub_stub.random_offsets(len(self.content), 50, seed=1)
        self.whole(hub)
        self.assertEqual(hub.cuts, [])
        again = hub.bytes_sent - len(self.content)
        print(f"50 cuts: {again} bytes again")
        # What was in the kernel's buffers of a connection that broke.
        self.assertLessEqual(again, 50 * MIB)

    def test_twenty_kills(self):
        hub = self.big()
        hub.rate = 4 * MIB
        rng = random.Random(2)
        kills, seen = 0, False
        while kills < 20:
            before = hub.bytes_sent
            process = subprocess.Popen([HOLDFAST, *self.arguments(hub), "--store.seal", "off"], env=self.environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            wanted = before + rng.randrange(2 * MIB, 5 * MIB)
            deadline = time.monotonic() + TIMEOUT
            while hub.bytes_sent < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            if process.poll() is not None:
                break
            seen = seen or bool(fetchers())
            process.kill()
            process.communicate()
            kills += 1
        self.assertEqual(kills, 20)
        self.assertTrue(seen)
        deadline = time.monotonic() + 10
        while fetchers() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(fetchers(), [])  # each ends with the process that started it
        hub.rate = 0
        self.whole(hub)
        again = hub.bytes_sent - len(self.content)
        print(f"20 kills: {again} bytes again, {again / 20 / MIB:.1f} MiB each")
        self.assertLessEqual(again, 20 * SHARD)

    def test_ctrl_c_keeps_what_is_there(self):
        hub = self.big()
        hub.rate = 4 * MIB
        process = subprocess.Popen([HOLDFAST, *self.arguments(hub)], env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        while hub.bytes_sent < 20 * MIB and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("resumes", stderr)
        self.assertTrue(self.left())
        self.assertEqual(self.models(), [])
        hub.rate = 0
        self.whole(hub)
        self.assertLessEqual(hub.bytes_sent - len(self.content), SHARD)

    def test_another_etag_restarts(self):
        hub = self.big()
        hub.etag = "one"
        hub.cuts = [30 * MIB]
        hub.rate = 30 * MIB
        changer = threading.Thread(target=self.change_after, args=(hub, 20 * MIB))
        changer.start()
        self.whole(hub)
        changer.join()
        self.assertGreater(hub.bytes_sent, len(self.content) + 20 * MIB - SHARD)

    def change_after(self, hub, sent):
        while hub.bytes_sent < sent:
            time.sleep(0.005)
        hub.etag = "two"

    def test_wrong_bytes_cost_their_shard(self):
        with self.subTest("the server states digests of parts"):
            hub = self.big()
            hub.digests = True
            hub.flips = {30 * MIB + 7: 2}
            self.whole(hub)
            self.assertEqual(hub.bytes_sent - len(self.content), 2 * SHARD)
        with self.subTest("it does not"):
            self.setUp()
            hub = self.big()
            hub.flips = {30 * MIB + 7: 1}
            self.whole(hub)
            self.assertLessEqual(hub.bytes_sent - len(self.content), 8 * SHARD)
        with self.subTest("three strikes"):
            self.setUp()
            hub = self.big()
            hub.digests = True
            hub.flips = {30 * MIB + 7: 1000}
            self.refused(6, "not those of their digest", hub)

    def test_a_wrong_range_is_not_taken(self):
        hub = self.big()
        hub.wrong_range = 2
        self.whole(hub)
        # The wrong answers are broken off; what the kernel held of them was sent.
        self.assertLess(hub.bytes_sent, len(self.content) + 2 * SHARD)
        self.setUp()
        hub = self.big()
        hub.wrong_range = 10 ** 6
        done = self.refused(6, "another part of the file", hub)
        self.assertIn("three times", done.stderr)
        self.assertEqual(len([r for r in hub.asked("/resolve/") if r[0] == "GET"]), 3)

    def test_lying_lengths(self):
        for lie in (1, -1, 10 ** 9):
            with self.subTest(lie):
                hub = self.big()
                hub.total_lie = lie
                self.refused(6, "keeps changing|another length", hub)
                self.assertLess(hub.bytes_sent, 2 * len(self.content))

    def test_no_ranges(self):
        hub = self.big()
        hub.ranges = False
        hub.cuts = [40 * MIB]
        self.whole(hub)
        hub = self.big()
        hub.ranges = False
        hub.total_lie = 5
        self.setUp()
        self.hubs.append(hub)
        self.refused(6, "another length", hub)

    def test_stalls_and_bad_days(self):
        hub = self.big()
        hub.stall_after = MIB
        hub.statuses = [503, 500, 429]
        self.whole(hub, "--http.stall_timeout", "2s")

    def test_expired_places(self):
        cdn = self.big()
        hub = self.big()
        hub.content_redirect = cdn.url + "{path}"
        cdn.statuses = [0, 0, 0, 403]
        self.ok(self.arguments(hub, allow=[hub.authority, cdn.authority]))
        self.assertGreaterEqual(len(hub.asked("/resolve/")), 2)

    def test_bandwidth(self):
        hub = self.big()
        started = time.monotonic()
        self.whole(hub, "--pull.bandwidth_max", "40MiB", "--pull.parts", "2")
        # A tenth for what a part may take at once at its start. Unlimited, it is less than half of this.
        self.assertGreater(time.monotonic() - started, 0.9 * len(self.content) / (40 * MIB))

    def test_two_at_once(self):
        hub = self.big()
        hub.rate = 4 * MIB
        first = subprocess.Popen([HOLDFAST, *self.arguments(hub)], env=self.environment, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            while hub.bytes_sent < MIB and first.poll() is None:
                time.sleep(0.01)
            self.fails(5, self.arguments(hub), "another process")
        finally:
            first.kill()
            first.wait()

    def test_nobody_there(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        self.fails(7, ["pull", "org/repo", "--data-dir", self.data, "--pull.hf_endpoint", f"http://127.0.0.1:{port}",
                       "--pull.allow_private", f"127.0.0.1:{port}"], "connection to")


if __name__ == "__main__":
    main()
