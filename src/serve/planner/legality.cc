// Where data may go: rules R-RES, R-ZDR and R-CERT. Nothing here looks at a price.
#include <algorithm>

#include "candidates.h"
#include "fields.h"

namespace holdfast::planner {

namespace {

// Days that an upstream may keep requests, where the problem does not say: none of regulated data,
// thirty of confidential.
double retention_allowed(const Problem& p, Label label) {
  if (p.retention_days_max >= 0) return p.retention_days_max;
  if (label >= Label::kRegulated) return 0;
  if (label == Label::kConfidential) return 30;
  return 1e9;
}

// "EU" holds its members; anything else is compared as it is.
bool inside(const std::string& region, const std::vector<std::string>& residency) {
  static const std::vector<std::string> eu{"AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI",
                                           "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU",
                                           "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE"};
  for (const std::string& r : residency) {
    if (region == r || region.starts_with(r + "-")) return true;
    const bool member = std::find(eu.begin(), eu.end(), region.substr(0, 2)) != eu.end() &&
                        (region.size() == 2 || region[2] == '-');
    if (r == "EU" && (member || region.starts_with("eu-"))) return true;
  }
  return false;
}

}  // namespace

std::optional<Reason> reason_against(const Problem& p, Label label, const Place& place) {
  if (place.own) return std::nullopt;
  const std::string word(label_name(label));
  if (label == Label::kSecret)
    return Reason{"R-RES", {"privacy.label"}, {}, "secret data never leaves the own premises"};
  // A region that is not known is cleared for nothing that is confidential.
  const bool outside =
      place.region.empty() || (!p.residency.empty() && !inside(place.region, p.residency));
  if (label >= Label::kConfidential && outside) {
    return Reason{"R-RES",
                  {"privacy.label", "privacy.residency"},
                  {},
                  "data is " + word + ", and the region " +
                      (place.region.empty() ? "is not known"
                                            : "(" + place.region + ") is outside the residency")};
  }
  for (const std::string& wanted : p.certifications) {
    const auto& has = place.certifications;
    if (std::find(has.begin(), has.end(), wanted) == has.end())
      return Reason{"R-CERT",
                    {"privacy.certifications"},
                    {},
                    "certification " + wanted + " is required and not known of it"};
  }
  if (!place.keeps_requests) return std::nullopt;
  // An unknown attribute counts as the worst.
  const bool trains = place.trains_on_data.value_or(label >= Label::kConfidential);
  if (trains && label >= Label::kInternal) {
    return Reason{"R-ZDR",
                  {"privacy.label", "upstreams[].trains_on_data"},
                  {},
                  std::string("data is ") + word + ", and the provider " +
                      (place.trains_on_data ? "trains on requests"
                                            : "does not say that it never trains on requests")};
  }
  const double allowed = retention_allowed(p, label);
  const bool limited = p.retention_days_max >= 0 || label >= Label::kConfidential;
  if (limited && (place.retention_days < 0 || place.retention_days > allowed)) {
    return Reason{"R-ZDR",
                  {"privacy.label", "privacy.retention_days_max", "upstreams[].retention_days"},
                  {{"retention_days", place.retention_days}, {"allowed_days", allowed}},
                  place.retention_days < 0
                      ? "how long the provider keeps requests is not known"
                      : "the provider keeps requests for " + number_text(place.retention_days) +
                            " days, " + number_text(allowed) + " are allowed"};
  }
  return std::nullopt;
}

}  // namespace holdfast::planner
