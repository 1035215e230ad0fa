// Oracles: the example of docs/formats/calibration.md, byte by byte, and files written by hand.
#include "holdfast/cli/calibration.h"

#include <gmock/gmock.h>

#include <fstream>

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;

// The indented block of the document.
std::string documented_example() {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/docs/formats/calibration.md");
  std::string line;
  std::string out;
  bool inside = false;
  while (std::getline(in, line)) {
    if (line == "    {") inside = true;
    if (inside) out += line.substr(4) + "\n";
    if (line == "    }") break;
  }
  return out;
}

// `text` with its first `from` changed.
std::string changed(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(CalibrationFile, TheDocumentedExampleIsCanonical) {
  const std::string text = documented_example();
  const auto c = parse_calibration(text);
  ASSERT_TRUE(c.ok()) << c.error().to_string();
  EXPECT_EQ(write_calibration(*c), text);
  EXPECT_EQ(c->machine.cpu, "AMD EPYC");
  EXPECT_EQ(c->machine.threads, 2);
  EXPECT_EQ(c->machine.isa, "avx512");
  EXPECT_EQ(c->machine.memory_bytes, 25276502016);
  EXPECT_EQ(c->machine.bandwidth_bytes_per_s, 41.5e9);
  EXPECT_EQ(c->machine.int8_ops_per_s, 1.8e12);
  EXPECT_EQ(c->machine.f32_ops_per_s, 4.4e11);
  EXPECT_EQ(c->machine.disk_read_bytes_per_s, 2.5e9);
  EXPECT_EQ(c->date, "2026-12-01T11:51:32Z");
  ASSERT_EQ(c->models.size(), 1u);
  const CalibratedModel& m = c->models[0];
  EXPECT_EQ(m.name, "smollm2");
  EXPECT_EQ(m.params, 134515008);
  EXPECT_EQ(m.weights_bytes, 96600960);
  EXPECT_EQ(m.layers, 30);
  EXPECT_EQ(m.quant, "Q4_1");
  EXPECT_EQ(m.kv_type, "f16");
  EXPECT_EQ(m.start_s, 0.031);
  ASSERT_EQ(m.points.size(), 2u);
  EXPECT_TRUE(m.points[0].prefill);
  EXPECT_EQ(m.points[0].tokens, 512);
  EXPECT_FALSE(m.points[1].prefill);
  EXPECT_EQ(m.points[1].batch, 4);
  EXPECT_EQ(m.points[1].depth, 16);
  EXPECT_EQ(m.points[1].tokens_per_s, 540.8);
}

TEST(CalibrationFile, EachMemberIsChecked) {
  const std::string good = documented_example();
  struct Row {
    const char* from;
    const char* to;
    const char* named;
  };
  const Row rows[] = {
      {"calibration/1", "calibration/2", "schema"},
      {R"("cpu": "AMD EPYC")", R"("cpu": "")", "machine.cpu"},
      {R"("cpu")", R"("cqu")", "machine.cpu is missing"},
      {R"("threads": 2)", R"("threads": 0)", "machine.threads"},
      {R"("threads": 2)", R"("threads": 2.5)", "machine.threads"},
      {R"("isa": "avx512")", R"("isa": 5)", "machine.isa"},
      {R"("memory_bytes": 25276502016)", R"("memory_bytes": 5000000000000000)", "memory_bytes"},
      {R"("bandwidth_bytes_per_s": 41500000000)", R"("bandwidth_bytes_per_s": 0)",
       "bandwidth_bytes_per_s"},
      {R"("int8_ops_per_s": 1800000000000)", R"("int8_ops_per_s": -1)", "int8_ops_per_s"},
      {R"("f32_ops_per_s": 440000000000)", R"("f32_ops_per_s": "1")", "f32_ops_per_s"},
      {R"("disk_read_bytes_per_s": 2500000000)", R"("disk_read_bytes_per_s": false)",
       "disk_read_bytes_per_s"},
      {R"("date": "2026-12-01T11:51:32Z")", R"("date": null)", "date"},
      {R"("layers": 30)", R"("layers": 0)", "models[0].layers"},
      {R"("start_s": 0.031)", R"("start_s": 0)", "models[0].start_s"},
      {R"("kv_type": "f16")", R"("kv_tipe": "f16")", "models[0].kv_type is missing"},
      {R"("kv_type": "f16")", R"("kv_type": "f16", "more": 1)", "models[0].more is not known"},
      {R"("kind": "prefill")", R"("kind": "batch")", "models[0].points[0].kind"},
      {R"("tokens": 512)", R"("tokens": 0)", "models[0].points[0].tokens"},
      {R"("depth": 0)", R"("depth": -1)", "models[0].points[0].depth"},
      {R"("tokens_per_s": 1631.4)", R"("tokens_per_s": 1e19)", "models[0].points[0].tokens_per_s"},
  };
  for (const Row& row : rows) {
    const auto refused = parse_calibration(changed(good, row.from, row.to));
    ASSERT_FALSE(refused.ok()) << row.to;
    EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument) << row.to;
    EXPECT_THAT(refused.error().to_string(), HasSubstr(row.named));
  }
  for (const char* text : {"", "[]", "null", "{}", "{\"schema\":1}", "\x7f"}) {
    EXPECT_FALSE(parse_calibration(text).ok()) << text;
  }
}

