// The parent's side of a pack that is sealed anew by a child (reseal_child.cc).
#pragma once

#include "child_run.h"
#include "holdfast/importer/importer.h"
#include "reseal_protocol.h"

namespace holdfast::importer {

// Completes `run`, whose program, name, input, source keys and callbacks are set, and `request` for
// a pack of `model` under a key of `keys` (nullptr: it will not be sealed), and runs the child. The
// key is in the first wrap slot of `out` when this returns. Errors as run_child.
Result<ResealResult> run_seal_child(ChildRun run, ResealRequest request, PackKeys* keys,
                                    const vault::ModelId& model, const platform::OpenFile& out);

}  // namespace holdfast::importer
