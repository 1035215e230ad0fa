#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "holdfast/config/settings.h"

namespace holdfast::config {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest()
      : dir_(std::filesystem::temp_directory_path() / ("hf-config-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(dir_ / "holdfast" / "conf.d");
    input_.environment["XDG_CONFIG_HOME"] = dir_.string();
  }
  ~ConfigTest() override { std::filesystem::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / "holdfast" / name) << text;
  }
  std::string failure() {
    const auto s = Settings::load(input_);
    return s.ok() ? "loaded" : s.error().client_message() + " | " + s.error().hint();
  }

  std::filesystem::path dir_;
  LoadInput input_;
};

TEST_F(ConfigTest, DefaultsHoldWithoutFiles) {
  const auto s = Settings::load(input_);
  ASSERT_TRUE(s.ok()) << failure();
  EXPECT_EQ(s->text(Setting::server_listen), "127.0.0.1:11435");
  EXPECT_EQ(s->size_bytes(Setting::http_body_bytes_max), 8u << 20);
  EXPECT_EQ(s->duration(Setting::http_header_timeout), std::chrono::seconds(10));
  EXPECT_EQ(s->source(Setting::server_listen), "default");
}

TEST_F(ConfigTest, LaterSourcesWin) {
  write("holdfast.toml",
        "[engine]\nthreads = 1\nbatch_max = 2\nprefill_chunk = 3\n[models]\naliases = {a = "
        "\"b\"}\nload = [\"m\"]\n");
  write("conf.d/10.toml", "[engine]\nbatch_max = 4\nprefill_chunk = 4\n");
  write("conf.d/20.toml", "[engine]\nprefill_chunk = 5\n");
  input_.environment["HOLDFAST_ENGINE_BATCH_MAX"] = "6";
  input_.flags = {{"engine.kv_type", "f32"}};
  const auto s = Settings::load(input_);
  ASSERT_TRUE(s.ok()) << failure();
  EXPECT_EQ(s->integer(Setting::engine_threads), 1);
  EXPECT_EQ(s->integer(Setting::engine_batch_max), 6);
  EXPECT_EQ(s->integer(Setting::engine_prefill_chunk), 5);
  EXPECT_EQ(s->text(Setting::engine_kv_type), "f32");
  EXPECT_EQ(s->map(Setting::models_aliases).at("a"), "b");
  EXPECT_EQ(s->list(Setting::models_load), List{"m"});
  EXPECT_NE(s->source(Setting::engine_threads).find("holdfast.toml:2"), std::string::npos);
  EXPECT_EQ(s->source(Setting::engine_batch_max), "environment HOLDFAST_ENGINE_BATCH_MAX");
  EXPECT_EQ(s->source(Setting::engine_kv_type), "flag --engine.kv_type");
}

TEST_F(ConfigTest, ForcedIsaHasItsShortVariable) {
  input_.environment["HOLDFAST_FORCE_ISA"] = "avx2";
  EXPECT_EQ(Settings::load(input_)->text(Setting::engine_force_isa), "avx2");
  input_.environment["HOLDFAST_FORCE_ISA"] = "mmx";
  EXPECT_NE(failure().find("one of scalar avx2 avxvnni avx512 amx neon"), std::string::npos)
      << failure();
}

TEST_F(ConfigTest, AChoiceMayCarryAName) {
  for (const auto& [text, ok] : {std::pair{"auto", true},
                                 {"off", true},
                                 {"ngram", true},
                                 {"draft:small", true},
                                 {"draft:a/b:c", true},
                                 {"draft:", false},
                                 {"draft", false},
                                 {"drafts:x", false},
                                 {"off:x", false},
                                 {"", false}}) {
    input_.flags = {{"engine.speculation", text}};
    EXPECT_EQ(Settings::load(input_).ok(), ok) << text;
  }
  EXPECT_NE(failure().find("one of auto off ngram draft:NAME"), std::string::npos) << failure();
}

TEST_F(ConfigTest, MistakesNameFileLineValueAndRange) {
  write("holdfast.toml", "\n[engine]\nbatch_max = 100\n");
  EXPECT_NE(failure().find(
                "holdfast.toml:3: '100' is not a valid value of engine.batch_max (allowed: 1..64)"),
            std::string::npos)
      << failure();
  write("holdfast.toml", "[engine]\nbatch_maxx = 1\n");
  EXPECT_NE(failure().find("holdfast.toml:2: unknown setting 'engine.batch_maxx' | did you mean "
                           "'engine.batch_max'?"),
            std::string::npos)
      << failure();
  write("holdfast.toml", "[engine\n");
  EXPECT_NE(failure().find("holdfast.toml:1"), std::string::npos) << failure();
  for (const char* text :
       {"[engine]\nthreads = \"2\"\n", "[engine]\nthreads = 2.5\n", "[log]\nlevel = 1\n",
        "[server]\nlisten = 5\n", "[models]\nload = \"m\"\n", "[models]\naliases = [1]\n",
        "threads = 1\n", "[http]\nbody_timeout = \"10\"\n"}) {
    write("holdfast.toml", text);
    EXPECT_NE(failure(), "loaded") << text;
  }
}

TEST_F(ConfigTest, RangeHoldsAtItsEnds) {
  for (const auto& [text, ok] : {std::pair{"1", true},
                                 {"64", true},
                                 {"0", false},
                                 {"65", false},
                                 {"x", false},
                                 {"", false}}) {
    input_.flags = {{"engine.batch_max", text}};
    EXPECT_EQ(Settings::load(input_).ok(), ok) << text;
  }
}

TEST_F(ConfigTest, ExplicitFileMustExist) {
  input_.config_path = (dir_ / "absent.toml").string();
  EXPECT_EQ(Settings::load(input_).error().code(), ErrorCode::kNotFound);
}

// `config show` prints what it got from anywhere: the text must be TOML, and nothing for a
// terminal.
TEST_F(ConfigTest, TextsAreShownOnOneLineAndReadBack) {
  const std::string text = "tab\t quote\" back\\ line\n escape\x1b[2J delete\x7f caf\u00e9";
  input_.environment["HOLDFAST_MODELS_DEFAULT"] = text;
  const auto s = Settings::load(input_);
  ASSERT_TRUE(s.ok()) << failure();
  const std::string shown = s->to_toml(Setting::models_default);
  EXPECT_EQ(shown,
            "\"tab\\t quote\\\" back\\\\ line\\n escape\\u001B[2J delete\\u007F caf\u00e9\"");
  input_.environment.erase("HOLDFAST_MODELS_DEFAULT");
  write("holdfast.toml", "[models]\ndefault = " + shown + "\n");
  EXPECT_EQ(Settings::load(input_)->text(Setting::models_default), text) << failure();
  input_.environment["HOLDFAST_MODELS_DEFAULT"] = "broken \xff";
  EXPECT_EQ(Settings::load(input_)->to_toml(Setting::models_default), "\"broken \xef\xbf\xbd\"");
}

TEST(ConfigTable, NamesAreUniqueAndDefaultsPrint) {
  std::set<std::string> names;
  const Settings s = Settings::defaults();
  for (std::size_t i = 0; i < setting_table().size(); ++i) {
    EXPECT_TRUE(names.insert(setting_table()[i].name()).second);
    EXPECT_FALSE(s.to_toml(static_cast<Setting>(i)).empty());
    EXPECT_FALSE(setting_table()[i].text.empty());
  }
}

}  // namespace
}  // namespace holdfast::config
