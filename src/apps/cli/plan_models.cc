#include "plan_models.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "holdfast/footprint/resident.h"
#include "holdfast/json/json.h"
#include "holdfast/model/family.h"
#include "holdfast/planner/memory.h"
#include "holdfast/platform/filesystem.h"
#include "local_model.h"

namespace holdfast::cli {

namespace {

constexpr std::uint64_t kConfigBytesMax = std::uint64_t{1} << 20;
// "-00001-of-00003.gguf".
constexpr std::size_t kSplitSuffix = 20;
constexpr std::size_t kPartsMax = 999;
constexpr double kParamsToEstimate = 1e6;
constexpr std::uint32_t kVocabularyAssumed = 128'000;
constexpr std::uint32_t kContextAssumed = 8192;

// general.file_type of the formats that the planner knows.
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 15> kFileTypes{{{1, "F16"},
                                                                                 {2, "Q4_0"},
                                                                                 {3, "Q4_1"},
                                                                                 {7, "Q8_0"},
                                                                                 {10, "Q2_K"},
                                                                                 {12, "Q3_K_M"},
                                                                                 {14, "Q4_K_S"},
                                                                                 {15, "Q4_K_M"},
                                                                                 {16, "Q5_K_M"},
                                                                                 {17, "Q5_K_M"},
                                                                                 {18, "Q6_K"},
                                                                                 {19, "IQ2_XXS"},
                                                                                 {30, "IQ4_XS"},
                                                                                 {32, "BF16"},
                                                                                 {38, "MXFP4"}}};
// Of so many layers one sees everything; the others see the window.
constexpr std::array<std::pair<std::string_view, std::uint32_t>, 5> kFullLayers{
    {{"gemma2", 2}, {"gemma3", 6}, {"gemma3n", 5}, {"gpt-oss", 2}, {"cohere2", 4}}};

std::string nearest_quant(double bits) {
  const auto& table = planner::quant_table();
  const auto best = std::min_element(
      table.begin(), table.end(), [bits](const planner::Quant& a, const planner::Quant& b) {
        return std::abs(a.bits_per_weight - bits) < std::abs(b.bits_per_weight - bits);
      });
  return std::string(best->name);
}

// What the name of a type says, else the format of about the same size.
std::string known_quant(std::string_view name, double bits) {
  const auto known = planner::find_quant(name);
  return known.ok() ? std::string(known->name) : nearest_quant(bits);
}

// Keys of one architecture: "llama.block_count".
class Keys {
 public:
  Keys(const gguf::Metadata& metadata, std::string architecture)
      : metadata_(metadata), architecture_(std::move(architecture)) {}

  Result<std::uint32_t> number(std::string_view key, std::uint32_t otherwise) const {
    const std::string path = architecture_ + "." + std::string(key);
    // A value for each layer counts as its largest.
    if (metadata_.array_size(path)) {
      HF_TRY_ASSIGN(const auto list, metadata_.find_i32_array(path));
      const auto most = std::max_element(list->begin(), list->end());
      if (most == list->end() || *most < 0) return otherwise;
      return static_cast<std::uint32_t>(*most);
    }
    HF_TRY_ASSIGN(const auto value, metadata_.find_u32(path));
    return value.value_or(otherwise);
  }
  Result<std::uint32_t> needed(std::string_view key) const {
    HF_TRY_ASSIGN(const std::uint32_t value, number(key, 0));
    if (value == 0)
      return invalid_argument(architecture_ + "." + std::string(key) + " is missing or 0");
    return value;
  }
  // Layers of `layers` that see the window alone.
  Result<std::uint32_t> windowed(std::uint32_t layers) const {
    const std::string path = architecture_ + ".attention.sliding_window_pattern";
    if (metadata_.array_size(path)) {
      HF_TRY_ASSIGN(const auto list, metadata_.find_bool_array(path));
      return std::min(layers,
                      static_cast<std::uint32_t>(std::count(list->begin(), list->end(), true)));
    }
    HF_TRY_ASSIGN(const auto pattern, metadata_.find_u32(path));
    std::uint32_t every = pattern.value_or(0);
    for (const auto& [name, full] : kFullLayers)
      if (every == 0 && name == architecture_) every = full;
    return every == 0 ? layers : layers - layers / every;
  }

