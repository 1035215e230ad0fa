// One conversation with a jailed child of holdfast-engine: start, request, progress, result.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::importer {

struct ChildRun {
  std::string program;  // empty: holdfast-engine beside the running executable
  std::string mode;     // the child's first argument; the second is the number of input files
  std::vector<int> inputs;
  int output = -1;
  int key = -1;  // a socket with the key of a sealed output
  std::string request_json;
  std::string_view name;  // of the work, for messages: "import"
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;
};

// The child's result, which is as hostile as the files that it read. kCancelled; what the child
// reports; kInternal where it died, naming the cause. The child has ended when this returns.
Result<std::string> run_child(const ChildRun& run);

}  // namespace holdfast::importer
