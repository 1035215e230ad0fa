#include "holdfast/keyring/slot_params.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/base/utf8.h"

namespace holdfast::keyring {
namespace {

Error damaged(std::string_view what) {
  return corrupt("a slot of the keyring is damaged", std::string(what));
}

Result<Bytes> take_bounded(ByteReader& in, std::size_t bytes_max) {
  HF_TRY_ASSIGN(const ByteView bytes, in.take_lp());
  if (bytes.size() > bytes_max) return damaged("a parameter is too long");
  return Bytes(bytes.begin(), bytes.end());
}

Result<std::string> take_text(ByteReader& in) {
  HF_TRY_ASSIGN(const Bytes bytes, take_bounded(in, kTextParamBytesMax));
  const std::string_view text = as_string_view(bytes);
  if (text.empty() || !is_valid_utf8(text) || text.find('\0') != std::string_view::npos)
    return damaged("a name in it");
  return std::string(text);
}

Result<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    HF_TRY_ASSIGN(const Bytes byte, from_hex(text.substr(i + 1, 2)));
    if (byte.size() != 1) return invalid_argument("a URI with half a character");
    out += static_cast<char>(byte[0]);
    i += 2;
  }
  return out;
}

Status at_end(const ByteReader& in) {
  return in.at_end() ? ok_status() : Status(damaged("bytes follow its parameters"));
}

}  // namespace

Bytes encode_params(const PassphraseParams& p) {
  ByteWriter out;
  out.raw(p.salt).be(p.cost.memory_kib).be(p.cost.passes).be(p.cost.lanes);
  return std::move(out).take();
}

Bytes encode_params(const Pbkdf2Params& p) {
  ByteWriter out;
  out.raw(p.salt).be(p.iterations);
  return std::move(out).take();
}

Bytes encode_params(const Tpm2Params& p) {
  ByteWriter out;
  out.be<std::uint16_t>(p.pin ? 1 : 0).be(p.pcr_mask).raw(p.policy_digest);
  out.lp(p.public_area).lp(p.private_area);
  return std::move(out).take();
}

Bytes encode_params(const Pkcs11Params& p) {
  ByteWriter out;
  out.lp(p.uri).be(p.mechanism).lp(p.iv).lp(p.wrapped);
  return std::move(out).take();
}

Bytes encode_text_params(std::string_view text) {
  ByteWriter out;
  out.lp(text);
  return std::move(out).take();
}

Result<PassphraseParams> decode_passphrase_params(ByteView bytes) {
  ByteReader in(bytes);
  PassphraseParams p;
  HF_TRY(in.take_array(p.salt));
  HF_TRY_ASSIGN(p.cost.memory_kib, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(p.cost.passes, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(p.cost.lanes, in.be<std::uint32_t>());
  HF_TRY(at_end(in));
  const bool good = p.cost.memory_kib >= kArgon2MemoryKibMin &&
                    p.cost.memory_kib <= kArgon2MemoryKibMax && p.cost.passes >= kArgon2PassesMin &&
                    p.cost.passes <= kArgon2PassesMax && p.cost.lanes >= 1 &&
                    p.cost.lanes <= kArgon2LanesMax;
  if (!good) return damaged("the cost of its passphrase");
  return p;
}

Result<Pbkdf2Params> decode_pbkdf2_params(ByteView bytes) {
  ByteReader in(bytes);
  Pbkdf2Params p;
  HF_TRY(in.take_array(p.salt));
  HF_TRY_ASSIGN(p.iterations, in.be<std::uint32_t>());
  HF_TRY(at_end(in));
  if (p.iterations < kPbkdf2IterationsMin || p.iterations > kPbkdf2IterationsMax)
    return damaged("the cost of its passphrase");
  return p;
}

Result<Tpm2Params> decode_tpm2_params(ByteView bytes) {
  ByteReader in(bytes);
  Tpm2Params p;
  HF_TRY_ASSIGN(const std::uint16_t flags, in.be<std::uint16_t>());
  if (flags > 1) return damaged("the flags of its TPM");
  p.pin = flags == 1;
  HF_TRY_ASSIGN(p.pcr_mask, in.be<std::uint32_t>());
  HF_TRY(in.take_array(p.policy_digest));
  HF_TRY_ASSIGN(p.public_area, take_bounded(in, kTpmBlobBytesMax));
  HF_TRY_ASSIGN(p.private_area, take_bounded(in, kTpmBlobBytesMax));
  HF_TRY(at_end(in));
  if (!is_pcr_mask(p.pcr_mask)) return damaged("the registers of its TPM");
  return p;
}

Result<Pkcs11Params> decode_pkcs11_params(ByteView bytes) {
  ByteReader in(bytes);
  Pkcs11Params p;
  HF_TRY_ASSIGN(p.uri, take_text(in));
  HF_TRY_ASSIGN(p.mechanism, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(p.iv, take_bounded(in, 64));
  HF_TRY_ASSIGN(p.wrapped, take_bounded(in, 256));
  HF_TRY(at_end(in));
  if (p.mechanism != 1 && p.mechanism != 2) return damaged("the mechanism of its token");
  return p;
}

Result<std::string> pin_source_of(std::string_view uri) {
  constexpr std::string_view kName = "pin-source=";
  const std::size_t query = uri.find('?');
  if (query == std::string_view::npos) return std::string();
  std::string_view rest = uri.substr(query + 1);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    if (!item.starts_with(kName)) continue;
    HF_TRY_ASSIGN(std::string path, percent_decoded(item.substr(kName.size())));
    for (const std::string_view prefix : {"file://", "file:"}) {
      if (!path.starts_with(prefix)) continue;
      path.erase(0, prefix.size());
      break;
    }
    if (path.starts_with('/') && path.find('\0') == std::string::npos) return path;
    return invalid_argument("pin-source must name a file by its whole path");
  }
  return std::string();
}

Result<std::string> decode_text_params(ByteView bytes) {
  ByteReader in(bytes);
  HF_TRY_ASSIGN(std::string text, take_text(in));
  HF_TRY(at_end(in));
  return text;
}

}  // namespace holdfast::keyring
