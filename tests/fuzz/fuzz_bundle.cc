// Bundles and backups. The first byte chooses what the others are: an archive; a document of one
// that is sound otherwise, since mutation hardly ever finds a right digest or checksum; or the
// parts that are parsed alone.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "holdfast/bundle/backup.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

void open_bundle(ByteView input) {
  const platform::MemorySource file(input);
  const auto found = bundle::Bundle::open(file);
  if (!found.ok()) return;
  check(found->pack().offset + found->pack().size <= input.size());
  ignore_error(found->verify(), "any answer will do");
}

void open_backup(ByteView input) {
  const platform::MemorySource file(input);
  const auto backup = bundle::Backup::open(file);
  if (!backup.ok()) return;
  for (const bundle::BackupEntry& e : backup->entries())
    check(e.blob.offset + e.blob.size <= input.size() && bundle::is_backup_name(e.name));
  ignore_error(backup->verify(), "any answer will do");
}

void open_archive(ByteView input) {
  open_bundle(input);
  open_backup(input);
  const platform::MemorySource file(input);
  const auto all = bundle::read_tar(
      file, [](std::string_view) { return true; }, 64);
  if (!all.ok()) return;
  for (const bundle::TarEntry& e : *all)
    check(e.size <= input.size() && e.offset <= input.size() - e.size);
}

// A file that is a vector: the fuzzer writes thousands a second.
class MemoryFile final : public platform::OpenFile {
 public:
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableBytes out) const override {
    return platform::MemorySource(ByteView(bytes_)).read_at(offset, out);
  }
  Status write_all(ByteView bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return ok_status();
  }
  Status write_at(std::uint64_t, ByteView) override { return unsupported("not here"); }
  Status truncate(std::uint64_t) override { return unsupported("not here"); }
  Status sync() override { return ok_status(); }
  int fd() const override { return -1; }
  ByteView view() const { return bytes_; }

 private:
  Bytes bytes_;
};

// An archive of ours around the input: as index, as manifest, as list of a backup.
void open_around(ByteView input, int shape) {
  MemoryFile out;
  bundle::TarWriter tar(out);
  const std::string hex = to_hex(crypto::sha256(input));
  const auto add = [&](std::string_view name, ByteView content) {
    check(tar.add(name, content).ok());
  };
  if (shape == 2) {
    add("backup.json", input);
    add("backup.sha256", as_bytes_view(hex + "\n"));
    add("keyring.hfk", as_bytes_view("keys"));
  } else {
    add("oci-layout", as_bytes_view(R"({"imageLayoutVersion":"1.0.0"})"));
    const std::string index =
        R"({"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:)" +
        hex + R"(","size":)" + std::to_string(input.size()) + "}]}";
    add("index.json", shape == 0 ? input : as_bytes_view(index));
    add("blobs/sha256/" + hex, input);
  }
  check(tar.finish().ok());
  shape == 2 ? open_backup(out.view()) : open_bundle(out.view());
}

// A bundle that is sound but for one of its blobs, which is the input.
void open_with_blob(ByteView input, unsigned which) {
  const std::string zeros(64, '0');
  const std::string config =
      R"({"version":1,"name":"a:b","pack":")" + zeros + R"(","source":")" + zeros +
      R"(","variant":"","size_bytes":1,"created":1,"facts":{"architecture":"","context_length":1,)"
      R"("quantization":"","parameters":1,"license":"","has_template":true,"vocab_only":false}})";
  const std::string provenance =
      R"({"origin":{"kind":"file","location":"a"},"imported":{"user":"a","uid":0,"at":1}})";
  const std::string key = json::write(json::Value(bundle::transport_key_json({}, {65536, 1, 1})));
  struct Part {
    std::string_view type;
    ByteView content;
  };
  Part parts[] = {{bundle::media::kManifest, as_bytes_view(config)},
                  {bundle::media::kProvenance, as_bytes_view(provenance)},
                  {bundle::media::kTransportKey, as_bytes_view(key)},
                  {bundle::media::kPack, as_bytes_view("HFC1")},
                  {bundle::media::kSignature, as_bytes_view("{}")},
                  {bundle::media::kBom, as_bytes_view("{}")}};
  parts[which % 4].content = input;
  MemoryFile out;
  bundle::TarWriter tar(out);
  json::Array layers;
  json::Object manifest{{"artifactType", bundle::media::kArtifact}};
  std::set<std::string> written;
  const auto add = [&](ByteView content, std::string_view type) {
    const std::string hex = to_hex(crypto::sha256(content));
    if (written.insert(hex).second) check(tar.add("blobs/sha256/" + hex, content).ok());
    return json::Object{
        {"mediaType", type}, {"digest", "sha256:" + hex}, {"size", std::uint64_t{content.size()}}};
  };
  for (const Part& part : parts) {
    json::Object d = add(part.content, part.type);
    if (part.type == bundle::media::kManifest) {
      manifest.set("config", std::move(d));
    } else {
      layers.emplace_back(std::move(d));
    }
  }
  manifest.set("layers", std::move(layers));
  const std::string text = json::write(json::Value(std::move(manifest)));
  const json::Object index{
      {"schemaVersion", 2},
      {"manifests",
       json::Array{add(as_bytes_view(text), "application/vnd.oci.image.manifest.v1+json")}}};
  const std::string index_text = json::write(json::Value(index));
  check(tar.add("oci-layout", as_bytes_view(R"({"imageLayoutVersion":"1.0.0"})")).ok());
  check(tar.add("index.json", as_bytes_view(index_text)).ok());
  check(tar.finish().ok());
  open_bundle(out.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const int shape = data[0] % 9;
  if (shape < 3) {
    open_around(input, shape);
    return 0;
  }
  if (shape == 3) {
    open_archive(input);
    return 0;
  }
  if (shape > 4) {
    open_with_blob(input, static_cast<unsigned>(shape) - 5);
    return 0;
  }
  const auto value = json::parse(as_string_view(input), {.bytes_max = 1u << 16, .depth_max = 16});
  if (!value.ok()) return 0;
  ignore_error(registry::decode_provenance(*value), "any answer will do");
  ignore_error(bundle::decode_transport_key(*value), "any answer will do");
  return 0;
}
