// Merging: byte-level BPE within a word, and SentencePiece-style merging by score over a whole
// text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "object.h"
#include "pre_tokenizer.h"

namespace holdfast::tokenizer {

// Appends the tokens of a stretch of text without special tokens. Buffers live as long as the
// object, so that one call's words share them. Owner: one encode() call; thread-compatible.
class BpeEncoder {
 public:
  BpeEncoder(const ObjectView& object, SplitRule rule) : object_(&object), rule_(rule) {}
  void encode(std::string_view text, std::vector<TokenId>& out);

 private:
  struct Node {
    std::uint32_t symbol;
    std::uint32_t previous, next;
  };

  void encode_word(std::string_view word, std::vector<TokenId>& out);
  void push_merge(std::uint32_t left, std::uint32_t right);
  void apply(std::uint32_t rank, std::uint32_t left);
  void emit(std::uint32_t symbol, std::vector<TokenId>& out) const;

  const ObjectView* object_;
  SplitRule rule_;
  std::vector<Node> nodes_;
  std::vector<std::uint64_t> heap_;  // rank << 32 | left node
};

class SpmEncoder {
 public:
  explicit SpmEncoder(const ObjectView& object) : object_(&object) {}
  // `text` has its spaces escaped already.
  void encode(std::string_view text, std::vector<TokenId>& out);

 private:
  struct Node {
    std::uint32_t begin, length;  // length 0: merged into another
    std::uint32_t previous, next;
    std::uint32_t token;  // kNone: not looked up or none
  };
  struct Candidate {
    std::uint64_t key;  // score, higher first, then left node
    std::uint32_t length, token;
  };

  void push_merge(std::uint32_t left, std::uint32_t right);
  void emit(const Node& node, std::vector<TokenId>& out) const;

  const ObjectView* object_;
  std::string_view text_;
  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
};

}  // namespace holdfast::tokenizer
