// Oracle: searching the whole text at once.
#include "holdfast/runtime/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace holdfast::runtime {
namespace {

struct Whole {
  std::string text;
  std::optional<std::string> matched;
};

// Feeds `text` in pieces of random length.
Whole run(const std::vector<std::string>& stops, const std::string& text, std::mt19937& rng) {
  StopMatcher matcher(stops);
  Whole out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t n = std::min<std::size_t>(1 + rng() % 4, text.size() - at);
    StopMatcher::Output o = matcher.push(text.substr(at, n));
    out.text += o.text;
    at += n;
    if (o.matched) {
      out.matched = std::move(o.matched);
      return out;
    }
  }
  out.text += matcher.finish();
  return out;
}

TEST(StopMatcher, TextBeforeTheStopIsWholeHoweverItIsCut) {
  std::mt19937 rng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int j = 0; j < 40; ++j) text += static_cast<char>('a' + rng() % 2);
    const std::string stop = text.substr(rng() % 35, 1 + rng() % 5);
    const Whole w = run({stop, "zz"}, text, rng);
    ASSERT_EQ(w.text, text.substr(0, text.find(stop))) << text << " stop " << stop;
    ASSERT_EQ(w.matched, stop);
  }
}

TEST(StopMatcher, WithoutAMatchNothingIsLost) {
  std::mt19937 rng(2);
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (int j = 0; j < 50; ++j) text += static_cast<char>('a' + rng() % 3);
    const Whole w = run({"abcabcabcabc!", "cc!"}, text, rng);
    ASSERT_EQ(w.text, text);
    ASSERT_FALSE(w.matched);
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBecomeAStop) {
  StopMatcher m({"STOP"});
  EXPECT_EQ(m.push("abcST").text, "abc");
  EXPECT_EQ(m.push("A").text, "STA");
  EXPECT_EQ(m.push("STO").text, "");
  const auto o = m.push("Px");
  EXPECT_EQ(o.text, "");
  EXPECT_EQ(o.matched, "STOP");
}

TEST(StopMatcher, EarliestWinsThenLongest) {
  StopMatcher m({"b", "bc", "c"});
  const auto o = m.push("abcd");
  EXPECT_EQ(o.text, "a");
  EXPECT_EQ(o.matched, "bc");
}

TEST(StopMatcher, NoStopsPassEverythingAtOnce) {
  StopMatcher m({});
  EXPECT_EQ(m.push("abc").text, "abc");
  EXPECT_EQ(m.finish(), "");
}

}  // namespace
}  // namespace holdfast::runtime
