// Oracle: after a crash at any operation the store holds the old state or the new one, and opens.
#include "holdfast/registry/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "holdfast/platform/testing/simulated_filesystem.h"
#include "holdfast/registry/manifest.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_writer.h"

namespace holdfast::registry {
namespace {

using platform::testing::CrashPolicy;
using platform::testing::SimulatedFileSystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const platform::ManualClock kClock;

crypto::Sha256Digest source_of(std::string_view text) {
  const crypto::Sha256Digest files[] = {crypto::sha256(as_bytes_view(text))};
  return vault::source_digest(files);
}

Result<std::unique_ptr<Store>> open_store(platform::FileSystem& fs) {
  return Store::open(fs, kClock, "/data/holdfast");
}

ModelFacts facts() { return {"llama", 4096, "Q4_K_M", 135000000, "apache-2.0", true, false}; }

Status write_pack(platform::OpenFile& file, const crypto::Sha256Digest& source) {
  vault::PackPlan plan;
  plan.source_digest = source;
  plan.objects.push_back({vault::ObjectKind::kMetadata, "", Bytes(100, std::byte{'x'})});
  HF_TRY_ASSIGN(auto writer, vault::PackWriter::begin(file, std::move(plan)));
  return writer.finish();
}

Result<ModelRecord> import(Store& store, std::string_view content, std::string_view name) {
  HF_TRY_ASSIGN(const ModelName parsed, parse_model_name(name));
  const auto source = source_of(content);
  HF_TRY_ASSIGN(auto staging, store.stage(source, 1000));
  HF_TRY(write_pack(staging->file(), source));
  return store.publish(std::move(staging), {parsed, source, "gguf/1", facts()});
}

std::vector<std::string> names(const Store& store) {
  std::vector<std::string> out;
  const auto listing = store.list();
  EXPECT_TRUE(listing.ok());
  for (const ModelRecord& model : listing->models) out.push_back(model.name.full());
  for (const std::string& damaged : listing->damaged) out.push_back("damaged " + damaged);
  return out;
}

std::vector<std::string> files_in(platform::FileSystem& fs, const std::string& path) {
  std::vector<std::string> out;
  const auto entries = fs.list(path);
  if (!entries.ok()) return out;
  for (const auto& entry : *entries) out.push_back(entry.name);
  return out;
}

TEST(ModelName, ParsesAndRefuses) {
  EXPECT_EQ(parse_model_name("smollm2")->full(), "smollm2:latest");
  EXPECT_EQ(parse_model_name("org/Name.1_x-y:q4_k_m")->full(), "org/Name.1_x-y:q4_k_m");
  EXPECT_EQ(parse_model_name("a/b/c:1")->tag, "1");
  EXPECT_EQ(parse_model_name("a:latest")->shown(), "a");
  EXPECT_EQ(parse_model_name("a:b")->shown(), "a:b");
  for (const char* bad : {"",        ":",    "a:",   ":b",   "a::b", "/a",    "a/",   "a//b",
                          "a/b/c/d", ".",    "..",   "a/..", "../a", "a b",   "a\nb", "a+b",
                          "-a",      "a/.b", "a:.b", "\xff", "a\\b", "a%2fb", "a:b/c"}) {
    EXPECT_FALSE(parse_model_name(bad).ok()) << bad;
  }
  EXPECT_TRUE(parse_model_name(std::string(96, 'a')).ok());
  EXPECT_FALSE(parse_model_name(std::string(97, 'a')).ok());
}

TEST(ModelName, IsMadeFromFileNames) {
  EXPECT_EQ(model_name_from_file("/x/SmolLM2-135M-Instruct.Q4_1.gguf"),
            "smollm2-135m-instruct.q4_1");
  EXPECT_EQ(model_name_from_file("SmolLM2 (135M).gguf"), "smollm2-135m");
  EXPECT_EQ(model_name_from_file("...gguf"), "model");
  EXPECT_EQ(model_name_from_file("\xff.gguf"), "model");
  for (const char* name : {"a b c.gguf", "--x--", "\xc3\xa9t\xc3\xa9.gguf", ".hidden.gguf"}) {
    EXPECT_TRUE(parse_model_name(model_name_from_file(name)).ok()) << name;
  }
}

TEST(Store, ImportsListsResolves) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  ASSERT_TRUE(store.ok()) << store.error().to_string();
  EXPECT_THAT(names(**store), IsEmpty());
  const auto imported = import(**store, "one", "smollm2");
  ASSERT_TRUE(imported.ok()) << imported.error().to_string();
  ASSERT_TRUE(import(**store, "two", "org/other:q8").ok());
  EXPECT_THAT(names(**store), ElementsAre("org/other:q8", "smollm2:latest"));
  const auto found = (*store)->resolve("smollm2");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->pack, imported->pack);
  EXPECT_EQ(found->facts.quantization, "Q4_K_M");
  EXPECT_EQ(found->facts.parameters, 135000000u);
  EXPECT_EQ(found->created_unix, 1'750'000'000);
  EXPECT_EQ((*store)->resolve("org/other")->name.tag, "q8");  // the only tag there is
  EXPECT_EQ((*store)->resolve("org/other:latest").error().code(), ErrorCode::kNotFound);
  const auto file = (*store)->open_pack(*found);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->size(), found->size_bytes);
  EXPECT_TRUE(vault::PackReader::open(**file)->verify_all().ok());
}

