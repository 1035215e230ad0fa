// The index of a pack: encoding, bounded decoding, look-ups.
#include <algorithm>

#include "holdfast/base/checked.h"
#include "holdfast/base/utf8.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFIX";
constexpr std::uint16_t kVersion = 1;
// From this kind on, objects are optional: a reader that does not know one skips it.
constexpr std::uint8_t kOptionalKinds = 128;

// Shortest records, for comparing counts with the bytes that remain.
constexpr std::uint64_t kObjectRecordMin = 1 + 2 + 8 + 8 + 32;
constexpr std::uint64_t kTensorRecordMin = 2 + 1 + 2 + 1 + 8 + 8 + 8;

struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::string what;
};

Error damaged(std::string what) { return corrupt("the model pack is damaged: " + std::move(what)); }

Result<std::string> read_name(ByteReader& in) {
  HF_TRY_ASSIGN(const auto length, in.be<std::uint16_t>());
  if (length > kNameBytesMax)
    return damaged("an index entry with a name of " + std::to_string(length) + " bytes");
  HF_TRY_ASSIGN(const std::string_view name, in.take_string(length));
  if (!is_valid_utf8(name)) return damaged("an index entry whose name is not UTF-8");
  return std::string(name);
}

Result<ObjectEntry> read_object(ByteReader& in) {
  ObjectEntry object;
  HF_TRY_ASSIGN(const auto kind, in.be<std::uint8_t>());
  if (kind == 0 ||
      (kind > static_cast<std::uint8_t>(ObjectKind::kModelCard) && kind < kOptionalKinds)) {
    return unsupported("unsupported object of kind " + std::to_string(kind) + " in the model pack");
  }
  object.kind = static_cast<ObjectKind>(kind);
  HF_TRY_ASSIGN(object.name, read_name(in));
  HF_TRY_ASSIGN(object.offset, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(object.length, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(const ByteView digest, in.take(object.digest.size()));
  std::copy(digest.begin(), digest.end(), object.digest.begin());
  if (object.length > kObjectBytesMax) {
    return damaged(object_kind_name(object.kind) + " of " + std::to_string(object.length) +
                   " bytes");
  }
  return object;
}

Result<TensorEntry> read_tensor(ByteReader& in, TensorBytes tensor_bytes) {
  TensorEntry tensor;
  HF_TRY_ASSIGN(tensor.name, read_name(in));
  if (tensor.name.empty()) return damaged("a tensor without a name");
  HF_TRY_ASSIGN(tensor.type, in.be<std::uint16_t>());
  HF_TRY_ASSIGN(tensor.n_dims, in.be<std::uint8_t>());
  if (tensor.n_dims < 1 || tensor.n_dims > tensor.dims.size()) {
    return damaged("tensor " + tensor.name + " has " + std::to_string(tensor.n_dims) +
                   " dimensions");
  }
  for (std::size_t i = 0; i < tensor.n_dims; ++i) {
    HF_TRY_ASSIGN(tensor.dims[i], in.be<std::uint64_t>());
    if (tensor.dims[i] == 0) return damaged("tensor " + tensor.name + " has an empty dimension");
  }
  HF_TRY_ASSIGN(tensor.offset, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(tensor.length, in.be<std::uint64_t>());
  if (tensor_bytes == nullptr) return tensor;
  const auto implied = tensor_bytes(tensor.type, tensor.shape());
  if (!implied.ok() || *implied != tensor.length) {
    return damaged("the length of tensor " + tensor.name + " does not fit its type and shape");
  }
  return tensor;
}

Status check_extents(const PackIndex& index, std::uint64_t payload_bytes) {
  std::vector<Extent> extents;
  extents.reserve(index.objects.size() + index.tensors.size());
  for (const ObjectEntry& o : index.objects) {
    extents.push_back({o.offset, o.length, object_kind_name(o.kind)});
  }
  for (const TensorEntry& t : index.tensors) {
    extents.push_back({t.offset, t.length, "tensor " + t.name});
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  std::uint64_t end = 0;
  for (const Extent& e : extents) {
    if (e.length == 0 || e.length > payload_bytes || e.offset > payload_bytes - e.length) {
      return damaged(e.what + " lies outside the payload");
    }
    if (e.offset % kEntryAlignment != 0) return damaged(e.what + " is not aligned");
    if (e.offset < end) return damaged(e.what + " overlaps another entry");
    end = e.offset + e.length;
  }
  return ok_status();
}

Status check_objects_unique(const std::vector<ObjectEntry>& objects) {
  for (std::size_t i = 0; i < objects.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (objects[i].kind == objects[j].kind && objects[i].name == objects[j].name) {
        return damaged("two objects: " + object_kind_name(objects[i].kind));
      }
    }
  }
  return ok_status();
}

}  // namespace

const ObjectEntry* PackIndex::find_object(ObjectKind kind) const {
  const auto it = std::find_if(objects.begin(), objects.end(),
                               [&](const ObjectEntry& o) { return o.kind == kind; });
  return it == objects.end() ? nullptr : &*it;
}

const TensorEntry* PackIndex::find_tensor(std::string_view name) const {
  const auto it = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorEntry& t, std::string_view wanted) { return t.name < wanted; });
  return it == tensors.end() || it->name != name ? nullptr : &*it;
}

