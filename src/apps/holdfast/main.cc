// holdfast: the command line and the server.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "holdfast/cli/cli.h"

int main(int argc, char** argv) {
  // A reader that went away is an error of the write, not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    return holdfast::cli::run(arguments, holdfast::config::process_environment());
  } catch (const std::bad_alloc&) {
    std::fputs("error: out of memory\nhint: use a smaller model or context\n", stderr);
    return 8;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: a defect in Holdfast: %s\n", e.what());
    return 1;
  }
}
