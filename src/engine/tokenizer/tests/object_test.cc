// Negative space of the tokenizer object: truncated at every byte, every byte flipped, counts at
// and over limits.
#include "object.h"

#include <gtest/gtest.h>

#include "test_vocabularies.h"

namespace holdfast::tokenizer {
namespace {

Bytes small_object(Model model) {
  Vocabulary v = small_bpe();
  v.model = model;
  if (model != Model::kBpe) {
    v.pre.clear();
    v.merges.clear();
    v.scores.assign(v.tokens.size(), -1.0F);
    v.special.sep = v.special.unk = 0;
  }
  Result<Bytes> object = serialize(v);
  EXPECT_TRUE(object.ok());
  return object.ok() ? std::move(object).value() : Bytes{};
}

// Whatever loads must also work without reading outside itself (the asan build looks).
void use(const Tokenizer& t) {
  const std::string text = "the aaaa <tag> <|end|> \xF0\x9F\x98 12";
  const auto ids = t.encode(text, {.add_special = true, .parse_special = true});
  ASSERT_TRUE(ids.ok());
  for (const TokenId id : *ids) EXPECT_LT(id, t.vocab_size());
  ASSERT_TRUE(t.decode(*ids, {}).ok());
}

TEST(Object, SameVocabularySameBytes) {
  EXPECT_EQ(small_object(Model::kBpe), small_object(Model::kBpe));
}

TEST(Object, TruncatedAtEveryByteIsCorrupt) {
  const Bytes object = small_object(Model::kBpe);
  for (std::size_t n = 0; n < object.size(); ++n) {
    Bytes cut = object;
    cut.resize(n);
    const auto t = Tokenizer::load_owned(std::move(cut));
    ASSERT_FALSE(t.ok()) << n;
    EXPECT_EQ(t.error().code(), ErrorCode::kCorrupt) << n;
  }
}

TEST(Object, OneByteTooManyIsCorrupt) {
  Bytes object = small_object(Model::kSpm);
  object.push_back(std::byte{0});
  EXPECT_EQ(Tokenizer::load_owned(object).error().code(), ErrorCode::kCorrupt);
}

TEST(Object, EveryFlippedByteIsAnErrorOrHarmless) {
  for (const Model model : {Model::kBpe, Model::kSpm, Model::kWordPiece}) {
    const Bytes object = small_object(model);
    for (std::size_t i = 0; i < object.size(); ++i) {
      for (const unsigned flip : {0x01u, 0x80u, 0xFFu}) {
        Bytes changed = object;
        changed[i] ^= static_cast<std::byte>(flip);
        const auto t = Tokenizer::load_owned(changed);
        if (t.ok()) use(**t);
      }
    }
  }
}

TEST(Object, HostileCountsAllocateNothing) {
  const Bytes object = small_object(Model::kBpe);
  ObjectHeader h;
  std::memcpy(&h, object.data(), sizeof h);
  const auto load_with = [&](auto change) {
    ObjectHeader hostile = h;
    change(hostile);
    Bytes bytes = object;
    std::memcpy(bytes.data(), &hostile, sizeof hostile);
    return Tokenizer::load_owned(std::move(bytes));
  };
  const std::uint32_t huge = 0xFFFFFFFF;
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.tokens = huge; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.tokens = 0; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.symbols = huge; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.merges = kMaxMerges + 1; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.text_bytes = huge; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.text_slots = 3; }).ok());
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.special_ids[0] = -1; }).ok());  // bos is added
  EXPECT_FALSE(load_with([&](ObjectHeader& x) { x.special_ids[3] = 264; }).ok());
  EXPECT_EQ(load_with([&](ObjectHeader& x) { x.version = 2; }).error().code(),
            ErrorCode::kUnsupported);
  const auto unknown = load_with([&](ObjectHeader& x) { x.pre = {'n', 'o', 'p', 'e'}; });
  EXPECT_EQ(unknown.error().client_message(), "unsupported pre-tokenizer \"nope\"");
  EXPECT_TRUE(load_with([](ObjectHeader&) {}).ok());
}

// An index one too big, at each place that holds one.
TEST(Object, EveryIdIsCheckedAgainstItsTable) {
  const Bytes object = small_object(Model::kBpe);
  ObjectHeader h;
  std::memcpy(&h, object.data(), sizeof h);
  const ObjectLayout at = layout_of(h);
  const auto code_with = [&](std::uint64_t offset, std::uint32_t value) {
    Bytes bytes = object;
    store_le(bytes.data() + offset, value);
    const auto t = Tokenizer::load_owned(std::move(bytes));
    return t.ok() ? ErrorCode::kInternal : t.error().code();
  };
  EXPECT_EQ(code_with(at.text_ends, h.text_bytes + 1), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.piece_ends, h.piece_bytes + 1), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.specials, h.tokens), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.end_of_generation, h.tokens), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.text_slots + 4, h.tokens + 1), ErrorCode::kCorrupt);
  for (const std::uint64_t field : {0, 4, 8}) {
    EXPECT_EQ(code_with(at.merges + field, h.symbols), ErrorCode::kCorrupt);
  }
  EXPECT_EQ(code_with(at.merge_slots, h.merges + 1), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.byte_symbols, h.symbols), ErrorCode::kCorrupt);
  EXPECT_EQ(code_with(at.byte_fallback, h.tokens), ErrorCode::kCorrupt);
}

TEST(Object, MisalignedBytesAreCopied) {
  ByteWriter writer;
  writer.le(std::uint8_t{0}).raw(small_object(Model::kBpe));
  const Bytes shifted = std::move(writer).take();
  const auto t = Tokenizer::load(ByteView(shifted).subspan(1));
  ASSERT_TRUE(t.ok());
  use(**t);
}

}  // namespace
}  // namespace holdfast::tokenizer
