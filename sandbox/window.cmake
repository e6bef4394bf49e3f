# The view and the window program; sandbox/CMakeLists.txt includes this when TESSERA_GRAPHICS is on.

# What draws frames, with no window: also for tests.
add_library(tessera_view STATIC
  ${CMAKE_CURRENT_LIST_DIR}/offscreen.cpp
  ${CMAKE_CURRENT_LIST_DIR}/renderer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/view.cpp)
add_library(Tessera::view ALIAS tessera_view)
target_include_directories(tessera_view PUBLIC "${PROJECT_SOURCE_DIR}")
target_link_libraries(tessera_view PUBLIC tessera_interop tessera_assets
                      PRIVATE tessera_shaders tessera_flags)
add_dependencies(tessera_view tessera_shader_files)
