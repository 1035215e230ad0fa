// A model's hyper-parameters as a pack carries them: what is accepted is canonical, within limits,
// and can be planned.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "holdfast/model/family.h"
#include "holdfast/model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto hyper = model::from_json(text);
  if (!hyper.ok()) return 0;
  if (model::to_json(*hyper) != text || !model::validate(*hyper).ok()) std::abort();
  const auto plan = model::memory_plan(*hyper, {}, 0);
  if (!plan.ok() || plan->total_bytes() < plan->kv_bytes) std::abort();
  if (model::required_tensors(*hyper).size() < hyper->n_layers) std::abort();
  return 0;
}
