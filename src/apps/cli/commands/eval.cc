// `holdfast eval`: what a model computes, for machines. The contract is docs/reference/eval.md.
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fstream>
#include <mutex>
#include <numeric>

#include "../command.h"
#include "../engine_config.h"
#include "../local_model.h"
#include "../output.h"
#include "../perplexity.h"
#include "eval_imatrix.h"
#include "eval_rows.h"
#include "holdfast/chat/template.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/runtime/prompt.h"
#include "holdfast/tokenizer/tokenizer.h"
#include "rfc3339.h"

namespace holdfast::cli {

namespace {

using tokenizer::Tokenizer;

struct EvalFlags {
  std::string model;
  std::string input = "-";
  std::string output;
  std::string file;
  std::string template_name;
  bool vocab_only = false;
  bool embedding = false;
  std::int64_t threads = 0;
  std::int64_t chunk = 512;
  std::int64_t batch = 1;
  std::int64_t context = 0;
  std::string kv_type = "f16";
  std::string isa;
};

// Rows of logits computed in one step: bounds scratch memory at 64 x vocabulary x 4 bytes.
constexpr int kLogitsRows = 64;

void add_engine_flags(CLI::App& c, EvalFlags& f) {
  c.add_option("--threads", f.threads, "Compute threads")->check(CLI::Range(1, 256));
  c.add_option("--chunk", f.chunk, "Prompt tokens per pass")->check(CLI::Range(1, 1 << 27));
  c.add_option("--batch", f.batch, "Input rows computed together")->check(CLI::Range(1, 64));
  c.add_option("--context", f.context, "Context length chosen at load, in tokens")
      ->check(CLI::Range(1, 1 << 27));
  c.add_option("--kv-type", f.kv_type, "Number format of the KV cache: f16, f32, q8_0 or q4_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0", "q4_0"}));
  c.add_option("--isa", f.isa, "Instruction set: scalar, avx2, avxvnni, avx512, amx or neon");
}

Result<std::unique_ptr<backend::EngineProcess>> start(const Context& context, const EvalFlags& f,
                                                      LocalModel& model) {
  json::Object config = engine_config(context);
  if (f.threads > 0) config.set("threads", f.threads);
  if (f.context > 0) config.set("context", f.context);
  if (!f.isa.empty()) config.set("isa", f.isa);
  config.set("kv_type", f.kv_type);
  config.set("prefill_chunk", f.chunk);
  config.set("batch_max", f.batch);
  config.set("logits_rows", kLogitsRows);
  config.set("hidden_states", f.embedding);
  return model.start_engine(context, std::move(config));
}

Status row_status(const RowPrinter& printer) {
  return printer.failed()
             ? Status(Error(ErrorCode::kInternal, "some rows failed; their answers tell why"))
             : ok_status();
}

// ---- tokens

Status tokens_row(const Tokenizer& tokenizer, const json::Value& row, RowPrinter& printer) {
  if (row.find("ids") == nullptr) {
    HF_TRY_ASSIGN(const std::string text, row_text(row));
    HF_TRY_ASSIGN(const bool add_special, row_flag(row, "add_special", false));
    HF_TRY_ASSIGN(const bool parse_special, row_flag(row, "parse_special", false));
    HF_TRY_ASSIGN(const bool pieces, row_flag(row, "pieces", false));
    HF_TRY_ASSIGN(const std::vector<std::int32_t> ids,
                  tokenizer.encode(text, {add_special, parse_special}));
    json::Array list(ids.begin(), ids.end());
    json::Object out{{"ids", std::move(list)}};
    if (pieces) {
      json::Array encoded;
      for (const std::int32_t id : ids)
        encoded.push_back(to_base64(as_bytes_view(tokenizer.token_bytes(id))));
      out.set("pieces_b64", std::move(encoded));
    }
    printer.answer(&row, std::move(out));
    return ok_status();
  }
  HF_TRY_ASSIGN(const std::vector<std::int32_t> ids, row_tokens(row, "ids"));
  HF_TRY_ASSIGN(const bool remove_special, row_flag(row, "remove_special", false));
  HF_TRY_ASSIGN(const bool unparse_special, row_flag(row, "unparse_special", false));
  HF_TRY_ASSIGN(const bool pieces, row_flag(row, "pieces", false));
  HF_TRY_ASSIGN(const std::string text, tokenizer.decode(ids, {remove_special, unparse_special}));
  json::Object out{{"text_b64", to_base64(as_bytes_view(text))}};
  if (pieces) {
    json::Array encoded;
    for (const std::int32_t id : ids) {
      const bool silent = !unparse_special && tokenizer.is_control(id);
      encoded.push_back(silent ? "" : to_base64(as_bytes_view(tokenizer.token_bytes(id))));
    }
    out.set("pieces_b64", std::move(encoded));
  }
  printer.answer(&row, std::move(out));
  return ok_status();
}

