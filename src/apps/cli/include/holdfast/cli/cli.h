// The command line of Holdfast: parses arguments, runs one command, returns the exit status.
#pragma once

#include <span>
#include <string>

#include "holdfast/config/settings.h"

namespace holdfast::cli {

// Runs `holdfast ARGUMENTS...` (program name not included). Errors are printed; the result is the
// exit status of docs/reference/cli.md.
int run(std::span<const std::string> arguments, const config::Environment& environment);

// docs/reference/cli.md, from the same declarations that parse the arguments.
std::string reference_markdown();
// docs/reference/settings.md, from the table of settings.
std::string settings_markdown();
// docs/reference/errors.md, from the table of error codes.
std::string errors_markdown();
// docs/reference/metrics.md.
std::string metrics_markdown();

}  // namespace holdfast::cli
