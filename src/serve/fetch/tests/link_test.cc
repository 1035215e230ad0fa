// Oracles: round trip, and refusal of every truncation; RFC 9110 for what a range answer is.
#include "holdfast/fetch/link.h"

#include <gtest/gtest.h>

#include "holdfast/platform/socket.h"

namespace holdfast::fetch {
namespace {

Request request() {
  Request r{7, true, *parse_url("https://h.org/x?y=1"), {{"A", "b"}}, Sink::kOutput, true};
  r.first = 10;
  r.last = 19;
  r.total = 100;
  r.bytes_per_second = 5;
  return r;
}

std::vector<Message> messages() {
  return {Start{"h.org", 443, true, "/ca", 5},
          Resolved{{*parse_address("1.2.3.4")}},
          Pin{{*parse_address("2606::1"), *parse_address("1.1.1.1")}},
          Ready{"none"},
          request(),
          Cancel{3},
          Head{4, 206, {{"etag", "\"x\""}}},
          Body{5, "bytes"},
          Progress{6, 99},
          Done{7, 8, std::nullopt},
          Done{7, 8, corrupt("m", "d")},
          Failed{unavailable("gone")}};
}

TEST(Link, MessagesComeBack) {
  for (const Message& message : messages()) {
    const Bytes bytes = encode_message(message);
    const auto back = decode_message(bytes);
    ASSERT_TRUE(back.ok()) << message.index();
    EXPECT_EQ(back->index(), message.index());
    EXPECT_EQ(encode_message(*back), bytes);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      if (std::holds_alternative<Body>(message) && n >= 5) continue;  // a shorter body is a body
      EXPECT_FALSE(decode_message(ByteView(bytes).first(n)).ok()) << message.index() << " " << n;
    }
    Bytes longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_EQ(decode_message(longer).ok(), std::holds_alternative<Body>(message));
  }
}

TEST(Link, FramesHaveALimit) {
  auto pair = platform::make_socket_pair();
  ASSERT_TRUE(pair.ok());
  const auto soon = platform::Deadline::after(std::chrono::seconds(5));
  ASSERT_TRUE(send_message(pair->ours.get(), Progress{1, 2}, soon).ok());
  const auto got = receive_message(pair->theirs.get(), soon);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(std::get<Progress>(*got).written, 2u);
  EXPECT_FALSE(
      send_message(pair->ours.get(), Body{1, std::string(kFrameBytesMax, 'x')}, soon).ok());
  for (const std::uint32_t size :
       {std::uint32_t{0}, std::uint32_t{kFrameBytesMax + 1}, ~std::uint32_t{0}}) {
    ByteWriter head;
    head.be(size);
    ASSERT_TRUE(platform::send_all(pair->ours.get(), head.view(), soon).ok());
    const auto refused = receive_message(pair->theirs.get(), soon);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), ErrorCode::kCorrupt);
  }
}

Fields range_answer(std::string range, std::string length = "10") {
  return {{"content-range", std::move(range)}, {"content-length", std::move(length)}};
}

TEST(Link, OnlyTheRangeThatWasAskedForIsTaken) {
  Request r = request();
  r.head = false;
  const auto judge = [&](std::uint32_t status, const Fields& fields) {
    const auto use = judge_answer(r, status, fields);
    if (!use.ok()) {
      EXPECT_EQ(use.error().code(), ErrorCode::kCorrupt);
      return "corrupt";
    }
    return *use == Use::kTake ? "take" : "drop";
  };
  EXPECT_STREQ(judge(206, range_answer("bytes 10-19/100")), "take");
  EXPECT_STREQ(judge(206, {{"content-range", "bytes 10-19/100"}}), "take");
  for (const char* other :
       {"bytes 0-9/100", "bytes 10-18/100", "bytes 11-19/100", "bytes 10-20/100", "bytes 10-19/101",
        "bytes 10-19/*", "bytes */100", "bytes 19-10/100", "bytes 10-19", "10-19/100", "",
        "bytes -10-19/100", "bytes 10-19/19", "items 10-19/100", "bytes 10-19/100 x",
        "bytes 18446744073709551626-19/100"})
    EXPECT_STREQ(judge(206, range_answer(other)), "corrupt") << other;
  EXPECT_STREQ(judge(206, range_answer("bytes 10-19/100", "11")), "corrupt");
  EXPECT_STREQ(judge(206, range_answer("bytes 10-19/100", "9")), "corrupt");
  Fields packed = range_answer("bytes 10-19/100");
  packed.emplace_back("content-encoding", "gzip");
  EXPECT_STREQ(judge(206, packed), "corrupt");
  EXPECT_STREQ(judge(200, {}), "drop");
  EXPECT_STREQ(judge(302, {}), "drop");
  EXPECT_STREQ(judge(404, {}), "drop");
  r.ranged = false;
  EXPECT_STREQ(judge(200, {{"content-length", "100"}}), "take");
  EXPECT_STREQ(judge(200, {}), "take");
  EXPECT_STREQ(judge(200, {{"content-length", "99"}}), "corrupt");
  EXPECT_STREQ(judge(206, range_answer("bytes 10-19/100")), "drop");
}

}  // namespace
}  // namespace holdfast::fetch