 private:
  const gguf::Metadata& metadata_;
  std::string architecture_;
};

Status read_sizes(const Keys& keys, planner::ModelShape& s) {
  HF_TRY_ASSIGN(s.layers, keys.needed("block_count"));
  HF_TRY_ASSIGN(s.width, keys.needed("embedding_length"));
  HF_TRY_ASSIGN(const std::uint32_t state, keys.number("ssm.state_size", 0));
  HF_TRY_ASSIGN(s.heads, keys.number("attention.head_count", 0));
  if (s.heads == 0 && state > 0) {
    // No attention: one state per layer, in 32 bits, and the tail of the convolution.
    HF_TRY_ASSIGN(const std::uint32_t inner, keys.number("ssm.inner_size", 2 * s.width));
    HF_TRY_ASSIGN(const std::uint32_t kernel, keys.number("ssm.conv_kernel", 4));
    s.attention = planner::Attention::kStateSpace;
    s.state_bytes = 4.0 * s.layers * inner * (state + std::max(1u, kernel) - 1.0);
    s.heads = s.kv_heads = 1;
    s.head_dim = s.width;
  }
  if (s.heads == 0) return invalid_argument("attention.head_count is missing or 0");
  HF_TRY_ASSIGN(s.kv_heads, keys.number("attention.head_count_kv", s.heads));
  if (s.kv_heads == 0) s.kv_heads = 1;
  HF_TRY_ASSIGN(s.head_dim, keys.number("attention.key_length", s.width / s.heads));
  HF_TRY_ASSIGN(const std::uint32_t ff, keys.number("feed_forward_length", 4 * s.width));
  HF_TRY_ASSIGN(s.ff_width, keys.number("expert_feed_forward_length", ff));
  HF_TRY_ASSIGN(s.experts, keys.number("expert_count", 0));
  HF_TRY_ASSIGN(s.experts_used, keys.number("expert_used_count", 0));
  HF_TRY_ASSIGN(s.kv_latent, keys.number("attention.kv_lora_rank", 0));
  HF_TRY_ASSIGN(s.context_max, keys.number("context_length", 0));
  HF_TRY_ASSIGN(s.vocab, keys.number("vocab_size", 0));
  if (s.kv_latent > 0) {
    s.attention = planner::Attention::kLatent;
    HF_TRY_ASSIGN(s.rope_dim, keys.number("rope.dimension_count", 64));
  }
  HF_TRY_ASSIGN(s.window, keys.number("attention.sliding_window", 0));
  if (s.window > 0) {
    HF_TRY_ASSIGN(s.window_layers, keys.windowed(s.layers));
  }
  if (s.window_layers == 0) s.window = 0;
  return ok_status();
}

// Parts of a split model, in order; one file for any other.
std::vector<std::string> parts_of(const std::string& path) {
  const std::size_t at = path.size() < kSplitSuffix ? 0 : path.size() - kSplitSuffix;
  const std::string_view suffix = std::string_view(path).substr(at);
  const auto digits = [suffix](std::size_t from) {
    std::size_t n = 0;
    for (std::size_t i = from; i < from + 5; ++i) {
      if (suffix[i] < '0' || suffix[i] > '9') return std::size_t{0};
      n = n * 10 + static_cast<std::size_t>(suffix[i] - '0');
    }
    return n;
  };
  if (at == 0 || suffix[0] != '-' || suffix.substr(6, 4) != "-of-" || suffix.substr(15) != ".gguf")
    return {path};
  const std::size_t count = digits(10);
  if (digits(1) == 0 || count == 0 || count > kPartsMax) return {path};
  std::vector<std::string> out;
  for (std::size_t i = 1; i <= count; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, 5 - number.size(), '0');
    out.push_back(path.substr(0, at) + "-" + number + std::string(suffix.substr(6)));
  }
  return out;
}

// With the path in the message, as an error of the file's content has none.
Error named(const Error& error, const std::string& path) {
  return {error.code(), path + ": " + error.client_message(), error.to_string()};
}

Result<SizedModel> exact_of_store(const Context& context, const std::string& name) {
  HF_TRY_ASSIGN(const LocalModel local, LocalModel::open(context, name));
  HF_TRY_ASSIGN(const vault::PackIndex index, local.read_index());
  SizedModel out;
  enginehost::ModelSize& size = out.size.emplace();
  for (const vault::TensorEntry& t : index.tensors) size.weights_bytes += t.length;
  HF_TRY_ASSIGN(const std::uint64_t payload, local.payload_bytes());
  size.kept_bytes = payload - std::min(payload, size.weights_bytes);
  HF_TRY_ASSIGN(const Bytes object, local.read_object(vault::ObjectKind::kConfig));
  HF_TRY_ASSIGN(size.hyper, model::from_json(as_string_view(object)));
  HF_TRY_ASSIGN(out.shape, shape_from_hyperparameters(size.hyper, local.record().facts,
                                                      size.weights_bytes, name));
  return out;
}

}  // namespace

