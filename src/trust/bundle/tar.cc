#include "holdfast/bundle/tar.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "holdfast/base/check.h"
#include "holdfast/base/checked.h"

namespace holdfast::bundle {
namespace {

// Fields of a ustar header: offset and length.
struct Field {
  std::size_t at;
  std::size_t bytes;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kTypeAt = 156;
constexpr Field kLink{157, 100};
constexpr Field kMagic{257, 8};
constexpr Field kPrefix{345, 155};
constexpr std::string_view kUstar{
    "ustar\0"
    "00",
    8};
// What octal digits of a size can say; larger sizes are written in binary, as GNU tar does.
constexpr std::uint64_t kOctalSizeMax = 077777777777;
static_assert(kMagic.at + kMagic.bytes == 265 && kPrefix.at + kPrefix.bytes == 500);

using Block = std::array<std::byte, kTarBlockBytes>;

ByteView field(const Block& block, Field f) { return ByteView(block).subspan(f.at, f.bytes); }

Error damaged(std::size_t entry, std::string_view what) {
  return corrupt("the archive is damaged or not one of ours",
                 "entry " + std::to_string(entry) + ": " + std::string(what));
}

// Text up to its first zero byte, behind which there are only zeros.
Result<std::string> text_of(ByteView bytes, std::size_t entry) {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  const auto length = static_cast<std::size_t>(end - bytes.begin());
  if (!all_zero(bytes.subspan(length))) return damaged(entry, "text behind a zero");
  return std::string(as_string_view(bytes.first(length)));
}

// Octal digits, then zeros or spaces; or, as GNU tar writes what does not fit, binary behind 0x80.
Result<std::uint64_t> number_of(ByteView bytes, std::size_t entry) {
  if (bytes[0] == std::byte{0x80} && bytes.size() == kSize.bytes) {
    if (!all_zero(bytes.subspan(1, 3))) return damaged(entry, "a size beyond 64 bits");
    return load_be<std::uint64_t>(bytes.data() + 4);
  }
  std::uint64_t value = 0;
  std::size_t i = 0;
  for (; i < bytes.size(); ++i) {
    const auto digit = std::to_integer<unsigned>(bytes[i]) - '0';
    if (digit > 7) break;
    value = value * 8 + digit;  // at most 12 digits: 36 bits
  }
  const auto is_end = [](std::byte b) { return b == std::byte{0} || b == std::byte{' '}; };
  if (i == 0 || !std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(i), bytes.end(), is_end))
    return damaged(entry, "a number that is none");
  return value;
}

std::uint64_t checksum_of(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= kChecksum.at && i < kChecksum.at + kChecksum.bytes;
    sum += own ? ' ' : std::to_integer<unsigned>(block[i]);
  }
  return sum;
}

void put_octal(Block& block, Field f, std::uint64_t value) {
  for (std::size_t i = f.bytes - 1; i-- > 0; value /= 8)
    block[f.at + i] = static_cast<std::byte>('0' + value % 8);
}

void put_text(Block& block, Field f, std::string_view text) {
  std::ranges::copy(as_bytes_view(text), block.begin() + static_cast<std::ptrdiff_t>(f.at));
}

struct Header {
  std::string name;
  std::uint64_t size = 0;
  bool folder = false;
};

Result<Header> decode_header(const Block& block, std::size_t entry) {
  // GNU tar writes "ustar  \0" and means the same by the fields that are read here.
  const std::string_view magic = as_string_view(field(block, kMagic));
  if (magic != kUstar && magic != std::string_view("ustar  \0", 8))
    return damaged(entry, "no header of a tar archive");
  // Not under the sum itself, so only its one usual form is taken: six digits, a zero, a space.
  const ByteView sum_field = field(block, kChecksum);
  if (as_string_view(sum_field.last(2)) != std::string_view("\0 ", 2))
    return damaged(entry, "checksum");
  HF_TRY_ASSIGN(const std::uint64_t sum, number_of(sum_field.first(6), entry));
  if (sum != checksum_of(block)) return damaged(entry, "checksum");
  if (!all_zero(field(block, kLink))) return damaged(entry, "a link");
  if (magic == kUstar && !all_zero(field(block, kPrefix))) return damaged(entry, "a long name");
  Header header;
  HF_TRY_ASSIGN(header.name, text_of(field(block, kName), entry));
  HF_TRY_ASSIGN(header.size, number_of(field(block, kSize), entry));
  const char type = static_cast<char>(block[kTypeAt]);
  header.folder = type == '5';
  if (type != '0' && type != '\0' && !header.folder) {
    return unsupported("the archive holds something other than files and folders",
                       "entry " + std::to_string(entry));
  }
  if (header.folder && header.size != 0) return damaged(entry, "a folder with content");
  if (!header.folder && header.name.ends_with('/')) return damaged(entry, "a folder's name");
  return header;
}

Status check_zeros(const platform::ByteSource& file, std::uint64_t from, std::uint64_t to,
                   std::size_t entry) {
  Bytes piece;
  for (; from < to; from += piece.size()) {
    piece.resize(std::min<std::uint64_t>(to - from, 64 * 1024));
    HF_TRY(file.read_at(from, piece));
    if (!all_zero(piece)) return damaged(entry, "padding that is not zero");
  }
  return ok_status();
}

bool is_parent(std::string name, const NameAllowed& allowed) {
  if (name.ends_with('/')) name.pop_back();
  return allowed(name + "/");
}

// Everything behind the last entry is zero, and not much of it: tar pads to 10,240 bytes.
Status check_end(const platform::ByteSource& file, std::uint64_t at, std::size_t entry) {
  constexpr std::uint64_t kEndBytesMax = 64 * 1024;
  const std::uint64_t rest = file.size() - at;
  if (rest < 2 * kTarBlockBytes) return damaged(entry, "it ends too early");
  if (rest > kEndBytesMax || rest % kTarBlockBytes != 0) return damaged(entry, "its end");
  return check_zeros(file, at, file.size(), entry);
}

}  // namespace

