#include "session.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "engine_config.h"
#include "holdfast/chat/bundled.h"
#include "holdfast/platform/entropy.h"
#include "output.h"

namespace holdfast::cli {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Messages of one request on their way from the engine's reading thread to the command's.
class Inbox {
 public:
  void push(const wire::Message& message) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(message);
    changed_.notify_one();
  }
  wire::Message pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !messages_.empty(); });
    wire::Message m = std::move(messages_.front());
    messages_.pop_front();
    return m;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::Message> messages_;
};

// No handler outlives the answer that it cancels.
class HandlerScope {
 public:
  HandlerScope(Interrupts& interrupts, Interrupts::Handler handler) : interrupts_(interrupts) {
    interrupts_.set_handler(std::move(handler));
  }
  ~HandlerScope() { interrupts_.set_handler({}); }
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;

 private:
  Interrupts& interrupts_;
};

wire::SamplingParams sampling(const AnswerFlags& f, std::uint64_t seed) {
  wire::SamplingParams s;
  s.temperature = f.temperature;
  s.top_k = static_cast<std::uint32_t>(f.top_k);
  s.top_p = f.top_p;
  s.min_p = f.min_p;
  s.repeat_penalty = f.repeat_penalty;
  s.seed = seed;
  if (f.max_tokens > 0) s.max_tokens = static_cast<std::uint32_t>(f.max_tokens);
  return s;
}

std::string rate(std::uint64_t count, std::uint64_t ns) {
  return ns == 0 ? "?" : fixed(static_cast<double>(count) * 1e9 / static_cast<double>(ns), 1);
}

}  // namespace

void add_answer_flags(Registrar& r, CLI::App& c, AnswerFlags& f) {
  r.setting_flag(c, "--threads", "engine.threads", "Compute threads");
  r.setting_flag(c, "--context", "limits.context_max", "Context length in tokens");
  r.setting_flag(c, "--draft", "engine.speculation",
                 "Smaller model of the same family to guess ahead", "draft:");
  c.add_option("--max-tokens", f.max_tokens, "Longest answer in tokens")
      ->check(CLI::Range(1, 1 << 27));
  c.add_option("--temperature", f.temperature, "Randomness of the choice; 0 takes the likeliest")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();
  c.add_option("--top-p", f.top_p,
               "Choose among the likeliest tokens with this probability together")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  c.add_option("--top-k", f.top_k, "Choose among this many tokens; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  c.add_option("--min-p", f.min_p,
               "Leave out tokens below this share of the likeliest one's probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  c.add_option("--repeat-penalty", f.repeat_penalty,
               "Make tokens of the last 64 less likely; 1: off")
      ->check(CLI::Range(0.01, 10.0))
      ->capture_default_str();
  c.add_option("--seed", f.seed, "Same seed, same answer; without one it is drawn");
  c.add_option("--system", f.system, "Instruction that stands before the conversation")
      ->type_name("TEXT");
  c.add_option("--template", f.template_name, "Chat template to use in place of the model's own")
      ->type_name("NAME|FILE");
}

std::string bundled_template_names() {
  std::string names;
  for (const auto& t : chat::bundled_templates())
    names += (names.empty() ? "" : ", ") + std::string(t.name);
  return names;
}

json::Value message(std::string_view role, std::string_view content) {
  return json::Object{{"role", role}, {"content", content}};
}

std::string describe_speed(const Answer& a) {
  const std::uint32_t steps = a.usage.completion_tokens > 0 ? a.usage.completion_tokens - 1 : 0;
  std::string out = "first token after " + fixed(a.first_token_seconds, 3) + " s; " +
                    std::to_string(a.usage.prompt_tokens) + " prompt tokens, " +
                    rate(a.usage.prompt_tokens - a.usage.cached_tokens, a.timings.prefill_ns) +
                    " tokens/s; " + std::to_string(a.usage.completion_tokens) + " answer tokens";
  if (steps > 0) out += ", " + rate(steps, a.timings.decode_ns) + " tokens/s";
  return out;
}

Result<std::unique_ptr<Session>> Session::open(const Context& context, const std::string& model,
                                               const AnswerFlags& flags) {
  std::string text;
  if (!flags.template_name.empty()) {
    HF_TRY_ASSIGN(text, template_text(flags.template_name));
  }
  HF_TRY_ASSIGN(LocalModel local, LocalModel::open(context, model));
  if (local.record().facts.vocab_only) {
    return unsupported(local.record().name.shown() + " holds only a vocabulary, no weights");
  }
  std::unique_ptr<Session> session(new Session(context, std::move(local)));
  session->template_text_ = std::move(text);
  return session;
}

