// What tools/check_isa_symbols must refuse: an inline function with external linkage. Compiled,
// never linked.
namespace holdfast::kernels {

inline int shared_with_everybody(int x) { return x + 1; }
int (*keep_it)(int) = shared_with_everybody;

}  // namespace holdfast::kernels
