// How much of the time enough machines are up (specification, section 11).
#pragma once

#include <optional>

#include "holdfast/base/result.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// Interruptions of a published training run: 419 in 54 days on 2,048 nodes of eight H100. Counts
// interruptions rather than outages, so it is pessimistic for serving.
inline constexpr Seconds kNodeMtbf = hours(6335);
// Share of the failures that take all machines of a site at once: assumed.
inline constexpr double kCommonCauseShare = 0.05;
inline constexpr int kNodesMax = 4096;

// MTBF / (MTBF + MTTR). Precondition: mtbf > 0, repair >= 0.
double availability(Seconds mtbf, Seconds repair);

// 1 - sum over i >= k of C(n,i) A^i (1-A)^(n-i), summed from the small side so that twelve nines
// keep their digits. Precondition: 0 <= node <= 1, 0 <= needed <= present <= kNodesMax.
double k_of_n_unavailability(int needed, int present, double node);

// Machines that back each other up, and what they all stand behind.
struct Redundancy {
  int needed = 1;
  int present = 1;
  Seconds mtbf = kNodeMtbf;
  Seconds repair{};
  double common_cause_share = kCommonCauseShare;
  double site = 1;    // power, cooling and uplink
  double router = 1;  // in series with everything
};

// Beta-factor model: the share b of a machine's unavailability U strikes all of them together, the
// rest each alone: site * router * (1 - b*U) * A_kofn with U' = (1-b)*U. kInvalidArgument names the
// field.
Result<double> system_availability(const Redundancy& redundancy);

// The smallest number of machines, at most kNodesMax, whose system_availability reaches `target`;
// `present` is ignored. nullopt when the site, the router or the common cause alone miss it.
Result<std::optional<int>> machines_for(Redundancy redundancy, double target);

}  // namespace holdfast::planner
