#include "holdfast/planner/edge.h"

#include <array>

namespace holdfast::planner {

namespace {

// Four bytes a token, as text.
constexpr double kBytesPerToken = 4;
constexpr double kMinutesPerYear = kHoursPerYear * 60;
constexpr double kSecondsPerMonth = kHoursPerYear / kMonthsPerYear * kSecondsPerHour;

// Middle lines of the table of the specification; an adapter is of rank 16 on all linear layers.
constexpr std::array<UpdateKind, 6> kUpdates{{{"template or configuration", 0, 0.001},
                                              {"adapter (LoRA)", 0.009, 0.017},
                                              {"adapter, merged", 0.01, 0.08},
                                              {"fine-tune", 0.025, 0.08},
                                              {"continued pre-training", 0.15, 0.30},
                                              {"new base model", 0.60, 1.00}}};

}  // namespace

std::span<const UpdateKind> update_kinds() { return kUpdates; }

Seconds update_time(Bytes file, double share, double uplink_mbps) {
  return file * share / BytesPerSecond(uplink_mbps * 1e6 / 8);
}

Energy energy_per_token(Power wall, TokensPerSecond speed) {
  return Energy(wall.value() / speed.value());
}

EdgeBenefits edge_benefits(PerSecond requests_of_site, double tokens_per_request, double rtt_ms,
                           double link_availability) {
  EdgeBenefits out;
  const double requests = requests_of_site.value() * kSecondsPerMonth;
  out.not_sent_month = Bytes(requests * tokens_per_request * kBytesPerToken);
  out.rtt_removed_ms = rtt_ms;
  out.offline_minutes_year = (1 - link_availability) * kMinutesPerYear;
  return out;
}

}  // namespace holdfast::planner
