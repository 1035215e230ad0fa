#include "holdfast/keyring/slot_params.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/base/utf8.h"

namespace holdfast::keyring {
namespace {

Error damaged(std::string_view what) {
  return corrupt("a slot of the keyring is damaged", std::string(what));
}

void append_lp(ByteWriter& out, ByteView bytes) {
  HF_CHECK(bytes.size() <= kTpmBlobBytesMax);
  out.be(static_cast<std::uint16_t>(bytes.size())).raw(bytes);
}

Result<Bytes> take_lp(ByteReader& in, std::size_t bytes_max) {
  HF_TRY_ASSIGN(const std::uint16_t n, in.be<std::uint16_t>());
  if (n > bytes_max) return damaged("a parameter is too long");
  HF_TRY_ASSIGN(const ByteView bytes, in.take(n));
  return Bytes(bytes.begin(), bytes.end());
}

Result<std::string> take_text(ByteReader& in) {
  HF_TRY_ASSIGN(const Bytes bytes, take_lp(in, kTextParamBytesMax));
  const std::string_view text = as_string_view(bytes);
  if (text.empty() || !is_valid_utf8(text) || text.find('\0') != std::string_view::npos)
    return damaged("a name in it");
  return std::string(text);
}

Status take_salt(ByteReader& in, MutableBytes salt) {
  HF_TRY_ASSIGN(const ByteView bytes, in.take(salt.size()));
  std::copy(bytes.begin(), bytes.end(), salt.begin());
  return ok_status();
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
  append_lp(out, p.public_area);
  append_lp(out, p.private_area);
  return std::move(out).take();
}

Bytes encode_params(const Pkcs11Params& p) {
  ByteWriter out;
  append_lp(out, as_bytes_view(p.uri));
  out.be(p.mechanism);
  append_lp(out, p.iv);
  append_lp(out, p.wrapped);
  return std::move(out).take();
}

Bytes encode_text_params(std::string_view text) {
  ByteWriter out;
  append_lp(out, as_bytes_view(text));
  return std::move(out).take();
}

Result<PassphraseParams> decode_passphrase_params(ByteView bytes) {
  ByteReader in(bytes);
  PassphraseParams p;
  HF_TRY(take_salt(in, p.salt));
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
  HF_TRY(take_salt(in, p.salt));
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
  HF_TRY(take_salt(in, p.policy_digest));
  HF_TRY_ASSIGN(p.public_area, take_lp(in, kTpmBlobBytesMax));
  HF_TRY_ASSIGN(p.private_area, take_lp(in, kTpmBlobBytesMax));
  HF_TRY(at_end(in));
  return p;
}

Result<Pkcs11Params> decode_pkcs11_params(ByteView bytes) {
  ByteReader in(bytes);
  Pkcs11Params p;
  HF_TRY_ASSIGN(p.uri, take_text(in));
  HF_TRY_ASSIGN(p.mechanism, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(p.iv, take_lp(in, 64));
  HF_TRY_ASSIGN(p.wrapped, take_lp(in, 256));
  HF_TRY(at_end(in));
  if (p.mechanism != 1 && p.mechanism != 2) return damaged("the mechanism of its token");
  return p;
}

Result<std::string> decode_text_params(ByteView bytes) {
  ByteReader in(bytes);
  HF_TRY_ASSIGN(std::string text, take_text(in));
  HF_TRY(at_end(in));
  return text;
}

}  // namespace holdfast::keyring
