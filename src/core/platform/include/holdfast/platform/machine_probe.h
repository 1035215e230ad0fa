// What this machine can do at most: memory, arithmetic, and the way between its processors.
// Measured beside a speed, it tells what share of the limit the speed is, and whether two speeds
// may be compared: the processors of a virtual machine move, and others use them too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::platform {

// A few microseconds of arithmetic; returns the operations done. The kernels have such functions;
// this module cannot know them.
using ProbeWork = std::function<double()>;

// Where the processors of the threads lie.
enum class Placement : std::uint8_t {
  kSingle,  // one thread only
  kSmt,     // siblings of one core
  kNear,    // two cores that share a cache
  kFar,     // two cache complexes or sockets, or a mesh
  kBusy,    // threads were preempted while they were measured: the figures mean little
};
std::string_view placement_name(Placement placement);

struct MachineLimits {
  unsigned threads = 0;
  double memory_bytes_per_second = 0;  // all threads read what no cache holds
  double int8_ops_per_second = 0;      // dot products of bytes; a multiply-add counts 2
  double int8_scaling = 0;  // of what the threads reach one by one: 1 on own cores, 0.5 on siblings
  double f32_ops_per_second = 0;  // fma
  double barrier_ns = 0;          // two threads meeting at a spin barrier; 0 with one thread

  Placement placement() const;
};

// Keeps the memory that it reads, so that it can be asked again and again. Owner: the command
// (thread-compatible). Its threads live during measure() only.
class MachineProbe {
 public:
  // Takes memory (256 MiB: what is read must not fit in caches). kExhausted where that is not
  // there. Precondition: threads >= 1.
  static Result<MachineProbe> create(unsigned threads, ProbeWork int8, ProbeWork f32);
  MachineProbe(MachineProbe&&) noexcept;
  MachineProbe& operator=(MachineProbe&&) noexcept;
  ~MachineProbe();

  // Takes about 0.15 s. kExhausted where the threads cannot be started.
  Result<MachineLimits> measure();

 private:
  struct State;
  explicit MachineProbe(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::platform
