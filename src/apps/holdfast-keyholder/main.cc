// holdfast-keyholder: the jailed process that holds the root key. Never started by hand.
#include <cstdio>
#include <string_view>

#include "holdfast/keyholder/run.h"

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "serve") return holdfast::keyholder::run_holder(true);
  if (mode == "private") return holdfast::keyholder::run_holder(false);
  // For `holdfast doctor --prove-no-egress`.
  if (mode == "probe" && argc == 4) return holdfast::keyholder::probe_holder(argv[2], argv[3]);
  std::fputs("holdfast-keyholder is started by holdfast, not by hand; see `holdfast seal --help`\n",
             stderr);
  return 2;
}
