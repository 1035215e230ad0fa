// Model files behind the container parser: what inspect() accepts has hyper-parameters within
// limits that survive a round trip, and names each tensor of the file once.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "holdfast/model/family.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const platform::MemorySource source(ByteView(reinterpret_cast<const std::byte*>(data), size));
  const platform::ByteSource* const parts[] = {&source};
  const auto file = gguf::parse(parts);
  if (!file.ok()) return 0;
  const auto inspection = model::inspect(*file);
  if (!inspection.ok()) return 0;
  if (inspection->tensors.size() != file->tensors.size()) std::abort();
  const auto back = model::from_json(model::to_json(inspection->hyper));
  if (!back.ok() || !(*back == inspection->hyper)) std::abort();
  return 0;
}
