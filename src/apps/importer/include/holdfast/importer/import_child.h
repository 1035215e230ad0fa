// Import of model files: the jailed side. It parses, converts and writes, through inherited
// descriptors only.
#pragma once

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::importer {

// Serves one import over `control` (messages of engine/wire): the request says how many input
// descriptors follow from 4 on; the one after them is the output. Returns once the result or the
// error was sent; the error is returned too, for the exit status. Call it inside the jail.
Status run_import(platform::UniqueFd control);

}  // namespace holdfast::importer
