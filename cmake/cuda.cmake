# The CUDA backend: a shared library of its own, which the addon opens at run time.
#  - redllm_cuda: by nvcc, where there is one; the rest neither needs it nor notices its absence.
#  - redllm_cuda_emu: the same sources by the host's compiler, run by the emulator of native/cuda/emu. For tests.
# nvcc is called by custom commands: CMake's CUDA language would make every build need it.
set(REDLLM_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO (where a fitting nvcc is found), ON or OFF")
file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS native/cuda/*.cu native/cuda/ops/*.cu)
set(CUDA_EXPORTS ${CMAKE_SOURCE_DIR}/native/cuda/exports.map)
set(CUDA_MINIMUM 12.0)

# Sets NVCC to a path where one was found that compiles for us, else NVCC_MISSING to why there is none.
function(find_nvcc)
  find_program(REDLLM_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin PATHS /usr/local/cuda/bin)
  if(NOT REDLLM_NVCC)
    set(NVCC_MISSING "no nvcc was found" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${REDLLM_NVCC} --version OUTPUT_VARIABLE SAID ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" FOUND "${SAID}")
  set(VERSION "${CMAKE_MATCH_1}")
  if(NOT VERSION OR VERSION VERSION_LESS CUDA_MINIMUM)
    set(NVCC_MISSING "${REDLLM_NVCC} is not of CUDA ${CUDA_MINIMUM} or later" PARENT_SCOPE)
    return()
  endif()
  # Asked once for each nvcc: it may lack its runtime, or not get on with this compiler.
  if(NOT "${REDLLM_NVCC_TRIED}" STREQUAL "${REDLLM_NVCC} ${VERSION} ${CMAKE_CXX_COMPILER}")
    set(TRIAL ${CMAKE_BINARY_DIR}/cuda/trial)
    file(WRITE ${TRIAL}.cu "#include <cuda_runtime.h>\n#include <string>\n__global__ void k() {}\n"
                           "int entry() { k<<<1, 1>>>(); return cudaDeviceSynchronize(); }\n")
    execute_process(COMMAND ${REDLLM_NVCC} -std=c++20 -ccbin ${CMAKE_CXX_COMPILER} -shared -cudart static
                            -gencode arch=compute_90a,code=sm_90a -Xcompiler -fPIC ${TRIAL}.cu -o ${TRIAL}.so
                    RESULT_VARIABLE FAILED OUTPUT_QUIET ERROR_QUIET)
    if(FAILED)
      set(NVCC_MISSING "${REDLLM_NVCC} cannot compile a small file with ${CMAKE_CXX_COMPILER}" PARENT_SCOPE)
      return()
    endif()
    set(REDLLM_NVCC_TRIED "${REDLLM_NVCC} ${VERSION} ${CMAKE_CXX_COMPILER}" CACHE INTERNAL "")
  endif()
  set(NVCC ${REDLLM_NVCC} PARENT_SCOPE)
  set(NVCC_VERSION ${VERSION} PARENT_SCOPE)
endfunction()

function(add_cuda_library)
  set(LIBRARY ${CMAKE_BINARY_DIR}/Release/libredllm_cuda.so)
  set(FOLDER ${CMAKE_BINARY_DIR}/cuda)
  file(MAKE_DIRECTORY ${FOLDER} ${CMAKE_BINARY_DIR}/Release)
  set(TARGETS -gencode arch=compute_80,code=sm_80 -gencode arch=compute_80,code=compute_80
              -gencode arch=compute_90a,code=sm_90a)
  set(OBJECTS)
  foreach(SOURCE IN LISTS CUDA_SOURCES)
    get_filename_component(NAME ${SOURCE} NAME_WE)
    set(OBJECT ${FOLDER}/${NAME}.o)
    if(OBJECT IN_LIST OBJECTS)
      message(FATAL_ERROR "two CUDA sources are named ${NAME}")
    endif()
    # -fmad=false: rows are computed by several copies of the same lines, unrolled or of other kernels, and their bits must be the same.
    # Where a product and a sum are one, the code says fmaf.
    add_custom_command(
      OUTPUT ${OBJECT}
      COMMAND sh ${CMAKE_SOURCE_DIR}/scripts/nvcc.sh ${FOLDER}/${NAME}.ptxas.log ${NVCC} -std=c++20 -O3 -fmad=false -ccbin
              ${CMAKE_CXX_COMPILER} -I${CMAKE_SOURCE_DIR}/native ${TARGETS} -Xptxas -v -Xcompiler
              -fPIC,-fvisibility=hidden,-Wall,-Wextra,-ffp-contract=off
              "-DREDLLM_CUDA_BUILD=\"CUDA ${NVCC_VERSION}, sm_80 sm_90a\"" -MD -MT ${OBJECT} -MF ${OBJECT}.d -c
              ${SOURCE} -o ${OBJECT}
      DEPENDS ${SOURCE} ${CMAKE_SOURCE_DIR}/scripts/nvcc.sh
      DEPFILE ${OBJECT}.d
      COMMENT "Building CUDA object ${NAME}.o"
      VERBATIM)
    list(APPEND OBJECTS ${OBJECT})
  endforeach()
  # The static runtime finds the driver when it is first called; nothing here is linked to it.
  add_custom_command(
    OUTPUT ${LIBRARY}
    COMMAND sh ${CMAKE_SOURCE_DIR}/scripts/nvcc.sh ${FOLDER}/link.log ${NVCC} -shared -cudart static -ccbin
            ${CMAKE_CXX_COMPILER} ${TARGETS} -Xcompiler -static-libstdc++,-static-libgcc -Xlinker
            --version-script=${CUDA_EXPORTS},--exclude-libs=ALL,--no-undefined ${OBJECTS} -o ${LIBRARY}
    DEPENDS ${OBJECTS} ${CUDA_EXPORTS}
    COMMENT "Linking CUDA library libredllm_cuda.so"
    VERBATIM)
  add_custom_target(redllm_cuda ALL DEPENDS ${LIBRARY})
endfunction()

if(REDLLM_CUDA STREQUAL "OFF" OR REDLLM_SANITIZE)
  message(STATUS "CUDA backend: not built")
else()
  find_nvcc()
  if(NVCC)
    message(STATUS "CUDA backend: by ${NVCC} ${NVCC_VERSION}")
    add_cuda_library()
  elseif(REDLLM_CUDA STREQUAL "ON")
    message(FATAL_ERROR "CUDA backend: ${NVCC_MISSING}")
  else()
    message(STATUS "CUDA backend: not built (${NVCC_MISSING})")
  endif()
endif()

set_source_files_properties(${CUDA_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
add_library(redllm_cuda_emu SHARED ${CUDA_SOURCES} native/cuda/emu/order.cc)
target_link_libraries(redllm_cuda_emu PRIVATE cuda_emu)
target_link_options(redllm_cuda_emu PRIVATE -Wl,--exclude-libs,ALL -Wl,--version-script=${CUDA_EXPORTS})
# Not beside the addon, which would be taken for a library to ship; cmake-js sets the directory of a configuration, too.
set_target_properties(redllm_cuda_emu PROPERTIES LINK_DEPENDS ${CUDA_EXPORTS} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
                      LIBRARY_OUTPUT_DIRECTORY_RELEASE ${CMAKE_BINARY_DIR})