Result<planner::ModelShape> shape_from_gguf(const gguf::GgufFile& file, std::string_view name) {
  HF_TRY_ASSIGN(const std::string_view architecture,
                file.metadata.get_string("general.architecture"));
  const Keys keys(file.metadata, std::string(architecture));
  planner::ModelShape s;
  s.id = name;
  s.source = "GGUF header";
  HF_TRY(read_sizes(keys, s));
  double bytes = 0;
  double expert_params = 0;
  for (const gguf::TensorInfo& t : file.tensors) {
    s.params += static_cast<double>(t.elements());
    bytes += static_cast<double>(t.bytes);
    if (t.name.find("_exps") != std::string::npos)
      expert_params += static_cast<double>(t.elements());
    if (t.name == "token_embd.weight")
      s.vocab = static_cast<std::uint32_t>(std::min<std::uint64_t>(t.rows(), 1u << 24));
  }
  if (s.params <= 0) return invalid_argument("there are no tensors");
  if (s.experts_used > s.experts)
    return invalid_argument("expert_used_count is above expert_count");
  const double unused = s.experts > 0 ? 1 - static_cast<double>(s.experts_used) / s.experts : 0;
  s.active = s.params - expert_params * unused;
  s.file_bytes = planner::Bytes(bytes);
  const double bits = 8 * bytes / s.params;
  HF_TRY_ASSIGN(const auto type, file.metadata.find_u32("general.file_type"));
  const auto known = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                  [&](const auto& row) { return type && row.first == *type; });
  s.quant = known != kFileTypes.end() ? std::string(known->second) : nearest_quant(bits);
  HF_TRY(planner::check_shape(s));
  return s;
}

Result<planner::ModelShape> shape_from_hyperparameters(const model::Hyperparameters& hyper,
                                                       const registry::ModelFacts& facts,
                                                       std::uint64_t weights_bytes,
                                                       std::string_view name) {
  planner::ModelShape s;
  s.id = name;
  s.source = "model store";
  s.params = s.active = static_cast<double>(facts.parameters);
  s.layers = hyper.n_layers;
  s.width = hyper.n_embd;
  s.ff_width = hyper.n_ff;
  s.vocab = hyper.n_vocab;
  s.heads = hyper.n_heads;
  s.kv_heads = hyper.n_kv_heads;
  s.head_dim = hyper.head_dim;
  s.window_layers =
      static_cast<std::uint32_t>(std::count(hyper.windowed.begin(), hyper.windowed.end(), true));
  s.window = s.window_layers > 0 ? hyper.window : 0;
  s.context_max = hyper.context_train;
  s.licence = facts.license;
  s.file_bytes = planner::Bytes(static_cast<double>(weights_bytes));
  s.quant = known_quant(facts.quantization,
                        8.0 * static_cast<double>(weights_bytes) / std::max(1.0, s.params));
  HF_TRY(planner::check_shape(s));
  return s;
}

