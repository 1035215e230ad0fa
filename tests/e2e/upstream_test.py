"""Upstreams: the real server before a well-behaved and a hostile stub. No model is needed."""
import concurrent.futures
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import harness  # noqa: E402
from harness import HOLDFAST, free_port, pids_where  # noqa: E402
from upstream_stub import KEY, MODELS, InBackground, Stub  # noqa: E402

TIMEOUT = 60
FAST = 'connect_timeout = "500ms"\nfirst_token_timeout = "1500ms"\nidle_timeout = "1s"\ntimeout = "20s"\n'


TOOLS = {"tools": [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
                   for name in ("weather", "time")]}


class Collector(InBackground):
    """Takes spans as OTLP/HTTP JSON."""

    def __init__(self):
        self.spans = []
        super().__init__(("127.0.0.1", 0), self.Handler)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    self.server.spans.extend(scope["spans"])
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def named(self, name):
        return [s for s in self.spans if s["name"] == name]


def attributes(span):
    return {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}


def events_of(body):
    return [json.loads(e[6:]) for e in body.split("\n\n") if e.startswith("data: {")]


def all_models():
    return "models = {" + ", ".join(f'"{m}" = "up/{m}"' for m in MODELS) + "}\n"


def wait_for(what, seconds=TIMEOUT):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def resident_bytes(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def in_group(group):
    return pids_where(lambda fields: int(fields[2]) == group)


class Server(harness.Server):
    """A server with that configuration, and nothing else of its own."""

    def __init__(self, root, config, *arguments, variables=None):
        self.root = root
        path = os.path.join(root, f"config-{harness.free_port()}.toml")
        with open(path, "w") as f:
            f.write(config)
        self.environment = harness.environment_of(root) | {
            "XDG_RUNTIME_DIR": root, "HOLDFAST_CONFIG": path, "HOLDFAST_SERVER_SOCKET": path + ".sock",
            "SECRET_OF_THE_SERVER": "1"} | (variables or {})
        super().__init__(self, *arguments)

    def call(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"content-type": "application/json"} | dict(headers))
        answer = connection.getresponse()
        data = answer.read().decode()
        connection.close()
        return answer.status, data, dict((k.lower(), v) for k, v in answer.getheaders())

    def chat(self, model, **more):
        return self.call("POST", "/v1/chat/completions",
                         {"model": model, "messages": [{"role": "user", "content": "hi"}], **more})

    def routes(self):
        return json.loads(self.call("GET", "/holdfast/v1/routes")[1])["data"]


