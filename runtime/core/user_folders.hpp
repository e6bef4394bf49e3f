// Where a program keeps what is its user's: as the XDG base directory specification says, and for a
// user whose environment says nothing, in the home folder that the system knows. Linux only, as is
// its .cpp.
#pragma once

#include <filesystem>

namespace tessera {

// $XDG_CONFIG_HOME/tessera, else ~/.config/tessera; empty: the user has no home. Not made here.
[[nodiscard]] std::filesystem::path user_config_folder();
// $XDG_CACHE_HOME/tessera, else ~/.cache/tessera; empty: as above.
[[nodiscard]] std::filesystem::path user_cache_folder();
// $XDG_DATA_HOME/tessera, else ~/.local/share/tessera; empty: as above.
[[nodiscard]] std::filesystem::path user_data_folder();

} // namespace tessera
