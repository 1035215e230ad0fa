#include "tiny_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>

#include "holdfast/gguf/gguf.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/file.h"
#include "holdfast/quant/codec.h"
#include "holdfast/quant/packed.h"

namespace holdfast::model {

namespace {

AlignedBytes allocate(std::size_t bytes) {
  constexpr std::align_val_t kAlignment{64};
  auto* p = static_cast<std::byte*>(::operator new(bytes, kAlignment));
  std::memset(p, 0, bytes);
  return {p, [](std::byte* q) { ::operator delete(q, kAlignment); }};
}

Result<Bytes> read_tensor(const platform::ByteSource& file, const gguf::TensorInfo& info) {
  Bytes bytes(info.bytes);
  HF_TRY(file.read_at(info.offset, bytes));
  return bytes;
}

void pack_matrix(quant::TensorType source, const Bytes& raw, const quant::PackedShape& shape,
                 std::uint64_t rows, std::uint64_t cols, std::byte* out) {
  const std::size_t row_bytes = raw.size() / rows;
  for (std::uint64_t g = 0; g < shape.groups; ++g) {
    const std::uint64_t first = g * quant::kGroupRows;
    const auto count =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(quant::kGroupRows, rows - first));
    quant::pack_group(source, raw.data() + first * row_bytes, row_bytes, count, cols,
                      out + g * shape.group_bytes);
  }
}

std::string read_text(const std::string& path) {
  auto file = platform::File::open_read(path);
  EXPECT_TRUE(file.ok()) << path;
  if (!file.ok()) return {};
  std::string text(file->size(), '\0');
  EXPECT_TRUE(file->read_at(0, std::as_writable_bytes(std::span(text))).ok());
  return text;
}

std::vector<json::Value> read_lines(const std::string& path) {
  std::vector<json::Value> out;
  const std::string text = read_text(path);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    auto line = json::parse(std::string_view(text).substr(at, end - at));
    EXPECT_TRUE(line.ok()) << path;
    if (line.ok()) out.push_back(std::move(line).value());
    at = end + 1;
  }
  return out;
}

template <typename T>
std::vector<T> integers(const json::Value& v) {
  std::vector<T> out;
  for (const json::Value& item : v.as_array()) out.push_back(static_cast<T>(item.as_int()));
  return out;
}

GoldenSequence read_sequence(const std::string& dir, const json::Value& line) {
  GoldenSequence s;
  s.model = line.find("model")->as_string();
  s.gguf = dir + "/" + line.find("gguf")->as_string();
  s.architecture = line.find("arch")->as_string();
  s.context = static_cast<std::uint32_t>(line.find("n_ctx")->as_int());
  s.ids = integers<std::int32_t>(*line.find("ids"));
  s.positions = integers<std::uint32_t>(*line.find("positions"));
  s.row_floats = static_cast<std::uint32_t>(line.find("row_floats")->as_int());
  const std::string rows = read_text(dir + "/" + line.find("file")->as_string());
  const auto first = static_cast<std::size_t>(line.find("first_row")->as_int());
  s.exact.resize(s.positions.size() * s.row_floats);
  const std::size_t offset = first * s.row_floats * sizeof(float);
  EXPECT_LE(offset + s.exact.size() * sizeof(float), rows.size());
  std::memcpy(s.exact.data(), rows.data() + offset, s.exact.size() * sizeof(float));
  return s;
}

}  // namespace

std::string golden_dir() { return std::string(HOLDFAST_SOURCE_DIR) + "/tests/golden/tiny"; }

Status TinyModel::load(const gguf::GgufFile& gguf,
                       std::span<const platform::ByteSource* const> parts) {
  HF_TRY_ASSIGN(inspection_, inspect(gguf));
  for (const TensorSpec& spec : inspection_.tensors) {
    if (spec.role == TensorRole::kIgnored) continue;
    const gguf::TensorInfo& info = *gguf.find_tensor(spec.name);
    HF_TRY_ASSIGN(const Bytes raw, read_tensor(*parts[info.part], info));
    LoadedTensor t{quant::TensorType::kF32, spec.rows, spec.cols, {}};
    if (spec.role == TensorRole::kVector) {
      memory_.push_back(allocate(spec.cols * sizeof(float)));
      std::vector<float> values(spec.cols);
      quant::dequantize(info.type, raw.data(), spec.cols, values.data());
      std::memcpy(memory_.back().get(), values.data(), spec.cols * sizeof(float));
      t.bytes = {memory_.back().get(), spec.cols * sizeof(float)};
    } else {
      t.type = quant::packed_type_for(info.type);
      HF_TRY_ASSIGN(const auto shape, quant::packed_shape(t.type, spec.rows, spec.cols));
      memory_.push_back(allocate(shape.total_bytes));
      pack_matrix(info.type, raw, shape, spec.rows, spec.cols, memory_.back().get());
      t.bytes = {memory_.back().get(), shape.total_bytes};
    }
    tensors_.emplace(spec.name, t);
  }
  return ok_status();
}

