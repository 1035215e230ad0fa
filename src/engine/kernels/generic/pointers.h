// Typed views of untyped memory whose alignment the caller guarantees. Anonymous: see avx512/vec.h.
#pragma once

namespace holdfast::kernels {
namespace {

template <class T>
[[gnu::always_inline]] inline const T* at(const void* p) {
  return static_cast<const T*>(p);
}
template <class T>
[[gnu::always_inline]] inline T* at(void* p) {
  return static_cast<T*>(p);
}

}  // namespace
}  // namespace holdfast::kernels
