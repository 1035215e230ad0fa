#include "holdfast/vault/pack_writer.h"

#include <algorithm>
#include <limits>

#include "holdfast/base/checked.h"

namespace holdfast::vault {
namespace {

// Reserves room for an entry at the next aligned offset.
Result<std::uint64_t> place(std::uint64_t& end, std::uint64_t length, const std::string& what) {
  const std::uint64_t begin = round_up(end, kEntryAlignment);
  const auto after = checked_add(begin, length);
  if (length == 0 || !after || *after > kChunksMax * kChunkBytes / 2) {
    return invalid_argument("a model pack cannot hold " + what + " of " + std::to_string(length) +
                            " bytes");
  }
  end = *after;
  return begin;
}

Status check_name(const std::string& name) {
  if (name.size() <= kNameBytesMax) return ok_status();
  return invalid_argument("a model pack cannot hold a name of " + std::to_string(name.size()) +
                          " bytes");
}

}  // namespace

Result<PackWriter> PackWriter::begin(platform::OpenFile& out, PackPlan plan) {
  PackWriter writer(out);
  HF_TRY(writer.plan_layout(plan));
  HF_TRY(writer.write_objects(plan));
  return writer;
}

Status PackWriter::plan_layout(PackPlan& plan) {
  if (plan.objects.size() > kObjectsMax || plan.tensors.size() > kTensorsMax) {
    return invalid_argument("too many entries for a model pack");
  }
  PackIndex index;
  std::uint64_t end = 0;
  for (const PlannedObject& object : plan.objects) {
    HF_TRY(check_name(object.name));
    ObjectEntry entry{object.kind, object.name, 0, object.content.size(),
                      crypto::sha256(object.content)};
    HF_TRY_ASSIGN(entry.offset, place(end, entry.length, object_kind_name(object.kind)));
    if (object.kind == ObjectKind::kTokenizer) header_.tokenizer_digest = entry.digest;
    if (object.kind == ObjectKind::kTemplate) header_.template_digest = entry.digest;
    index.objects.push_back(std::move(entry));
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    HF_TRY(check_name(tensor.name));
    TensorEntry entry{tensor.name, tensor.type, tensor.n_dims, tensor.dims, 0, tensor.length};
    HF_TRY_ASSIGN(entry.offset, place(end, entry.length, "tensor " + tensor.name));
    tensor_begins_.push_back(entry.offset);
    tensor_ends_.push_back(entry.offset + entry.length);
    index.tensors.push_back(std::move(entry));
  }
  std::sort(index.tensors.begin(), index.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  header_.index_off = round_up(end, kChunkBytes);
  index_bytes_ = encode_index(index);
  header_.index_len = index_bytes_.size();
  header_.plaintext_len = header_.index_off + header_.index_len;
  header_.source_digest = plan.source_digest;
  header_.salt = pack_salt(plan.source_digest);
  header_.model_id = pack_model_id(plan.source_digest);
  header_bytes_ = encode_header(header_);
  header_digest_ = vault::header_digest(header_bytes_);
  // A plan with two equal names, or any other slip, fails here and not when the pack is opened.
  HF_TRY(decode_index(index_bytes_, header_.index_off, nullptr).ok()
             ? ok_status()
             : Status(invalid_argument("the plan of the model pack is not valid")));
  chunk_.reserve(kChunkBytes);
  tags_.reserve(header_.n_chunks() * kTagBytes);
  return ok_status();
}

Status PackWriter::write_objects(const PackPlan& plan) {
  for (const PlannedObject& object : plan.objects) {
    HF_TRY(pad_to(round_up(position_, kEntryAlignment)));
    HF_TRY(put(object.content));
  }
  return ok_status();
}

Status PackWriter::append(ByteView bytes) {
  HF_CHECK(current_ < tensor_ends_.size());
  if (position_ < tensor_begins_[current_]) HF_TRY(pad_to(tensor_begins_[current_]));
  HF_CHECK(bytes.size() <= tensor_ends_[current_] - position_);
  HF_TRY(put(bytes));
  if (position_ == tensor_ends_[current_]) ++current_;
  return ok_status();
}

Status PackWriter::finish() {
  HF_CHECK(current_ == tensor_ends_.size());
  HF_TRY(pad_to(header_.index_off));
  HF_TRY(put(index_bytes_));
  if (!chunk_.empty()) HF_TRY(flush_chunk());
  HF_CHECK(position_ == header_.plaintext_len);
  HF_CHECK(tags_.size() == header_.n_chunks() * kTagBytes);
  tags_.resize(header_.data_off() - kHeaderBytes);
  HF_TRY(out_->write_at(kHeaderBytes, tags_));
  return out_->write_at(0, header_bytes_);
}

Status PackWriter::put(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t n = std::min<std::size_t>(bytes.size(), kChunkBytes - chunk_.size());
    chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    position_ += n;
    bytes = bytes.subspan(n);
    if (chunk_.size() == kChunkBytes) HF_TRY(flush_chunk());
  }
  return ok_status();
}

Status PackWriter::pad_to(std::uint64_t offset) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  while (position_ < offset) {
    const auto n = std::min<std::uint64_t>(offset - position_, kZeros.size());
    HF_TRY(put(ByteView(kZeros).first(n)));
  }
  return ok_status();
}

Status PackWriter::flush_chunk() {
  const Tag tag = chunk_tag(chunk_, header_digest_);
  const std::uint64_t begin = tags_.size() / kTagBytes * kChunkBytes;
  tags_.insert(tags_.end(), tag.begin(), tag.end());
  HF_TRY(out_->write_at(header_.data_off() + begin, chunk_));
  chunk_.clear();
  return ok_status();
}

}  // namespace holdfast::vault