Status Session::start() {
  if (engine_ && engine_->alive()) return ok_status();
  engine_.reset();
  if (!interrupts_) {
    HF_TRY_ASSIGN(interrupts_, Interrupts::create());
  }
  const auto began = Clock::now();
  json::Object config = engine_config(context_);
  config.set("batch_max", 1);
  if (!template_text_.empty()) config.set("template", template_text_);
  HF_TRY_ASSIGN(engine_, model_.start_engine(context_, std::move(config)));
  load_seconds_ = seconds_since(began);
  return ok_status();
}

bool Session::has_template() const {
  return model_.record().facts.has_template || !template_text_.empty();
}

Result<Answer> Session::chat(const json::Array& messages, const AnswerFlags& flags,
                             const OnText& on_text, const OnStarted& on_started) {
  wire::Submit submit;
  submit.kind = wire::PromptKind::kChat;
  submit.text = json::write(json::Object{{"messages", messages}, {"add_generation_prompt", true}});
  return generate(std::move(submit), flags, on_text, on_started);
}

Result<Answer> Session::complete(const std::string& text, const AnswerFlags& flags,
                                 const OnText& on_text, const OnStarted& on_started) {
  wire::Submit submit;
  submit.kind = wire::PromptKind::kText;
  submit.text = text;
  return generate(std::move(submit), flags, on_text, on_started);
}

Result<Drafts> Session::drafts() const {
  HF_TRY_ASSIGN(const wire::Message reply, engine_->call(wire::Stats{}));
  const auto* stats = std::get_if<wire::StatsReply>(&reply);
  if (stats == nullptr) return internal_error("the engine gave an answer of another kind");
  HF_TRY_ASSIGN(const json::Value counts, json::parse(stats->stats_json));
  const auto count = [&](const char* key) {
    const json::Value* v = counts.find(key);
    return v != nullptr && v->is_int() ? static_cast<std::uint64_t>(v->as_int()) : 0;
  };
  return Drafts{count("draft_tokens"), count("draft_accepted")};
}

Result<Answer> Session::generate(wire::Submit submit, const AnswerFlags& flags,
                                 const OnText& on_text, const OnStarted& on_started) {
  HF_TRY(start());
  Answer answer;
  if (flags.seed) {
    answer.seed = *flags.seed;
  } else {
    // Short enough to be typed again.
    HF_TRY_ASSIGN(answer.seed, platform::random_u64());
    answer.seed >>= 32;
  }
  submit.sampling = sampling(flags, answer.seed);
  // The engine has no other user; a conversation's next turn begins with what was said before.
  submit.scheduling.cache_domain = "session";
  const auto inbox = std::make_shared<Inbox>();
  const auto began = Clock::now();
  const std::uint64_t request =
      engine_->send(std::move(submit), [inbox](const wire::Message& m) { inbox->push(m); });
  const HandlerScope scope(*interrupts_, [this, request](int) { engine_->cancel(request); });
  while (true) {
    const wire::Message m = inbox->pop();
    if (const auto* started = std::get_if<wire::Started>(&m)) {
      if (on_started) on_started(*started);
    } else if (const auto* token = std::get_if<wire::Token>(&m)) {
      if (answer.first_token_seconds == 0) answer.first_token_seconds = seconds_since(began);
      answer.text += token->text;
      if (!token->text.empty()) on_text(token->text);
    } else if (const auto* error = std::get_if<wire::ErrorReply>(&m)) {
      if (engine_->alive()) return wire::to_error(*error);
      return unavailable("the engine of this model ended unexpectedly",
                         error->detail == "engine exited" ? "" : error->detail)
          .with_hint("run it again; with -v the engine says more");
    } else if (const auto* finished = std::get_if<wire::Finished>(&m)) {
      answer.reason = finished->reason;
      answer.usage = finished->usage;
      answer.timings = finished->timings;
      answer.context_full =
          finished->reason == wire::FinishReason::kLength &&
          (flags.max_tokens == 0 || finished->usage.completion_tokens < flags.max_tokens);
      return answer;
    }
  }
}

}  // namespace holdfast::cli
