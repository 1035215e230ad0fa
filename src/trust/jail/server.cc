#include "holdfast/jail/server.h"

#include "layers.h"

namespace holdfast::jail {
namespace {

void note(JailReport& report, Layer layer, const Missing& missing, std::string remark = {}) {
  report.layers.push_back({layer, !missing, missing ? *missing : std::move(remark)});
}

std::string describe_ports(const ServerProfile& profile) {
  if (profile.tcp_ports.empty()) return "no TCP connection";
  std::string out = "TCP connections to port";
  for (const std::uint16_t port : profile.tcp_ports) out += " " + std::to_string(port);
  return out;
}

// Programs of others listen where the kernel finds a free port.
void limit_connections(const ServerProfile& profile, JailReport& report) {
  if (is_left_out(profile, Layer::k_landlock)) return note(report, Layer::k_landlock, kLeftOut);
  if (profile.runs_programs) {
    note(report, Layer::k_landlock,
         "a program of an upstream listens on a port chosen at its start");
    return;
  }
  const LandlockResult landlock = restrict_connections(profile.tcp_ports, profile.listen_port);
  note(report, Layer::k_landlock, landlock.missing,
       "ABI " + std::to_string(landlock.abi) + ", " + describe_ports(profile));
}

// Without the newer flag, programs of others would inherit it, and those that make code would end.
Missing forbid_code(const ServerProfile& profile) {
  if (is_left_out(profile, Layer::k_write_xor_execute)) return kLeftOut;
  if (!forbid_write_and_execute(Inherited::kNo)) return std::nullopt;
  if (profile.runs_programs)
    return "this kernel can only forbid it to programs of upstreams as well";
  return forbid_write_and_execute();
}

}  // namespace

JailReport begin_server_jail(const ServerProfile& profile) {
  JailReport report;
  note(report, Layer::k_no_new_privileges, forbid_new_privileges());
  limit_connections(profile, report);
  note(report, Layer::k_write_xor_execute, forbid_code(profile));
  note(report, Layer::k_resource_limits, forbid_cores());
  note(report, Layer::k_not_dumpable, make_undumpable());
  return report;
}

void close_server_jail(const ServerProfile& profile, JailReport& report) {
  note(report, Layer::k_seccomp, load_server_filter(profile));
}

Result<JailReport> probe_server_jail(const ServerProfile& profile) {
  return report_of_child([&profile](int) -> Result<JailReport> {
    JailReport report = begin_server_jail(profile);
    close_server_jail(profile, report);
    return report;
  });
}

}  // namespace holdfast::jail