TEST(Store, SuggestsTheNearestName) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  EXPECT_THAT((*store)->resolve("x").error().hint(), HasSubstr("empty"));
  ASSERT_TRUE(import(**store, "one", "smollm2").ok());
  const auto missing = (*store)->resolve("smolm2");
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().hint(), "Did you mean \"smollm2\"?");
  EXPECT_THAT((*store)->resolve("entirely-different").error().hint(), HasSubstr("holdfast ls"));
  EXPECT_EQ((*store)->resolve("../etc").error().code(), ErrorCode::kInvalidArgument);
}

TEST(Store, ReimportIsFoundBySourceAndVariant) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  ASSERT_TRUE(import(**store, "one", "a").ok());
  const auto again = (*store)->find_source(source_of("one"), "gguf/1");
  ASSERT_TRUE(again.ok() && again->has_value());
  EXPECT_FALSE((*store)->find_source(source_of("one"), "gguf/2")->has_value());
  EXPECT_FALSE((*store)->find_source(source_of("two"), "gguf/1")->has_value());
  ASSERT_TRUE((*store)->add_name(**again, *parse_model_name("b")).ok());
  EXPECT_THAT(names(**store), ElementsAre("a:latest", "b:latest"));
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
  // A damaged pack is no reason to skip an import.
  ASSERT_TRUE(
      fs.corrupt_byte("/data/holdfast/packs/" + to_hex((*again)->pack) + ".hfc", 100, 1).ok());
  EXPECT_FALSE((*store)->find_source(source_of("one"), "gguf/1")->has_value());
  EXPECT_EQ((*store)->open_pack(**again).error().code(), ErrorCode::kCorrupt);
}

TEST(Store, PackGoesWithItsLastName) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  const auto model = import(**store, "one", "a");
  ASSERT_TRUE((*store)->copy("a", "b:x").ok());
  EXPECT_EQ((*store)->aliases_of(*model)->front().full(), "b:x");
  ASSERT_TRUE((*store)->remove("a").ok());
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
  EXPECT_TRUE((*store)->resolve("b:x").ok());
  const auto open = (*store)->open_pack(*model);  // loaded somewhere
  ASSERT_TRUE((*store)->remove("b:x").ok());
  EXPECT_THAT(files_in(fs, "/data/holdfast/packs"), IsEmpty());
  EXPECT_THAT(files_in(fs, "/data/holdfast/models"), IsEmpty());
  EXPECT_TRUE(vault::PackReader::open(**open)->verify_all().ok());
  EXPECT_EQ((*store)->remove("a").error().code(), ErrorCode::kNotFound);
}

TEST(Store, ReplacedNameDropsItsOldPack) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  ASSERT_TRUE(import(**store, "one", "a").ok());
  const auto second = import(**store, "two", "a");
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(files_in(fs, "/data/holdfast/packs"), ElementsAre(to_hex(second->pack) + ".hfc"));
}

TEST(Store, DamagedManifestHarmsNothingElse) {
  SimulatedFileSystem fs;
  auto store = open_store(fs);
  ASSERT_TRUE(import(**store, "one", "a").ok());
  ASSERT_TRUE(import(**store, "two", "b").ok());
  ASSERT_TRUE(fs.corrupt_byte("/data/holdfast/models/a/latest.json", 0, 0x10).ok());
  EXPECT_THAT(names(**store), ElementsAre("b:latest", "damaged a:latest"));
  EXPECT_EQ((*store)->resolve("a").error().code(), ErrorCode::kCorrupt);
  store = open_store(fs);
  // Which pack the damaged one means is unknown, so none is removed.
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 2u);
  ASSERT_TRUE((*store)->remove("a").ok());
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
}

