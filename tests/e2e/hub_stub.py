"""Hubs and registries that misbehave on request, for pull_test.py: Hugging Face's API, distribution v2 and plain files, with
every fault of a bad network. One per address; all state is in the object, so a test reads what was asked for."""
import base64
import hashlib
import http.server
import json
import random
import socket
import ssl
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE = 64 * 1024


def git_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """Serves `files` (path -> bytes) as repository org/repo at one commit."""

    def __init__(self, files, host="127.0.0.1", tls=None):
        self.files = files
        self.lock = threading.Lock()
        self.requests = []          # (method, path, headers)
        self.bytes_sent = 0         # of content of files
        self.cuts = []              # absolute offsets at which a connection breaks, each once
        self.flips = {}             # absolute offset -> how often the byte there is wrong
        self.ranges = True          # knows Range
        self.wrong_range = 0        # so many answers begin one byte late
        self.digests = False        # tells Content-Digest
        self.etag = None            # of content; None: from its digest
        self.total_lie = 0          # added to the length that is told
        self.stall_after = None     # bytes, once, then nothing comes any more
        self.rate = 0               # bytes per second and connection
        self.statuses = []          # answers to content requests, before anything else
        self.content_redirect = None   # Location of content; "{path}" is filled in
        self.api_redirect = None
        self.listed = {}            # path -> digest that the tree tells instead of the right one
        self.listed_size = {}
        self.head_commit = COMMIT
        self.token = None           # demanded for everything
        self.realm = None           # of the registry's challenge
        self.raw = None             # bytes that are the answer to everything
        self.manifest = None        # of the registry, bytes
        self.page_size = 0          # of the tree; 0: one page
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except (ConnectionError, ssl.SSLError, TimeoutError):
                    pass

            def do_HEAD(self):
                hub.answer(self)

            def do_GET(self):
                hub.answer(self)

        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server_class = type("Server", (http.server.ThreadingHTTPServer,),
                            {"address_family": family, "daemon_threads": True, "request_queue_size": 128,
                             "handle_error": lambda *_: None})
        self.server = server_class((host, 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.authority = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.authority}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # What tests ask

    def asked(self, part):
        return [r for r in self.requests if part in r[1]]

    def authorizations(self):
        return {r[2].get("authorization") for r in self.requests} - {None}

    # Answers

    def answer(self, h):
        path = urllib.parse.unquote(h.path)
        with self.lock:
            self.requests.append((h.command, path, {k.lower(): v for k, v in h.headers.items()}))
        if self.raw is not None:
            h.wfile.write(self.raw)
            h.close_connection = True
            return
        if self.token and h.headers.get("Authorization") != "Bearer " + self.token and not path.startswith("/token"):
            fields = {}
            if self.realm:
                fields["WWW-Authenticate"] = f'Bearer realm="{self.realm}",service="stub",scope="everything:*"'
            return self.send(h, 401, b"{}", fields)
        if path.startswith("/api/"):
            return self.api(h, path)
        if path.startswith("/v2/"):
            return self.registry(h, path)
        if path.startswith("/token"):
            return self.send(h, 200, json.dumps({"token": "given"}).encode())
        marker = f"/org/repo/resolve/{COMMIT}/"
        name = path.removeprefix(marker) if path.startswith(marker) else path.removeprefix("/content/")
        self.content(h, name.partition("?")[0], path)

    def send(self, h, status, body, fields=None):
        h.send_response(status)
        for name, value in (fields or {}).items():
            h.send_header(name, value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def entry(self, path):
        body = self.files[path]
        size = self.listed_size.get(path, len(body))
        if path.endswith((".gguf", ".safetensors")):
            digest = self.listed.get(path) or hashlib.sha256(body).hexdigest()
            return {"type": "file", "oid": git_id(b"pointer"), "size": size, "path": path,
                    "lfs": {"oid": digest, "size": size, "pointerSize": 134}}
        return {"type": "file", "oid": self.listed.get(path) or git_id(body), "size": size, "path": path}

    def api(self, h, path):
        if self.api_redirect and "/revision/" in path:
            return self.send(h, 307, b"", {"Location": self.api_redirect})
        if "/org/repo/" not in path:
            return self.send(h, 404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if "/revision/" in path:
            if not path.endswith(("/main", "/v1", "/" + COMMIT)):
                return self.send(h, 404, b"{}")
            return self.send(h, 200, json.dumps({"sha": COMMIT, "id": "org/repo", "gated": False,
                                                 "cardData": {"license": "apache-2.0"}}).encode())
        entries = [self.entry(p) for p in sorted(self.files)]
        fields = {}
        if self.page_size:
            query = urllib.parse.parse_qs(path.partition("?")[2])
            at = int(query.get("cursor", ["0"])[0])
            if at + self.page_size < len(entries):
                fields["Link"] = f'<{self.url}{path.partition("?")[0]}?recursive=true&cursor={at + self.page_size}>; rel="next"'
            entries = entries[at:at + self.page_size]
        self.send(h, 200, json.dumps(entries).encode(), fields)

    def registry(self, h, path):
        if "/manifests/" in path:
            return self.send(h, 200 if self.manifest else 404, self.manifest or b"{}",
                             {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        digest = path.rpartition("/")[2].removeprefix("sha256:")
        for name, body in self.files.items():
            if hashlib.sha256(body).hexdigest() == digest:
                return self.content(h, name, path)
        self.send(h, 404, b"{}")

    def content(self, h, name, path):
        body = self.files.get(name)
        if body is None:
            return self.send(h, 404, b"")
        digest = hashlib.sha256(body).hexdigest()
        if self.content_redirect and "/content/" not in path:
            return self.send(h, 302, b"", {"Location": self.content_redirect.format(path="/content/" + name),
                                           "X-Repo-Commit": self.head_commit, "X-Linked-Etag": f'"{digest}"',
                                           "X-Linked-Size": str(len(body))})
        if h.command == "HEAD":
            h.send_response(200)
            h.send_header("X-Repo-Commit", self.head_commit)
            h.send_header("ETag", f'"{digest}"')
            h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            return
        with self.lock:
            status = self.statuses.pop(0) if self.statuses else 0
        if status:
            return self.send(h, status, b"no", {"Retry-After": "0"})
        self.part(h, body, self.etag or digest)

    def part(self, h, body, etag):
        asked = h.headers.get("Range")
        condition = h.headers.get("If-Range")
        fields = {"ETag": f'"{etag}"'}
        first, end, status = 0, len(body), 200
        if asked and self.ranges and condition in (None, f'"{etag}"'):
            a, _, b = asked.removeprefix("bytes=").partition("-")
            first, end, status = int(a), min(int(b) + 1, len(body)), 206
            with self.lock:
                if self.wrong_range > 0:
                    self.wrong_range -= 1
                    first += 1
            fields["Content-Range"] = f"bytes {first}-{end - 1}/{len(body) + self.total_lie}"
        piece = body[first:end]
        if self.digests and status == 206:
            fields["Content-Digest"] = "sha-256=:" + base64.b64encode(hashlib.sha256(piece).digest()).decode() + ":"
        h.send_response(status)
        for name, value in fields.items():
            h.send_header(name, value)
        h.send_header("Content-Length", str(len(piece) + (self.total_lie if status == 200 else 0)))
        h.end_headers()
        self.write(h, piece, first)

    def write(self, h, piece, first):
        at = 0
        while at < len(piece):
            step = bytearray(piece[at:at + PIECE])
            with self.lock:
                start, end = first + at, first + at + len(step)
                cut = next((c for c in self.cuts if start <= c < end), None)
                if cut is not None:
                    self.cuts.remove(cut)
                    step = step[:cut - start]
                for offset in self.flips:
                    if start <= offset < start + len(step) and self.flips[offset] > 0:
                        self.flips[offset] -= 1
                        step[offset - start] ^= 1
                stall = self.stall_after is not None and at >= self.stall_after
                if stall:
                    self.stall_after = None
                self.bytes_sent += len(step)
            h.wfile.write(step)
            if stall:
                time.sleep(6)
            if cut is not None or stall:
                h.close_connection = True
                h.connection.shutdown(socket.SHUT_RDWR)
                return
            at += len(step)
            if self.rate:
                time.sleep(len(step) / self.rate)


class Proxy:
    """An HTTP proxy for CONNECT that sends every target to one address, and remembers the names."""

    def __init__(self, target):
        self.names = []
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.names.append(head.split()[1].decode())
        server = socket.create_connection(self.target)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.copy, args=(server, client), daemon=True).start()
        self.copy(client, server)

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def random_offsets(size, count, seed):
    rng = random.Random(seed)
    return sorted(rng.sample(range(1, size - 1), count))
