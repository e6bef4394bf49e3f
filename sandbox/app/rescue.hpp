// For a window that has to end: what was made in it goes to files.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"
#include "host/edit/play_control.hpp"

#include <string>

namespace tessera {

// The last picture of every run that is still kept, each with its preset, and `canvas` if it has
// pixels: in a new folder in user_data_folder()/rescued, or with the temporary files of a user
// without a home. Says in a sentence what is where. Waits a few seconds for pictures on a device.
[[nodiscard]] Result<std::string> rescue_pictures(PlayControl &control, const Image &canvas);

} // namespace tessera
