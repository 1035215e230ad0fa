// Oracle: the example messages of FIPS 180-4 and NIST's byte-oriented vectors.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "holdfast/crypto/constant_time.h"
#include "holdfast/crypto/git_blob.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::crypto {
namespace {

TEST(Sha256, MatchesPublishedVectors) {
  const std::pair<std::string, std::string> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1000000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const auto& [message, digest] : vectors) {
    EXPECT_EQ(to_hex(sha256(as_bytes_view(message))), digest);
  }
}

TEST(Sha256, StreamingEqualsOneShot) {
  std::string message;
  for (int i = 0; i < 200; ++i) message.push_back(static_cast<char>(i * 7));
  const ByteView bytes = as_bytes_view(message);
  Sha256 hash;
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    EXPECT_EQ(hash.update(bytes.first(split)).update(bytes.subspan(split)).finish(), sha256(bytes));
  }
}

TEST(ConstantTimeEqual, ComparesLengthAndBytes) {
  EXPECT_TRUE(constant_time_equal({}, {}));
  EXPECT_TRUE(constant_time_equal(as_bytes_view("abc"), as_bytes_view("abc")));
  EXPECT_FALSE(constant_time_equal(as_bytes_view("abc"), as_bytes_view("abd")));
  EXPECT_FALSE(constant_time_equal(as_bytes_view("abc"), as_bytes_view("ab")));
}

// `git hash-object --stdin`.
TEST(GitBlob, IsWhatGitSays) {
  EXPECT_EQ(git_blob_id({}), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(git_blob_id(as_bytes_view("hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace holdfast::crypto
