#include "holdfast/tls/server.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <new>

#include "holdfast/base/check.h"

namespace holdfast::tls {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<&BIO_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<&X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<&EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<&SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Deleter<&SSL_free>>;

constexpr int kChainMax = 16;  // certificates in one file
// Forward secrecy and authenticated encryption only.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256";
constexpr const char* kGroupsPostQuantum = "X25519MLKEM768:X25519:P-256";

// What the library says last, for logs.
std::string library_text() {
  char text[256] = "no reason given";
  if (const unsigned long code = ERR_peek_last_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

// Without it the library would ask on the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

BioPtr memory_of(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<std::int64_t> end_of(const X509* certificate) {
  std::tm when{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1)
    return invalid_argument("the certificate has no valid end date");
  return static_cast<std::int64_t>(timegm(&when));
}

Result<std::int64_t> use_chain(SSL_CTX* context, std::string_view pem) {
  const BioPtr in = memory_of(pem);
  const X509Ptr first(in ? PEM_read_bio_X509_AUX(in.get(), nullptr, no_passphrase, nullptr)
                         : nullptr);
  if (!first || SSL_CTX_use_certificate(context, first.get()) != 1)
    return invalid_argument("the certificate file holds no usable certificate", library_text());
  for (int i = 0; i < kChainMax; ++i) {
    X509Ptr next(PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr));
    if (!next) break;
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1)
      return invalid_argument("the certificate file holds an unusable chain", library_text());
    (void)next.release();  // the context owns it
  }
  ERR_clear_error();  // the end of the file is one
  return end_of(first.get());
}

Status use_key(SSL_CTX* context, std::string_view pem) {
  const BioPtr in = memory_of(pem);
  const KeyPtr key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, nullptr)
                      : nullptr);
  if (!key)
    return invalid_argument("the key file holds no usable key without a passphrase",
                            library_text());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return invalid_argument("the key does not belong to the certificate", library_text());
  return ok_status();
}

// HTTP/1.1 is what is spoken; a client that offers only others finds out by the answer.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned int in_size, void*) {
  static constexpr unsigned char kHttp[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp, sizeof kHttp - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Status configure(SSL_CTX* context, MinVersion min_version) {
  const int version = min_version == MinVersion::k12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection gives its buffers back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  const bool groups = SSL_CTX_set1_groups_list(context, kGroupsPostQuantum) == 1 ||
                      SSL_CTX_set1_groups_list(context, kGroups) == 1;
  ERR_clear_error();
  if (!groups || SSL_CTX_set_min_proto_version(context, version) != 1 ||
      SSL_CTX_set_cipher_list(context, kCiphers12) != 1)
    return internal_error("TLS cannot be set up", library_text());
  return ok_status();
}

// The two ends of a session's bytes, set for the length of one call.
struct Wire {
  std::string_view in;
  std::string* out = nullptr;
};

int wire_read(BIO* bio, char* to, std::size_t size, std::size_t* taken) {
  Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *taken = wire.in.copy(to, size);
  wire.in.remove_prefix(*taken);
  if (*taken > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int wire_write(BIO* bio, const char* from, std::size_t size, std::size_t* taken) {
  const Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *taken = 0;
  if (wire.out == nullptr) return 0;
  try {
    wire.out->append(from, size);
  } catch (const std::bad_alloc&) {
    return 0;  // exceptions must not pass through the library
  }
  *taken = size;
  return 1;
}

long wire_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* wire_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "holdfast");
    HF_CHECK(m != nullptr);
    BIO_meth_set_read_ex(m, wire_read);
    BIO_meth_set_write_ex(m, wire_write);
    BIO_meth_set_ctrl(m, wire_control);
    return m;
  }();
  return method;
}

}  // namespace

struct ServerContext::Impl {
  ContextPtr context;
  std::int64_t not_after = 0;
};

ServerContext::ServerContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerContext::~ServerContext() = default;
std::int64_t ServerContext::not_after_unix() const { return impl_->not_after; }