TEST(CalibrationFile, TruncatedAnywhereIsRefused) {
  const std::string good = documented_example();
  for (std::size_t n = 0; n + 2 < good.size(); ++n)
    EXPECT_FALSE(parse_calibration(std::string_view(good).substr(0, n)).ok()) << n;
}

TEST(CalibrationFile, LimitsOfPointsAndBytes) {
  Calibration c = *parse_calibration(documented_example());
  c.models[0].points.assign(kCalibrationPointsMax, c.models[0].points[0]);
  EXPECT_TRUE(parse_calibration(write_calibration(c)).ok());
  c.models[0].points.push_back(c.models[0].points[0]);
  const auto refused = parse_calibration(write_calibration(c));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(parse_calibration(std::string(kCalibrationBytesMax + 1, ' ')).error().code(),
            ErrorCode::kExhausted);
}

TEST(CalibrationFile, AModelThatIsThereTwiceIsRefused) {
  Calibration c = *parse_calibration(documented_example());
  c.models.push_back(c.models[0]);
  EXPECT_THAT(parse_calibration(write_calibration(c)).error().to_string(), HasSubstr("twice"));
}

class WithModel : public ::testing::Test {
 protected:
  CalibratedModel model(std::string name, double start_s) const {
    CalibratedModel m = known_.models[0];
    m.name = std::move(name);
    m.start_s = start_s;
    return m;
  }
  const Calibration known_ = *parse_calibration(documented_example());
};

TEST_F(WithModel, ModelsAccumulateByName) {
  Calibration c = with_model(known_, known_.machine, "later", model("gemma3", 1));
  ASSERT_EQ(c.models.size(), 2u);
  EXPECT_EQ(c.models[0].name, "gemma3");
  EXPECT_EQ(c.models[1].name, "smollm2");
  EXPECT_EQ(c.date, "later");
  c = with_model(c, known_.machine, "later still", model("smollm2", 7));
  ASSERT_EQ(c.models.size(), 2u);
  EXPECT_EQ(c.models[1].start_s, 7);
}

TEST_F(WithModel, TheFirstModel) {
  const Calibration c = with_model(std::nullopt, known_.machine, "now", model("a", 1));
  ASSERT_EQ(c.models.size(), 1u);
  EXPECT_EQ(c.machine.cpu, "AMD EPYC");
}

// New figures of the machine replace the old ones; what could not be measured this time stays.
TEST_F(WithModel, TheMachinesFiguresAreTheNewest) {
  CalibratedMachine machine = known_.machine;
  machine.bandwidth_bytes_per_s = 1;
  machine.disk_read_bytes_per_s.reset();
  const Calibration c = with_model(known_, machine, "now", model("a", 1));
  EXPECT_EQ(c.machine.bandwidth_bytes_per_s, 1);
  EXPECT_EQ(c.machine.disk_read_bytes_per_s, known_.machine.disk_read_bytes_per_s);
  EXPECT_EQ(c.models.size(), 2u);
}

TEST_F(WithModel, NothingIsKeptOfAnotherMachine) {
  for (const auto change : {+[](CalibratedMachine& m) { m.cpu = "another"; },
                            +[](CalibratedMachine& m) { m.threads = 1; },
                            +[](CalibratedMachine& m) { m.isa = "avx2"; }}) {
    CalibratedMachine machine = known_.machine;
    change(machine);
    machine.disk_read_bytes_per_s.reset();
    const Calibration c = with_model(known_, machine, "now", model("a", 1));
    ASSERT_EQ(c.models.size(), 1u);
    EXPECT_EQ(c.models[0].name, "a");
    EXPECT_FALSE(c.machine.disk_read_bytes_per_s);
    EXPECT_THAT(write_calibration(c), HasSubstr("\"disk_read_bytes_per_s\": null"));
    EXPECT_TRUE(parse_calibration(write_calibration(c)).ok());
  }
}

}  // namespace
}  // namespace holdfast::cli
