// Oracle: lines written out by hand; for hostile values the rules of the line (one line, printable,
// at most 8 KiB).
#include "holdfast/observe/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>
#include <thread>

#include "holdfast/base/utf8.h"

namespace holdfast::observe {
namespace {

struct Fixture {
  MemoryLogSink sink;
  platform::ManualClock clock{1'772'366'400};  // 2026-03-01T12:00:00Z
  Logger logger(LogFormat format, LogLevel level = LogLevel::kInfo) {
    return Logger(sink, clock, {level, format});
  }
};

TEST(Logger, ThreeFormats) {
  Fixture f;
  const auto write = [&](LogFormat format) {
    f.logger(format)
        .with({"request_id", "req_1"})
        .info("model loaded", {{"tokens", 5}, {"seconds", 0.25}, {"ok", true}, {"name", "a b"}});
  };
  write(LogFormat::kText);
  write(LogFormat::kLogfmt);
  write(LogFormat::kJson);
  EXPECT_EQ(
      f.sink.text(),
      "12:00:00.000 INFO  model loaded request_id=req_1 tokens=5 seconds=0.25 ok=true name=\"a "
      "b\"\n"
      "ts=2026-03-01T12:00:00.000Z level=info event=\"model loaded\" request_id=req_1 tokens=5 "
      "seconds=0.25 ok=true name=\"a b\"\n"
      "{\"ts\":\"2026-03-01T12:00:00.000Z\",\"level\":\"info\",\"event\":\"model loaded\","
      "\"request_id\":\"req_1\",\"tokens\":5,\"seconds\":0.25,\"ok\":true,\"name\":\"a b\"}\n");
}

TEST(Logger, LevelsAndDiscard) {
  Fixture f;
  const Logger logger = f.logger(LogFormat::kLogfmt, LogLevel::kWarn);
  logger.info("no");
  logger.debug("no");
  logger.warn("yes");
  logger.error("yes");
  const std::string text = f.sink.text();
  EXPECT_EQ(std::ranges::count(text, '\n'), 2);
  EXPECT_EQ(text.find("no"), std::string::npos);
  Logger::discard().error("nowhere");
  EXPECT_FALSE(Logger::discard().enabled(LogLevel::kError));
  f.logger(LogFormat::kJson, LogLevel::kOff).error("no");
  EXPECT_EQ(f.sink.text(), text);
}

TEST(Logger, ValuesCannotForgeLinesOrControlTerminals) {
  std::string hostile = "a\nts=2026 level=error \x1b[2J \"quoted\" \\ \x7f \xc2\x9b \xff end";
  hostile += '\0';
  for (const LogFormat format : {LogFormat::kText, LogFormat::kLogfmt, LogFormat::kJson}) {
    Fixture f;
    f.logger(format).info("x", {{"value", hostile}});
    const std::string line = f.sink.text();
    EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
    EXPECT_TRUE(line.ends_with('\n'));
    EXPECT_TRUE(is_valid_utf8(line));
    EXPECT_TRUE(std::ranges::none_of(
        line, [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == 0x7f; }));
    EXPECT_EQ(line.find("\xc2\x9b"), std::string::npos);
    EXPECT_NE(line.find("\\u001b[2J"), std::string::npos);
  }
}

TEST(Logger, LineLimitHoldsAndIsSaid) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kLogfmt, LogFormat::kJson}) {
    for (const std::size_t bytes :
         {std::size_t{100}, kLogValueBytesMax, kLogValueBytesMax + 1, std::size_t{1'000'000}}) {
      Fixture f;
      const std::string text(bytes, '\x01');  // each becomes six characters
      f.logger(format).info("x", {{"a", text}, {"b", text}, {"c", "last"}});
      const std::string line = f.sink.text();
      EXPECT_LE(line.size(), kLogLineBytesMax);
      EXPECT_TRUE(line.ends_with(format == LogFormat::kJson ? "}\n" : "\n"));
      EXPECT_EQ(line.find("truncated") != std::string::npos, bytes > 100);
    }
  }
  Fixture f;
  f.logger(LogFormat::kLogfmt).info("x", {{"a", std::string(kLogValueBytesMax + 5, 'v')}});
  EXPECT_NE(f.sink.text().find("v...(+5 bytes)"), std::string::npos);
}

