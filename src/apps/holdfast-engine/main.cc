// holdfast-engine: the jailed child of holdfast. Never started by hand.
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "holdfast/enginehost/host.h"
#include "holdfast/importer/import_child.h"

namespace {

int run_converter(std::string_view parts_text, holdfast::Status (*run)(unsigned)) {
  unsigned parts = 0;
  const char* text_end = parts_text.data() + parts_text.size();
  const auto [end, error] = std::from_chars(parts_text.data(), text_end, parts);
  if (error != std::errc() || end != text_end) return 2;
  const holdfast::Status status = run(parts);
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
  if (mode == "import" && argc > 2) {
    return run_converter(argv[2], holdfast::importer::run_import_jailed);
  }
  if (mode == "quantize" && argc > 2) {
    return run_converter(argv[2], holdfast::importer::run_quantize_jailed);
  }
  if (mode == "reseal") {
    const holdfast::Status status = holdfast::importer::run_reseal_jailed();
    return status.ok() ? 0 : holdfast::error_code_exit_status(status.error().code());
  }
  // For `holdfast doctor --prove-no-egress`.
  if (mode == "probe" && argc == 5) {
    const std::string_view kind = argv[2];
    if (kind == "engine") return holdfast::enginehost::probe_engine(argv[3], argv[4]);
    return holdfast::importer::probe_child(kind, argv[3], argv[4]);
  }
  std::fputs("holdfast-engine is started by holdfast, not by hand; see `holdfast --help`\n",
             stderr);
  return 2;
}
