"""What is asked: random generations, and bad requests with the answers that they must get."""

import json

from client import words


def post(path, body, key, headers=(), close=True):
    """Bytes of a request; `body` is JSON, or bytes that are sent as they are."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)),
              "Connection": "close" if close else "keep-alive", "Authorization": f"Bearer {key}"} | dict(headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def get(path, key, method="GET"):
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
            "Content-Length: 0\r\n\r\n").encode()


def generation(rng, model, **fields):
    """Path and body of a random request. A third of the prompts are known to the prefix cache."""
    seed = rng.choice([rng.randrange(8), rng.random(), rng.random()])
    text = words(int(2 ** rng.uniform(0, 9)), seed)
    body = {"model": model, "max_tokens": int(2 ** rng.uniform(0, 6.5)), "stream": rng.random() < 0.6,
            "temperature": rng.choice([0, rng.uniform(0.1, 1.5)])}
    optional = {"seed": rng.randrange(1 << 40), "n": 2, "stop": ["the", "\n\n"], "ignore_eos": True, "top_p": 0.9,
                "service_tier": "flex", "presence_penalty": 0.5, "logit_bias": {"5": -100}}
    body |= {name: value for name, value in optional.items() if rng.random() < 0.15}
    if rng.random() < 0.5:
        body |= {"messages": [{"role": "system", "content": "Answer shortly."}, {"role": "user", "content": text}]}
        body |= {"logprobs": True, "top_logprobs": 3} if rng.random() < 0.1 else {}
        return "/v1/chat/completions", body | fields
    body |= {"prompt": text} | ({"logprobs": 3} if rng.random() < 0.1 else {})
    return "/v1/completions", body | fields


def bad_requests(key, model):
    """(name, bytes, statuses that are right) of each. 429: too many wrong keys from this address."""
    chat = "/v1/chat/completions"
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    good = post(chat, body, key)
    fields = {f"x-{i}": "y" for i in range(80)}
    return [
        ("not JSON", post(chat, b'{"model": ', key), {400}),
        ("duplicate key", post(chat, b'{"model": "a", "model": "b"}', key), {400}),
        ("nesting", post(chat, b"[" * 40 + b"]" * 40, key), {400}),
        ("unknown model", post(chat, body | {"model": "nobody"}, key), {404}),
        ("wrong key", post(chat, body, "hf_wrong"), {401, 429}),
        ("no key", post(chat, body, key, {"Authorization": None}), {401, 429}),
        ("not an administrator", get("/holdfast/v1/engines", key), {403}),
        ("out of range", post(chat, body | {"temperature": 7}, key), {400}),
        ("context exceeded", post("/v1/completions", {"model": model, "prompt": words(3000, 1)}, key), {400}),
        ("huge header", post(chat, body, key, {"x-huge": "x" * 40000}), {431}),
        ("many fields", post(chat, body, key, fields), {431}),
        ("long target", get("/" + "a" * 9000, key), {431}),
        ("wrong method", get(chat, key), {405}),
        ("unknown path", get("/v1/nothing", key), {404}),
        ("wrong type", post(chat, body, key, {"Content-Type": "text/plain"}), {415}),
        ("wrong host", post(chat, body, key, {"Host": "example.com"}), {421}),
        ("too large", post(chat, b"", key, {"Content-Length": str(9 << 20)}), {413}),
        ("two lengths", post(chat, body, key, {"Transfer-Encoding": "chunked"}), {400}),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", {400}),
        ("slow header", good[:40], {408}),
        ("slow body", good[:-10], {408}),
    ]
