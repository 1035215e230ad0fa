// A checkpoint folder for fuzz targets, in which one file is the input and the others are small and
// right.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/model/family.h"

namespace holdfast::fuzzing {

inline constexpr std::string_view kSmallTokenizer =
    R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},)"
    R"("model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}})";

// Eight rows of two BF16 weights each; whatever the family, the names are Llama's.
inline std::string small_weights() {
  const std::string header =
      R"({"model.embed_tokens.weight":{"dtype":"BF16","shape":[8,2],"data_offsets":[0,32]},)"
      R"("model.layers.0.self_attn.q_proj.weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[32,40]},)"
      R"("model.norm.weight":{"dtype":"F32","shape":[2],"data_offsets":[40,48]}})";
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    file[i] = static_cast<char>((header.size() >> (8 * i)) & 0xff);
  return file + header + std::string(48, '\x3c');
}

struct NamedText {
  std::string name;
  std::string_view text;
};

// Opens the folder as the importer does, and reads what a conversion would read.
inline void open_folder(const std::vector<NamedText>& files, bool vocab_only) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<checkpoint::SourceFile> given;
  for (const NamedText& file : files) {
    sources.push_back(std::make_unique<platform::MemorySource>(as_bytes_view(file.text)));
    given.push_back({file.name, sources.back().get()});
  }
  const auto opened = checkpoint::open(given, {.vocab_only = vocab_only});
  if (!opened.ok()) return;
  for (const gguf::TensorInfo& t : opened->file.tensors) {
    Bytes bytes(t.bytes);
    HF_CHECK(opened->parts.at(t.part)->read_at(t.offset, bytes).ok());
  }
  ignore_error(model::inspect(opened->file), "only crashes count");
  const auto vocabulary = checkpoint::vocabulary(*opened);
  if (vocabulary.ok()) HF_CHECK(tokenizer::serialize(*vocabulary).ok());
}

}  // namespace holdfast::fuzzing