class UpstreamCase(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="hf-up-")
        with open(self.root + "/key", "w") as f:
            f.write(KEY + "\n")

    def tearDown(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def config(self, stub, more=FAST, base=""):
        return (base + f'[upstream.up]\nkind = "openai"\nurl = "http://127.0.0.1:{stub.server_port}/v1"\n'
                f'credential = "file:{self.root}/key"\n' + all_models() + more)


class Good(UpstreamCase):
    def test_answers_streams_and_tokens(self):
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            models = json.loads(s.call("GET", "/v1/models")[1])["data"]
            self.assertIn("up/good", [m["id"] for m in models])
            status, body, _ = s.chat("up/good", max_tokens=9, temperature=0.5, seed=3, stop=["zz"])
            self.assertEqual(status, 200, body)
            answer = json.loads(body)
            self.assertEqual(answer["choices"][0]["message"]["content"], "Hello, world!")
            self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
            self.assertEqual(answer["usage"]["prompt_tokens"], 5)
            self.assertEqual(answer["usage"]["completion_tokens"], 4)
            sent = stub.seen[-1]
            self.assertEqual(sent["headers"]["Authorization"], "Bearer " + KEY)
            self.assertEqual(sent["body"]["model"], "good")
            self.assertEqual(sent["body"]["max_tokens"], 9)
            self.assertEqual(sent["body"]["seed"], 3)
            self.assertEqual(sent["body"]["stop"], ["zz"])
            self.assertNotIn("top_k", sent["body"])
            status, body, _ = s.chat("up/good", stream=True)
            self.assertEqual(status, 200)
            events = events_of(body)
            text = "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])
            self.assertEqual(text, "Hello, world!")
            self.assertTrue(body.endswith("data: [DONE]\n\n"))
            status, body, _ = s.chat("up/good", logprobs=True)
            self.assertEqual(json.loads(body)["choices"][0]["logprobs"]["content"][0]["logprob"], -0.5)
            status, body, _ = s.call("POST", "/v1/completions", {"model": "up/good", "prompt": "x"})
            self.assertEqual(json.loads(body)["choices"][0]["text"], "Hello, world!")
            status, body, _ = s.call("POST", "/tokenize", {"model": "up/good", "content": "abc"})
            self.assertEqual(json.loads(body)["tokens"], [0, 1, 2])
            status, body, _ = s.call("POST", "/detokenize", {"model": "up/good", "tokens": [1]})
            self.assertEqual(status, 400, body)
            metrics = s.call("GET", "/metrics")[1]
            self.assertIn('holdfast_upstream_requests_total{upstream="up"} 4', metrics)
            self.assertIn('holdfast_upstream_breaker_state{upstream="up"} 0', metrics)
            self.assertNotIn(KEY, s.text())
            self.assertEqual(len(s.routes()), len(MODELS))

    def check_calls(self, calls):
        self.assertEqual([c["function"] for c in calls],
                         [{"name": "weather", "arguments": '{"city": "Köln"}'}, {"name": "time", "arguments": "{}"}])
        self.assertEqual(calls[0]["id"], "a1")
        self.assertRegex(calls[1]["id"], "^call_[a-z2-7]{32}$")
        self.assertEqual([c["type"] for c in calls], ["function"] * 2)

    def test_tools_and_their_calls(self):
        history = [{"role": "user", "content": "hi"},
                   {"role": "assistant", "content": None, "tool_calls": [
                       {"id": "h1", "type": "function", "function": {"name": "time", "arguments": '{"x": 1.0}'}}]},
                   {"role": "tool", "tool_call_id": "h1", "content": "noon"}]
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            more = dict(TOOLS, messages=history, tool_choice="required", parallel_tool_calls=True)
            status, body, _ = s.chat("up/calls", **more)
            self.assertEqual(status, 200, body)
            choice = json.loads(body)["choices"][0]
            self.check_calls(choice["message"]["tool_calls"])
            self.assertIsNone(choice["message"]["content"])
            self.assertEqual(choice["finish_reason"], "tool_calls")
            sent = stub.seen[-1]["body"]
            self.assertEqual(sent["tools"], TOOLS["tools"])
            self.assertEqual((sent["tool_choice"], sent["parallel_tool_calls"]), ("required", True))
            self.assertEqual(sent["messages"][1]["tool_calls"], history[1]["tool_calls"])
            self.assertEqual(sent["messages"][2], {"role": "tool", "content": "noon", "tool_call_id": "h1"})

            status, body, _ = s.chat("up/calls", stream=True, **more)
            self.assertEqual(status, 200, body)
            calls = []
            for event in events_of(body):
                for delta in event["choices"][0]["delta"].get("tool_calls", ()) if event["choices"] else ():
                    if "id" in delta:
                        self.assertEqual((delta["index"], delta["function"]["arguments"]), (len(calls), ""))
                        calls.append(delta)
                    else:
                        self.assertEqual(sorted(delta), ["function", "index"])
                        self.assertEqual(sorted(delta["function"]), ["arguments"])
                        calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
            self.check_calls(calls)
            self.assertEqual(events_of(body)[-1]["choices"][0]["finish_reason"], "tool_calls")
            self.assertTrue(body.endswith("data: [DONE]\n\n"))

            named = {"type": "function", "function": {"name": "time"}}
            status, body, _ = s.chat("up/calls", tool_choice=named, parallel_tool_calls=False, **TOOLS)
            self.assertEqual(len(json.loads(body)["choices"][0]["message"]["tool_calls"]), 1)
            self.assertEqual(stub.seen[-1]["body"]["tool_choice"], named)
            self.assertIs(stub.seen[-1]["body"]["parallel_tool_calls"], False)

            status, body, _ = s.chat("up/good", tool_choice="none", **TOOLS)
            self.assertEqual(json.loads(body)["choices"][0]["message"]["content"], "Hello, world!")
            self.assertEqual(stub.seen[-1]["body"]["tool_choice"], "none")

            functions = [tool["function"] for tool in TOOLS["tools"]]
            status, body, _ = s.chat("up/calls", functions=functions, function_call={"name": "weather"})
            choice = json.loads(body)["choices"][0]
            self.assertEqual(choice["message"]["function_call"],
                             {"name": "weather", "arguments": '{"city": "Köln"}'})
            self.assertEqual(choice["finish_reason"], "function_call")
            self.assertEqual(stub.seen[-1]["body"]["tools"], TOOLS["tools"])

            # What a model writes as arguments is the client's to check.
            status, body, _ = s.chat("up/calls-open", **TOOLS)
            self.assertEqual(json.loads(body)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
                             '{"city": [[[')

            count = len(stub.seen)
            status, body, _ = s.chat("up/calls", tool_choice={"type": "function", "function": {"name": "no"}}, **TOOLS)
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "tool_choice"))
            self.assertEqual(len(stub.seen), count)

    def test_response_formats(self):
        schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            for form in ({"type": "json_object"}, schema):
                self.assertEqual(s.chat("up/good", response_format=form)[0], 200)
                self.assertEqual(stub.seen[-1]["body"]["response_format"], form)
            self.assertEqual(s.chat("up/good", response_format={"type": "text"})[0], 200)
            self.assertNotIn("response_format", stub.seen[-1]["body"])

    def test_traces_go_on_to_the_upstream(self):
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        with Stub() as stub, Collector() as collector:
            variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
                         "OTEL_BSP_SCHEDULE_DELAY": "20"}
            with Server(self.root, self.config(stub), variables=variables) as s:
                message = {"model": "up/calls", "messages": [{"role": "user", "content": "hi"}], **TOOLS}

                def ask(model, **headers):
                    return s.call("POST", "/v1/chat/completions", dict(message, model=model), headers)

                self.assertEqual(ask("up/calls", traceparent=parent, tracestate="vendor=1")[0], 200)
                server = wait_for(lambda: collector.named("chat up/calls"))[0]
                client = wait_for(lambda: collector.named("chat calls"))[0]
                self.assertEqual((server["kind"], client["kind"]), (2, 3))
                self.assertEqual(server["parentSpanId"], "00f067aa0ba902b7")
                self.assertEqual(client["parentSpanId"], server["spanId"])
                self.assertEqual(client["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736")
                sent = stub.seen[-1]["headers"]
                self.assertEqual(sent["traceparent"], f"00-{client['traceId']}-{client['spanId']}-01")
                self.assertEqual(sent["tracestate"], "vendor=1")
                got = attributes(client)
                self.assertEqual(
                    {k: got[k] for k in ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
                                         "gen_ai.response.model", "server.address", "server.port")},
                    {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                     "gen_ai.request.model": "calls", "gen_ai.response.model": "theirs",
                     "server.address": "127.0.0.1", "server.port": str(stub.server_port)})
                self.assertNotIn("error.type", got)

                unsampled = parent[:-1] + "0"
                self.assertEqual(ask("up/calls", traceparent=unsampled)[0], 200)
                self.assertEqual(stub.seen[-1]["headers"]["traceparent"], unsampled)
                self.assertNotIn("tracestate", stub.seen[-1]["headers"])

                self.assertEqual(ask("up/error-500")[0], 502)
                failed = wait_for(lambda: collector.named("chat error-500"))[0]
                self.assertEqual(attributes(failed)["error.type"], "500")
                self.assertEqual(failed["status"], {"code": 2})
                self.assertEqual(len(collector.named("chat calls")), 1)
            with Server(self.root, self.config(stub)) as s:
                s.call("POST", "/v1/chat/completions", message, {"traceparent": parent, "tracestate": "vendor=1"})
                sent = stub.seen[-1]["headers"]
                self.assertEqual((sent["traceparent"], sent["tracestate"]), (parent, "vendor=1"))
                s.chat("up/good")
                self.assertNotIn("traceparent", stub.seen[-1]["headers"])

    def test_a_client_that_leaves_ends_the_transfer(self):
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=TIMEOUT)
            connection.request("POST", "/v1/chat/completions", json.dumps(
                {"model": "up/endless", "stream": True, "messages": [{"role": "user", "content": "x"}]}),
                {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read(200)
            left = time.monotonic()
            connection.sock.close() if connection.sock else None
            answer.close()
            connection.close()
            wait_for(lambda: stub.gone, 10)
            print(f"the upstream saw the end {1000 * (stub.gone[0][1] - left):.0f} ms after the client left")

    def test_a_drain_waits_for_readers_that_are_behind(self):
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", s.port))
            body = json.dumps({"model": "up/long", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
            reader.sendall((f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
            text = reader.recv(16384)
            s.process.send_signal(signal.SIGTERM)
            # When the answer has been made, its end still waits in the server.
            while more := reader.recv(16384):
                text += more
                time.sleep(0.004)
            self.assertTrue(text.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), text[-200:])
            self.assertGreaterEqual(text.count(b"x"), 4000 * 1000)
            self.assertEqual(s.process.wait(timeout=TIMEOUT), 0)

    def test_more_than_fits_is_refused_and_the_rest_is_served(self):
        config = self.config(stub := Stub(), FAST + "concurrency = 1\n",
                             '[server]\noverload_status = "429"\n[limits]\nqueue_max = 3\n')
        with stub, Server(self.root, config) as s, concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: s.chat("up/slow"), range(16)))
            counts = {c: sum(a[0] == c for a in answers) for c in (200, 429)}
            self.assertEqual(counts[200] + counts[429], 16, answers)
            self.assertGreaterEqual(counts[200], 4)
            self.assertGreaterEqual(counts[429], 1)
            for status, body, headers in answers:
                if status == 429:
                    self.assertEqual(json.loads(body)["error"]["code"], "overloaded")
                    self.assertGreaterEqual(int(headers["retry-after"]), 1)


class Hostile(UpstreamCase):
    def test_each_is_a_clean_error_and_the_server_lives_on(self):
        expected = {"trickle": (504, "upstream_timeout"), "silent": (504, "upstream_timeout"),
                    "hang": (504, "upstream_timeout"), "bad-sse": (502, "upstream_error"),
                    "garbage": (502, "upstream_error"), "html": (502, "upstream_error"),
                    "long-line": (502, "upstream_error"), "ten-gb": (502, "upstream_error"),
                    "redirect": (502, "upstream_error"), "reset": (502, "upstream_error"),
                    "reset-early": (502, "upstream_error"), "cut": (502, "upstream_error"),
                    "error-500": (502, "upstream_error"), "denied": (502, "upstream_error"),
                    "huge-headers": (502, "upstream_error"), "limited": (429, "rate_limit_exceeded"),
                    "too-long": (400, "context_length_exceeded"),
                    "calls": (502, "upstream_error"), "calls-range": (502, "upstream_error"),
                    "calls-nameless": (502, "upstream_error"), "calls-million": (502, "upstream_error"),
                    "calls-long": (502, "upstream_error")}
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            self.assertEqual(s.chat("up/good")[0], 200)
            before = resident_bytes(s.process.pid)
            for model, (status, code) in expected.items():
                with self.subTest(model):
                    # "calls" alone is refused because it was offered no tools.
                    tools = TOOLS if model.startswith("calls-") else {}
                    got = s.chat("up/" + model, **tools)
                    self.assertEqual((got[0], json.loads(got[1])["error"]["code"]), (status, code), got)
                    self.assertNotIn(KEY, got[1])
                    if status == 429:
                        self.assertGreaterEqual(int(got[2]["retry-after"]), 5)
                    if code == "context_length_exceeded":
                        self.assertIn("maximum context length is 128 tokens", got[1])
                    self.assertEqual(s.chat("up/good")[0], 200)  # closes the breaker again
            grown = resident_bytes(s.process.pid) - before
            print(f"resident memory grew by {grown / 2**20:.0f} MiB")
            self.assertLess(grown, 96 * 2**20)
            self.assertNotIn("elsewhere", str([seen["path"] for seen in stub.seen]))
            self.assertNotIn(KEY, s.text())

    def test_an_error_after_the_first_token_is_an_event_without_done(self):
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            for model in ("reset", "cut", "trickle"):
                status, body, _ = s.chat("up/" + model, stream=True)
                self.assertEqual(status, 200)
                self.assertIn('"error"', body)
                self.assertNotIn("[DONE]", body)

    def test_five_failures_open_the_breaker(self):
        with Stub() as stub, Server(self.root, self.config(stub)) as s:
            codes = [s.chat("up/error-500")[0] for _ in range(6)]
            self.assertEqual(codes, [502] * 5 + [503])
            status, body, headers = s.chat("up/good")
            self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "no_route"))
            self.assertIn("retry-after", headers)
            self.assertEqual(s.routes()[0]["breaker"], "open")
            wait_for(lambda: s.chat("up/good")[0] == 200, 10)
            self.assertEqual(s.routes()[0]["breaker"], "closed")

    def test_a_connect_that_hangs_ends(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            config = (f'[upstream.up]\nkind = "openai"\nurl = "http://127.0.0.1:{listener.getsockname()[1]}"\n'
                      + all_models() + FAST)
            with Server(self.root, config) as s:
                got = s.chat("up/good")
                self.assertIn(got[0], (502, 504), got)
            for filler in fillers:
                filler.close()

    def certificate(self, name):
        key, crt = f"{self.root}/{name}.key", f"{self.root}/{name}.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", crt, "-days", "2", "-subj", "/CN=" + name,
                        "-addext", "subjectAltName=" + ("IP:127.0.0.1" if name == "right" else "DNS:other.example")],
                       check=True, capture_output=True)
        return crt, key

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_certificates_are_checked(self):
        for name, ca, status in (("right", True, 200), ("right", False, 502), ("wrong", True, 502)):
            certificate = self.certificate(name)
            with Stub(certificate=certificate) as stub:
                config = (f'[upstream.up]\nkind = "openai"\nurl = "https://127.0.0.1:{stub.server_port}"\n'
                          f'credential = "file:{self.root}/key"\n'
                          + (f'ca = "{certificate[0]}"\n' if ca else "") + all_models() + FAST)
                with Server(self.root, config) as s:
                    self.assertEqual(s.chat("up/good")[0], status, (name, ca))
                if status != 200:
                    self.assertEqual(stub.seen, [])  # no key was sent


