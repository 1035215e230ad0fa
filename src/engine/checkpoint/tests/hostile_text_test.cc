// JSON files that are small and want much (R-04): within 64 MiB and four times their bytes, and
// five seconds.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "tiny_folder.h"

namespace holdfast::checkpoint {
namespace {

using testing::TinyFolder;

std::string repeated(std::string_view open, std::string_view piece, std::string_view close,
                     std::size_t bytes) {
  std::string text(open);
  while (text.size() < bytes) text += piece;
  text.pop_back();
  return text + std::string(close);
}

std::string many_tokens(std::size_t n) {
  std::string text =
      R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"vocab":{)";
  for (std::size_t i = 0; i < n; ++i) {
    text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":" + std::to_string(i);
  }
  return text + "},\"merges\":[]}}";
}

struct HostileText {
  std::string_view file;
  std::string_view what;
  std::string text;
};

std::vector<HostileText> hostile_texts() {
  constexpr std::size_t kMiB = 1u << 20;
  return {
      {"config.json", "four MiB of zeros", repeated("{\"a\":[", "0,", "]}", 4 * kMiB - 8)},
      {"config.json", "layer types", repeated("{\"layer_types\":[", "[],", "]}", 4 * kMiB - 8)},
      {"config.json", "too long", std::string(5 * kMiB, ' ')},
      {"tokenizer.json", "a million tokens", many_tokens(1'000'000)},
      {"tokenizer.json", "merges of nothing",
       repeated(R"({"model":{"vocab":{"a":0},"merges":[)", "[\"a\",\"a\"],", "]}}", 12 * kMiB)},
      {"tokenizer.json", "arrays in a merge",
       repeated(R"({"model":{"vocab":{"a":0},"merges":[[)", "[[]],", "]]}}", 8 * kMiB)},
      {"tokenizer.json", "added tokens",
       repeated(R"({"added_tokens":[)", R"({"id":9,"content":"x"},)", "]}", 16 * kMiB)},
      {"tokenizer.json", "nesting", "{\"model\":" + std::string(16 * kMiB, '[')},
      {"tokenizer.json", "one long token",
       "{\"model\":{\"vocab\":{\"" + std::string(32 * kMiB, 'x')},
      {"tokenizer.json", "steps",
       repeated(R"({"normalizer":{"type":"Sequence","normalizers":[)", "{},", "]}}", 8 * kMiB)},
      {"tokenizer_config.json", "sixteen MiB of zeros",
       repeated("{\"a\":[", "0,", "]}", 16 * kMiB - 8)},
      {"generation_config.json", "end tokens",
       repeated("{\"eos_token_id\":[", "0,", "]}", 130'000)},
  };
}

std::uint64_t address_space() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  statm >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// 0: opened or refused; 2: out of memory.
int open_limited(const HostileText& hostile) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<SourceFile> files;
  const auto add = [&](const char* name, std::string_view text) {
    const std::string_view content = hostile.file == name ? std::string_view(hostile.text) : text;
    sources.push_back(std::make_unique<platform::MemorySource>(as_bytes_view(content)));
    files.push_back({name, sources.back().get()});
  };
  add("config.json", "{}");
  add("tokenizer.json",
      R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"vocab":{"a":0},"merges":[]}})");
  add("tokenizer_config.json", "{}");
  add("generation_config.json", "{}");
  const pid_t pid = fork();
  if (pid == 0) {
    const rlim_t limit = address_space() + (64u << 20) + 4 * hostile.text.size();
    const rlimit bounds{limit, limit};
    if (setrlimit(RLIMIT_AS, &bounds) != 0) _exit(3);
    try {
      const auto opened = open(files, {.vocab_only = true});
      _exit(opened.ok() || opened.error().code() != ErrorCode::kInternal ? 0 : 4);
    } catch (const std::bad_alloc&) {
      _exit(2);
    }
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(HostileText, StaysWithinMemoryAndTime) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is not the parser's";
#endif
  for (const HostileText& hostile : hostile_texts()) {
    SCOPED_TRACE(std::string(hostile.file) + ": " + std::string(hostile.what));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(open_limited(hostile), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  }
}

}  // namespace
}  // namespace holdfast::checkpoint
