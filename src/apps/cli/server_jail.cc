#include "server_jail.h"

#include <algorithm>
#include <charconv>

#include "holdfast/backend/upstream_backend.h"
#include "holdfast/gateway/tracing.h"
#include "version.h"

namespace holdfast::cli {
namespace {

using config::Setting;

// Answers of name servers that are too long for a datagram come over TCP.
constexpr std::uint16_t kNameServerPort = 53;

std::uint16_t port_of(std::string_view text) {
  std::uint16_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port;
}

// HOLDFAST_TEST_LAYERS_LEFT_OUT="landlock,network_namespace", for the server and for probes.
template <typename AnyProfile>
void leave_out([[maybe_unused]] const Context& context, [[maybe_unused]] AnyProfile& profile) {
#ifdef HOLDFAST_TEST_HOOKS
  std::string_view names = config::lookup(context.environment, "HOLDFAST_TEST_LAYERS_LEFT_OUT");
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    if (const auto layer = jail::find_layer(names.substr(0, comma)))
      profile.left_out.push_back(*layer);
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
#endif
}

Status add_upstreams(const config::Settings& settings, jail::ServerProfile& profile) {
  for (const config::UpstreamSettings& upstream : settings.upstreams()) {
    if (upstream.kind == config::UpstreamKind::kProcess) {
      profile.runs_programs = true;
      continue;
    }
    const auto reach = backend::upstream_reach(upstream.url);
    if (!reach.ok()) return Error(reach.error()).add_context(upstream.source);
    if (reach->port != 0) profile.tcp_ports.push_back(reach->port);
    profile.resolves_names = profile.resolves_names || reach->by_name;
  }
  if (profile.resolves_names) profile.tcp_ports.push_back(kNameServerPort);
  return ok_status();
}

Status add_collector(const Context& context, jail::ServerProfile& profile) {
  HF_TRY_ASSIGN(const auto traces, gateway::trace_options(
                                       [&context](std::string_view name) {
                                         return config::lookup(context.environment, name);
                                       },
                                       kVersion));
  if (traces && traces->endpoint.unix_path.empty())
    profile.tcp_ports.push_back(port_of(traces->endpoint.port));
  return ok_status();
}

}  // namespace

Result<jail::ServerProfile> server_jail_profile(const Context& context) {
  const std::string& listen = context.settings.text(Setting::server_listen);
  jail::ServerProfile profile;
  profile.listen_port = port_of(std::string_view(listen).substr(listen.rfind(':') + 1));
  // The key holder's, which may die and be started anew; a keyring can also be made while the
  // server runs.
  profile.unix_sockets = true;
  profile.unix_listeners = true;
  HF_TRY(add_upstreams(context.settings, profile));
  HF_TRY(add_collector(context, profile));
  leave_out(context, profile);
  return profile;
}

Result<std::vector<ProcessLayers>> probe_child_layers(const Context& context) {
  std::vector<ProcessLayers> out;
  for (const auto& [process, kind] : {std::pair{"engine", jail::ProfileKind::kEngine},
                                      std::pair{"importer", jail::ProfileKind::kImporter},
                                      std::pair{"key holder", jail::ProfileKind::kKeyHolder}}) {
    jail::Profile profile;
    profile.kind = kind;
    leave_out(context, profile);
    HF_TRY_ASSIGN(jail::JailReport report, jail::probe_jail(profile));
    out.push_back({process, std::move(report)});
  }
  return out;
}

std::vector<std::string> missing_layers(const std::vector<ProcessLayers>& processes) {
  std::vector<std::string> out;
  for (const auto& [layer, held] : layers_held(processes)) {
    if (held) continue;
    std::string where, why;
    for (const ProcessLayers& p : processes) {
      for (const jail::LayerState& s : p.report.layers) {
        if (s.layer != layer || s.applied) continue;
        where += (where.empty() ? "" : ", ") + std::string(p.process);
        why = s.reason;
      }
    }
    out.push_back(std::string(jail::layer_name(layer)) + " (" + where + "): " + why);
  }
  return out;
}

std::vector<std::pair<jail::Layer, bool>> layers_held(const std::vector<ProcessLayers>& processes) {
  std::vector<std::pair<jail::Layer, bool>> out;
  for (const ProcessLayers& p : processes) {
    for (const jail::LayerState& s : p.report.layers) {
      const auto known = std::find_if(out.begin(), out.end(),
                                      [&s](const auto& entry) { return entry.first == s.layer; });
      if (known == out.end()) {
        out.emplace_back(s.layer, s.applied);
      } else {
        known->second = known->second && s.applied;
      }
    }
  }
  return out;
}

}  // namespace holdfast::cli
