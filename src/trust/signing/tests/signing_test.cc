// Oracles: OpenSSL's own command line made the keys; tests/signing has the PyPI tool's bundles.
// Here: each refusal, one by one.
#include <gtest/gtest.h>

#include "holdfast/json/json.h"
#include "holdfast/signing/bundle.h"
#include "holdfast/signing/trust.h"

namespace holdfast::signing {
namespace {

constexpr std::string_view kP256 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKl7dQGocg4gENQuY\n"
    "l7ZrgJYAjLufB6QmSRMgbgTfYaGhRANCAAThMWUu1vZMhxisqSiE4mMIle8iAdLV\n"
    "kGK+50QxMG+fpVg7qsNMrWmvb5OF3uVRNDVXMJpOEcbQtGctnWaXiVAw\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kP256Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4TFlLtb2TIcYrKkohOJjCJXvIgHS\n"
    "1ZBivudEMTBvn6VYO6rDTK1pr2+Thd7lUTQ1VzCaThHG0LRnLZ1ml4lQMA==\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kP384 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBIzEnbxUWnTb+PEIqw\n"
    "ZRF99Pp02toB7Ooc2ftoNOFaAJVLVq1WUiD51d+XldEzQpmhZANiAARegzs0J9/l\n"
    "sQx7hcBxsy55tB1057kBY27amIgBtZewQuQwaswPLiKT31hWvFL75m3CB5833f1w\n"
    "OjnlNfWSBUwrv6vXiT/X3NfXiZCFKNwV1uY9jZNB3fvxKFLbbrOo1OY=\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kP384Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEXoM7NCff5bEMe4XAcbMuebQddOe5AWNu\n"
    "2piIAbWXsELkMGrMDy4ik99YVrxS++ZtwgefN939cDo55TX1kgVMK7+r14k/19zX\n"
    "14mQhSjcFdbmPY2TQd378ShS226zqNTm\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kP521 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIB9KFBx0E3pUOqhZQm\n"
    "N6reyyXQGbbsPlGzPa6S+RZiRxPF64FKQ/7o/lfnMpJFRLc1VUYHGY9PS2R7Tigi\n"
    "ejJIxb2hgYkDgYYABADkX1d5mgAkE8+7P020443tSsES6NxDdDiUudU3+KncvSdG\n"
    "imCQQOGa/6+Byp36PImdcK+EgoKJksrQgr5XOsbIrwB97Tzv21XTS+R47VxzXHU9\n"
    "p/wX5RT+Boq3ZyQGYoOXnVKpHWGlTcVY5XB+XL54Gb2ioULwdycPhIJ1f0sRIGGa\n"
    "YQ==\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kP521Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQA5F9XeZoAJBPPuz9NtOON7UrBEujc\n"
    "Q3Q4lLnVN/ip3L0nRopgkEDhmv+vgcqd+jyJnXCvhIKCiZLK0IK+VzrGyK8Afe08\n"
    "79tV00vkeO1cc1x1Paf8F+UU/gaKt2ckBmKDl51SqR1hpU3FWOVwfly+eBm9oqFC\n"
    "8HcnD4SCdX9LESBhmmE=\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kOther =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg35iwTCiN4b5bQvG+\n"
    "JTdC1OuVlb7DCOVd5dakPMJAcDmhRANCAATSz5MNja7fzu1dPzeeOJ9P36rrnWwX\n"
    "9Ac7VIv37NsEs754Iw401F7H7nqJL5reyfNUm4WP7Kq520MYx6a1JdWS\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kOtherPublic =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0s+TDY2u387tXT83njifT9+q651s\n"
    "F/QHO1SL9+zbBLO+eCMONNRex+56iS+a3snzVJuFj+yqudtDGMemtSXVkg==\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kK1 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgM8UXvHE6g35VBbkx1Pan\n"
    "5owdlRKbf+rNDnwGw/mVKMChRANCAAQjiSFcRHpgxZUEJpovoPGHcOX7pDCkeWvp\n"
    "1nThrYAfKxYoHDGhct+3qu2MzHHVL3Hi8hyRJGcW+XDnOc3OlISG\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kK1Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEI4khXER6YMWVBCaaL6Dxh3Dl+6QwpHlr\n"
    "6dZ04a2AHysWKBwxoXLft6rtjMxx1S9x4vIckSRnFvlw5znNzpSEhg==\n"
    "-----END PUBLIC KEY-----\n";

Statement statement() {
  Statement out;
  out.model = "m";
  out.resources = {{"weights", crypto::sha256(as_bytes_view("w"))},
                   {"a/config", crypto::sha256(as_bytes_view("c"))}};
  return out;
}
std::string signed_by(std::string_view pem, const Statement& what = statement()) {
  auto signer = PemSigner::load(pem);
  EXPECT_TRUE(signer.ok());
  return *sign_statement(what, *signer);
}
Trust trusting(std::string_view pem) {
  Trust trust;
  EXPECT_TRUE(add_trusted(trust, pem).ok());
  return trust;
}
Result<Verified> verified(const std::string& text, const Trust& trust) {
  HF_TRY_ASSIGN(const Bundle bundle, decode_bundle(text));
  return verify_signature(bundle, trust, 1'800'000'000);
}
std::string message_of(const Result<Verified>& result) {
  return result.ok() ? "ok" : result.error().to_string();
}

TEST(Signing, EachCurveSignsAndOnlyItsKeyVerifies) {
  for (const auto& [secret, open] :
       {std::pair{kP256, kP256Public}, {kP384, kP384Public}, {kP521, kP521Public}}) {
    const std::string text = signed_by(secret);
    const auto good = verified(text, trusting(open));
    ASSERT_TRUE(good.ok()) << good.error().to_string();
    EXPECT_EQ(good->key_id, PublicKey::from_pem(open)->id());
    const auto other = verified(text, trusting(kOtherPublic));
    EXPECT_EQ(other.error().code(), ErrorCode::kCorrupt);
    EXPECT_NE(message_of(other).find("not trusted"), std::string::npos);
    EXPECT_FALSE(verified(text, {}).ok());
  }
}

TEST(Signing, OtherKeysAreRefused) {
  EXPECT_EQ(PemSigner::load(kK1).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(PublicKey::from_pem(kK1Public).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(PemSigner::load(kP256Public).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(PublicKey::from_pem("nothing").error().code(), ErrorCode::kInvalidArgument);
  Trust trust;
  EXPECT_FALSE(add_trusted(trust, kP256).ok());
}

TEST(Signing, ARevokedKeyCountsNoMore) {
  const std::string text = signed_by(kP256);
  Trust trust = trusting(kP256Public);
  trust.revoked.push_back(PublicKey::from_pem(kOtherPublic)->id());
  EXPECT_TRUE(verified(text, trust).ok());
  trust.revoked.push_back(PublicKey::from_pem(kP256Public)->id());
  EXPECT_NE(message_of(verified(text, trust)).find("revoked"), std::string::npos);
}

TEST(Signing, StatementsComeBack) {
  Statement in = statement();
  in.ignore_paths = {"notes"};
  in.model_version = 18'446'744'073'709'551'615u;
  const auto out = decode_statement(as_bytes_view(encode_statement(in)));
  ASSERT_TRUE(out.ok()) << out.error().to_string();
  EXPECT_EQ(out->model, "m");
  EXPECT_EQ(out->resources.front().name, "a/config");
  EXPECT_EQ(out->root, root_digest(out->resources));
  EXPECT_EQ(out->ignore_paths, in.ignore_paths);
  EXPECT_EQ(out->model_version, in.model_version);
}

// The bundle of a signed statement with one change, signed again where the change is in it.
std::string changed(const std::string& from, const std::string& to) {
  std::string text = encode_statement(statement());
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Signing, StatementsAreRefusedFieldByField) {
  const std::string digest = to_hex(crypto::sha256(as_bytes_view("w")));
  const std::pair<std::string, std::string> changes[] = {
      {"https://model_signing/signature/v1.0", "https://slsa.dev/provenance/v1"},
      {"https://model_signing/signature/v1.0", "https://model_signing/Digests/v0.1"},
      {"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"},
      {"\"a/config\"", "\"/etc/passwd\""},
      {"\"a/config\"", "\"a/../b\""},
      {"\"a/config\"", "\"..\""},
      {"\"a/config\"", "\"a//b\""},
      {"\"a/config\"", "\"a/./b\""},
      {"\"a/config\"", "\"\""},
      {"\"a/config\"", "\"weights\""},
      {digest, std::string(64, '0')},
      {digest, "00"},
      {"\"hash_type\":\"sha256\"", "\"hash_type\":\"blake3\""},
      {"\"method\":\"files\"", "\"method\":\"shards\""},
      {"\"method\":\"files\"", "\"method\":\"zip\""},
      {"\"subject\":[", "\"subject\":[{},"},
      {"\"resources\":[", "\"resources\":[],\"x\":["},
  };
  ASSERT_TRUE(decode_statement(as_bytes_view(encode_statement(statement()))).ok());
  for (const auto& [from, to] : changes)
    EXPECT_FALSE(decode_statement(as_bytes_view(changed(from, to))).ok()) << to;
}

TEST(Signing, AnAlteredPayloadDoesNotVerify) {
  const std::string text = signed_by(kP256);
  auto value = *json::parse(text);
  json::Value& envelope = *value.as_object().find("dsseEnvelope");
  Statement other = statement();
  other.resources.front().digest = {};
  envelope.as_object().set("payload", to_base64(as_bytes_view(encode_statement(other))));
  const auto refused = verified(json::write(value), trusting(kP256Public));
  EXPECT_NE(message_of(refused).find("does not match"), std::string::npos);
}

TEST(Signing, BundlesAreReadAsOtherProgramsWriteThem) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = signed_by(kP256);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return verified(text.replace(at, from.size(), to), trusting(kP256Public));
  };
  EXPECT_TRUE(with(",\"keyid\":\"\"", "").ok());
  EXPECT_TRUE(with("\"keyid\":\"\"", "\"keyid\":null").ok());
  EXPECT_TRUE(with(",\"tlogEntries\":[]", "").ok());
  EXPECT_TRUE(with("\"publicKey\":{", "\"publicKey\":{\"rawBytes\":\"eA==\",").ok());
  EXPECT_FALSE(with("\"tlogEntries\":[]", "\"tlogEntries\":[{}]").ok());
  EXPECT_FALSE(with("bundle.v0.3+json", "bundle.v0.2+json").ok());
  EXPECT_FALSE(with("vnd.in-toto+json", "json").ok());
  EXPECT_FALSE(with("\"signatures\":[", "\"signatures\":[{},").ok());
  EXPECT_FALSE(with("\"publicKey\"", "\"certificate\"").ok());
}

TEST(Signing, EveryTruncationIsRefused) {
  const std::string text = signed_by(kP384);
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(decode_bundle(text.substr(0, n)).ok());
}

TEST(Signing, ShardNamesAreReadFromTheirEnd) {
  const auto shard = parse_shard("a:b:10:20");
  ASSERT_TRUE(shard.ok());
  EXPECT_EQ(shard->file, "a:b");
  EXPECT_EQ(shard->start, 10u);
  EXPECT_EQ(shard->end, 20u);
  for (const std::string_view bad :
       {"", "a", "a:1", "a:1:", "a::2", "a:2:1", "a:1:1", "a:-1:2", "a:1:99999999999999999999"})
    EXPECT_FALSE(parse_shard(bad).ok()) << bad;
}

}  // namespace
}  // namespace holdfast::signing
