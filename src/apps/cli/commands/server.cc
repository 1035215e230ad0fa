// `holdfast ps`, `load`, `unload`, `route`: what a running server holds. `tokenize`: a model's
// vocabulary.
#include <unistd.h>

#include <algorithm>

#include "../command.h"
#include "../local_model.h"
#include "../output.h"
#include "../server_address.h"
#include "../standard_input.h"
#include "holdfast/base/units.h"
#include "holdfast/base/utf8.h"
#include "holdfast/chat/template.h"
#include "holdfast/http/target.h"
#include "holdfast/platform/clock.h"
#include "holdfast/runtime/prompt.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::cli {

namespace {

std::uint64_t number(const json::Value& v, const char* key) {
  const json::Value* found = v.find(key);
  return found != nullptr && found->is_int() && found->as_int() > 0
             ? static_cast<std::uint64_t>(found->as_int())
             : 0;
}

std::string text(const json::Value& v, const char* key) {
  const json::Value* found = v.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : "";
}

// "ready", or "loading 42 %".
std::string state(const json::Value& engine) {
  const json::Value* loading = engine.find("loading");
  const json::Value* progress = loading == nullptr ? nullptr : loading->find("progress");
  if (progress == nullptr) return text(engine, "state");
  return text(engine, "state") + " " +
         std::to_string(static_cast<int>(progress->as_double() * 100)) + " %";
}

// How long the model stays if nobody asks it anything.
std::string stays(const json::Value& engine, std::int64_t now) {
  const json::Value* pinned = engine.find("pinned");
  if (pinned != nullptr && pinned->is_bool() && pinned->as_bool()) return "pinned";
  const auto expires = static_cast<std::int64_t>(number(engine, "expires_at"));
  if (expires == 0) return "";
  const std::int64_t left = std::max<std::int64_t>(expires - now, 0);
  return left < 120 ? std::to_string(left) + " s" : std::to_string(left / 60) + " min";
}

Status list_engines(Context& context) {
  HF_TRY_ASSIGN(const json::Value answer, call_server(context, "GET", "/holdfast/v1/engines"));
  const json::Value* data = answer.find("data");
  if (data == nullptr || !data->is_array()) return internal_error("the server answered no list");
  const std::int64_t now = platform::unix_seconds(platform::system_clock().wall_time());
  Table table(
      {"MODEL", "STATE", "WEIGHTS", "KV CACHE", "CONTEXT", "RUNNING", "STAYS", "ISA", "PID"});
  for (const json::Value& e : data->as_array()) {
    if (context.flags.quiet) print(text(e, "model") + "\n");
    table.add({text(e, "model"), state(e), format_bytes(number(e, "weights_bytes")),
               format_bytes(number(e, "kv_bytes")), std::to_string(number(e, "context_length")),
               std::to_string(number(e, "running")), stays(e, now), text(e, "isa"),
               std::to_string(number(e, "pid"))});
  }
  if (!context.flags.quiet) print_list(context, table, *data);
  return ok_status();
}

Status list_routes(Context& context) {
  HF_TRY_ASSIGN(const json::Value answer, call_server(context, "GET", "/holdfast/v1/routes"));
  const json::Value* data = answer.find("data");
  if (data == nullptr || !data->is_array()) return internal_error("the server answered no list");
  Table table(
      {"MODEL", "TARGET", "KIND", "BREAKER", "HEALTH", "UNDER WAY", "SLOTS", "REQUESTS", "ERRORS"});
  for (const json::Value& r : data->as_array()) {
    if (context.flags.quiet) print(text(r, "model") + " " + text(r, "target") + "\n");
    table.add({text(r, "model"), text(r, "target"), text(r, "kind"), text(r, "breaker"),
               text(r, "health"), std::to_string(number(r, "under_way")),
               std::to_string(number(r, "slots")), std::to_string(number(r, "requests")),
               std::to_string(number(r, "errors"))});
  }
  if (!context.flags.quiet) print_list(context, table, *data);
  return ok_status();
}

Status load(Context& context, const std::string& model) {
  HF_TRY_ASSIGN(const json::Value engine,
                call_server(context, "POST",
                            "/holdfast/v1/models/" + http::percent_encode_path(model) + "/load"));
  if (context.json()) {
    print_json_line(engine);
    return ok_status();
  }
  print("loaded " + text(engine, "model") + ": weights " +
        format_bytes(number(engine, "weights_bytes")) + ", KV cache " +
        format_bytes(number(engine, "kv_bytes")) + ", scratch " +
        format_bytes(number(engine, "scratch_bytes")) + ", context " +
        std::to_string(number(engine, "context_length")) + " tokens\n");
  return ok_status();
}

Status unload(Context& context, const std::string& model) {
  HF_TRY(call_server(context, "POST",
                     "/holdfast/v1/models/" + http::percent_encode_path(model) + "/unload"));
  print((context.flags.quiet ? "" : "unloaded ") + model + "\n");
  return ok_status();
}

struct TokenizeFlags {
  std::string model;
  std::string text;
  bool count = false;
  bool chat = false;
};

Result<std::vector<std::int32_t>> chat_tokens(const LocalModel& model,
                                              const tokenizer::Tokenizer& tokenizer,
                                              const std::string& prompt) {
  auto source = model.read_object(vault::ObjectKind::kTemplate);
  if (!source.ok() && source.error().code() == ErrorCode::kNotFound) {
    return unsupported(model.record().name.shown() + " has no chat template")
        .with_hint("import it with --template NAME");
  }
  HF_TRY(source);
  HF_TRY_ASSIGN(const chat::Template parsed, chat::Template::parse(as_string_view(*source)));
  chat::RenderInput input;
  input.messages = json::Array{json::Object{{"role", "user"}, {"content", prompt}}};
  input.now.unix_seconds = platform::unix_seconds(platform::system_clock().wall_time());
  runtime::set_template_tokens(tokenizer, input);
  HF_TRY_ASSIGN(const chat::Rendered rendered, parsed.render(input));
  return runtime::encode_chat(tokenizer, rendered);
}

Status tokenize(Context& context, const TokenizeFlags& f, bool text_given) {
  std::string input = f.text;
  if (!text_given) {
    HF_TRY_ASSIGN(input, read_standard_input());
  }
  HF_TRY_ASSIGN(const LocalModel model, LocalModel::open_private(context, f.model, true));
  HF_TRY_ASSIGN(Bytes object, model.read_object(vault::ObjectKind::kTokenizer));
  HF_TRY_ASSIGN(const std::unique_ptr<tokenizer::Tokenizer> tokenizer,
                tokenizer::Tokenizer::load_owned(std::move(object)));
  HF_TRY_ASSIGN(const std::vector<std::int32_t> ids, f.chat
                                                         ? chat_tokens(model, *tokenizer, input)
                                                         : runtime::encode_text(*tokenizer, input));
  if (f.count) {
    print(std::to_string(ids.size()) + "\n");
    return ok_status();
  }
  Table table({"ID", "PIECE"});
  json::Array document;
  for (const std::int32_t id : ids) {
    const std::string piece = sanitize_utf8(tokenizer->token_bytes(id));
    table.add({std::to_string(id), json::write(json::Value(piece))});
    document.push_back(json::Object{{"id", id}, {"piece", piece}});
  }
  print_list(context, table, document);
  return ok_status();
}

}  // namespace

