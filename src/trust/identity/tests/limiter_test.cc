// Oracle: counting by hand, and what no sequence may break: nothing is lost, nothing is given
// twice.
#include "holdfast/identity/limiter.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::identity {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNoon = 1'750'032'000 / 86'400 * 86'400 + 43'200;

bool admitted(const std::variant<Reservation, Refused>& outcome) {
  return std::holds_alternative<Reservation>(outcome);
}

TEST(RateBucket, BurstThenOnePerInterval) {
  RateBucket bucket;
  std::int64_t now = 5 * kSecond;
  EXPECT_EQ(bucket.remaining(60, now), 60u);
  for (int i = 0; i < 60; ++i) EXPECT_FALSE(bucket.take(60, now)) << i;
  EXPECT_EQ(bucket.remaining(60, now), 0u);
  EXPECT_EQ(bucket.take(60, now), kSecond);
  EXPECT_EQ(bucket.full_in_ns(now), 60 * kSecond);
  now += kSecond - 1;
  EXPECT_EQ(bucket.take(60, now), 1);
  EXPECT_FALSE(bucket.take(60, now + 1));
  EXPECT_TRUE(bucket.take(60, now + 1));
  EXPECT_EQ(bucket.remaining(60, now + 1 + 30 * kSecond), 30u);
  EXPECT_EQ(bucket.remaining(60, now + 3600 * kSecond), 60u);
}

// In no window are more than the burst and what came back meanwhile.
TEST(RateBucket, NeverMoreThanItsRate) {
  std::mt19937_64 random(11);
  for (const std::uint64_t rate : {1u, 3u, 7u, 60u, 1'000'000u}) {
    RateBucket bucket;
    std::deque<std::int64_t> taken;
    std::int64_t now = 0;
    for (int i = 0; i < 20'000; ++i) {
      now += static_cast<std::int64_t>(random() % (120 * kSecond / rate + 1));
      const auto wait = bucket.take(rate, now);
      if (wait) {
        ASSERT_GT(*wait, 0);
        RateBucket copy = bucket;
        ASSERT_FALSE(copy.take(rate, now + *wait)) << "the wait that was told suffices";
        ASSERT_TRUE(copy.take(rate, now)) << "and a refusal takes nothing";
        continue;
      }
      taken.push_back(now);
      while (taken.size() > 2 * rate) taken.pop_front();
      // rate + elapsed * rate / minute, over the window from the first that is still listed
      const double window = static_cast<double>(now - taken.front()) / 60e9;
      ASSERT_LE(static_cast<double>(taken.size()),
                static_cast<double>(rate) * (1 + window) + 1 + 1e-6);
    }
  }
}

TEST(Limiter, RequestsAtOnce) {
  Limiter limiter;
  const AccountLimits limits{0, 0, 2};
  auto first = limiter.admit("a", limits, 1, 1, {});
  auto second = limiter.admit("a", limits, 1, 1, {});
  ASSERT_TRUE(admitted(first) && admitted(second));
  const auto third = limiter.admit("a", limits, 1, 1, {});
  ASSERT_FALSE(admitted(third));
  EXPECT_EQ(std::get<Refused>(third).why, Refusal::kConcurrency);
  EXPECT_TRUE(admitted(limiter.admit("b", limits, 1, 1, {}))) << "another key has its own";
  std::get<Reservation>(first).leave();
  std::get<Reservation>(first).leave();
  EXPECT_TRUE(admitted(limiter.admit("a", limits, 1, 1, {})));
}

TEST(Limiter, TokensOfADay) {
  Limiter limiter;
  const AccountLimits limits{0, 100, 0};
  Moment now{0, kNoon};
  auto first = limiter.admit("a", limits, 10, 60, now);
  ASSERT_TRUE(admitted(first));
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 40u);
  // 40 are left: what is wanted beyond is not reserved, what is needed must be there.
  auto second = limiter.admit("a", limits, 40, 1000, now);
  ASSERT_TRUE(admitted(second));
  const auto blocked = limiter.admit("a", limits, 1, 1, now);
  ASSERT_FALSE(admitted(blocked));
  EXPECT_EQ(std::get<Refused>(blocked).why, Refusal::kRequests)
      << "reserved is not spent: it is worth asking again";
  std::get<Reservation>(first).use(25);
  std::get<Reservation>(first).settle();
  std::get<Reservation>(first).settle();
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 35u);
  std::get<Reservation>(second).use(75);  // more than reserved
  std::get<Reservation>(second).settle();
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 0u);
  EXPECT_EQ(limiter.state("a", limits, now).tokens_full_in_ns, 43'200 * kSecond);
  const auto spent = limiter.admit("a", limits, 1, 1, now);
  ASSERT_FALSE(admitted(spent));
  EXPECT_EQ(std::get<Refused>(spent).why, Refusal::kTokens);
  EXPECT_EQ(std::get<Refused>(spent).retry_ns, 43'200 * kSecond);
  now.unix_seconds += 43'199;
  EXPECT_FALSE(admitted(limiter.admit("a", limits, 1, 1, now)));
  now.unix_seconds += 1;
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 100u);
  EXPECT_TRUE(admitted(limiter.admit("a", limits, 100, 100, now)));
  now.unix_seconds -= 1;
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 100u);
  EXPECT_FALSE(admitted(limiter.admit("a", limits, 101, 101, now)));
}

