// Model packs. Mutation hardly ever finds a right tag, so besides the whole file the input is also
// taken as a header alone and as an index alone, which is where the parsing is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "holdfast/vault/pack_reader.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

Result<std::uint64_t> any_size(std::uint16_t type, std::span<const std::uint64_t> dims) {
  if (type > 40) return unsupported("type");
  return dims[0] * 4;
}

void try_index(ByteView input, vault::TensorBytes tensor_bytes) {
  constexpr std::uint64_t kPayloadBytes = 1u << 20;
  const auto index = vault::decode_index(input, kPayloadBytes, tensor_bytes);
  if (!index.ok()) return;
  for (const auto& object : index->objects) check(object.offset + object.length <= kPayloadBytes);
  for (const auto& tensor : index->tensors) {
    check(tensor.offset + tensor.length <= kPayloadBytes);
    check(index->find_tensor(tensor.name) == &tensor);
  }
  const Bytes again = vault::encode_index(*index);
  check(std::equal(again.begin(), again.end(), input.begin(), input.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input = std::as_bytes(std::span(data, size));
  const platform::MemorySource source(input);
  const auto reader = vault::PackReader::open(source);
  if (reader.ok()) check(reader->header().file_bytes() == size);
  const auto header = vault::decode_header(input);
  if (header.ok()) {
    const Bytes again = vault::encode_header(*header);
    check(std::equal(again.begin(), again.end(), input.begin()));
  }
  try_index(input, nullptr);
  try_index(input, any_size);
  return 0;
}