class Refused(UpstreamCase):
    def starts(self, config):
        path = self.root + "/c.toml"
        with open(path, "w") as f:
            f.write(config)
        return subprocess.run([HOLDFAST, "serve", "--listen", f"127.0.0.1:{free_port()}", "--config", path],
                              capture_output=True, text=True, timeout=TIMEOUT,
                              env={"HOME": self.root, "HOLDFAST_DATA_DIR": self.root + "/data"})

    def test_what_may_not_be_used_stops_the_start(self):
        models = 'kind = "openai"\nmodels = {a = "b"}\n'
        for text, message in (
                ('url = "https://api.example.com/v1"\n', "policy.egress"),
                ('url = "http://api.example.com/v1"\n', "must be https"),
                ('url = "http://127.0.0.1.example.com/v1"\n', "must be https"),
                ('url = "ftp://127.0.0.1/"\n', "must be https"),
                ('url = "http://user:pw@127.0.0.1/"\n', "is not the URL"),
                ('url = "http://127.0.0.1:1"\ncredential = "file:/nowhere/key"\n', "credential")):
            done = self.starts("[upstream.u]\n" + models + text)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)
        done = self.starts('[policy]\negress = "listed"\n[upstream.u]\n' + models
                           + 'url = "http://api.example.com/v1"\n')
        self.assertEqual(done.returncode, 2, done.stderr)


