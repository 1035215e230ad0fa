// What the tests of this folder share: archives in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/bundle/tar.h"
#include "holdfast/platform/testing/simulated_filesystem.h"

namespace holdfast::bundle::testing {

inline Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes_view(text);
  return Bytes(view.begin(), view.end());
}

// What `write` puts into a file.
inline Bytes written(const std::function<Status(platform::OpenFile&)>& write) {
  platform::testing::SimulatedFileSystem fs;
  EXPECT_TRUE(fs.make_dirs("/x", 0700).ok());
  auto file = fs.create_exclusive("/x/file", 0600);
  EXPECT_TRUE(file.ok());
  const Status status = write(**file);
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return *platform::read_all(**file, 1u << 30);
}

inline Bytes tar_of(const std::vector<std::pair<std::string, Bytes>>& entries) {
  return written([&](platform::OpenFile& out) -> Status {
    TarWriter tar(out);
    for (const auto& [name, content] : entries) HF_TRY(tar.add(name, content));
    return tar.finish();
  });
}

// The entries of a tar, by name.
inline std::vector<std::pair<std::string, Bytes>> untar(const Bytes& archive) {
  const platform::MemorySource source{ByteView(archive)};
  const auto entries = read_tar(
      source, [](std::string_view) { return true; }, 1000);
  EXPECT_TRUE(entries.ok()) << entries.error().to_string();
  std::vector<std::pair<std::string, Bytes>> out;
  for (const TarEntry& e : *entries) {
    const auto begin = archive.begin() + static_cast<std::ptrdiff_t>(e.offset);
    out.emplace_back(e.name, Bytes(begin, begin + static_cast<std::ptrdiff_t>(e.size)));
  }
  return out;
}

}  // namespace holdfast::bundle::testing
