#include "holdfast/importer/quantize.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "child_run.h"
#include "holdfast/base/utf8.h"
#include "holdfast/platform/atomic_file.h"
#include "holdfast/platform/file.h"
#include "model_facts.h"
#include "model_files.h"
#include "quantize_protocol.h"
#include "quantize_types.h"

namespace holdfast::importer {
namespace {

constexpr unsigned kFileMode = 0644;
constexpr std::size_t kNameMax = 256;

class Quantize {
 public:
  explicit Quantize(const QuantizeOptions& options) : options_(options) {}

  Result<QuantizeResult> run() {
    const FileTypeInfo* type = find_file_type(options_.type);
    if (type == nullptr) return unknown_type();
    request_.type = type->name;
    request_.threads = std::max(1u, options_.threads);
    HF_TRY(open_inputs());
    HF_TRY(check_output());
    HF_TRY_ASSIGN(
        platform::AtomicFile out,
        platform::AtomicFile::create(fs_, options_.output,
                                     options_.force ? platform::AtomicFile::Existing::kReplace
                                                    : platform::AtomicFile::Existing::kRefuse,
                                     kFileMode));
    auto result = run_quantizing_child(out.file());
    if (!result.ok()) return about_input(result.error());
    HF_TRY(out.commit());
    return result;
  }

 private:
  Error unknown_type() const {
    std::string names;
    for (const FileTypeInfo& t : all_file_types()) {
      names += (names.empty() ? "" : ", ") + std::string(t.name);
    }
    return invalid_argument("unknown type \"" + clean_text(options_.type, kNameMax) + "\"")
        .with_hint("types: " + names);
  }

  Status open_input(const std::string& path) {
    HF_TRY_ASSIGN(auto file, fs_.open_read(path));
    HF_TRY_ASSIGN(const platform::FileInfo info, fs_.stat(path));
    request_.sizes.push_back(file->size());
    infos_.push_back(info);
    files_.push_back(std::move(file));
    return ok_status();
  }
  Status open_inputs() {
    HF_TRY_ASSIGN(const ModelFiles found, find_model_files(fs_, options_.input));
    for (const std::string& path : found.paths) {
      HF_TRY(open_input(path));
      if (found.checkpoint) request_.names.emplace_back(platform::base_name(path));
    }
    if (options_.importance.empty()) return ok_status();
    request_.has_importance = true;
    request_.importance_name = clean_text(platform::base_name(options_.importance), kNameMax);
    return open_input(options_.importance);
  }
  // Replacing an input would lose it if anything went wrong later.
  Status check_output() {
    const auto info = fs_.stat(options_.output);
    if (!info.ok()) return ok_status();
    for (const platform::FileInfo& input : infos_) {
      if (input.device == info->device && input.inode == info->inode) {
        return invalid_argument("the output is one of the input files");
      }
    }
    return ok_status();
  }
  Result<QuantizeResult> run_quantizing_child(platform::OpenFile& out) {
    ChildRun run;
    run.program = options_.engine_program;
    run.mode = "quantize";
    for (const auto& file : files_) run.inputs.push_back(file->fd());
    run.output = out.fd();
    run.request_json = encode_quantize_request(request_);
    run.name = "quantize";
    run.cancel = options_.cancel;
    run.on_progress = options_.on_progress;
    HF_TRY_ASSIGN(const std::string text, run_child(run));
    return decode_quantize_result(text);
  }
  Error about_input(const Error& error) const {
    if (error.code() == ErrorCode::kCancelled) return error;
    return Error(error.code(),
                 std::string(platform::base_name(options_.input)) + ": " + error.client_message(),
                 error.detail())
        .with_hint(error.hint());
  }

  const QuantizeOptions& options_;
  platform::PosixFileSystem fs_;
  QuantizeRequest request_;
  std::vector<platform::FileInfo> infos_;
  std::vector<std::unique_ptr<platform::OpenFile>> files_;
};

}  // namespace

std::vector<std::string_view> quantize_type_names() {
  std::vector<std::string_view> names;
  for (const FileTypeInfo& t : all_file_types()) names.push_back(t.name);
  return names;
}

Result<QuantizeResult> quantize_model(const QuantizeOptions& options) {
  return Quantize(options).run();
}

}  // namespace holdfast::importer
