# The layering of the source tree, and the functions that declare modules, tests, programs and fuzz targets.
#
# A module may depend on modules of a lower rank, inside the groups that its own group sees. Everything else
# stops the configure step with the names of both modules. The table is the one in docs/style.md, section 1.

# name|group|rank
set(HOLDFAST_MODULES
  "base|core|0" "platform|core|1" "observe|core|2" "config|core|2" "json|core|2" "db|core|3"
  "quant|engine|2" "footprint|engine|2" "wire|engine|2" "gguf|engine|3" "grammar|engine|3" "chat|engine|3"
  "kernels|engine|4" "tokenizer|engine|4" "checkpoint|engine|5" "tensor|engine|5" "kvcache|engine|6" "sampler|engine|6"
  "model|engine|7" "runtime|engine|8"
  "crypto|trust|3" "tls|trust|3" "jail|trust|3" "vault|trust|4" "signing|trust|4" "identity|trust|4" "policy|trust|4" "audit|trust|5" "keyring|trust|5"
  "registry|trust|6" "bundle|trust|7"
  "http|serve|4" "planner|serve|5" "fetch|serve|5" "backend|serve|6" "router|serve|7" "fleet|serve|8" "gateway|serve|9"
  "keyholder|apps|9" "slotopener|apps|10" "fetcher|apps|10" "custody|apps|10" "importer|apps|10" "enginehost|apps|10" "cli|apps|11")

set(HOLDFAST_SEES_core core)
set(HOLDFAST_SEES_engine core engine)
set(HOLDFAST_SEES_trust core trust)
set(HOLDFAST_SEES_serve core trust serve)
set(HOLDFAST_SEES_apps core engine trust serve apps)

# Dependencies across groups, named one by one.
set(HOLDFAST_CROSSINGS "registry>gguf" "backend>wire" "planner>footprint")

function(_holdfast_lookup module out_group out_rank)
  foreach(row IN LISTS HOLDFAST_MODULES)
    string(REPLACE "|" ";" row "${row}")
    list(GET row 0 name)
    if(name STREQUAL module)
      list(GET row 1 group)
      list(GET row 2 rank)
      set(${out_group} ${group} PARENT_SCOPE)
      set(${out_rank} ${rank} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "module '${module}' is not in the layering table (cmake/HoldfastLayer.cmake)")
endfunction()

function(_holdfast_check_dependency module dep)
  _holdfast_lookup(${module} group rank)
  _holdfast_lookup(${dep} dep_group dep_rank)
  if("${module}>${dep}" IN_LIST HOLDFAST_CROSSINGS)
    return()
  endif()
  if(NOT dep_group IN_LIST HOLDFAST_SEES_${group})
    message(FATAL_ERROR "layering: ${group}/${module} must not depend on ${dep_group}/${dep}: "
      "${group} sees only ${HOLDFAST_SEES_${group}}")
  endif()
  if(NOT dep_rank LESS rank)
    message(FATAL_ERROR "layering: ${module} (rank ${rank}) must not depend on ${dep} (rank ${dep_rank})")
  endif()
endfunction()

# A source file that no target names would rot unseen.
function(_holdfast_check_sources)
  file(GLOB found RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(file IN LISTS found)
    if(NOT file IN_LIST ARGN)
      message(FATAL_ERROR "${CMAKE_CURRENT_SOURCE_DIR}/${file} is not named in its CMakeLists.txt")
    endif()
  endforeach()
endfunction()

# holdfast_module(NAME SRCS a.cc ... [PUBLIC_DEPS m ...] [PRIVATE_DEPS m ...] [LIBS third-party targets ...])
function(holdfast_module module)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;PUBLIC_DEPS;PRIVATE_DEPS;LIBS")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "holdfast_module(${module}): unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  _holdfast_lookup(${module} group rank)
  _holdfast_check_sources(${ARG_SRCS})
  set(target holdfast_${module})
  add_library(${target} STATIC ${ARG_SRCS})
  add_library(hf::${module} ALIAS ${target})
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/*.h)
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${headers})
  set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  foreach(dep IN LISTS ARG_PUBLIC_DEPS)
    _holdfast_check_dependency(${module} ${dep})
    target_link_libraries(${target} PUBLIC hf::${dep})
  endforeach()
  foreach(dep IN LISTS ARG_PRIVATE_DEPS)
    _holdfast_check_dependency(${module} ${dep})
    target_link_libraries(${target} PRIVATE hf::${dep})
  endforeach()
  target_link_libraries(${target} PRIVATE holdfast_flags ${ARG_LIBS})
endfunction()

# holdfast_program(NAME SRCS main.cc DEPS m ... [LIBS ...]): an executable; only apps use it.
function(holdfast_program name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;DEPS;LIBS")
  _holdfast_check_sources(${ARG_SRCS})
  add_executable(${name} ${ARG_SRCS})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${name} PRIVATE hf::${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE holdfast_flags ${ARG_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# holdfast_test(NAME SRCS a_test.cc ... DEPS m ... [LIBS ...] [LABELS fast|slow] [ENVIRONMENT K=V ...]
#               [TIMEOUT seconds]): one GoogleTest binary, each case a ctest test in a process of its own.
function(holdfast_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "TIMEOUT" "SRCS;DEPS;LIBS;LABELS;ENVIRONMENT")
  if(NOT HOLDFAST_BUILD_TESTS)
    return()
  endif()
  _holdfast_check_sources(${ARG_SRCS})
  add_executable(${name} ${ARG_SRCS})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${name} PRIVATE hf::${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE holdfast_flags GTest::gmock GTest::gtest_main ${ARG_LIBS})
  target_compile_definitions(${name} PRIVATE
    HOLDFAST_SOURCE_DIR="${PROJECT_SOURCE_DIR}" HOLDFAST_BINARY_DIR="${CMAKE_BINARY_DIR}")
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${ARG_ENVIRONMENT}")
endfunction()

# holdfast_fuzz(NAME SRCS fuzz_x.cc DEPS m ... CORPUS dir): a libFuzzer target under the fuzz preset; elsewhere
# a seeded smoke test: the same entry point over the corpus and its mutations (tests/fuzz/standalone_main.cc).
function(holdfast_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "CORPUS" "SRCS;DEPS;LIBS")
  if(NOT HOLDFAST_BUILD_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_SRCS})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${name} PRIVATE hf::${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE holdfast_flags ${ARG_LIBS})
  if(HOLDFAST_FUZZ)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/standalone_main.cc)
    add_test(NAME fuzz_smoke.${name} COMMAND ${name} --runs 2000 --seed 1 ${ARG_CORPUS})
    set_tests_properties(fuzz_smoke.${name} PROPERTIES LABELS fast TIMEOUT 120)
  endif()
endfunction()
