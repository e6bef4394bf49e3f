# The view and the window program; sandbox/CMakeLists.txt includes this when TESSERA_GRAPHICS is on.
set(_here "${CMAKE_CURRENT_LIST_DIR}")

# What draws frames, with no window: also for tests.
add_library(tessera_view STATIC
  ${_here}/offscreen.cpp ${_here}/renderer.cpp ${_here}/view.cpp)
add_library(Tessera::view ALIAS tessera_view)
target_include_directories(tessera_view PUBLIC "${PROJECT_SOURCE_DIR}")
target_link_libraries(tessera_view PRIVATE tessera_flags tessera_shaders
                      PUBLIC tessera_interop tessera_assets)
add_dependencies(tessera_view tessera_shader_files)

if(NOT TESSERA_WINDOW)
  return()
endif()

# All of tessera-sandbox but main, for tests and benchmarks.
add_library(tessera_window STATIC
  ${_here}/app.cpp ${_here}/canvas_view.cpp ${_here}/editor.cpp ${_here}/fit_image.cpp ${_here}/imgui_layer.cpp
  ${_here}/latent_painter.cpp ${_here}/material_worker.cpp ${_here}/pane.cpp ${_here}/panel_inspect.cpp ${_here}/panel_material.cpp ${_here}/run_difference.cpp
  ${_here}/panel.cpp ${_here}/panel_canvas.cpp ${_here}/panel_edit.cpp ${_here}/panel_overlay.cpp ${_here}/panel_params.cpp
  ${_here}/panel_player.cpp ${_here}/panel_presets.cpp ${_here}/panel_stats.cpp
  ${_here}/panel_timeline.cpp ${_here}/panel_view.cpp ${_here}/play_control.cpp
  ${_here}/preset_shelf.cpp ${_here}/recording_target.cpp ${_here}/run_history.cpp
  ${_here}/scene_key.cpp ${_here}/script.cpp ${_here}/script_runner.cpp ${_here}/shortcuts.cpp ${_here}/swapchain.cpp
  ${_here}/window.cpp)
add_library(Tessera::window ALIAS tessera_window)
target_link_libraries(tessera_window PRIVATE tessera_flags nlohmann_json::nlohmann_json
                      PUBLIC tessera_view tessera_material_files tessera_host PkgConfig::IMGUI glfw Vulkan::Vulkan)

add_executable(tessera-sandbox ${_here}/main.cpp)
target_link_libraries(tessera-sandbox PRIVATE tessera_flags tessera_window CLI11::CLI11)
