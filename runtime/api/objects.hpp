// The handles of the process. They live until it ends: a program may exit without closing.
#pragma once

#include "api/handles.hpp"
#include "api/runtime.hpp"

namespace tessera::api {

[[nodiscard]] Handles<Runtime> &runtimes();
[[nodiscard]] Handles<Model> &models();
[[nodiscard]] Handles<Texture> &textures();

// Called when a runtime closes, for kinds of handles that objects.cpp does not know.
void on_runtime_closed(void (*forget)(const Runtime &runtime));
void forget_all_of(const Runtime &runtime);

} // namespace tessera::api
