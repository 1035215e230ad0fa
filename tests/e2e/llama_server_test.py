"""The real llama-server as a supervised upstream: its path in HOLDFAST_LLAMA_SERVER, the model's in HOLDFAST_SMOLLM2."""
import http.client
import json
import os
import re
import signal
import sys
import time
import unittest

from upstream_test import TIMEOUT, Server, UpstreamCase, in_group, wait_for

PROGRAM = os.environ.get("HOLDFAST_LLAMA_SERVER", "")
MODEL = os.environ.get("HOLDFAST_SMOLLM2", "")


class LlamaServer(UpstreamCase):
    def config_of_llama(self, more=""):
        program = os.path.realpath(PROGRAM)
        folder = os.path.dirname(os.path.dirname(program))
        return (f'[upstream.llama]\nkind = "process"\nmodels = {{smol = "llama/smol"}}\nmodel_file = "{MODEL}"\n'
                f'command = ["{program}", "-m", "{{model}}", "--port", "{{port}}", "--host", "127.0.0.1", '
                f'"-c", "2048", "-np", "2", "-t", "2", "--metrics"]\nread = ["{folder}"]\nconcurrency = 2\n' + more)

    def test_answers_limits_errors_streams_and_cancel(self):
        with Server(self.root, self.config_of_llama()) as s:
            status, body, _ = s.chat("llama/smol", max_tokens=8, temperature=0)
            self.assertEqual(status, 200, body + s.text())
            whole = json.loads(body)
            self.assertEqual(whole["usage"]["completion_tokens"], 8)
            self.assertEqual(whole["choices"][0]["finish_reason"], "length")
            status, body, _ = s.chat("llama/smol", max_tokens=8, temperature=0, stream=True)
            events = [json.loads(e[6:]) for e in body.split("\n\n") if e.startswith("data: {")]
            text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
            self.assertEqual(text, whole["choices"][0]["message"]["content"])
            self.assertTrue(body.endswith("data: [DONE]\n\n"))
            status, body, _ = s.chat("llama/smol", max_tokens=2, logprobs=True, top_logprobs=2)
            self.assertEqual(status, 200, body)
            self.assertEqual(len(json.loads(body)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]), 2)
            status, body, _ = s.call("POST", "/tokenize", {"model": "llama/smol", "content": "Hello world"})
            tokens = json.loads(body)["tokens"]
            status, body, _ = s.call("POST", "/detokenize", {"model": "llama/smol", "tokens": tokens})
            self.assertEqual(json.loads(body)["content"].strip(), "Hello world")
            long = [{"role": "user", "content": "word " * 6000}]
            status, body, _ = s.chat("llama/smol", messages=long)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "context_length_exceeded"), body)
            self.metrics_of_both(s)
            self.leave_in_the_middle(s)
            pid = json.loads(s.call("GET", "/holdfast/v1/engines")[1])["data"][0]["pid"]
            s.process.send_signal(signal.SIGTERM)
            s.process.wait(timeout=TIMEOUT)
            self.assertEqual(in_group(pid), [])

    def metrics_of_both(self, s):
        """Its own count of generated tokens, beside ours, is the same work."""
        def tokens(labels):
            found = re.search(r"vllm:generation_tokens_total\{" + labels + r"\} (\d+)", s.call("GET", "/metrics")[1])
            return int(found[1]) if found else None
        wait_for(lambda: tokens('backend="llama",model="llama/smol"') == tokens('model_name="llama/smol"'), 30)
        print(f'{tokens("model_name=.llama/smol.")} tokens by both counts')

    def leave_in_the_middle(self, s):
        """Both slots are left by their clients; the next answer does not wait for theirs."""
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=TIMEOUT)
            connection.request("POST", "/v1/chat/completions", json.dumps(
                {"model": "llama/smol", "stream": True, "max_tokens": 1500, "ignore_eos": True,
                 "messages": [{"role": "user", "content": "Count"}]}), {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read(300)
            answer.close()
            connection.close()
        began = time.monotonic()
        self.assertEqual(s.chat("llama/smol", max_tokens=1)[0], 200)
        print(f"the next answer came {time.monotonic() - began:.2f} s after both clients left")
        wait_for(lambda: s.routes()[0]["under_way"] == 0, 10)


if __name__ == "__main__":
    if not os.path.isfile(PROGRAM) or not os.path.isfile(MODEL):
        print("skipped: HOLDFAST_LLAMA_SERVER and HOLDFAST_SMOLLM2 must name the program and the model file")
        sys.exit(77)
    unittest.main(verbosity=2)
