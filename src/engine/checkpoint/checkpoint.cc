#include "holdfast/checkpoint/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "config.h"
#include "holdfast/gguf/safetensors.h"
#include "holdfast/quant/codec.h"
#include "holdfast/tokenizer/vocabulary_gguf.h"
#include "tensor_view.h"
#include "tokenizer_files.h"

namespace holdfast::checkpoint {

namespace {

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kTokenizer = "tokenizer.json";
constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr std::string_view kGenerationConfig = "generation_config.json";
constexpr std::string_view kTemplate = "chat_template.jinja";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::array kTextFiles = {kConfig,           kTokenizer, kTokenizerConfig,
                                   kGenerationConfig, kTemplate,  kIndex};

constexpr std::uint64_t kConfigBytesMax = 4u << 20;
constexpr std::uint64_t kTokenizerBytesMax = 64u << 20;
constexpr std::uint64_t kTokenizerConfigBytesMax = 16u << 20;  // Gemma's has 1.2 MB
constexpr std::uint64_t kTemplateBytesMax = 1u << 20;
constexpr std::size_t kConfigValuesMax = 65536;
constexpr std::size_t kTokenizerConfigValuesMax = 262144;
constexpr std::size_t kDepthMax = 32;
// GGUF's, for what reads the metadata.
constexpr std::uint32_t kVersion = 3;

class Opener {
 public:
  Opener(std::span<const SourceFile> files, const OpenOptions& options)
      : files_(files), options_(options) {}

  Result<Checkpoint> open() {
    HF_TRY(read_texts());
    std::uint32_t rows = 0;
    if (tokenizer_.config) {
      // With the tokenizer alone, the family need not be one that we compute.
      auto config = read_config(*tokenizer_.config);
      if (!config.ok() && !options_.vocab_only) return config.error();
      if (config.ok() && !options_.vocab_only) {
        HF_TRY(read_model(*config));
        rows = rows_;
      }
    }
    HF_TRY(read_tokenizer(tokenizer_, rows, out_.file.metadata, out_.traits));
    out_.file.version = kVersion;
    HF_TRY(gguf::index_tensors(out_.file));
    return std::move(out_);
  }

 private:
  const platform::ByteSource* find(std::string_view name) const {
    const auto it = std::find_if(files_.begin(), files_.end(),
                                 [&](const SourceFile& f) { return f.name == name; });
    return it == files_.end() ? nullptr : it->source;
  }

  Error missing(std::string_view name) const {
    return invalid_argument("the model's folder lacks the file " + std::string(name))
        .with_hint(
            "A folder needs config.json, tokenizer.json and model.safetensors (or its parts "
            "and their index).");
  }

  Result<std::optional<json::Value>> optional_object(std::string_view name, std::uint64_t bytes_max,
                                                     std::size_t values_max) const {
    const platform::ByteSource* source = find(name);
    if (source == nullptr) return std::optional<json::Value>();
    HF_TRY_ASSIGN(const std::string text, read_text(name, *source, bytes_max));
    HF_TRY_ASSIGN(json::Value value, parse_object(name, text,
                                                  {.bytes_max = static_cast<std::size_t>(bytes_max),
                                                   .depth_max = kDepthMax,
                                                   .values_max = values_max}));
    return std::optional(std::move(value));
  }

  Status read_texts() {
    const platform::ByteSource* tokenizer = find(kTokenizer);
    if (tokenizer == nullptr) return missing(kTokenizer);
    if (!options_.vocab_only && find(kConfig) == nullptr) return missing(kConfig);
    HF_TRY_ASSIGN(tokenizer_.config, optional_object(kConfig, kConfigBytesMax, kConfigValuesMax));
    HF_TRY_ASSIGN(tokenizer_.generation_config,
                  optional_object(kGenerationConfig, kConfigBytesMax, kConfigValuesMax));
    HF_TRY_ASSIGN(
        tokenizer_.tokenizer_config,
        optional_object(kTokenizerConfig, kTokenizerConfigBytesMax, kTokenizerConfigValuesMax));
    HF_TRY_ASSIGN(tokenizer_.tokenizer, read_text(kTokenizer, *tokenizer, kTokenizerBytesMax));
    if (const platform::ByteSource* source = find(kTemplate)) {
      HF_TRY_ASSIGN(tokenizer_.chat_template, read_text(kTemplate, *source, kTemplateBytesMax));
    }
    return ok_status();
  }

