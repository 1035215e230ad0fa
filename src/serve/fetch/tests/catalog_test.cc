// Answers of the shapes that Hugging Face's hub, Ollama's registry and OCI registries give, and
// what they must not be able to say.
#include "holdfast/fetch/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::fetch {
namespace {

const std::string kSha(64, 'a');
const std::string kGit(40, 'b');

std::string lfs(const std::string& path, const std::string& size = "100") {
  return R"({"type":"file","oid":")" + kGit + R"(","size":)" + size + R"(,"path":")" + path +
         R"(","lfs":{"oid":")" + kSha + R"(","size":)" + size + R"(,"pointerSize":134}})";
}
std::string plain(const std::string& path) {
  return R"({"type":"file","oid":")" + kGit + R"(","size":7,"path":")" + path + R"("})";
}
std::vector<RemoteFile> tree(const std::vector<std::string>& entries) {
  std::string text = "[";
  for (const std::string& e : entries) text += (text.size() > 1 ? "," : "") + e;
  auto parsed = parse_hub_tree(text + "]");
  EXPECT_TRUE(parsed.ok());
  return *std::move(parsed);
}
std::vector<std::string> names(const Selection& selection) {
  std::vector<std::string> out;
  for (const RemoteFile& f : selection.files) out.push_back(f.name);
  return out;
}

TEST(Catalog, RevisionsArePinned) {
  const auto r = parse_hub_revision(R"({"sha":")" + kGit +
                                    R"(","gated":"auto","cardData":{"license":"apache-2.0"}})");
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->commit, kGit);
  EXPECT_EQ(r->license, "apache-2.0");
  EXPECT_TRUE(r->gated);
  for (const std::string& bad : std::vector<std::string>{
           "", "[]", "{}", R"({"sha":7})", R"({"sha":"main"})", R"({"sha":"../../x"})",
           R"({"sha":")" + std::string(40, 'B') + R"("})", R"({"sha":")" + kGit + R"(",})"})
    EXPECT_FALSE(parse_hub_revision(bad).ok()) << bad;
}

TEST(Catalog, TreesListFilesOfModels) {
  const auto files =
      tree({R"({"type":"directory","oid":"x","size":0,"path":"sub"})", lfs("sub/x-Q8_0.gguf"),
            plain("config.json"), lfs("../x.gguf"), lfs("/etc/x.gguf"), lfs("a/../x.gguf"),
            lfs("a//x.gguf"), lfs(".x.gguf"), lfs("a b.gguf"), lfs("sub/x\\\\y.gguf")});
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].name, "x-Q8_0.gguf");
  EXPECT_EQ(files[0].size_bytes, 100u);
  EXPECT_TRUE(files[0].sha256.has_value());
  EXPECT_EQ(files[1].git_id, kGit);
  for (const std::string& bad : std::vector<std::string>{
           "{}", "[7]", R"([{"type":"file"}])", R"([{"type":"file","path":"x","size":1}])",
           "[" + lfs("x", "-1") + "]", "[" + lfs("x", "1.5") + "]", "[" + lfs("x", "1e30") + "]",
           "[" + lfs("x", "9999999999999") + "]",
           R"([{"type":"file","oid":"zz","size":1,"path":"x"}])",
           R"([{"type":"file","oid":"x","size":1,"path":"x","lfs":{"oid":"x","size":1}}])"})
    EXPECT_FALSE(parse_hub_tree(bad).ok()) << bad;
}

TEST(Catalog, PagesFollowTheLink) {
  EXPECT_EQ(next_page(R"(<https://h/x?cursor=1>; rel="next")"), "https://h/x?cursor=1");
  EXPECT_EQ(next_page(R"(<https://h/p>; rel="prev", <https://h/n>; rel="next")"), "https://h/n");
  EXPECT_EQ(next_page(R"(<https://h/p>; rel="prev")"), "");
  for (const char* odd : {"", "<", ">", "><", "<x", "rel=next", ",,,", "<a>,<b>"})
    EXPECT_EQ(next_page(odd), "") << odd;
}

TEST(Catalog, ChoosesTheQuantization) {
  const auto files = tree({lfs("m-Q2_K.gguf"), lfs("m-Q4_K_M.gguf"), lfs("m-Q8_0.gguf"),
                           lfs("m-IQ4_XS.gguf"), lfs("mmproj-m-Q4_K_M.gguf"), plain("README.md")});
  EXPECT_EQ(select_files(files, "", "")->entry, "m-Q4_K_M.gguf");
  EXPECT_EQ(select_files(files, "", "q8_0")->entry, "m-Q8_0.gguf");
  EXPECT_EQ(select_files(files, "m-Q2_K.gguf", "")->entry, "m-Q2_K.gguf");
  for (const char* absent : {"Q4_XS", "Q4_K", "K_M", "Q5_K_M"}) {
    const auto none = select_files(files, "", absent);
    ASSERT_FALSE(none.ok()) << absent;
    EXPECT_EQ(none.error().code(), ErrorCode::kNotFound);
    EXPECT_NE(none.error().hint().find("m-Q8_0.gguf"), std::string::npos);
  }
  EXPECT_FALSE(select_files(files, "x.gguf", "").ok());
  EXPECT_FALSE(select_files(files, "README.md", "").ok());
  EXPECT_EQ(select_files(tree({lfs("m-Q2_K.gguf"), lfs("m-Q8_0.gguf")}), "", "")->entry,
            "m-Q8_0.gguf");
  EXPECT_EQ(select_files(tree({lfs("m-F16.gguf"), lfs("m-Q2_K.gguf")}), "", "")->entry,
            "m-F16.gguf");
}