TEST(Store, StagingIsExclusiveAndCleanedUp) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  auto staging = (*store)->stage(source_of("one"), 1000);
  ASSERT_TRUE(staging.ok());
  EXPECT_EQ((*store)->stage(source_of("one"), 1000).error().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE((*store)->stage(source_of("two"), 1000).ok());
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
  ASSERT_TRUE(open_store(fs).ok());  // leaves a running import alone
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
  staging->reset();
  EXPECT_THAT(files_in(fs, "/data/holdfast/packs"), IsEmpty());
}

TEST(Store, RefusesToPublishWhatIsNoPack) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  auto staging = *(*store)->stage(source_of("one"), 1000);
  ASSERT_TRUE(staging->file().write_all(Bytes(5000)).ok());
  EXPECT_EQ((*store)
                ->publish(std::move(staging), {*parse_model_name("a"), source_of("one"), "v"})
                .error()
                .code(),
            ErrorCode::kCorrupt);
  staging = *(*store)->stage(source_of("one"), 1000);
  ASSERT_TRUE(write_pack(staging->file(), source_of("two")).ok());
  EXPECT_FALSE(
      (*store)->publish(std::move(staging), {*parse_model_name("a"), source_of("one"), "v"}).ok());
  EXPECT_THAT(names(**store), IsEmpty());
  EXPECT_THAT(files_in(fs, "/data/holdfast/packs"), IsEmpty());
}

TEST(Store, RefusesWithoutRoom) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  fs.set_capacity_bytes(1 << 20);
  const auto staging = (*store)->stage(source_of("one"), 1u << 30);
  EXPECT_EQ(staging.error().code(), ErrorCode::kExhausted);
  EXPECT_THAT(staging.error().client_message(), HasSubstr("not enough room"));
}

// Every state that a script can leave behind: crash at each operation, with each policy.
void for_each_crash(
    const std::function<void(SimulatedFileSystem&)>& prepare,
    const std::function<void(Store&)>& script,
    const std::function<void(Store&, SimulatedFileSystem&, const std::string&)>& check) {
  std::uint64_t operations = 0;
  {
    SimulatedFileSystem fs;
    prepare(fs);
    const auto store = open_store(fs);
    const std::uint64_t before = fs.operations();
    script(**store);
    operations = fs.operations() - before;
  }
  ASSERT_GT(operations, 2u);
  for (std::uint64_t n = 0; n <= operations; ++n) {
    for (int seed = -2; seed < 6; ++seed) {
      SimulatedFileSystem fs;
      prepare(fs);
      {
        const auto store = open_store(fs);
        fs.crash_after(n);
        script(**store);
      }
      const CrashPolicy policy = seed == -2   ? CrashPolicy::kDropUnsynced
                                 : seed == -1 ? CrashPolicy::kKeepAll
                                              : CrashPolicy::kRandom;
      fs.restart(policy, static_cast<std::uint64_t>(seed + 2));
      const auto store = open_store(fs);
      const std::string where = "operation " + std::to_string(n) + ", seed " + std::to_string(seed);
      ASSERT_TRUE(store.ok()) << where << ": " << store.error().to_string();
      check(**store, fs, where);
    }
  }
}

// Whatever is listed has a whole pack, and nothing else lies around.
void expect_sound(Store& store, SimulatedFileSystem& fs, const std::string& where) {
  const auto listing = store.list();
  ASSERT_TRUE(listing.ok()) << where;
  EXPECT_THAT(listing->damaged, IsEmpty()) << where;
  std::set<crypto::Sha256Digest> packs;
  for (const ModelRecord& model : listing->models) {
    const auto file = store.open_pack(model);
    ASSERT_TRUE(file.ok()) << where;
    const auto pack = vault::PackReader::open(**file);
    ASSERT_TRUE(pack.ok()) << where;
    EXPECT_TRUE(pack->verify_all().ok()) << where;
    packs.insert(model.pack);
  }
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), packs.size()) << where;
}

