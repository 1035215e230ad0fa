// Oracle: round trip for values, and the bytes written out by hand in docs/formats/wire.md for the
// format itself.
#include "holdfast/wire/messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "samples.h"

namespace holdfast::wire {
namespace {

// The only frame in `bytes`.
Result<Message> decode_bytes(ByteView bytes) {
  FrameParser parser;
  parser.feed(bytes);
  HF_TRY_ASSIGN(const std::optional<Frame> frame, parser.next());
  if (!frame) return corrupt("incomplete");
  return decode(*frame);
}

// `payload` behind a correct header.
Bytes framed(std::uint16_t type, ByteView payload) {
  Bytes out(kFrameHeaderBytes);
  store_frame_header(out.data(), type, static_cast<std::uint32_t>(payload.size()));
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

TEST(Messages, EveryOneSurvivesTheRoundTrip) {
  std::vector<bool> seen(std::variant_size_v<Message>);
  for (const Message& m : sample_messages()) {
    const auto bytes = encode(m);
    ASSERT_TRUE(bytes.ok()) << message_name(m) << ": " << bytes.error().to_string();
    const auto back = decode_bytes(*bytes);
    ASSERT_TRUE(back.ok()) << message_name(m) << ": " << back.error().to_string();
    EXPECT_TRUE(*back == m) << message_name(m);
    seen[m.index()] = true;
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    EXPECT_TRUE(seen[i]) << "no sample of message " << i;
}

TEST(Messages, BytesOfTheFormatDocument) {
  const auto finished = encode(Finished{5, FinishReason::kLength, "", {3, 16, 0}, {1, 2, 3}});
  ASSERT_TRUE(finished.ok());
  EXPECT_EQ(to_hex(*finished),
            "31000000"          // payload: 49 bytes
            "6900"              // type 105
            "0100"              // version 1, flags 0
            "0500000000000000"  // request
            "01"                // length
            "00000000"          // no stop string
            "030000001000000000000000"
            "010000000000000002000000000000000300000000000000");
}

TEST(Messages, CutPayloadIsCorruptAtEveryByte) {
  for (const Message& m : sample_messages()) {
    const Bytes whole = encode(m).value();
    const auto type = load_le<std::uint16_t>(whole.data() + 4);
    const ByteView payload = ByteView(whole).subspan(kFrameHeaderBytes);
    for (std::size_t n = 0; n < payload.size(); ++n) {
      const auto got = decode_bytes(framed(type, payload.first(n)));
      ASSERT_FALSE(got.ok()) << message_name(m) << " cut to " << n;
      EXPECT_EQ(got.error().code(), ErrorCode::kCorrupt);
    }
    Bytes longer(payload.begin(), payload.end());
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode_bytes(framed(type, longer)).ok()) << message_name(m);
  }
}

// Every 32-bit field set to hostile counts: an error or another valid message, never a crash or a
// large allocation.
TEST(Messages, HostileCountsAndBytes) {
  std::mt19937_64 random(20260301);
  for (const Message& m : sample_messages()) {
    const Bytes whole = encode(m).value();
    for (std::size_t at = kFrameHeaderBytes; at + 4 <= whole.size(); ++at) {
      for (const std::uint32_t value : {0x7fffffffu, 0xffffffffu, 0x00800001u, 0x10000u}) {
        Bytes mutant = whole;
        store_le(mutant.data() + at, value);
        ignore_error(decode_bytes(mutant), "only crashes matter");
      }
    }
    for (int i = 0; i < 2000; ++i) {
      Bytes mutant = whole;
      for (int k = 0; k < 3 && mutant.size() > kFrameHeaderBytes; ++k) {
        mutant[kFrameHeaderBytes + random() % (mutant.size() - kFrameHeaderBytes)] =
            static_cast<std::byte>(random());
      }
      const auto back = decode_bytes(mutant);
      EXPECT_TRUE(!back.ok() || encode(*back).ok()) << message_name(m);
    }
  }
}

TEST(Messages, CountBeyondTheBytesIsRefusedBeforeAllocation) {
  ByteWriter payload;
  payload.le(std::uint64_t{1});                        // request
  payload.le(std::uint8_t{0});                         // kind
  payload.le(static_cast<std::uint32_t>(kTokensMax));  // 8 Mi tokens in a message of 13 bytes
  const auto got = decode_bytes(framed(3, payload.view()));
  ASSERT_FALSE(got.ok());
  EXPECT_NE(got.error().detail().find("above what the message holds"), std::string::npos);
}

template <typename Change>
void expect_limit(Change change, std::size_t max) {
  EXPECT_TRUE(encode(change(max)).ok()) << max;
  const auto above = encode(change(max + 1));
  ASSERT_FALSE(above.ok()) << max + 1;
  EXPECT_EQ(above.error().code(), ErrorCode::kExhausted);
  // What a sender without the check would have written is refused by the receiver as well.
  EXPECT_TRUE(decode_bytes(encode(change(max)).value()).ok());
}

TEST(Messages, LimitsAtAndAbove) {
  expect_limit(
      [](std::size_t n) {
        return Message(Render{1, std::string(n, 'x')});
      },
      kTextBytesMax);
  expect_limit(
      [](std::size_t n) {
        return Message(Detokenize{1, std::vector<std::int32_t>(n), false, false});
      },
      kTokensMax);
  expect_limit(
      [](std::size_t n) {
        return Message(Rows{1, 0, UINT32_MAX, 0, std::vector<float>(n)});
      },
      kRowFloatsMax);
  expect_limit(
      [](std::size_t n) {
        return Message(ImportProgress{1, 2, std::string(n, 'x')});
      },
      kPhaseBytesMax);
  expect_limit(
      [](std::size_t n) {
        return Message(Token{1, std::vector<TokenDetail>(n), ""});
      },
      kTokensPerMessageMax);
  expect_limit(
      [](std::size_t n) {
        Token t{1, std::vector<TokenDetail>(1), ""};
        t.tokens[0].top.resize(n);
        return Message(t);
      },
      kTopLogprobsMax);
  const auto with_sampling = [](auto set) {
    return [set](std::size_t n) {
      Submit m;
      set(m.sampling, n);
      return Message(m);
    };
  };
  expect_limit(with_sampling([](SamplingParams& s, std::size_t n) { s.stop.resize(n); }),
               kStopStringsMax);
  expect_limit(
      with_sampling([](SamplingParams& s, std::size_t n) { s.stop = {std::string(n, 's')}; }),
      kStopStringBytesMax);
  expect_limit(with_sampling([](SamplingParams& s, std::size_t n) { s.logit_bias.resize(n); }),
               kLogitBiasesMax);
}

TEST(Messages, FrameLimitHoldsForWholeMessages) {
  Tokens m{1, std::vector<std::int32_t>(5'000'000),
           std::vector<std::string>(5'000'000, "123456789")};
  EXPECT_EQ(encode(m).error().code(), ErrorCode::kExhausted);
}

TEST(Messages, ContradictionsAndNumbersThatAreNone) {
  Submit two_prompts = sample_submit();
  two_prompts.tokens = {1};
  EXPECT_EQ(encode(two_prompts).error().code(), ErrorCode::kInvalidArgument);
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Submit m = sample_submit();
    m.sampling.top_p = bad;
    EXPECT_FALSE(encode(m).ok());
    // The same on the wire: 0.95 is replaced by the bad number.
    Bytes bytes = encode(sample_submit()).value();
    std::byte good[8];
    store_le(good, 0.95);
    const auto at = std::search(bytes.begin(), bytes.end(), std::begin(good), std::end(good));
    ASSERT_NE(at, bytes.end());
    store_le(&*at, bad);
    EXPECT_EQ(decode_bytes(bytes).error().code(), ErrorCode::kCorrupt);
  }
  EXPECT_FALSE(encode(Rows{1, 0, 4, 3, {1, 2}}).ok());
  EXPECT_FALSE(encode(Rows{1, 0, 4, 5, {}}).ok());
  EXPECT_FALSE(encode(Tokens{1, {1, 2}, {"one"}}).ok());
  EXPECT_FALSE(encode(Evaluate{1, EvaluateKind::kLogits, {1}, PositionChoice::kLast, {0}, 0}).ok());
  Submit many = sample_submit();
  many.sampling.logprobs = kTopLogprobsMax + 1;
  EXPECT_FALSE(encode(many).ok());
}

TEST(Messages, UnknownTypes) {
  EXPECT_EQ(decode({77, {}}).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(decode({0, {}}).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(decode({kFirstSkippableType, {}}).error().code(), ErrorCode::kUnsupported);
}

TEST(Messages, ErrorsCrossTheWire) {
  const Error error = not_found("no model 'x'", "in the store").with_hint("see holdfast ls");
  const auto bytes = encode(make_error_reply(7, error));
  ASSERT_TRUE(bytes.ok());
  const auto back = to_error(std::get<ErrorReply>(decode_bytes(*bytes).value()));
  EXPECT_EQ(back.to_string(), error.to_string());
  EXPECT_EQ(back.hint(), error.hint());
  const Error huge = internal_error(std::string(1 << 20, 'm'), std::string(1 << 20, 'd'));
  EXPECT_TRUE(encode(make_error_reply(7, huge)).ok());
}

}  // namespace
}  // namespace holdfast::wire
