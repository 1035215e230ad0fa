"""usage: otlp_test.py API_FAKE_SERVER
A collector that reads what the exporter sends with the official protobuf messages of opentelemetry-proto: every member
must be one that the protocol has."""
import base64
import http.server
import json
import sys
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import common

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector(http.server.BaseHTTPRequestHandler):
    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append((self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def with_base64_ids(value):
    """OTLP writes ids in hex where JSON of protobuf has base64: the one difference between them."""
    if isinstance(value, list):
        return [with_base64_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, v in value.items():
        if key in ("traceId", "spanId", "parentSpanId"):
            out[key] = base64.b64encode(bytes.fromhex(v)).decode()
        else:
            out[key] = with_base64_ids(v)
    return out


def parse(body):
    # Unknown members are errors.
    return json_format.ParseDict(with_base64_ids(json.loads(body)), ExportTraceServiceRequest())


def attributes(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def spans(kind=None):
    return [s for _, _, body in Collector.received for r in parse(body).resource_spans
            for scope in r.scope_spans for s in scope.spans if kind in (None, s.kind)]


def check():
    path, headers, body = Collector.received[0]
    assert path == "/v1/traces", path
    assert headers["content-type" if "content-type" in headers else "Content-Type"] == "application/json"
    assert headers["x-token"] == "a b", headers
    resource = attributes(parse(body).resource_spans[0].resource)
    assert resource["service.name"] == "unit" and resource["deployment.environment.name"] == "test", resource
    by_name = {s.name: s for s in spans()}
    assert set(by_name) == {"chat tiny:latest", "text_completion tiny:latest", "queue", "prefill", "decode"}, by_name
    chat = by_name["chat tiny:latest"]
    assert chat.trace_id.hex() == PARENT[3:35] and chat.parent_span_id.hex() == PARENT[36:52]
    assert chat.kind == Span.SPAN_KIND_SERVER and chat.status.code == Status.STATUS_CODE_UNSET
    assert chat.start_time_unix_nano < chat.end_time_unix_nano
    told = attributes(chat)
    assert told["gen_ai.operation.name"] == "chat" and told["gen_ai.provider.name"] == "holdfast"
    assert told["gen_ai.request.max_tokens"] == 3 and told["gen_ai.usage.output_tokens"] == 3, told
    assert [v.string_value for v in told["gen_ai.response.finish_reasons"].values] == ["length"]
    for name in ("queue", "prefill", "decode"):
        child = by_name[name]
        assert child.kind == Span.SPAN_KIND_INTERNAL
    failed = by_name["text_completion tiny:latest"]
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "engine_crashed"
    assert not failed.parent_span_id and any(failed.trace_id)
    text = b"".join(body for _, _, body in Collector.received)
    assert b"SECRET" not in text, "text of a prompt or an answer is in a trace"


def main():
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    node = common.Node(sys.argv[1],
                       OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
                       OTEL_EXPORTER_OTLP_HEADERS="x-token=a%20b", OTEL_SERVICE_NAME="unit",
                       OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
                       OTEL_BSP_SCHEDULE_DELAY="50")
    try:
        common.chat(node.port, "say SECRET", {"traceparent": PARENT}, max_tokens=3)
        common.request(node.port, "POST", "/v1/completions",
                       {"model": "tiny:latest", "prompt": "fail late"})
        common.wait_until(lambda: len(spans(Span.SPAN_KIND_SERVER)) == 2, "both spans of requests")
        check()
    finally:
        node.stop()
        collector.shutdown()
    try:
        parse(b'{"resourceSpans":[{"noSuchMember":1}]}')
        raise SystemExit("an unknown member was not seen")
    except json_format.ParseError:
        pass
    print("ok")


main()
