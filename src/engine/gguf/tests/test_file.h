// A writer of GGUF files for tests, which shares no code with the parser.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"

namespace holdfast::gguf::testing {

class TestFile {
 public:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;
    std::uint32_t type = 0;
    std::uint64_t offset = 0;
  };

  std::uint32_t magic = 0x46554747;
  std::uint32_t version = 3;
  std::uint64_t n_metadata_extra = 0;  // claimed beyond what is written
  std::uint64_t n_tensors_extra = 0;
  std::vector<Tensor> tensors;
  std::uint64_t data_bytes = 0;
  std::uint32_t alignment = 32;

  static void append_string(ByteWriter& out, std::string_view s) {
    out.le<std::uint64_t>(s.size()).raw(s);
  }
  TestFile& raw(std::string_view key, std::uint32_t type, const Bytes& value) {
    append_string(metadata_, key);
    metadata_.le<std::uint32_t>(type).raw(value);
    ++n_metadata_;
    return *this;
  }
  template <typename T>
  TestFile& scalar(std::string_view key, std::uint32_t type, T value) {
    ByteWriter out;
    out.le<T>(value);
    return raw(key, type, std::move(out).take());
  }
  TestFile& u32(std::string_view key, std::uint32_t v) { return scalar(key, 4, v); }
  TestFile& text(std::string_view key, std::string_view v) {
    ByteWriter out;
    append_string(out, v);
    return raw(key, 8, std::move(out).take());
  }
  TestFile& texts(std::string_view key, const std::vector<std::string>& v) {
    ByteWriter out;
    out.le<std::uint32_t>(8).le<std::uint64_t>(v.size());
    for (const std::string& s : v) append_string(out, s);
    return raw(key, 9, std::move(out).take());
  }
  template <typename T>
  TestFile& numbers(std::string_view key, std::uint32_t element, const std::vector<T>& v) {
    ByteWriter out;
    out.le<std::uint32_t>(element).le<std::uint64_t>(v.size());
    for (const T x : v) out.le<T>(x);
    return raw(key, 9, std::move(out).take());
  }
  // An array header that claims more than follows.
  TestFile& claim(std::string_view key, std::uint32_t element, std::uint64_t count) {
    ByteWriter out;
    out.le<std::uint32_t>(element).le<std::uint64_t>(count);
    return raw(key, 9, std::move(out).take());
  }

  Bytes header() const {
    ByteWriter out;
    out.le(magic).le(version).le<std::uint64_t>(tensors.size() + n_tensors_extra);
    out.le<std::uint64_t>(n_metadata_ + n_metadata_extra).raw(metadata_.view());
    for (const Tensor& t : tensors) {
      append_string(out, t.name);
      out.le<std::uint32_t>(static_cast<std::uint32_t>(t.dims.size()));
      for (const std::uint64_t d : t.dims) out.le(d);
      out.le(t.type).le(t.offset);
    }
    return std::move(out).take();
  }
  Bytes build() const {
    ByteWriter out;
    out.raw(header()).align(alignment);
    for (std::uint64_t i = 0; i < data_bytes; ++i) out.le(static_cast<std::uint8_t>(i));
    return std::move(out).take();
  }

 private:
  ByteWriter metadata_;
  std::uint64_t n_metadata_ = 0;
};

// Every value type, two tensors.
inline TestFile small_file() {
  TestFile f;
  f.text("general.architecture", "llama");
  f.scalar<std::uint8_t>("t.u8", 0, 200).scalar<std::int8_t>("t.i8", 1, -5);
  f.scalar<std::uint16_t>("t.u16", 2, 60000).scalar<std::int16_t>("t.i16", 3, -30000);
  f.u32("t.u32", 4000000000u).scalar<std::int32_t>("t.i32", 5, -7);
  f.scalar<float>("t.f32", 6, 1.5f).scalar<std::uint8_t>("t.bool", 7, 1);
  f.scalar<std::uint64_t>("t.u64", 10, 1ull << 40).scalar<std::int64_t>("t.i64", 11, -(1ll << 40));
  f.scalar<double>("t.f64", 12, 0.25);
  f.texts("t.texts", {"a", "", "\xff\xfe", std::string(300, 'x')});
  f.numbers<std::int32_t>("t.i32s", 5, {1, -2, 3});
  f.numbers<float>("t.f32s", 6, {0.5f, -1.0f});
  f.numbers<std::uint8_t>("t.bools", 7, {0, 1});
  f.tensors = {{"a.weight", {64, 3}, 2, 0}, {"b.weight", {5}, 0, 128}};
  f.data_bytes = 128 + 20;  // 3 rows of two Q4_0 blocks are 108 bytes
  return f;
}

}  // namespace holdfast::gguf::testing
