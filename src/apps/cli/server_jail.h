// The sandbox of `holdfast serve` and of its children, as the settings ask for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/jail/jail.h"
#include "holdfast/jail/server.h"

namespace holdfast::cli {

// What the sandbox of a server with these settings leaves open: its own port, the key holder's unix
// socket, the ports of upstreams and of the collector of traces, names where an upstream has one.
// kInvalidArgument: a URL that is none.
Result<jail::ServerProfile> server_jail_profile(const Context& context);

struct ProcessLayers {
  std::string_view process;  // "engine", "importer", "key holder", "server"
  jail::JailReport report;
};
// The layers of each kind of child on this system, found by children that try. Only while the
// process has one thread. kUnsupported where an indispensable layer is missing.
Result<std::vector<ProcessLayers>> probe_child_layers(const Context& context);

// "landlock (engine, importer): why", one text for each layer that is missing somewhere.
std::vector<std::string> missing_layers(const std::vector<ProcessLayers>& processes);
// Whether each layer holds in every process that has it, in the order of layers.def.
std::vector<std::pair<jail::Layer, bool>> layers_held(const std::vector<ProcessLayers>& processes);

}  // namespace holdfast::cli
