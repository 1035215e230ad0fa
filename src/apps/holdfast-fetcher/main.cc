// holdfast-fetcher: the network side of a pull. Never started by hand.
#include <cstdio>
#include <string_view>

#include "holdfast/fetcher/fetcher.h"

int main(int argc, char** argv) {
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if (mode == "serve") return holdfast::fetcher::run_fetcher();
  if (mode == "look-up") return holdfast::fetcher::run_look_up();
  std::fputs("holdfast-fetcher is started by holdfast, not by hand; see `holdfast pull --help`\n",
             stderr);
  return 2;
}
