#include "holdfast/vault/pack_writer.h"

#include <algorithm>
#include <limits>

#include "chunk_cipher.h"
#include "holdfast/base/checked.h"
#include "holdfast/vault/content_keys.h"

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

Result<SealPlan> SealPlan::make(crypto::Secret dek, platform::Entropy& entropy,
                                std::uint64_t created) {
  SealPlan plan{std::move(dek), crypto::fastest_aead(), {}, created};
  HF_TRY(entropy.fill(plan.salt));
  return plan;
}

Result<platform::LargeBuffer> chunk_buffer() {
  return platform::LargeBuffer::allocate(
      kChunkBytes, nullptr,
      {.huge_pages = false, .lock = platform::MemoryLock::kBestEffort, .keep_out_of_dumps = true});
}

ChunkWriter::ChunkWriter(platform::OpenFile& out) : out_(&out) {}
ChunkWriter::ChunkWriter(ChunkWriter&&) noexcept = default;
ChunkWriter& ChunkWriter::operator=(ChunkWriter&&) noexcept = default;
ChunkWriter::~ChunkWriter() = default;

Result<ChunkWriter> ChunkWriter::begin(platform::OpenFile& out, PackHeader header,
                                       const SealPlan* seal) {
  ChunkWriter writer(out);
  header.mac = {};
  header.slots = {};
  header.seal = seal == nullptr ? std::nullopt : std::optional(seal->algorithm);
  header.salt = seal == nullptr ? pack_salt(header.source_digest) : seal->salt;
  header.created = seal == nullptr ? 0 : seal->created;
  const Bytes bytes = encode_header(header);
  writer.header_digest_ = vault::header_digest(bytes);
  if (seal != nullptr) {
    HF_TRY_ASSIGN(const ContentKeys keys,
                  derive_content_keys(seal->dek, seal->algorithm, header.salt, header.model_id));
    header.mac = header_mac(bytes, keys.header_key);
    writer.cipher_ = std::make_unique<ChunkCipher>(keys, header, writer.header_digest_);
  }
  writer.header_ = header;
  writer.tags_.reserve(header.data_off() - kHeaderBytes);
  return writer;
}

Status ChunkWriter::write(MutableBytes chunk) {
  const std::uint64_t number = tags_.size() / kTagBytes;
  HF_CHECK(chunk.size() == std::min(kChunkBytes, header_.plaintext_len - number * kChunkBytes));
  Tag tag;
  if (cipher_) {
    cipher_->seal(number, chunk, chunk, tag);
  } else {
    tag = chunk_tag(chunk, header_digest_);
  }
  tags_.insert(tags_.end(), tag.begin(), tag.end());
  return out_->write_at(header_.data_off() + number * kChunkBytes, chunk);
}

bool ChunkWriter::adopt(const Tag& tag, MutableBytes buffer) {
  HF_CHECK(cipher_ != nullptr);
  const std::uint64_t number = written();
  if (!out_->read_at(header_.data_off() + number * kChunkBytes, buffer).ok()) return false;
  if (!cipher_->open(number, buffer, tag)) return false;
  tags_.insert(tags_.end(), tag.begin(), tag.end());
  return true;
}

Status ChunkWriter::finish() {
  HF_CHECK(tags_.size() == header_.n_chunks() * kTagBytes);
  tags_.resize(header_.data_off() - kHeaderBytes);
  HF_TRY(out_->write_at(kHeaderBytes, tags_));
  return out_->write_at(0, encode_header(header_));
}

struct PackWriter::Layout {
  PackHeader header;
  Bytes index_bytes;
  std::vector<std::uint64_t> tensor_begins;
  std::vector<std::uint64_t> tensor_ends;
};

PackWriter::PackWriter(ChunkWriter chunks, platform::LargeBuffer chunk, Layout layout)
    : chunks_(std::move(chunks)),
      index_bytes_(std::move(layout.index_bytes)),
      tensor_begins_(std::move(layout.tensor_begins)),
      tensor_ends_(std::move(layout.tensor_ends)),
      chunk_(std::move(chunk)) {}

Result<PackWriter> PackWriter::begin(platform::OpenFile& out, PackPlan plan, const SealPlan* seal) {
  HF_TRY_ASSIGN(Layout layout, plan_layout(plan));
  HF_TRY_ASSIGN(ChunkWriter chunks, ChunkWriter::begin(out, layout.header, seal));
  HF_TRY_ASSIGN(platform::LargeBuffer chunk, chunk_buffer());
  PackWriter writer(std::move(chunks), std::move(chunk), std::move(layout));
  HF_TRY(writer.write_objects(plan));
  return writer;
}

Result<PackWriter::Layout> PackWriter::plan_layout(PackPlan& plan) {
  if (plan.objects.size() > kObjectsMax || plan.tensors.size() > kTensorsMax) {
    return invalid_argument("too many entries for a model pack");
  }
  Layout layout;
  PackHeader& header = layout.header;
  PackIndex index;
  std::uint64_t end = 0;
  for (const PlannedObject& object : plan.objects) {
    HF_TRY(check_name(object.name));
    ObjectEntry entry{object.kind, object.name, 0, object.content.size(),
                      crypto::sha256(object.content)};
    HF_TRY_ASSIGN(entry.offset, place(end, entry.length, object_kind_name(object.kind)));
    if (object.kind == ObjectKind::kTokenizer) header.tokenizer_digest = entry.digest;
    if (object.kind == ObjectKind::kTemplate) header.template_digest = entry.digest;
    index.objects.push_back(std::move(entry));
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    HF_TRY(check_name(tensor.name));
    TensorEntry entry{tensor.name, tensor.type, tensor.n_dims, tensor.dims, 0, tensor.length};
    HF_TRY_ASSIGN(entry.offset, place(end, entry.length, "tensor " + tensor.name));
    layout.tensor_begins.push_back(entry.offset);
    layout.tensor_ends.push_back(entry.offset + entry.length);
    index.tensors.push_back(std::move(entry));
  }
  std::sort(index.tensors.begin(), index.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  header.index_off = round_up(end, kChunkBytes);
  layout.index_bytes = encode_index(index);
  header.index_len = layout.index_bytes.size();
  header.plaintext_len = header.index_off + header.index_len;
  header.source_digest = plan.source_digest;
  header.model_id = pack_model_id(plan.source_digest);
  header.oms_root = plan.oms_root;
  header.policy_label = plan.policy_label;
  header.min_version = plan.min_version;
  header.model_version = plan.model_version;
  // A plan with two equal names, or any other slip, fails here and not when the pack is opened.
  if (!decode_index(layout.index_bytes, header.index_off, nullptr).ok()) {
    return invalid_argument("the plan of the model pack is not valid");
  }
  return layout;
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
  HF_TRY(pad_to(header().index_off));
  HF_TRY(put(index_bytes_));
  if (chunk_used_ > 0) HF_TRY(flush_chunk());
  HF_CHECK(position_ == header().plaintext_len);
  return chunks_.finish();
}

Status PackWriter::put(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t n = std::min<std::size_t>(bytes.size(), kChunkBytes - chunk_used_);
    std::ranges::copy(bytes.first(n),
                      chunk_.bytes().begin() + static_cast<std::ptrdiff_t>(chunk_used_));
    chunk_used_ += n;
    position_ += n;
    bytes = bytes.subspan(n);
    if (chunk_used_ == kChunkBytes) HF_TRY(flush_chunk());
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
  HF_TRY(chunks_.write(chunk_.bytes().first(chunk_used_)));
  chunk_used_ = 0;
  return ok_status();
}

}  // namespace holdfast::vault
