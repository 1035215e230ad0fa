// Safetensors files and their index: one file, or two with an index of which the input's first byte
// 'S' and a length tell them apart.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "holdfast/gguf/safetensors.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

// What the parser promises of a file that it took: whole, without holes, without shared bytes.
void use(const gguf::SafetensorsFile& file, std::uint64_t size) {
  std::uint64_t end = file.tensors.empty() ? size : file.tensors.front().offset;
  for (const gguf::TensorInfo& tensor : file.tensors) {
    check(tensor.offset == end && tensor.bytes <= size - end);
    check(tensor.elements() > 0);
    check(tensor.bytes % tensor.elements() == 0);
    end += tensor.bytes;
  }
  check(end == size);
}

void try_shards(ByteView first, ByteView second, std::string_view index_text) {
  const platform::MemorySource a(first);
  const platform::MemorySource b(second);
  const gguf::Shard shards[] = {{"a.safetensors", &a}, {"b.safetensors", &b}};
  const auto index = gguf::parse_shard_index(index_text);
  if (index.ok()) {
    for (const auto& [tensor, file] : *index) check(gguf::is_shard_name(file));
  }
  const auto tensors = gguf::parse_shards(shards, index.ok() ? &*index : nullptr);
  if (!tensors.ok()) return;
  for (const gguf::TensorInfo& t : *tensors) {
    const std::uint64_t size = shards[t.part].source->size();
    check(t.part < 2 && t.offset <= size && t.bytes <= size - t.offset);
    if (index.ok()) check(index->at(t.name) == shards[t.part].name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input = std::as_bytes(std::span(data, size));
  if (size > 5 && data[0] == 'S') {
    ByteView rest = input.subspan(5);
    const auto cut = [&](std::size_t at) {
      const std::size_t n = std::min<std::size_t>(rest.size(), data[at] | (data[at + 1] << 8));
      const ByteView piece = rest.first(n);
      rest = rest.subspan(n);
      return piece;
    };
    const ByteView first = cut(1);
    const ByteView second = cut(3);
    try_shards(first, second, as_string_view(rest));
    return 0;
  }
  const platform::MemorySource source(input);
  const auto file = gguf::parse_safetensors(source);
  if (file.ok()) use(*file, size);
  ignore_error(gguf::parse_shard_index(as_string_view(input)), "only crashes count");
  return 0;
}
