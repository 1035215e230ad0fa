#include "tls_files.h"

namespace holdfast::cli {
namespace {

using config::Setting;

Result<std::string> read_pem(const std::string& path, std::string_view setting) {
  platform::PosixFileSystem files;
  const auto bytes = platform::read_file(files, path, tls::kPemBytesMax);
  if (!bytes.ok()) {
    return invalid_argument("the file of " + std::string(setting) + " cannot be read",
                            bytes.error().to_string());
  }
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

}  // namespace

Result<std::shared_ptr<const tls::ServerContext>> load_tls(const config::Settings& settings) {
  const std::string& certificate = settings.text(Setting::server_tls_cert);
  const std::string& key = settings.text(Setting::server_tls_key);
  if (certificate.empty() && key.empty()) return std::shared_ptr<const tls::ServerContext>();
  if (certificate.empty() || key.empty()) {
    return invalid_argument("server.tls_cert and server.tls_key go together; one is empty");
  }
  HF_TRY_ASSIGN(const std::string certificate_pem, read_pem(certificate, "server.tls_cert"));
  HF_TRY_ASSIGN(const std::string key_pem, read_pem(key, "server.tls_key"));
  const bool old = settings.text(Setting::server_tls_min) == "1.2";
  return tls::ServerContext::create(certificate_pem, key_pem,
                                    old ? tls::MinVersion::k12 : tls::MinVersion::k13);
}

TlsFileWatch::TlsFileWatch(const config::Settings& settings)
    : certificate_(settings.text(Setting::server_tls_cert)),
      key_(settings.text(Setting::server_tls_key)),
      used_(look()),
      last_(used_) {}

TlsFileWatch::Stamp TlsFileWatch::stamp(const std::string& path) {
  const auto info =
      path.empty() ? Result<platform::FileInfo>(not_found("no file")) : files_.stat(path);
  if (!info.ok()) return {};
  return {info->inode, info->size, info->modified_unix_ns};
}

TlsFileWatch::Stamps TlsFileWatch::look() { return {stamp(certificate_), stamp(key_)}; }

bool TlsFileWatch::changed() {
  const Stamps now = look();
  const bool settled = now == last_;
  last_ = now;
  if (!settled || now == used_) return false;
  used_ = now;
  return true;
}

}  // namespace holdfast::cli
