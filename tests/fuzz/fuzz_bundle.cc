// Bundles and backups. The first byte chooses what the others are: an archive; a document of one
// that is sound otherwise, since mutation hardly ever finds a right digest or checksum; or the
// parts that are parsed alone.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "holdfast/bundle/backup.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

void open_archive(ByteView input) {
  const platform::MemorySource file(input);
  if (const auto found = bundle::Bundle::open(file); found.ok()) {
    check(found->pack().offset + found->pack().size <= input.size());
    ignore_error(found->verify(), "any answer will do");
  }
  if (const auto backup = bundle::Backup::open(file); backup.ok()) {
    for (const bundle::BackupEntry& e : backup->entries())
      check(e.blob.offset + e.blob.size <= input.size() && bundle::is_backup_name(e.name));
    ignore_error(backup->verify(), "any answer will do");
  }
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
  open_archive(out.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const int shape = data[0] % 5;
  if (shape < 3) {
    open_around(input, shape);
    return 0;
  }
  if (shape == 3) {
    open_archive(input);
    return 0;
  }
  const auto value = json::parse(as_string_view(input), {.bytes_max = 1u << 16, .depth_max = 16});
  if (!value.ok()) return 0;
  ignore_error(registry::decode_provenance(*value), "any answer will do");
  ignore_error(bundle::decode_transport_key(*value), "any answer will do");
  return 0;
}
