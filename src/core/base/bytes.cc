#include "holdfast/base/bytes.h"

#include <array>
#include <limits>

#include "holdfast/base/check.h"
#include "holdfast/base/checked.h"

namespace holdfast {

Result<ByteView> ByteReader::take(std::uint64_t n) {
  if (n > remaining()) {
    return corrupt("data ends too early", std::to_string(n) + " bytes wanted at offset " +
                                              std::to_string(position_) + ", " +
                                              std::to_string(remaining()) + " left");
  }
  const ByteView view = bytes_.subspan(position_, static_cast<std::size_t>(n));
  position_ += static_cast<std::size_t>(n);
  return view;
}

Result<std::string_view> ByteReader::take_string(std::uint64_t n) {
  HF_TRY_ASSIGN(const ByteView b, take(n));
  return as_string_view(b);
}

Status ByteReader::skip(std::uint64_t n) {
  HF_TRY(take(n));
  return ok_status();
}

Result<ByteView> ByteReader::take_lp() {
  HF_TRY_ASSIGN(const auto n, be<std::uint16_t>());
  return take(n);
}

ByteWriter& ByteWriter::raw(ByteView v) {
  bytes_.insert(bytes_.end(), v.begin(), v.end());
  return *this;
}

ByteWriter& ByteWriter::lp(ByteView v) {
  HF_CHECK(v.size() <= std::numeric_limits<std::uint16_t>::max());
  return be(static_cast<std::uint16_t>(v.size())).raw(v);
}

ByteWriter& ByteWriter::align(std::size_t unit) {
  bytes_.resize(round_up(bytes_.size(), unit));
  return *this;
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

namespace {
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_base64_values() {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kBase64.size(); ++i) {
    values[static_cast<unsigned char>(kBase64[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr auto kBase64Values = make_base64_values();
}  // namespace

Result<Bytes> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return invalid_argument("odd number of hexadecimal digits");
  Bytes out;
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]);
    const int low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return invalid_argument("not a hexadecimal digit");
    out.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return out;
}

std::string to_base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < n ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= n ? kBase64[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0)
    return invalid_argument("base64 text is not a multiple of 4 characters");
  Bytes out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2u : 1u) : 0u;
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const bool pad = j >= 4 - padding;
      const int value = pad ? 0 : kBase64Values[static_cast<unsigned char>(text[i + j])];
      if (value < 0) return invalid_argument("not a base64 character");
      group = group << 6 | static_cast<std::uint32_t>(value);
    }
    for (std::size_t j = 0; j < 3 - padding; ++j) {
      out.push_back(static_cast<std::byte>(group >> (16 - 8 * j) & 255));
    }
  }
  return out;
}

}  // namespace holdfast
