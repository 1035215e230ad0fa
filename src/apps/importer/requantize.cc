#include "requantize.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "holdfast/gguf/writer.h"
#include "open_source.h"
#include "row_encoder.h"

namespace holdfast::importer {
namespace {

// Of the block layouts; every reader knows this one.
constexpr std::uint32_t kQuantizationVersion = 2;
constexpr std::uint64_t kCopyBytes = 4ull << 20;

// A tensor and what becomes of it.
struct Job {
  const gguf::TensorInfo* info = nullptr;
  quant::TensorType type{};
  const model::ImportanceEntry* importance = nullptr;

  bool encodes() const { return type != info->type; }
};

// Entries of the input in their order, with some replaced, left out or added.
class MetadataPlan {
 public:
  explicit MetadataPlan(const gguf::Metadata& source) {
    for (std::size_t i = 0; i < source.size(); ++i) {
      // The output is one file.
      if (source.key(i).starts_with("split.")) continue;
      entries_.push_back({source.key(i), source.find(source.key(i))});
    }
  }
  void set(std::string_view key, gguf::Value value) {
    const auto& kept = *added_.insert_or_assign(std::string(key), std::move(value)).first;
    const auto it = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const auto& entry) { return entry.key == key; });
    if (it == entries_.end()) {
      entries_.push_back({kept.first, &kept.second});
    } else {
      it->value = &kept.second;
    }
  }
  const std::vector<gguf::MetadataEntry>& entries() const { return entries_; }

 private:
  std::map<std::string, gguf::Value> added_;  // its elements stay where they are
  std::vector<gguf::MetadataEntry> entries_;
};

MetadataPlan plan_metadata(const gguf::GgufFile& file, const RequantizeInput& input) {
  MetadataPlan plan(file.metadata);
  plan.set("general.file_type", gguf::make_u32(input.type->number));
  plan.set("general.quantization_version", gguf::make_u32(kQuantizationVersion));
  if (input.importance == nullptr) return plan;
  plan.set("quantize.imatrix.file", gguf::make_string(input.importance_name));
  if (!input.importance->datasets.empty()) {
    plan.set("quantize.imatrix.dataset", gguf::make_string(input.importance->datasets.front()));
  }
  plan.set("quantize.imatrix.entries_count",
           gguf::make_u32(static_cast<std::uint32_t>(input.importance->entries.size())));
  plan.set("quantize.imatrix.chunks_count", gguf::make_u32(input.importance->chunk_count));
  return plan;
}

Status check_importance(const model::ImportanceEntry& entry, const gguf::TensorInfo& tensor) {
  const bool one_for_all = entry.matrices == 1;
  if (entry.columns == tensor.columns() && (one_for_all || entry.matrices == tensor.dims[2])) {
    return ok_status();
  }
  return invalid_argument("the importance matrix is of another model: its shape for tensor " +
                          tensor.name + " differs");
}

Result<Job> plan_job(const gguf::TensorInfo& tensor, const RequantizeInput& input,
                     const ModelShape& shape, QuantizeResult& result) {
  const TypeChoice choice = choose_type(*input.type, shape, tensor);
  Job job{&tensor, choice.type, nullptr};
  ++result.tensors;
  if (!job.encodes()) return job;
  ++result.encoded;
  result.fallbacks += choice.fallback ? 1 : 0;
  const bool was_quantised =
      quant::type_info(tensor.type)->type_class == quant::TypeClass::kQuantised;
  result.requantized += was_quantised ? 1 : 0;
  if (input.importance == nullptr) return job;
  const auto it = input.importance->entries.find(tensor.name);
  if (it == input.importance->entries.end()) return job;
  HF_TRY(check_importance(it->second, tensor));
  job.importance = &it->second;
  ++result.weighted;
  return job;
}

Status copy_tensor(const gguf::TensorInfo& info, const platform::ByteSource& file,
                   gguf::Writer& writer) {
  Bytes piece(std::min(kCopyBytes, info.bytes));
  for (std::uint64_t at = 0; at < info.bytes; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), info.bytes - at));
    HF_TRY(file.read_at(info.offset + at, piece));
    HF_TRY(writer.append(piece));
  }
  return ok_status();
}

// The message names the tensor: what is wrong is inside the file, and the user can look there.
Error about_tensor(const Error& error, const std::string& name) {
  return Error(error.code(), "tensor " + name + ": " + error.client_message(), error.detail())
      .with_hint(error.hint());
}

Status write_tensor(const Job& job, const RequantizeInput& input, const platform::ByteSource& file,
                    gguf::Writer& writer) {
  if (!job.encodes()) return copy_tensor(*job.info, file, writer);
  RowSource source{&file, job.info->offset, job.info->type, job.info->rows(), job.info->columns(),
                   {},    job.info->rows()};
  if (job.importance != nullptr) {
    for (std::uint64_t m = 0; m < job.importance->matrices; ++m) {
      source.importance.push_back(job.importance->means(m));
    }
    source.rows_per_importance = source.rows / job.importance->matrices;
  }
  Status status = encode_rows(source, job.type, input.threads,
                              [&](ByteView piece) { return writer.append(piece); });
  if (status.ok() || status.error().code() == ErrorCode::kExhausted ||
      status.error().code() == ErrorCode::kIo) {
    return status;
  }
  return about_tensor(status.error(), job.info->name);
}

}  // namespace

Result<QuantizeResult> requantize(const RequantizeInput& input, platform::OpenFile& out,
                                  const RequantizeProgress& progress) {
  HF_TRY_ASSIGN(const OpenedSource opened, open_source(input.parts, input.names, false));
  const gguf::GgufFile& file = opened.model.file;
  HF_TRY_ASSIGN(const ModelShape shape, model_shape(file, input.importance != nullptr));
  QuantizeResult result;
  result.type = input.type->name;
  std::vector<Job> jobs;
  std::vector<gguf::PlannedTensor> planned;
  std::uint64_t total = 0;
  for (const gguf::TensorInfo& tensor : file.tensors) {
    HF_TRY_ASSIGN(const Job job, plan_job(tensor, input, shape, result));
    jobs.push_back(job);
    planned.push_back({tensor.name, job.type, tensor.n_dims, tensor.dims});
    total += tensor.bytes;
  }
  const MetadataPlan metadata = plan_metadata(file, input);
  HF_TRY_ASSIGN(gguf::Writer writer,
                gguf::Writer::begin(out, metadata.entries(), std::move(planned)));
  std::uint64_t done = 0;
  for (const Job& job : jobs) {
    HF_TRY(write_tensor(job, input, *opened.model.parts[job.info->part], writer));
    done += job.info->bytes;
    HF_TRY(progress(done, total));
  }
  HF_TRY(writer.finish());
  for (const platform::ByteSource* part : input.parts) result.bytes_in += part->size();
  result.bytes_out = writer.bytes_written();
  return result;
}

}  // namespace holdfast::importer
