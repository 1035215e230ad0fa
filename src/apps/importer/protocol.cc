#include "protocol.h"

#include <algorithm>
#include <charconv>

#include "holdfast/checkpoint/checkpoint.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kRequestBytesMax = 8u << 20;  // a template, a signature and 999 files
constexpr std::size_t kResultBytesMax = 64u << 10;
constexpr unsigned kThreadsMax = 1024;
constexpr std::size_t kFactTextMax = 256;

Error malformed(std::string_view member) {
  return corrupt("a malformed import message", "member " + std::string(member));
}

Result<std::uint64_t> count_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_int() || v->as_int() < 0) return malformed(member);
  return static_cast<std::uint64_t>(v->as_int());
}

Result<bool> bool_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_bool()) return malformed(member);
  return v->as_bool();
}

Result<std::string> text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return malformed(member);
  return v->as_string();
}

Result<crypto::Sha256Digest> digest_of(const json::Value& value, std::string_view member) {
  HF_TRY_ASSIGN(const std::string hex, text_of(value, member));
  const auto bytes = from_hex(hex);
  crypto::Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) return malformed(member);
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

}  // namespace

std::string encode_request(const ConvertOptions& options) {
  json::Array files;
  for (const SourceFile& f : options.files) {
    json::Object file{{"size", f.size}, {"sha256", to_hex(f.digest)}};
    if (!f.name.empty()) file.set("name", f.name);
    files.emplace_back(std::move(file));
  }
  json::Object request{{"files", std::move(files)},
                       {"vocab_only", options.vocab_only},
                       {"threads", options.threads}};
  if (options.sealed) request.set("sealed", json::Object{{"created", options.created}});
  if (options.template_text) {
    request.set("template", *options.template_text);
    request.set("template_name", options.template_name);
  }
  if (!options.oms_bundle.empty()) {
    request.set("signature",
                json::Object{{"root", to_hex(options.oms_root)}, {"bundle", options.oms_bundle}});
  }
  if (options.model_version != 0) request.set("version", std::to_string(options.model_version));
  return json::write(json::Value(std::move(request)));
}

Result<ConvertOptions> decode_request(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value request, json::parse(text, {.bytes_max = kRequestBytesMax}));
  ConvertOptions options;
  const json::Value* files = request.find("files");
  if (files == nullptr || !files->is_array() || files->as_array().empty()) {
    return malformed("files");
  }
  for (const json::Value& f : files->as_array()) {
    SourceFile file;
    HF_TRY_ASSIGN(file.size, count_of(f, "size"));
    HF_TRY_ASSIGN(file.digest, digest_of(f, "sha256"));
    if (f.find("name") != nullptr) {
      HF_TRY_ASSIGN(file.name, text_of(f, "name"));
      if (!checkpoint::is_checkpoint_file(file.name)) return malformed("name");
    }
    if (file.name.empty() != (options.files.empty() || options.files.front().name.empty()) &&
        !options.files.empty()) {
      return malformed("name");
    }
    options.files.push_back(std::move(file));
  }
  HF_TRY_ASSIGN(options.vocab_only, bool_of(request, "vocab_only"));
  HF_TRY_ASSIGN(const std::uint64_t threads, count_of(request, "threads"));
  if (threads == 0 || threads > kThreadsMax) return malformed("threads");
  options.threads = static_cast<unsigned>(threads);
  if (const json::Value* sealed = request.find("sealed"); sealed != nullptr) {
    options.sealed = true;
    HF_TRY_ASSIGN(options.created, count_of(*sealed, "created"));
  }
  if (request.find("template") != nullptr) {
    HF_TRY_ASSIGN(options.template_text, text_of(request, "template"));
    HF_TRY_ASSIGN(options.template_name, text_of(request, "template_name"));
  }
  if (const json::Value* signature = request.find("signature"); signature != nullptr) {
    HF_TRY_ASSIGN(options.oms_root, digest_of(*signature, "root"));
    HF_TRY_ASSIGN(options.oms_bundle, text_of(*signature, "bundle"));
  }
  if (request.find("version") != nullptr) {
    HF_TRY_ASSIGN(const std::string version, text_of(request, "version"));
    const char* end = version.data() + version.size();
    if (std::from_chars(version.data(), end, options.model_version).ptr != end)
      return malformed("version");
  }
  return options;
}

std::string encode_result(const ConvertResult& result) {
  const registry::ModelFacts& f = result.facts;
  return json::write(json::Value(json::Object{{"architecture", f.architecture},
                                              {"context_length", f.context_length},
                                              {"quantization", f.quantization},
                                              {"parameters", f.parameters},
                                              {"license", f.license},
                                              {"has_template", f.has_template},
                                              {"vocab_only", f.vocab_only},
                                              {"pack", to_hex(result.pack)},
                                              {"pack_bytes", result.pack_bytes}}));
}

Result<ConvertResult> decode_result(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kResultBytesMax}));
  ConvertResult result;
  registry::ModelFacts& f = result.facts;
  for (const auto& [member, field] :
       {std::pair{"architecture", &f.architecture}, std::pair{"quantization", &f.quantization},
        std::pair{"license", &f.license}}) {
    HF_TRY_ASSIGN(const std::string raw, text_of(value, member));
    *field = clean_text(raw, kFactTextMax);
  }
  HF_TRY_ASSIGN(f.context_length, count_of(value, "context_length"));
  HF_TRY_ASSIGN(f.parameters, count_of(value, "parameters"));
  HF_TRY_ASSIGN(f.has_template, bool_of(value, "has_template"));
  HF_TRY_ASSIGN(f.vocab_only, bool_of(value, "vocab_only"));
  HF_TRY_ASSIGN(result.pack, digest_of(value, "pack"));
  HF_TRY_ASSIGN(result.pack_bytes, count_of(value, "pack_bytes"));
  return result;
}

}  // namespace holdfast::importer
