#include "holdfast/config/upstream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "holdfast/config/settings.h"

namespace holdfast::config {
namespace {

class UpstreamTest : public ::testing::Test {
 protected:
  UpstreamTest()
      : path_(std::filesystem::temp_directory_path() /
              ("hf-upstream-" + std::to_string(::getpid()) + ".toml")) {}
  ~UpstreamTest() override { std::filesystem::remove(path_); }

  Result<Settings> load(const std::string& text) {
    std::ofstream(path_) << text;
    LoadInput input;
    input.config_path = path_.string();
    return Settings::load(input);
  }
  std::string failure(const std::string& text) {
    const auto s = load(text);
    return s.ok() ? "loaded" : s.error().client_message() + " | " + s.error().hint();
  }

  std::filesystem::path path_;
};

constexpr const char* kGood =
    "[upstream.big-one]\nkind = \"openai\"\nurl = \"https://host/v1\"\n"
    "credential = \"file:/run/key\"\nmodels = {\"org/m\" = \"m\"}\nconcurrency = 4096\n"
    "first_token_timeout = \"2m\"\n";

TEST_F(UpstreamTest, AllFieldsAreRead) {
  const auto s = load(std::string(kGood) +
                      "[upstream.local]\nkind = \"process\"\nmodels = {m = \"mine\"}\n"
                      "command = [\"/bin/llama-server\", \"-m\", \"{model}\", \"--port\", "
                      "\"{port}\"]\nmodel_file = \"/m.gguf\"\naddress_space_max = \"8GiB\"\n");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  ASSERT_EQ(s->upstreams().size(), 2u);
  const UpstreamSettings& one = s->upstreams()[0];
  EXPECT_EQ(one.name, "big-one");
  EXPECT_EQ(one.models.at("org/m"), "m");
  EXPECT_EQ(one.concurrency, 4096u);
  EXPECT_EQ(one.first_token_timeout, std::chrono::minutes(2));
  EXPECT_NE(one.source.find(".toml:1"), std::string::npos) << one.source;
  const UpstreamSettings& two = s->upstreams()[1];
  EXPECT_EQ(two.kind, UpstreamKind::kProcess);
  EXPECT_EQ(two.command.size(), 5u);
  EXPECT_EQ(two.health, "/health");
  EXPECT_EQ(two.address_space_max, std::uint64_t{8} << 30);
}

TEST_F(UpstreamTest, TheCredentialIsNotShown) {
  const auto s = load(kGood);
  ASSERT_TRUE(s.ok());
  for (const auto& [key, value] : s->upstreams()[0].shown()) {
    EXPECT_EQ(value.find("/run/key"), std::string::npos);
    if (key == "credential") {
      EXPECT_EQ(value, "\"***\"");
    }
  }
}

TEST_F(UpstreamTest, WhatIsShownReadsBack) {
  const char* open_ai =
      "kind = \"openai\"\nurl = \"http://127.0.0.1:1\"\nmodels = {\"a\\\"\" = \"b\"}\n";
  const char* process =
      "kind = \"process\"\nmodels = {a = \"b\"}\ncommand = [\"/x\", \"{port}\"]\n"
      "address_space_max = \"8GiB\"\n";
  for (const std::string& body : {std::string(open_ai), std::string(process)}) {
    const auto first = load("[upstream.u]\n" + body);
    ASSERT_TRUE(first.ok()) << first.error().to_string();
    std::string text = "[upstream.u]\n";
    for (const auto& [key, value] : first->upstreams()[0].shown())
      text += key + " = " + value + "\n";
    const auto second = load(text);
    ASSERT_TRUE(second.ok()) << second.error().to_string() << text;
    EXPECT_EQ(second->upstreams()[0].shown(), first->upstreams()[0].shown());
  }
}

TEST_F(UpstreamTest, MistakesNameLineAndKey) {
  const std::string base = "[upstream.u]\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\n";
  const std::string good = base + "models = {a = \"b\"}\n";
  ASSERT_EQ(failure(good), "loaded");
  EXPECT_NE(failure(good + "conurrency = 1\n")
                .find(":5: unknown setting 'upstream.u.conurrency' "
                      "| did you mean 'concurrency'?"),
            std::string::npos)
      << failure(good + "conurrency = 1\n");
  for (const char* line :
       {"concurrency = 0", "concurrency = 4097", "concurrency = \"1\"", "timeout = \"0ms\"",
        "timeout = \"25h\"", "timeout = 5", "credential = \"secret\"", "credential = \"keyring:\"",
        "credential = \"keyring:a/b\"", "ca = 1", "ca = \"a\\nb\"", "context_length = -1",
        "address_space_max = -1", "command = [\"/bin/true\"]"}) {
    EXPECT_NE(failure(good + line + "\n"), "loaded") << line;
  }
  for (const char* text :
       {"[upstream]\nu = 1\n", "upstream = 1\n", "[upstream.native]\nkind = \"openai\"\n",
        "[upstream.Up]\nkind = \"openai\"\n", "[upstream.u]\nurl = \"http://127.0.0.1:1\"\n",
        "[upstream.u]\nkind = \"peer\"\n",
        "[upstream.u]\nkind = \"openai\"\nmodels = {a = \"b\"}\n",
        "[upstream.u]\nkind = \"openai\"\nurl = \"x\"\nmodels = {}\n",
        "[upstream.u]\nkind = \"process\"\nmodels = {a = \"b\"}\n",
        "[upstream.u]\nkind = \"process\"\nmodels = {a = \"b\"}\ncommand = [\"x\", \"{port}\"]\n",
        "[upstream.u]\nkind = \"process\"\nmodels = {a = \"b\"}\ncommand = [\"/x\"]\n",
        "[upstream.u]\nkind = \"process\"\nmodels = {a = \"b\"}\n"
        "command = [\"/x\", \"{port}\", \"{model}\"]\n"}) {
    EXPECT_NE(failure(text), "loaded") << text;
  }
}

TEST_F(UpstreamTest, ThereIsALimitOfUpstreams) {
  std::string text;
  for (int i = 0; i < 64; ++i) {
    text += "[upstream.u" + std::to_string(i) +
            "]\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\nmodels = {a = \"b\"}\n";
  }
  EXPECT_EQ(failure(text), "loaded");
  text +=
      "[upstream.more]\nkind = \"openai\"\nurl = \"http://127.0.0.1:1\"\nmodels = {a = \"b\"}\n";
  EXPECT_NE(failure(text), "loaded");
}

}  // namespace
}  // namespace holdfast::config
