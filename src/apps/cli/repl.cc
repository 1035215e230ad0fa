#include "repl.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>

#include "holdfast/base/units.h"
#include "holdfast/base/utf8.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/terminal.h"
#include "output.h"

namespace holdfast::cli {

namespace {

constexpr std::string_view kQuotes = "\"\"\"";

constexpr std::string_view kHelp =
    "  \"\"\"             begins and ends a message of several lines\n"
    "  /set NAME VALUE  system, temperature, top_p, top_k, min_p, repeat_penalty, seed,\n"
    "                   max_tokens, verbose; VALUE `default` takes a setting back\n"
    "  /show            the model and the settings in force\n"
    "  /load MODEL      continue with another model and an empty conversation\n"
    "  /save FILE       write the conversation as JSON\n"
    "  /clear           forget the conversation\n"
    "  /retry           answer the last message again\n"
    "  /bye             leave; so does Ctrl-D\n"
    "  Ctrl-C           stop the answer\n";

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// The first word, taken off the front.
std::string_view take_word(std::string_view& s) {
  s = trimmed(s);
  const std::size_t end = std::min(s.find(' '), s.size());
  const std::string_view word = s.substr(0, end);
  s = trimmed(s.substr(end));
  return word;
}

template <typename T>
Status parse_number(std::string_view name, std::string_view text, T low, T high, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low) ||
      !(value <= high)) {
    return invalid_argument(std::string(name) + " takes a number from " +
                            json::write(json::Value(low)) + " to " +
                            json::write(json::Value(high)));
  }
  out = value;
  return ok_status();
}

class Repl {
 public:
  Repl(Context& context, std::unique_ptr<Session> session, const AnswerFlags& flags)
      : context_(context),
        session_(std::move(session)),
        defaults_(flags),
        flags_(flags),
        terminal_(platform::is_terminal(STDIN_FILENO)),
        editor_(STDIN_FILENO, STDOUT_FILENO) {}

  Status run();

 private:
  Status check_template(const Session& session) const;
  void greet() const;
  Result<std::optional<std::string>> read_line(std::string_view prompt);
  Result<std::optional<std::string>> read_rest(std::string text);
  void answer();
  void command(std::string_view line);
  Status run_command(std::string_view name, std::string_view rest);
  Status set(std::string_view name, std::string_view value);
  Status set_switch(std::string_view value);
  Status load(std::string_view model);
  Status save(std::string_view path) const;
  Status retry();
  void show() const;

  Context& context_;
  std::unique_ptr<Session> session_;
  const AnswerFlags defaults_;
  AnswerFlags flags_;
  const bool terminal_;
  platform::LineEditor editor_;
  json::Array messages_;  // without the system message
  bool leaving_ = false;
};

Status Repl::check_template(const Session& session) const {
  if (session.has_template()) return ok_status();
  return unsupported(session.model().record().name.shown() +
                     " has no chat template, and a chat needs one")
      .with_hint("give one with --template NAME (" + bundled_template_names() +
                 "), or continue a text: holdfast run MODEL PROMPT");
}

void Repl::greet() const {
  if (!terminal_) return;
  const registry::ModelRecord& m = session_->model().record();
  notice(context_, m.name.shown() + " (" + m.facts.architecture + ", " + m.facts.quantization +
                       ", context " + json::write(*session_->info().find("context")) +
                       "). /? lists commands, Ctrl-D leaves.");
}

Status Repl::run() {
  HF_TRY(check_template(*session_));
  HF_TRY(session_->start());
  greet();
  while (!leaving_) {
    auto line = read_line(">>> ");
    if (!line.ok() && line.error().code() == ErrorCode::kCancelled) {
      notice(context_, "(Ctrl-D or /bye leaves)");
      continue;
    }
    HF_TRY(line);
    if (!*line) break;
    const std::string_view text = trimmed(**line);
    if (text.empty()) continue;
    editor_.add_history(**line);
    if (text.starts_with("/")) {
      command(text);
    } else if (text.starts_with(kQuotes)) {
      auto whole = read_rest(std::string(text.substr(kQuotes.size())));
      if (!whole.ok() && whole.error().code() == ErrorCode::kCancelled) continue;
      HF_TRY(whole);
      if (!*whole) break;
      messages_.push_back(message("user", **whole));
      answer();
    } else {
      messages_.push_back(message("user", text));
      answer();
    }
  }
  return ok_status();
}

