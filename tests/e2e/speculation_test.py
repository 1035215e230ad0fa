"""Answers with tokens guessed ahead are those without, byte for byte, in the real programs."""
import json
import urllib.request

from harness import *

QUOTE = ("Repeat the following letter word for word.\n\nDear Mrs Okafor, thank you for your letter about the footbridge near the "
         "mill. Four planks on the northern side are rotten, and somebody has painted a small blue whale on the post.")
MODES = ["off", "auto", "ngram"]


class Answers(Case):
    def answer(self, mode, *arguments):
        done = self.ok(["run", "smol", "--json", "--engine.speculation", mode, *arguments])
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(events[-1]["event"], "done")
        end = events[-1]
        text = "".join(e["text"] for e in events if e["event"] == "token")
        return (text, end["usage"]["completion_tokens"], end["finish_reason"]), end["speculation"]

    def same(self, *arguments, modes=MODES):
        answers = {}
        guesses = {}
        for mode in modes:
            answers[mode], guesses[mode] = self.answer(mode, *arguments)
        for mode in modes:
            self.assertEqual(answers[mode], answers[modes[0]], mode)
        self.assertEqual(guesses["off"], {"draft_tokens": 0, "accepted_tokens": 0})
        return guesses

    def test_greedy(self):
        guesses = self.same(QUOTE, "--temperature", "0", "--max-tokens", "80")
        self.assertGreater(guesses["ngram"]["accepted_tokens"], 15)

    def test_seeded(self):
        for seed in ("1", "2"):
            self.same(QUOTE, "--temperature", "0.8", "--seed", seed, "--max-tokens", "60")

    def test_penalised(self):
        self.same(QUOTE, "--temperature", "0.3", "--seed", "3", "--repeat-penalty", "1.1", "--max-tokens", "60")

    def test_a_draft_model_of_the_same_family(self):
        # No smaller sibling is at hand: the same weights under another pack, which is what a template makes of them.
        self.ok(["import", SMOLLM2, "--name", "sibling", "--template", "chatml"])
        self.addCleanup(self.run_, ["rm", "sibling", "-y"])
        card = [json.loads(self.ok(["show", name, "--json"]).stdout) for name in ("smol", "sibling")]
        if card[0]["digest"] == card[1]["digest"]:
            self.skipTest("both names have one pack")
        modes = ["off", "draft:sibling"]
        guesses = self.same(QUOTE, "--temperature", "0", "--max-tokens", "40", modes=modes)
        self.assertGreater(guesses["draft:sibling"]["accepted_tokens"], 0)
        self.same(QUOTE, "--temperature", "0.8", "--seed", "5", "--max-tokens", "40", modes=modes)

    def test_what_cannot_guess_is_refused(self):
        self.fails(3, ["run", "smol", "hi", "--draft", "nobody"], "draft model nobody|nobody")
        self.fails(2, ["run", "smol", "hi", "--engine.speculation", "maybe"], "auto off ngram draft:NAME")

    def test_a_model_does_not_guess_for_itself(self):
        done = self.ok(["run", "smol", "hi", "--draft", "smol", "--max-tokens", "3"])
        self.assertIn("cannot guess for itself", done.stderr)

    @unittest.skipUnless(GEMMA3, "HOLDFAST_GEMMA3 does not name the model file")
    def test_another_vocabulary_is_refused(self):
        self.ok(["import", GEMMA3, "--name", "gemma"])
        self.addCleanup(self.run_, ["rm", "gemma", "-y"])
        self.fails(2, ["run", "smol", "hi", "--draft", "gemma"], "another vocabulary")


class Metrics(Case):
    def test_guesses_are_counted(self):
        with Server(self, "smol", "--engine.speculation", "ngram") as server:
            body = {"model": "smol", "messages": [{"role": "user", "content": QUOTE}], "temperature": 0, "max_tokens": 80}
            status, _ = server.post("/v1/chat/completions", json.dumps(body))
            self.assertEqual(status, 200)
            deadline = time.monotonic() + 20
            drafted = accepted = 0.0
            while drafted == 0 and time.monotonic() < deadline:
                time.sleep(0.2)
                _, text = server.get("/metrics")
                drafted, accepted = (float(re.search(rf"(?m)^vllm:spec_decode_num_{n}_tokens_total\S* (\S+)$", text).group(1))
                                     for n in ("draft", "accepted"))
            self.assertGreater(accepted, 15)
            self.assertGreaterEqual(drafted, accepted)


if __name__ == "__main__":
    main()
