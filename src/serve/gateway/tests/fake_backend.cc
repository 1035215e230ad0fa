#include "fake_backend.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "holdfast/base/utf8.h"

namespace holdfast::gateway::testing_support {

using namespace backend;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kContext = 64;
constexpr std::int32_t kVocabulary = 1000;

Failure failure(FailureKind kind, Error error, std::uint64_t limit = 0, std::uint64_t actual = 0) {
  return Failure{std::move(error), kind, limit, actual, 0};
}

// Four bytes are a token.
std::uint32_t count_tokens(std::size_t bytes) { return static_cast<std::uint32_t>(bytes / 4 + 1); }

std::string last_text(const Prompt& prompt) {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return text->text;
  if (const auto* tokens = std::get_if<TokenPrompt>(&prompt))
    return std::to_string(tokens->tokens.size());
  const json::Value* content =
      std::get<ChatPrompt>(prompt).messages.as_array().back().find("content");
  return content == nullptr ? "" : content->as_string();
}

std::uint32_t prompt_tokens(const Prompt& prompt) {
  if (const auto* tokens = std::get_if<TokenPrompt>(&prompt))
    return static_cast<std::uint32_t>(tokens->tokens.size());
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return count_tokens(text->text.size());
  std::size_t bytes = 0;
  for (const json::Value& message : std::get<ChatPrompt>(prompt).messages.as_array()) {
    bytes += message.find("content")->as_string().size();
  }
  return count_tokens(bytes);
}

// The number that begins there, or 0.
int number_at(const std::string& text, std::size_t at) {
  int out = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), out);
  return out;
}

std::vector<std::string> script(const std::string& text, const SamplingParams& sampling) {
  if (text.rfind("say ", 0) == 0) {
    std::vector<std::string> out;
    for (std::size_t at = 4; at < text.size();) {
      const std::size_t n = decode_utf8(text, at).length;
      out.push_back(text.substr(at, n));
      at += n;
    }
    return out;
  }
  if (text.rfind("count ", 0) == 0) {
    std::vector<std::string> out;
    for (int i = 0, n = number_at(text, 6); i < n; ++i) out.push_back(" " + std::to_string(i));
    return out;
  }
  if (text == "slow") return std::vector<std::string>(500, "x ");
  if (text == "flood") return std::vector<std::string>(50000, std::string(32, 'y'));
  std::vector<std::string> out = {"Hello", ",", " wörld", " \xF0\x9F", "\x8C\x8D", "!"};
  if (sampling.seed) out.push_back(" #" + std::to_string(*sampling.seed));
  return out;
}

// Between two tokens: of "slow", and the second number of "count".
std::chrono::milliseconds pause_of(const std::string& text) {
  if (text == "slow") return std::chrono::milliseconds(20);
  const std::size_t second = text.find(' ', 6);
  if (text.rfind("count ", 0) != 0 || second == std::string::npos) return {};
  return std::chrono::milliseconds(number_at(text, second + 1));
}

TokenInfo token_info(const std::string& bytes, std::size_t index, const GenerateRequest& request) {
  TokenInfo out;
  out.id = static_cast<std::int32_t>(index);
  out.bytes = bytes;
  out.logprob = -0.25f * static_cast<float>(index + 1);
  for (std::uint32_t i = 0; i < request.top_logprobs; ++i) {
    out.top.push_back({static_cast<std::int32_t>(100 + i), "alt" + std::to_string(i),
                       -1.0f - static_cast<float>(i)});
  }
  return out;
}

}  // namespace

struct FakeBackend::Run {
  GenerateRequest request;
  std::shared_ptr<GenerateObserver> observer;
  std::string text;
  std::vector<std::string> tokens;
  std::string
      waiting;  // bytes of an unfinished character, or of a stop string that may be beginning
  std::size_t next = 0;
  bool started = false;
  bool loading = false;  // the model is cold and the caller does not wait
  std::atomic<bool> cancel{false}, ended{false};
  Clock::time_point due = Clock::now();
  std::chrono::milliseconds pause{0};  // between tokens
};