// SIGTERM while the terminal is in raw mode must leave it as it was.
Result<std::optional<std::string>> Repl::read_line(std::string_view prompt) {
  const platform::UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  session_->interrupts().set_handler(
      [&wake](int) { ignore_error(::eventfd_write(wake.get(), 1), "the counter is not full"); });
  auto line = editor_.read_line(prompt, wake.get());
  session_->interrupts().set_handler({});
  if (!line.ok() && line.error().code() == ErrorCode::kUnavailable) {
    context_.exit_status = 128 + session_->interrupts().last();
    return std::optional<std::string>();
  }
  return line;
}

Result<std::optional<std::string>> Repl::read_rest(std::string text) {
  while (!text.ends_with(kQuotes)) {
    HF_TRY_ASSIGN(const std::optional<std::string> line, read_line("... "));
    if (!line) return line;
    text += (text.empty() ? "" : "\n") + *line;
  }
  text.resize(text.size() - kQuotes.size());
  while (text.ends_with("\n")) text.pop_back();
  return std::optional<std::string>(std::move(text));
}

// The answer joins the conversation, also where it was stopped; a message that failed leaves it, so
// that it can be mended.
void Repl::answer() {
  json::Array conversation;
  if (!flags_.system.empty()) conversation.push_back(message("system", flags_.system));
  conversation.insert(conversation.end(), messages_.begin(), messages_.end());
  TextOutput out(context_);
  auto answer =
      session_->chat(conversation, flags_, [&out](std::string_view text) { out.write(text); });
  out.end_line();
  if (!answer.ok()) {
    messages_.pop_back();
    print_error(context_, answer.error());
    return;
  }
  if (answer->reason == wire::FinishReason::kCancelled) notice(context_, "(stopped)");
  if (answer->context_full) {
    notice(context_, "note: the context is full; /clear begins a new conversation");
  }
  if (context_.flags.verbose) {
    notice(context_, describe_speed(*answer) + "; seed " + std::to_string(answer->seed));
  }
  if (terminal_) notice(context_, "");
  messages_.push_back(message("assistant", answer->text));
  if (session_->interrupts().last() == SIGTERM) {
    context_.exit_status = 128 + SIGTERM;
    leaving_ = true;
  }
}

void Repl::command(std::string_view line) {
  std::string_view rest = line.substr(1);
  const std::string_view name = take_word(rest);
  if (const Status s = run_command(name, rest); !s.ok()) print_error(context_, s.error());
}

Status Repl::run_command(std::string_view name, std::string_view rest) {
  if (name == "?" || name == "help") {
    print(kHelp);
  } else if (name == "bye" || name == "exit" || name == "quit") {
    leaving_ = true;
  } else if (name == "clear") {
    messages_.clear();
    notice(context_, "the conversation is empty");
  } else if (name == "show") {
    show();
  } else if (name == "set") {
    const std::string_view key = take_word(rest);
    return set(key, rest);
  } else if (name == "load") {
    return load(rest);
  } else if (name == "save") {
    return save(rest);
  } else if (name == "retry") {
    return retry();
  } else {
    constexpr std::array kNames = {"clear", "show", "set", "load", "save", "retry", "bye", "help"};
    std::string hint = "/? lists all commands";
    for (const char* known : kNames) {
      if (edit_distance(name, known, 2) <= 2) hint = "did you mean /" + std::string(known) + "?";
    }
    return invalid_argument("unknown command /" + std::string(name)).with_hint(std::move(hint));
  }
  return ok_status();
}

