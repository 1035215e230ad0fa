#!/usr/bin/env python3
"""Drives a Holdfast server that needs API keys with the openai package: who is let in, what SDK errors the refusals become.

usage: openai_python_keys.py BASE_URL MODEL      HOLDFAST names the program, HOLDFAST_DATA_DIR the server's data directory
Prints one line per case; exit status 1 if one failed."""
import json
import os
import subprocess
import sys
import time

import openai

from cases import check, raises, run_all

BASE, MODEL = sys.argv[1].rstrip("/"), sys.argv[2]
MESSAGES = [{"role": "user", "content": "Hello"}]


def make_key(*arguments):
    done = subprocess.run([os.environ["HOLDFAST"], "key", "create", "--json", *arguments], check=True, capture_output=True)
    return json.loads(done.stdout)


def client(key, retries=0):
    return openai.OpenAI(base_url=BASE + "/v1", api_key=key, max_retries=retries, timeout=120)


def chat(key, retries=0, **more):
    return client(key, retries).chat.completions.create(
        model=MODEL, messages=MESSAGES, **{"temperature": 0, "max_tokens": 4, **more})


def case_a_key_lets_in():
    key = make_key("--tenant", "acme")["key"]
    time.sleep(1)
    check(chat(key).choices[0].message.content is not None, "answer")
    check("".join(c.choices[0].delta.content or "" for c in chat(key, stream=True) if c.choices), "stream")


def case_wrong_keys():
    for key in ("unused", "hk_" + "a" * 67):
        error = raises(openai.AuthenticationError, lambda: chat(key))
        check(error.code == "invalid_api_key" and error.status_code == 401, error)
    raises(openai.AuthenticationError, lambda: client("unused").models.list())


def case_revoked_key():
    key = make_key("--tenant", "acme")
    time.sleep(1)
    chat(key["key"])
    subprocess.run([os.environ["HOLDFAST"], "key", "revoke", key["id"]], check=True, capture_output=True)
    time.sleep(1)
    raises(openai.AuthenticationError, lambda: chat(key["key"]))


def case_models_of_the_key():
    key = make_key("--models", "another")["key"]
    time.sleep(1)
    check(list(client(key).models.list()) == [], "nothing is listed")
    error = raises(openai.NotFoundError, lambda: chat(key))
    check(error.code == "model_not_found" and error.param == "model", error)


def case_requests_a_minute():
    key = make_key("--quota", "requests_per_minute=1")["key"]
    time.sleep(1)
    raw = client(key).chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    check(raw.headers["x-ratelimit-limit-requests"] == "1", raw.headers)
    check(raw.headers["x-ratelimit-remaining-requests"] == "0", raw.headers)
    check(raw.headers["x-ratelimit-reset-requests"].endswith("s"), raw.headers)
    error = raises(openai.RateLimitError, lambda: chat(key))
    check(error.code == "rate_limit_exceeded" and int(error.response.headers["retry-after"]) >= 1, error)


def case_spent_quota_is_not_retried():
    key = make_key("--quota", "tokens_per_day=5")["key"]
    time.sleep(1)
    began = time.monotonic()
    error = raises(openai.RateLimitError, lambda: chat(key, retries=5, max_tokens=100))
    check(error.code == "insufficient_quota", error)
    check(error.response.request.headers.get("x-stainless-retry-count") == "0", "the SDK asked again")
    check(time.monotonic() - began < 60, "the SDK waited")


def case_service_tier():
    key = make_key()["key"]
    admin = make_key("--role", "admin")["key"]
    time.sleep(1)
    check(chat(key, service_tier="flex").service_tier == "flex", "flex")
    check(chat(key, service_tier="priority").service_tier == "default", "priority is not for all")
    check(chat(admin, service_tier="priority").service_tier == "priority", "priority")


run_all(dict(globals()))
