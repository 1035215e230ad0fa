#include "egress_proof.h"

#include <algorithm>

#include "holdfast/jail/server.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "output.h"
#include "server_jail.h"

namespace holdfast::cli {
namespace {

using jail::EgressOutcome;
using Kind = EgressOutcome::Kind;

struct ProbedProgram {
  const char* process;
  const char* program;
  std::vector<std::string> mode;
};

std::vector<ProbedProgram> programs() {
  return {{"engine", "holdfast-engine", {"probe", "engine"}},
          {"importer", "holdfast-engine", {"probe", "import"}},
          {"quantizer", "holdfast-engine", {"probe", "quantize"}},
          {"resealer", "holdfast-engine", {"probe", "reseal"}},
          {"key holder", "holdfast-keyholder", {"probe"}},
          {"slot opener", "holdfast-slot-opener", {"probe"}}};
}

EgressColumn column(std::string process, const std::function<EgressOutcome(std::size_t)>& attempt) {
  EgressColumn out{std::move(process), {}};
  for (std::size_t i = 0; i < jail::egress_attempts().size(); ++i)
    out.outcomes.push_back(attempt(i));
  return out;
}

// A server has no datagram socket from before, and the attempt to make one is "udp4".
EgressOutcome attempt_as_server(std::size_t index, const jail::EgressTargets& targets,
                                const jail::ServerProfile& profile) {
  if (jail::egress_attempts()[index].needs_datagram) return {Kind::kRefused, EBADF};
  return jail::attempt_in_fork(index, targets, [&profile](const std::vector<int>&) {
    jail::JailReport report = jail::begin_server_jail(profile);
    jail::close_server_jail(profile, report);
    return std::any_of(report.layers.begin(), report.layers.end(), [](const jail::LayerState& s) {
      return s.layer == jail::Layer::k_seccomp && s.applied;
    });
  });
}

std::string cell(const EgressOutcome& outcome) {
  if (outcome.kind == Kind::kReached) {
    const std::string error = jail::symbol(outcome);
    return error.empty() ? "OPEN" : "OPEN (" + error + ")";
  }
  return outcome.kind == Kind::kUnchecked ? "not tried" : jail::symbol(outcome);
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kReached:
      return "reached";
    case Kind::kRefused:
      return "refused";
    case Kind::kKilled:
      return "killed";
    case Kind::kUnchecked:
      break;
  }
  return "unchecked";
}

json::Object column_json(const EgressColumn& column) {
  json::Array attempts;
  for (std::size_t i = 0; i < column.outcomes.size(); ++i) {
    const EgressOutcome& outcome = column.outcomes[i];
    const std::string symbol = jail::symbol(outcome);
    attempts.push_back(json::Object{
        {"way", jail::egress_attempts()[i].name},
        {"tried", jail::egress_attempts()[i].text},
        {"outcome", kind_name(outcome.kind)},
        {"errno", symbol.empty() ? json::Value() : json::Value(symbol)},
    });
  }
  return json::Object{{"process", column.process}, {"attempts", std::move(attempts)}};
}

json::Object document(const EgressProof& proof) {
  json::Array processes, open;
  for (const EgressColumn& c : proof.processes) processes.push_back(column_json(c));
  for (const std::string& way : proof.open_ways()) open.push_back(way);
  return json::Object{{"ok", proof.proven()},
                      {"control_works", proof.control_works()},
                      {"open", std::move(open)},
                      {"control", column_json(proof.control)},
                      {"processes", std::move(processes)}};
}

Table table_of(const EgressProof& proof) {
  std::vector<std::string> header = {"WAY", "NO SANDBOX"};
  for (const EgressColumn& c : proof.processes) {
    header.push_back(c.process);
    for (char& letter : header.back()) letter = static_cast<char>(std::toupper(letter));
  }
  Table table(std::move(header));
  for (std::size_t i = 0; i < jail::egress_attempts().size(); ++i) {
    std::vector<std::string> row = {std::string(jail::egress_attempts()[i].name),
                                    cell(proof.control.outcomes[i])};
    for (const EgressColumn& c : proof.processes) row.push_back(cell(c.outcomes[i]));
    table.add(std::move(row));
  }
  return table;
}

std::string verdict(const EgressProof& proof) {
  if (!proof.control_works())
    return "\nNothing is proven: a process without a sandbox reaches nothing here either.\n";
  const std::vector<std::string> open = proof.open_ways();
  if (open.empty()) return "\nNo process has a way out. SIGSYS: ended by the kernel for trying.\n";
  std::string text = "\nNot proven:\n";
  for (const std::string& way : open) text += "  " + way + "\n";
  return text +
         "An upstream opens its port in the server, and one with a name datagrams too; other "
         "ways are open where `holdfast doctor` names a missing layer.\n";
}

}  // namespace

bool EgressProof::control_works() const {
  for (std::size_t i = 0; i < control.outcomes.size(); ++i) {
    const std::string_view name = jail::egress_attempts()[i].name;
    const bool everywhere = name == "tcp4" || name == "udp4" || name == "unix_abstract";
    if (everywhere && control.outcomes[i].kind != Kind::kReached) return false;
  }
  return !control.outcomes.empty();
}

std::vector<std::string> EgressProof::open_ways() const {
  std::vector<std::string> out;
  for (const EgressColumn& c : processes) {
    for (std::size_t i = 0; i < c.outcomes.size(); ++i) {
      if (c.outcomes[i].stopped()) continue;
      out.push_back(c.process + ": " + std::string(jail::egress_attempts()[i].name) + " (" +
                    jail::describe(c.outcomes[i]) + ")");
    }
  }
  return out;
}

Result<EgressProof> try_every_way_out(const Context& context) {
  HF_TRY_ASSIGN(const jail::ServerProfile profile, server_jail_profile(context));
  HF_TRY_ASSIGN(const std::string self, platform::own_executable_path());
  HF_TRY_ASSIGN(const jail::EgressTargets targets, jail::EgressTargets::open());
  EgressProof proof;
  proof.control = column("no sandbox", [&targets](std::size_t i) {
    return jail::attempt_in_fork(i, targets, [](const std::vector<int>&) { return true; });
  });
  for (const ProbedProgram& p : programs()) {
    const std::string path = platform::join_path(platform::parent_path(self), p.program);
    proof.processes.push_back(column(p.process, [&](std::size_t i) {
      return jail::attempt_in_program(i, targets, path, p.mode);
    }));
  }
  proof.processes.push_back(
      column("server", [&](std::size_t i) { return attempt_as_server(i, targets, profile); }));
  return proof;
}

Status prove_no_egress(Context& context) {
  HF_TRY_ASSIGN(const EgressProof proof, try_every_way_out(context));
  print_list(context, table_of(proof), document(proof));
  if (context.format() == Format::kTable || context.format() == Format::kWide)
    print(verdict(proof));
  if (!proof.proven()) context.exit_status = 1;
  return ok_status();
}

}  // namespace holdfast::cli
