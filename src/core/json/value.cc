#include <limits>
#include <unordered_map>

#include "holdfast/json/json.h"

namespace holdfast::json {

namespace {
// Below this a linear scan over a few cache lines beats hashing.
constexpr std::size_t kIndexFrom = 16;
}  // namespace

struct Object::Index {
  std::unordered_map<std::string, std::size_t> position;
};

Object::Object() = default;
Object::Object(std::initializer_list<Member> members) {
  for (const Member& m : members) set(m.key, m.value);
}
Object::Object(const Object& other) : members_(other.members_) {
  if (other.index_) index_ = std::make_unique<Index>(*other.index_);
}
Object::Object(Object&&) noexcept = default;
Object& Object::operator=(const Object& other) {
  if (this != &other) *this = Object(other);
  return *this;
}
Object& Object::operator=(Object&&) noexcept = default;
Object::~Object() = default;

std::size_t Object::size() const { return members_.size(); }
const Member* Object::begin() const { return members_.data(); }
const Member* Object::end() const { return members_.data() + members_.size(); }

const Value* Object::find(std::string_view key) const {
  if (index_) {
    const auto it = index_->position.find(std::string(key));
    return it == index_->position.end() ? nullptr : &members_[it->second].value;
  }
  for (const Member& m : members_) {
    if (m.key == key) return &m.value;
  }
  return nullptr;
}

Value* Object::find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Object*>(this)->find(key));
}

Value& Object::set(std::string key, Value value) {
  if (Value* existing = find(key)) {
    *existing = std::move(value);
    return *existing;
  }
  if (index_) index_->position.emplace(key, members_.size());
  members_.push_back({std::move(key), std::move(value)});
  if (!index_ && members_.size() >= kIndexFrom) {
    index_ = std::make_unique<Index>();
    for (std::size_t i = 0; i < members_.size(); ++i) index_->position.emplace(members_[i].key, i);
  }
  return members_.back().value;
}

void Object::erase(std::string_view key) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].key != key) continue;
    members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(i));
    index_.reset();
    if (members_.size() >= kIndexFrom) {
      index_ = std::make_unique<Index>();
      for (std::size_t j = 0; j < members_.size(); ++j)
        index_->position.emplace(members_[j].key, j);
    }
    return;
  }
}

Value::Value(std::uint64_t v) {
  if (v <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    data_ = static_cast<std::int64_t>(v);
  } else {
    data_ = static_cast<double>(v);
  }
}

bool Value::as_bool() const {
  HF_CHECK(is_bool());
  return *std::get_if<bool>(&data_);
}
std::int64_t Value::as_int() const {
  HF_CHECK(is_int());
  return *std::get_if<std::int64_t>(&data_);
}
double Value::as_double() const {
  HF_CHECK(is_number());
  return is_int() ? static_cast<double>(*std::get_if<std::int64_t>(&data_))
                  : *std::get_if<double>(&data_);
}
const std::string& Value::as_string() const {
  HF_CHECK(is_string());
  return *std::get_if<std::string>(&data_);
}
const Array& Value::as_array() const {
  HF_CHECK(is_array());
  return *std::get_if<Array>(&data_);
}
Array& Value::as_array() {
  HF_CHECK(is_array());
  return *std::get_if<Array>(&data_);
}
const Object& Value::as_object() const {
  HF_CHECK(is_object());
  return *std::get_if<Object>(&data_);
}
Object& Value::as_object() {
  HF_CHECK(is_object());
  return *std::get_if<Object>(&data_);
}

const Value* Value::find(std::string_view key) const {
  return is_object() ? as_object().find(key) : nullptr;
}

bool operator==(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    return a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_double() == b.as_double();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kBool:
      return a.as_bool() == b.as_bool();
    case Kind::kString:
      return a.as_string() == b.as_string();
    case Kind::kArray:
      return a.as_array() == b.as_array();
    case Kind::kObject: {
      if (a.as_object().size() != b.as_object().size()) return false;
      for (const Member& m : a.as_object()) {
        const Value* other = b.find(m.key);
        if (other == nullptr || !(*other == m.value)) return false;
      }
      return true;
    }
    default:
      return true;
  }
}

}  // namespace holdfast::json
