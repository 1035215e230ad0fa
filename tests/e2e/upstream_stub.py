"""An upstream that does what it is told by the model's name: well-behaved, slow or hostile.

As a program it is the child of an upstream of kind process: upstream_stub.py PORT.
"""
import http.server
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

KEY = "sk-upstream-secret"
METRICS = b'''# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 3
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 17
# TYPE python_info gauge
python_info 1
'''


def chunk(text, finish=None):
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "theirs",
            "choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/metrics":
            return self.plain(200, METRICS)
        self.plain(200, {"status": "ok"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append({"path": self.path, "body": body, "headers": dict(self.headers)})
        if self.path == "/tokenize":
            return self.plain(200, {"tokens": list(range(len(body["content"])))})
        if self.path == "/apply-template":
            return self.plain(200, {"prompt": "<s>" + body["messages"][0]["content"]})
        if not self.path.startswith("/v1/"):
            return self.plain(404, {"error": {"message": "no"}})
        try:
            getattr(self, "do_" + body["model"].replace("-", "_"))(body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.gone.append((body["model"], time.monotonic()))
            self.close_connection = True

    def plain(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self, kind="text/event-stream"):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def finish_well(self, count):
        self.event(chunk("", "stop"))
        self.event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": count,
                                             "prompt_tokens_details": {"cached_tokens": 4}}})
        self.wfile.write(b"data: [DONE]\n\n")

    def do_good(self, body):
        self.begin()
        words = ["Hello", ", ", "world", "!"]
        for word in words:
            value = chunk(word)
            if self.path.endswith("/completions") and "chat" not in self.path:
                value["choices"][0] = {"index": 0, "text": word, "finish_reason": None}
            if body.get("logprobs") is True:
                value["choices"][0]["logprobs"] = {"content": [
                    {"token": word, "bytes": list(word.encode()), "logprob": -0.5, "top_logprobs": []}]}
            self.event(value)
        self.finish_well(len(words))

    def calls(self, *deltas):
        self.event({"model": "theirs", "choices": [{"index": 0, "delta": {"tool_calls": list(deltas)},
                                                    "finish_reason": None}]})

    def do_calls(self, _):
        """Two calls whose parts are interleaved, the second without an id."""
        self.begin()
        self.calls({"index": 0, "id": "a1", "type": "function", "function": {"name": "weather", "arguments": ""}})
        self.calls({"index": 0, "function": {"arguments": "{\"city\""}})
        self.calls({"index": 1, "type": "function", "function": {"name": "time", "arguments": "{"}},
                   {"index": 0, "function": {"arguments": ": \"Köln\"}"}})
        self.calls({"index": 1, "function": {"arguments": "}"}})
        self.event(chunk("", "tool_calls"))
        self.event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}})
        self.wfile.write(b"data: [DONE]\n\n")

    def do_calls_open(self, _):
        """Arguments that never end, in a stream that does."""
        self.begin()
        self.calls({"index": 0, "id": "a1", "function": {"name": "weather", "arguments": "{\"city\": [[["}})
        self.event(chunk("", "tool_calls"))
        self.wfile.write(b"data: [DONE]\n\n")

    def do_calls_range(self, _):
        self.begin()
        self.calls({"index": 10**9, "id": "a", "function": {"name": "weather", "arguments": "{}"}})
        self.event(chunk("", "tool_calls"))

    def do_calls_nameless(self, _):
        self.begin()
        self.calls({"index": 0, "id": "a", "function": {"arguments": "{}"}})
        self.event(chunk("", "tool_calls"))

    def do_calls_million(self, _):
        self.begin()
        for i in range(10**6):
            self.calls({"index": i % 100, "id": f"c{i}", "function": {"name": "weather", "arguments": "{}"}})

    def do_calls_long(self, _):
        self.begin()
        self.calls({"index": 0, "id": "a", "function": {"name": "weather", "arguments": "\""}})
        while True:
            self.calls({"index": 0, "function": {"arguments": "x" * 60000}})

    def do_slow(self, _):
        self.begin()
        for i in range(10):
            self.event(chunk(f"{i} "))
            time.sleep(0.05)
        self.finish_well(10)

    def do_long(self, _):
        self.begin()
        for _ in range(4000):  # more than the buffers of sockets hold
            self.event(chunk("x" * 1000))
        self.finish_well(4000)

    def do_endless(self, _):
        self.begin()
        while True:
            self.event(chunk("x"))
            time.sleep(0.01)

    def do_ten_gb(self, _):
        self.begin()
        piece = b"data: " + json.dumps(chunk("y" * 60000)).encode() + b"\n\n"
        for _i in range(10 * 2**30 // len(piece)):
            self.wfile.write(piece)

    def do_long_line(self, _):
        self.begin()
        self.wfile.write(b"data: ")
        for _i in range(50):
            self.wfile.write(b"z" * 2**20)

    def do_trickle(self, _):
        self.begin()
        self.event(chunk("first"))
        while True:
            self.wfile.write(b":")
            self.wfile.flush()
            time.sleep(0.2)

    def do_silent(self, _):
        self.begin()
        while True:
            self.wfile.write(b": ping\n\n")
            self.wfile.flush()
            time.sleep(0.2)

    def do_bad_sse(self, _):
        self.begin()
        self.wfile.write(b"\x00\xff<html>not a stream\n\n")

    def do_garbage(self, _):
        self.begin()
        self.wfile.write(b"data: {\"choices\": [}]\n\n")

    def do_html(self, _):
        self.begin("text/html")
        self.wfile.write(b"<html></html>")

    def do_redirect(self, _):
        self.plain(307, {}, [("location", f"http://127.0.0.1:{self.server.server_port}/v1/elsewhere")])

    def do_reset(self, _):
        self.begin()
        self.event(chunk("begun"))
        self.drop()

    def do_reset_early(self, _):
        self.begin()
        self.drop()

    def drop(self):
        """A reset, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def do_cut(self, _):
        self.begin()
        self.event(chunk("begun"))

    def do_error_500(self, _):
        self.plain(500, {"error": {"message": "stack trace of the upstream, " + KEY}})

    def do_denied(self, _):
        self.plain(401, {"error": {"message": "Incorrect API key provided: " + KEY}})

    def do_limited(self, _):
        self.plain(429, {"error": {"message": "slow down"}}, [("retry-after", "7")])

    def do_too_long(self, _):
        self.plain(400, {"error": {"message": "This model's maximum context length is 128 tokens. However, "
                                              "your messages resulted in 300 tokens.",
                                   "code": "context_length_exceeded"}})

    def do_huge_headers(self, _):
        self.send_response(200)
        for i in range(2000):
            self.send_header(f"x-{i}", "v" * 100)
        self.end_headers()
        self.close_connection = True

    def do_hang(self, _):
        time.sleep(30)

    def do_environment(self, _):
        self.begin()
        self.event(chunk(json.dumps(sorted(os.environ))))
        try:
            with open("/etc/passwd") as f:
                self.event(chunk(" read " + f.read(1)))
        except OSError as e:
            self.event(chunk(f" refused {e.errno}"))
        self.finish_well(2)

    def do_exit(self, _):
        os._exit(3)


class InBackground(http.server.ThreadingHTTPServer):
    """Serves while it is the context of a `with`."""

    daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Stub(InBackground):
    request_queue_size = 128

    def __init__(self, port=0, certificate=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.seen, self.gone = [], []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_):
        pass



MODELS = sorted(name[3:].replace("_", "-") for name in dir(Handler) if name.startswith("do_")
                and name not in ("do_GET", "do_POST"))

if __name__ == "__main__":
    print("stub starts", flush=True)
    if os.fork() == 0:  # a helper, as some servers have: it must go with the group
        time.sleep(600)
        os._exit(0)
    Stub(int(sys.argv[1])).serve_forever()
