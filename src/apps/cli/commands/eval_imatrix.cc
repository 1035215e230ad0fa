#include "eval_imatrix.h"

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <optional>
#include <vector>

#include "../engine_config.h"
#include "../local_model.h"
#include "../output.h"
#include "holdfast/model/importance.h"
#include "holdfast/platform/atomic_file.h"

namespace holdfast::cli {
namespace {

constexpr unsigned kFileMode = 0644;

// The rows of one evaluation as they arrive.
class SlotRows {
 public:
  void receive(const wire::Message& message) {
    const std::lock_guard lock(mutex_);
    if (const auto* rows = std::get_if<wire::Rows>(&message)) {
      if (rows->row >= rows_.size()) rows_.resize(rows->row + 1);
      auto& row = rows_[rows->row];
      row.insert(row.end(), rows->values.begin(), rows->values.end());
      return;
    }
    if (const auto* error = std::get_if<wire::ErrorReply>(&message))
      error_ = wire::to_error(*error);
    done_ = true;
    changed_.notify_all();
  }
  // [slot][columns]
  Result<std::vector<std::vector<float>>> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    if (error_) return *error_;
    return std::move(rows_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<float>> rows_;
  std::optional<Error> error_;
  bool done_ = false;
};

// Sums over chunks, in double: thousands of chunks add up.
class Totals {
 public:
  explicit Totals(std::vector<model::ActivationSlot> slots) : slots_(std::move(slots)) {
    for (const model::ActivationSlot& slot : slots_) sums_.emplace_back(slot.columns, 0.0);
  }
  Status add(const std::vector<std::vector<float>>& rows, std::size_t tokens) {
    if (rows.size() != slots_.size()) return internal_error("the engine sent other slots");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].size() != sums_[i].size()) return internal_error("the engine sent other slots");
      std::transform(rows[i].begin(), rows[i].end(), sums_[i].begin(), sums_[i].begin(),
                     [](float v, double sum) { return sum + static_cast<double>(v); });
    }
    tokens_ += tokens;
    return ok_status();
  }
  void put(model::Importance& importance) const {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      model::ImportanceEntry entry;
      entry.columns = slots_[i].columns;
      entry.sums.assign(sums_[i].begin(), sums_[i].end());
      entry.counts = {static_cast<float>(tokens_)};
      for (const std::string& tensor : slots_[i].tensors) {
        importance.entries.emplace(tensor, entry);
      }
    }
  }

 private:
  std::vector<model::ActivationSlot> slots_;
  std::vector<std::vector<double>> sums_;
  std::size_t tokens_ = 0;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return not_found("the text file cannot be read", path);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

Result<std::unique_ptr<backend::EngineProcess>> start(const Context& context, const ImatrixFlags& f,
                                                      LocalModel& model) {
  json::Object config = engine_config(context);
  if (f.threads > 0) config.set("threads", f.threads);
  if (!f.isa.empty()) config.set("isa", f.isa);
  config.set("context", f.context);
  config.set("batch_max", 1);
  config.set("logits_rows", 1);
  return model.start_engine(context, std::move(config));
}

Result<model::Hyperparameters> hyperparameters(const LocalModel& model) {
  HF_TRY_ASSIGN(const Bytes config, model.read_object(vault::ObjectKind::kConfig));
  return model::from_json(as_string_view(config));
}

Status write_file(const ImatrixFlags& f, const model::Importance& importance) {
  platform::PosixFileSystem fs;
  HF_TRY_ASSIGN(platform::AtomicFile out,
                platform::AtomicFile::create(fs, f.output, platform::AtomicFile::Existing::kReplace,
                                             kFileMode));
  HF_TRY(model::write_importance(importance, out.file()));
  return out.commit();
}

}  // namespace

Status eval_imatrix(const Context& context, const ImatrixFlags& f) {
  HF_TRY_ASSIGN(const std::string text, read_text(f.file));
  HF_TRY_ASSIGN(LocalModel model, LocalModel::open_private(context, f.model, false));
  HF_TRY_ASSIGN(const model::Hyperparameters hyper, hyperparameters(model));
  HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine, start(context, f, model));
  HF_TRY_ASSIGN(const wire::Message reply,
                engine->call(wire::Tokenize{0, text, true, false, false}));
  const std::vector<std::int32_t>& tokens = std::get<wire::Tokens>(reply).tokens;
  const auto window = static_cast<std::size_t>(f.context);
  std::size_t chunks = tokens.size() / window;
  if (chunks < 1) {
    return invalid_argument("the text has " + std::to_string(tokens.size()) +
                            " tokens, less than one chunk of " + std::to_string(window));
  }
  if (f.chunks > 0) chunks = std::min(chunks, static_cast<std::size_t>(f.chunks));
  const bool adds_bos = engine->info().find("adds_bos")->as_bool();
  const std::int64_t bos = engine->info().find("bos")->as_int();
  Totals totals(model::activation_slots(hyper));
  Progress bar(context, "reading " + f.file);
  for (std::size_t i = 0; i < chunks; ++i) {
    wire::Evaluate m;
    m.kind = wire::EvaluateKind::kImportance;
    m.tokens.assign(tokens.begin() + static_cast<std::ptrdiff_t>(i * window),
                    tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * window));
    if (adds_bos && bos >= 0) m.tokens[0] = static_cast<std::int32_t>(bos);
    m.choice = wire::PositionChoice::kList;
    SlotRows rows;
    engine->send(std::move(m), [&rows](const wire::Message& answer) { rows.receive(answer); });
    HF_TRY_ASSIGN(const auto sums, rows.wait());
    HF_TRY(totals.add(sums, window));
    bar.update(text.size() * (i + 1) / chunks, text.size());
  }
  model::Importance importance;
  importance.datasets = {std::string(platform::base_name(f.file))};
  importance.chunk_count = static_cast<std::uint32_t>(chunks);
  importance.chunk_tokens = static_cast<std::uint32_t>(window);
  totals.put(importance);
  HF_TRY(write_file(f, importance));
  print_json_line(json::Object{{"output", f.output},
                               {"entries", importance.entries.size()},
                               {"chunks", chunks},
                               {"tokens", chunks * window}});
  return ok_status();
}

}  // namespace holdfast::cli
