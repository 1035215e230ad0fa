#include "convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "holdfast/base/utf8.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/model/family.h"
#include "holdfast/quant/codec.h"
#include "holdfast/quant/packed.h"
#include "open_source.h"
#include "row_packer.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kTemplateBytesMax = 1u << 20;

// A tensor that goes into the pack: where it comes from and what it becomes.
struct Job {
  const gguf::TensorInfo* info = nullptr;
  model::TensorRole role = model::TensorRole::kMatrix;
  std::uint64_t rows = 1;
  std::uint64_t cols = 0;
};

Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes_view(text);
  return {view.begin(), view.end()};
}

Result<std::string> chat_template(const gguf::GgufFile& file, const ConvertOptions& options) {
  if (options.template_text) return *options.template_text;
  HF_TRY_ASSIGN(const auto text, file.metadata.find_string("tokenizer.chat_template"));
  if (!text) return std::string();
  if (text->size() > kTemplateBytesMax) return corrupt("the chat template is larger than 1 MiB");
  if (!is_valid_utf8(*text)) return corrupt("the chat template is not UTF-8");
  return std::string(*text);
}

Result<Job> job_of(const gguf::GgufFile& file, const model::TensorSpec& spec) {
  const gguf::TensorInfo* info = file.find_tensor(spec.name);
  if (info == nullptr) return corrupt("the model file lacks the tensor " + spec.name);
  const quant::TypeInfo* type = quant::type_info(info->type);
  if (type == nullptr || !type->may_hold_weights()) {
    return unsupported("unsupported tensor type " + std::string(tensor_type_name(info->type)),
                       "tensor " + spec.name);
  }
  // Everything below counts with these numbers; the file was checked against its own.
  if (spec.rows * spec.cols != info->elements() || spec.cols != info->columns()) {
    return corrupt("the shape of tensor " + spec.name + " does not fit the model");
  }
  return Job{info, spec.role, spec.rows, spec.cols};
}

// Source order, so that the file is read from front to back.
Result<std::vector<Job>> jobs_of(const gguf::GgufFile& file,
                                 const std::vector<model::TensorSpec>& specs) {
  std::vector<Job> jobs;
  for (const model::TensorSpec& spec : specs) {
    if (spec.role == model::TensorRole::kIgnored) continue;
    HF_TRY_ASSIGN(const Job job, job_of(file, spec));
    jobs.push_back(job);
  }
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return std::pair(a.info->part, a.info->offset) < std::pair(b.info->part, b.info->offset);
  });
  return jobs;
}

Result<vault::PlannedTensor> plan_tensor(const Job& job) {
  vault::PlannedTensor planned;
  planned.name = job.info->name;
  planned.dims[0] = job.cols;
  if (job.role == model::TensorRole::kVector) {
    planned.type = static_cast<std::uint16_t>(quant::TensorType::kF32);
    planned.length = job.cols * sizeof(float);
    return planned;
  }
  const quant::TensorType packed = quant::packed_type_for(job.info->type);
  planned.type = static_cast<std::uint16_t>(packed);
  planned.n_dims = 2;
  planned.dims[1] = job.rows;
  HF_TRY_ASSIGN(planned.length, quant::packed_bytes(packed, job.rows, job.cols));
  return planned;
}

// Norms, biases, rope factors: few numbers, each of which reaches every token. One that is not
// finite would turn all answers into noise, so it is refused here.
Result<Bytes> read_vector(const Job& job, const platform::ByteSource& file) {
  Bytes source(job.info->bytes);
  HF_TRY(file.read_at(job.info->offset, source));
  std::vector<float> values(job.cols);
  quant::dequantize(job.info->type, source.data(), values.size(), values.data());
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    return corrupt("tensor " + job.info->name + " holds a value that is not finite, at index " +
                   std::to_string(bad - values.begin()));
  }
  Bytes out(values.size() * sizeof(float));
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

Status write_matrix(const Job& job, const platform::ByteSource& file, vault::PackWriter& writer,
                    unsigned threads, const std::function<Status(double share)>& progress) {
  const MatrixSource matrix{&file, job.info->offset, job.info->type, job.rows, job.cols};
  HF_TRY_ASSIGN(const std::uint64_t total,
                quant::packed_bytes(quant::packed_type_for(matrix.type), job.rows, job.cols));
  std::uint64_t done = 0;
  return pack_matrix(matrix, threads, [&](ByteView piece) -> Status {
    HF_TRY(writer.append(piece));
    done += piece.size();
    return progress(static_cast<double>(done) / static_cast<double>(total));
  });
}

