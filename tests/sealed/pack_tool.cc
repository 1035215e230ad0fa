// Our reader and writer of packs as a program, for sealed_test.py.
//
//   sealed_pack_tool write OUT DEK ALG OMS_ROOT (KIND=FILE | NAME=FILE)...   objects by number,
//   vectors by name sealed_pack_tool list PACK [DEK] sealed_pack_tool slot PACK DEK KEK EPOCH NONCE
//   fills the first wrap slot
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "holdfast/platform/file.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_slots.h"
#include "holdfast/vault/pack_writer.h"

namespace {

using namespace holdfast;

Result<crypto::Secret> key_of(std::string_view hex) {
  HF_TRY_ASSIGN(const Bytes bytes, from_hex(hex));
  return crypto::Secret::copy_of(bytes);
}

template <std::size_t N>
std::array<std::byte, N> array_of(std::string_view hex) {
  std::array<std::byte, N> out{};
  const auto bytes = from_hex(hex);
  if (bytes.ok()) std::copy_n(bytes->begin(), std::min(N, bytes->size()), out.begin());
  return out;
}

Result<Bytes> content_of(const std::string& path) {
  HF_TRY_ASSIGN(const platform::File file, platform::File::open_read(path));
  return platform::read_all(file, 1u << 30);
}

Status write(std::span<char*> args) {
  HF_TRY_ASSIGN(crypto::Secret dek, key_of(args[1]));
  vault::PackPlan plan;
  std::vector<Bytes> tensors;
  plan.source_digest = crypto::sha256(as_bytes_view("sealed_test"));
  plan.oms_root = array_of<32>(args[3]);
  for (const std::string_view entry : args.subspan(4)) {
    const std::string name(entry.substr(0, entry.find('=')));
    HF_TRY_ASSIGN(Bytes content, content_of(std::string(entry.substr(name.size() + 1))));
    int kind = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), kind).ec == std::errc()) {
      plan.objects.push_back({static_cast<vault::ObjectKind>(kind), "", std::move(content)});
    } else {
      const std::uint64_t n = content.size();
      plan.tensors.push_back({name, 0, 1, {n / 4, 1, 1, 1}, n});
      tensors.push_back(std::move(content));
    }
  }
  platform::SystemEntropy entropy;
  HF_TRY_ASSIGN(vault::SealPlan seal, vault::SealPlan::make(std::move(dek), entropy, 1700000000));
  seal.algorithm = *crypto::aead_algorithm(std::strcmp(args[2], "1") == 0 ? 1 : 2);
  HF_TRY_ASSIGN(platform::File out, platform::File::create_or_replace(args[0], 0600));
  HF_TRY_ASSIGN(vault::PackWriter writer, vault::PackWriter::begin(out, std::move(plan), &seal));
  for (const Bytes& tensor : tensors) HF_TRY(writer.append(tensor));
  return writer.finish();
}

Status list(std::span<char*> args) {
  HF_TRY_ASSIGN(const platform::File file, platform::File::open_read(args[0]));
  std::optional<vault::ContentKeys> keys;
  if (args.size() > 1) {
    HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(file));
    HF_TRY_ASSIGN(const crypto::Secret dek, key_of(args[1]));
    HF_TRY_ASSIGN(keys, vault::derive_content_keys(
                            dek, header.seal.value_or(crypto::AeadAlgorithm::kAes256Gcm),
                            header.salt, header.model_id));
  }
  HF_TRY_ASSIGN(const auto pack, vault::PackReader::open(file, nullptr, std::move(keys)));
  HF_TRY(pack.verify_all());
  for (const vault::ObjectEntry& o : pack.index().objects) {
    std::printf("object %d %llu %s\n", static_cast<int>(o.kind),
                static_cast<unsigned long long>(o.length), to_hex(o.digest).c_str());
  }
  for (const vault::TensorEntry& t : pack.index().tensors) {
    Bytes content(t.length);
    HF_TRY(pack.read_range(t.offset, content));
    std::printf("tensor %s %llu %s\n", t.name.c_str(), static_cast<unsigned long long>(t.length),
                to_hex(crypto::sha256(content)).c_str());
  }
  return ok_status();
}

Status fill_slot(std::span<char*> args) {
  HF_TRY_ASSIGN(platform::File file, platform::File::open_update(args[0]));
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(file));
  HF_TRY_ASSIGN(const crypto::Secret dek, key_of(args[1]));
  HF_TRY_ASSIGN(const crypto::Secret kek, key_of(args[2]));
  vault::WrapSlots slots = header.slots;
  slots[0] = vault::fill_wrap_slot(kek, static_cast<std::uint32_t>(std::stoul(args[3])), {},
                                   array_of<12>(args[4]), header.model_id, dek);
  return vault::rewrite_wrap_slots(file, slots);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> args(argv + std::min(argc, 2), argv + argc);
  const std::string_view mode = argc > 1 ? argv[1] : "";
  Status status = invalid_argument("usage: sealed_pack_tool write|list|slot ...");
  if (mode == "write" && args.size() > 4) status = write(args);
  if (mode == "list" && !args.empty()) status = list(args);
  if (mode == "slot" && args.size() == 5) status = fill_slot(args);
  if (status.ok()) return 0;
  std::fprintf(stderr, "error: %s\n", status.error().to_string().c_str());
  return error_code_exit_status(status.error().code());
}