TEST(Limiter, RefusedTakesNothing) {
  Limiter limiter;
  const AccountLimits limits{2, 10, 1};
  const Moment now{kSecond, kNoon};
  EXPECT_FALSE(admitted(limiter.admit("a", limits, 11, 11, now)));
  auto one = limiter.admit("a", limits, 5, 5, now);
  ASSERT_TRUE(admitted(one));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(admitted(limiter.admit("a", limits, 5, 5, now)));
  EXPECT_EQ(limiter.state("a", limits, now).remaining_requests, 1u);
  std::get<Reservation>(one).settle();
  auto two = limiter.admit("a", limits, 5, 5, now);
  ASSERT_TRUE(admitted(two));
  std::get<Reservation>(two).settle();
  const auto third = limiter.admit("a", limits, 5, 5, now);
  ASSERT_FALSE(admitted(third));
  EXPECT_EQ(std::get<Refused>(third).why, Refusal::kRequests);
  EXPECT_EQ(std::get<Refused>(third).retry_ns, 30 * kSecond);
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 10u);
}

// Random requests that end, fail, leave early, are moved or are dropped: at the end everything that
// was not used is there again.
TEST(Limiter, NothingLeaks) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    Limiter limiter;
    const AccountLimits limits{1'000'000, 50'000, 8};
    const Moment now{kSecond, kNoon};
    std::vector<Reservation> running;
    std::uint64_t used = 0;
    for (int i = 0; i < 400; ++i) {
      if (random() % 2 == 0) {
        auto outcome = limiter.admit("a", limits, random() % 50, random() % 500, now);
        if (auto* r = std::get_if<Reservation>(&outcome)) running.push_back(std::move(*r));
        ASSERT_LE(running.size(), 8u + 200u);
        continue;
      }
      if (running.empty()) continue;
      const std::size_t at = random() % running.size();
      const std::uint64_t tokens = random() % 300;
      switch (random() % 4) {
        case 0:
          break;  // dropped without use: an error before any work
        case 1:
          running[at].use(tokens);
          used += tokens;
          break;
        case 2:
          running[at].use(tokens);
          used += tokens;
          running[at].settle();
          running[at].use(1000);  // too late
          break;
        default:
          running[at].leave();
          running[at].use(tokens);
          used += tokens;
      }
      std::swap(running[at], running.back());
      running.pop_back();
    }
    running.clear();
    const std::uint64_t left = used >= 50'000 ? 0 : 50'000 - used;
    ASSERT_EQ(limiter.state("a", limits, now).remaining_tokens, left) << seed;
    std::vector<Reservation> all;
    for (int i = 0; i < 8 && left > 8; ++i) {
      auto outcome = limiter.admit("a", limits, 1, 1, now);
      ASSERT_TRUE(admitted(outcome)) << seed << ": a place was lost";
      all.push_back(std::move(std::get<Reservation>(outcome)));
    }
  }
}

TEST(Limiter, TableIsBoundedAndForgetsOnlyWhatIsNew) {
  Limiter limiter(3);
  const AccountLimits limits{60, 100, 5};
  Moment now{kSecond, kNoon};
  std::vector<Reservation> held;
  for (const char* name : {"a", "b", "c"})
    held.push_back(std::move(std::get<Reservation>(limiter.admit(name, limits, 5, 5, now))));
  const auto fourth = limiter.admit("d", limits, 5, 5, now);
  ASSERT_FALSE(admitted(fourth));
  EXPECT_EQ(std::get<Refused>(fourth).why, Refusal::kNoRoom);
  held[0].use(5);
  held.clear();
  now.monotonic_ns += 60 * kSecond;
  EXPECT_TRUE(admitted(limiter.admit("d", limits, 5, 5, now)));
  EXPECT_EQ(limiter.state("a", limits, now).remaining_tokens, 95u) << "its day is not over";
  EXPECT_LE(limiter.accounts(), 3u);
}

TEST(Limiter, ReservationOutlivesTheLimiter) {
  Reservation held;
  {
    Limiter limiter;
    held = std::get<Reservation>(limiter.admit("a", {}, 1, 1, {}));
  }
  held.use(3);
  held.settle();
}

TEST(FailureLimiter, LimitAndOneMore) {
  FailureLimiter limiter(20);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(limiter.fail("10.0.0.1:1000", kSecond)) << i;
  EXPECT_EQ(limiter.fail("10.0.0.1:2000", kSecond), 3 * kSecond);
  EXPECT_FALSE(limiter.fail("10.0.0.2:1000", kSecond));
  EXPECT_FALSE(limiter.fail("10.0.0.1:1000", 4 * kSecond));
  FailureLimiter off(0);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(off.fail("10.0.0.1:1", 0));
}

TEST(FailureLimiter, TableIsBounded) {
  FailureLimiter limiter(2, 100);
  for (int i = 0; i < 3; ++i) ignore_error(limiter.fail("10.9.9.9:1", kSecond), "counted");
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(limiter.fail("10.0.0." + std::to_string(i) + ":1", kSecond)) << i;
    EXPECT_LE(limiter.addresses(), 100u);
  }
  EXPECT_TRUE(limiter.fail("10.9.9.9:1", kSecond)) << "the worst is remembered";
}

TEST(AddressGroup, PortsAndNetworks) {
  EXPECT_EQ(address_group("10.0.0.1:80"), address_group("10.0.0.1:81"));
  EXPECT_NE(address_group("10.0.0.1:80"), address_group("10.0.0.2:80"));
  EXPECT_EQ(address_group("[2001:db8:1:2::1]:80"), address_group("[2001:db8:1:2:ffff::9]:1"));
  EXPECT_NE(address_group("[2001:db8:1:2::1]:80"), address_group("[2001:db8:1:3::1]:80"));
  EXPECT_NE(address_group("[::ffff:10.0.0.1]:80"), address_group("[::ffff:10.0.0.2]:80"));
  EXPECT_EQ(address_group("unix"), "unix");
  EXPECT_EQ(address_group(""), "");
  EXPECT_EQ(address_group("[nonsense"), "[nonsense");
}

}  // namespace
}  // namespace holdfast::identity
