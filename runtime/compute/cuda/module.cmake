# The CUDA backend as a module of its own, loaded when it is asked for: programs need no CUDA library.
# A project that this one is a part of decides for itself which languages it enables.
if(PROJECT_IS_TOP_LEVEL)
  set(_cuda_default AUTO)
else()
  set(_cuda_default OFF)
endif()
set(TESSERA_CUDA ${_cuda_default} CACHE STRING "CUDA backend: AUTO (when the toolkit is found), ON or OFF")
set(TESSERA_CUDA_ARCHITECTURES "75;80;86;89;90;100;120" CACHE STRING
  "Compute capabilities to build machine code for; the newest also gets PTX for later ones")
set_property(CACHE TESSERA_CUDA PROPERTY STRINGS AUTO ON OFF)

include("${CMAKE_CURRENT_LIST_DIR}/sources.cmake")

if(NOT TESSERA_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES OFF) # given below
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 does not know that nvcc 12 has it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    endif()
    find_package(CUDAToolkit REQUIRED)
    if(CUDAToolkit_VERSION VERSION_LESS 12.8)
      set(_cuda_missing "CUDA ${CUDAToolkit_VERSION} found, 12.8 or newer wanted")
    endif()
  else()
    set(_cuda_missing "nvcc not found (install the CUDA toolkit, or set CMAKE_CUDA_COMPILER)")
  endif()
  if(_cuda_missing AND TESSERA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TESSERA_CUDA is ON: ${_cuda_missing}")
  elseif(_cuda_missing)
    message(STATUS "No CUDA backend: ${_cuda_missing}")
  endif()
endif()

if(CMAKE_CUDA_COMPILER AND NOT TESSERA_CUDA STREQUAL "OFF" AND NOT _cuda_missing)
  add_library(tessera_cuda MODULE ${TESSERA_CUDA_SOURCES} operands.cpp operands_denoise.cpp operands_layers.cpp operands_sampling.cpp)
  list(TRANSFORM TESSERA_CUDA_ARCHITECTURES APPEND "-real" OUTPUT_VARIABLE _architectures)
  list(GET TESSERA_CUDA_ARCHITECTURES -1 _newest)
  list(APPEND _architectures "${_newest}-virtual")
  # libcublasLt.so.13 of CUDA 13: the library that belongs to the runtime linked in.
  set_target_properties(tessera_cuda PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON CUDA_STANDARD 20 CUDA_EXTENSIONS OFF CUDA_ARCHITECTURES "${_architectures}" CUDA_RUNTIME_LIBRARY Static
    LIBRARY_OUTPUT_DIRECTORY "${TESSERA_PLUGIN_OUTPUT_DIRECTORY}/..")
  target_compile_definitions(tessera_cuda PRIVATE
    TESSERA_CUBLASLT="libcublasLt.so.${CUDAToolkit_VERSION_MAJOR}"
    $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>) # fmt 9 does not trust nvcc with them
  # Products and sums are fused only where they are written so, as on the CPU.
  target_compile_options(tessera_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
    --expt-relaxed-constexpr -fmad=false
    -Xcompiler=-Wall,-Wextra,-Wshadow,-fvisibility=hidden,-fvisibility-inlines-hidden,-fno-gnu-unique>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fno-gnu-unique>)
  target_link_options(tessera_cuda PRIVATE -Wl,--exclude-libs,ALL)
  target_link_libraries(tessera_cuda PRIVATE tessera_core CUDA::toolkit ${CMAKE_DL_LIBS})
  install(TARGETS tessera_cuda LIBRARY DESTINATION "${TESSERA_PLUGIN_DIR}/..")
endif()