void import_quietly(Store& store, std::string_view content, std::string_view name) {
  ignore_error(import(store, content, name), "the crash is the point");
}

TEST(StoreCrash, ImportIsThereOrNot) {
  std::set<std::size_t> seen;
  for_each_crash([](SimulatedFileSystem&) {},
                 [](Store& store) { import_quietly(store, "one", "org/a:x"); },
                 [&](Store& store, SimulatedFileSystem& fs, const std::string& where) {
                   expect_sound(store, fs, where);
                   seen.insert(names(store).size());
                 });
  EXPECT_THAT(seen, ElementsAre(0, 1));
}

TEST(StoreCrash, CompletedImportSurvives) {
  SimulatedFileSystem fs;
  {
    const auto store = open_store(fs);
    ASSERT_TRUE(import(**store, "one", "a").ok());
  }
  fs.restart(CrashPolicy::kDropUnsynced);
  const auto store = open_store(fs);
  EXPECT_THAT(names(**store), ElementsAre("a:latest"));
  expect_sound(**store, fs, "after the import");
}

TEST(StoreCrash, CompletedRemovalSurvives) {
  SimulatedFileSystem fs;
  {
    const auto store = open_store(fs);
    ASSERT_TRUE(import(**store, "one", "a").ok());
    ASSERT_TRUE(import(**store, "two", "a:x").ok());  // the folder stays
    ASSERT_TRUE((*store)->remove("a").ok());
  }
  fs.restart(CrashPolicy::kDropUnsynced);
  EXPECT_THAT(names(**open_store(fs)), ElementsAre("a:x"));
}

TEST(StoreCrash, ReplacingKeepsOldOrNew) {
  const auto old_pack = [] {
    SimulatedFileSystem fs;
    return import(**open_store(fs), "old", "a")->pack;
  }();
  std::set<bool> seen;
  for_each_crash([](SimulatedFileSystem& fs) { import_quietly(**open_store(fs), "old", "a"); },
                 [](Store& store) { import_quietly(store, "new", "a"); },
                 [&](Store& store, SimulatedFileSystem& fs, const std::string& where) {
                   expect_sound(store, fs, where);
                   const auto model = store.resolve("a");
                   ASSERT_TRUE(model.ok()) << where;
                   seen.insert(model->pack == old_pack);
                 });
  EXPECT_EQ(seen.size(), 2u);
}

