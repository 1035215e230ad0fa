// Who makes the verifiers of API keys: a pepper that lies elsewhere than in a file.
#pragma once

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/identity/api_key.h"

namespace holdfast::identity {

// What key_verifier() computes, by who has the pepper. Thread rule: as the implementation says.
class Verifiers {
 public:
  virtual ~Verifiers() = default;
  // kUnavailable where the pepper cannot be used now, kNotFound where there is none.
  virtual Result<crypto::Sha256Digest> verifier(const ParsedKey& key) = 0;
};

}  // namespace holdfast::identity