Status eval_tokens(const Context& context, const EvalFlags& f) {
  HF_TRY_ASSIGN(const LocalModel model, LocalModel::open_private(context, f.model, true));
  HF_TRY_ASSIGN(Bytes object, model.read_object(vault::ObjectKind::kTokenizer));
  HF_TRY_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer,
                Tokenizer::load_owned(std::move(object)));
  RowPrinter printer;
  HF_TRY(for_each_row(f.input, [&](Result<json::Value> row) {
    const Status s = row.ok() ? tokens_row(*tokenizer, *row, printer) : Status(row.error());
    if (!s.ok()) printer.error(row.ok() ? &*row : nullptr, s.error());
    return ok_status();
  }));
  return row_status(printer);
}

// ---- render

Result<chat::RenderInput> render_input(const json::Value& row, const Tokenizer* tokenizer) {
  chat::RenderInput input;
  if (tokenizer != nullptr) runtime::set_template_tokens(*tokenizer, input);
  const json::Value* messages = row.find("messages");
  if (messages == nullptr || !messages->is_array())
    return invalid_argument("messages must be a list");
  input.messages = *messages;
  if (const json::Value* tools = row.find("tools")) input.tools = *tools;
  HF_TRY_ASSIGN(input.add_generation_prompt, row_flag(row, "add_generation_prompt", false));
  if (const json::Value* extra = row.find("extra"); extra != nullptr && !extra->is_null()) {
    if (!extra->is_object()) return invalid_argument("extra must be an object");
    input.extra = extra->as_object();
  }
  input.now.unix_seconds = platform::unix_seconds(platform::system_clock().wall_time());
  if (const json::Value* now = row.find("now"); now != nullptr && !now->is_null()) {
    if (!now->is_string()) return invalid_argument("now must be an RFC 3339 time");
    HF_TRY_ASSIGN(const Instant t, parse_rfc3339(now->as_string()));
    input.now.unix_seconds = t.unix_seconds;
    input.now.utc_offset_seconds = t.utc_offset_seconds;
  }
  return input;
}

// The template and, where there is a model, its tokenizer for bos and eos.
Status eval_render(const Context& context, const EvalFlags& f) {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string source;
  if (!f.model.empty()) {
    HF_TRY_ASSIGN(const LocalModel model, LocalModel::open_private(context, f.model, true));
    HF_TRY_ASSIGN(Bytes object, model.read_object(vault::ObjectKind::kTokenizer));
    HF_TRY_ASSIGN(tokenizer, Tokenizer::load_owned(std::move(object)));
    if (f.template_name.empty()) {
      auto bytes = model.read_object(vault::ObjectKind::kTemplate);
      if (!bytes.ok() && bytes.error().code() == ErrorCode::kNotFound) {
        return unsupported("the model has no chat template")
            .with_hint("give one with --template NAME or FILE");
      }
      HF_TRY(bytes);
      source = as_string_view(*bytes);
    }
  }
  if (!f.template_name.empty()) {
    HF_TRY_ASSIGN(source, template_text(f.template_name));
  }
  if (source.empty()) return invalid_argument("render needs a MODEL or --template FILE");
  const Result<chat::Template> parsed = chat::Template::parse(source);
  RowPrinter printer;
  HF_TRY(for_each_row(f.input, [&](Result<json::Value> row) {
    if (!row.ok()) {
      printer.error(nullptr, row.error());
      return ok_status();
    }
    if (!parsed.ok()) {
      printer.error(&*row, parsed.error());
      return ok_status();
    }
    auto input = render_input(*row, tokenizer.get());
    const auto rendered =
        input.ok() ? parsed->render(*input) : Result<chat::Rendered>(input.error());
    if (rendered.ok()) {
      printer.answer(&*row, json::Object{{"text", rendered->text()}});
    } else {
      printer.error(&*row, rendered.error());
    }
    return ok_status();
  }));
  return row_status(printer);
}

