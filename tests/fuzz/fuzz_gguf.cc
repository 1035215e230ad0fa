// Model files: the input is one GGUF file, or two parts of a split one where its first byte is 'S'.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "holdfast/gguf/gguf.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

void use(const gguf::GgufFile& file, std::span<const platform::ByteSource* const> parts) {
  for (const gguf::TensorInfo& tensor : file.tensors) {
    check(tensor.part < parts.size());
    const std::uint64_t size = parts[tensor.part]->size();
    check(tensor.offset <= size && tensor.bytes <= size - tensor.offset);
    check(tensor.elements() > 0);
    check(file.find_tensor(tensor.name) == &tensor);
  }
  for (std::size_t i = 0; i < file.metadata.size(); ++i) {
    const std::string_view key = file.metadata.key(i);
    check(file.metadata.contains(key));
    ignore_error(file.metadata.get_u32(key), "only crashes count");
    ignore_error(file.metadata.get_f32(key), "only crashes count");
    ignore_error(file.metadata.get_i32_array(key), "only crashes count");
    ignore_error(file.metadata.get_f32_array(key), "only crashes count");
    const auto strings = file.metadata.get_strings(key);
    if (!strings.ok()) continue;
    std::size_t bytes = 0;
    for (const std::string_view text : **strings) bytes += text.size();
    check(bytes <= parts[0]->size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input = std::as_bytes(std::span(data, size));
  std::size_t first = size;
  if (size > 3 && data[0] == 'S') {
    first = std::min<std::size_t>(size - 3, data[1] | (data[2] << 8));
    input = input.subspan(3);
  }
  const platform::MemorySource a(input.first(first));
  const platform::MemorySource b(input.subspan(first));
  const platform::ByteSource* const parts[] = {&a, &b};
  const std::span<const platform::ByteSource* const> given(parts, first == input.size() ? 1 : 2);
  const auto file = gguf::parse(given);
  if (file.ok()) use(*file, given);
  return 0;
}
