// The tiny golden models, and copies of them with one thing changed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "holdfast/gguf/gguf.h"
#include "holdfast/platform/file.h"

namespace holdfast::importer::testing {

inline const std::string kTinyDir = HOLDFAST_SOURCE_DIR "/tests/golden/tiny";

inline std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  if (!std::filesystem::exists(kTinyDir)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(kTinyDir)) {
    if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline Bytes golden(const std::string& name) {
  const auto file = platform::File::open_read(kTinyDir + "/" + name + ".gguf");
  EXPECT_TRUE(file.ok()) << name;
  return *platform::read_all(*file, 1u << 30);
}

// Replaces the first occurrence by a text of the same length.
inline Bytes patched(Bytes bytes, std::string_view from, std::string_view to) {
  const ByteView wanted = as_bytes_view(from);
  const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
  EXPECT_TRUE(at != bytes.end() && from.size() == to.size()) << from;
  std::ranges::copy(as_bytes_view(to), at);
  return bytes;
}

inline gguf::GgufFile parsed(const Bytes& bytes) {
  const platform::MemorySource source{ByteView(bytes)};
  const platform::ByteSource* const parts[] = {&source};
  auto file = gguf::parse(parts);
  EXPECT_TRUE(file.ok()) << file.error().to_string();
  return *std::move(file);
}

// Cuts a model in two files, as splitting tools do.
inline std::vector<Bytes> split_in_two(const Bytes& whole) {
  const gguf::GgufFile file = parsed(whole);
  ByteWriter first_record;
  first_record.le<std::uint64_t>(file.tensors[0].name.size()).raw(file.tensors[0].name);
  const auto table = std::search(whole.begin(), whole.end(), first_record.view().begin(),
                                 first_record.view().end());
  const auto n_metadata = load_le<std::uint64_t>(whole.data() + 16);
  const ByteView metadata =
      ByteView(whole).subspan(24, static_cast<std::size_t>(table - whole.begin()) - 24);
  std::vector<Bytes> parts;
  const std::size_t half = file.tensors.size() / 2;
  for (std::uint16_t part = 0; part < 2; ++part) {
    const auto tensors = std::span(file.tensors).subspan(part * half);
    const auto mine = part == 0 ? tensors.first(half) : tensors;
    ByteWriter out;
    out.raw("GGUF").le<std::uint32_t>(3).le<std::uint64_t>(mine.size());
    out.le<std::uint64_t>(3 + (part == 0 ? n_metadata : 0));
    if (part == 0) out.raw(metadata);
    const auto key = [&](std::string_view name, std::uint32_t type) {
      out.le<std::uint64_t>(name.size()).raw(name).le(type);
    };
    key("split.no", 2);
    out.le(part);
    key("split.count", 2);
    out.le<std::uint16_t>(2);
    key("split.tensors.count", 5);
    out.le(static_cast<std::int32_t>(file.tensors.size()));
    ByteWriter data;
    for (const gguf::TensorInfo& t : mine) {
      out.le<std::uint64_t>(t.name.size()).raw(t.name).le<std::uint32_t>(t.n_dims);
      for (std::size_t i = 0; i < t.n_dims; ++i) out.le(t.dims[i]);
      out.le(static_cast<std::uint32_t>(t.type)).le<std::uint64_t>(data.size());
      data.raw(ByteView(whole).subspan(t.offset, t.bytes)).align(32);
    }
    out.align(32).raw(data.view());
    parts.push_back(std::move(out).take());
  }
  return parts;
}

}  // namespace holdfast::importer::testing
