// Stands in for the key holder: makes data keys, sends them to children, and remembers them.
#pragma once

#include "holdfast/importer/importer.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/socket.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast::importer::testing {

class TestPackKeys final : public PackKeys {
 public:
  Result<NewKey> new_key(const vault::ModelId& model_id) override {
    HF_TRY_ASSIGN(crypto::Secret dek, crypto::Secret::random(crypto::kKeyBytes, entropy_));
    HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
    if (!dead) {
      HF_TRY(vault::send_data_key(pair.ours.get(), dek,
                                  platform::Deadline::after(std::chrono::seconds(5))));
    }
    ++made;
    crypto::Nonce nonce{};
    HF_TRY(entropy_.fill(nonce));
    return NewKey{std::move(pair.theirs),
                  vault::fill_wrap_slot(kek_, 1, {}, nonce, model_id, dek)};
  }
  // The keys of a pack whose slot this wrapped.
  Result<vault::ContentKeys> keys_of(const platform::ByteSource& pack) const {
    HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(pack));
    HF_TRY_ASSIGN(const crypto::Secret dek,
                  vault::open_wrap_slot(kek_, header.model_id, header.slots[0]));
    return vault::derive_content_keys(dek, *header.seal, header.salt, header.model_id);
  }

  bool dead = false;  // hands out sockets on which nothing comes
  int made = 0;

 private:
  platform::SystemEntropy entropy_;
  crypto::Secret kek_ = *crypto::Secret::random(crypto::kKeyBytes, entropy_);
};

}  // namespace holdfast::importer::testing