bool looks_like_tar(const platform::ByteSource& file) {
  Block block;
  if (file.size() < 2 * kTarBlockBytes || !file.read_at(0, block).ok()) return false;
  return as_string_view(field(block, kMagic)).starts_with("ustar");
}

Result<std::vector<TarEntry>> read_tar(const platform::ByteSource& file, const NameAllowed& allowed,
                                       std::size_t entries_max) {
  std::vector<TarEntry> entries;
  std::set<std::string> names;
  std::uint64_t at = 0;
  for (std::size_t n = 0;; ++n) {
    if (n > entries_max) return exhausted("the archive holds too many entries");
    Block block;
    if (at > file.size() || file.size() - at < kTarBlockBytes)
      return damaged(n, "it ends too early");
    HF_TRY(file.read_at(at, block));
    if (all_zero(block)) {
      HF_TRY(check_end(file, at, n));
      return entries;
    }
    HF_TRY_ASSIGN(Header header, decode_header(block, n));
    at += kTarBlockBytes;
    if (header.folder ? !is_parent(header.name, allowed) : !allowed(header.name))
      return damaged(n, "a name that does not belong there");
    if (!names.insert(header.name).second) return damaged(n, "a name that was there before");
    const auto end = checked_add(at, header.size);
    const auto next = end ? checked_round_up(*end, kTarBlockBytes) : std::nullopt;
    if (!next || *next > file.size()) return damaged(n, "it ends too early");
    HF_TRY(check_zeros(file, *end, *next, n));
    if (!header.folder) entries.push_back({std::move(header.name), at, header.size});
    at = *next;
  }
}

Status TarWriter::begin(std::string_view name, std::uint64_t size) {
  HF_CHECK(left_ == 0 && padding_ == 0 && !name.empty() && name.size() <= kTarNameBytesMax);
  Block block{};
  put_text(block, kName, name);
  put_octal(block, kMode, 0644);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  if (size <= kOctalSizeMax) {
    put_octal(block, kSize, size);
  } else {
    block[kSize.at] = std::byte{0x80};
    store_be(block.data() + kSize.at + 4, size);
  }
  put_octal(block, kTime, 0);
  block[kTypeAt] = std::byte{'0'};
  put_text(block, kMagic, kUstar);
  // Six digits, a zero and a space, by tradition.
  put_octal(block, {kChecksum.at, 7}, checksum_of(block));
  block[kChecksum.at + 7] = std::byte{' '};
  left_ = size;
  padding_ = round_up(size, kTarBlockBytes) - size;
  return out_->write_all(block);
}

Status TarWriter::append(ByteView bytes) {
  HF_CHECK(bytes.size() <= left_);
  HF_TRY(out_->write_all(bytes));
  left_ -= bytes.size();
  if (left_ > 0 || padding_ == 0) return ok_status();
  const Block zeros{};
  const std::uint64_t padding = std::exchange(padding_, 0);
  return out_->write_all(ByteView(zeros).first(padding));
}

Status TarWriter::finish() {
  HF_CHECK(left_ == 0);
  const std::array<std::byte, 2 * kTarBlockBytes> zeros{};
  return out_->write_all(zeros);
}

Status TarWriter::add(std::string_view name, ByteView content) {
  HF_TRY(begin(name, content.size()));
  return append(content);
}

}  // namespace holdfast::bundle
