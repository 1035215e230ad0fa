#include "holdfast/fetch/source.h"

#include <gtest/gtest.h>

namespace holdfast::fetch {
namespace {

const std::string kHex(64, 'a');

Result<Source> parse(std::string_view text) {
  return parse_source(text, *parse_url("https://hub.example/"));
}

TEST(Source, OfTheHub) {
  const auto plain = parse("org/repo");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->kind, SourceKind::kHub);
  EXPECT_EQ(plain->repository, "org/repo");
  EXPECT_EQ(model_name_of(*plain), "org/repo");
  const auto quant = parse("hf://org/Repo-GGUF:Q8_0@v1.0");
  ASSERT_TRUE(quant.ok());
  EXPECT_EQ(quant->quantization, "Q8_0");
  EXPECT_EQ(quant->revision, "v1.0");
  EXPECT_EQ(model_name_of(*quant), "org/Repo-GGUF:Q8_0");
  const auto file = parse("hf://org/repo/sub/x-Q4.gguf@refs/pr/1");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->file, "sub/x-Q4.gguf");
  EXPECT_EQ(file->revision, "refs/pr/1");
  EXPECT_EQ(model_name_of(*file), "");
}

TEST(Source, OfRegistries) {
  const auto ollama = parse("ollama://llama3:8b");
  ASSERT_TRUE(ollama.ok());
  EXPECT_EQ(ollama->repository, "library/llama3");
  EXPECT_EQ(ollama->reference, "8b");
  EXPECT_EQ(model_name_of(*ollama), "llama3:8b");
  EXPECT_EQ(parse("ollama://me/mine")->repository, "me/mine");
  const auto oci = parse("oci://ghcr.io:5000/a/b/c@sha256:" + kHex);
  ASSERT_TRUE(oci.ok());
  EXPECT_EQ(oci->url.text(), "https://ghcr.io:5000/");
  EXPECT_EQ(oci->reference, "sha256:" + kHex);
  EXPECT_EQ(model_name_of(*oci), "a/b/c");
  EXPECT_EQ(parse("oci+http://10.0.0.1:5000/a:1")->url.text(), "http://10.0.0.1:5000/");
}

TEST(Source, OfUrlsAndFiles) {
  const auto url = parse("https://a.org/m/x.gguf?download=1#sha256=" + kHex);
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->url.text(), "https://a.org/m/x.gguf?download=1");
  EXPECT_EQ(url->file, "x.gguf");
  EXPECT_TRUE(url->digest.has_value());
  EXPECT_EQ(parse("file:///m/x.gguf")->path, "/m/x.gguf");
  EXPECT_EQ(parse("bundle:///m/x.tar")->kind, SourceKind::kFile);
}

TEST(Source, RefusesEverythingElse) {
  const std::string long_name(300, 'a');
  for (const std::string& text :
       std::vector<std::string>{"",
                                "repo",
                                "/org/repo",
                                "org/",
                                "org//repo",
                                "../repo",
                                "org/..",
                                "org/.hidden",
                                "hf://",
                                "hf://org",
                                "hf://org/repo:",
                                "hf://org/repo@",
                                "hf://org/repo@..",
                                "hf://org/repo@a/../b",
                                "hf://org/repo/../../x.gguf",
                                "hf://org/repo/x.bin",
                                "hf://org/repo/x.gguf:Q4",
                                "hf://org/re po",
                                "hf://org/repo?x",
                                "hf://org/repo#x",
                                "hf://org/r%2e",
                                "hf://org/" + long_name,
                                "ollama://",
                                "ollama://a:",
                                "ollama://a:b:c",
                                "ollama://../x",
                                "ollama://a@sha256:" + std::string(63, 'a'),
                                "ollama://a@sha256:" + std::string(64, 'A'),
                                "ollama://a@md5:" + kHex,
                                "oci://ghcr.io",
                                "oci://ghcr.io/",
                                "oci://user@ghcr.io/a",
                                "oci:///a",
                                "https://a.org/x.gguf",
                                "https://a.org/x.gguf#sha256=",
                                "https://a.org/#sha256=" + kHex,
                                "https://a.org/x.gguf#sha256=" + kHex + "0",
                                "https://a.org/x.gguf#md5=" + kHex,
                                "https://a.org/%2e%2e#sha256=" + kHex,
                                "https://a.org/.x#sha256=" + kHex,
                                "https://u@a.org/x.gguf#sha256=" + kHex,
                                "file://x.gguf",
                                "ftp://a.org/x.gguf",
                                "s3://bucket/key"})
    EXPECT_FALSE(parse(text).ok()) << text;
  EXPECT_EQ(parse("s3://bucket/key").error().code(), ErrorCode::kUnsupported);
}

TEST(Source, LooksLikeOne) {
  for (const char* text : {"org/repo", "org/repo:Q4_K_M", "hf://x", "ollama://llama3",
                           "https://a.org/x", "org/repo@main"})
    EXPECT_TRUE(looks_like_source(text)) << text;
  for (const char* text : {"smol", "smol:latest", "", "/abs/path.gguf", "./x", "a/", "x://y/z"})
    EXPECT_FALSE(looks_like_source(text)) << text;
}

// R-06: what a manifest or repository may make a file be called here.
TEST(Source, FileNamesAreNoPaths) {
  for (const char* name :
       {"",      ".",           "..",  "../x", "a/b",  "/etc/passwd", "a\\b", "C:x",  "~x",
        "-rf",   ".hidden",     "a b", "a\nb", "a\tb", "x;y",         "x|y",  "$(x)", "`x`",
        "a%2fb", "caf\xc3\xa9", "x?y", "x*",   "a:b",  "\x7f",        "a'b",  "a\"b"})
    EXPECT_FALSE(is_plain_file_name(name)) << name;
  EXPECT_FALSE(is_plain_file_name(std::string("a\0b", 3)));
  EXPECT_FALSE(is_plain_file_name(std::string(201, 'a')));
  for (const char* name :
       {"model-Q4_K_M.gguf", "config.json", "a+b.gguf", "model-00001-of-00002.gguf"})
    EXPECT_TRUE(is_plain_file_name(name)) << name;
  for (const char* digest : {"sha256:", "SHA256:", "sha256:../../x", "sha512:aa", "aa", ""})
    EXPECT_FALSE(parse_digest(digest + std::string(10, 'a')).ok()) << digest;
  EXPECT_TRUE(parse_digest("sha256:" + kHex).ok());
  EXPECT_FALSE(parse_digest("sha256:" + kHex + "/").ok());
}

TEST(Source, ANameAloneIsToldWhereItMayBe) {
  for (const std::string_view name : {"llama3.2", "llama3.2:1b"}) {
    const auto source = parse(name);
    ASSERT_FALSE(source.ok());
    EXPECT_NE(source.error().hint().find("ollama://" + std::string(name)), std::string::npos);
  }
}

}  // namespace
}  // namespace holdfast::fetch