class FakeBackend::Handle final : public RequestHandle {
 public:
  Handle(FakeBackend& owner, std::shared_ptr<Run> run) : owner_(owner), run_(std::move(run)) {}
  ~Handle() override { cancel(); }
  void cancel() override {
    const std::lock_guard lock(owner_.mutex_);
    const auto at = std::find(owner_.runs_.begin(), owner_.runs_.end(), run_);
    if (at == owner_.runs_.end() || run_->ended || run_->cancel.exchange(true)) return;
    ++owner_.cancelled_;
    owner_.last_cancel_ = Clock::now();
    owner_.wake_.notify_all();
  }

 private:
  FakeBackend& owner_;
  std::shared_ptr<Run> run_;
};

FakeBackend::FakeBackend() : thread_([this] { work(); }) {}

FakeBackend::~FakeBackend() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

std::vector<ModelFacts> FakeBackend::models() {
  const auto model = [](std::string id, ModelState state) {
    ModelFacts facts;
    facts.id = std::move(id);
    facts.created = 1'760'000'000;
    facts.architecture = "llama";
    facts.context_length = kContext;
    facts.quantization = "Q4_K_M";
    facts.parameters = 134'515'008;
    facts.size_bytes = 105'000'000;
    facts.digest = "sha256:" + std::string(64, 'a');
    facts.license = "apache-2.0";
    facts.capabilities = {"completion"};
    facts.has_chat_template = true;
    facts.state = state;
    return facts;
  };
  const std::lock_guard lock(mutex_);
  const bool loaded = std::find(loaded_.begin(), loaded_.end(), "cold:latest") != loaded_.end();
  std::vector<ModelFacts> out = {
      model("tiny:latest", ModelState::kReady), model("org/name:q4", ModelState::kReady),
      model("cold:latest", loaded ? ModelState::kReady : ModelState::kCold)};
  out.front().aliases = {"t"};
  out[1].constrained = true;
  return out;
}

Stats FakeBackend::stats() {
  EngineFacts engine;
  engine.model = "tiny:latest";
  engine.state = ModelState::kReady;
  engine.pid = 4242;
  engine.isa = "scalar";
  engine.threads = 2;
  engine.context_length = kContext;
  engine.weights_bytes = 1000;
  engine.kv_bytes = 100;
  engine.running = static_cast<std::uint32_t>(running());
  engine.kv_usage = 0.5;
  engine.speculation = "auto";
  engine.steps = steps_;
  engine.draft_tokens = 4 * engine.steps;
  engine.draft_accepted = 3 * engine.steps;
  engine.slots = 8;
  engine.kv_blocks = 16;
  engine.kv_block_tokens = 32;
  engine.prefix_queries = engine.steps;
  engine.prefix_hits = engine.steps / 8;
  engine.preemptions = 2;
  return {{engine}, 3};
}

std::unique_ptr<RequestHandle> FakeBackend::generate(GenerateRequest request,
                                                     std::shared_ptr<GenerateObserver> observer) {
  auto run = std::make_shared<Run>();
  run->text = last_text(request.prompt);
  run->tokens = script(run->text, request.sampling);
  run->pause = pause_of(run->text);
  run->request = std::move(request);
  run->observer = std::move(observer);
  const std::lock_guard lock(mutex_);
  if (run->request.model == "cold:latest" && std::ranges::count(loaded_, "cold:latest") == 0) {
    run->loading = !run->request.wait_for_load;
    loaded_.push_back("cold:latest");
  }
  requests_.push_back(run->request);
  runs_.push_back(run);
  const auto live =
      std::count_if(runs_.begin(), runs_.end(), [](const auto& r) { return !r->ended; });
  most_running_ = std::max(most_running_.load(), static_cast<std::size_t>(live));
  wake_.notify_all();
  return std::make_unique<Handle>(*this, run);
}

std::vector<GenerateRequest> FakeBackend::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}
Clock::time_point FakeBackend::last_cancel() const {
  const std::lock_guard lock(mutex_);
  return last_cancel_;
}
std::size_t FakeBackend::running() const {
  const std::lock_guard lock(mutex_);
  return runs_.size();
}

