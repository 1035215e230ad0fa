// Model packs. Mutation hardly ever finds a right tag, so besides the whole file the input is also
// taken as a header alone and as an index alone, which is where the parsing is. Sealed packs are
// opened with fixed keys, as they are and with a right MAC; wrap slots and key messages are parsed
// too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <span>

#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/wrap_slot.h"

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

template <std::size_t N>
std::array<std::byte, N> counting(int first) {
  std::array<std::byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return out;
}

// Those of the vector in docs/formats/pack.md.
const vault::ContentKeys& fixed_keys() {
  static const vault::ContentKeys keys = *vault::derive_content_keys(
      *crypto::Secret::copy_of(counting<32>(0)), crypto::AeadAlgorithm::kAes256Gcm,
      counting<32>(0x20), counting<16>(0x40));
  return keys;
}

bool opens_sealed(ByteView input) {
  const platform::MemorySource source(input);
  const auto reader = vault::PackReader::open(source, nullptr, *fixed_keys().copy());
  if (!reader.ok()) return false;
  check(reader->sealed() && reader->header().file_bytes() == input.size());
  return true;
}

void try_sealed(ByteView input) {
  if (input.size() < vault::kHeaderBytes || input[6] == std::byte{0}) return;
  // A pack opens only if its MAC was right from the start.
  const bool genuine = opens_sealed(input);
  Bytes forged(input.begin(), input.end());
  const auto mac = vault::header_mac(forged, fixed_keys().header_key);
  const bool same = std::equal(mac.begin(), mac.end(), forged.begin() + 992);
  check(same || !genuine);
  std::copy(mac.begin(), mac.end(), forged.begin() + 992);
  opens_sealed(forged);
}

void try_slot_and_messages(ByteView input) {
  if (input.size() >= vault::kWrapSlotBytes) {
    const ByteView bytes = input.first(vault::kWrapSlotBytes);
    const auto slot = vault::decode_wrap_slot(bytes);
    if (slot.ok()) check(std::ranges::equal(vault::encode_wrap_slot(*slot), bytes));
  }
  vault::ContentKeyMessage content;
  const std::size_t n = std::min(input.size(), content.bytes().size());
  std::copy_n(input.begin(), n, content.bytes().begin());
  const auto keys = content.decode();
  if (keys.ok()) {
    const vault::ContentKeyMessage again(*keys);
    check(std::ranges::equal(again.view(), content.view()));
  }
  vault::DataKeyMessage data;
  std::copy_n(input.begin(), std::min(input.size(), data.bytes().size()), data.bytes().begin());
  const auto dek = data.decode();
  if (dek.ok()) check(std::ranges::equal(vault::DataKeyMessage(*dek).view(), data.view()));
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
  try_sealed(input);
  try_slot_and_messages(input);
  try_index(input, nullptr);
  try_index(input, any_size);
  return 0;
}
