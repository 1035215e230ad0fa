"""API keys with the real programs: made and revoked beside a running server, refused, never written down."""
import http.client
import json

from harness import *

CHAT = {"model": "smol", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}


class Keys(Case):
    def setUp(self):
        shutil.rmtree(self.root + "/data/keys", ignore_errors=True)

    def create(self, *arguments):
        return json.loads(self.ok(["key", "create", "--json", *arguments]).stdout)

    def ask(self, server, method, path, body=None, key=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        headers = {} if key is None else {"Authorization": "Bearer " + key}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer

    def wait_for(self, condition):
        """Within the second that is promised, and half a one for a busy machine."""
        end = time.monotonic() + 1.5
        while not condition():
            self.assertLess(time.monotonic(), end, "not within a second")
            time.sleep(0.02)

    def test_life_of_a_key_beside_a_server(self):
        with Server(self) as server:
            self.assertEqual(self.ask(server, "GET", "/v1/models")[0], 200)
            key = self.create("--tenant", "acme")
            self.assertEqual(sorted(key), ["expires_at", "id", "key", "models", "role", "tenant"])
            self.wait_for(lambda: self.ask(server, "GET", "/v1/models")[0] == 401)
            self.assertEqual(self.ask(server, "GET", "/v1/models", key=key["key"])[0], 200)
            status, text, _ = self.ask(server, "POST", "/v1/chat/completions", CHAT, key["key"])
            self.assertEqual(status, 200, text)
            self.ok(["key", "revoke", key["id"]])
            self.wait_for(lambda: self.ask(server, "GET", "/v1/models", key=key["key"])[0] == 401)
            known = self.ask(server, "GET", "/v1/models")
            unknown = self.ask(server, "GET", "/v1/nothing")
            self.assertEqual(known[:2], unknown[:2])
            self.assertEqual(known[2].getheader("www-authenticate"), "Bearer")
            self.assertEqual(server.stop(), 0)
            text = server.text()
        self.assertNotIn(key["key"][20:40], text)
        self.assertIn(key["id"], text)
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.endswith(".hfc"):
                    continue
                if not os.path.isfile(os.path.join(folder, name)):
                    continue  # a socket
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertNotIn(key["key"][20:40].encode(), f.read(), name)

    def cached(self, server, key, system):
        """Tokens of the prompt that this caller had cached."""
        body = CHAT | {"messages": [{"role": "system", "content": system}, {"role": "user", "content": "Hi"}]}
        status, text, _ = self.ask(server, "POST", "/v1/chat/completions", body, key)
        self.assertEqual(status, 200, text)
        return json.loads(text)["usage"]["prompt_tokens_details"]["cached_tokens"]

    def test_a_prompt_is_reused_by_its_tenant_and_by_others_only_if_the_operator_says_so(self):
        mine = [self.create("--tenant", "acme")["key"] for _ in range(2)]
        theirs = self.create("--tenant", "other")["key"]
        private = "Answer as a pirate would. " * 20
        public = "Answer as a clerk of the town hall would. " * 20
        path = os.path.join(self.root, "clerk.txt")
        with open(path, "w") as f:
            f.write(public)
        with Server(self, "--models.shared_prompts", path) as server:
            self.assertEqual(self.cached(server, mine[0], private), 0)
            self.assertGreaterEqual(self.cached(server, mine[0], private), 96)
            self.assertGreaterEqual(self.cached(server, mine[1], private), 96)
            self.assertEqual(self.cached(server, theirs, private), 0)
            self.assertEqual(self.cached(server, mine[0], public), 0)
            self.assertGreaterEqual(self.cached(server, theirs, public), 96)

    def test_shared_prompts_that_cannot_be_read_are_an_error_at_start(self):
        self.fails(3, ["serve", "--listen", "127.0.0.1:0", "--models.shared_prompts", self.root + "/none"],
                   "models.shared_prompts: .*none")
        for name, content in (("large", b"x" * (2**20 + 1)), ("binary", b"\xff\xfe")):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(content)
            done = self.run_(["serve", "--listen", "127.0.0.1:0", "--models.shared_prompts", self.root + "/" + name])
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, f"error: .*shared_prompts.*{name}")

    def test_commands_with_and_without_a_key(self):
        admin = self.create("--role", "admin", "--tenant", "ops")
        user = self.create("--tenant", "acme")
        with Server(self) as server:
            self.ok(["ps"])  # over the socket, by account
            self.fails(4, ["ps", "--host", server.url], "HOLDFAST_API_KEY")
            self.ok(["ps", "--host", server.url], env={"HOLDFAST_API_KEY": admin["key"]})
            self.fails(4, ["ps", "--host", server.url], "manage", env={"HOLDFAST_API_KEY": user["key"]})
            self.fails(4, ["ps"], "valid API key", env={"HOLDFAST_API_KEY": "wrong"})

    def test_models_and_limits(self):
        key = self.create("--tenant", "acme", "--models", "smol", "--quota", "requests_per_minute=2")
        hidden = self.create("--tenant", "bolt", "--models", "other")
        with Server(self) as server:
            self.assertEqual(json.loads(self.ask(server, "GET", "/v1/models", key=hidden["key"])[1])["data"], [])
            self.assertEqual(self.ask(server, "POST", "/v1/chat/completions", CHAT, hidden["key"])[0], 404)
            for left in ("1", "0"):
                status, _, answer = self.ask(server, "POST", "/v1/chat/completions", CHAT, key["key"])
                self.assertEqual(status, 200)
                self.assertEqual(answer.getheader("x-ratelimit-remaining-requests"), left)
            status, text, answer = self.ask(server, "POST", "/v1/chat/completions", CHAT, key["key"])
            self.assertEqual((status, json.loads(text)["error"]["code"]), (429, "rate_limit_exceeded"))
            self.assertGreaterEqual(int(answer.getheader("retry-after")), 1)

    def test_many_commands_at_once(self):
        commands = [subprocess.Popen([HOLDFAST, "key", "create", "--json"], env=self.environment,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(12)]
        made = {json.loads(c.communicate()[0])["id"] for c in commands}
        listed = {k["id"] for k in json.loads(self.ok(["key", "ls", "--json"]).stdout)}
        self.assertEqual(len(made), 12)
        self.assertEqual(made, listed)

    def test_killed_commands_leave_a_good_store(self):
        whole = set()
        for n in range(40):
            command = subprocess.Popen([HOLDFAST, "key", "create", "--json"], env=self.environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(0.0005 * n)
            command.kill()
            out = command.communicate()[0]
            if out.endswith(b"\n"):
                whole.add(json.loads(out)["id"])
        listed = {k["id"] for k in json.loads(self.ok(["key", "ls", "--json"]).stdout)}
        self.assertLessEqual(whole, listed)
        self.create()

    def test_public_bind(self):
        public = ["serve", "--listen", "0.0.0.0:0"]
        self.fails(2, public, "keys and TLS[\\s\\S]*key create[\\s\\S]*tls_cert")
        self.create("--role", "admin")
        self.fails(2, public, "needs TLS[\\s\\S]*tls_cert")
        self.fails(2, public + ["--auth.mode", "off"], "auth.mode")

    def test_damaged_files_stop_the_start(self):
        self.create()
        with open(self.root + "/data/keys/keys.json", "a") as f:
            f.write("x")
        self.fails(6, ["serve", "--listen", "127.0.0.1:0"], "damaged")
        self.fails(6, ["key", "ls"], "damaged")


if __name__ == "__main__":
    main()
