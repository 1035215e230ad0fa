// Machines at many sites: what updates cost them and what being there saves (specification, section
// 14).
#pragma once

#include <span>
#include <string_view>

#include "holdfast/planner/units.h"

namespace holdfast::planner {

// What changes, as a share of the model's whole file in about four bits.
struct UpdateKind {
  std::string_view name;
  double low;
  double high;
};
// Template, adapter, merged adapter, fine-tune, continued pre-training, new base model.
std::span<const UpdateKind> update_kinds();

// Time that an update takes on a link, as if nothing else used it. Precondition: link above 0.
Seconds update_time(Bytes file, double share, double uplink_mbps);

// Of one generated token at the wall. Precondition: speed above 0.
Energy energy_per_token(Power wall, TokensPerSecond speed);

// What an edge option saves, per site.
struct EdgeBenefits {
  Bytes not_sent_month;             // prompts and answers as text
  double rtt_removed_ms = 0;        // of each request
  double offline_minutes_year = 0;  // that the site goes on through
};
EdgeBenefits edge_benefits(PerSecond requests_of_site, double tokens_per_request, double rtt_ms,
                           double link_availability);

}  // namespace holdfast::planner
