// The part of `holdfast seal` that keeps credentials of upstreams.
#pragma once

#include "../command.h"

namespace holdfast::cli {

// Adds `credential {put,ls,rm}` below `seal`.
void add_seal_credential(Registrar& r, CLI::App& seal);

}  // namespace holdfast::cli
