#include "model_facts.h"

#include <algorithm>
#include <array>
#include <map>

#include "holdfast/base/utf8.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kShortTextMax = 256;
constexpr std::size_t kLongTextMax = 16 * 1024;
constexpr std::size_t kListMax = 256;
// Longer than any licence identifier or name: then it is the text itself.
constexpr std::size_t kLicenseNameMax = 200;

// general.file_type, the number that quantising tools write.
std::string_view file_type_name(std::uint32_t number) {
  static constexpr std::array<std::string_view, 39> kNames = {
      "F32",    "F16",    "Q4_0",  "Q4_1",    "",       "",       "",       "Q8_0",
      "Q5_0",   "Q5_1",   "Q2_K",  "Q3_K_S",  "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M",
      "Q5_K_S", "Q5_K_M", "Q6_K",  "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS",
      "IQ1_S",  "IQ4_NL", "IQ3_S", "IQ3_M",   "IQ2_S",  "IQ2_M",  "IQ4_XS", "IQ1_M",
      "BF16",   "",       "",      "",        "TQ1_0",  "TQ2_0",  "MXFP4"};
  return number < kNames.size() ? kNames[number] : std::string_view();
}

std::string text_of(const gguf::Metadata& metadata, std::string_view key, std::size_t bytes_max) {
  const auto value = metadata.find_string(key);
  return value.ok() && *value ? clean_text(**value, bytes_max) : std::string();
}

// The type that holds most weights.
std::string dominant_type(const gguf::GgufFile& file) {
  std::map<quant::TensorType, std::uint64_t> weights;
  for (const gguf::TensorInfo& t : file.tensors) weights[t.type] += t.elements();
  const auto most = std::max_element(weights.begin(), weights.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  return most == weights.end() ? std::string() : std::string(tensor_type_name(most->first));
}

std::string quantization(const gguf::GgufFile& file) {
  const auto number = file.metadata.find_u32("general.file_type");
  if (number.ok() && *number && !file_type_name(**number).empty()) {
    return std::string(file_type_name(**number));
  }
  return dominant_type(file);
}

std::uint64_t parameters(const gguf::GgufFile& file) {
  std::uint64_t n = 0;
  for (const gguf::TensorInfo& t : file.tensors) n += t.elements();
  return n;
}

std::uint64_t context_length(const gguf::GgufFile& file) {
  const std::string architecture = text_of(file.metadata, "general.architecture", kShortTextMax);
  const auto length = file.metadata.find_u32(architecture + ".context_length");
  return length.ok() && *length ? **length : 0;
}

std::string_view tensor_class(const gguf::TensorInfo& tensor) {
  const auto has = [&](std::string_view part) {
    return tensor.name.find(part) != std::string::npos;
  };
  if (has("norm")) return "norm";
  if (tensor.n_dims < 2) return "other";
  if (tensor.name.starts_with("token_embd")) return "embedding";
  if (tensor.name.starts_with("output.")) return "output";
  if (has("attn")) return "attention";
  if (has("ffn")) return "feed_forward";
  return "other";
}

json::Object quantization_by_class(const gguf::GgufFile& file) {
  std::map<std::string_view, std::map<std::string_view, std::uint64_t>> weights;
  for (const gguf::TensorInfo& t : file.tensors) {
    weights[tensor_class(t)][tensor_type_name(t.type)] += t.elements();
  }
  json::Object classes;
  for (const std::string_view name :
       {"embedding", "output", "attention", "feed_forward", "norm", "other"}) {
    const auto it = weights.find(name);
    if (it == weights.end()) continue;
    json::Object types;
    for (const auto& [type, n] : it->second) types.set(std::string(type), n);
    classes.set(std::string(name), std::move(types));
  }
  return classes;
}

json::Object general(const gguf::Metadata& metadata) {
  json::Object out;
  for (const std::string_view key : {"name", "architecture", "basename", "finetune", "size_label",
                                     "organization", "version", "author", "description", "url",
                                     "license", "license_name", "license_link", "quantized_by"}) {
    const std::string path = "general." + std::string(key);
    std::string text = text_of(metadata, path, kLongTextMax);
    if (key == "license" && text.size() > kLicenseNameMax) continue;  // an object of its own
    if (!text.empty()) out.set(std::string(key), std::move(text));
  }
  for (const std::string_view key : {"file_type", "quantization_version"}) {
    const auto number = metadata.find_u32("general." + std::string(key));
    if (number.ok() && *number) out.set(std::string(key), **number);
  }
  return out;
}

json::Array base_models(const gguf::Metadata& metadata) {
  json::Array out;
  const auto count = metadata.find_u32("general.base_model.count");
  const std::uint32_t n = count.ok() ? count->value_or(0) : 0;
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(n, 16); ++i) {
    const std::string prefix = "general.base_model." + std::to_string(i) + ".";
    json::Object model;
    for (const std::string_view key : {"name", "organization", "repo_url"}) {
      std::string text = text_of(metadata, prefix + std::string(key), kShortTextMax);
      if (!text.empty()) model.set(std::string(key), std::move(text));
    }
    out.emplace_back(std::move(model));
  }
  return out;
}