// ---- logits and greedy: rows of which up to --batch are under way together, answered in order

struct Job {
  json::Value row;
  std::optional<Error> error;
  std::vector<std::uint32_t> order;      // of the answer: index into the computed rows
  std::vector<std::uint32_t> positions;  // computed, ascending
  std::vector<float> values;
  std::uint32_t width = 0;
  json::Array ids;
  json::Array margins;
  bool done = false;
};

class JobRunner {
 public:
  JobRunner(backend::EngineProcess& engine, std::size_t together,
            std::function<Status(Job&)> finish)
      : engine_(engine), together_(together), finish_(std::move(finish)) {}

  // Sends a job, or takes it as failed already where `message` is an error.
  Status add(std::unique_ptr<Job> job, Result<wire::Message> message) {
    while (jobs_.size() >= together_) HF_TRY(finish_front());
    Job* raw = job.get();
    jobs_.push_back(std::move(job));
    if (!message.ok()) {
      raw->error = message.error();
      raw->done = true;
      return ok_status();
    }
    engine_.send(std::move(*message), [this, raw](const wire::Message& m) { receive(*raw, m); });
    return ok_status();
  }
  Status drain() {
    while (!jobs_.empty()) HF_TRY(finish_front());
    return ok_status();
  }

 private:
  void receive(Job& job, const wire::Message& message) {
    if (const auto* rows = std::get_if<wire::Rows>(&message)) {
      job.width = rows->columns;
      job.values.insert(job.values.end(), rows->values.begin(), rows->values.end());
    } else if (const auto* token = std::get_if<wire::Token>(&message)) {
      for (const wire::TokenDetail& d : token->tokens) {
        job.ids.push_back(d.token);
        job.margins.push_back(static_cast<double>(d.margin.value_or(0)));
      }
    } else if (const auto* error = std::get_if<wire::ErrorReply>(&message)) {
      job.error = wire::to_error(*error);
      set_done(job);
    } else if (std::holds_alternative<wire::Finished>(message)) {
      set_done(job);
    }
  }
  void set_done(Job& job) {
    const std::lock_guard lock(mutex_);
    job.done = true;
    changed_.notify_all();
  }
  Status finish_front() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return jobs_.front()->done; });
    }
    const std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    return finish_(*job);
  }

  backend::EngineProcess& engine_;
  const std::size_t together_;
  const std::function<Status(Job&)> finish_;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

