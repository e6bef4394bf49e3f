#include "sandbox/app/rescue.hpp"

#include "core/user_folders.hpp"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/chrono.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int kWaits = 300; // of 10 ms, for what lies on a device

Result<fs::path> make_folder() {
    std::error_code code;
    fs::path parent = user_data_folder();
    if (parent.empty()) parent = fs::temp_directory_path(code) / "tessera";
    const fs::path folder =
        parent / "rescued" /
        fmt::format("{:%Y-%m-%d_%H%M%S}_{}", fmt::localtime(std::time(nullptr)), ::getpid());
    fs::create_directories(folder, code);
    if (code) return make_error(Status::kIo, "{}: {}", folder.string(), code.message());
    return folder;
}

std::shared_ptr<const Image> last_picture(PlayControl &control, std::uint64_t job) {
    for (int i = 0; i < kWaits; ++i) {
        const RunRecord *const run = control.history().find(job);
        const RunStep *const step = run != nullptr ? run->last_picture() : nullptr;
        if (step == nullptr) return nullptr;
        if (step->picture != nullptr) return step->picture;
        if (control.fetch(job, step->step)) continue;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        control.update();
    }
    return nullptr;
}

} // namespace

Result<std::string> rescue_pictures(PlayControl &control, const Image &canvas) {
    control.update();
    std::vector<std::uint64_t> jobs;
    for (const RunRecord &run : control.history().runs()) {
        if (run.last_picture() != nullptr) jobs.push_back(run.job);
    }
    if (jobs.empty() && canvas.pixels.empty()) return std::string("No picture had been made.");
    auto folder = make_folder();
    if (!folder) return folder.error();
    std::size_t count = 0;
    for (const std::uint64_t job : jobs) {
        const auto picture = last_picture(control, job);
        const RunRecord *const run = control.history().find(job);
        if (picture == nullptr || run == nullptr) continue;
        const std::string name = fmt::format("{:03}_seed_{}", job, run->seed);
        Preset preset = control.preset();
        preset.seed = run->seed;
        preset.values = run->values;
        auto written = write_image(*folder / (name + ".png"), *picture);
        if (written) written = save_preset(*folder / (name + ".json"), preset);
        if (!written) return written.error();
        ++count;
    }
    if (!canvas.pixels.empty()) {
        auto written = write_image(*folder / "canvas.png", canvas);
        if (!written) return written.error();
        ++count;
    }
    return fmt::format("{} of {} pictures are in {}", count,
                       jobs.size() + (canvas.pixels.empty() ? 0 : 1), folder->string());
}

} // namespace tessera
