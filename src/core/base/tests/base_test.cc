#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "holdfast/base/bytes.h"
#include "holdfast/base/checked.h"
#include "holdfast/base/result.h"
#include "holdfast/base/units.h"
#include "holdfast/base/utf8.h"

namespace holdfast {
namespace {

TEST(Errors, EveryCodeHasNameStatusAndRoundTrips) {
  std::set<std::string_view> names;
#define HF_ERROR(name, number, http, exit, text)                  \
  EXPECT_EQ(error_code_name(ErrorCode::k_##name), #name);         \
  EXPECT_EQ(error_code_from_number(number), ErrorCode::k_##name); \
  EXPECT_EQ(error_code_http_status(ErrorCode::k_##name), http);   \
  EXPECT_EQ(error_code_exit_status(ErrorCode::k_##name), exit);   \
  EXPECT_TRUE(names.insert(#name).second);
#include "holdfast/base/errors.def"
#undef HF_ERROR
  EXPECT_EQ(error_code_from_number(200), ErrorCode::kInternal);
}

TEST(Errors, ContextGrowsFromTheInsideOut) {
  Error e = corrupt("damaged", "byte 7");
  e.add_context("tensor x").add_context("file y");
  EXPECT_EQ(e.detail(), "file y: tensor x: byte 7");
  EXPECT_EQ(e.client_message(), "damaged");
}

TEST(Errors, ErrnoKeepsItsMeaning) {
  EXPECT_EQ(os_error(ENOENT, "open").code(), ErrorCode::kNotFound);
  EXPECT_EQ(os_error(ENOSPC, "write").code(), ErrorCode::kExhausted);
  EXPECT_EQ(os_error(EACCES, "open").code(), ErrorCode::kDenied);
  EXPECT_EQ(os_error(EIO, "read").code(), ErrorCode::kIo);
}

Result<int> half(int v) {
  if (v % 2 != 0) return invalid_argument("odd");
  return v / 2;
}
Result<int> quarter(int v) {
  HF_TRY_ASSIGN(const int h, half(v));
  HF_TRY_ASSIGN(const int q, half(h));
  return q;
}

TEST(Result, TryAssignPropagates) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().client_message(), "odd");
}

TEST(ResultDeath, ValueOfAnErrorStops) { EXPECT_DEATH((void)half(1).value(), "check failed"); }

TEST(Checked, OverflowIsAValue) {
  EXPECT_EQ(checked_mul<std::uint64_t>(1ull << 40, 1ull << 40), std::nullopt);
  EXPECT_EQ(checked_add<std::uint64_t>(~0ull, 1), std::nullopt);
  EXPECT_EQ(checked_round_up<std::uint64_t>(~0ull - 1, 64), std::nullopt);
  EXPECT_EQ(checked_round_up<std::uint64_t>(65, 64), 128u);
}

TEST(Bytes, ReaderRefusesEveryOverrun) {
  const Bytes data(8);
  ByteReader r(data);
  EXPECT_TRUE(r.le<std::uint32_t>().ok());
  EXPECT_EQ(r.take(5).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(r.take(~0ull).error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(r.take(4).ok());
  EXPECT_TRUE(r.at_end());
}

TEST(Bytes, BigEndianRoundTrip) {
  ByteWriter w;
  w.be<std::uint32_t>(0x01020304).be<std::uint16_t>(0xA0B0).le<std::uint16_t>(0xA0B0);
  EXPECT_EQ(to_hex(w.view()), "01020304a0b0b0a0");
  ByteReader r(w.view());
  EXPECT_EQ(*r.be<std::uint32_t>(), 0x01020304u);
  EXPECT_EQ(*r.be<std::uint16_t>(), 0xA0B0u);
}

TEST(Bytes, Base64VectorsOfRfc4648) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
      {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}};
  for (const auto& [plain, encoded] : cases) {
    EXPECT_EQ(to_base64(as_bytes_view(plain)), encoded);
    EXPECT_EQ(as_string_view(*from_base64(encoded)), plain);
  }
  for (const char* bad : {"Z", "Zg=", "Z===", "=Zg=", "Zm9v!"})
    EXPECT_FALSE(from_base64(bad).ok()) << bad;
}

TEST(Utf8, DecodesEveryScalarValueAndNothingElse) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Char d = decode_utf8(text, 0);
    ASSERT_TRUE(d.valid && d.code_point == c && d.length == text.size()) << std::uint32_t{c};
  }
  for (const char* bad :
       {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xE2\x82"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << to_hex(as_bytes_view(bad));
  }
}

TEST(Utf8, PrefixNeverEndsInsideACharacter) {
  EXPECT_EQ(complete_utf8_prefix("ab\xE2\x82"), 2u);
  EXPECT_EQ(complete_utf8_prefix("ab\xE2\x82\xAC"), 5u);
  EXPECT_EQ(complete_utf8_prefix("\xF0\x9F\x98"), 0u);
  EXPECT_EQ(complete_utf8_prefix("a\xFF"), 2u);
  EXPECT_EQ(complete_utf8_prefix("a\xE2\x28"), 3u);
  EXPECT_EQ(sanitize_utf8("a\xE2\x82z\xFF"), "a\xEF\xBF\xBDz\xEF\xBF\xBD");
}

TEST(Units, SizesAndDurations) {
  EXPECT_EQ(*parse_size_bytes("8MiB"), 8 * kMiB);
  EXPECT_EQ(*parse_size_bytes("4096"), 4096u);
  EXPECT_EQ(*parse_size_bytes("1.5 GiB"), 3 * kGiB / 2);
  EXPECT_EQ(parse_duration("15m")->count(), 900000);
  EXPECT_EQ(parse_duration("250ms")->count(), 250);
  for (const char* bad : {"", "x", "-1s", "5 parsecs", "1e400d", "10"})
    EXPECT_FALSE(parse_duration(bad).ok()) << bad;
  for (const char* bad : {"", "MiB", "-1", "99999999999GiB"})
    EXPECT_FALSE(parse_size_bytes(bad).ok()) << bad;
}

TEST(Units, EditDistance) {
  EXPECT_EQ(edit_distance("serve", "serve", 2), 0u);
  EXPECT_EQ(edit_distance("serve", "sevre", 2), 1u);
  EXPECT_EQ(edit_distance("run", "rum", 2), 1u);
  EXPECT_EQ(edit_distance("run", "import", 2), 3u);
}

}  // namespace
}  // namespace holdfast
