// Oracle: what went in comes out, byte for byte, and every changed bit is refused. Another program
// reads bundles in tests/bundle.
#include "holdfast/bundle/bundle.h"

#include <algorithm>

#include "archive_files.h"
#include "holdfast/bundle/bom.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_writer.h"

namespace holdfast::bundle {
namespace {

using testing::bytes_of;
using ::testing::HasSubstr;
using testing::tar_of;
using testing::untar;
using testing::written;

const crypto::Argon2Cost kCheap{kTransportMemoryKibMin, 1, 1};

class BundleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dek_ = *crypto::Secret::random(crypto::kKeyBytes, entropy_);
    source_ = crypto::sha256(as_bytes_view("source"));
    make(true);
  }

  // A pack with one object, and the record of it.
  void make(bool sealed) {
    vault::PackPlan plan;
    plan.source_digest = source_;
    plan.objects.push_back({vault::ObjectKind::kMetadata, "", bytes_of("{}")});
    std::optional<vault::SealPlan> seal;
    if (sealed) seal = *vault::SealPlan::make(*dek_.copy(), entropy_, 1'750'000'000);
    pack_ = written([&](platform::OpenFile& out) -> Status {
      HF_TRY_ASSIGN(auto writer,
                    vault::PackWriter::begin(out, std::move(plan), seal ? &*seal : nullptr));
      return writer.finish();
    });
    input_ = {};
    input_.header = *vault::decode_header(pack_);
    if (sealed) {
      input_.key_cost = kCheap;
      input_.header.slots[0] =
          *wrap_for_transport(as_bytes_view("secret"), input_.header, kCheap, dek_);
    }
    registry::ModelRecord& r = input_.record;
    r.name = *registry::parse_model_name("org/model:q4");
    r.pack = vault::header_digest(pack_);
    r.source = source_;
    r.variant = sealed ? "gguf/1+sealed" : "gguf/1";
    r.size_bytes = pack_.size();
    r.facts.license = "apache-2.0";
    r.provenance = registry::Provenance{
        {registry::OriginKind::kUrl, "https://example.org/a.gguf", "abc"}, {"ada", 1000, 7}, {}};
    input_.signature = bytes_of("{\"signature\":1}");
    input_.bom = json::Object{{"bomFormat", "CycloneDX"}};
  }

  Bytes write() {
    const platform::MemorySource pack{ByteView(pack_)};
    input_.pack = &pack;
    return written([&](platform::OpenFile& out) -> Status {
      HF_TRY(write_bundle(input_, out));
      return ok_status();
    });
  }

  static Status check(const Bytes& archive) {
    const platform::MemorySource file{ByteView(archive)};
    HF_TRY_ASSIGN(const Bundle bundle, Bundle::open(file));
    return bundle.verify();
  }

  platform::SystemEntropy entropy_;
  crypto::Secret dek_;
  crypto::Sha256Digest source_{};
  Bytes pack_;
  BundleInput input_;
};

TEST_F(BundleTest, WhatGoesInComesOut) {
  const Bytes archive = write();
  const platform::MemorySource file{ByteView(archive)};
  const auto bundle = Bundle::open(file);
  ASSERT_TRUE(bundle.ok()) << bundle.error().to_string();
  ASSERT_TRUE(bundle->verify().ok());
  EXPECT_EQ(bundle->record().name.full(), "org/model:q4");
  EXPECT_EQ(bundle->record().pack, input_.record.pack);
  ASSERT_TRUE(bundle->record().provenance.has_value());
  EXPECT_EQ(bundle->record().provenance->origin.location, "https://example.org/a.gguf");
  EXPECT_EQ(bundle->record().provenance->imported.user, "ada");
  EXPECT_EQ(bundle->signature(), input_.signature);
  const auto begin = archive.begin() + static_cast<std::ptrdiff_t>(bundle->pack().offset);
  const Bytes pack(begin, begin + static_cast<std::ptrdiff_t>(bundle->pack().size));
  EXPECT_TRUE(std::equal(pack.begin() + 4096, pack.end(), pack_.begin() + 4096, pack_.end()));
  const auto dek = unwrap_from_transport(as_bytes_view("secret"), bundle->header(), kCheap);
  ASSERT_TRUE(dek.ok()) << dek.error().to_string();
  EXPECT_TRUE(std::ranges::equal(dek->view(), dek_.view()));
}

TEST_F(BundleTest, SameInputSameBytes) {
  const Bytes first = write();
  input_.header.slots[0] =
      *wrap_for_transport(as_bytes_view("secret"), *vault::decode_header(pack_), kCheap, dek_);
  EXPECT_EQ(write(), first);
}

TEST_F(BundleTest, AnotherPassphraseIsDenied) {
  const auto dek = unwrap_from_transport(as_bytes_view("Secret"), input_.header, kCheap);
  EXPECT_EQ(dek.error().code(), ErrorCode::kDenied);
  vault::PackHeader none = input_.header;
  none.slots[0] = {};
  EXPECT_EQ(unwrap_from_transport(as_bytes_view("secret"), none, kCheap).error().code(),
            ErrorCode::kCorrupt);
}

// Two packs under one passphrase share no key, so no nonce is used twice.
TEST_F(BundleTest, TransportKeysDifferFromPackToPack) {
  const vault::WrapSlot first = input_.header.slots[0];
  make(true);
  EXPECT_NE(first.nonce, input_.header.slots[0].nonce);
}

TEST_F(BundleTest, CostsOfStrangersAreBounded) {
  const auto with = [&](std::uint32_t kib, std::uint32_t passes, std::uint32_t lanes) {
    return decode_transport_key(
        json::Value(transport_key_json(input_.header, {kib, passes, lanes})));
  };
  EXPECT_TRUE(with(kTransportMemoryKibMax, kTransportPassesMax, kTransportLanesMax).ok());
  EXPECT_FALSE(with(kTransportMemoryKibMax + 1, 1, 1).ok());
  EXPECT_FALSE(with(kTransportMemoryKibMin - 1, 1, 1).ok());
  EXPECT_FALSE(with(kTransportMemoryKibMin, kTransportPassesMax + 1, 1).ok());
  EXPECT_FALSE(with(kTransportMemoryKibMin, 1, kTransportLanesMax + 1).ok());
  EXPECT_FALSE(with(kTransportMemoryKibMin, 0, 1).ok());
}

TEST_F(BundleTest, OfAPackThatIsNotSealed) {
  make(false);
  const Bytes archive = write();
  const platform::MemorySource file{ByteView(archive)};
  const auto bundle = Bundle::open(file);
  ASSERT_TRUE(bundle.ok()) << bundle.error().to_string();
  EXPECT_FALSE(bundle->key_cost().has_value());
  EXPECT_TRUE(bundle->verify().ok());
}

TEST_F(BundleTest, EveryChangedByteIsRefused) {
  const Bytes archive = write();
  ASSERT_TRUE(check(archive).ok());
  for (std::size_t at = 0; at < archive.size(); at += (at < 16384 ? 1 : 61)) {
    Bytes changed = archive;
    changed[at] ^= std::byte{0x10};
    EXPECT_FALSE(check(changed).ok()) << "byte " << at;
  }
}

// Names of R-06 in every place where a bundle has one.
TEST_F(BundleTest, NamesThatLeadElsewhereAreRefused) {
  const std::string hex(64, 'a');
  const std::vector<std::string> names{"../x",
                                       "..",
                                       ".",
                                       "/etc/passwd",
                                       "//x",
                                       "a/../../b",
                                       "./oci-layout",
                                       "blobs/../oci-layout",
                                       "blobs/sha256/../../x",
                                       "blobs/sha256/..",
                                       "blobs/sha256/.",
                                       "blobs/sha256/",
                                       "blobs/sha256",
                                       "blobs",
                                       "blobs//sha256/" + hex,
                                       "blobs/sha256//" + hex,
                                       "blobs/sha256/" + hex + "/",
                                       "blobs/sha256/" + hex + "/x",
                                       "blobs/sha256/" + hex + "a",
                                       "blobs/sha256/" + hex.substr(1),
                                       "blobs/sha256/" + hex.substr(1) + "A",
                                       "blobs/sha256/" + hex.substr(1) + "/",
                                       "blobs/sha512/" + hex,
                                       "Blobs/sha256/" + hex,
                                       "blobs/SHA256/" + hex,
                                       "blobs\\sha256\\" + hex,
                                       "oci-layout ",
                                       " oci-layout",
                                       "OCI-LAYOUT",
                                       "oci-layout/",
                                       "oci-layout/x",
                                       "index.json/..",
                                       "index.json\n",
                                       "index.json.",
                                       "~/x",
                                       "C:\\x",
                                       "file:///etc/passwd",
                                       "%2e%2e/x",
                                       "..%2fx",
                                       "\xc0\xae\xc0\xae/x",
                                       "\xe2\x80\xa6/x",
                                       "proc/self/fd/0"};
  ASSERT_GE(names.size(), 40u);
  const auto good = untar(write());
  for (const std::string& name : names) {
    auto entries = good;
    entries.emplace_back(name, bytes_of("x"));
    EXPECT_FALSE(check(tar_of(entries)).ok()) << name;
    EXPECT_FALSE(is_bundle_name(name) && name != "blobs/sha256/") << name;
  }
}

// The same strings as a digest inside a document that is valid otherwise.
TEST_F(BundleTest, DigestsThatLeadElsewhereAreRefused) {
  for (const std::string& digest :
       {std::string("sha256:../../../etc/passwd"), "sha256:" + std::string(64, 'g'),
        "sha256:" + std::string(63, 'a'), "sha512:" + std::string(64, 'a'),
        "sha256:" + std::string(64, 'A'), std::string("sha256:"), std::string()}) {
    const std::string index =
        R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
        digest + R"(","size":1}]})";
    auto entries = untar(write());
    entries[1].second = bytes_of(index);
    const Status status = check(tar_of(entries));
    ASSERT_FALSE(status.ok()) << digest;
    EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt) << digest;
  }
}

