// `holdfast doctor --prove-no-egress`: every kind of process tries every way out.
#pragma once

#include <string>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/jail/egress.h"

namespace holdfast::cli {

// One kind of process, with an outcome for each of jail::egress_attempts().
struct EgressColumn {
  std::string process;
  std::vector<jail::EgressOutcome> outcomes;
};

struct EgressProof {
  EgressColumn control;  // the same attempts by a process without a sandbox
  std::vector<EgressColumn> processes;

  // The control reached what every machine has, or the rest proves nothing.
  bool control_works() const;
  // "server: udp4 (reached)", one for each way that was not stopped.
  std::vector<std::string> open_ways() const;
  bool proven() const { return control_works() && open_ways().empty(); }
};

// The children are the programs beside this one, each in its own jail; the server is a copy of this
// process in the sandbox that these settings give it. Only while the process has one thread.
Result<EgressProof> try_every_way_out(const Context& context);

// Prints it; exit status 1 unless it is proven.
Status prove_no_egress(Context& context);

}  // namespace holdfast::cli
