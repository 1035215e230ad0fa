// Import of model files: the jailed side. It parses, converts and writes, through inherited
// descriptors only.
#pragma once

#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::importer {

// The whole child: enters the importer's jail, with limits that follow from the sizes of the
// inherited files, then serves one import over descriptor 3. `n_parts` input descriptors follow
// from 4 on; the one after them is the output. kUnsupported where the jail cannot be closed; else
// as run_import(). Call it first thing, while the process has one thread.
Status run_import_jailed(unsigned n_parts);

// Serves one import over `control` (messages of engine/wire). Returns once the result or the error
// was sent; the error is returned too, for the exit status. Call it inside the jail.
Status run_import(platform::UniqueFd control);

// The child of a quantisation (quantize.h): as run_import_jailed(), where `n_inputs` counts the
// parts and the importance matrix.
Status run_quantize_jailed(unsigned n_inputs);

// The child that gives a pack another seal (reseal.h): as run_import_jailed(). Descriptors: 4 the
// pack, 5 the output, 6 a socket with the new pack's key, 7 one with the old pack's keys.
Status run_reseal_jailed();

// Instead of a child: enters the jail of "import", "quantize" or "reseal" and makes one attempt to
// reach the network (jail/egress.h). The exit status; 2 for another mode.
int probe_child(std::string_view mode, std::string_view attempt, std::string_view targets);

}  // namespace holdfast::importer