  Status read_model(ModelConfig& config) {
    HF_TRY(
        out_.file.metadata.insert("general.architecture", gguf::make_string(config.architecture)));
    for (auto& [key, value] : config.metadata) {
      HF_TRY(out_.file.metadata.insert(std::move(key), std::move(value)));
    }
    HF_TRY_ASSIGN(std::vector<gguf::TensorInfo> tensors, read_weights());
    for (gguf::TensorInfo& tensor : tensors) HF_TRY(add_tensor(std::move(tensor), config));
    for (const ExtraVector& vector : config.vectors) add_vector(vector);
    return check_head(config);
  }

  Result<std::vector<gguf::TensorInfo>> read_weights() {
    std::vector<gguf::Shard> shards;
    for (const SourceFile& f : files_) {
      if (!gguf::is_shard_name(f.name)) continue;
      shards.push_back({f.name, f.source});
      out_.parts.push_back(f.source);
    }
    if (shards.empty()) return missing("model.safetensors");
    const platform::ByteSource* index = find(kIndex);
    if (index == nullptr) {
      if (shards.size() > 1) return missing(kIndex);
      return gguf::parse_shards(shards, nullptr);
    }
    HF_TRY_ASSIGN(const std::string text, read_text(kIndex, *index, kTokenizerConfigBytesMax));
    HF_TRY_ASSIGN(const gguf::ShardIndex map, gguf::parse_shard_index(text).context(kIndex));
    return gguf::parse_shards(shards, &map);
  }

  std::uint32_t add_view(std::unique_ptr<platform::ByteSource> view) {
    out_.parts.push_back(view.get());
    out_.views.push_back(std::move(view));
    return static_cast<std::uint32_t>(out_.parts.size() - 1);
  }

  Status pair_rows(gguf::TensorInfo& tensor, const ModelConfig& config, std::uint32_t heads) {
    const bool bias = tensor.n_dims == 1;
    const std::uint64_t rows = bias ? tensor.dims[0] : tensor.rows();
    if (rows != std::uint64_t{heads} * config.head_dim || config.head_dim % 2 != 0) {
      return corrupt("tensor " + shown(tensor.name) + " has " + std::to_string(rows) +
                     " rows, which is not " + std::to_string(heads) + " heads of " +
                     std::to_string(config.head_dim));
    }
    tensor.part = add_view(std::make_unique<PairedRows>(
        *out_.parts[tensor.part], tensor.offset, rows, tensor.bytes / rows, config.head_dim));
    tensor.offset = 0;
    return ok_status();
  }

  void add_one(gguf::TensorInfo& tensor) {
    auto view = std::make_unique<PlusOne>(*out_.parts[tensor.part], tensor.offset,
                                          tensor.elements(), tensor.type);
    tensor.bytes = view->size();
    tensor.type = quant::TensorType::kF32;
    tensor.offset = 0;
    tensor.part = add_view(std::move(view));
  }

  Status add_tensor(gguf::TensorInfo tensor, const ModelConfig& config) {
    HF_TRY_ASSIGN(MappedName mapped, map_tensor_name(tensor.name, config.names));
    switch (mapped.change) {
      case Change::kDrop:
        return ok_status();
      case Change::kQueryRows:
        HF_TRY(pair_rows(tensor, config, config.n_heads));
        break;
      case Change::kKeyRows:
        HF_TRY(pair_rows(tensor, config, config.n_kv_heads));
        break;
      case Change::kPlusOne:
        add_one(tensor);
        break;
      case Change::kNone:
        break;
    }
    if (mapped.name == "token_embd.weight") HF_TRY(check_rows(tensor, config));
    tensor.name = std::move(mapped.name);
    out_.file.tensors.push_back(std::move(tensor));
    return ok_status();
  }

