# The view and the window program; sandbox/CMakeLists.txt includes this when TESSERA_GRAPHICS is on.

# What draws frames, with no window: also for tests.
add_library(tessera_view STATIC
  view/offscreen.cpp view/renderer.cpp view/view.cpp)
add_library(Tessera::view ALIAS tessera_view)
target_include_directories(tessera_view PUBLIC "${PROJECT_SOURCE_DIR}")
target_link_libraries(tessera_view PRIVATE tessera_flags tessera_shaders
                      PUBLIC tessera_interop tessera_assets)
target_precompile_headers(tessera_view REUSE_FROM tessera_core)
add_dependencies(tessera_view tessera_shader_files)

if(NOT TESSERA_WINDOW)
  return()
endif()

# All of tessera-sandbox but main, for tests and benchmarks.
add_library(tessera_window STATIC
  app/app.cpp app/app_drawing.cpp app/app_generator.cpp app/app_pictures.cpp app/graphics.cpp
  app/imgui_layer.cpp app/rescue.cpp app/shortcuts.cpp app/swapchain.cpp app/window.cpp
  material/maker.cpp material/worker.cpp
  panel/canvas.cpp panel/edit.cpp panel/inspect.cpp panel/material.cpp panel/overlay.cpp
  panel/panel.cpp panel/params.cpp panel/player.cpp panel/presets.cpp panel/stats.cpp
  panel/timeline.cpp panel/title.cpp panel/view.cpp
  script/script.cpp script/script_runner.cpp
  view/canvas_view.cpp view/latent_painter.cpp view/pane.cpp view/scene_key.cpp)
add_library(Tessera::window ALIAS tessera_window)
target_link_libraries(tessera_window PRIVATE tessera_flags nlohmann_json::nlohmann_json
                      PUBLIC tessera_view tessera_material tessera_material_files tessera_options tessera_host PkgConfig::IMGUI glfw Vulkan::Vulkan)
target_precompile_headers(tessera_window REUSE_FROM tessera_core)

add_executable(tessera-sandbox app/main.cpp)
target_link_libraries(tessera-sandbox PRIVATE tessera_flags tessera_window)
