#include "server_profile.h"

#include <algorithm>

#include "holdfast/gateway/tracing.h"
#include "version.h"

namespace holdfast::cli {
namespace {

using config::Setting;
using keyring::FactorKind;

// What lies on the same disk as the sealed models, or is handed over by whoever starts the service.
bool is_file(const keyring::Factor& factor) {
  return factor.kind == FactorKind::kFile || factor.kind == FactorKind::kCredential;
}

void demand_of_regulated(const config::Settings& s, std::vector<std::string>& unmet) {
  if (s.text(Setting::memory_lock) != "required") unmet.emplace_back("memory.lock = \"required\"");
  if (s.text(Setting::policy_signatures) != "publisher")
    unmet.emplace_back("policy.signatures = \"publisher\"");
  if (!s.list(Setting::server_tls_terminated_upstream).empty())
    unmet.emplace_back("server.tls_terminated_upstream = []");
  if (s.text(Setting::store_seal) == "off") unmet.emplace_back("store.seal = \"auto\"");
}

void demand_of_classified(const config::Settings& s, const config::Environment& environment,
                          std::vector<std::string>& unmet) {
  if (!s.upstreams().empty())
    unmet.push_back("no upstream (upstream." + s.upstreams().front().name + ")");
  if (s.text(Setting::policy_egress) != "deny") unmet.emplace_back("policy.egress = \"deny\"");
  const auto traces = gateway::trace_options(
      [&environment](std::string_view name) { return config::lookup(environment, name); },
      kVersion);
  if (!traces.ok() || *traces) unmet.emplace_back("no telemetry: take the OTEL_* variables away");
}

}  // namespace

bool is_strict(const config::Settings& settings) {
  return settings.text(Setting::server_profile) != "default";
}
bool is_classified(const config::Settings& settings) {
  return settings.text(Setting::server_profile) == "classified";
}

std::vector<std::string> unmet_demands(const config::Settings& settings,
                                       const config::Environment& environment) {
  std::vector<std::string> unmet;
  if (is_strict(settings)) demand_of_regulated(settings, unmet);
  if (is_classified(settings)) demand_of_classified(settings, environment, unmet);
  return unmet;
}

std::vector<std::string> weak_slots(std::span<const keyring::SlotPlan> slots) {
  std::vector<std::string> out;
  for (const keyring::SlotPlan& slot : slots) {
    if (!std::all_of(slot.factors.begin(), slot.factors.end(), is_file)) continue;
    const std::string_view kind =
        slot.factors.empty() ? "none" : keyring::factor_kind_name(slot.factors.front().kind);
    out.push_back("no slot of kind " + std::string(kind) + " alone (" +
                  (slot.label.empty() ? "without a label" : slot.label) + ")");
  }
  return out;
}

Status refuse_unmet(const config::Settings& settings, const std::vector<std::string>& unmet) {
  if (unmet.empty()) return ok_status();
  std::string list;
  for (const std::string& line : unmet) list += "\n  " + line;
  return invalid_argument("server.profile = \"" + settings.text(Setting::server_profile) +
                          "\" does not start without:" + list)
      .with_hint("mend each line (docs/operating/profiles.md), or choose another profile");
}

}  // namespace holdfast::cli
