// Model folders as Hugging Face writes them - config.json, tokenizer.json, safetensors - turned
// into what a GGUF file of the same model would say (docs/formats/safetensors.md). All files are
// hostile.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::checkpoint {

// A file of the folder: its name without any path, and its bytes, which outlive the checkpoint.
struct SourceFile {
  std::string name;
  const platform::ByteSource* source = nullptr;
};

// Whether a file of this name is part of a model's folder: one of the five JSON files, the chat
// template, or weights. Pickles are not.
bool is_checkpoint_file(std::string_view name);

// What a tokenizer.json says beyond the keys of a GGUF file.
struct VocabularyTraits {
  bool clean_spaces = false;
  bool ignore_merges = false;
  std::vector<tokenizer::TokenId> strip_left;
  std::vector<tokenizer::TokenId> strip_right;
  std::vector<tokenizer::TokenId> end_of_generation;  // besides those that names and roles tell
};

// A folder that was read: metadata and tensors under GGUF's names, in GGUF's row order, whose bytes
// are in `parts`. Movable; `views` belong to it, files do not. Thread-compatible.
struct Checkpoint {
  gguf::GgufFile file;
  std::vector<const platform::ByteSource*> parts;  // by TensorInfo::part
  std::vector<std::unique_ptr<platform::ByteSource>> views;
  VocabularyTraits traits;
};

struct OpenOptions {
  bool vocab_only = false;  // tokenizer and template alone; config.json and weights may be missing
};

// Reads everything but the weights' bytes. Errors: kInvalidArgument - a file is missing or not what
// its name says; kUnsupported - a family, a data type, a rotation, a kind of tokenizer that we do
// not compute, by its name; kCorrupt - anything else, naming file and member.
Result<Checkpoint> open(std::span<const SourceFile> files, const OpenOptions& options = {});

// The vocabulary of a checkpoint, which has passed tokenizer::validate(). Errors as
// tokenizer::vocabulary_from_gguf().
Result<tokenizer::Vocabulary> vocabulary(const Checkpoint& checkpoint);

}  // namespace holdfast::checkpoint