Bytes encode_index(const PackIndex& index) {
  ByteWriter out;
  out.raw(kMagic).be(kVersion).be<std::uint16_t>(0);
  out.be(static_cast<std::uint32_t>(index.objects.size()));
  out.be(static_cast<std::uint32_t>(index.tensors.size()));
  for (const ObjectEntry& o : index.objects) {
    out.be(static_cast<std::uint8_t>(o.kind)).lp(o.name);
    out.be(o.offset).be(o.length).raw(o.digest);
  }
  for (const TensorEntry& t : index.tensors) {
    out.lp(t.name).be(t.type).be(t.n_dims);
    for (const std::uint64_t d : t.shape()) out.be(d);
    out.be(t.offset).be(t.length);
  }
  return std::move(out).take();
}

Result<PackIndex> decode_index(ByteView bytes, std::uint64_t payload_bytes,
                               TensorBytes tensor_bytes) {
  ByteReader in(bytes);
  HF_TRY_ASSIGN(const std::string_view magic, in.take_string(kMagic.size()));
  HF_TRY_ASSIGN(const auto version, in.be<std::uint16_t>());
  HF_TRY_ASSIGN(const auto zero, in.be<std::uint16_t>());
  if (magic != kMagic || zero != 0) return damaged("it has no index where the header says");
  if (version != kVersion) {
    return unsupported("unsupported index version " + std::to_string(version));
  }
  HF_TRY_ASSIGN(const auto n_objects, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(const auto n_tensors, in.be<std::uint32_t>());
  if (n_objects > kObjectsMax || n_tensors > kTensorsMax ||
      n_objects * kObjectRecordMin + n_tensors * kTensorRecordMin > in.remaining()) {
    return damaged("its index claims " + std::to_string(n_objects) + " objects and " +
                   std::to_string(n_tensors) + " tensors");
  }
  PackIndex index;
  index.objects.reserve(n_objects);
  index.tensors.reserve(n_tensors);
  for (std::uint32_t i = 0; i < n_objects; ++i) {
    HF_TRY_ASSIGN(ObjectEntry object, read_object(in));
    index.objects.push_back(std::move(object));
  }
  for (std::uint32_t i = 0; i < n_tensors; ++i) {
    HF_TRY_ASSIGN(TensorEntry tensor, read_tensor(in, tensor_bytes));
    if (i > 0 && !(index.tensors.back().name < tensor.name)) {
      return damaged("tensor " + tensor.name + " is out of order");
    }
    index.tensors.push_back(std::move(tensor));
  }
  if (!in.at_end()) return damaged("bytes after its index");
  HF_TRY(check_objects_unique(index.objects));
  HF_TRY(check_extents(index, payload_bytes));
  return index;
}

}  // namespace holdfast::vault