std::unique_ptr<TinyModel> TinyModel::make(const gguf::GgufFile& gguf,
                                           std::span<const platform::ByteSource* const> parts) {
  auto model = std::make_unique<TinyModel>();
  const Status status = model->load(gguf, parts);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().to_string());
  return model;
}

std::unique_ptr<TinyModel> TinyModel::open(const std::string& path) {
  const auto file = platform::File::open_read(path);
  EXPECT_TRUE(file.ok()) << path;
  if (!file.ok()) return std::make_unique<TinyModel>();
  const platform::ByteSource* const parts[] = {&*file};
  const auto gguf = gguf::parse(parts);
  EXPECT_TRUE(gguf.ok()) << path << ": " << (gguf.ok() ? "" : gguf.error().to_string());
  return gguf.ok() ? make(*gguf, parts) : std::make_unique<TinyModel>();
}

Result<LoadedTensor> TinyModel::get(std::string_view name) {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) return not_found("no such tensor", std::string(name));
  return it->second;
}

std::map<std::string, GoldenModel> golden_models() {
  std::map<std::string, GoldenModel> models;
  const auto add = [&](const std::string& dir) {
    for (const json::Value& line : read_lines(dir + "/index.jsonl")) {
      if (line.find("kind")->as_string() != "logits") continue;
      if (find_family(line.find("arch")->as_string()) == nullptr) continue;
      GoldenModel& model = models[line.find("model")->as_string()];
      model.only_floats = true;
      model.sequences.push_back(read_sequence(dir, line));
    }
  };
  add(golden_dir());
  add(golden_dir() + "/../families");
  for (const json::Value& line : read_lines(golden_dir() + "/errors.jsonl")) {
    const auto it = models.find(line.find("model")->as_string());
    if (it == models.end()) continue;
    it->second.llamacpp_rel_l2 = line.find("llamacpp_default")->find("rel_l2")->as_double();
    for (const json::Value& type : line.find("tensor_types")->as_array()) {
      const std::string& t = type.as_string();
      it->second.only_floats &= t == "F32" || t == "F16" || t == "BF16";
    }
  }
  return models;
}

std::vector<float> run_logits(TinyModel& tiny, const kernels::KernelTable& kernels,
                              std::uint32_t context, const std::vector<std::int32_t>& ids,
                              const RunOptions& options) {
  const auto n = static_cast<std::uint32_t>(ids.size());
  LoadOptions load{.context_length = context, .kv_type = options.kv_type};
  load.batch_tokens_max = load.logits_rows_max = std::min(options.chunk, n);
  load.threads = options.threads;
  const Hyperparameters& hyper = tiny.inspection().hyper;
  auto model = Model::load(hyper, tiny, load);
  EXPECT_TRUE(model.ok()) << model.error().to_string();
  auto team = tensor::ThreadTeam::create(options.threads, 2);
  EXPECT_TRUE(team.ok());
  auto cache = kvcache::PagedKvCache::create(kv_layout(hyper, options.kv_type),
                                             kvcache::PagedKvCache::pages_for(n));
  EXPECT_TRUE(cache.ok());
  const kvcache::SequenceId sequence = (*cache)->open().value();
  std::vector<float> out;
  for (std::uint32_t at = 0; at < n; at += options.chunk) {
    std::vector<StepToken> tokens;
    for (std::uint32_t i = at; i < std::min(n, at + options.chunk); ++i) {
      tokens.push_back(
          {.sequence = sequence, .position = i, .token = ids[i], .wants_logits = true});
    }
    Step step{.tokens = tokens, .logits = {}, .hidden = {}};
    const Status status = (*model)->forward(**team, kernels, **cache, step);
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    if (!status.ok()) return {};
    out.insert(out.end(), step.logits.begin(), step.logits.end());
  }
  return out;
}

}  // namespace holdfast::model
