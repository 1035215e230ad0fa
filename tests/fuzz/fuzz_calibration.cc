// Calibration files that somebody else wrote: what is accepted is within the limits, and is written
// as bytes that read the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "holdfast/cli/calibration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const auto file = cli::parse_calibration({reinterpret_cast<const char*>(data), size});
  if (!file.ok()) return 0;
  if (file->models.size() > cli::kCalibratedModelsMax || file->machine.threads < 1) std::abort();
  for (const auto& model : file->models) {
    if (model.points.size() > cli::kCalibrationPointsMax || !(model.start_s > 0)) std::abort();
    for (const auto& point : model.points) {
      if (!(point.tokens_per_s > 0) || point.tokens < 1 || point.batch < 1) std::abort();
    }
  }
  const std::string text = cli::write_calibration(*file);
  const auto again = cli::parse_calibration(text);
  if (!again.ok() || cli::write_calibration(*again) != text) std::abort();
  return 0;
}
