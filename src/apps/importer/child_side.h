// The jailed side of child_run.h: one request over the control descriptor, served and answered.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/jail/jail.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/file.h"
#include "holdfast/wire/wire.h"

namespace holdfast::importer {

// At most some ten messages a second, and the last one always. Owned by the child's main thread.
class ProgressSender {
 public:
  ProgressSender(wire::Channel& channel, std::string phase)
      : channel_(channel), phase_(std::move(phase)) {}
  Status operator()(std::uint64_t done, std::uint64_t total);

 private:
  wire::Channel& channel_;
  std::string phase_;
  platform::Deadline next_ = platform::Deadline::after(std::chrono::nanoseconds(0));
};

// What a child does with its request: the result's JSON, or an error.
using ChildWork =
    std::function<Result<std::string>(const std::string& request_json, wire::Channel& channel)>;

// Says Hello as `role`, receives the request, does the work and answers. Memory that ends is
// kExhausted with `out_of_memory`. Returns once the answer was sent; the error is returned too.
Status serve_child(platform::UniqueFd control, std::string_view role,
                   std::string_view out_of_memory, const ChildWork& work);

// The inherited input files from `first_fd` on, which must have the sizes given: kCorrupt where
// one changed since.
Result<std::vector<std::unique_ptr<platform::File>>> open_inherited(
    int first_fd, const std::vector<std::uint64_t>& sizes);

// Keys of the pack that is written and of one that is read, with their copies: made before the jail
// closes, which has no memfd_secret.
inline constexpr std::size_t kSecretPieces = 16;

// The jail of a child with `n_inputs` inputs, one output and perhaps keys: descriptors, and limits
// of memory that follow from the sizes of the inputs.
jail::Profile child_profile(unsigned n_inputs, std::uint64_t& source_bytes);

// Those of each kind of child, with its limits of time and file size.
jail::Profile import_profile(unsigned n_parts);
jail::Profile quantize_profile(unsigned n_inputs);
jail::Profile reseal_profile();

}  // namespace holdfast::importer
