// One model that answers in this program: its private engine, and the flags that shape an answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "command.h"
#include "interrupts.h"
#include "local_model.h"

namespace holdfast::cli {

// Flags of an answer. The defaults keep a small model on its subject without making it repeat
// itself.
struct AnswerFlags {
  std::string system;
  std::string template_name;  // a bundled family or a file
  double temperature = 0.7;
  double top_p = 1.0;
  std::int64_t top_k = 0;
  double min_p = 0.05;
  double repeat_penalty = 1.0;
  std::optional<std::uint64_t> seed;
  std::int64_t max_tokens = 0;  // 0: what the context leaves
};
// --temperature and so on, and the short forms of engine settings.
void add_answer_flags(Registrar& r, CLI::App& command, AnswerFlags& flags);

struct Answer {
  std::string text;
  wire::FinishReason reason = wire::FinishReason::kStop;
  wire::Usage usage;
  wire::Timings timings;
  double first_token_seconds = 0;  // from sending the request to the first text
  std::uint64_t seed = 0;
  bool context_full = false;
};

// Tokens that an engine guessed ahead, in all its answers, and how many were right.
struct Drafts {
  std::uint64_t made = 0;
  std::uint64_t right = 0;
};

// Owner: the command. Owned by its thread.
class Session {
 public:
  // Resolves or imports the model; the engine starts with start() or the first answer.
  static Result<std::unique_ptr<Session>> open(const Context& context, const std::string& model,
                                               const AnswerFlags& flags);

  Status start();
  const LocalModel& model() const { return model_; }
  const json::Value& info() const { return engine_->info(); }  // precondition: started
  // The engine's template, or one that exists but is not usable: then the engine tells why.
  bool has_template() const;
  pid_t engine_pid() const { return engine_->pid(); }
  double load_seconds() const { return load_seconds_; }

  using OnStarted = std::function<void(const wire::Started&)>;
  // Called on this thread with whole characters.
  using OnText = std::function<void(std::string_view)>;
  // An answer to a conversation, or the continuation of a text. A signal ends it with reason
  // kCancelled. The engine's own errors; kUnavailable when it died, and then the next call starts
  // another.
  Result<Answer> chat(const json::Array& messages, const AnswerFlags& flags, const OnText& on_text,
                      const OnStarted& on_started = {});
  Result<Answer> complete(const std::string& text, const AnswerFlags& flags, const OnText& on_text,
                          const OnStarted& on_started = {});

  // Precondition: started.
  Result<Drafts> drafts() const;
  Interrupts& interrupts() { return *interrupts_; }
  // Signals are received in one place only: a session that replaces another takes them over before
  // it starts.
  void take_interrupts(Session& from) { interrupts_ = std::move(from.interrupts_); }

 private:
  explicit Session(const Context& context, LocalModel model)
      : context_(context), model_(std::move(model)) {}
  Result<Answer> generate(wire::Submit submit, const AnswerFlags& flags, const OnText& on_text,
                          const OnStarted& on_started);

  const Context& context_;
  LocalModel model_;
  std::string template_text_;
  std::unique_ptr<Interrupts> interrupts_;
  std::unique_ptr<backend::EngineProcess> engine_;
  double load_seconds_ = 0;
};

// "chatml, gemma, ...": the bundled templates.
std::string bundled_template_names();
// Message of a conversation, as templates take it.
json::Value message(std::string_view role, std::string_view content);
// "412 prompt tokens at 3211.4/s, 58 tokens at 72.1/s, first after 0.14 s".
std::string describe_speed(const Answer& answer);

}  // namespace holdfast::cli