std::optional<enginehost::ModelSize> size_from_shape(const planner::ModelShape& shape,
                                                     const planner::Quant& quant) {
  if (shape.mixture() || shape.attention != planner::Attention::kGrouped) return std::nullopt;
  enginehost::ModelSize out;
  model::Hyperparameters& h = out.hyper;
  h.architecture = "llama";
  h.n_layers = shape.layers;
  h.n_embd = shape.width;
  // Estimated sizes need not divide; work space is a little larger then.
  h.n_kv_heads = std::max(1u, shape.kv_heads);
  h.n_heads = (shape.heads + h.n_kv_heads - 1) / h.n_kv_heads * h.n_kv_heads;
  h.head_dim = shape.head_dim;
  h.n_ff = shape.ff_width;
  h.n_vocab = shape.vocab > 0 ? shape.vocab : kVocabularyAssumed;
  h.context_train = shape.context_max > 0 ? shape.context_max : kContextAssumed;
  h.attention_scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  h.rope.layout = model::RopeLayout::kHalves;
  h.rope.dims = shape.head_dim - shape.head_dim % 2;
  h.window = shape.window_layers > 0 ? shape.window : 0;
  h.windowed.assign(shape.layers, false);
  std::fill_n(h.windowed.begin(), std::min(shape.window_layers, shape.layers), true);
  if (h.window > 0) h.rope_local = h.rope;
  if (!model::validate(h).ok()) return std::nullopt;
  out.weights_bytes = static_cast<std::uint64_t>(planner::weights_bytes(shape, quant).value());
  out.kept_bytes = footprint::vocabulary_bytes(h.n_vocab, h.n_vocab, false);
  return out;
}

Result<SizedModel> model_from_file(const std::string& path, const std::string& name) {
  platform::PosixFileSystem fs;
  if (path.ends_with(".json")) {
    HF_TRY_ASSIGN(const Bytes bytes, platform::read_file(fs, path, kConfigBytesMax));
    auto config = json::parse(as_string_view(bytes));
    if (!config.ok()) return invalid_argument(path + ": " + config.error().client_message());
    SizedModel out;
    HF_TRY_ASSIGN(out.shape, planner::shape_from_config(*config, name));
    return out;
  }
  std::vector<std::unique_ptr<platform::OpenFile>> files;
  std::vector<const platform::ByteSource*> sources;
  std::uint64_t file_bytes = 0;
  for (const std::string& part : parts_of(path)) {
    HF_TRY_ASSIGN(std::unique_ptr<platform::OpenFile> file, fs.open_read(part));
    sources.push_back(file.get());
    file_bytes += file->size();
    files.push_back(std::move(file));
  }
  const auto parsed = gguf::parse(sources);
  if (!parsed.ok()) return named(parsed.error(), path);
  auto shape = shape_from_gguf(*parsed, name);
  if (!shape.ok()) return named(shape.error(), path);
  SizedModel out{std::move(*shape), std::nullopt};
  auto inspected = model::inspect(*parsed);
  if (inspected.ok()) {
    out.size.emplace();
    out.size->hyper = std::move(inspected->hyper);
    out.size->weights_bytes = static_cast<std::uint64_t>(out.shape.file_bytes->value());
    out.size->kept_bytes = file_bytes - out.size->weights_bytes;
  }
  return out;
}

Result<SizedModel> model_from_store(const Context& context, const std::string& name) {
  platform::PosixFileSystem fs;
  if (!fs.exists(context.data_dir)) return not_found("there is no model " + name, name);
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord record, store->resolve(name));
  auto exact = exact_of_store(context, name);
  if (exact.ok() || exact.error().code() == ErrorCode::kDenied) return exact;
  const auto params = static_cast<double>(record.facts.parameters);
  if (params < kParamsToEstimate) return exact;
  SizedModel out{planner::shape_from_params(name, params, params), std::nullopt};
  out.shape.quant =
      known_quant(record.facts.quantization, 8.0 * static_cast<double>(record.size_bytes) / params);
  return out;
}

}  // namespace holdfast::cli
