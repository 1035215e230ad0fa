#!/usr/bin/env python3
"""Runs the declarative cases of cases.json against a server.

usage: run_cases.py BASE_URL MODEL
A case: {"name", "method" (POST with a body, else GET), "path", "headers", "body" (JSON) or "raw" (text),
"status", "expect_headers", "expect" (of the JSON body), "events" (of a stream, in order), "text" (exact body)}.
In expected values "$MODEL" is the model; "<any>", "<string>", "<int>", "<number>" match by type; "<re>..." is a regular
expression for the whole value; objects need only the members named, "<exact>": true forbids others. The event list
may hold "<more>" for any number of events."""
import http.client
import json
import pathlib
import re
import sys
import urllib.parse

LEAKS = re.compile(r"0x[0-9a-f]{6,}|/home/|/var/|\.cpp\b|\.cc\b|sqlite|boost", re.IGNORECASE)


def mismatch(expected, got, where="body"):
    """None, or what differs."""
    if isinstance(expected, str) and expected.startswith("<"):
        if expected == "<any>":
            return None
        kinds = {"<string>": str, "<int>": int, "<number>": (int, float)}
        if expected in kinds:
            good = isinstance(got, kinds[expected]) and not isinstance(got, bool)
            return None if good else f"{where}: {got!r} is no {expected}"
        if expected.startswith("<re>"):
            good = isinstance(got, str) and re.fullmatch(expected[4:], got, re.DOTALL)
            return None if good else f"{where}: {got!r} does not match {expected}"
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return f"{where}: {got!r} is no object"
        names = [name for name in expected if name != "<exact>"]
        if expected.get("<exact>") and set(names) != set(got):
            return f"{where}: members {sorted(got)} are not exactly {sorted(names)}"
        for name in names:
            if name not in got:
                return f"{where}.{name} is missing"
            problem = mismatch(expected[name], got[name], f"{where}.{name}")
            if problem:
                return problem
        return None
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return f"{where}: {got!r} is not {expected!r}"
        return next((p for i, e in enumerate(expected) if (p := mismatch(e, got[i], f"{where}[{i}]"))), None)
    same = type(expected) is type(got) and expected == got
    return None if same else f"{where}: {got!r} is not {expected!r}"


def match_events(expected, got):
    if not expected:
        return None if not got else f"events left over: {got[:2]}"
    if expected[0] == "<more>":
        return None if any(match_events(expected[1:], got[i:]) is None for i in range(len(got) + 1)) \
            else f"no events match {expected[1:]}"
    if not got:
        return f"no event for {expected[0]}"
    return mismatch(expected[0], got[0], "event") or match_events(expected[1:], got[1:])


def read_events(text):
    events = []
    for frame in text.split("\n\n"):
        for line in frame.splitlines():
            if line.startswith("data: "):
                data = line[6:]
                events.append("[DONE]" if data == "[DONE]" else json.loads(data))
    return events


def send(base, case):
    body = case.get("raw")
    headers = dict(case.get("headers", {}))
    if "body" in case:
        body = json.dumps(case["body"])
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = body.encode("utf-8", "surrogateescape")
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=120)
    method = case.get("method", "GET" if body is None else "POST")
    connection.request(method, case["path"], body=body, headers={k: v for k, v in headers.items() if v is not None})
    response = connection.getresponse()
    return response, response.read().decode("utf-8")


def run(base, case):
    response, text = send(base, case)
    problems = []
    if response.status != case["status"]:
        problems.append(f"status {response.status}, not {case['status']}: {text[:300]}")
    for name, value in {"x-request-id": "<string>", "openai-version": "2020-10-01",
                        "x-content-type-options": "nosniff", **case.get("expect_headers", {})}.items():
        got = response.getheader(name)
        problem = mismatch(value, got, f"header {name}") if value is not None else (got and f"header {name} is there")
        if problem:
            problems.append(problem)
    if "text" in case and text != case["text"]:
        problems.append(f"text {text!r}")
    if "expect" in case and not problems:
        problems.append(mismatch(case["expect"], json.loads(text)))
    if "events" in case and not problems:
        problems.append(match_events(case["events"], read_events(text)))
    if LEAKS.search(text):
        problems.append(f"the answer leaks {LEAKS.search(text).group(0)!r}")
    return [p for p in problems if p]


def main():
    base = urllib.parse.urlsplit(sys.argv[1])
    text = (pathlib.Path(__file__).parent / "cases.json").read_text(encoding="utf-8")
    cases = json.loads(text.replace("$MODEL_PATH", urllib.parse.quote(sys.argv[2], safe=""))
                       .replace("$MODEL", sys.argv[2]))
    failed = 0
    for case in cases:
        problems = run(base, case)
        failed += bool(problems)
        for problem in problems:
            print(f"FAIL {case['name']}: {problem}")
    print(f"{len(cases) - failed} of {len(cases)} cases passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
