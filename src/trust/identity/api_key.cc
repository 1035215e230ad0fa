#include "holdfast/identity/api_key.h"

#include <algorithm>

#include "holdfast/crypto/crc32.h"
#include "holdfast/crypto/hmac.h"

namespace holdfast::identity {
namespace {

constexpr std::string_view kPrefix = "hk_";
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kBase62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kSecretAt = kPrefix.size() + kKeyIdLength + 1;
constexpr std::size_t kChecksumAt = kSecretAt + kKeySecretLength + 1;

bool only(std::string_view text, std::string_view alphabet) {
  return text.find_first_not_of(alphabet) == std::string_view::npos;
}

// Bits from the most significant on; a rest is filled with zeros.
std::string encode(ByteView bytes, unsigned bits_per_char, std::string_view alphabet) {
  std::string out;
  unsigned bits = 0;
  unsigned held = 0;
  for (const std::byte b : bytes) {
    held = (held << 8) | std::to_integer<unsigned>(b);
    for (bits += 8; bits >= bits_per_char; bits -= bits_per_char)
      out += alphabet[(held >> (bits - bits_per_char)) & (alphabet.size() - 1)];
    held &= 0xff;
  }
  if (bits > 0) out += alphabet[(held << (bits_per_char - bits)) & (alphabet.size() - 1)];
  return out;
}

std::string checksum(std::string_view text) {
  std::uint32_t crc = crypto::crc32(as_bytes_view(text));
  std::string out(kKeyChecksumLength, '0');
  for (std::size_t i = out.size(); i-- > 0; crc /= 62) out[i] = kBase62[crc % 62];
  return out;
}

Error no_key() { return Error(ErrorCode::kUnauthenticated, "this is no API key"); }

}  // namespace

Result<ParsedKey> parse_key(std::string_view text) {
  if (text.size() != kKeyLength || text.substr(0, kPrefix.size()) != kPrefix) return no_key();
  const ParsedKey key{text.substr(kPrefix.size(), kKeyIdLength),
                      text.substr(kSecretAt, kKeySecretLength)};
  const bool well_formed = is_key_id(key.id) && text[kSecretAt - 1] == '_' &&
                           only(key.secret, kBase64Url) && text[kChecksumAt - 1] == '_';
  if (!well_formed) return no_key();
  // The last character carries four bits; a key is written in one way only.
  if ((kBase64Url.find(key.secret.back()) & 3) != 0) return no_key();
  if (checksum(text.substr(0, kChecksumAt - 1)) != text.substr(kChecksumAt)) return no_key();
  return key;
}

bool is_key_id(std::string_view text) { return text.size() == kKeyIdLength && only(text, kBase32); }

observe::SecretText format_key(const KeyIdBytes& id, const KeySecretBytes& secret) {
  std::string out;
  out.reserve(kKeyLength);  // one buffer: no copy of the secret is left behind by growing
  out += kPrefix;
  out += encode(id, 5, kBase32);
  out += '_';
  std::string text = encode(secret, 6, kBase64Url);
  out += text;
  observe::wipe_memory(text.data(), text.size());
  const std::string crc = checksum(out);
  out += '_';
  out += crc;
  return observe::SecretText(std::move(out));
}

crypto::Sha256Digest key_verifier(const Pepper& pepper, const ParsedKey& key) {
  using namespace std::string_view_literals;
  const std::string_view separator = "\0"sv;
  return crypto::hmac_sha256(
      pepper, {as_bytes_view("holdfast/apikey/v1"), as_bytes_view(separator), as_bytes_view(key.id),
               as_bytes_view(separator), as_bytes_view(key.secret)});
}

}  // namespace holdfast::identity
