// Oracle: the examples and rules of the W3C recommendation Trace Context (level 1, section 3.2.2
// and the cases of its test suite), and the sampling rule of the OpenTelemetry specification.
#include "holdfast/observe/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

#include "holdfast/base/bytes.h"

namespace holdfast::observe {
namespace {

constexpr const char* kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceStateTest, WholeMembersOfPrintableText) {
  EXPECT_EQ(clean_tracestate("a=1,b=2"), "a=1,b=2");
  EXPECT_EQ(clean_tracestate(" a=1 ,\t, b=2,"), "a=1,b=2");
  EXPECT_EQ(clean_tracestate(""), "");
  for (const char* bad : {"a=1\r\nevil: 1", "a=\x7f", "a=\xc3\xa9", "a=1\n"})
    EXPECT_EQ(clean_tracestate(bad), "") << bad;
  std::string many;
  for (int i = 0; i < 40; ++i) many += "k" + std::to_string(i) + "=v,";
  const std::string kept = clean_tracestate(many);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), ',') + 1, 32);
  EXPECT_TRUE(kept.ends_with("k31=v"));
  const std::string long_member = "x=" + std::string(300, 'v');
  EXPECT_EQ(clean_tracestate(long_member + "," + long_member), long_member);
  EXPECT_EQ(clean_tracestate(std::string(600, 'v')), "");
}

class Zeros final : public platform::Entropy {
 public:
  Status fill(MutableBytes out) override {
    std::ranges::fill(out, std::byte{0});
    return ok_status();
  }
};

TEST(TraceIdTest, NeverZero) {
  Zeros zeros;
  EXPECT_NE(new_trace_id(zeros), TraceId{});
  EXPECT_NE(new_span_id(zeros), SpanId{});
  platform::SeededEntropy entropy(1);
  EXPECT_NE(new_span_id(entropy), new_span_id(entropy));
}

TEST(TraceParent, TheExampleOfTheStandard) {
  const auto context = parse_traceparent(kGood);
  ASSERT_TRUE(context);
  EXPECT_EQ(to_hex(context->trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(to_hex(context->span_id), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(format_traceparent(*context), kGood);
}

TEST(TraceParent, OnlyTheLowestFlagSamples) {
  for (const auto& [flags, sampled] : std::vector<std::pair<std::string, bool>>{
           {"00", false}, {"01", true}, {"02", false}, {"03", true}, {"fe", false}, {"ff", true}}) {
    const auto context =
        parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-" + flags);
    ASSERT_TRUE(context) << flags;
    EXPECT_EQ(context->sampled, sampled) << flags;
  }
}

TEST(TraceParent, WhatIsRefused) {
  for (const char* bad : {
           "",
           "00",
           // version
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0G-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           // version 00 with more after it
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
           // a later version with something else than a dash after it
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
           // ids of zeros, too short, too long, upper case, other characters
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e47360-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
           "00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b70-01",
           // flags
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.0",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
           // delimiters
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
           " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
       }) {
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  }
  const std::string good = kGood;
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(parse_traceparent(good.substr(0, n)));
}

TEST(TraceParent, LaterVersionsAreReadAsFarAsKnown) {
  for (const char* good : {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
                           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.the/ever",
                           "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}) {
    EXPECT_TRUE(parse_traceparent(good)) << good;
  }
}

TraceId id_ending_in(std::uint64_t random) {
  TraceId id{};
  store_be(id.data() + 8, random);
  return id;
}

TEST(Sampler, Kinds) {
  const TraceContext yes{TraceId{std::byte{1}}, SpanId{std::byte{1}}, true};
  const TraceContext no{TraceId{std::byte{1}}, SpanId{std::byte{1}}, false};
  const TraceId id = id_ending_in(1);
  struct Case {
    const char* name;
    bool root, with_yes, with_no;
  };
  for (const Case& c : {Case{"always_on", true, true, true},
                        {"always_off", false, false, false},
                        {"parentbased_always_on", true, true, false},
                        {"parentbased_always_off", false, true, false}}) {
    const Sampler s = Sampler::parse(c.name, "").value();
    EXPECT_EQ(s.sample(std::nullopt, id), c.root) << c.name;
    EXPECT_EQ(s.sample(yes, id), c.with_yes) << c.name;
    EXPECT_EQ(s.sample(no, id), c.with_no) << c.name;
  }
}

TEST(Sampler, RatioGoesByTheEndOfTheTraceId) {
  const Sampler quarter = Sampler::parse("traceidratio", "0.25").value();
  EXPECT_TRUE(quarter.sample(std::nullopt, id_ending_in(0x3fff'ffff'ffff'0000)));
  EXPECT_FALSE(quarter.sample(std::nullopt, id_ending_in(0x4000'0000'0000'0000)));
  const TraceId last = id_ending_in(~std::uint64_t{0});
  EXPECT_TRUE(Sampler::parse("traceidratio", "1").value().sample(std::nullopt, last));
  EXPECT_FALSE(Sampler::parse("traceidratio", "0").value().sample(std::nullopt, id_ending_in(0)));
  for (const char* bad : {"-0.1", "1.1", "x", "0.5x", "nan"}) {
    EXPECT_FALSE(Sampler::parse("traceidratio", bad).ok()) << bad;
  }
  EXPECT_FALSE(Sampler::parse("jaeger_remote", "").ok());
  EXPECT_FALSE(Sampler::parse("", "").ok());
}

std::vector<Span> spans(std::size_t n) { return std::vector<Span>(n); }

TEST(SpanQueue, HoldsItsLimitAndCountsTheRest) {
  SpanQueue queue(4);
  EXPECT_TRUE(queue.offer(spans(3)));
  EXPECT_TRUE(queue.offer(spans(1)));
  EXPECT_FALSE(queue.offer(spans(1)));
  EXPECT_EQ(queue.dropped_spans(), 1u);
  EXPECT_EQ(queue.take(3, std::chrono::milliseconds(0)).size(), 3u);
  EXPECT_FALSE(queue.offer(spans(4)));  // all or none
  EXPECT_EQ(queue.dropped_spans(), 5u);
  EXPECT_TRUE(queue.offer(spans(3)));
}

TEST(SpanQueue, WakesTheReader) {
  SpanQueue queue(10);
  std::thread writer([&] {
    queue.offer(spans(2));
    queue.offer(spans(2));
  });
  EXPECT_EQ(queue.take(4, std::chrono::minutes(1)).size(), 4u);
  writer.join();
  std::thread closer([&] { queue.close(); });
  EXPECT_TRUE(queue.take(4, std::chrono::minutes(1)).empty());
  closer.join();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.offer(spans(1)));
}

}  // namespace
}  // namespace holdfast::observe