  Status check_rows(const gguf::TensorInfo& tensor, const ModelConfig& config) {
    if (tensor.rows() != config.vocab_size) {
      return corrupt("config.json: vocab_size is " + std::to_string(config.vocab_size) +
                     ", but the embedding has " + std::to_string(tensor.rows()) + " rows");
    }
    rows_ = config.vocab_size;
    return ok_status();
  }

  void add_vector(const ExtraVector& vector) {
    gguf::TensorInfo tensor;
    tensor.name = vector.name;
    tensor.type = quant::TensorType::kF32;
    tensor.dims[0] = vector.values.size();
    tensor.bytes = vector.values.size() * sizeof(float);
    Bytes bytes(tensor.bytes);
    std::memcpy(bytes.data(), vector.values.data(), bytes.size());
    tensor.part = add_view(std::make_unique<platform::MemorySource>(std::move(bytes)));
    out_.file.tensors.push_back(std::move(tensor));
  }

  // Without a head of its own a model would silently become one whose head is the embedding.
  Status check_head(const ModelConfig& config) const {
    if (rows_ == 0) return corrupt("the model lacks the tensor model.embed_tokens.weight");
    const bool head = std::any_of(out_.file.tensors.begin(), out_.file.tensors.end(),
                                  [](const auto& t) { return t.name == "output.weight"; });
    if (head || config.names.tied_output) return ok_status();
    return corrupt("the model lacks the tensor lm_head.weight");
  }

  std::span<const SourceFile> files_;
  const OpenOptions& options_;
  TokenizerFiles tokenizer_;
  Checkpoint out_;
  std::uint32_t rows_ = 0;
};

void add_type(tokenizer::Vocabulary& v, const std::vector<tokenizer::TokenId>& ids,
              tokenizer::TokenType type) {
  for (const tokenizer::TokenId id : ids) {
    tokenizer::TokenType& t = v.types[static_cast<std::size_t>(id)];
    t = t | type;
  }
}

// A key that says "none" leaves a reader of GGUF its default, which is some token of this
// vocabulary where the model has no such token.
void drop_defaults(const gguf::Metadata& metadata, tokenizer::Vocabulary& v) {
  const auto none = [&](std::string_view key) {
    const auto id = metadata.find_u32("tokenizer.ggml." + std::string(key));
    return id.ok() && *id == 0xffffffffu;
  };
  if (none("bos_token_id")) v.special.bos.reset();
  if (none("unknown_token_id")) v.special.unk.reset();
  if (none("padding_token_id")) v.special.pad.reset();
  if (!none("eos_token_id") || !v.special.eos) return;
  std::erase(v.end_of_generation, *v.special.eos);
  v.special.eos.reset();
}

}  // namespace

bool is_checkpoint_file(std::string_view name) {
  return std::find(kTextFiles.begin(), kTextFiles.end(), name) != kTextFiles.end() ||
         gguf::is_shard_name(name);
}

Result<Checkpoint> open(std::span<const SourceFile> files, const OpenOptions& options) {
  return Opener(files, options).open();
}

Result<tokenizer::Vocabulary> vocabulary(const Checkpoint& checkpoint) {
  HF_TRY_ASSIGN(tokenizer::Vocabulary v, tokenizer::vocabulary_from_gguf(checkpoint.file));
  const VocabularyTraits& traits = checkpoint.traits;
  v.clean_spaces = traits.clean_spaces;
  v.ignore_merges = traits.ignore_merges;
  drop_defaults(checkpoint.file.metadata, v);
  add_type(v, traits.strip_left, tokenizer::TokenType::kStripLeft);
  add_type(v, traits.strip_right, tokenizer::TokenType::kStripRight);
  v.end_of_generation.insert(v.end_of_generation.end(), traits.end_of_generation.begin(),
                             traits.end_of_generation.end());
  std::sort(v.end_of_generation.begin(), v.end_of_generation.end());
  v.end_of_generation.erase(std::unique(v.end_of_generation.begin(), v.end_of_generation.end()),
                            v.end_of_generation.end());
  HF_TRY(tokenizer::validate(v));
  return v;
}

}  // namespace holdfast::checkpoint
