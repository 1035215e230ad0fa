// `holdfast run`, `chat`: answers of a model.
#include <unistd.h>

#include "../command.h"
#include "../output.h"
#include "../pull_model.h"
#include "../repl.h"
#include "../session.h"
#include "../standard_input.h"

namespace holdfast::cli {

namespace {

struct RunFlags {
  std::string model;
  std::vector<std::string> prompt;
  AnswerFlags answer;
};

Result<std::string> whole_prompt(const std::vector<std::string>& words) {
  std::string prompt;
  for (const std::string& w : words) prompt += (prompt.empty() ? "" : " ") + w;
  if (::isatty(STDIN_FILENO) != 1) {
    HF_TRY_ASSIGN(const std::string piped, read_standard_input());
    if (!prompt.empty() && !piped.empty()) prompt += "\n\n";
    prompt += piped;
  }
  return prompt;
}

double seconds(std::uint64_t ns) { return static_cast<double>(ns) / 1e9; }

Status print_done(const Session& session, const Answer& a) {
  HF_TRY_ASSIGN(const Drafts drafts, session.drafts());
  print_json_line(json::Object{
      {"event", "done"},
      {"finish_reason", std::string(wire::finish_reason_name(a.reason))},
      {"seed", a.seed},
      {"usage", json::Object{{"prompt_tokens", a.usage.prompt_tokens},
                             {"completion_tokens", a.usage.completion_tokens},
                             {"cached_tokens", a.usage.cached_tokens}}},
      {"timings", json::Object{{"load", session.load_seconds()},
                               {"first_token", a.first_token_seconds},
                               {"prefill", seconds(a.timings.prefill_ns)},
                               {"decode", seconds(a.timings.decode_ns)}}},
      {"speculation",
       json::Object{{"draft_tokens", drafts.made}, {"accepted_tokens", drafts.right}}}});
  return ok_status();
}

Result<Answer> answer_prompt(const Context& context, Session& session, const RunFlags& f,
                             const std::string& prompt) {
  TextOutput out(context);
  const auto on_text = [&](std::string_view text) {
    if (context.json()) {
      print_json_line(json::Object{{"event", "token"}, {"text", text}});
    } else {
      out.write(text);
    }
  };
  const auto on_started = [&](const wire::Started& started) {
    if (!context.json()) return;
    print_json_line(json::Object{{"event", "start"},
                                 {"model", session.model().record().name.full()},
                                 {"prompt_tokens", started.prompt_tokens}});
  };
  if (!session.has_template()) {
    notice(context, "note: " + session.model().record().name.shown() +
                        " has no chat template, so the text is continued as it stands; --template "
                        "NAME makes it a chat (" +
                        bundled_template_names() + ")");
    auto answer = session.complete(prompt, f.answer, on_text, on_started);
    if (!context.json()) out.end_line();
    return answer;
  }
  json::Array messages;
  if (!f.answer.system.empty()) messages.push_back(message("system", f.answer.system));
  messages.push_back(message("user", prompt));
  auto answer = session.chat(messages, f.answer, on_text, on_started);
  if (!context.json()) out.end_line();
  return answer;
}

Status run_once(Context& context, const RunFlags& f, const std::string& prompt) {
  HF_TRY_ASSIGN(const std::unique_ptr<Session> session, Session::open(context, f.model, f.answer));
  if (!session->has_template() && !f.answer.system.empty()) {
    return unsupported(session->model().record().name.shown() +
                       " has no chat template, and --system needs one")
        .with_hint("give one with --template NAME: " + bundled_template_names());
  }
  HF_TRY(session->start());
  HF_TRY_ASSIGN(const Answer answer, answer_prompt(context, *session, f, prompt));
  if (context.json()) {
    HF_TRY(print_done(*session, answer));
  }
  if (answer.context_full) {
    notice(context, "note: the answer ends here because the context of " +
                        std::to_string(session->info().find("context")->as_int()) +
                        " tokens is full");
  }
  if (context.flags.verbose) {
    HF_TRY_ASSIGN(const Drafts drafts, session->drafts());
    notice(context, "model ready after " + fixed(session->load_seconds(), 3) + " s; " +
                        describe_speed(answer) + ", " + std::to_string(drafts.right) + " of " +
                        std::to_string(drafts.made) + " guesses right; seed " +
                        std::to_string(answer.seed));
  }
  if (answer.reason == wire::FinishReason::kCancelled)
    context.exit_status = 128 + session->interrupts().last();
  return ok_status();
}

// The configured model, else the only one.
Result<std::string> default_model(const Context& context) {
  const std::string& configured = context.settings.text(config::Setting::models_default);
  if (!configured.empty()) return configured;
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  if (listing.models.empty()) {
    return not_found("there is no model yet").with_hint("import one: holdfast import MODEL.gguf");
  }
  for (const registry::ModelRecord& m : listing.models) {
    if (m.pack != listing.models.front().pack) {
      std::string names;
      for (const registry::ModelRecord& n : listing.models)
        names += (names.empty() ? "" : ", ") + n.name.shown();
      return invalid_argument("which model? There are " + std::to_string(listing.models.size()))
          .with_hint("name one of: " + names);
    }
  }
  return listing.models.front().name.full();
}

Status talk(Context& context, const std::string& model, const AnswerFlags& flags) {
  HF_TRY_ASSIGN(std::unique_ptr<Session> session, Session::open(context, model, flags));
  return run_repl(context, std::move(session), flags);
}

Status run_command(Context& context, RunFlags& f) {
  HF_TRY_ASSIGN(f.model, pull_if_absent(context, f.model));
  HF_TRY_ASSIGN(const std::string prompt, whole_prompt(f.prompt));
  if (!prompt.empty()) return run_once(context, f, prompt);
  if (!f.prompt.empty() || ::isatty(STDIN_FILENO) != 1) {
    return invalid_argument("the prompt is empty")
        .with_hint("give it as an argument or on standard input");
  }
  return talk(context, f.model, f.answer);
}

}  // namespace

void add_run(Registrar& r) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App& run = r.add("run", "Answer a prompt, or open a chat without one");
  run.add_option("MODEL", flags->model,
                 "Name of a model, a GGUF file (imported first), or a source to pull from")
      ->required();
  run.add_option("PROMPT", flags->prompt,
                 "The prompt; what is piped to standard input is appended, or is the prompt");
  add_answer_flags(r, run, flags->answer);
  r.bind(run, [flags](Context& c) { return run_command(c, *flags); });

  CLI::App& chat = r.add("chat", "Talk with a model in the terminal");
  chat.add_option("MODEL", flags->model,
                  "Name of a model, or a GGUF file; without one models.default, or the only model");
  add_answer_flags(r, chat, flags->answer);
  r.bind(chat, [flags](Context& c) -> Status {
    if (flags->model.empty()) {
      HF_TRY_ASSIGN(flags->model, default_model(c));
    }
    return talk(c, flags->model, flags->answer);
  });
}

}  // namespace holdfast::cli
