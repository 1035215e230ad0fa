// The import child alone, jail and all, so that the module's tests need no other program.
#include <cstdio>
#include <cstdlib>

#include "holdfast/importer/import_child.h"

// argv: holdfast-engine import N
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const holdfast::Status status =
      holdfast::importer::run_import_jailed(static_cast<unsigned>(std::atoi(argv[2])));
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  return status.ok() ? 0 : 1;
}
