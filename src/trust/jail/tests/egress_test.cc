// The proof itself: it finds a way out where there is one, and none in the sandboxes.
#include "holdfast/jail/egress.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "holdfast/jail/jail.h"
#include "holdfast/jail/server.h"

namespace holdfast::jail {
namespace {

using Kind = EgressOutcome::Kind;

EgressTargets targets() {
  auto opened = EgressTargets::open();
  EXPECT_TRUE(opened.ok());
  return std::move(*opened);
}

// By name, since the indices are not the point.
EgressOutcome attempt(std::string_view name, const std::function<bool(std::vector<int>)>& enter) {
  const EgressTargets to = targets();
  for (std::size_t i = 0; i < egress_attempts().size(); ++i) {
    if (egress_attempts()[i].name == name) return attempt_in_fork(i, to, enter);
  }
  ADD_FAILURE() << "no attempt " << name;
  return {};
}

bool stay_outside(const std::vector<int>&) { return true; }

bool enter(ProfileKind kind, std::vector<int> keep) {
  Profile profile;
  profile.kind = kind;
  profile.keep_fds = std::move(keep);
  return enter_jail(profile).ok();
}

// A check that cannot fail proves nothing: outside, what every machine has is reached.
TEST(Egress, OutsideTheTargetsAreReached) {
  for (const char* name : {"tcp4", "udp4", "dns", "unix_abstract", "netlink", "tcp4_given",
                           "tcp4_reused", "udp4_given", "udp4_given_message"}) {
    EXPECT_EQ(attempt(name, stay_outside).kind, Kind::kReached) << name;
  }
}

TEST(Egress, ChildrenReachNothing) {
  const EgressTargets to = targets();
  for (const ProfileKind kind :
       {ProfileKind::kEngine, ProfileKind::kImporter, ProfileKind::kKeyHolder}) {
    for (std::size_t i = 0; i < egress_attempts().size(); ++i) {
      const EgressOutcome outcome = attempt_in_fork(
          i, to, [kind](std::vector<int> keep) { return enter(kind, std::move(keep)); });
      EXPECT_EQ(outcome, (EgressOutcome{Kind::kKilled, SIGSYS}))
          << egress_attempts()[i].name << ": " << describe(outcome);
    }
  }
}

TEST(Egress, TheServerReachesNothing) {
  const EgressTargets to = targets();
  for (std::size_t i = 0; i < egress_attempts().size(); ++i) {
    if (egress_attempts()[i].needs_datagram) continue;  // it has none and can make none
    const EgressOutcome outcome = attempt_in_fork(i, to, [](const std::vector<int>&) {
      JailReport report = begin_server_jail({});
      close_server_jail({}, report);
      return true;
    });
    EXPECT_EQ(outcome.kind, Kind::kRefused)
        << egress_attempts()[i].name << ": " << describe(outcome);
    EXPECT_TRUE(symbol(outcome) == "EACCES" || symbol(outcome) == "EPERM") << symbol(outcome);
  }
}

TEST(Egress, ASandboxThatWasNotEnteredIsNoProof) {
  const EgressOutcome outcome = attempt("tcp4", [](const std::vector<int>&) { return false; });
  EXPECT_EQ(outcome.kind, Kind::kUnchecked);
  EXPECT_FALSE(outcome.stopped());
}

TEST(Egress, TargetsSurviveTheArguments) {
  const EgressTargets to = targets();
  const auto read = EgressTargets::parse(to.describe());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, to.addresses());
  for (const char* bad : {"", "1", "1,2,3", "1,2,3,x,a", "1,2,3,65536,a", "-1,2,3,4,a"})
    EXPECT_FALSE(EgressTargets::parse(bad).ok()) << bad;
}

TEST(Egress, OutcomesInWords) {
  EXPECT_EQ(describe({Kind::kKilled, SIGSYS}), "killed by seccomp (SIGSYS)");
  EXPECT_EQ(describe({Kind::kRefused, EACCES}), "EACCES (Permission denied)");
  EXPECT_EQ(describe({Kind::kReached, ECONNREFUSED}), "reached a network (ECONNREFUSED)");
}

}  // namespace
}  // namespace holdfast::jail