Result<wire::Message> evaluate_message(Job& job, bool embedding) {
  wire::Evaluate m;
  m.kind = embedding ? wire::EvaluateKind::kEmbedding : wire::EvaluateKind::kLogits;
  HF_TRY_ASSIGN(m.tokens, row_tokens(job.row, "tokens"));
  if (m.tokens.empty()) return invalid_argument("tokens must not be empty");
  const json::Value* positions = job.row.find("positions");
  std::vector<std::uint32_t> wanted;
  if (positions != nullptr && positions->is_array()) {
    for (const json::Value& p : positions->as_array()) {
      if (!p.is_int() || p.as_int() < 0 ||
          p.as_int() >= static_cast<std::int64_t>(m.tokens.size())) {
        return invalid_argument("positions holds an index outside of tokens");
      }
      wanted.push_back(static_cast<std::uint32_t>(p.as_int()));
    }
  } else if (positions != nullptr && positions->is_string() && positions->as_string() == "all") {
    wanted.resize(m.tokens.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
  } else if (positions != nullptr && positions->is_string() && positions->as_string() == "last") {
    wanted = {static_cast<std::uint32_t>(m.tokens.size() - 1)};
  } else if (positions != nullptr && positions->is_string() && positions->as_string() == "pooled" &&
             embedding) {
    m.kind = wire::EvaluateKind::kPooled;
    return wire::Message(std::move(m));
  } else {
    return invalid_argument("positions must be a list of indices, \"last\" or \"all\"");
  }
  if (wanted.empty()) return invalid_argument("positions must not be empty");
  job.positions = wanted;
  std::sort(job.positions.begin(), job.positions.end());
  job.positions.erase(std::unique(job.positions.begin(), job.positions.end()), job.positions.end());
  for (const std::uint32_t p : wanted) {
    const auto at = std::lower_bound(job.positions.begin(), job.positions.end(), p);
    job.order.push_back(static_cast<std::uint32_t>(at - job.positions.begin()));
  }
  m.choice = wire::PositionChoice::kList;
  m.positions = job.positions;
  return wire::Message(std::move(m));
}

Status write_logits(Job& job, std::ofstream& out, RowPrinter& printer) {
  if (job.error) {
    printer.error(&job.row, *job.error);
    return ok_status();
  }
  crypto::Sha256 hash;
  for (const std::uint32_t index : job.order) {
    const ByteView bytes(
        reinterpret_cast<const std::byte*>(job.values.data() + std::size_t{index} * job.width),
        std::size_t{job.width} * sizeof(float));
    hash.update(bytes);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  out.flush();
  if (!out) return exhausted("the output file cannot be written; is the disk full?");
  printer.answer(&job.row, json::Object{{"rows", job.order.size()},
                                        {"vocab", job.width},
                                        {"sha256", to_hex(hash.finish())}});
  return ok_status();
}

Status eval_logits(const Context& context, const EvalFlags& f) {
  HF_TRY_ASSIGN(LocalModel model, LocalModel::open_private(context, f.model, false));
  HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine, start(context, f, model));
  std::ofstream out(f.output, std::ios::binary | std::ios::trunc);
  if (!out) return invalid_argument("the output file cannot be written", f.output);
  RowPrinter printer;
  JobRunner runner(*engine, static_cast<std::size_t>(f.batch),
                   [&](Job& job) { return write_logits(job, out, printer); });
  HF_TRY(for_each_row(f.input, [&](Result<json::Value> row) {
    auto job = std::make_unique<Job>();
    Result<wire::Message> message = row.ok() ? internal_error("") : row.error();
    if (row.ok()) {
      job->row = std::move(*row);
      message = evaluate_message(*job, f.embedding);
    }
    return runner.add(std::move(job), std::move(message));
  }));
  HF_TRY(runner.drain());
  return row_status(printer);
}

Result<wire::Message> greedy_message(const json::Value& row) {
  wire::Submit m;
  m.kind = wire::PromptKind::kTokens;
  HF_TRY_ASSIGN(m.tokens, row_tokens(row, "tokens"));
  const json::Value* n = row.find("n");
  if (n == nullptr || !n->is_int() || n->as_int() < 1 || n->as_int() > (1 << 27)) {
    return invalid_argument("n must be the number of tokens to make");
  }
  m.want_margins = true;
  m.sampling.temperature = 0;
  m.sampling.max_tokens = static_cast<std::uint32_t>(n->as_int());
  return wire::Message(std::move(m));
}

Status eval_greedy(const Context& context, const EvalFlags& f) {
  HF_TRY_ASSIGN(LocalModel model, LocalModel::open_private(context, f.model, false));
  HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine, start(context, f, model));
  RowPrinter printer;
  JobRunner runner(*engine, static_cast<std::size_t>(f.batch), [&](Job& job) {
    if (job.error) {
      printer.error(&job.row, *job.error);
    } else {
      printer.answer(
          &job.row, json::Object{{"ids", std::move(job.ids)}, {"margins", std::move(job.margins)}});
    }
    return ok_status();
  });
  HF_TRY(for_each_row(f.input, [&](Result<json::Value> row) {
    auto job = std::make_unique<Job>();
    Result<wire::Message> message = row.ok() ? greedy_message(*row) : row.error();
    if (row.ok()) job->row = std::move(*row);
    return runner.add(std::move(job), std::move(message));
  }));
  HF_TRY(runner.drain());
  return row_status(printer);
}

// ---- perplexity