Status Repl::set(std::string_view name, std::string_view value) {
  if (name.empty()) {
    show();
    return ok_status();
  }
  if (value.empty()) {
    return invalid_argument("/set " + std::string(name) + " needs a value")
        .with_hint("`default` takes the setting back");
  }
  const bool reset = value == "default";
  const auto number = [&](auto member, auto low, auto high) -> Status {
    if (!reset) return parse_number(name, value, low, high, flags_.*member);
    flags_.*member = defaults_.*member;
    return ok_status();
  };
  if (name == "system") {
    flags_.system = reset ? defaults_.system : std::string(value);
    return ok_status();
  }
  if (name == "temperature") return number(&AnswerFlags::temperature, 0.0, 2.0);
  if (name == "top_p") return number(&AnswerFlags::top_p, 0.0, 1.0);
  if (name == "min_p") return number(&AnswerFlags::min_p, 0.0, 1.0);
  if (name == "repeat_penalty") return number(&AnswerFlags::repeat_penalty, 0.01, 10.0);
  constexpr std::int64_t kCountMax = 1 << 27;
  if (name == "top_k") return number(&AnswerFlags::top_k, std::int64_t{0}, kCountMax);
  if (name == "max_tokens") return number(&AnswerFlags::max_tokens, std::int64_t{0}, kCountMax);
  if (name == "seed") {
    std::uint64_t seed = 0;
    if (!reset) HF_TRY(parse_number(name, value, std::uint64_t{0}, ~std::uint64_t{0}, seed));
    flags_.seed = reset ? defaults_.seed : std::optional(seed);
    return ok_status();
  }
  if (name == "verbose") return set_switch(value);
  return invalid_argument("there is no setting " + std::string(name)).with_hint("/? lists them");
}

Status Repl::set_switch(std::string_view value) {
  if (value != "on" && value != "off" && value != "default")
    return invalid_argument("verbose is on or off");
  context_.flags.verbose = value == "on";
  return ok_status();
}

Status Repl::load(std::string_view model) {
  if (model.empty()) return invalid_argument("/load needs the name of a model");
  HF_TRY_ASSIGN(std::unique_ptr<Session> next,
                Session::open(context_, std::string(model), defaults_));
  HF_TRY(check_template(*next));
  next->take_interrupts(*session_);
  if (Status s = next->start(); !s.ok()) {
    session_->take_interrupts(*next);
    return s;
  }
  session_ = std::move(next);
  messages_.clear();
  greet();
  return ok_status();
}

Status Repl::save(std::string_view path) const {
  if (path.empty()) return invalid_argument("/save needs a file");
  json::Array conversation;
  if (!flags_.system.empty()) conversation.push_back(message("system", flags_.system));
  conversation.insert(conversation.end(), messages_.begin(), messages_.end());
  const std::string text =
      json::write(json::Object{{"messages", std::move(conversation)}}, {.indent = 2}) + "\n";
  platform::PosixFileSystem files;
  HF_TRY(platform::write_file_atomic(files, std::string(path), as_bytes_view(text), 0600));
  notice(context_, "saved " + std::to_string(messages_.size()) + " messages");
  return ok_status();
}

Status Repl::retry() {
  if (!messages_.empty() && messages_.back().find("role")->as_string() == "assistant")
    messages_.pop_back();
  if (messages_.empty()) return invalid_argument("there is no message to answer again");
  answer();
  return ok_status();
}

void Repl::show() const {
  const registry::ModelRecord& m = session_->model().record();
  const auto line = [](std::string_view name, const std::string& value) {
    print("  " + std::string(name) + std::string(16 - name.size(), ' ') + value + "\n");
  };
  line("model", m.name.shown() + " (" + m.facts.architecture + ", " + m.facts.quantization + ", " +
                    format_bytes(m.size_bytes) + ")");
  line("context", json::write(*session_->info().find("context")) + " tokens");
  line("messages", std::to_string(messages_.size()));
  line("system", flags_.system.empty() ? "-" : flags_.system);
  line("temperature", json::write(flags_.temperature));
  line("top_p", json::write(flags_.top_p));
  line("top_k", std::to_string(flags_.top_k));
  line("min_p", json::write(flags_.min_p));
  line("repeat_penalty", json::write(flags_.repeat_penalty));
  line("seed", flags_.seed ? std::to_string(*flags_.seed) : "drawn for each answer");
  line("max_tokens",
       flags_.max_tokens == 0 ? "what the context leaves" : std::to_string(flags_.max_tokens));
  line("verbose", context_.flags.verbose ? "on" : "off");
}

}  // namespace

Status run_repl(Context& context, std::unique_ptr<Session> session, const AnswerFlags& flags) {
  return Repl(context, std::move(session), flags).run();
}

}  // namespace holdfast::cli
