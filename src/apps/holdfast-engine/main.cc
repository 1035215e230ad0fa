// holdfast-engine: the jailed child of holdfast. Never started by hand.
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "holdfast/enginehost/host.h"
#include "holdfast/importer/import_child.h"
#include "holdfast/jail/jail.h"
#include "holdfast/platform/unique_fd.h"

namespace {

constexpr int kControlFd = 3;
constexpr int kFirstListedFd = 4;
// A split model has at most this many parts; each is an inherited descriptor.
constexpr int kPartsMax = 1024;
// Converting takes seconds for a gigabyte; a parser that is still busy after this is lost.
constexpr std::chrono::seconds kImportCpuTime{3600};

int fail(const holdfast::Error& error) {
  std::fprintf(stderr, "holdfast-engine: %s\n", error.to_string().c_str());
  return holdfast::error_code_exit_status(error.code());
}

int run_import(std::string_view parts_text) {
  int parts = 0;
  const auto [end, error] =
      std::from_chars(parts_text.data(), parts_text.data() + parts_text.size(), parts);
  if (error != std::errc() || end != parts_text.data() + parts_text.size() || parts < 1 ||
      parts > kPartsMax)
    return 2;
  holdfast::jail::Profile profile;
  profile.kind = holdfast::jail::ProfileKind::kImporter;
  profile.keep_fds = {kControlFd};
  for (int i = 0; i <= parts; ++i) profile.keep_fds.push_back(kFirstListedFd + i);
  profile.cpu_time = kImportCpuTime;
  if (const auto report = holdfast::jail::enter_jail(profile); !report.ok())
    return fail(report.error());
  const holdfast::Status status =
      holdfast::importer::run_import(holdfast::platform::UniqueFd(kControlFd));
  // The parent was told over the socket; the log need not repeat it.
  return status.ok() ? 0 : holdfast::error_code_exit_status(status.error().code());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "engine") {
    holdfast::enginehost::HostOptions options;
    options.verbose = argc > 2 && std::strcmp(argv[2], "--verbose") == 0;
    return holdfast::enginehost::run_engine(options);
  }
  if (mode == "import" && argc > 2) return run_import(argv[2]);
  std::fputs("holdfast-engine is started by holdfast, not by hand; see `holdfast --help`\n",
             stderr);
  return 2;
}