TEST(Catalog, SplitModelsAreWhole) {
  const auto files = tree({lfs("q/m-00002-of-00003.gguf"), lfs("q/m-00001-of-00003.gguf"),
                           lfs("q/m-00003-of-00003.gguf"), lfs("o/m-00001-of-00002.gguf")});
  const auto whole = select_files(files, "q/m-00001-of-00003.gguf", "");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->entry, "m-00001-of-00003.gguf");
  EXPECT_THAT(names(*whole), testing::ElementsAre("m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                                  "m-00003-of-00003.gguf"));
  EXPECT_EQ(select_files(files, "o/m-00001-of-00002.gguf", "").error().code(),
            ErrorCode::kNotFound);
  EXPECT_FALSE(select_files(tree({lfs("m-00001-of-00000.gguf")}), "", "").ok());
  EXPECT_FALSE(select_files(tree({lfs("m-00001-of-99999.gguf")}), "", "").ok());
}

TEST(Catalog, FoldersAndSignatures) {
  const auto folder =
      select_files(tree({plain("config.json"), plain("tokenizer.json"), lfs("model.safetensors"),
                         lfs("pytorch_model.bin"), plain("sub/config.json"), plain("model.sig")}),
                   "", "");
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(folder->entry, "");
  EXPECT_THAT(names(*folder), testing::ElementsAre("config.json", "tokenizer.json",
                                                   "model.safetensors", "model.sig"));
  EXPECT_FALSE(select_files(tree({lfs("pytorch_model.bin"), plain("config.json")}), "", "").ok());
  const auto signed_file = select_files(tree({lfs("m.gguf"), plain("model.sig")}), "", "");
  EXPECT_THAT(names(*signed_file), testing::ElementsAre("m.gguf", "model.sig"));
}

std::string layer(const std::string& type, const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","digest":"sha256:)" + kSha + R"(","size":5)" + more +
         "}";
}
std::string manifest(const std::string& layers) {
  return R"({"schemaVersion":2,"layers":[)" + layers + "]}";
}

TEST(Catalog, ManifestsOfRegistries) {
  const auto ollama = parse_manifest(manifest(layer("application/vnd.ollama.image.license") + "," +
                                              layer("application/vnd.ollama.image.model") + "," +
                                              layer("application/vnd.ollama.image.template")));
  ASSERT_TRUE(ollama.ok());
  ASSERT_EQ(ollama->selection.files.size(), 1u);
  EXPECT_EQ(ollama->selection.files[0].path, "sha256:" + kSha);
  const auto pack =
      parse_manifest(manifest(layer("application/vnd.cncf.model.weight.v1.raw",
                                    R"(,"annotations":{"org.cncf.model.filepath":"m-Q4.gguf"})")));
  ASSERT_TRUE(pack.ok());
  EXPECT_EQ(pack->selection.entry, "m-Q4.gguf");
  EXPECT_EQ(
      parse_manifest(manifest(layer("application/vnd.docker.ai.gguf.v3")))->selection.files.size(),
      1u);
  EXPECT_EQ(parse_manifest(R"({"manifests":[]})").error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(parse_manifest(manifest(layer("application/vnd.ollama.image.adapter"))).error().code(),
            ErrorCode::kUnsupported);
  EXPECT_EQ(parse_manifest(manifest("")).error().code(), ErrorCode::kNotFound);
  for (const char* path : {"../x.gguf", "/x.gguf", "a/b.gguf", "..", "", "a\\\\b"}) {
    const auto refused = parse_manifest(manifest(
        layer("application/vnd.cncf.model.weight.v1.raw",
              R"(,"annotations":{"org.cncf.model.filepath":")" + std::string(path) + "\"}")));
    EXPECT_FALSE(refused.ok()) << path;
  }
  std::string bad = manifest(layer("application/vnd.ollama.image.model"));
  bad.replace(bad.find("sha256:aaaa"), 11, "sha256:../a");
  EXPECT_FALSE(parse_manifest(bad).ok());
}

TEST(Catalog, ChallengesAndTokens) {
  const auto c = parse_challenge(R"(Bearer realm="https://r/token",service="s",scope="x:y:pull")");
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(c->realm, "https://r/token");
  EXPECT_EQ(c->service, "s");
  for (const char* bad :
       {"", "Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x"})
    EXPECT_FALSE(parse_challenge(bad).ok()) << bad;
  EXPECT_EQ(*parse_token(R"({"token":"abc"})"), "abc");
  EXPECT_EQ(*parse_token(R"({"access_token":"abc"})"), "abc");
  for (const char* bad : {"{}", R"({"token":""})", R"({"token":"a\r\nHost: x"})", R"({"token":7})"})
    EXPECT_FALSE(parse_token(bad).ok()) << bad;
}

TEST(Catalog, Headers) {
  EXPECT_EQ(plain_etag("W/\"abc\""), "abc");
  EXPECT_EQ(plain_etag("\"abc\""), "abc");
  EXPECT_EQ(plain_etag("abc"), "abc");
  EXPECT_EQ(*parse_content_range("bytes 0-9/10"), (ContentRange{0, 9, 10}));
  EXPECT_FALSE(parse_length("").has_value());
  EXPECT_FALSE(parse_length("+1").has_value());
  EXPECT_FALSE(parse_length("1 ").has_value());
  EXPECT_FALSE(parse_length("99999999999999999999").has_value());
  EXPECT_TRUE(parse_content_digest(
      "sha-512=:AA==:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"));
  EXPECT_FALSE(parse_content_digest("sha-256=:AAAA:"));
}

}  // namespace
}  // namespace holdfast::fetch