// One thread steps every run in turn.
void FakeBackend::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const auto all = runs_;
    lock.unlock();
    std::vector<std::shared_ptr<Run>> ended;
    for (const auto& run : all) {
      bool end = step(*run);
      while (!end && run->text == "flood") end = step(*run);
      if (end) ended.push_back(run);
    }
    lock.lock();
    for (const auto& run : ended) runs_.remove(run);
    if (ended.empty()) wake_.wait_for(lock, std::chrono::milliseconds(1));
  }
  for (const auto& run : runs_) {
    lock.unlock();
    run->observer->on_finished({FinishReason::kCancelled, "", {}, {}, 0});
    lock.lock();
  }
}

// True: the run has ended.
bool FakeBackend::call_tools(Run& run) {
  const auto part = [&](std::uint32_t call, std::string id, std::string name, std::string more) {
    TokenEvent event;
    event.tool_calls.push_back({call, std::move(id), std::move(name), std::move(more)});
    run.observer->on_token(std::move(event));
  };
  if (run.text == "calls") {
    part(0, "a1", "weather", R"({"city")");
    part(1, "", "time", "");
    part(1, "", "", "{}");
    part(0, "", "", R"(:"Köln")");
    part(0, "", "", "}");
  } else if (run.text == "calls long") {
    std::string letters = "\"";
    while (letters.size() < 30'000) letters += "ö";
    part(0, "a1", "weather", letters + "\"");
  } else {
    for (std::uint32_t i = 0; i < 40'000; ++i) part(i % 2, "", i < 2 ? "f" : "", "1");
  }
  run.ended = true;
  Finished end;
  end.reason = FinishReason::kToolCalls;
  run.observer->on_finished(std::move(end));
  return true;
}

// True when the run has ended.
bool FakeBackend::step(Run& run) {
  const auto finish = [&](FinishReason reason, std::string stop = {}) {
    run.ended = true;
    Finished end;
    end.reason = reason;
    end.stop_string = std::move(stop);
    end.timings = {0, 1'000'000, 2'000'000, 3'000'000};
    end.usage.prompt_tokens = prompt_tokens(run.request.prompt);
    end.usage.completion_tokens = static_cast<std::uint32_t>(run.next);
    end.timings = {0, 1'000'000, 2'000'000, 3'000'000};
    end.seed = run.request.sampling.seed.value_or(7);
    run.observer->on_finished(std::move(end));
    return true;
  };
  const auto fail = [&](Failure f) {
    run.ended = true;
    run.observer->on_error(std::move(f));
    return true;
  };
  if (run.cancel) return finish(FinishReason::kCancelled);
  if (run.loading) {
    Failure f = failure(FailureKind::kModelLoading, unavailable("loading"));
    f.retry_after_ms = 2'500;
    f.loading_state = "verifying";
    f.loading_progress = 0.25;
    return fail(std::move(f));
  }
  if (run.text == "queue" || Clock::now() < run.due) return false;
  if (!run.started) {
    if (run.text == "fail early")
      return fail(failure(FailureKind::kEngineCrashed,
                          internal_error("engine stopped", "pid 4242 at 0xdeadbeef")));
    if (run.text == "raise")
      return fail(failure(FailureKind::kTemplate, invalid_argument("roles must alternate")));
    if (run.text == "full") return fail(failure(FailureKind::kOverloaded, exhausted("queue full")));
    const std::uint32_t prompt = prompt_tokens(run.request.prompt);
    if (prompt + 1 > kContext) {
      return fail(
          failure(FailureKind::kContextLength, invalid_argument("too long"), kContext, prompt));
    }
    for (const auto& [id, bias] : run.request.sampling.logit_bias) {
      if (id >= kVocabulary)
        return fail(failure(FailureKind::kUnknownToken,
                            invalid_argument("The token id is not in the vocabulary.")));
    }
    run.started = true;
    ++steps_;
    Started started{prompt, 0, {}};
    if (run.request.want_prompt_logprobs) {
      TokenInfo whole{1, run.text, std::numeric_limits<float>::quiet_NaN(), {}};
      started.prompt.push_back(std::move(whole));
    }
    run.observer->on_started(std::move(started));
    return false;
  }
  if (run.text == "hang") return false;
  if (run.text.starts_with("calls")) return call_tools(run);
  if (run.next == 2 && run.text == "fail late")
    return fail(failure(FailureKind::kEngineCrashed, internal_error("engine stopped", "pid 4242")));
  if (run.next == 2 && run.text == "drain") return finish(FinishReason::kCancelled);
  const std::size_t limit =
      std::min<std::size_t>(run.request.max_tokens.value_or(~0u), run.tokens.size());
  TokenEvent event;
  const std::string& bytes = run.tokens[run.next];
  if (run.request.want_logprobs) event.tokens.push_back(token_info(bytes, run.next, run.request));
  ++run.next;
  ++steps_;
  run.waiting += bytes;
  const bool last = run.next == limit;
  for (const std::string& stop : run.request.stop) {
    const std::size_t at = run.waiting.find(stop);
    if (at == std::string::npos) continue;
    event.text = run.waiting.substr(0, at);
    run.observer->on_token(std::move(event));
    return finish(FinishReason::kStop, stop);
  }
  std::size_t ready = last ? run.waiting.size() : complete_utf8_prefix(run.waiting);
  std::size_t held = 0;  // end of the text that may be the beginning of a stop string
  for (const std::string& stop : run.request.stop) {
    for (std::size_t n = 1; n <= std::min(stop.size(), ready) && !last; ++n) {
      if (run.waiting.compare(ready - n, n, stop, 0, n) == 0) held = std::max(held, n);
    }
  }
  ready -= held;
  event.text = run.waiting.substr(0, ready);
  run.waiting.erase(0, ready);
  run.observer->on_token(std::move(event));
  if (run.pause.count() > 0) run.due = Clock::now() + run.pause;
  if (!last) return false;
  return finish(limit < run.tokens.size() ? FinishReason::kLength : FinishReason::kStop);
}

void FakeBackend::tokenize(TokenizeRequest request, Done<Tokenized> done) {
  Tokenized out;
  if (request.add_special) out.tokens.push_back(1);
  for (const char c : request.text) out.tokens.push_back(static_cast<unsigned char>(c) + 100);
  if (request.with_pieces) {
    if (request.add_special) out.pieces.emplace_back("<s>");
    for (const char c : request.text) out.pieces.emplace_back(1, c);
  }
  done(std::move(out));
}

void FakeBackend::detokenize(std::string, std::vector<std::int32_t> tokens,
                             Done<std::string> done) {
  std::string out;
  for (const std::int32_t id : tokens) {
    if (id >= kVocabulary) {
      done(failure(FailureKind::kUnknownToken,
                   invalid_argument("The token id is not in the vocabulary.")));
      return;
    }
    out += static_cast<char>(id - 100);
  }
  done(std::move(out));
}

void FakeBackend::render(std::string, ChatPrompt prompt, Done<std::string> done) {
  std::string out;
  for (const json::Value& message : prompt.messages.as_array()) {
    out += "<" + message.find("role")->as_string() + ">" + message.find("content")->as_string();
  }
  done(out + json::write(prompt.template_arguments) + json::write(prompt.tools));
}

void FakeBackend::load(std::string model, std::optional<std::chrono::milliseconds>,
                       Done<EngineFacts> done) {
  {
    const std::lock_guard lock(mutex_);
    loaded_.push_back(model);
  }
  EngineFacts engine;
  engine.model = std::move(model);
  engine.state = ModelState::kReady;
  done(std::move(engine));
}

void FakeBackend::unload(std::string model, Done<std::monostate> done) {
  {
    const std::lock_guard lock(mutex_);
    loaded_.erase(std::remove(loaded_.begin(), loaded_.end(), model), loaded_.end());
  }
  done(std::monostate());
}

}  // namespace holdfast::gateway::testing_support