Status write_tensors(std::span<const platform::ByteSource* const> parts,
                     const std::vector<Job>& jobs, vault::PackWriter& writer, unsigned threads,
                     const ConvertProgress& progress) {
  std::uint64_t total = 0;
  for (const Job& job : jobs) total += job.info->bytes;
  std::uint64_t done = 0;
  for (const Job& job : jobs) {
    const platform::ByteSource& file = *parts[job.info->part];
    const double bytes = static_cast<double>(job.info->bytes);
    if (job.role == model::TensorRole::kVector) {
      HF_TRY_ASSIGN(const Bytes values, read_vector(job, file));
      HF_TRY(writer.append(values));
    } else {
      Status status = write_matrix(job, file, writer, threads, [&](double share) {
        return progress(done + static_cast<std::uint64_t>(bytes * share), total);
      });
      HF_TRY(std::move(status).context("tensor " + job.info->name));
    }
    done += job.info->bytes;
  }
  return progress(total, total);
}

}  // namespace

Result<ConvertResult> convert(std::span<const platform::ByteSource* const> parts,
                              platform::OpenFile& out, const ConvertOptions& options,
                              const ConvertProgress& progress, const vault::SealPlan* seal) {
  std::vector<std::string> names;
  for (const SourceFile& f : options.files) {
    if (!f.name.empty()) names.push_back(f.name);
  }
  HF_TRY_ASSIGN(const OpenedSource opened, open_source(parts, names, options.vocab_only));
  const gguf::GgufFile& file = opened.model.file;
  HF_TRY_ASSIGN(const std::string text, chat_template(file, options));
  const FactsInput facts{&file,
                         options.files,
                         options.vocab_only,
                         opened.is_checkpoint,
                         !text.empty(),
                         options.template_text ? options.template_name : "model"};
  vault::PackPlan plan;
  std::vector<crypto::Sha256Digest> digests;
  for (const SourceFile& f : options.files) digests.push_back(f.digest);
  plan.source_digest = vault::source_digest(digests);
  plan.oms_root = options.oms_root;
  plan.model_version = options.model_version;

  // The architecture is asked first: an unsupported one is the better message than its unknown
  // tokenizer.
  std::vector<Job> jobs;
  std::string config;
  if (!options.vocab_only) {
    HF_TRY_ASSIGN(const model::Inspection inspection, model::inspect(file));
    HF_TRY_ASSIGN(jobs, jobs_of(file, inspection.tensors));
    config = model::to_json(inspection.hyper);
  }
  HF_TRY_ASSIGN(const tokenizer::Vocabulary vocabulary, opened.vocabulary());
  HF_TRY_ASSIGN(Bytes tokenizer_object, tokenizer::serialize(vocabulary));

  const auto add = [&](vault::ObjectKind kind, Bytes content) {
    if (!content.empty()) plan.objects.push_back({kind, "", std::move(content)});
  };
  add(vault::ObjectKind::kTokenizer, std::move(tokenizer_object));
  add(vault::ObjectKind::kTemplate, bytes_of(text));
  add(vault::ObjectKind::kConfig, bytes_of(config));
  add(vault::ObjectKind::kMetadata, bytes_of(metadata_json(facts)));
  add(vault::ObjectKind::kLicence, bytes_of(license_text(file)));
  add(vault::ObjectKind::kOmsBundle, bytes_of(options.oms_bundle));
  for (const Job& job : jobs) {
    HF_TRY_ASSIGN(vault::PlannedTensor planned, plan_tensor(job));
    plan.tensors.push_back(std::move(planned));
  }
  HF_TRY_ASSIGN(vault::PackWriter writer, vault::PackWriter::begin(out, std::move(plan), seal));
  HF_TRY(write_tensors(opened.model.parts, jobs, writer, std::max(1u, options.threads), progress));
  HF_TRY(writer.finish());
  return ConvertResult{model_facts(facts), writer.header_digest(), writer.file_bytes()};
}

}  // namespace holdfast::importer
