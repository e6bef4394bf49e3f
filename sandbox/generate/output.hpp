// Where the images of a run go: names, folders, files. Complains before anything is generated.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"
#include "sandbox/generate/options.hpp"

#include <tessera/base.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace tessera {

// Which picture of a run.
struct PictureName {
    std::string label; // class, or the generator's name
    std::uint64_t seed = 0;
    std::uint32_t index = 0; // of the images of this label
};

class GenerateOutput {
  public:
    // Makes the folders. `image_count`: of the whole run.
    [[nodiscard]] static Result<GenerateOutput> open(const GenerateOptions &options,
                                                     std::uint64_t image_count);

    // Where that picture is written.
    [[nodiscard]] std::filesystem::path path_of(const PictureName &name) const;
    [[nodiscard]] std::filesystem::path frame_path_of(const PictureName &name,
                                                      std::uint32_t step) const;
    [[nodiscard]] std::filesystem::path material_path_of(const PictureName &name) const;
    [[nodiscard]] bool has_frames() const { return !frames_.empty(); }

  private:
    std::filesystem::path output_; // folder, or a file when there is one image
    bool is_folder_ = false;
    bool is_numbered_ = false; // several images, one file name given
    std::filesystem::path frames_;
    std::filesystem::path material_; // the folder itself when there is one image
    bool has_many_ = false;
};

// RGB of a published frame (height, width, 4).
[[nodiscard]] Image rgb_of(const tessera_tensor &frame);

} // namespace tessera
