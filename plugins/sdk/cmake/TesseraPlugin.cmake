# tessera_add_plugin(<name> SOURCES <files...> [LIBRARIES <targets...>])
#
# A generator plugin: a module with hidden visibility that exports one symbol and can be unloaded.
# -fno-gnu-unique is what makes unloading possible with GCC: unique symbols pin a library for ever.
include_guard(GLOBAL)

function(tessera_add_plugin file)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  set(name ${TESSERA_PLUGIN_TARGET_PREFIX}${file})
  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE Tessera::sdk ${arg_LIBRARIES})
  if(TARGET tessera_flags)
    target_link_libraries(${name} PRIVATE tessera_flags)
  endif()
  target_compile_features(${name} PRIVATE c_std_11 cxx_std_20)
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  # The standard library's templates are visible whatever the flags say; the map hides them.
  target_link_options(${name} PRIVATE
    "-Wl,--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin_exports.map")
  set_target_properties(${name} PROPERTIES
    PREFIX "" OUTPUT_NAME ${file} C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(TESSERA_PLUGIN_OUTPUT_DIRECTORY)
    set_target_properties(${name} PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY "${TESSERA_PLUGIN_OUTPUT_DIRECTORY}")
  endif()
  if(TESSERA_PLUGIN_INSTALL_DIRECTORY)
    install(TARGETS ${name} LIBRARY DESTINATION "${TESSERA_PLUGIN_INSTALL_DIRECTORY}")
  endif()
endfunction()
