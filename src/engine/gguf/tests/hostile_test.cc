// The shapes of attack on both formats that are about memory and time
// (docs/security/hostile-files.md): each Nth allocation fails (R-02), and small files with large
// claims stay within 64 MiB and five seconds (R-04).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>

#include "allocation_meter.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/gguf/safetensors.h"
#include "test_file.h"

namespace holdfast::gguf {
namespace {

using testing::allocations;
using testing::failing_allocation;
using testing::TestFile;

bool parse_gguf(const Bytes& bytes) {
  const platform::MemorySource source{ByteView(bytes)};
  const platform::ByteSource* const parts[] = {&source};
  return parse(parts).ok();
}

bool parse_tensors(const Bytes& bytes) {
  const platform::MemorySource source{ByteView(bytes)};
  const Shard shards[] = {{"model.safetensors", &source}};
  return parse_shards(shards, nullptr).ok();
}

bool parse_index(const Bytes& bytes) { return parse_shard_index(as_string_view(bytes)).ok(); }

Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes_view(text);
  return {view.begin(), view.end()};
}

Bytes safetensors_of(std::string_view header, std::size_t data_bytes) {
  ByteWriter out;
  out.le<std::uint64_t>(header.size()).raw(header).raw(Bytes(data_bytes));
  return std::move(out).take();
}

constexpr std::string_view kHeader =
    R"({"__metadata__":{"made by":"a name that does not fit into a short string"},)"
    R"("model.layers.0.self_attn.q_proj.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("model.layers.0.self_attn.k_proj.weight":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})";

// The first `n` for which the parser needs no more than n allocations ends the sweep.
void sweep(const Bytes& bytes, bool (*parser)(const Bytes&)) {
  ASSERT_TRUE(parser(bytes));
  for (std::size_t n = 1; n < 100000; ++n) {
    bool threw = false;
    bool parsed = false;
    allocations = 0;
    failing_allocation = n;
    try {
      parsed = parser(bytes);
    } catch (const std::bad_alloc&) {
      threw = true;
    }
    failing_allocation = 0;
    // The importer catches this at its boundary; what matters is that nothing is freed twice,
    // used uninitialised or leaked, which the sanitizers' run of this test sees.
    ASSERT_NE(threw, parsed) << n;
    if (parsed) {
      EXPECT_GT(n, 5u);
      return;
    }
  }
  FAIL() << "no end";
}

TEST(AllocationFailure, LeavesNothingBehindInGguf) {
  sweep(testing::small_file().build(), parse_gguf);
}

TEST(AllocationFailure, LeavesNothingBehindInSafetensors) {
  sweep(safetensors_of(kHeader, 32), parse_tensors);
}

TEST(AllocationFailure, LeavesNothingBehindInAnIndex) {
  sweep(bytes_of(R"({"metadata":{"total_size":32},"weight_map":{
    "model.layers.0.self_attn.q_proj.weight":"model-00001-of-00002.safetensors",
    "model.layers.0.self_attn.k_proj.weight":"model-00002-of-00002.safetensors"}})"),
        parse_index);
}

// Files whose parse is bounded by their own bytes alone: all text here is metadata.
std::vector<std::pair<std::string, std::function<void()>>> hostile_files() {
  std::vector<std::pair<std::string, std::function<void()>>> out;
  const auto add = [&](std::string name, Bytes bytes, bool (*parser)(const Bytes&)) {
    out.emplace_back(std::move(name), [bytes = std::move(bytes), parser] { parser(bytes); });
  };
  for (const std::uint32_t type : {0u, 4u, 8u, 10u, 12u}) {
    add("gguf: an array of 2^34 in 100 bytes, type " + std::to_string(type),
        TestFile().claim("tokenizer.ggml.tokens", type, 1ull << 34).build(), parse_gguf);
  }
  TestFile many;
  many.n_tensors_extra = 65535;
  many.n_metadata_extra = 65535;
  add("gguf: 65535 records that are not there", many.build(), parse_gguf);
  std::vector<std::string> empty(4u << 20);
  add("gguf: four million empty texts", TestFile().texts("t", empty).build(), parse_gguf);
  const auto repeated = [](std::string_view open, std::string_view piece, std::string_view close,
                           std::size_t bytes) {
    std::string text(open);
    while (text.size() < bytes) text += piece;
    text.pop_back();
    return text + std::string(close);
  };
  constexpr std::size_t kMiB = 1u << 20;
  add("safetensors: a header of zeros",
      safetensors_of(repeated("{\"a\":[", "0,", "]}", 16 * kMiB - 8), 0), parse_tensors);
  add("safetensors: a header of empty arrays",
      safetensors_of(repeated("{\"a\":[", "[],", "]}", 16 * kMiB - 8), 0), parse_tensors);
  add("safetensors: a deep header", safetensors_of("{\"a\":" + std::string(8 * kMiB, '['), 0),
      parse_tensors);
  std::string members = "{";
  for (std::size_t i = 0; members.size() < 15 * kMiB; ++i) {
    members += "\"" + std::to_string(i) + "\":{},";
  }
  members.back() = '}';
  add("safetensors: a million tensors that say nothing", safetensors_of(members, 0), parse_tensors);
  std::string twice = "{";
  for (std::size_t i = 0; twice.size() < 4 * kMiB; ++i)
    twice += "\"" + std::string(i % 200, 'x') + "\":0,";
  twice.back() = '}';
  add("safetensors: keys that are there again", safetensors_of(twice, 0), parse_tensors);
  add("index: a map of a million tensors",
      bytes_of("{\"weight_map\":" + members.substr(0, members.find("{}", 14 * kMiB)) + "0}}"),
      parse_index);
  return out;
}

std::uint64_t address_space() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  statm >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// The work, in a process that may map 64 MiB more than it does now and four times the metadata.
int run_limited(std::uint64_t metadata_bytes, const std::function<void()>& work) {
  const pid_t pid = fork();
  if (pid == 0) {
    const rlim_t limit = address_space() + (64u << 20) + 4 * metadata_bytes;
    const rlimit bounds{limit, limit};
    if (setrlimit(RLIMIT_AS, &bounds) != 0) _exit(3);
    try {
      work();
    } catch (const std::bad_alloc&) {
      _exit(2);
    }
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Hostile, StaysWithinMemoryAndTime) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is not the parser's";
#endif
  for (const auto& [name, parse_it] : hostile_files()) {
    SCOPED_TRACE(name);
    const auto start = std::chrono::steady_clock::now();
    // The largest file here has 16 MiB of metadata; the bound of one of 100 bytes is the base.
    const std::uint64_t metadata = name.starts_with("gguf: a") || name.starts_with("gguf: 6") ? 100
                                   : name.starts_with("gguf") ? 32u << 20
                                                              : 16u << 20;
    EXPECT_EQ(run_limited(metadata, parse_it), 0) << "2: out of memory";
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  }
  // The harness sees what goes beyond.
  EXPECT_EQ(run_limited(100,
                        [] {
                          const Bytes too_much(80u << 20);
                          if (too_much.back() != std::byte{0}) _exit(5);
                        }),
            2);
}

}  // namespace
}  // namespace holdfast::gguf
