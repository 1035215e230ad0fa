"""usage: metrics_test.py API_FAKE_SERVER
/metrics after traffic. Oracles: `promtool check metrics` for the text format, the OpenMetrics parser of prometheus_client
for the other."""
import re
import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

import common

# What promtool's style check says of names that other projects have fixed: pattern of the metric, pattern of the words.
KNOWN = [
    (r"vllm:.*", r"metric names should not contain ':'"),
    # A histogram whose name ends like a counter; the name is vLLM's.
    (r"vllm:iteration_tokens_total", r"non-counter metrics should not have \"_total\" suffix"),
]


def check_text(promtool, text):
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    unknown = []
    for line in (done.stdout + done.stderr).splitlines():
        name, _, words = line.partition(" ")
        if not any(re.fullmatch(n, name) and re.fullmatch(w, words) for n, w in KNOWN):
            unknown.append(line)
    assert not unknown, "promtool: " + "\n".join(unknown)
    assert done.returncode in (0, 3), done.returncode


def series(family):
    return {s.name + str(sorted(s.labels.items())): s.value for s in family.samples}


def check_openmetrics(text, plain):
    families = {f.name: f for f in text_string_to_metric_families(text)}
    kinds = {"vllm:num_requests_running": "gauge", "vllm:prompt_tokens": "counter",
             "vllm:time_to_first_token_seconds": "histogram", "http_requests": "counter",
             "process_start_time_seconds": "gauge"}
    for name, kind in kinds.items():
        assert families[name].type == kind, (name, families[name].type)
    assert series(families["vllm:inter_token_latency_seconds"]).values()
    one = [v for k, v in series(families["vllm:inter_token_latency_seconds"]).items() if "_count" in k]
    other = [v for k, v in series(families["vllm:time_per_output_token_seconds"]).items() if "_count" in k]
    assert one == other and sum(one) > 0, (one, other)
    # Both forms have the same metrics.
    for line in plain.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            if kind == "counter":
                name = name.removesuffix("_total")
            assert name in families, name


def main():
    promtool, = common.need("promtool")
    node = common.Node(sys.argv[1])
    try:
        common.traffic(node.port)
        _, headers, plain = common.request(node.port, "GET", "/metrics")
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        check_text(promtool, plain)
        _, headers, text = common.request(node.port, "GET", "/metrics", headers={
            "accept": "application/openmetrics-text; version=1.0.0"})
        assert headers["content-type"].startswith("application/openmetrics-text"), headers
        check_openmetrics(text, plain)
    finally:
        node.stop()
    # The check must see mistakes.
    for bad in ["# TYPE a counter\na 1\n", "x{a=b} 1\n", "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n"]:
        try:
            check_text(promtool, bad)
        except AssertionError:
            continue
        raise AssertionError("not seen: " + bad)
    print("ok")


main()
