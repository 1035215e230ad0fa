#include "holdfast/tls/server.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>

namespace holdfast::tls {
namespace {

// The oracle is OpenSSL's own client, spoken to through memory.

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(n));
  BIO_free(bio);
  return out;
}

struct Pair {
  std::string certificate, key, locked_key;
};

Pair make_pair() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  BIO* const c = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(c, certificate);
  BIO* const k = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(k, key, nullptr, nullptr, 0, nullptr, nullptr);
  BIO* const locked = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(locked, key, EVP_aes_128_cbc(),
                           reinterpret_cast<const unsigned char*>("word"), 4, nullptr, nullptr);
  Pair out{text_of(c), text_of(k), text_of(locked)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return out;
}

const Pair& pair() {
  static const Pair made = make_pair();
  return made;
}

class Client {
 public:
  explicit Client(int version_max = TLS1_3_VERSION, const char* ciphers12 = nullptr) {
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, version_max);
    if (ciphers12 != nullptr) SSL_CTX_set_cipher_list(context_, ciphers12);
    ssl_ = SSL_new(context_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;

  bool handshake() { return SSL_do_handshake(ssl_) == 1; }
  void write(std::string_view text) { SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }
  std::string read() {
    std::string out;
    char buffer[4096];
    for (int n = 0; (n = SSL_read(ssl_, buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
  void end() { SSL_shutdown(ssl_); }
  std::string take() {
    char* data = nullptr;
    const long n = BIO_get_mem_data(out_, &data);
    std::string out(data, static_cast<std::size_t>(n));
    BIO_reset(out_);
    return out;
  }
  void give(std::string_view bytes) {
    BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
  }
  SSL* ssl() { return ssl_; }

 private:
  SSL_CTX* context_;
  SSL* ssl_;
  BIO *in_, *out_;
};

std::unique_ptr<ServerSession> session(MinVersion version = MinVersion::k13) {
  return ServerSession::create(
             ServerContext::create(pair().certificate, pair().key, version).value())
      .value();
}

// Passes bytes to and fro, `step` at a time, until neither side has more to say.
std::string exchange(Client& client, ServerSession& server, std::size_t step = 1 << 20) {
  std::string plain;
  for (int turn = 0; turn < 8; ++turn) {
    client.handshake();
    const std::string bytes = client.take();
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += step)
      server.receive(std::string_view(bytes).substr(at, step), plain, out);
    client.give(out);
    if (bytes.empty() && out.empty()) break;
  }
  return plain;
}

TEST(ServerSession, SpeaksWithAClientHoweverTheBytesAreCut) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
    Client client;
    const auto server = session();
    exchange(client, *server, step);
    ASSERT_EQ(server->state(), ServerSession::State::kOpen);
    EXPECT_STREQ(SSL_get_version(client.ssl()), "TLSv1.3");
    const std::string big(100'000, 'a');
    client.write(big);
    std::string plain = exchange(client, *server, step);
    EXPECT_EQ(plain, big);
    std::string out;
    server->send("answer ", out);
    server->send(big, out);
    client.give(out);
    EXPECT_EQ(client.read(), "answer " + big);
  }
}

TEST(ServerSession, EndsOfBothSidesAreSeen) {
  Client client;
  const auto server = session();
  exchange(client, *server);
  client.end();
  exchange(client, *server);
  EXPECT_EQ(server->state(), ServerSession::State::kEnded);
  std::string out;
  server->send("last", out);
  server->send_end(out);
  client.give(out);
  EXPECT_EQ(client.read(), "last");
  EXPECT_NE(SSL_get_shutdown(client.ssl()) & SSL_RECEIVED_SHUTDOWN, 0);
}

TEST(ServerSession, OldVersionsAreRefused) {
  struct Case {
    MinVersion min;
    int client_max;
    const char* ciphers;
    bool accepted;
  };
  constexpr const char* kAead = "ECDHE-ECDSA-AES128-GCM-SHA256";
  for (const Case& c : {Case{MinVersion::k13, TLS1_3_VERSION, nullptr, true},
                        Case{MinVersion::k13, TLS1_2_VERSION, kAead, false},
                        Case{MinVersion::k12, TLS1_2_VERSION, kAead, true},
                        Case{MinVersion::k12, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false},
                        Case{MinVersion::k12, TLS1_1_VERSION, nullptr, false}}) {
    Client client(c.client_max, c.ciphers);
    const auto server = session(c.min);
    exchange(client, *server);
    EXPECT_EQ(server->state() == ServerSession::State::kOpen, c.accepted) << c.client_max;
    EXPECT_EQ(server->state() == ServerSession::State::kFailed, !c.accepted) << c.client_max;
  }
}

TEST(ServerSession, BytesThatAreNoTlsFail) {
  const auto server = session();
  std::string plain, out;
  EXPECT_EQ(server->receive("GET / HTTP/1.1\r\n\r\n", plain, out), ServerSession::State::kFailed);
  EXPECT_EQ(plain, "");
  EXPECT_FALSE(server->established());
}

TEST(ServerSession, AFlippedBitEndsTheSession) {
  Client client;
  const auto server = session();
  exchange(client, *server);
  client.write("hello");
  std::string bytes = client.take();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::string plain, out;
  EXPECT_EQ(server->receive(bytes, plain, out), ServerSession::State::kFailed);
  EXPECT_EQ(plain, "");
}

TEST(ServerContext, RefusesPairsThatDoNotWork) {
  const auto code = [](std::string_view certificate, std::string_view key) {
    const auto made = ServerContext::create(certificate, key, MinVersion::k13);
    return made.ok() ? std::string("ok") : made.error().client_message();
  };
  EXPECT_EQ(code(pair().certificate, pair().key), "ok");
  EXPECT_EQ(code(pair().certificate + pair().certificate, pair().key), "ok");  // a chain
  EXPECT_EQ(code(pair().certificate, make_pair().key),
            "the key does not belong to the certificate");
  EXPECT_EQ(code("", pair().key), "the certificate file holds no usable certificate");
  EXPECT_EQ(code(pair().key, pair().key), "the certificate file holds no usable certificate");
  EXPECT_EQ(code(pair().certificate, "junk"),
            "the key file holds no usable key without a passphrase");
  EXPECT_EQ(code(pair().certificate, pair().locked_key),
            "the key file holds no usable key without a passphrase");
  const std::string cut = pair().certificate.substr(0, pair().certificate.size() / 2);
  EXPECT_EQ(code(cut, pair().key), "the certificate file holds no usable certificate");
}

TEST(ServerContext, LargestFile) {
  const std::string at =
      pair().certificate + std::string(kPemBytesMax - pair().certificate.size(), '\n');
  EXPECT_TRUE(ServerContext::create(at, pair().key, MinVersion::k13).ok());
  EXPECT_FALSE(ServerContext::create(at + "\n", pair().key, MinVersion::k13).ok());
}

TEST(ServerContext, KnowsWhenItsCertificateEnds) {
  const auto context =
      ServerContext::create(pair().certificate, pair().key, MinVersion::k13).value();
  EXPECT_NEAR(static_cast<double>(context->not_after_unix()),
              static_cast<double>(std::time(nullptr)) + 3600, 120);
}

}  // namespace
}  // namespace holdfast::tls
