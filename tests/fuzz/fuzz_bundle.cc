// Bundles and backups: any bytes as an archive; as documents of one that is sound otherwise, since
// mutation hardly ever finds a right digest or checksum; and as the parts that are parsed alone.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "holdfast/bundle/backup.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/platform/testing/simulated_filesystem.h"

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

// An archive of ours around the input: as index, as manifest, as list of a backup.
Bytes archive_of(ByteView input, int shape) {
  platform::testing::SimulatedFileSystem fs;
  check(fs.make_dirs("/x", 0700).ok());
  auto out = fs.create_exclusive("/x/a", 0600);
  check(out.ok());
  bundle::TarWriter tar(**out);
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
  return *platform::read_all(**out, 1u << 24);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  open_archive(input);
  for (int shape = 0; shape < 3; ++shape) open_archive(archive_of(input, shape));
  const auto value = json::parse(as_string_view(input), {.bytes_max = 1u << 16, .depth_max = 16});
  if (!value.ok()) return 0;
  ignore_error(registry::decode_provenance(*value), "any answer will do");
  ignore_error(bundle::decode_transport_key(*value), "any answer will do");
  return 0;
}
