// Drives a Holdfast server with the openai package: list, chat, stream, completions, errors.
// usage: node test.mjs BASE_URL MODEL     (BASE_URL without /v1)
import OpenAI from "openai";
import assert from "node:assert/strict";

const [base, model] = [process.argv[2].replace(/\/+$/, ""), process.argv[3]];
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0, timeout: 120_000 });
const messages = [{ role: "user", content: "Name three colours." }];
const greedy = { model, messages, temperature: 0, seed: 1, max_tokens: 16 };

async function rejects(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `expected ${kind.name}, got ${error}`);
    return error;
  }
  assert.fail(`expected ${kind.name}`);
}

const cases = {
  async listAndRetrieve() {
    const ids = [];
    for await (const item of client.models.list()) ids.push(item.id);
    assert.ok(ids.includes(model), `${model} is not among ${ids}`);
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async chat() {
    const answer = await client.chat.completions.create(greedy);
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.ok(answer._request_id);
  },
  async streamEqualsWhole() {
    const whole = await client.chat.completions.create(greedy);
    const stream = await client.chat.completions.create({
      ...greedy, stream: true, stream_options: { include_usage: true },
    });
    let text = "", reason = null, usage = null;
    for await (const chunk of stream) {
      if (chunk.usage) usage = chunk.usage;
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? "";
        reason ??= choice.finish_reason;
      }
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(reason, whole.choices[0].finish_reason);
    assert.deepEqual(usage, whole.usage);
  },
  async streamHelper() {
    const whole = await client.chat.completions.create(greedy);
    const final = await client.chat.completions.stream(greedy).finalChatCompletion();
    assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
  },
  async completions() {
    const request = { model, prompt: "One, two,", temperature: 0, seed: 1, max_tokens: 8 };
    const whole = await client.completions.create({ ...request, logprobs: 1 });
    assert.equal(whole.choices[0].logprobs.tokens.length, whole.choices[0].logprobs.token_logprobs.length);
    let text = "";
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      for (const choice of chunk.choices) text += choice.text;
    }
    assert.equal(text, whole.choices[0].text);
  },
  async errors() {
    const missing = await rejects(OpenAI.NotFoundError, () =>
      client.chat.completions.create({ ...greedy, model: "no-such" }));
    assert.equal(missing.code, "model_not_found");
    const hot = await rejects(OpenAI.BadRequestError, () =>
      client.chat.completions.create({ ...greedy, temperature: 3 }));
    assert.equal(hot.param, "temperature");
    assert.equal(hot.type, "invalid_request_error");
    assert.ok(hot.requestID);
    const context = (await client.models.retrieve(model)).context_length;
    const long = [{ role: "user", content: "word ".repeat(2 * context) }];
    const over = await rejects(OpenAI.BadRequestError, () =>
      client.chat.completions.create({ ...greedy, messages: long, stream: true }));
    assert.equal(over.code, "context_length_exceeded");
    assert.match(over.message, new RegExp(`maximum context length is ${context} tokens`));
  },
  async abortedStream() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break;  // the SDK closes the connection
    }
    assert.ok((await client.chat.completions.create(greedy)).choices.length === 1);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log("ok  ", name);
  } catch (error) {
    failed += 1;
    console.log("FAIL", name);
    console.error(error);
  }
}
process.exit(failed ? 1 : 0);
