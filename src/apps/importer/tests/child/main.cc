// The import child alone, jail and all, so that the module's tests need no other program.
#include <charconv>
#include <cstdio>
#include <string_view>

#include "holdfast/importer/import_child.h"

// argv: holdfast-engine import|quantize|reseal N
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string_view mode = argv[1];
  const std::string_view text = argv[2];
  unsigned n_parts = 0;
  if (std::from_chars(text.begin(), text.end(), n_parts).ec != std::errc()) return 2;
  const holdfast::Status status =
      mode == "quantize" ? holdfast::importer::run_quantize_jailed(n_parts)
      : mode == "reseal" ? holdfast::importer::run_reseal_jailed()
                         : holdfast::importer::run_import_jailed(n_parts);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  return status.ok() ? 0 : 1;
}
