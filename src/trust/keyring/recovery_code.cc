#include "holdfast/keyring/recovery_code.h"

#include <optional>

namespace holdfast::keyring {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kRandomBytes = 20;
constexpr std::size_t kCharacters = kRandomBytes * 8 / 5;
constexpr std::size_t kGroup = 4;
static_assert(kRecoveryCodeBytes == kCharacters + kCharacters / kGroup - 1);

// The character as a code has it; nullopt for one that no code has.
std::optional<char> code_character(char c) {
  if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (kAlphabet.find(c) == std::string_view::npos) return std::nullopt;
  return c;
}

}  // namespace

Result<crypto::Secret> make_recovery_code(platform::Entropy& entropy) {
  HF_TRY_ASSIGN(const crypto::Secret random, crypto::Secret::random(kRandomBytes, entropy));
  HF_TRY_ASSIGN(crypto::Secret code, crypto::Secret::of_size(kRecoveryCodeBytes));
  std::size_t at = 0;
  unsigned bits = 0;
  unsigned pending = 0;
  std::size_t made = 0;
  for (const std::byte b : random.view()) {
    pending = (pending << 8) | std::to_integer<unsigned>(b);
    for (bits += 8; bits >= 5; bits -= 5) {
      if (made > 0 && made % kGroup == 0) code.bytes()[at++] = std::byte{'-'};
      code.bytes()[at++] = static_cast<std::byte>(kAlphabet[(pending >> (bits - 5)) & 31]);
      ++made;
    }
    pending &= (1u << bits) - 1;
  }
  return code;
}

Result<crypto::Secret> normalize_passphrase(ByteView typed) {
  HF_TRY_ASSIGN(crypto::Secret code, crypto::Secret::of_size(kRecoveryCodeBytes));
  std::size_t at = 0;
  std::size_t made = 0;
  bool is_code = true;
  for (const char c : as_string_view(typed)) {
    if (c == '-' || c == ' ' || c == '\t') continue;
    const auto known = code_character(c);
    is_code = known.has_value() && made < kCharacters;
    if (!is_code) break;
    if (made > 0 && made % kGroup == 0) code.bytes()[at++] = std::byte{'-'};
    code.bytes()[at++] = static_cast<std::byte>(*known);
    ++made;
  }
  if (is_code && made == kCharacters) return code;
  return crypto::Secret::copy_of(typed);
}

}  // namespace holdfast::keyring
