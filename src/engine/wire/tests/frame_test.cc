#include "holdfast/wire/frame.h"

#include <gtest/gtest.h>

#include "holdfast/wire/messages.h"
#include "samples.h"

namespace holdfast::wire {
namespace {

Bytes all_samples() {
  Bytes stream;
  for (const Message& m : sample_messages()) {
    const Bytes frame = encode(m).value();
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  return stream;
}

TEST(FrameParser, AnyCutGivesTheSameFrames) {
  const Bytes stream = all_samples();
  const auto expected = sample_messages();
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{64}, stream.size()}) {
    FrameParser parser;
    std::size_t index = 0;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      parser.feed(ByteView(stream).subspan(at, std::min(step, stream.size() - at)));
      while (true) {
        const auto frame = parser.next();
        ASSERT_TRUE(frame.ok());
        if (!*frame) break;
        ASSERT_LT(index, expected.size());
        EXPECT_TRUE(decode(**frame).value() == expected[index++]);
      }
    }
    EXPECT_EQ(index, expected.size());
    EXPECT_EQ(parser.pending_bytes(), 0u);
  }
}

TEST(FrameParser, PayloadLimitAtAndAbove) {
  for (const std::uint32_t bytes : {100u, 101u}) {
    FrameParser parser(100);
    Bytes frame(kFrameHeaderBytes + bytes);
    store_frame_header(frame.data(), 1, bytes);
    parser.feed(ByteView(frame).first(kFrameHeaderBytes));
    const auto first = parser.next();
    ASSERT_EQ(first.ok(), bytes == 100u);
    if (!first.ok()) {
      EXPECT_EQ(first.error().code(), ErrorCode::kExhausted);
      EXPECT_FALSE(parser.next().ok()) << "the error stays";
    }
  }
}

TEST(FrameParser, WrongVersionOrFlagsEndIt) {
  for (const std::size_t at : {std::size_t{6}, std::size_t{7}}) {
    Bytes frame = encode(Shutdown{}).value();
    frame[at] = std::byte{9};
    FrameParser parser;
    parser.feed(frame);
    EXPECT_EQ(parser.next().error().code(), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace holdfast::wire
