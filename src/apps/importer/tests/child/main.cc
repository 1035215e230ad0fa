// The import child without its jail, so that the module's tests need no other program.
#include "holdfast/importer/import_child.h"

int main() { return holdfast::importer::run_import(holdfast::platform::UniqueFd(3)).ok() ? 0 : 1; }
