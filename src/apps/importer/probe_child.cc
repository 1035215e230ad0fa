#include <utility>

#include "child_side.h"
#include "holdfast/importer/import_child.h"
#include "holdfast/jail/egress.h"

namespace holdfast::importer {
namespace {

std::optional<jail::Profile> profile_of(std::string_view mode) {
  if (mode == "import") return import_profile(1);
  if (mode == "quantize") return quantize_profile(1);
  if (mode == "reseal") return reseal_profile();
  return std::nullopt;
}

}  // namespace

int probe_child(std::string_view mode, std::string_view attempt, std::string_view targets) {
  std::optional<jail::Profile> profile = profile_of(mode);
  if (!profile) return 2;
  return jail::answer_egress_probe(attempt, targets, [&profile](std::vector<int> keep_fds) {
    profile->keep_fds = std::move(keep_fds);
    return jail::enter_jail(*profile).ok();
  });
}

}  // namespace holdfast::importer
