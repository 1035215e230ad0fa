#!/usr/bin/env python3
"""Drives a Holdfast server with the openai package: list, chat, stream, completions, errors.

usage: openai_python.py BASE_URL MODEL      (BASE_URL without /v1; the model may be any that is small)
Prints one line per case; exit status 1 if one failed."""
import sys

import openai

from cases import check, raises, run_all

BASE, MODEL = sys.argv[1].rstrip("/"), sys.argv[2]
MESSAGES = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0, "seed": 1, "max_tokens": 16}
client = openai.OpenAI(base_url=BASE + "/v1", api_key="unused", max_retries=0, timeout=120)


def chat(**more):
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, **{**GREEDY, **more})


def case_list_and_retrieve():
    ids = [model.id for model in client.models.list()]
    check(MODEL in ids, f"{MODEL} is not among {ids}")
    model = client.models.retrieve(MODEL)
    check(model.id == MODEL and model.object == "model", model)
    check(model.context_length > 0, "context_length")


def case_base_urls():
    for suffix in ("", "/", "/v1", "/v1/", "//v1"):
        other = openai.OpenAI(base_url=BASE + suffix, api_key="unused", max_retries=0)
        check(len(list(other.models.list())) > 0, suffix)


def case_chat():
    answer = chat()
    choice = answer.choices[0]
    check(answer.object == "chat.completion" and answer.id.startswith("chatcmpl-"), answer)
    check(choice.message.role == "assistant" and choice.message.content, choice)
    check(choice.finish_reason in ("stop", "length"), choice.finish_reason)
    usage = answer.usage
    check(usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 16, usage)
    check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage)
    check(answer._request_id, "request id")


def case_same_again():
    check(chat().choices[0].message.content == chat().choices[0].message.content, "greedy answers differ")


def case_stream_equals_whole():
    whole = chat()
    text, reasons, usage, ids = "", [], None, set()
    for chunk in chat(stream=True, stream_options={"include_usage": True}):
        ids.add(chunk.id)
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            if choice.finish_reason:
                reasons.append(choice.finish_reason)
    check(text == whole.choices[0].message.content, (text, whole.choices[0].message.content))
    check(reasons == [whole.choices[0].finish_reason], reasons)
    check(usage.completion_tokens == whole.usage.completion_tokens, usage)
    check(len(ids) == 1, ids)


def case_async_stream():
    import asyncio

    async def run():
        other = openai.AsyncOpenAI(base_url=BASE + "/v1", api_key="unused", max_retries=0)
        async def one():
            stream = await other.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **GREEDY)
            return "".join([c.choices[0].delta.content or "" async for c in stream])
        return await asyncio.gather(*[one() for _ in range(4)])

    texts = asyncio.run(run())
    check(len(set(texts)) == 1 and texts[0], texts)


def case_stop():
    full = chat().choices[0].message.content
    stop = full[len(full) // 2:][:3]
    check(stop, full)
    cut = chat(stop=[stop]).choices[0]
    check(cut.message.content == full[:full.find(stop)], (full, stop, cut.message.content))
    check(cut.finish_reason == "stop", cut.finish_reason)


def case_length():
    answer = chat(max_tokens=1)
    check(answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 1, answer)


def case_n_and_logprobs():
    answer = chat(n=2, logprobs=True, top_logprobs=2)
    check([c.index for c in answer.choices] == [0, 1], answer.choices)
    for choice in answer.choices:
        tokens = choice.logprobs.content
        check(len(tokens) >= 1 and all(t.logprob <= 0 and len(t.top_logprobs) == 2 for t in tokens), tokens)
        check(bytes(sum([t.bytes for t in tokens], [])), tokens)


def case_completions():
    answer = client.completions.create(model=MODEL, prompt=["One, two,", "Red, green,"], logprobs=1, **GREEDY)
    check(answer.object == "text_completion" and [c.index for c in answer.choices] == [0, 1], answer)
    logprobs = answer.choices[0].logprobs
    check(len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset), logprobs)
    streamed = ["", ""]
    for chunk in client.completions.create(model=MODEL, prompt=["One, two,", "Red, green,"], stream=True, **GREEDY):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    check(streamed == [c.text for c in answer.choices], streamed)
    echoed = client.completions.create(model=MODEL, prompt="One, two,", echo=True, **GREEDY)
    check(echoed.choices[0].text.startswith("One, two,"), echoed.choices[0].text)


def case_errors():
    missing = raises(openai.NotFoundError, lambda: client.chat.completions.create(model="no-such", messages=MESSAGES))
    check(missing.code == "model_not_found" and "model_not_found" in str(missing), missing)
    hot = raises(openai.BadRequestError, lambda: chat(temperature=3))
    check(hot.param == "temperature" and hot.code == "invalid_value", hot.body)
    check(hot.request_id, "request id")
    check(raises(openai.BadRequestError, lambda: chat(n=99)).param == "n", "n")
    check(raises(openai.BadRequestError, lambda: chat(max_tokens=-1)).param == "max_tokens", "max_tokens")
    check(raises(openai.BadRequestError, lambda: chat(extra_body={"seed": "1"})).param == "seed", "typed")
    refused = raises(openai.BadRequestError, lambda: chat(extra_body={"api_base": "http://x"}))
    check(refused.param == "api_base", refused.body)
    check(raises(openai.BadRequestError, lambda: chat(logit_bias={"99999999": 1})).param == "logit_bias", "bias")
    check(chat(extra_body={"unknown_field": 1}).choices, "unknown fields are ignored")


def case_overflow():
    context = client.models.retrieve(MODEL).context_length
    long = [{"role": "user", "content": "word " * (2 * context)}]
    for stream in (False, True):
        error = raises(openai.BadRequestError,
                       lambda: client.chat.completions.create(model=MODEL, messages=long, stream=stream))
        check(error.code == "context_length_exceeded" and error.param == "messages", error.body)
        check(f"This model's maximum context length is {context} tokens." in str(error), error)


def case_cancelled_stream():
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    for _ in stream:
        break
    stream.close()
    check(chat().choices, "the server answers after a cancelled stream")


run_all(dict(globals()))
