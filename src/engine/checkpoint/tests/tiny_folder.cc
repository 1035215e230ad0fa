#include "tiny_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "holdfast/quant/codec.h"

namespace holdfast::checkpoint::testing {

namespace {

constexpr std::uint64_t kLayers = 2;

std::uint64_t product(const std::vector<std::uint64_t>& shape) {
  std::uint64_t n = 1;
  for (const std::uint64_t d : shape) n *= d;
  return n;
}

TestTensor counted(const std::string& name, std::vector<std::uint64_t> shape) {
  TestTensor t{name, std::move(shape), {}};
  for (std::uint64_t i = 0; i < product(t.shape); ++i) {
    t.values.push_back(static_cast<float>(i) / 16.0f);
  }
  return t;
}

json::Object byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", true}};
}

}  // namespace

Bytes safetensors_bytes(const std::vector<TestTensor>& tensors) {
  json::Object header{{"__metadata__", json::Object{{"format", "pt"}}}};
  ByteWriter data;
  for (const TestTensor& t : tensors) {
    const std::uint64_t begin = data.size();
    for (const float v : t.values) data.le(v);
    json::Array shape;
    for (const std::uint64_t d : t.shape) shape.emplace_back(d);
    header.set(t.name,
               json::Object{{"dtype", "F32"},
                            {"shape", std::move(shape)},
                            {"data_offsets", json::Array{begin, std::uint64_t{data.size()}}}});
  }
  std::string text = json::write(json::Value(std::move(header)));
  text.append((8 - text.size() % 8) % 8, ' ');
  ByteWriter out;
  out.le<std::uint64_t>(text.size()).raw(text).raw(data.view());
  return std::move(out).take();
}

TinyFolder::TinyFolder() {
  config_ = json::Object{{"architectures", json::Array{"LlamaForCausalLM"}},
                         {"model_type", "llama"},
                         {"hidden_size", 8},
                         {"intermediate_size", 16},
                         {"num_hidden_layers", 2},
                         {"num_attention_heads", 2},
                         {"num_key_value_heads", 1},
                         {"max_position_embeddings", 128},
                         {"rms_norm_eps", 1e-5},
                         {"rope_theta", 10000.0},
                         {"vocab_size", 8},
                         {"hidden_act", "silu"},
                         {"tie_word_embeddings", false},
                         {"bos_token_id", 6},
                         {"eos_token_id", 6}};
  tokenizer_ = json::Object{
      {"version", "1.0"},
      {"added_tokens", json::Array{json::Object{{"id", 6},
                                                {"content", "<|end|>"},
                                                {"single_word", false},
                                                {"lstrip", false},
                                                {"rstrip", false},
                                                {"normalized", false},
                                                {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level()},
      {"post_processor", byte_level()},
      {"decoder", byte_level()},
      {"model",
       json::Object{
           {"type", "BPE"},
           {"dropout", nullptr},
           {"unk_token", nullptr},
           {"continuing_subword_prefix", nullptr},
           {"end_of_word_suffix", nullptr},
           {"fuse_unk", false},
           {"byte_fallback", false},
           {"ignore_merges", false},
           {"vocab",
            json::Object{{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"abc", 4}, {"\u0120", 5}}},
           {"merges", json::Array{json::Array{"a", "b"}, json::Array{"ab", "c"}}}}}};
  tensors_.push_back(counted("model.embed_tokens.weight", {8, 8}));
  for (std::uint64_t i = 0; i < kLayers; ++i) {
    const std::string p = "model.layers." + std::to_string(i) + ".";
    tensors_.push_back(counted(p + "input_layernorm.weight", {8}));
    tensors_.push_back(counted(p + "self_attn.q_proj.weight", {8, 8}));
    tensors_.push_back(counted(p + "self_attn.k_proj.weight", {4, 8}));
    tensors_.push_back(counted(p + "self_attn.v_proj.weight", {4, 8}));
    tensors_.push_back(counted(p + "self_attn.o_proj.weight", {8, 8}));
    tensors_.push_back(counted(p + "post_attention_layernorm.weight", {8}));
    tensors_.push_back(counted(p + "mlp.gate_proj.weight", {16, 8}));
    tensors_.push_back(counted(p + "mlp.up_proj.weight", {16, 8}));
    tensors_.push_back(counted(p + "mlp.down_proj.weight", {8, 16}));
  }
  tensors_.push_back(counted("model.norm.weight", {8}));
  tensors_.push_back(counted("lm_head.weight", {8, 8}));
}

Result<Checkpoint> TinyFolder::open(const OpenOptions& options) {
  std::map<std::string, Bytes> files;
  const auto put_text = [&](const std::string& name, std::string_view text) {
    const ByteView view = as_bytes_view(text);
    files[name] = Bytes(view.begin(), view.end());
  };
  put_text("config.json", json::write(json::Value(config_)));
  put_text("tokenizer.json", json::write(json::Value(tokenizer_)));
  files["model.safetensors"] = safetensors_bytes(tensors_);
  for (const auto& [name, text] : files_) put_text(name, text);
  for (const std::string& name : removed_) files.erase(name);
  std::vector<SourceFile> given;
  for (auto& [name, bytes] : files) {
    sources_.push_back(std::make_unique<platform::MemorySource>(std::move(bytes)));
    given.push_back({name, sources_.back().get()});
  }
  return checkpoint::open(given, options);
}

std::vector<float> tensor_values(const Checkpoint& checkpoint, std::string_view name) {
  const gguf::TensorInfo* info = checkpoint.file.find_tensor(name);
  EXPECT_NE(info, nullptr) << name;
  if (info == nullptr) return {};
  Bytes bytes(info->bytes);
  EXPECT_TRUE(checkpoint.parts[info->part]->read_at(info->offset, bytes).ok()) << name;
  std::vector<float> out(info->elements());
  quant::dequantize(info->type, bytes.data(), out.size(), out.data());
  return out;
}

json::Value* at_path(json::Value& root, std::string_view path) {
  json::Value* v = &root;
  while (v != nullptr && !path.empty()) {
    const std::string_view step = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), step.size() + 1));
    if (v->is_array()) {
      std::size_t i = 0;
      std::from_chars(step.data(), step.data() + step.size(), i);
      v = i < v->as_array().size() ? &v->as_array()[i] : nullptr;
    } else {
      v = v->is_object() ? v->as_object().find(step) : nullptr;
    }
  }
  return v;
}

}  // namespace holdfast::checkpoint::testing