Result<std::shared_ptr<const ServerContext>> ServerContext::create(std::string_view certificate_pem,
                                                                   std::string_view key_pem,
                                                                   MinVersion min_version) {
  if (certificate_pem.size() > kPemBytesMax || key_pem.size() > kPemBytesMax)
    return invalid_argument("a certificate or key file is larger than 1 MiB");
  auto impl = std::make_unique<Impl>();
  impl->context.reset(SSL_CTX_new(TLS_server_method()));
  if (!impl->context) return internal_error("TLS cannot be set up", library_text());
  HF_TRY(configure(impl->context.get(), min_version));
  HF_TRY_ASSIGN(impl->not_after, use_chain(impl->context.get(), certificate_pem));
  HF_TRY(use_key(impl->context.get(), key_pem));
  return std::shared_ptr<const ServerContext>(new ServerContext(std::move(impl)));
}

struct ServerSession::Impl {
  std::shared_ptr<const ServerContext> context;
  SslPtr ssl;
  Wire wire;
  State state = State::kHandshake;

  // The library asks for more bytes, the peer has ended, or the session is broken.
  void failed_call(int result) {
    const int why = SSL_get_error(ssl.get(), result);
    if (why == SSL_ERROR_ZERO_RETURN) {
      state = State::kEnded;
    } else if (why != SSL_ERROR_WANT_READ) {
      state = State::kFailed;
    }
    ERR_clear_error();  // one queue serves all sessions of the thread
  }
};

ServerSession::ServerSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerSession::~ServerSession() = default;

Result<std::unique_ptr<ServerSession>> ServerSession::create(
    std::shared_ptr<const ServerContext> context) {
  auto impl = std::make_unique<Impl>();
  impl->ssl.reset(SSL_new(context->impl().context.get()));
  BIO* const bio = BIO_new(wire_method());
  if (!impl->ssl || bio == nullptr) {
    BIO_free(bio);
    return exhausted("no memory for a TLS session", library_text());
  }
  BIO_set_data(bio, &impl->wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(impl->ssl.get(), bio, bio);
  SSL_set_accept_state(impl->ssl.get());
  impl->context = std::move(context);
  return std::unique_ptr<ServerSession>(new ServerSession(std::move(impl)));
}

ServerSession::State ServerSession::state() const { return impl_->state; }
bool ServerSession::established() const {
  return impl_->state == State::kOpen || impl_->state == State::kEnded;
}

ServerSession::State ServerSession::receive(std::string_view bytes, std::string& plain,
                                            std::string& out) {
  Impl& s = *impl_;
  s.wire = {bytes, &out};
  if (s.state == State::kHandshake) {
    const int result = SSL_do_handshake(s.ssl.get());
    if (result == 1) {
      s.state = State::kOpen;
    } else {
      s.failed_call(result);
    }
  }
  while (s.state == State::kOpen) {
    char buffer[16 * 1024];  // a record holds no more
    std::size_t n = 0;
    const int result = SSL_read_ex(s.ssl.get(), buffer, sizeof buffer, &n);
    if (result == 1) {
      plain.append(buffer, n);
      continue;
    }
    s.failed_call(result);
    break;
  }
  s.wire = {};
  return s.state;
}

void ServerSession::send(std::string_view plain, std::string& out) {
  Impl& s = *impl_;
  HF_CHECK(established());
  if (plain.empty()) return;
  s.wire.out = &out;
  std::size_t n = 0;
  const int result = SSL_write_ex(s.ssl.get(), plain.data(), plain.size(), &n);
  if (result != 1) {
    ERR_clear_error();
    s.state = State::kFailed;
  }
  s.wire = {};
}

void ServerSession::send_end(std::string& out) {
  if (!established()) return;
  impl_->wire.out = &out;
  SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
  impl_->wire = {};
}

}  // namespace holdfast::tls
