// Where the images of a run go: names, folders, files. Complains before anything is generated.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"
#include "sandbox/generate/options.hpp"

#include <tessera/base.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

// Which picture of a run.
struct PictureName {
    std::string part; // of the class or the generator: see distinct_file_parts (core/text.hpp)
    std::uint64_t seed = 0;
    std::uint32_t index = 0; // of the images of this class

    // "brick_7_000"
    [[nodiscard]] std::string stem() const;
};

class GenerateOutput {
  public:
    // Makes the folders and tries the files. `names`: of the first picture of each class; `count`:
    // pictures of each.
    [[nodiscard]] static Result<GenerateOutput>
    open(const GenerateOptions &options, std::span<const PictureName> names, std::uint32_t count);
    // Whether pictures of that size fit on the contact sheet, if one is wanted; 0: not known yet.
    [[nodiscard]] Result<void> check_sheet(std::uint32_t width, std::uint32_t height) const;
    [[nodiscard]] std::uint32_t sheet_columns() const;

    // Where that picture is written.
    [[nodiscard]] std::filesystem::path path_of(const PictureName &name) const;
    [[nodiscard]] std::filesystem::path frame_path_of(const PictureName &name,
                                                      std::uint32_t step) const;
    [[nodiscard]] std::filesystem::path material_path_of(const PictureName &name) const;
    [[nodiscard]] bool has_frames() const { return !frames_.empty(); }

  private:
    [[nodiscard]] Result<void> check(const GenerateOptions &options,
                                     std::span<const PictureName> names) const;

    std::filesystem::path output_; // folder, or a file when there is one image
    bool is_folder_ = false;
    bool is_numbered_ = false; // several images, one file name given
    std::filesystem::path frames_;
    std::filesystem::path material_; // the folder itself when there is one image
    std::filesystem::path sheet_;
    std::uint64_t image_count_ = 0;
};

inline constexpr std::uint32_t kSheetGap = 4; // pixels

// RGB of a published frame (height, width, 4).
[[nodiscard]] Image rgb_of(const tessera_tensor &frame);

} // namespace tessera