TEST(StoreCrash, RemovingKeepsOldOrNew) {
  std::set<std::size_t> seen;
  for_each_crash(
      [](SimulatedFileSystem& fs) {
        const auto store = open_store(fs);
        import_quietly(**store, "one", "a");
        import_quietly(**store, "two", "b");
      },
      [](Store& store) { ignore_error(store.remove("a"), "the crash is the point"); },
      [&](Store& store, SimulatedFileSystem& fs, const std::string& where) {
        expect_sound(store, fs, where);
        EXPECT_TRUE(store.resolve("b").ok()) << where;
        seen.insert(names(store).size());
      });
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST(StoreFault, EveryFailedOperationLeavesASoundStore) {
  for (const ErrorCode code : {ErrorCode::kExhausted, ErrorCode::kIo}) {
    for (std::uint64_t n = 0; n < 40; ++n) {
      SimulatedFileSystem fs;
      const auto store = open_store(fs);
      import_quietly(**store, "old", "a");
      fs.fail_operation(n, code);
      const auto imported = import(**store, "new", "a");
      // Nothing half done shows, whatever the answer was; the old or the new model is there.
      EXPECT_THAT(names(**store), ElementsAre("a:latest")) << n;
      const auto model = (*store)->resolve("a");
      ASSERT_TRUE(model.ok()) << n;
      EXPECT_TRUE((*store)->open_pack(*model).ok()) << n;
      if (imported.ok()) {
        EXPECT_EQ(model->source, source_of("new")) << n;
      }
    }
  }
}

Provenance provenance() {
  Provenance p;
  p.origin = {OriginKind::kUrl, "https://example.org/a.gguf", "abc"};
  p.imported = {"ada", 1000, 1'750'000'000};
  p.hops.push_back({{"bob", 7, 1'760'000'000}, Act{"eve", 8, 1'770'000'000}});
  return p;
}

TEST(Manifest, KeepsProvenanceStageAndMembersOfOthers) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  auto staging = *(*store)->stage(source_of("one"), 1000);
  ASSERT_TRUE(write_pack(staging->file(), source_of("one")).ok());
  Publication p{*parse_model_name("a"), source_of("one"), "gguf/1", facts()};
  p.provenance = provenance();
  p.stage = Stage::kCandidate;
  p.others.set("signature", json::Object{{"publisher", "ACME"}});
  ASSERT_TRUE((*store)->publish(std::move(staging), std::move(p)).ok());
  ASSERT_TRUE((*store)->copy("a", "b").ok());
  ASSERT_TRUE((*store)->set_stage("b", Stage::kRetired).ok());
  for (const char* name : {"a", "b"}) {
    const auto record = (*store)->resolve(name);
    ASSERT_TRUE(record.ok()) << record.error().to_string();
    ASSERT_TRUE(record->provenance.has_value());
    EXPECT_EQ(json::Value(provenance_json(*record->provenance)),
              json::Value(provenance_json(provenance())));
    ASSERT_NE(record->others.find("signature"), nullptr);
    EXPECT_EQ(record->others.find("signature")->find("publisher")->as_string(), "ACME");
  }
  EXPECT_EQ((*store)->resolve("a")->stage, Stage::kCandidate);
  EXPECT_EQ((*store)->resolve("b")->stage, Stage::kRetired);
}

// The example of docs/formats/store.md as the first version wrote it.
TEST(Manifest, OfBeforeStaysReadable) {
  const std::string digest(64, 'd');
  const std::string text =
      R"({"version":1,"name":"a:latest","pack":")" + digest + R"(","source":")" + digest +
      R"(","variant":"gguf/1","size_bytes":1,"created":1,"facts":{)"
      R"("architecture":"llama","context_length":1,"quantization":"Q4_1",)"
      R"("parameters":1,"license":"","has_template":true,"vocab_only":false}})";
  const auto record = decode_manifest(text, *parse_model_name("a"));
  ASSERT_TRUE(record.ok()) << record.error().to_string();
  EXPECT_EQ(record->stage, Stage::kProduction);
  EXPECT_FALSE(record->provenance.has_value());
  EXPECT_TRUE(record->others.empty());
}

TEST(Provenance, RefusesWhatItWouldNotWrite) {
  const json::Value good(provenance_json(provenance()));
  ASSERT_TRUE(decode_provenance(good).ok());
  const auto with = [&](const char* object, const char* member, json::Value value) {
    json::Value changed = good;
    changed.as_object().find(object)->as_object().set(member, std::move(value));
    return decode_provenance(changed).ok();
  };
  EXPECT_TRUE(with("origin", "revision", "main"));
  EXPECT_FALSE(with("origin", "kind", "cloud"));
  EXPECT_FALSE(with("origin", "kind", 1));
  EXPECT_TRUE(with("origin", "location", std::string(kOriginBytesMax, 'a')));
  EXPECT_FALSE(with("origin", "location", std::string(kOriginBytesMax + 1, 'a')));
  EXPECT_FALSE(with("origin", "location", "\x1b[31m"));
  EXPECT_FALSE(with("imported", "uid", -1));
  EXPECT_FALSE(with("imported", "uid", std::int64_t{1} << 32));
  EXPECT_FALSE(with("imported", "at", "yesterday"));
  json::Value many = good;
  json::Array hops;
  for (std::size_t i = 0; i <= kHopsMax; ++i) hops.push_back(good.find("hops")->as_array()[0]);
  many.as_object().set("hops", std::move(hops));
  EXPECT_FALSE(decode_provenance(many).ok());
}

TEST(Provenance, UrlsAreRecordedWithoutSecrets) {
  EXPECT_EQ(url_to_record("https://user:pass@host/a.gguf?token=x#y"), "https://host/a.gguf");
  EXPECT_EQ(url_to_record("hf://org/repo@main"), "hf://org/repo@main");
  EXPECT_EQ(url_to_record("https://host"), "https://host");
}

TEST(Store, ResumableWorkIsKeptAndLocked) {
  SimulatedFileSystem fs;
  const auto store = open_store(fs);
  { ASSERT_TRUE((*store)->stage_resumable(source_of("one"), 1000).ok()); }
  EXPECT_EQ(files_in(fs, "/data/holdfast/packs").size(), 1u);
  const auto first = (*store)->stage_resumable(source_of("two"), 1000);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*store)->stage_resumable(source_of("two"), 1000).error().code(),
            ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace holdfast::registry