class Process(UpstreamCase):
    def config_of_process(self):
        program = os.path.realpath(sys.executable)
        prefix = os.path.dirname(os.path.dirname(program))
        return ('[upstream.child]\nkind = "process"\n' + all_models()
                + f'command = ["{program}", "{HERE}/upstream_stub.py", "{{port}}"]\n'
                + f'read = ["{HERE}", "{prefix}"]\nhealth = "/health"\nstart_timeout = "30s"\n')

    def route(self, s):
        return s.routes()[0]

    def pid(self, s):
        engines = json.loads(s.call("GET", "/holdfast/v1/engines")[1])["data"]
        return engines[0]["pid"] if engines else 0

    def test_it_starts_on_demand_is_confined_and_goes_with_us(self):
        with Server(self.root, self.config_of_process()) as s:
            self.assertEqual(self.route(s)["health"], "stopped")
            self.assertEqual(self.pid(s), 0)
            status, body, _ = s.chat("up/good")
            self.assertEqual(status, 200, body + s.text())
            self.assertEqual(self.route(s)["health"], "ready")
            pid = self.pid(s)
            text = json.loads(s.chat("up/environment")[1])["choices"][0]["message"]["content"]
            self.assertNotIn("SECRET_OF_THE_SERVER", text)
            landlock = int(re.search(r"upstream.jail.*?landlock\"?[=:] ?(\d+)", s.text())[1])
            print(f"landlock {landlock}: {text}")
            if landlock:
                self.assertIn("refused 13", text)
            with open(f"/proc/{pid}/status") as f:
                self.assertIn("NoNewPrivs:\t1", f.read())
            with open(f"/proc/{pid}/limits") as f:
                self.assertRegex(f.read(), r"Max core file size\s+0")
            self.assertIn("stub starts", s.text())
            self.assertEqual(len(in_group(pid)), 2)
            s.process.send_signal(signal.SIGTERM)
            self.assertEqual(s.process.wait(timeout=TIMEOUT), 0)
            self.assertEqual(in_group(pid), [])

    def test_its_metrics_are_shown_beside_ours(self):
        with Server(self.root, self.config_of_process()) as s:
            self.assertEqual(s.chat("up/good")[0], 200)

            def metrics():
                return s.call("GET", "/metrics")[1]
            wait_for(lambda: 'vllm:num_requests_waiting{backend="child"' in metrics(), 10)
            text = metrics()
            self.assertRegex(text, r'vllm:num_requests_waiting\{backend="child",model="[^"]*"\} 3\n')
            self.assertRegex(text, r'vllm:prompt_tokens_total\{backend="child",model="[^"]*"\} 17\n')
            self.assertEqual(text.count("# TYPE vllm:prompt_tokens_total counter"), 1)
            self.assertNotIn("python_info", text)
            s.call("POST", "/holdfast/v1/models/up%2Fgood/unload")
            wait_for(lambda: 'backend="child"' not in metrics(), 10)

    def test_a_child_that_dies_is_replaced(self):
        with Server(self.root, self.config_of_process()) as s:
            self.assertEqual(s.chat("up/good")[0], 200)
            pid = self.pid(s)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: s.chat("up/good")[0] == 200, 30)
            self.assertNotEqual(self.pid(s), pid)
            self.assertEqual(in_group(pid), [])
            s.process.kill()
            s.process.wait()
            last = self.pid_of_text(s)
            wait_for(lambda: not alive(last), 10)
            os.killpg(last, signal.SIGKILL)  # what the child had started is not ours any more

    def pid_of_text(self, s):
        return int(re.findall(r"upstream.started.*?pid\"?[=:] ?(\d+)", s.text())[-1])

    def test_one_that_cannot_start_is_an_error_not_a_storm(self):
        config = ('[upstream.child]\nkind = "process"\nmodels = {a = "b"}\n'
                  'command = ["/bin/false", "{port}"]\n')
        with Server(self.root, config) as s:
            for _ in range(6):
                self.assertIn(s.chat("b")[0], (502, 503))
            self.assertLessEqual(s.text().count("upstream.started"), 4)
            self.assertEqual(s.call("GET", "/livez")[0], 200)


if __name__ == "__main__":
    if not os.path.exists(HOLDFAST):
        sys.exit(f"{HOLDFAST} is not built")
    unittest.main(verbosity=2)
