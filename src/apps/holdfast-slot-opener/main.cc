// holdfast-slot-opener: derives the key of one factor of a slot, then ends. Never started by hand.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/slotopener/opener.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs(
        "holdfast-slot-opener is started by holdfast, not by hand; see `holdfast seal --help`\n",
        stderr);
    return 2;
  }
  // For `holdfast doctor --prove-no-egress`.
  if (argc == 4 && std::string_view(argv[1]) == "probe")
    return holdfast::slotopener::probe_opener(argv[2], argv[3]);
  return holdfast::slotopener::run_opener(std::vector<std::string>(argv + 1, argv + argc));
}