TEST(Logger, NumbersThatJsonLacks) {
  Fixture f;
  f.logger(LogFormat::kJson)
      .info("x",
            {{"n", std::numeric_limits<double>::quiet_NaN()}, {"u", UINT64_MAX}, {"i", INT64_MIN}});
  EXPECT_NE(f.sink.text().find("\"n\":null,\"u\":18446744073709551615,\"i\":-9223372036854775808"),
            std::string::npos);
}

TEST(Logger, NamesOfLevelsAndFormats) {
  EXPECT_EQ(parse_log_level("warn").value(), LogLevel::kWarn);
  EXPECT_FALSE(parse_log_level("warning").ok());
  EXPECT_EQ(parse_log_format("auto", true).value(), LogFormat::kText);
  EXPECT_EQ(parse_log_format("auto", false).value(), LogFormat::kLogfmt);
  EXPECT_EQ(parse_log_format("json", true).value(), LogFormat::kJson);
  EXPECT_FALSE(parse_log_format("xml", true).ok());
}

TEST(Logger, LinesOfManyThreadsStayWhole) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  FdLogSink sink(ends[1]);
  const platform::ManualClock clock;
  const Logger logger(sink, clock, {LogLevel::kInfo, LogFormat::kLogfmt});
  std::string text;
  std::thread reader([&] {
    char c[4096];
    for (ssize_t n; (n = ::read(ends[0], c, sizeof c)) > 0;)
      text.append(c, static_cast<std::size_t>(n));
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t) {
    writers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) logger.info("line", {{"padding", std::string(500, 'p')}});
    });
  }
  for (auto& w : writers) w.join();
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  EXPECT_EQ(std::ranges::count(text, '\n'), 800);
  std::size_t starts = 0;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    starts += text.compare(at, 3, "ts=") == 0;
  EXPECT_EQ(starts, 800u);
  EXPECT_EQ(sink.lines_dropped(), 0u);
}

// What must not compile.
template <typename T>
concept Loggable = requires(T value) {
  Field("key", value);
};
template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
template <typename T>
concept Comparable = requires(const T& a, const T& b) {
  a == b;
};
static_assert(Loggable<std::string> && Loggable<int> && Loggable<const char*>);
static_assert(!Loggable<SecretText&> && !Loggable<const SecretText&> && !Loggable<SecretTokens&>);
static_assert(Printable<std::string> && !Printable<SecretText>);
static_assert(Comparable<std::string> && !Comparable<SecretText>);
static_assert(!std::is_copy_constructible_v<SecretText>);
static_assert(!std::is_convertible_v<SecretText, std::string>);

TEST(Secret, IsWipedWhenMovedAndDestroyed) {
  alignas(SecretText) std::byte storage[sizeof(SecretText)];
  // Short strings live inside the object, so what is left after destruction can be looked at.
  auto* secret = new (storage) SecretText(std::string("hunter2"));
  EXPECT_EQ(secret->reveal(), "hunter2");
  SecretText moved = std::move(*secret);
  EXPECT_TRUE(secret->empty());
  const auto holds_it = [&] {
    const std::string_view bytes(reinterpret_cast<const char*>(storage), sizeof storage);
    return bytes.find("unter2") != std::string_view::npos;
  };
  EXPECT_FALSE(holds_it());
  *secret = moved.clone();
  EXPECT_TRUE(holds_it());
  secret->~SecretText();
  EXPECT_FALSE(holds_it());
  EXPECT_EQ(moved.reveal(), "hunter2");
}

TEST(RingLogSink, TheNewestLinesWithinTheLimit) {
  RingLogSink sink(10);
  for (const char* line : {"one\n", "two\n", "three\n"}) sink.write_line(line);
  EXPECT_EQ(sink.text(), "two\nthree\n");
  sink.write_line("longer than all\n");
  EXPECT_EQ(sink.text(), "");
  sink.write_line("x\n");
  EXPECT_EQ(sink.text(), "x\n");
}

}  // namespace
}  // namespace holdfast::observe