TEST_F(BundleTest, BlobsThatNothingNamesAndMissingOnesAreRefused) {
  const auto good = untar(write());
  auto entries = good;
  entries.emplace_back("blobs/sha256/" + to_hex(crypto::sha256(as_bytes_view("x"))), bytes_of("x"));
  EXPECT_FALSE(check(tar_of(entries)).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    entries = good;
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(check(tar_of(entries)).ok()) << good[i].first;
  }
}

// The order of entries is free: other tools pack the same layout anew.
TEST_F(BundleTest, EntriesInAnotherOrder) {
  auto entries = untar(write());
  std::reverse(entries.begin(), entries.end());
  EXPECT_TRUE(check(tar_of(entries)).ok());
}

TEST_F(BundleTest, AnotherPackUnderTheSameNameIsRefused) {
  const auto theirs = untar(write());
  make(true);  // the same source under another key and salt
  input_.record.pack = vault::header_digest(pack_);
  auto entries = untar(write());
  entries.back().second = theirs.back().second;
  const Status status = check(tar_of(entries));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
}

TEST_F(BundleTest, APackThatChangesMeanwhileIsNoBundle) {
  const platform::MemorySource pack{ByteView(pack_)};
  input_.pack = &pack;
  platform::testing::SimulatedFileSystem fs;
  ASSERT_TRUE(fs.make_dirs("/x", 0700).ok());
  auto out = fs.create_exclusive("/x/file", 0600);
  bool changed = false;
  const auto result = write_bundle(input_, **out, [&](std::uint64_t done, std::uint64_t total) {
    if (!changed && 2 * done >= total) {  // it was hashed, and is to be copied
      pack_.back() ^= std::byte{1};
      changed = true;
    }
    return ok_status();
  });
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCorrupt);
}

TEST(Bom, EqualInputEqualDocument) {
  BomModel model;
  model.record.name = *registry::parse_model_name("a");
  model.record.facts.license = "apache-2.0";
  model.seal = "no";
  const std::vector<BomModel> models{model};
  const auto text = [&] {
    return json::write(json::Value(model_bom(models, "2026-01-01T00:00:00Z", "1")));
  };
  EXPECT_EQ(text(), text());
  EXPECT_THAT(text(), HasSubstr(R"("license":{"id":"Apache-2.0"})"));
  EXPECT_THAT(text(), HasSubstr(R"("type":"machine-learning-model")"));
}

}  // namespace
}  // namespace holdfast::bundle
