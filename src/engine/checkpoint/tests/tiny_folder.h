// Test support: a checkpoint folder in memory whose files can be changed one by one, and a writer
// of safetensors files that shares no code with the parser.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/json/json.h"

namespace holdfast::checkpoint::testing {

struct TestTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;  // written as F32
};

// 8 bytes of length, header, data.
Bytes safetensors_bytes(const std::vector<TestTensor>& tensors);

// Two layers, 8 embeddings, 2 heads of 4, 1 head of keys, 16 in the feed-forward, a byte-level
// vocabulary of 7 tokens: every number of a weight is its place in the file.
class TinyFolder {
 public:
  TinyFolder();
  // The config.json as an object to change.
  json::Object& config() { return config_; }
  json::Object& tokenizer() { return tokenizer_; }
  std::vector<TestTensor>& tensors() { return tensors_; }
  void set_file(const std::string& name, std::string text) { files_[name] = std::move(text); }
  void remove(const std::string& name) { removed_.push_back(name); }

  // Opens what the folder holds now. The sources live as long as the folder.
  Result<Checkpoint> open(const OpenOptions& options = {});

 private:
  json::Object config_;
  json::Object tokenizer_;
  std::vector<TestTensor> tensors_;
  std::map<std::string, std::string> files_;
  std::vector<std::string> removed_;
  std::vector<std::unique_ptr<platform::MemorySource>> sources_;
};

// Whole content of a tensor of the checkpoint, as floats.
std::vector<float> tensor_values(const Checkpoint& checkpoint, std::string_view name);

// The member at a path of names and numbers, "model/vocab/a" or "added_tokens/0/id".
json::Value* at_path(json::Value& root, std::string_view path);

}  // namespace holdfast::checkpoint::testing
