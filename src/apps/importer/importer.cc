#include "holdfast/importer/importer.h"

namespace holdfast::importer {

Result<ImportResult> import_model(registry::Store& /*store*/, const ImportOptions& /*options*/) {
  return unsupported("import is not supported");
}

}  // namespace holdfast::importer
