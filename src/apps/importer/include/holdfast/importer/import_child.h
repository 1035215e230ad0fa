// Import of model files: the jailed side. It parses, converts and writes, through inherited
// descriptors only.
#pragma once

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

// The child of reseal.h, as run_import_jailed(): the pack, then its content keys where there are two
// inputs; the output, then the new data key.
Status run_seal_jailed(unsigned n_inputs);

}  // namespace holdfast::importer
