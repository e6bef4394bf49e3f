# Spectra and material maps on a Vulkan device; interop/CMakeLists.txt includes this when
# TESSERA_MATERIALS is on.

# VkFFT calls device functions by name; ours are members of a table. See fft_plan.cpp.
set(_table "${CMAKE_CURRENT_BINARY_DIR}/include/volk_table_names.h")
file(STRINGS "${TESSERA_VOLK_INCLUDE_DIR}/volk.h" _members REGEX "^\tPFN_vk")
set(_defines "/* Generated from volk.h: device functions are those of bound_table(). */\n")
foreach(_member IN LISTS _members)
  string(REGEX MATCH "PFN_(vk[A-Za-z0-9]+) " _ "${_member}")
  string(APPEND _defines "#undef ${CMAKE_MATCH_1}\n"
                         "#define ${CMAKE_MATCH_1} bound_table().tessera_${CMAKE_MATCH_1}\n")
endforeach()
file(CONFIGURE OUTPUT "${_table}" CONTENT "${_defines}" @ONLY)

add_library(tessera_material STATIC
  maps/plan_cache.cpp maps/fft_plan.cpp maps/map_passes.cpp maps/spectrum.cpp maps/texture_maps.cpp)
add_library(Tessera::material ALIAS tessera_material)
target_include_directories(tessera_material SYSTEM PRIVATE
  "${CMAKE_CURRENT_BINARY_DIR}/include" ${TESSERA_VKFFT_INCLUDE_DIR})
target_link_libraries(tessera_material
  PRIVATE tessera_flags tessera_shaders glslang::SPIRV glslang::glslang
          glslang::glslang-default-resource-limits
  PUBLIC tessera_interop tessera_maps)
add_dependencies(tessera_material tessera_shader_files)