Status eval_perplexity(const Context& context, EvalFlags f) {
  if (f.context == 0) f.context = 512;
  if (f.context < 4) return invalid_argument("--context must be at least 4");
  std::ifstream in(f.file, std::ios::binary);
  if (!in) return not_found("the text file cannot be read", f.file);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  HF_TRY_ASSIGN(LocalModel model, LocalModel::open_private(context, f.model, false));
  HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine, start(context, f, model));
  HF_TRY_ASSIGN(const Perplexity p,
                measure_perplexity(*engine, text, static_cast<std::size_t>(f.context),
                                   static_cast<std::size_t>(f.batch)));
  print_json_line(json::Object{{"perplexity", p.value()}, {"nll", p.nll}, {"tokens", p.tokens}});
  return ok_status();
}

}  // namespace

void add_eval(Registrar& r) {
  CLI::App& eval =
      r.add("eval", "Compute what a model makes of given input, for machines (JSON Lines)");
  auto flags = std::make_shared<EvalFlags>();
  const auto add = [&](const char* name, const char* text, bool model_required) {
    CLI::App* c = eval.add_subcommand(name, text);
    c->fallthrough();
    CLI::Option* model = c->add_option("MODEL", flags->model, "Name of a model, or a GGUF file");
    if (model_required) model->required();
    return c;
  };
  const auto with_rows = [&](CLI::App* c) {
    c->add_option("--input", flags->input, "JSON Lines; - is standard input")->type_name("FILE");
  };

  CLI::App* tokens = add("tokens", "Text to tokens and back", true);
  with_rows(tokens);
  tokens->add_flag("--vocab-only", flags->vocab_only,
                   "Read only the vocabulary, from any GGUF file");
  r.bind(*tokens, [flags](Context& c) { return eval_tokens(c, *flags); });

  CLI::App* render = add("render", "Conversations to prompt text", false);
  with_rows(render);
  render->add_option("--template", flags->template_name, "A bundled template by name, or a file")
      ->type_name("NAME|FILE");
  r.bind(*render, [flags](Context& c) { return eval_render(c, *flags); });

  CLI::App* logits = add("logits", "Logits at positions of token sequences", true);
  with_rows(logits);
  logits->add_option("--output", flags->output, "Rows of float32, little-endian")
      ->type_name("FILE")
      ->required();
  logits->add_flag("--embedding", flags->embedding, "Final hidden states in place of logits");
  add_engine_flags(*logits, *flags);
  r.bind(*logits, [flags](Context& c) { return eval_logits(c, *flags); });

  CLI::App* greedy = add("greedy", "The most likely continuation", true);
  with_rows(greedy);
  add_engine_flags(*greedy, *flags);
  r.bind(*greedy, [flags](Context& c) { return eval_greedy(c, *flags); });

  CLI::App* perplexity = add("perplexity", "Perplexity of a text in windows", true);
  perplexity->add_option("--file", flags->file, "The text")->type_name("FILE")->required();
  add_engine_flags(*perplexity, *flags);
  r.bind(*perplexity, [flags](Context& c) { return eval_perplexity(c, *flags); });

  auto imatrix_flags = std::make_shared<ImatrixFlags>();
  CLI::App* imatrix = eval.add_subcommand("imatrix", "Importance matrix of a model over a text");
  imatrix->fallthrough();
  imatrix->add_option("MODEL", imatrix_flags->model, "Name of a model, or a GGUF file")->required();
  imatrix->add_option("--file", imatrix_flags->file, "The text")->type_name("FILE")->required();
  imatrix->add_option("--output", imatrix_flags->output, "The importance matrix, in GGUF form")
      ->type_name("FILE")
      ->required();
  imatrix->add_option("--context", imatrix_flags->context, "Tokens of one chunk")
      ->check(CLI::Range(1, 1 << 27));
  imatrix->add_option("--chunks", imatrix_flags->chunks, "Chunks to read; without it all")
      ->check(CLI::Range(1, 1 << 27));
  imatrix->add_option("--threads", imatrix_flags->threads, "Compute threads")
      ->check(CLI::Range(1, 256));
  imatrix->add_option("--isa", imatrix_flags->isa, "Instruction set: scalar, avx2, avx512 or neon");
  r.bind(*imatrix, [imatrix_flags](Context& c) { return eval_imatrix(c, *imatrix_flags); });
}

}  // namespace holdfast::cli