void add_server(Registrar& r) {
  CLI::App& ps = r.add("ps", "List the models that the server has loaded, with their memory");
  r.bind(ps, list_engines);
  auto model = std::make_shared<std::string>();
  CLI::App& in = r.add("load", "Load a model into the running server");
  in.add_option("MODEL", *model, "Name of the model")->required();
  r.bind(in, [model](Context& c) { return load(c, *model); });
  CLI::App& out = r.add("unload", "Unload a model from the running server", {"stop"});
  out.add_option("MODEL", *model, "Name of the model")->required();
  r.bind(out, [model](Context& c) { return unload(c, *model); });
}

void add_route(Registrar& r) {
  CLI::App& c = r.add("route", "Where the server runs models");
  CLI::App* ls = c.add_subcommand("ls", "List the ways to each model, with their state");
  ls->fallthrough();
  r.bind(*ls, list_routes);
}

void add_tokenize(Registrar& r) {
  CLI::App& c = r.add("tokenize", "Show the tokens of a text");
  auto flags = std::make_shared<TokenizeFlags>();
  c.add_option("MODEL", flags->model, "Name of a model, or a GGUF file")->required();
  CLI::Option* text = c.add_option("TEXT", flags->text, "The text; without it standard input");
  c.add_flag("--count", flags->count, "Print only how many there are");
  c.add_flag("--template", flags->chat, "As a message of a chat, with the model's template");
  r.bind(c,
         [flags, text](Context& context) { return tokenize(context, *flags, text->count() > 0); });
}

}  // namespace holdfast::cli