void set_list(json::Object& out, const gguf::Metadata& metadata, const char* member,
              std::string_view key) {
  const auto list = metadata.find_strings(key);
  if (!list.ok() || *list == nullptr || (*list)->empty()) return;
  json::Array texts;
  for (const std::string_view text : **list) {
    if (texts.size() == kListMax) break;
    texts.emplace_back(clean_text(text, kShortTextMax));
  }
  out.set(member, std::move(texts));
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t bytes_max) {
  std::string clean = sanitize_utf8(text.substr(0, bytes_max));
  std::erase_if(clean, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return (u < 0x20 && c != '\n' && c != '\t') || u == 0x7f;
  });
  return clean;
}

std::string license_text(const gguf::GgufFile& file) {
  const auto value = file.metadata.find_string("general.license");
  if (!value.ok() || !*value || (*value)->size() <= kLicenseNameMax) return {};
  return sanitize_utf8(**value);
}

registry::ModelFacts model_facts(const FactsInput& input) {
  const gguf::GgufFile& file = *input.file;
  registry::ModelFacts facts;
  facts.architecture = text_of(file.metadata, "general.architecture", 64);
  facts.context_length = context_length(file);
  facts.quantization = file.tensors.empty() ? std::string() : quantization(file);
  facts.parameters = parameters(file);
  facts.license = text_of(file.metadata, "general.license", kLicenseNameMax);
  facts.has_template = input.has_template;
  facts.vocab_only = input.vocab_only;
  return facts;
}

std::string metadata_json(const FactsInput& input) {
  const gguf::GgufFile& file = *input.file;
  json::Object out{{"converter", kConverterRevision},
                   {"format", input.is_checkpoint ? "safetensors" : "gguf"},
                   {"format_version", input.is_checkpoint ? 1u : file.version},
                   {"vocab_only", input.vocab_only},
                   {"general", general(file.metadata)}};
  if (json::Array models = base_models(file.metadata); !models.empty()) {
    out.set("base_models", std::move(models));
  }
  set_list(out, file.metadata, "tags", "general.tags");
  set_list(out, file.metadata, "languages", "general.languages");
  out.set("parameters", parameters(file));
  if (const std::uint64_t n = context_length(file); n != 0) out.set("context_length", n);
  out.set("quantization", quantization_by_class(file));
  if (input.has_template) out.set("template_source", input.template_source);
  json::Array files;
  for (const SourceFile& f : input.files) {
    files.emplace_back(json::Object{{"size", f.size}, {"sha256", to_hex(f.digest)}});
  }
  out.set("files", std::move(files));
  return json::write(json::Value(std::move(out)));
}

}  // namespace holdfast::importer
