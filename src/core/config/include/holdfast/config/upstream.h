// [upstream.<name>]: engines and services besides our own engine, as the settings file describes
// them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::config {

enum class UpstreamKind : std::uint8_t { kOpenAi, kProcess };
// "openai", "process".
const char* upstream_kind_name(UpstreamKind kind);

inline constexpr std::string_view kKeyringPrefix = "keyring:";
// 1 to 64 of A-Z a-z 0-9 . _ -
bool is_credential_name(std::string_view name);

// The fields are described in docs/operating/upstreams.md. Checked: kinds, ranges, what a kind
// needs; not checked: whether the address may be used (policy.egress) and whether files exist.
struct UpstreamSettings {
  std::string name;
  std::string source;  // file and line
  UpstreamKind kind = UpstreamKind::kOpenAi;
  std::string url;         // openai: "https://host/v1", "http://127.0.0.1:8080", "unix:/path.sock"
  std::string credential;  // "file:PATH" or "keyring:NAME" of a bearer key; empty: none
  std::string ca;          // file of certificates to trust instead of the system's; empty: these
  std::map<std::string, std::string, std::less<>> models;  // theirs to ours
  std::uint32_t concurrency = 8;                           // requests sent together; more wait here
  std::uint64_t context_length = 0;                        // tokens, as shown; 0: not known
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds first_token_timeout{300'000};
  std::chrono::milliseconds idle_timeout{60'000};  // between two pieces of an answer
  std::chrono::milliseconds timeout{600'000};      // of a whole answer
  // Kind process.
  std::vector<std::string> command;  // absolute program first; {port} and {model} are replaced
  std::string model_file;            // {model}; the one file that the child may read
  std::string health = "/health";
  std::chrono::milliseconds start_timeout{120'000};
  std::vector<std::string> read;        // further files and folders that it may read
  std::vector<std::string> write;       // and write
  std::uint64_t address_space_max = 0;  // bytes; 0: no limit

  // As rows of `config show`: key and TOML value, the credential hidden.
  std::vector<std::pair<std::string, std::string>> shown() const;
};

}  // namespace holdfast::config
