// Small packs for tests, sealed or not.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "holdfast/platform/testing/simulated_filesystem.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_writer.h"

namespace holdfast::vault::testing {

inline Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes_view(text);
  return {view.begin(), view.end()};
}

struct Content {
  PackPlan plan;
  std::vector<Bytes> tensors;
};

inline Status write_content(const Content& content, platform::OpenFile& file, std::size_t piece,
                            const SealPlan* seal) {
  HF_TRY_ASSIGN(PackWriter writer, PackWriter::begin(file, content.plan, seal));
  for (const Bytes& tensor : content.tensors) {
    for (std::size_t at = 0; at < tensor.size(); at += piece) {
      HF_TRY(writer.append(ByteView(tensor).subspan(at, std::min(piece, tensor.size() - at))));
    }
  }
  HF_TRY(writer.finish());
  EXPECT_EQ(file.size(), writer.file_bytes());
  return ok_status();
}

inline Result<Bytes> write_pack(const Content& content, std::size_t piece = 1000,
                                const SealPlan* seal = nullptr) {
  platform::testing::SimulatedFileSystem fs;
  HF_TRY_ASSIGN(const auto file, fs.create_exclusive("/pack", 0600));
  HF_TRY(write_content(content, *file, piece, seal));
  return platform::read_all(*file, 1u << 30);
}

inline Content example() {
  Content content;
  const crypto::Sha256Digest files[] = {crypto::sha256(as_bytes_view("model file"))};
  content.plan.source_digest = source_digest(files);
  content.plan.objects.push_back({ObjectKind::kTemplate, "", bytes_of("{{ messages }}")});
  content.plan.tensors.push_back({"norm", 0, 1, {3, 1, 1, 1}, 12});
  ByteWriter norm;
  norm.le(1.0f).le(2.0f).le(-1.0f);
  content.tensors.push_back(std::move(norm).take());
  return content;
}

// Several chunks, tensors across their borders, written in an order that is not that of the names.
inline Content large() {
  Content content = example();
  content.plan.objects.push_back({ObjectKind::kTokenizer, "", Bytes(300, std::byte{7})});
  for (const char* name : {"b", "a", "c"}) {
    const std::uint64_t n = 80000 + static_cast<std::uint64_t>(name[0]);
    content.plan.tensors.push_back({name, 0, 2, {n, 2, 1, 1}, 8 * n});
    Bytes bytes(8 * n);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + n);
    content.tensors.push_back(std::move(bytes));
  }
  return content;
}

inline Result<std::uint64_t> f32_bytes(std::uint16_t type, std::span<const std::uint64_t> dims) {
  if (type != 0) return unsupported("type");
  std::uint64_t n = 4;
  for (const std::uint64_t d : dims) n *= d;
  return n;
}

// Notices damage on opening or at the latest when everything is read.
inline Status check_pack(const Bytes& bytes, std::optional<ContentKeys> keys = std::nullopt) {
  const platform::MemorySource source{ByteView(bytes)};
  HF_TRY_ASSIGN(const PackReader reader, PackReader::open(source, f32_bytes, std::move(keys)));
  return reader.verify_all();
}

}  // namespace holdfast::vault::testing
