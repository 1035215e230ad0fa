# Compiler and linker flags, carried by one interface target. There are no global flags.
add_library(holdfast_flags INTERFACE)

target_compile_options(holdfast_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wvla -Werror=date-time
  $<$<BOOL:${HOLDFAST_WERROR}>:-Werror>
  -fno-strict-aliasing
  # Contraction is decided by the kernels, in writing: everywhere else a*b+c is two roundings on every compiler.
  -ffp-contract=off
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(holdfast_flags INTERFACE -Wcast-align=strict)
  if(HOLDFAST_SANITIZE)
    # g++ 12 sees uninitialised reads in its own library once sanitizers have reshaped the code.
    target_compile_options(holdfast_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
  if(HOLDFAST_SANITIZE MATCHES "thread")
    # Asio has fences, which the sanitizer does not follow; what it orders is under mutexes as well.
    target_compile_options(holdfast_flags INTERFACE -Wno-tsan)
  endif()
else()
  # std::stable_sort of g++'s library uses a function of its own that the standard deprecates.
  target_compile_options(holdfast_flags INTERFACE -Wno-deprecated-declarations)
endif()

# Hardening stays on in release.
target_compile_options(holdfast_flags INTERFACE
  -fstack-protector-strong -ftrivial-auto-var-init=zero -fno-plt
  $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection=full>)
target_compile_definitions(holdfast_flags INTERFACE _GLIBCXX_ASSERTIONS
  $<$<BOOL:${HOLDFAST_TEST_HOOKS}>:HOLDFAST_TEST_HOOKS=1>)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT HOLDFAST_SANITIZE)
  target_compile_options(holdfast_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(holdfast_flags INTERFACE
  $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now,-z,noexecstack)

if(HOLDFAST_SANITIZE)
  target_compile_options(holdfast_flags INTERFACE -fsanitize=${HOLDFAST_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(holdfast_flags INTERFACE -fsanitize=${HOLDFAST_SANITIZE})
endif()
if(HOLDFAST_FUZZ)
  target_compile_options(holdfast_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(HOLDFAST_COVERAGE)
  target_compile_options(holdfast_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(holdfast_flags INTERFACE -fprofile-instr-generate)
endif()

find_program(HOLDFAST_CCACHE ccache)
if(HOLDFAST_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${HOLDFAST_CCACHE})
endif()
