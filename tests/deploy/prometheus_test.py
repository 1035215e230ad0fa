"""usage: prometheus_test.py API_FAKE_SERVER
Every expression of the board and of the rules, asked of a real Prometheus that reads a real server: it must parse and
have an answer. promtool checks the files and runs the unit tests of rules_test.yaml."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

import common

# Expressions that may be empty here, with the reason.
MAY_BE_EMPTY = {
    "HoldfastTracesLost": "this server sends no traces",
}


def promtool_checks(promtool, work):
    for name in ("rules.yaml", "alerts.yaml", "prometheus.yaml"):
        shutil.copy(os.path.join(common.DEPLOY, "prometheus", name), work)
    shutil.copy(os.path.join(os.path.dirname(__file__), "rules_test.yaml"), work)
    for arguments in (["check", "rules", "rules.yaml", "alerts.yaml"], ["check", "config", "prometheus.yaml"],
                      ["test", "rules", "rules_test.yaml"]):
        subprocess.run([promtool, *arguments], cwd=work, check=True, stdout=subprocess.DEVNULL)


def start_prometheus(prometheus, work, target):
    with open(os.path.join(work, "prometheus.yaml")) as f:
        config = yaml.safe_load(f)
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    with open(os.path.join(work, "live.yaml"), "w") as f:
        yaml.safe_dump(config, f)
    port = common.free_port()
    with open(os.path.join(work, "prometheus.log"), "w") as log:
        process = subprocess.Popen(
            [prometheus, "--config.file=live.yaml", f"--web.listen-address=127.0.0.1:{port}",
             "--storage.tsdb.path=data", "--enable-feature=exemplar-storage"],
            cwd=work, stdout=log, stderr=log)
    return process, port


def query(port, expression):
    text = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}", timeout=30) as r:
            answer = json.load(r)
    except urllib.error.HTTPError as e:
        if e.code == 503:
            return []  # it starts
        raise AssertionError(f"{expression}: {e.read().decode()}") from e
    except OSError:
        return []  # it starts
    return answer["data"]["result"]


def from_board():
    with open(os.path.join(common.DEPLOY, "grafana", "holdfast.json")) as f:
        board = json.load(f)
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in (("$__rate_interval", "1m"), ("$instance", ".*"), ("$model", ".*")):
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            yield f"{panel['title']} {target['refId']}", expression
    for variable in board["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("query", ""))
        if match:
            yield "variable " + variable["name"], match[1].replace("$instance", ".*")


def from_rules():
    for name in ("rules.yaml", "alerts.yaml"):
        with open(os.path.join(common.DEPLOY, "prometheus", name)) as f:
            for group in yaml.safe_load(f)["groups"]:
                for rule in group["rules"]:
                    if "record" in rule:
                        yield rule["record"], rule["expr"]
                        yield "recorded " + rule["record"], rule["record"]
                        continue
                    # An alert is silent while all is well; what it compares must have a value all the same.
                    left, operator, _ = re.split(r"\s([<>])\s", rule["expr"])
                    assert operator, rule["expr"]
                    yield rule["alert"], left


def main():
    prometheus, promtool = common.need("prometheus", "promtool")
    work = tempfile.mkdtemp(prefix="holdfast-prometheus-")
    node = common.Node(sys.argv[1])
    process = None
    try:
        promtool_checks(promtool, work)
        process, port = start_prometheus(prometheus, work, node.port)
        common.wait_until(lambda: query(port, 'up{job="holdfast"} == 1'), "the first scrape")
        # A rate needs two samples with something between them.
        for _ in range(3):
            common.traffic(node.port)
            time.sleep(0.5)
        open_ones = dict([*from_board(), *from_rules()])
        assert len(open_ones) > 50, len(open_ones)

        def rest():
            for name in [n for n, e in open_ones.items() if query(port, e)]:
                del open_ones[name]
            return not set(open_ones) - set(MAY_BE_EMPTY)
        try:
            common.wait_until(rest, "an answer to every expression")
        except AssertionError:
            raise AssertionError(f"no data: {open_ones}") from None
        assert set(open_ones) == set(MAY_BE_EMPTY), f"not empty after all: {set(MAY_BE_EMPTY) - set(open_ones)}"
        nan = [e for _, e in from_board() if any(r["value"][1] == "NaN" for r in query(port, e))]
        assert not nan, nan
    finally:
        if process:
            process.terminate()
            process.wait()
        node.stop()
        shutil.rmtree(work, ignore_errors=True)
    print("ok")


main()
