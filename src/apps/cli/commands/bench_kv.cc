#include "bench_kv.h"

#include <algorithm>

#include "../engine_config.h"
#include "../local_model.h"
#include "../output.h"
#include "../perplexity.h"
#include "../sample_text.h"
#include "holdfast/platform/file.h"

namespace holdfast::cli {

namespace {

// As `eval perplexity` has it. Also the context of the engine.
constexpr std::size_t kWindow = 512;
constexpr std::uint64_t kTextBytesMax = std::uint64_t{16} << 20;  // of one message to the engine
constexpr std::int64_t kPageTokens = 32;
// Rows of logits computed in one step: bounds scratch memory at 64 x vocabulary x 4 bytes.
constexpr int kLogitsRows = 64;
// Keys and values in 16 bits are what the others are compared with.
constexpr std::string_view kReference = "f16";

struct Cost {
  std::string kv_type;
  Perplexity perplexity;
  double bytes_per_token = 0;
};

// The reference first, then the table's order: a new format appears by itself.
std::vector<std::string> kv_types() {
  std::vector<std::string> out;
  for (const config::SettingInfo& info : config::setting_table()) {
    if (info.name() != "engine.kv_type") continue;
    std::string_view words = info.range;
    while (!words.empty()) {
      const std::size_t end = std::min(words.find(' '), words.size());
      if (end > 0) out.emplace_back(words.substr(0, end));
      words.remove_prefix(std::min(end + 1, words.size()));
    }
  }
  std::stable_partition(out.begin(), out.end(), [](const auto& t) { return t == kReference; });
  return out;
}

Result<std::string> text_of(const std::string& file) {
  if (file.empty()) return std::string(kSampleText);
  HF_TRY_ASSIGN(const auto source, platform::File::open_read(file));
  HF_TRY_ASSIGN(const Bytes bytes, platform::read_all(source, kTextBytesMax));
  return std::string(as_string_view(bytes));
}

Result<Cost> cost_of(const Context& context, const LocalModel& model, const std::string& kv_type,
                     const std::string& text) {
  json::Object config = engine_config(context);
  config.set("kv_type", kv_type);
  config.set("context", std::int64_t{kWindow});
  config.set("batch_max", 1);
  config.set("logits_rows", kLogitsRows);
  HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine,
                model.start_engine(context, std::move(config)));
  Cost out;
  out.kv_type = kv_type;
  const auto positions =
      (static_cast<std::int64_t>(kWindow) + kPageTokens - 1) / kPageTokens * kPageTokens;
  out.bytes_per_token =
      engine->info().find("kv_bytes")->as_double() / static_cast<double>(positions);
  HF_TRY_ASSIGN(out.perplexity, measure_perplexity(*engine, text, kWindow, 1));
  return out;
}

std::string against(double ratio, const std::optional<NllChange>& change) {
  std::string out = (ratio >= 1 ? "+" : "") + fixed((ratio - 1) * 100, 2) + " %";
  // A small change of the logarithm is that share of the value.
  if (change) out += " +- " + fixed(change->error * 100, 2);
  return out;
}

}  // namespace

Status bench_kv_cost(const Context& context, const std::string& model_name,
                     const std::string& file) {
  HF_TRY_ASSIGN(const std::string text, text_of(file));
  HF_TRY_ASSIGN(const LocalModel model, LocalModel::open(context, model_name));
  Table table({"KV TYPE", "PERPLEXITY", "AGAINST F16", "KV BYTES/TOKEN"});
  double reference = 0;
  std::vector<double> reference_windows;
  for (const std::string& type : kv_types()) {
    if (context.progress()) notice(context, "measuring kv " + type + " ...");
    HF_TRY_ASSIGN(const Cost c, cost_of(context, model, type, text));
    const double perplexity = c.perplexity.value();
    if (type == kReference) {
      reference = perplexity;
      reference_windows = c.perplexity.windows;
    }
    const auto change =
        type == kReference ? std::nullopt : nll_change(reference_windows, c.perplexity.windows);
    json::Object line{{"test", "kv_cost"},
                      {"kv_type", type},
                      {"perplexity", perplexity},
                      {"tokens", c.perplexity.tokens},
                      {"kv_bytes_per_token", c.bytes_per_token}};
    if (reference > 0) line.set("against_f16", perplexity / reference);
    if (change) line.set("standard_error", change->error);
    if (context.json()) print_json_line(std::move(line));
    table.add({type, fixed(perplexity, 4),
               reference > 0 ? against(perplexity / reference, change) : "-",
               fixed(c.bytes_per_token, 0)});
  }
  if (!context.json()) print(table.render(terminal_width()));
  if (reference_windows.size() < kWindowsMin) {
    notice(context, "note: so short a text tells differences of some percent only; --file with " +
                        std::to_string(2 * kWindowsMin * kWindow) + " tokens and more tells finer");
  }
  return ok_status();
}

}  // namespace holdfast::cli
